"""``python -m llm_server.models.build NAME --out DIR``: a builtin model as a directory.

Run by the image build. Loads what it wrote before it says that it is done.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

from llm_server import contract
from llm_server.contract import Device, Dtype
from llm_server.models import builtin, environment
from llm_server.models.failures import StartupError, classify


def main(arguments: list[str]) -> int:
    """Make the model named on the command line; 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m llm_server.models.build", description=__doc__)
    parser.add_argument("name", choices=sorted(builtin.WRITERS))
    parser.add_argument("--out", type=Path, required=True, help="directory to make; must not exist")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as cache:
        environment.prepare(Path(cache), os.environ)
        try:
            _build(chosen.name, chosen.out)
        except Exception as error:  # noqa: BLE001  # the edge: every failure becomes one line
            failure = classify(error)
            sys.stderr.write(f"{failure.reason}: {failure.message}\n")
            return 1
    return 0


def _build(name: str, out: Path) -> None:
    if out.exists():
        raise StartupError(contract.StartupFailure.INVALID_SETTINGS, f"--out: {out} exists")
    started = time.monotonic()
    builtin.make(name, out)
    _verify(out)
    for file in sorted(out.iterdir()):
        sys.stdout.write(f"{file.stat().st_size:>12,}  {file.name}\n")
    sys.stdout.write(f"{name}: {time.monotonic() - started:.1f} s\n")


def _verify(directory: Path) -> None:
    """Load the directory as the server does and let the model take one step."""
    import torch  # noqa: PLC0415

    from llm_server.models.loading import LoadOptions, load_directory  # noqa: PLC0415
    from llm_server.models.tokenizer import ChatMessage  # noqa: PLC0415

    options = LoadOptions(Dtype.FLOAT32, Device.CPU, None, directory.parent, directory.parent)
    loaded = load_directory(directory, None, options)
    prompt = loaded.tokenizer.apply_chat_template([ChatMessage("user", "Hello")])
    with torch.inference_mode():
        logits = loaded.model(torch.tensor([prompt])).logits
    if not logits.isfinite().all():
        raise RuntimeError(f"{directory} gives logits that are not finite")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
