"""The settings of ``builtin://simulated``: its timing model, and what it is to do wrong.

Part of ``settings``. The timing is without effect on any other model; a fault that is asked of
another model is refused, because nobody asks for one by mistake and wants it ignored.
"""

from pydantic import BaseModel, Field


class FaultSettings(BaseModel):
    """What goes wrong on purpose; by default nothing. Requests count as they begin to answer."""

    simulated_load_stops_at_percent: int | None = Field(
        default=None, ge=0, le=99, description="the load gets so far and never ends"
    )
    simulated_load_exit_code: int | None = Field(
        default=None,
        ge=1,
        le=255,
        description="the process exits with this code at the end of the load",
    )
    simulated_duration_percent: int = Field(
        default=100,
        ge=100,
        le=100_000,
        description="every step takes so many percent of its time; 300: three times as long",
    )
    simulated_error_percent: int = Field(
        default=0, ge=0, le=100, description="so many percent of the requests fail, evenly spread"
    )
    simulated_error_after_tokens: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="those that fail do so after so many tokens; 0: before their answer starts",
    )
    simulated_crash_after_seconds: float | None = Field(
        default=None, ge=0, le=86_400, description="the device is lost so long after the start"
    )
    simulated_crash_after_requests: int | None = Field(
        default=None, ge=0, le=10**9, description="the device is lost at the request after so many"
    )
    simulated_hang_after_requests: int | None = Field(
        default=None, ge=0, le=10**9, description="no step ends from the request after so many on"
    )

    def faults(self) -> dict[str, object]:
        """Return the fault settings that differ from their defaults, by name."""
        return {
            name: getattr(self, name)
            for name, field in FaultSettings.model_fields.items()
            if getattr(self, name) != field.default
        }


class SimulatedSettings(FaultSettings):
    """The timing model."""

    simulated_load_seconds: float = Field(
        default=0.5, ge=0, le=86_400, description="how long the pretended load takes"
    )
    simulated_prefill_tokens_per_second: float = Field(
        default=20_000, gt=0, le=1e9, description="prompt tokens computed per second"
    )
    simulated_step_milliseconds: float = Field(
        default=20, ge=0, le=600_000, description="time of a decode step, whatever the batch"
    )
    simulated_step_milliseconds_per_sequence: float = Field(
        default=0.2, ge=0, le=600_000, description="added to a decode step for each sequence in it"
    )
    simulated_kv_capacity_tokens: int = Field(
        default=262_144, ge=16, le=10**9, description="tokens that the KV cache holds"
    )
    simulated_answer_tokens: int = Field(
        default=128,
        ge=0,
        le=10**9,
        description="an answer ends after so many tokens; 0: only where max_tokens ends it",
    )
