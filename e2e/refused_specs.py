"""Specs that must be refused: what is wrong, the field that the refusal names, what it allows.

One table for three readers: the API server (``test_refused_specs``), and the operator's own mirror
of the schema and of the CEL rules (``tests/contract``).
"""

from typing import Final

from e2e.refused import MODEL, Json, RefusedSpec, UnknownField, spec_with
from e2e.refused_rollouts import ROLLOUTS, TRAFFIC


def _model(**fields: object) -> Json:
    return {"model": {**MODEL, **fields}}


def _server(**fields: object) -> Json:
    return spec_with(server=fields)


def _autoscaling(*metrics: str, minimum: int = 1, cpu: str | None = "1") -> Json:
    entries = [{"type": metric, "targetUtilizationPercent": 70} for metric in metrics]
    resources = {"resources": {"requests": {"cpu": cpu}}} if cpu else {}
    scaling = {"minReplicas": minimum, "maxReplicas": 4, "metrics": entries}
    return spec_with(autoscaling=scaling, **resources)


def _pod(**fields: object) -> Json:
    return spec_with(podTemplate={"spec": fields})


def _volume(**source: object) -> Json:
    return _pod(volumes=[{"name": "extra", **source}])


_POD_SPEC: Final = "spec.podTemplate.spec"
_SOURCES: Final = "configMap, secret, emptyDir, persistentVolumeClaim, csi"
_FORMS: Final = "hf://org/name[@revision], pvc://claim/path, builtin://name or file:///path"

MODELS: Final = (
    RefusedSpec("no model", {}, "spec.model", "Required value"),
    RefusedSpec("no source", {"model": {}}, "spec.model.source", "Required value"),
    RefusedSpec("unknown scheme", _model(source="s3://bucket/x"), "spec.model.source", _FORMS),
    RefusedSpec("hub model without org", _model(source="hf://gpt2"), "spec.model.source", _FORMS),
    RefusedSpec("host path", _model(source="/models/x"), "spec.model.source", _FORMS),
    RefusedSpec(
        "way up in the source",
        _model(source="pvc://models/../../etc"),
        "spec.model.source",
        "no part '..'",
    ),
    RefusedSpec(
        "source too long",
        _model(source="file:///" + "x" * 1100),
        "spec.model.source",
        "more than 1024",
    ),
    RefusedSpec("unknown dtype", _model(dtype="Float8"), "spec.model.dtype", '"BFloat16"'),
    RefusedSpec(
        "served name too long",
        _model(servedName="x" * 254),
        "spec.model.servedName",
        "more than 253",
    ),
    RefusedSpec(
        "served name with a space",
        _model(servedName="my model"),
        "spec.model.servedName",
        "made of letters, digits and . _ : / -",
    ),
    RefusedSpec(
        "context too short", _model(maxModelLen=15), "spec.model.maxModelLen", "or equal to 16"
    ),
    RefusedSpec(
        "context too long",
        _model(maxModelLen=10_000_001),
        "spec.model.maxModelLen",
        "less than or equal to 1",  # which Go may spell 1e+07
    ),
    RefusedSpec(
        "secret without key",
        _model(credentialsSecretRef={"name": "token"}),
        "spec.model.credentialsSecretRef.key",
        "Required value",
    ),
    RefusedSpec(
        "two caches",
        _model(cache={"emptyDir": {}, "persistentVolumeClaim": {"claimName": "models"}}),
        "spec.model.cache",
        "exactly one of persistentVolumeClaim, emptyDir",
    ),
)

