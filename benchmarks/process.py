"""A running operator: started, ended and weighed from outside, whatever it is made of."""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from benchmarks.contender import Contender
from e2e.cluster import Cluster

_LOGS: Final = Path(__file__).resolve().parent.parent / "out" / "bench-operator"
_STOP_SECONDS: Final = 40
_TAIL_LINES: Final = 20


class OperatorEnded(RuntimeError):
    """The operator ended by itself; the message has the end of its log."""


@dataclass(slots=True)
class OperatorProcess:
    """One operator process. It runs where the API server answers, under its own account."""

    process: "subprocess.Popen[str]"
    log: IO[Any]

    @classmethod
    def start(cls, cluster: Cluster, contender: Contender, kubeconfig: Path) -> "OperatorProcess":
        """Start the contender's command; what it prints goes to a file under ``out/``."""
        _LOGS.mkdir(parents=True, exist_ok=True)
        settings = {**contender.environment, "KUBECONFIG": str(kubeconfig)}
        log = (_LOGS / f"{contender.namespace}.log").open("a")
        process = cluster.popen(
            *("env", *(f"{name}={value}" for name, value in settings.items())),
            *contender.command,
            stdout=log,
        )
        return cls(process, log)

    def check(self) -> None:
        """Raise OperatorEnded if it runs no more."""
        if self.process.poll() is not None:
            tail = "\n".join(Path(self.log.name).read_text().splitlines()[-_TAIL_LINES:])
            msg = f"the operator ended with {self.process.returncode}; {self.log.name}:\n{tail}"
            raise OperatorEnded(msg)

    def stop(self) -> None:
        """End it as the kubelet does: SIGTERM, and SIGKILL when it takes too long."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.log.close()

    def rss_mib(self) -> float:
        """Return its resident memory in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
        return round(int(kib) / 1024, 1)

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used, in user and kernel mode."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        user_ticks, kernel_ticks = int(fields[11]), int(fields[12])
        return (user_ticks + kernel_ticks) / os.sysconf("SC_CLK_TCK")
