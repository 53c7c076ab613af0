"""The analysis part of the spec: the limits that a new revision is judged by."""

from typing import Annotated

from pydantic import Field

from llm_operator.api.schema import ApiModel, DnsLabel, Quantity, Rule, list_map, matches

_RelativePercent = Annotated[int, Field(strict=True, ge=100, le=10000)]


class Guard(ApiModel):
    """A figure of Prometheus that must not exceed a maximum, beside the limits above."""

    name: DnsLabel
    """Name that the verdict calls it by."""
    query: Annotated[str, Field(min_length=1, max_length=2048)]
    """PromQL whose answer is one number, or one series per pod; the highest value counts."""
    maximum: Quantity
    """The highest value that is allowed, e.g. "0" or "500m"; two breaches in a row fail."""


class Prometheus(ApiModel):
    """Where guards are asked."""

    rules = (
        matches(
            "address",
            r"https?://[-A-Za-z0-9._]+(:[0-9]{1,5})?(/[-A-Za-z0-9._~/]*)?",
            "an http or https URL without credentials, such as http://prometheus.monitoring:9090",
        ),
    )

    address: Annotated[str, Field(min_length=8, max_length=512)]
    """URL of the Prometheus API, without /api/v1."""


class Analysis(ApiModel):
    """How a new revision is judged at each step, from the counters of the pods themselves."""

    rules = (
        Rule(
            "guards",
            "need prometheus.address: their queries are asked there",
            "!has(self.guards) || self.guards.size() == 0 || has(self.prometheus)",
            lambda self: not self.guards or self.prometheus is not None,
        ),
    )

    interval_seconds: Annotated[int, Field(strict=True, ge=1, le=300)] = 10
    """Time between two readings of the pods' counters, in seconds."""
    min_requests: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 50
    """Requests that the new revision must have answered in a step before it is judged."""
    max_error_percent: Annotated[int, Field(strict=True, ge=0, le=100)] = 5
    """The share of its requests that may fail, in percent."""
    max_time_to_first_token_percent: _RelativePercent = 150
    """Its 95th percentile of the time to the first token, in percent of the stable revision's over
    the same minutes."""
    max_inter_token_percent: _RelativePercent = 150
    """Its 95th percentile of the time between tokens, in percent of the stable revision's over the
    same minutes."""
    guards: Annotated[tuple[Guard, ...], Field(max_length=8), list_map("name")] = ()
    """More figures to watch."""
    prometheus: Prometheus | None = None
    """Where guards are asked. Absent: nothing but the pods themselves is read."""
