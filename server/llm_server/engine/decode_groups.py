"""Which sequences are decoded together, so that padding stays bounded. Pure.

Rows of one forward pass are padded to the longest. One long sequence among many short ones would
pad the cache to a multiple of what it holds, so rows are packed into groups whose padded size is
at most ``PADDING_FACTOR`` times what they hold. Every group costs a pass over the weights, so
there are as few as that allows, and small ones are never split.
"""

from collections.abc import Sequence

PADDING_FACTOR = 2
SLACK_TOKENS = 2048
"""A group may always be padded to so many tokens: they cost less than one more pass."""


def fits(lengths: Sequence[int]) -> bool:
    """Whether rows of these lengths may be padded to the longest of them."""
    padded = len(lengths) * max(lengths)
    return padded <= max(PADDING_FACTOR * sum(lengths), SLACK_TOKENS)


def plan_groups(units: Sequence[Sequence[int]]) -> list[list[int]]:
    """Pack units, each the lengths of rows that are together already; return indices per group.

    Longest first, each into the first group where it fits: rows of like length come together.
    Example: one row of 4000 tokens and 30 of 100 give two groups.
    """
    groups: list[list[int]] = []
    lengths: list[list[int]] = []
    for index in sorted(range(len(units)), key=lambda unit: -max(units[unit])):
        for members, together in zip(groups, lengths, strict=True):
            if fits([*together, *units[index]]):
                members.append(index)
                together.extend(units[index])
                break
        else:
            groups.append([index])
            lengths.append(list(units[index]))
    return groups
