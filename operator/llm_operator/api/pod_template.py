"""What a resource may add to its pods: a curated, typed subset of a pod template.

What the operator owns is not in it. ``hostPath`` stands here only to be refused by rule: were it
left out, a lenient client's volume would lose it and silently become an empty directory.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from llm_operator import kinds
from llm_operator.api import scheduling
from llm_operator.api.affinity import Affinity
from llm_operator.api.schema import (
    ATOMIC,
    Annotations,
    ApiModel,
    DnsLabel,
    Flag,
    Labels,
    LabelValue,
    ObjectName,
    Quantity,
    Rule,
    SecretKey,
    exactly_one,
    keys_are_qualified,
    list_map,
)

_OWNED_PREFIXES: Final = ("app.kubernetes.io/", f"{kinds.GROUP}/", "pod-template-hash")
_FileMode = Annotated[int, Field(strict=True, ge=0, le=0o777)]
_RelativePath = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^/:]")]


class KeyPath(ApiModel):
    """One key of a ConfigMap or Secret as a file."""

    key: SecretKey
    """The key."""
    path: _RelativePath
    """Path of the file, relative to the mount."""
    mode: _FileMode | None = None
    """Permissions of the file, as a decimal number. Absent: defaultMode."""


_Items = Annotated[tuple[KeyPath, ...], Field(max_length=64), ATOMIC]


class ConfigMapVolume(ApiModel):
    """The keys of a ConfigMap as files."""

    name: ObjectName
    """Name of the ConfigMap."""
    items: _Items = ()
    """The keys to take. Empty: all, each as a file of its name."""
    default_mode: _FileMode | None = None
    """Permissions of the files, as a decimal number. Absent: 420 (octal 0644)."""
    optional: Flag | None = None
    """Whether pods start without the ConfigMap. Absent: false."""


class SecretVolume(ApiModel):
    """The keys of a Secret as files."""

    secret_name: ObjectName
    """Name of the Secret."""
    items: _Items = ()
    """The keys to take. Empty: all, each as a file of its name."""
    default_mode: _FileMode | None = None
    """Permissions of the files, as a decimal number. Absent: 420 (octal 0644)."""
    optional: Flag | None = None
    """Whether pods start without the Secret. Absent: false."""


class Medium(StrEnum):
    """Where an empty directory lies."""

    DISK = ""
    MEMORY = "Memory"


class EmptyDir(ApiModel):
    """A directory that lives and dies with the pod."""

    empty_is_meant: ClassVar[bool] = True

    medium: Medium | None = None
    """Memory takes it from the container's memory. Absent: the node's disk."""
    size_limit: Quantity | None = None
    """The most that it may hold; the pod is evicted beyond. Absent: no limit."""


class ClaimVolume(ApiModel):
    """A PersistentVolumeClaim of the resource's namespace."""

    claim_name: ObjectName
    """Name of the claim."""
    read_only: Flag | None = None
    """Whether it is mounted read-only. Absent: false."""


class LocalReference(ApiModel):
    """An object of the resource's namespace."""

    name: ObjectName
    """Name of the object."""


class CsiVolume(ApiModel):
    """An ephemeral volume of a CSI driver."""

    driver: ObjectName
    """Name of the driver."""
    read_only: Flag | None = None
    """Whether it is mounted read-only. Absent: false."""
    fs_type: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """File system, e.g. ext4. Absent: the driver's choice."""
    volume_attributes: Annotated[
        Mapping[str, Annotated[str, Field(max_length=4096)]],
        Field(max_length=32),
    ] = Field(default_factory=dict)
    """Settings for the driver."""
    node_publish_secret_ref: LocalReference | None = None
    """Secret that the driver is given."""


class HostPath(ApiModel):
    """A directory of the node; always refused."""

    path: Annotated[str, Field(max_length=4096)] | None = None
    """Refused."""
    type: Annotated[str, Field(max_length=64)] | None = None
    """Refused."""


_SOURCES: Final = ("configMap", "secret", "emptyDir", "persistentVolumeClaim", "csi")


