"""The machine and the versions that figures belong to."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from e2e.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Machine:
    """What the figures were measured on."""

    cores: int
    processor: str
    memory_gib: float
    load_average: float
    """Of the last minute, before the benchmark began."""
    kubernetes: str
    container_tool: str
    python: str
    kopf: str

    @classmethod
    def of(cls, cluster: Cluster) -> "Machine":
        """Look at this machine and at the cluster on it."""
        server = cluster.kubectl("get", "--raw", "/version")
        pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        return cls(
            cores=os.cpu_count() or 1,
            processor=_processor(),
            memory_gib=round(pages * page_bytes / 2**30, 1),
            load_average=round(os.getloadavg()[0], 2),
            kubernetes=server.partition('"gitVersion": "')[2].partition('"')[0],
            container_tool=cluster.engine.tool.value,
            python=platform.python_version(),
            kopf=version("kopf"),
        )

    def __str__(self) -> str:
        """Render for people, one line."""
        return (
            f"{self.cores} cores ({self.processor}), {self.memory_gib} GiB, load"
            f" {self.load_average} before; Kubernetes {self.kubernetes} by kind on"
            f" {self.container_tool}, Python {self.python}, kopf {self.kopf}"
        )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
