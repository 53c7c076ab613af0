"""The status of a resource: what a restart must not lose, and what is said of it now. Pure.

``memory`` reads back what was decided and ``report`` writes it; ``situation`` derives phase and
conditions, which are written for people and tools and never read back to decide.
"""

from llm_operator.status.memory import Memory, recall
from llm_operator.status.report import (
    Progress,
    effective_weight_percent,
    fit,
    floor_json,
    pods_json,
    rollout_json,
)
from llm_operator.status.situation import Situation, judge, summary_phase

__all__ = [
    "Memory",
    "Progress",
    "Situation",
    "effective_weight_percent",
    "fit",
    "floor_json",
    "judge",
    "pods_json",
    "recall",
    "rollout_json",
    "summary_phase",
]
