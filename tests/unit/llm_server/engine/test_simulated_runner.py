import subprocess
import sys
from dataclasses import replace

from llm_server.engine.batch import Batch, BatchRow, Draw
from llm_server.engine.request import SamplingParams
from llm_server.engine.simulated_runner import TimingModel

TIMING = TimingModel(
    prefill_tokens_per_second=1000, step_seconds=0.02, step_seconds_per_sequence=0.001
)
DRAW = Draw(SamplingParams(temperature=0), position=0)


def a_decode(name: str) -> BatchRow:
    """Return the row of a sequence that decodes."""
    return BatchRow(name, start=5, token_ids=(1,), draw=DRAW)


def test_a_step_takes_prefill_time_and_decode_time() -> None:
    """500 prompt tokens at 1000/s and two decodes: 0.5 s, one step and two sequences."""
    prompt = BatchRow("p", start=0, token_ids=(1,) * 500, draw=None)

    seconds = TIMING.seconds(Batch((prompt, a_decode("a"), a_decode("b"))))

    assert abs(seconds - (0.5 + 0.02 + 2 * 0.001)) < 1e-9


def test_a_step_without_decodes_takes_prefill_time_only() -> None:
    """A batch of prompts costs no decode step."""
    prompt = BatchRow("p", start=0, token_ids=(1,) * 100, draw=DRAW)

    assert abs(TIMING.seconds(Batch((prompt,))) - 0.1) < 1e-9


def test_a_slowed_step_takes_its_percentage() -> None:
    """At 300 percent prefill and decode take three times their time."""
    slowed = replace(TIMING, duration_percent=300)
    batch = Batch((BatchRow("p", start=0, token_ids=(1,) * 100, draw=None), a_decode("a")))

    assert abs(slowed.seconds(batch) - 3 * TIMING.seconds(batch)) < 1e-9


def test_the_simulated_server_imports_no_torch() -> None:
    """Everything that a simulated pod loads comes without torch, transformers and numpy."""
    program = (
        "import sys; import llm_server.process, llm_server.cli; "
        "print([m for m in ('torch', 'transformers', 'numpy', 'tokenizers') if m in sys.modules])"
    )

    said = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )

    assert said.stdout.strip() == "[]"
