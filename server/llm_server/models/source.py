"""The forms of ``model.source`` as values; what each form is comes from ``contract``.

Pure. Called by the settings and by ``loading``; ``pvc://`` never reaches a server, because the
operator mounts the claim and renders the path as ``file://``.
"""

from dataclasses import dataclass
from pathlib import Path

from llm_server import contract
from llm_server.contract import StartupFailure
from llm_server.models.failures import StartupError

DEFAULT_HUB_REVISION = "main"

_ALLOWED = "hf://org/name[@revision], builtin://name, file:///absolute/path"


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository of a Hugging Face Hub at a branch, tag or commit."""

    repo: str
    revision: str = DEFAULT_HUB_REVISION

    def __str__(self) -> str:
        return f"hf://{self.repo}@{self.revision}"


@dataclass(frozen=True, slots=True)
class BuiltinSource:
    """A model that ships with the product; ``name`` is one of ``contract.BUILTIN_MODELS``."""

    name: str

    def __str__(self) -> str:
        return f"builtin://{self.name}"


@dataclass(frozen=True, slots=True)
class FileSource:
    """A Hugging Face model directory that is already on a mounted file system."""

    path: Path

    def __str__(self) -> str:
        return f"file://{self.path}"


ModelSource = HubSource | BuiltinSource | FileSource


def parse_source(text: str) -> ModelSource:
    """Read one ``model.source``.

    Raises:
        StartupError: ``InvalidSettings`` for any other form, with the allowed ones;
            ``ModelNotFound`` for a builtin model that there is not, with those that there are.
    """
    if match := contract.SOURCE_PATTERNS["hf"].fullmatch(text):
        return HubSource(match["repo"], match["revision"] or DEFAULT_HUB_REVISION)
    if match := contract.SOURCE_PATTERNS["builtin"].fullmatch(text):
        return _builtin(match["name"])
    if match := contract.SOURCE_PATTERNS["file"].fullmatch(text):
        return _file(text, match["path"])
    if text.startswith("pvc://"):
        raise _invalid(
            text,
            "a claim is mounted by the operator, which renders it as "
            f"file://{contract.MODEL_CLAIM_PATH}/path; a server cannot mount one itself",
        )
    raise _invalid(text, f"allowed forms are {_ALLOWED}")


def _builtin(name: str) -> BuiltinSource:
    if name not in contract.BUILTIN_MODELS:
        known = ", ".join(contract.BUILTIN_MODELS)
        message = f"model source 'builtin://{name}': the builtin models are {known}"
        raise StartupError(StartupFailure.MODEL_NOT_FOUND, message)
    return BuiltinSource(name)


def _file(text: str, path: str) -> FileSource:
    if ".." in path.split("/"):
        raise _invalid(text, "the path must not contain '..'")
    return FileSource(Path(path))


def _invalid(text: str, why: str) -> StartupError:
    shown = text if len(text) <= 200 else text[:200] + "…"
    return StartupError(StartupFailure.INVALID_SETTINGS, f"model source {shown!r}: {why}")