class Volume(ApiModel):
    """A volume of the pods."""

    rules = (
        Rule(
            "hostPath",
            f"not allowed; use one of {', '.join(_SOURCES)}",
            "!has(self.hostPath)",
            lambda self: self.host_path is None,
        ),
        exactly_one(*_SOURCES),
    )

    name: DnsLabel
    """Name of the volume, for volumeMounts; none that the operator renders."""
    config_map: ConfigMapVolume | None = None
    """A ConfigMap as files."""
    secret: SecretVolume | None = None
    """A Secret as files."""
    empty_dir: EmptyDir | None = None
    """A directory that lives and dies with the pod."""
    persistent_volume_claim: ClaimVolume | None = None
    """A PersistentVolumeClaim."""
    csi: CsiVolume | None = None
    """An ephemeral volume of a CSI driver."""
    host_path: HostPath | None = None
    """Not allowed: pods run under PodSecurity restricted. Use another kind of volume."""


class VolumeMount(ApiModel):
    """Where the server's container sees a volume."""

    name: DnsLabel
    """Name of an entry of volumes."""
    mount_path: Annotated[str, Field(min_length=2, max_length=512, pattern=r"^/[^:]*$")]
    """Absolute path in the container; none that the operator renders."""
    sub_path: _RelativePath | None = None
    """Path inside the volume. Absent: its root."""
    read_only: Flag | None = None
    """Whether the container cannot write to it. Absent: false."""


def _without_owned_keys(field: str) -> Rule:
    tests = " && ".join(f"!key.startsWith('{prefix}')" for prefix in _OWNED_PREFIXES)
    return Rule(
        field,
        f"keys must not begin with {', '.join(_OWNED_PREFIXES)}: these are the operator's",
        f"!has(self.{field}) || self.{field}.all(key, {tests})",
        lambda self: not any(key.startswith(_OWNED_PREFIXES) for key in getattr(self, field)),
    )


class PodMetadata(ApiModel):
    """Labels and annotations of the pods."""

    rules = (
        keys_are_qualified("labels"),
        _without_owned_keys("labels"),
        keys_are_qualified("annotations"),
        _without_owned_keys("annotations"),
    )

    labels: Labels = Field(default_factory=dict)
    """Labels that are added to the pods; none of the operator's."""
    annotations: Annotations = Field(default_factory=dict)
    """Annotations that are added to the pods; none of the operator's."""


class PodSettings(ApiModel):
    """Scheduling, identity and volumes of the pods."""

    rules = (
        keys_are_qualified("nodeSelector"),
        Rule(
            "volumeMounts",
            "each name must be the name of an entry of volumes",
            "!has(self.volumeMounts) || self.volumeMounts.all(mount, has(self.volumes)"
            " && self.volumes.exists(volume, volume.name == mount.name))",
            lambda self: (
                {mount.name for mount in self.volume_mounts}
                <= {volume.name for volume in self.volumes}
            ),
        ),
    )

    node_selector: Annotated[Mapping[str, LabelValue], Field(max_length=32)] = Field(
        default_factory=dict
    )
    """Labels that a node must have."""
    tolerations: scheduling.Tolerations = ()
    """Taints that the pods accept, beside those that the operator renders."""
    affinity: Affinity | None = None
    """What pods want to be on, near to, or far from; replaces the operator's own."""
    topology_spread_constraints: scheduling.TopologySpreads = ()
    """How pods are spread; replaces the operator's own, which spreads a revision over nodes."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the pods. Absent: the cluster's default."""
    runtime_class_name: ObjectName | None = None
    """RuntimeClass of the pods, e.g. nvidia. Absent: the node's default."""
    scheduler_name: ObjectName | None = None
    """Scheduler of the pods. Absent: default-scheduler."""
    image_pull_secrets: Annotated[
        tuple[LocalReference, ...], Field(max_length=16), list_map("name")
    ] = ()
    """Secrets with credentials for the image's registry."""
    service_account_name: ObjectName | None = None
    """ServiceAccount of the pods; its token is not mounted. Absent: one of the resource's own."""
    volumes: Annotated[tuple[Volume, ...], Field(max_length=32), list_map("name")] = ()
    """Volumes that are added to the pods."""
    volume_mounts: Annotated[
        tuple[VolumeMount, ...], Field(max_length=32), list_map("mountPath")
    ] = ()
    """Where the server's container sees those volumes."""


class PodTemplate(ApiModel):
    """Additions to the pods of the resource."""

    metadata: PodMetadata | None = None
    """Labels and annotations."""
    spec: PodSettings | None = None
    """Scheduling, identity and volumes."""
