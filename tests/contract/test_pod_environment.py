"""The pods that the operator renders, held against the server that runs in them."""

import json
from pathlib import Path
from typing import Any

import pytest

from llm_operator.desired.identity import Identity
from llm_operator.desired.objects import render_deployment
from llm_operator.desired.pod import render_pod_template
from llm_operator.desired.revision import Revision, make_revision
from llm_server import contract
from llm_server.settings import ServerSettings
from tests.pod_settings import settings_in_container

IDENTITY = Identity("default", "chat", "uid-1")
GOLDEN = Path(__file__).parent / "golden"

MINIMAL: dict[str, Any] = {"model": {"source": "builtin://tiny"}}
EVERYTHING: dict[str, Any] = {
    "model": {
        "source": "hf://org/name@v1",
        "servedName": "talk",
        "credentialsSecretRef": {"name": "hf-token", "key": "token"},
        "dtype": "BFloat16",
        "maxModelLen": 2048,
        "cache": {"persistentVolumeClaim": {"claimName": "cache"}},
    },
    "server": {
        "image": "registry.example/llm-server:9",
        "imagePullPolicy": "Always",
        "batching": {"maxBatchSize": 7},
        "maxQueuedRequests": 11,
        "requestTimeoutSeconds": 120,
        "drainSeconds": 60,
        "args": ["--stall-seconds=30"],
        "env": [{"name": "HF_ENDPOINT", "value": "http://hub"}],
        "apiKeysSecretRef": {"name": "keys"},
    },
    "accelerator": {"resourceName": "nvidia.com/gpu", "count": 1},
    "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "8Gi"}},
    "podTemplate": {
        "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
        "spec": {
            "nodeSelector": {"gpu": "yes"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "volumes": [{"name": "extra", "emptyDir": {}}],
            "volumeMounts": [{"name": "extra", "mountPath": "/extra"}],
        },
    },
}
CLAIM: dict[str, Any] = {"model": {"source": "pvc://models/llama/8b"}}
SITUATIONS = {"minimal": MINIMAL, "everything": EVERYTHING, "claim": CLAIM}


def a_revision(spec: dict[str, Any]) -> Revision:
    """Return a revision of renderer 1 with a fixed default image."""
    return make_revision(spec, 1, "llm-server:1")


def container_of(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the rendered server container."""
    container: dict[str, Any] = render_pod_template(IDENTITY, a_revision(spec))["spec"][
        "containers"
    ][0]
    return container


def settings_in_pod(spec: dict[str, Any]) -> ServerSettings:
    """Return what the server makes of the arguments and variables of its pod."""
    return settings_in_container(container_of(spec))


def test_the_server_takes_every_setting_that_the_operator_renders() -> None:
    """What a spec says arrives in the server's settings, by way of the pod's environment."""
    parsed = settings_in_pod(EVERYTHING)

    assert parsed.model == "hf://org/name@v1"
    assert parsed.served_name == "talk"
    assert parsed.dtype is contract.Dtype.BFLOAT16
    assert parsed.device is contract.Device.CUDA
    assert parsed.max_model_len == 2048
    assert parsed.cache_dir == Path(contract.MODEL_CACHE_PATH)
    assert parsed.max_batch_size == 7
    assert parsed.max_queued_requests == 11
    assert parsed.request_timeout_seconds == 120
    assert parsed.drain_seconds == 60
    assert parsed.api_keys_dir == Path(contract.API_KEYS_PATH)
    assert parsed.revision == a_revision(EVERYTHING).hash
    assert (parsed.http_port, parsed.probe_port) == (contract.HTTP_PORT, contract.PROBE_PORT)
    assert parsed.stall_seconds == 30


def test_absent_fields_are_what_the_api_promises() -> None:
    """The renderer's defaults: Auto, 32, 256, 300, and a drain as long as a request."""
    parsed = settings_in_pod(MINIMAL)

    assert parsed.served_name == "chat"
    assert parsed.dtype is contract.Dtype.AUTO
    assert parsed.device is contract.Device.CPU
    assert parsed.max_model_len is None
    assert (parsed.max_batch_size, parsed.max_queued_requests) == (32, 256)
    assert (parsed.request_timeout_seconds, parsed.drain_seconds) == (300, 300)
    assert parsed.api_keys_dir is None


def test_a_claim_is_mounted_where_the_server_is_told_to_look() -> None:
    """A pvc:// source becomes a read-only mount and a file:// source inside it."""
    container = container_of(CLAIM)
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}

    assert settings_in_pod(CLAIM).model == "file:///models/llama/8b"
    assert mounts[contract.MODEL_CLAIM_PATH]["readOnly"] is True


def test_every_setting_of_the_contract_is_rendered_or_absent_by_choice() -> None:
    """No setting that the operator owns is forgotten."""
    rendered = {entry["name"] for entry in container_of(EVERYTHING)["env"]}

    assert {setting.env for setting in contract.Setting} <= rendered


def test_the_grace_period_is_the_servers_own_arithmetic() -> None:
    """Accepting, draining and ending all fit into what the kubelet grants."""
    template = render_pod_template(IDENTITY, a_revision(EVERYTHING))

    assert template["spec"]["terminationGracePeriodSeconds"] == 10 + 60 + 15


def test_only_the_paths_that_the_pod_mounts_are_written_to() -> None:
    """The root file system is read-only: cache and temporary files have volumes."""
    container = container_of(MINIMAL)

    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {
        contract.MODEL_CACHE_PATH,
        contract.TEMP_PATH,
    }


@pytest.mark.parametrize("situation", SITUATIONS)
def test_renderer_1_never_changes(situation: str) -> None:
    """A renderer's output is part of every revision made with it: its bytes are kept."""
    deployment = render_deployment(IDENTITY, a_revision(SITUATIONS[situation]), 2)
    rendered = json.dumps(deployment, indent=2, sort_keys=True) + "\n"

    assert rendered == (GOLDEN / f"deployment-{situation}.json").read_text()
