"""Which files of a Hub repository a server needs, decided from their names and sizes.

Pure. Only data is taken: safetensors, tokenizer files, JSON and the chat template; never a
pickle and never a Python file. Called by ``download``.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from llm_server.contract import StartupFailure
from llm_server.models.checkpoint import PICKLE_SUFFIXES, WEIGHTS_FILE, WEIGHTS_INDEX
from llm_server.models.failures import StartupError

_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_DATA = frozenset(
    {
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
        "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt",
        "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "tekken.json",
        "chat_template.jinja", "chat_template.json",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository at one commit; ``size_bytes`` is 0 where the hub does not say."""

    name: str
    size_bytes: int


def needed_files(files: Iterable[HubFile]) -> tuple[HubFile, ...]:
    """The files to download, weights last.

    Raises:
        StartupError: ``ModelNotFound`` for a repository without a model, ``ModelUnsupported``
            for one whose weights are in another format, naming it.
    """
    by_name = {file.name: file for file in files}
    if "config.json" not in by_name:
        raise StartupError(
            StartupFailure.MODEL_NOT_FOUND, "the repository has no config.json, so it is no model"
        )
    data = [file for name, file in sorted(by_name.items()) if name in _DATA]
    return (*data, *_weights(by_name))


def _weights(by_name: dict[str, HubFile]) -> list[HubFile]:
    if WEIGHTS_INDEX in by_name:
        shards = [file for name, file in sorted(by_name.items()) if _SHARD.fullmatch(name)]
        if shards:
            return [by_name[WEIGHTS_INDEX], *shards]
    if WEIGHTS_FILE in by_name:
        return [by_name[WEIGHTS_FILE]]
    raise StartupError(StartupFailure.MODEL_UNSUPPORTED, _why_no_weights(sorted(by_name)))


def _why_no_weights(names: list[str]) -> str:
    wanted = f"a model needs {WEIGHTS_FILE} or {WEIGHTS_INDEX} with its shards"
    for name in names:
        if name.endswith(PICKLE_SUFFIXES):
            return (
                f"the repository has only pickled weights ({name}), and loading a pickle runs code "
                f"of whoever made it; {wanted}"
            )
        if name.startswith("adapter_"):
            return f"the repository holds an adapter ({name}) and no model; {wanted}"
        if name.endswith(".gguf"):
            return f"the repository holds GGUF weights ({name}); {wanted}"
    return f"the repository holds no weights; {wanted}"
