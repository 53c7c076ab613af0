"""Faults that break a server which was ready, or the node of a pod."""

from e2e.diagnose import fake_nodes
from e2e.diagnose.fault import Batch, Fault, Pieces
from e2e.installation import SERVER_PYTHON
from e2e.manifests import claim
from e2e.operator_pods import freeze_pod, kill_pod
from e2e.story import Namespace
from llm_operator import kinds
from llm_operator.api.reasons import Reason
from llm_server import contract

FINALIZER = "e2e.llm-operator.io/held"
_MIB = 1 << 20
_KILLS_WITHIN_SECONDS = 30
_RESTART_WITHIN_SECONDS = 120
_EVICTED_WITHIN_SECONDS = 180


def _pod(namespace: Namespace, name: str) -> str:
    return str(namespace.live_pods(name)[0]["metadata"]["name"])


def _restarts(namespace: Namespace, pod: str) -> int:
    found = namespace.get(kinds.POD, pod) or {}
    (status,) = found["status"]["containerStatuses"]
    return int(status["restartCount"])


def freeze(namespace: Namespace, name: str) -> None:
    """Stop the server's process: its port is open and nothing answers."""
    freeze_pod(namespace.cluster, _pod(namespace, name))


def freeze_until_restarted(namespace: Namespace, name: str) -> None:
    """Stop the server's process and wait until the kubelet has put another in its place."""
    pod = _pod(namespace, name)
    freeze_pod(namespace.cluster, pod)
    namespace.until(
        f"{pod} is restarted",
        lambda: _restarts(namespace, pod) > 0,
        within_seconds=_RESTART_WITHIN_SECONDS,
    )


def kill(namespace: Namespace, name: str) -> None:
    """Kill the server from the node, and its next run too: the kubelet backs off then."""
    pod = _pod(namespace, name)
    kill_pod(namespace.cluster, pod)
    namespace.until(
        f"{pod} is restarted",
        lambda: _restarts(namespace, pod) > 0,
        within_seconds=_KILLS_WITHIN_SECONDS,
    )
    kill_pod(namespace.cluster, pod)


def _fill(namespace: Namespace, name: str, path: str, mebibytes: int) -> None:
    """Fill a folder and wait until the kubelet, which looks now and then, has seen it."""
    code, pod = f"open({path!r}, 'wb').write(bytes({mebibytes * _MIB}))", _pod(namespace, name)
    namespace.kubectl("exec", pod, "--", SERVER_PYTHON, "-c", code)
    namespace.until(
        f"{pod} is evicted",
        lambda: (namespace.get(kinds.POD, pod) or {})["status"]["phase"] == "Failed",
        within_seconds=_EVICTED_WITHIN_SECONDS,
    )


def fill_cache(namespace: Namespace, name: str) -> None:
    """Write more into the cache than it may hold."""
    _fill(namespace, name, f"{contract.MODEL_CACHE_PATH}/filler", 16)


def fill_disk(namespace: Namespace, name: str) -> None:
    """Write more onto the node's disk than the pod may."""
    _fill(namespace, name, f"{contract.TEMP_PATH}/filler", 128)


def hold(namespace: Namespace, name: str) -> None:
    """Delete a pod that somebody holds by a finalizer."""
    pod = _pod(namespace, name)
    namespace.patch(kinds.POD, pod, {"metadata": {"finalizers": [FINALIZER]}})
    namespace.kubectl("delete", "pod", pod, "--grace-period=1", "--wait=false")


def take_node(namespace: Namespace, name: str) -> None:
    """Let the node of a pod report that it is not ready, as its last word."""
    del name
    fake_nodes.break_node(namespace.cluster, "mortal")


def _fault(name: str, expected: Reason, word: str, pieces: Pieces, **more: object) -> Fault:
    fields = {"batch": Batch.LIVING, "resource": pieces.resource(name), **more}
    return Fault(name=name, expected=expected, word=word, **fields)  # type: ignore[arg-type]


_ON_MORTAL = {
    "nodeSelector": {fake_nodes.POOL_LABEL: "mortal"},
    "tolerations": [fake_nodes.TOLERATION],
}
_SMALL_CACHE = {"cache": {"emptyDir": {"sizeLimit": "2Mi"}}}
_SMALL_DISK = {
    "requests": {"cpu": "20m", "memory": "96Mi"},
    "limits": {"memory": "512Mi", "ephemeral-storage": "64Mi"},
}
_ALONE = claim("alone")
_ALONE["spec"]["accessModes"] = ["ReadWriteOncePod"]

FAULTS = (
    _fault("frozen", Reason.READINESS_PROBE_FAILED, "no answer", Pieces(), inject=freeze),
    _fault("killed", Reason.KILLED, "SIGKILL", Pieces(), inject=kill),
    _fault(
        "node-dies",
        Reason.NODE_UNAVAILABLE,
        "not ready",
        Pieces(pod=_ON_MORTAL),
        inject=take_node,
    ),
    _fault("held", Reason.STUCK_TERMINATING, FINALIZER, Pieces(), inject=hold),
    _fault(
        "one-user",
        Reason.ACCESS_MODE_REFUSED,
        "ReadWriteOncePod",
        Pieces(
            model={"cache": {"persistentVolumeClaim": {"claimName": "alone"}}},
            more={"replicas": 2},
        ),
        beside=(_ALONE,),
    ),
    _fault(
        "cache-full",
        Reason.DISK_FULL,
        "llm-cache",
        Pieces(model=_SMALL_CACHE),
        batch=Batch.SLOW,
        inject=fill_cache,
    ),
    _fault(
        "disk-full",
        Reason.EVICTED,
        "ephemeral",
        Pieces(more={"resources": _SMALL_DISK}),
        batch=Batch.SLOW,
        inject=fill_disk,
    ),
    _fault(
        "hangs",
        Reason.LIVENESS_PROBE_FAILED,
        "liveness",
        Pieces(),
        batch=Batch.SLOW,
        inject=freeze_until_restarted,
        before=frozenset({Reason.READINESS_PROBE_FAILED}),
    ),
)