SERVERS: Final = (
    RefusedSpec("image with a space", _server(image="a b"), "spec.server.image", "such as"),
    RefusedSpec(
        "negative drain", _server(drainSeconds=-5), "spec.server.drainSeconds", "or equal to 0"
    ),
    RefusedSpec(
        "fraction of a second",
        _server(requestTimeoutSeconds=1.5),
        "spec.server.requestTimeoutSeconds",
        "integer",
    ),
    RefusedSpec("too many args", _server(args=["-x"] * 65), "spec.server.args", "at most 64"),
    RefusedSpec(
        "number among args", _server(args=["--x", 3]), "spec.server.args[1]", "of type string"
    ),
    RefusedSpec(
        "variable that begins with a digit",
        _server(env=[{"name": "1X", "value": ""}]),
        "spec.server.env[0].name",
        "made of letters, digits and _",
    ),
    RefusedSpec(
        "variable without value",
        _server(env=[{"name": "X"}]),
        "spec.server.env[0]",
        "exactly one of value, valueFrom",
    ),
    RefusedSpec(
        "variable from nowhere",
        _server(env=[{"name": "X", "valueFrom": {}}]),
        "spec.server.env[0].valueFrom",
        "exactly one of secretKeyRef, configMapKeyRef",
    ),
    RefusedSpec(
        "repeated variable",
        _server(env=[{"name": "X", "value": "1"}, {"name": "X", "value": "2"}]),
        "spec.server.env",
        "Duplicate value",
    ),
)

SIZES: Final = (
    RefusedSpec("negative replicas", spec_with(replicas=-1), "spec.replicas", "or equal to 0"),
    RefusedSpec(
        "too many replicas", spec_with(replicas=10001), "spec.replicas", "or equal to 10000"
    ),
    RefusedSpec("replicas as text", spec_with(replicas="two"), "spec.replicas", "integer"),
    RefusedSpec(
        "two accelerators",
        spec_with(accelerator={"resourceName": "nvidia.com/gpu", "count": 2}),
        "spec.accelerator.count",
        "or equal to 1",
    ),
    RefusedSpec(
        "accelerator without domain",
        spec_with(accelerator={"resourceName": "gpu"}),
        "spec.accelerator.resourceName",
        "such as nvidia.com/gpu",
    ),
    RefusedSpec(
        "device among resources",
        spec_with(resources={"limits": {"nvidia.com/gpu": 1}}),
        "spec.resources.limits",
        "cpu, memory, ephemeral-storage",
    ),
    RefusedSpec(
        "request above limit",
        spec_with(resources={"requests": {"memory": "2Gi"}, "limits": {"memory": "1500M"}}),
        "spec.resources.requests",
        "less than or equal to limits",
    ),
    RefusedSpec(
        "negative memory",
        spec_with(resources={"requests": {"memory": "-1Gi"}}),
        "spec.resources.requests.memory",
        "should match",
    ),
    RefusedSpec(
        "min above max",
        _autoscaling("CPU", minimum=5),
        "spec.autoscaling.minReplicas",
        "less than or equal to maxReplicas",
    ),
    RefusedSpec(
        "autoscaler down to 0",
        _autoscaling("CPU", minimum=0),
        "spec.autoscaling.minReplicas",
        "or equal to 1",
    ),
    RefusedSpec(
        "autoscaler without metrics", _autoscaling(), "spec.autoscaling.metrics", "at least 1"
    ),
    RefusedSpec(
        "repeated metric",
        _autoscaling("CPU", "CPU"),
        "spec.autoscaling.metrics",
        "Duplicate value",
    ),
    RefusedSpec(
        "CPU metric without request",
        _autoscaling("CPU", cpu=None),
        "spec.autoscaling",
        "request or limit of cpu",
    ),
    RefusedSpec(
        "memory metric without request",
        _autoscaling("Memory"),
        "spec.autoscaling",
        "request or limit of memory",
    ),
)

