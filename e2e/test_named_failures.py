"""A resource that cannot serve says why, within 30 seconds of the apply."""

import time
from collections.abc import Callable, Iterator

import pytest

from e2e.hub_pod import Hub
from e2e.manifests import Manifest, llm_deployment, secret, service
from e2e.story import Condition, Namespace
from llm_operator import kinds
from llm_operator.api.reasons import ConditionType, Reason
from llm_server.contract import BUILTIN_SIMULATED

pytestmark = pytest.mark.cluster

NAMED_WITHIN_SECONDS = 30
Record = Callable[[str, object], None]


def assert_names(
    namespace: Namespace, manifest: Manifest, condition: ConditionType, reason: Reason, word: str
) -> Condition:
    """Apply, and fail unless the condition gives the reason and the message the word in time."""
    name = manifest["metadata"]["name"]
    namespace.apply(manifest)

    def named() -> Condition | None:
        found = namespace.condition(name, condition)
        return found if found.reason == reason and word in found.message else None

    rule = f"{condition} of {name} says {reason} and '{word}'"
    found = namespace.until(rule, named, within_seconds=NAMED_WITHIN_SECONDS)
    expected = "True" if condition in (ConditionType.CONFLICT, ConditionType.STALLED) else "False"
    assert found.status == expected, found
    return found


@pytest.fixture(autouse=True)
def seconds_to_the_cause(module_namespace: Namespace, record_property: Record) -> Iterator[None]:
    """Report how long it took until the cause was named, and end what crashes again and again."""
    started = time.monotonic()
    yield
    record_property("seconds", round(time.monotonic() - started, 1))
    module_namespace.kubectl("delete", "llmdeployments", "--all", "--wait=false")


def test_an_image_that_does_not_exist_is_named(module_namespace: Namespace) -> None:
    """A pod whose image cannot be pulled makes Ready False with the image in its message."""
    image = "localhost:5000/no-such-server:1"
    wrong = llm_deployment("wrong-image", server={"image": image})

    assert_names(
        module_namespace, wrong, ConditionType.READY, Reason.IMAGE_NOT_FOUND, "no-such-server"
    )


def test_a_model_path_that_does_not_exist_is_named(module_namespace: Namespace) -> None:
    """A server that finds no model at the path says so through the termination log."""
    wrong = llm_deployment("wrong-path", source="file:///opt/no-such-model")

    assert_names(
        module_namespace, wrong, ConditionType.READY, Reason.MODEL_NOT_FOUND, "/opt/no-such-model"
    )


def test_an_unknown_builtin_model_is_named(module_namespace: Namespace) -> None:
    """ModelNotFound, with the field and the models that there are."""
    wrong = llm_deployment("no-builtin", source="builtin://nope")

    found = assert_names(
        module_namespace, wrong, ConditionType.READY, Reason.MODEL_NOT_FOUND, BUILTIN_SIMULATED
    )
    assert "spec.model.source" in found.message


def test_a_hub_that_wants_a_token_is_named(module_namespace: Namespace, hub: Hub) -> None:
    """401 from the hub is ModelUnauthorized, whatever token the Secret holds."""
    module_namespace.apply(secret("hub-token", token="hf_wrong"))  # noqa: S106  # a wrong one
    wrong = llm_deployment("hub-401", source=f"hf://{hub.private_repository}", server=hub.server())
    wrong["spec"]["model"]["credentialsSecretRef"] = {"name": "hub-token", "key": "token"}

    assert_names(
        module_namespace,
        wrong,
        ConditionType.READY,
        Reason.MODEL_UNAUTHORIZED,
        hub.private_repository,
    )


def test_a_hub_without_the_model_is_named(module_namespace: Namespace, hub: Hub) -> None:
    """404 from the hub is ModelNotFound with the repository in the message."""
    wrong = llm_deployment("hub-404", source="hf://nobody/nothing", server=hub.server())

    assert_names(
        module_namespace, wrong, ConditionType.READY, Reason.MODEL_NOT_FOUND, "nobody/nothing"
    )


def test_a_hub_that_fails_is_named(module_namespace: Namespace, hub: Hub) -> None:
    """503 from the hub is ModelSourceUnavailable."""
    source = f"hf://{hub.failing_repository}"
    wrong = llm_deployment("hub-503", source=source, server=hub.server())

    assert_names(
        module_namespace,
        wrong,
        ConditionType.READY,
        Reason.MODEL_SOURCE_UNAVAILABLE,
        hub.failing_repository,
    )


def test_memory_that_no_node_has_is_named(module_namespace: Namespace) -> None:
    """A request that fits on no node is InsufficientMemory, not just a pending pod."""
    wrong = llm_deployment("too-large", resources={"requests": {"memory": "9000Gi"}})

    assert_names(module_namespace, wrong, ConditionType.READY, Reason.INSUFFICIENT_MEMORY, "memory")


def test_a_server_that_the_kernel_killed_for_memory_is_named(module_namespace: Namespace) -> None:
    """A model that does not fit into limits.memory is OutOfMemory, with what to raise."""
    tight = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "160Mi"}}
    wrong = llm_deployment("too-tight", source="builtin://smollm2-135m-instruct", resources=tight)

    assert_names(
        module_namespace, wrong, ConditionType.READY, Reason.OUT_OF_MEMORY, "limits.memory"
    )


def test_an_accelerator_that_no_node_has_is_named(module_namespace: Namespace) -> None:
    """A GPU asked for on a cluster without one is InsufficientAccelerator with its name."""
    gpu = {"resourceName": "nvidia.com/gpu", "count": 1}
    wrong = llm_deployment("no-gpu", accelerator=gpu)

    assert_names(
        module_namespace,
        wrong,
        ConditionType.READY,
        Reason.INSUFFICIENT_ACCELERATOR,
        "nvidia.com/gpu",
    )


def test_a_foreign_service_is_left_alone_and_named(module_namespace: Namespace) -> None:
    """A Service of the same name that somebody else made stays as it is; Conflict names it."""
    module_namespace.apply(service("taken"))
    before = module_namespace.get(kinds.SERVICE, "taken")

    assert_names(
        module_namespace,
        llm_deployment("taken"),
        ConditionType.CONFLICT,
        Reason.FOREIGN_OBJECT,
        "Service",
    )

    after = module_namespace.get(kinds.SERVICE, "taken")
    assert before is not None
    assert after is not None
    assert after["spec"] == before["spec"]
    assert "ownerReferences" not in after["metadata"]


def test_a_flag_that_the_operator_renders_is_refused(module_namespace: Namespace) -> None:
    """server.args with an owned flag is refused in status, naming the field to use instead."""
    wrong = llm_deployment("owned-flag", server={"args": ["--max-batch-size=4"]})

    found = assert_names(
        module_namespace, wrong, ConditionType.STALLED, Reason.OWNED_FLAG, "--max-batch-size"
    )

    assert "batching.maxBatchSize" in found.message
    assert not module_namespace.children(kinds.DEPLOYMENT, "owned-flag")
