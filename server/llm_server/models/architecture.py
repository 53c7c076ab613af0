"""What transformers knows about a model: whether it can be served, and its limits.

Refuses what is no causal language model, what needs code from its repository, and a context
longer than the model's. Called by ``loading`` after torch may be imported.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm_server.contract import MODEL_LEN_MIN, Setting, StartupFailure
from llm_server.models.failures import StartupError, classify


def read_config(directory: Path) -> Any:
    """The configuration of a causal language model that transformers itself implements.

    Raises:
        StartupError: ``ModelUnsupported`` for anything else, naming it.
    """
    from transformers import AutoConfig  # noqa: PLC0415

    with unsupported_if_it_fails():
        config = AutoConfig.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
    _require_causal(config)
    return config


def max_model_len(config: Any, wanted: int | None) -> int:
    """Tokens of prompt and answer together.

    Raises:
        StartupError: ``InvalidSettings`` if ``wanted`` is beyond the model, or absent where
            the model does not say how far it goes.
    """
    own = getattr(config.get_text_config(), "max_position_embeddings", None)
    name = Setting.MAX_MODEL_LEN.value
    if isinstance(own, int) and own > 0:
        if wanted is not None and wanted > own:
            raise StartupError(
                StartupFailure.INVALID_SETTINGS,
                f"{name} is {wanted} and the model goes to {own}; "
                f"allowed are {MODEL_LEN_MIN} to {own}",
            )
        return wanted or own
    if wanted is None:
        raise StartupError(
            StartupFailure.INVALID_SETTINGS,
            f"the model does not say its context length; set {name}",
        )
    return wanted


def eos_token_ids(model: Any) -> frozenset[int]:
    """The tokens that end an answer, as ``transformers.generate`` takes them."""
    for config in (model.generation_config, model.config.get_text_config()):
        wanted = getattr(config, "eos_token_id", None)
        if isinstance(wanted, int):
            return frozenset({wanted})
        if wanted:
            return frozenset(wanted)
    return frozenset()


@contextmanager
def unsupported_if_it_fails() -> Iterator[None]:
    """Within, what a library cannot digest of a model is ``ModelUnsupported``.

    A file of whoever published the model may make any library fail in any way. Failures with
    a reason of their own (memory, disk) keep it.
    """
    try:
        yield
    except Exception as error:
        if classify(error).reason is not StartupFailure.INTERNAL:
            raise
        raise unsupported(f"{type(error).__name__}: {error}") from error


def unsupported(why: str) -> StartupError:
    """The refusal of a model that this server cannot run."""
    return StartupError(StartupFailure.MODEL_UNSUPPORTED, f"the model cannot be served: {why}")


def _require_causal(config: Any) -> None:
    from transformers.models.auto.modeling_auto import (  # noqa: PLC0415
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    )

    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    if known is None:
        raise unsupported(f"{config.model_type!r} is no causal language model of transformers")
    allowed = {known} if isinstance(known, str) else set(known)
    declared = getattr(config, "architectures", None) or sorted(allowed)
    if not allowed.intersection(declared):
        raise unsupported(
            f"its weights are those of {declared[0]}, and only {', '.join(sorted(allowed))} "
            f"generates text for {config.model_type!r}"
        )