PODS: Final = (
    RefusedSpec(
        "hostPath", _volume(hostPath={"path": "/"}), f"{_POD_SPEC}.volumes[0].hostPath", _SOURCES
    ),
    RefusedSpec("volume of nothing", _volume(), f"{_POD_SPEC}.volumes[0]", _SOURCES),
    RefusedSpec(
        "volume of two kinds",
        _volume(emptyDir={}, configMap={"name": "a"}),
        f"{_POD_SPEC}.volumes[0]",
        _SOURCES,
    ),
    RefusedSpec(
        "mount of no volume",
        _pod(volumeMounts=[{"name": "absent", "mountPath": "/data"}]),
        f"{_POD_SPEC}.volumeMounts",
        "name of an entry of volumes",
    ),
    RefusedSpec(
        "relative mount",
        _pod(
            volumes=[{"name": "extra", "emptyDir": {}}],
            volumeMounts=[{"name": "extra", "mountPath": "data"}],
        ),
        f"{_POD_SPEC}.volumeMounts[0].mountPath",
        "should match",
    ),
    RefusedSpec(
        "toleration without key",
        _pod(tolerations=[{"effect": "NoSchedule"}]),
        f"{_POD_SPEC}.tolerations[0].key",
        "operator Exists",
    ),
    RefusedSpec(
        "label of the operator",
        spec_with(podTemplate={"metadata": {"labels": {"app.kubernetes.io/name": "mine"}}}),
        "spec.podTemplate.metadata.labels",
        "must not begin with app.kubernetes.io/",
    ),
    RefusedSpec(
        "label that is none",
        spec_with(podTemplate={"metadata": {"labels": {"team": "a b"}}}),
        "spec.podTemplate.metadata.labels.team",
        "should match",
    ),
    RefusedSpec(
        "label key that is none",
        _pod(nodeSelector={"a zone": "x"}),
        f"{_POD_SPEC}.nodeSelector",
        "letters, digits, - _ and .",
    ),
    RefusedSpec(
        "affinity without values",
        _pod(
            affinity={
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "zone", "operator": "In"}]}
                        ]
                    }
                }
            }
        ),
        f"{_POD_SPEC}.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
        ".nodeSelectorTerms[0].matchExpressions[0].values",
        "at least one with In",
    ),
)

SURROUNDINGS: Final = (
    RefusedSpec(
        "unknown kind of Service",
        spec_with(service={"type": "ExternalName"}),
        "spec.service.type",
        '"NodePort"',
    ),
    RefusedSpec("port 0", spec_with(service={"port": 0}), "spec.service.port", "or equal to 1"),
    RefusedSpec(
        "port 70000", spec_with(service={"port": 70000}), "spec.service.port", "or equal to 65535"
    ),
    RefusedSpec(
        "unknown strategy",
        spec_with(rollout={"strategy": "RollingUpdate"}),
        "spec.rollout.strategy",
        '"Canary", "BlueGreen", "Rolling", "Recreate"',
    ),
    RefusedSpec(
        "no time at all",
        spec_with(rollout={"progressDeadlineSeconds": 0}),
        "spec.rollout.progressDeadlineSeconds",
        "or equal to 1",
    ),
    RefusedSpec(
        "more than a day",
        spec_with(rollout={"progressDeadlineSeconds": 86401}),
        "spec.rollout.progressDeadlineSeconds",
        "or equal to 86400",
    ),
)

NAMES: Final = (
    RefusedSpec("dot in the name", spec_with(), "metadata.name", "DNS label", name="llama-3.1"),
    RefusedSpec("name of 38", spec_with(), "metadata.name", "at most 37", name="a" * 38),
    RefusedSpec("digit first", spec_with(), "metadata.name", "starts with a letter", name="3chat"),
    RefusedSpec(
        "name of a canary's Service",
        spec_with(),
        "metadata.name",
        "must not end in -canary",
        name="chat-canary",
    ),
)

REFUSED: Final = (
    *MODELS,
    *SERVERS,
    *SIZES,
    *PODS,
    *SURROUNDINGS,
    *ROLLOUTS,
    *TRAFFIC,
    *NAMES,
)

UNKNOWN_FIELDS: Final = (
    UnknownField("misspelt field", "spec.replica", spec_with(replica=3)),
    UnknownField("unknown part", "spec.router", spec_with(router={"provider": "Auto"})),
    UnknownField("unknown limit", "spec.rollout.maxSurge", spec_with(rollout={"maxSurge": 1})),
    UnknownField("host network", f"{_POD_SPEC}.hostNetwork", _pod(hostNetwork=True)),
    UnknownField("unknown setting", "spec.server.gpus", _server(gpus=2)),
)
