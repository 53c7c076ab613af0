"""A local Kubernetes cluster by kind, with a registry, metrics-server and storage.

Used by the end-to-end tests, the demo and the benchmarks, and by people through
`python -m e2e.cluster`.
"""

from e2e.cluster.audit import AuditMark
from e2e.cluster.cluster import Cluster, ClusterMissing
from e2e.cluster.commands import CommandFailed, CommandTimeout, Outcome
from e2e.cluster.engine import REGISTRY
from e2e.cluster.images import Images, image, images
from e2e.cluster.lifecycle import down, up
from e2e.cluster.preflight import PreflightRefused

__all__ = [
    "REGISTRY",
    "AuditMark",
    "Cluster",
    "ClusterMissing",
    "CommandFailed",
    "CommandTimeout",
    "Images",
    "Outcome",
    "PreflightRefused",
    "down",
    "image",
    "images",
    "up",
]
