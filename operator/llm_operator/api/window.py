"""``status.rollout.window``: what the judge of a step must remember, as the schema has it.

``judgement.window`` writes and reads it; here stands only what the API server lets it be.
"""

from typing import Annotated

from pydantic import Field

from llm_operator.api.schema import (
    ATOMIC,
    INT32_MAX,
    WHOLE_MAX,
    ApiModel,
    DnsLabel,
    Flag,
    Hash,
    Time,
    list_map,
)

_Tally = Annotated[int, Field(strict=True, ge=0, le=WHOLE_MAX)]
_Small = Annotated[int, Field(strict=True, ge=-INT32_MAX, le=INT32_MAX)]
_Buckets = Annotated[tuple[_Tally, ...], Field(max_length=64), ATOMIC]


class RequestTally(ApiModel):
    """Requests that the processes of one revision had counted."""

    received: _Tally
    """Requests for a generation."""
    refused: _Tally
    """Of these, the ones that were wrong."""
    completed: _Tally
    """Answers that were completed."""
    failed: _Tally
    """Requests that ended by the server's fault."""


class BaselineSide(ApiModel):
    """What one revision had counted when the window's baseline was taken."""

    revision: Hash
    """Hash of the revision."""
    boots: Annotated[str, Field(max_length=1024)] | None = None
    """Boot ids of the processes that are in the sums, with spaces between."""
    requests: RequestTally | None = None
    """Sums of requests."""
    first_token: _Buckets = ()
    """Counts of the histogram of the time to the first token."""
    inter_token: _Buckets = ()
    """Counts of the histogram of the time between tokens."""


class WindowBaseline(ApiModel):
    """The counters that a window's differences are taken from."""

    at: Time
    """When they were read."""
    revisions: Annotated[tuple[BaselineSide, ...], Field(max_length=2), list_map("revision")] = ()
    """What they were, by revision."""


class GuardBreach(ApiModel):
    """A guard whose last reading was above its maximum."""

    guard: DnsLabel
    """Name of the guard."""
    at: Time
    """When it was read."""


class RestartedPod(ApiModel):
    """How often a pod of the new revision ended in the same way."""

    pod: Annotated[str, Field(max_length=253)]
    """Name of the pod."""
    count: _Small
    """Restarts of its server so far."""
    exit_code: _Small
    """How it ended last."""
    repeated: _Small
    """Restarts in a row that ended in that way."""


class JudgementWindow(ApiModel):
    """What the judge of a step must remember; it begins when the step's weight is applied."""

    started_at: Time | None = None
    """When it began."""
    baseline: WindowBaseline | None = None
    """What was counted before. Absent: it is still being read."""
    breaches: Annotated[tuple[GuardBreach, ...], Field(max_length=8), list_map("guard")] = ()
    """Guards that were above their maximum when they were read last."""
    missing: Flag | None = None
    """Whether metrics were missing and have not been read since."""
