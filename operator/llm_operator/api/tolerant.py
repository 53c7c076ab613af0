"""Reading and writing JSON that may be spoilt: piece by piece, and without what is absent."""

import copy
import functools
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

_Model = TypeVar("_Model", bound=BaseModel)


def read_what_is_understood(model: type[_Model], value: object) -> _Model:
    """Read a model of optional parts, leaving out, piece by piece, what is not one. Never raises.

    ``value`` stays as it is.
    """
    rest = copy.deepcopy(value) if isinstance(value, dict) else {}
    while True:
        try:
            return model.model_validate(rest)
        except ValidationError as error:
            _remove(rest, error.errors()[-1]["loc"])


def without_empty(value: Any) -> Any:
    """Return JSON without empty lists and maps, at every depth."""
    if isinstance(value, dict):
        plain = {key: without_empty(item) for key, item in value.items()}
        return {key: item for key, item in plain.items() if item not in ([], {})}
    return [without_empty(item) for item in value] if isinstance(value, list) else value


def _remove(content: dict[str, Any], location: tuple[int | str, ...]) -> None:
    """Remove the innermost part of ``content`` that ``location`` leads to; all, if none does."""
    part: Any = content
    removals: list[Callable[[], object]] = [content.clear]
    for step in location:
        known = step in part if isinstance(part, dict) else isinstance(part, list)
        if not known:
            break
        removals.append(functools.partial(part.pop, step))
        part = part[step]
    removals[-1]()
