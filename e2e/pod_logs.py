"""The requests that pods answered, in the words of their servers, for pods that are about to go."""

import json
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from e2e.story import Namespace
from llm_server.contract import Outcome

GONE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class PodLogs:
    """A folder with the log of each pod, to the pod's end."""

    folder: Path

    def whole_answers(self, pod: str, *, tokens: int) -> list[float]:
        """Return when a pod ended answers of so many tokens, in seconds since the epoch."""
        lines = (self.folder / pod).read_text().splitlines()
        records = [json.loads(line) for line in lines if line.startswith("{")]
        return [
            datetime.fromisoformat(record["timestamp"]).timestamp()
            for record in records
            if record.get("outcome") == Outcome.LENGTH and record.get("completion_tokens") == tokens
        ]


@contextmanager
def following(namespace: Namespace, pods: Iterable[str], folder: Path) -> Iterator[PodLogs]:
    """Follow the logs of pods, all of which end with the block or soon after it.

    A log is read from its pod while there is one: who asks later gets 404.
    """
    with ExitStack() as stack:
        for pod in pods:
            stack.enter_context(_followed(namespace, pod, folder / pod))
        yield PodLogs(folder)


@contextmanager
def _followed(namespace: Namespace, pod: str, file: Path) -> Iterator[None]:
    command = ("kubectl", "-n", namespace.name, "logs", "--follow", pod)
    with file.open("w") as log:
        process = namespace.cluster.backend.popen(*command, stdout=log, stderr=subprocess.DEVNULL)
        try:
            yield
            process.wait(timeout=GONE_SECONDS)
        finally:
            process.kill()
            process.wait()
