"""What the libraries read from the environment when they are imported.

Called once, first thing in a process, before torch, transformers or huggingface_hub are
imported: they read these names at import. A value that the user set is never replaced.
"""

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from llm_server import contract
from llm_server.contract import Setting

_PRODUCT = "llm-server"


def default_cache_dir(environ: Mapping[str, str]) -> Path:
    """Where downloaded and converted models go when no setting says so.

    The setting's variable, else the user's cache directory by the XDG rules, else the path
    that a pod has a volume at.
    """
    if chosen := environ.get(Setting.CACHE_DIR.env):
        return Path(chosen)
    if cache_home := environ.get("XDG_CACHE_HOME"):
        return Path(cache_home) / _PRODUCT
    home = environ.get("HOME")
    if home and os.access(home, os.W_OK):
        return Path(home) / ".cache" / _PRODUCT
    return Path(contract.MODEL_CACHE_PATH)


def prepare(cache_dir: Path, environ: MutableMapping[str, str]) -> None:
    """Point every cache of the libraries below ``cache_dir`` and switch telemetry off.

    Works with a read-only root file system and without a home. ``OMP_WAIT_POLICY=PASSIVE``:
    spinning OpenMP threads starve the event loop on machines with few cores.
    """
    defaults = {
        "HF_HOME": str(cache_dir / "huggingface"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "DO_NOT_TRACK": "1",
        "TQDM_DISABLE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(cache_dir / "torchinductor"),
        "TRITON_CACHE_DIR": str(cache_dir / "triton"),
    }
    for name, value in defaults.items():
        environ.setdefault(name, value)
    home = environ.get("HOME")
    if not home or not os.access(home, os.W_OK):
        environ.setdefault("XDG_CACHE_HOME", str(cache_dir))
