"""Figures that the engine hands out; ``telemetry`` turns them into metrics. Times in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineGauges:
    """The state at one moment."""

    num_running: int = 0
    num_waiting: int = 0
    kv_usage: float = 0.0


@dataclass(frozen=True, slots=True)
class StepStats:
    """One step: what was computed, and the latencies of the tokens that came out of it."""

    prompt_tokens: int
    generation_tokens: int
    preemptions: int
    queue_seconds: tuple[float, ...]
    first_token_seconds: tuple[float, ...]
    inter_token_seconds: tuple[float, ...]
    seconds: float
