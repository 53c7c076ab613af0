"""What the rollout machine asks of the traffic, in the terms that both providers render."""

from dataclasses import dataclass

from llm_operator.api.traffic import Provider
from llm_operator.rollout.sizes import WHOLE


@dataclass(frozen=True, slots=True)
class Asked:
    """The revisions that traffic is for, and how it is to be split."""

    stable: str | None
    """Hash of the stable revision; None before there is one."""
    canary: str | None
    """Hash of the revision that a rollout is about, up to the end of its baking, when it is
    ``stable`` too; None while no rollout runs. There is always a stable revision or a canary."""
    weight_percent: int
    """Share of the canary, 0 to 100. It means nothing unless there are two revisions."""
    provider: Provider
    """Who splits; never ``Auto``."""

    @property
    def base(self) -> str:
        """The stable revision, or the first one before there is a stable one."""
        base = self.stable or self.canary
        if base is None:
            msg = "traffic is asked for neither a stable revision nor a canary"
            raise ValueError(msg)
        return base

    @property
    def has_both(self) -> bool:
        """Whether there is a stable revision and a rollout, which may have promoted its canary."""
        return self.stable is not None and self.canary is not None

    @property
    def splits(self) -> bool:
        """Whether there are two revisions that traffic can be split between."""
        return self.has_both and self.stable != self.canary

    @property
    def canary_percent(self) -> int:
        """Share of a canary beside stable: 0 when there are no two revisions."""
        return self.weight_percent if self.splits else 0

    @property
    def hashes(self) -> tuple[str, ...]:
        """The revisions that are to take traffic, sorted; never empty."""
        if self.canary is None or self.canary_percent == 0:
            return (self.base,)
        if self.canary_percent == WHOLE:
            return (self.canary,)
        return tuple(sorted((self.base, self.canary)))
