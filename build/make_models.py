"""Makes models of ``builtin://`` inside the image build and proves that they answer.

For people there is ``python -m llm_server.models.build``, which loads the result as the server
does. This program needs no more of our code than what makes a model, so that the image's layer of
models outlives every other change.
"""

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llm_server.models import builtin


class BrokenModel(RuntimeError):
    """The model was written and gives no sensible probabilities."""


def verify(directory: Path) -> None:
    """Load the model with transformers alone and ask it for one token."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    with torch.inference_mode():
        logits = model(**prompt).logits[0, -1]
    if not logits.isfinite().all() or logits.min() == logits.max():
        raise BrokenModel(f"{directory} gives the logits {logits[:4].tolist()} ...")


def main() -> None:
    """Make the models that the command line names, and say how large they are."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=Path, help="each model becomes a directory in it")
    parser.add_argument("names", nargs="+", choices=sorted(builtin.WRITERS))
    chosen = parser.parse_args()
    for name in chosen.names:
        made = builtin.make(name, chosen.directory / name)
        verify(made)
        size = sum(file.stat().st_size for file in made.iterdir())
        print(f"make_models: {name}, {size / 1e6:.1f} MB")  # noqa: T201  # the build's log


if __name__ == "__main__":
    main()
