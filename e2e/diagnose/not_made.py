"""Faults of pods that have a node, and whose containers are not made or are no server."""

from e2e.diagnose import cluster_objects, tiny_images
from e2e.diagnose.fault import Batch, Fault, Pieces
from e2e.diagnose.registry import ADDRESS as FAULTY_REGISTRY
from e2e.manifests import Manifest, secret
from llm_operator.api.reasons import Reason


def _fault(
    name: str, expected: Reason, word: str, pieces: Pieces, *beside: Manifest, sample: bool = False
) -> Fault:
    resource = pieces.resource(name)
    return Fault(name, Batch.NOT_MADE, expected, word, resource, beside, in_sample=sample)


def _image(reference: str, policy: str = "Always") -> Pieces:
    return Pieces(server={"image": reference, "imagePullPolicy": policy})


def _answering(status: int) -> Pieces:
    return _image(f"{FAULTY_REGISTRY}/status-{status}/llm-server:1")


def _variable(name: str, **source: Manifest) -> Pieces:
    return Pieces(server={"env": [{"name": name, "valueFrom": source}]})


def _volume(**source: Manifest) -> Pieces:
    volumes = [{"name": "extra", **source}]
    mounts = [{"name": "extra", "mountPath": "/extra"}]
    return Pieces(pod={"volumes": volumes, "volumeMounts": mounts})


FAULTS = (
    _fault(
        "image-missing",
        Reason.IMAGE_NOT_FOUND,
        "no-such-server",
        _image("localhost:5000/no-such-server:1"),
        sample=True,
    ),
    _fault(
        "image-never",
        Reason.IMAGE_NOT_FOUND,
        "Never",
        _image("localhost:5000/never-pulled:1", "Never"),
    ),
    _fault(
        "image-name",
        Reason.IMAGE_NAME_INVALID,
        "Upper",
        _image("registry.example/Upper/Case:1"),
    ),
    _fault("image-401", Reason.IMAGE_UNAUTHORIZED, "status-401", _answering(401)),
    _fault("image-403", Reason.IMAGE_UNAUTHORIZED, "status-403", _answering(403)),
    _fault("image-429", Reason.REGISTRY_UNAVAILABLE, "429", _answering(429)),
    _fault("image-503", Reason.REGISTRY_UNAVAILABLE, "503", _answering(503)),
    _fault(
        "image-refused",
        Reason.REGISTRY_UNAVAILABLE,
        "connection refused",
        _image("localhost:5999/llm-server:1"),
    ),
    _fault(
        "image-certificate",
        Reason.REGISTRY_UNAVAILABLE,
        "x509",
        _image(f"{cluster_objects.API_SERVER_ADDRESS}/llm-server:1"),
    ),
    _fault(
        "image-platform",
        Reason.IMAGE_PLATFORM_MISMATCH,
        "platform",
        _image(tiny_images.OTHER_PLATFORM),
    ),
    _fault(
        "exec-format",
        Reason.IMAGE_PLATFORM_MISMATCH,
        "exec format error",
        _image(tiny_images.GARBAGE),
    ),
    _fault(
        "no-entrypoint",
        Reason.CONTAINER_START_FAILED,
        "no such file",
        _image(tiny_images.NO_PROGRAM),
        sample=True,
    ),
    _fault("segfault", Reason.NATIVE_CRASH, "SIGSEGV", _image(tiny_images.SEGFAULT)),
    _fault("illegal", Reason.NATIVE_CRASH, "SIGILL", _image(tiny_images.ILLEGAL)),
    _fault(
        "exits",
        Reason.CRASH_LOOPING,
        tiny_images.LAST_WORDS,
        _image(tiny_images.EXITS),
    ),
    _fault("no-server", Reason.STARTUP_PROBE_FAILED, "nothing listens", _image(tiny_images.IDLE)),
    _fault(
        "runtime-handler",
        Reason.RUNTIME_CLASS_MISSING,
        cluster_objects.HANDLER,
        Pieces(pod={"runtimeClassName": cluster_objects.RUNTIME_CLASS}),
    ),
    _fault(
        "secret-volume",
        Reason.SECRET_MISSING,
        "no-keys",
        Pieces(server={"apiKeysSecretRef": {"name": "no-keys"}}),
        sample=True,
    ),
    _fault(
        "secret-variable",
        Reason.SECRET_MISSING,
        "no-token",
        Pieces(model={"credentialsSecretRef": {"name": "no-token", "key": "token"}}),
    ),
    _fault(
        "secret-key",
        Reason.SECRET_MISSING,
        "wrong-key",
        _variable("TOKEN", secretKeyRef={"name": "there", "key": "wrong-key"}),
        secret("there", key="value"),
    ),
    _fault(
        "config-map-volume",
        Reason.CONFIG_MAP_MISSING,
        "no-settings",
        _volume(configMap={"name": "no-settings"}),
    ),
    _fault(
        "config-map-variable",
        Reason.CONFIG_MAP_MISSING,
        "no-settings",
        _variable("SETTING", configMapKeyRef={"name": "no-settings", "key": "a"}),
    ),
    _fault(
        "volume-driver",
        Reason.VOLUME_MOUNT_FAILED,
        "no-such-driver",
        _volume(csi={"driver": "no-such-driver.example.com"}),
    ),
)
