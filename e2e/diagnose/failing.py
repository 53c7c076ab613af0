"""Faults that the server itself meets or makes while it starts."""

from e2e.diagnose.fault import Batch, Fault, Pieces
from e2e.hub_pod import NAME as HUB_NAME
from e2e.hub_pod import NAMESPACE as HUB_NAMESPACE
from e2e.hub_pod import Hub
from e2e.manifests import secret
from llm_operator.api.reasons import Reason

_HUB = Hub(f"http://{HUB_NAME}.{HUB_NAMESPACE}.svc")
_NO_HUB = Hub("http://no-such-hub.invalid")
_TIGHT = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "160Mi"}}


def _server(
    name: str, expected: Reason, word: str, pieces: Pieces, *, sample: bool = False
) -> Fault:
    return Fault(name, Batch.SERVER, expected, word, pieces.resource(name), in_sample=sample)


def _from_hub(name: str, expected: Reason, repository: str, hub: Hub = _HUB) -> Fault:
    pieces = Pieces(source=f"hf://{repository}", server=hub.server())
    return Fault(name, Batch.HUB, expected, repository, pieces.resource(name))


FAULTS = (
    _server(
        "model-path",
        Reason.MODEL_NOT_FOUND,
        "/opt/no-such-model",
        Pieces(source="file:///opt/no-such-model"),
        sample=True,
    ),
    _server(
        "setting",
        Reason.INVALID_SERVER_SETTINGS,
        "no-such-flag",
        Pieces(server={"args": ["--no-such-flag=1"]}),
    ),
    _server(
        "load-fails",
        Reason.CRASH_LOOPING,
        "code 3",
        Pieces(server={"args": ["--simulated-load-exit-code=3"]}),
    ),
    Fault(
        "load-memory",
        Batch.SERVER,
        Reason.OUT_OF_MEMORY,
        "limits.memory",
        Pieces(source="builtin://smollm2-135m-instruct", more={"resources": _TIGHT}).resource(
            "load-memory"
        ),
    ),
    _from_hub("hub-404", Reason.MODEL_NOT_FOUND, "nobody/nothing"),
    _from_hub("hub-503", Reason.MODEL_SOURCE_UNAVAILABLE, _HUB.failing_repository),
    _from_hub("hub-name", Reason.MODEL_SOURCE_UNAVAILABLE, "nobody/nothing", _NO_HUB),
    Fault(
        "hub-401",
        Batch.HUB,
        Reason.MODEL_UNAUTHORIZED,
        _HUB.private_repository,
        Pieces(
            source=f"hf://{_HUB.private_repository}",
            server=_HUB.server(),
            model={"credentialsSecretRef": {"name": "hub-token", "key": "token"}},
        ).resource("hub-401"),
        beside=(secret("hub-token", token="hf_wrong"),),  # noqa: S106  # a wrong one
    ),
)
