"""How whoever published a model samples from it: its ``generation_config.json``.

Temperature, top_p and top_k there are the defaults of requests, as with vLLM's
``--generation-config auto``: a field that the file leaves out is neutral, not what transformers
would take. Called by ``loading``; the tokens that end an answer are found by ``architecture``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError

from llm_server.models import architecture, checkpoint

FILE: Final = "generation_config.json"

_USED_OR_EMPTY: Final = frozenset(
    {
        *("temperature", "top_p", "top_k", "eos_token_id", "bos_token_id", "pad_token_id"),
        *("transformers_version", "_from_model_config"),
    }
)
_NEUTRAL: Final[Mapping[str, object]] = {
    "do_sample": True,
    "num_beams": 1,
    "repetition_penalty": 1.0,
    "use_cache": True,
}
"""What is done anyway."""


@dataclass(frozen=True, slots=True)
class SamplingDefaults:
    """What a request that does not say otherwise is sampled with; ``top_k`` below 1 keeps all."""

    temperature: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] = 1.0
    top_p: Annotated[float, Field(strict=True, ge=0, le=1)] = 1.0
    top_k: Annotated[int, Field(strict=True, ge=-1)] = 0


@dataclass(frozen=True, slots=True)
class GenerationConfig:
    """What the file says; ``neglected`` are its fields that this server does nothing about."""

    sampling: SamplingDefaults
    neglected: tuple[str, ...]


def read(directory: Path) -> GenerationConfig:
    """Read the file of a model directory; without one everything is neutral.

    Raises:
        StartupError: ``ModelUnsupported`` for a file that cannot be followed, naming the field.
    """
    file = directory / FILE
    content = checkpoint.read_json(file) if file.is_file() else {}
    if not isinstance(content, dict):
        raise architecture.unsupported(f"{FILE} is not a JSON object")
    given = {name: value for name, value in content.items() if value is not None}
    try:
        sampling = TypeAdapter(SamplingDefaults).validate_python(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise architecture.unsupported(
            f"{FILE}: {first['loc'][0]}: {first['msg']}, got {first['input']!r}"
        ) from None
    done = _USED_OR_EMPTY | {name for name, value in _NEUTRAL.items() if given.get(name) == value}
    return GenerationConfig(sampling, tuple(sorted(given.keys() - done)))
