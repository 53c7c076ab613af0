"""Rules of an upgrade of the operator, with a renderer that does change the pod template."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from llm_operator import kinds
from llm_operator.desired import pod
from llm_operator.desired.identity import Identity
from llm_operator.desired.revision import Revision
from tests.builders import an_llm_deployment
from tests.models.operator import OperatorModel

GPU = {"resourceName": "nvidia.com/gpu", "count": 1}
METRICS = [{"type": "CPU", "targetUtilizationPercent": 70}]
DIVERSE: Mapping[str, dict[str, Any]] = {
    "plain": {},
    "stopped": {"replicas": 0},
    "several": {"replicas": 3},
    "tiny": {"model": {"source": "builtin://tiny"}},
    "hub": {"model": {"source": "hf://org/name@main", "servedName": "other"}},
    "claim": {"model": {"source": "pvc://models/path"}},
    "file": {"model": {"source": "file:///models/one"}},
    "typed": {"model": {"source": "builtin://simulated", "dtype": "BFloat16", "maxModelLen": 512}},
    "cached": {
        "model": {
            "source": "hf://org/name",
            "cache": {"persistentVolumeClaim": {"claimName": "models"}},
        }
    },
    "scratch": {"model": {"source": "hf://org/name", "cache": {"emptyDir": {}}}},
    "secret": {
        "model": {
            "source": "hf://org/name",
            "credentialsSecretRef": {"name": "hub", "key": "token"},
        }
    },
    "image": {"server": {"image": "registry.example/server:3", "imagePullPolicy": "Always"}},
    "limits": {"server": {"maxQueuedRequests": 8, "requestTimeoutSeconds": 60}},
    "args": {"server": {"args": ["--log-level=debug"], "env": [{"name": "A", "value": "b"}]}},
    "keys": {"server": {"apiKeysSecretRef": {"name": "keys"}}},
    "device": {"accelerator": GPU},
    "sized": {"resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "4Gi"}}},
    "scaled": {
        "resources": {"requests": {"cpu": "1"}},
        "autoscaling": {"minReplicas": 2, "maxReplicas": 4, "metrics": METRICS},
    },
    "placed": {
        "podTemplate": {
            "metadata": {"labels": {"team": "a"}},
            "spec": {"nodeSelector": {"disk": "fast"}, "priorityClassName": "high"},
        }
    },
    "canary": {"replicas": 2, "rollout": {"strategy": "Canary"}},
}


async def a_fleet() -> OperatorModel:
    """Return an operator with twenty resources that came to rest."""
    operator = OperatorModel()
    await operator.relist()
    for name, spec in DIVERSE.items():
        resource = an_llm_deployment(name, **spec)
        del resource["metadata"]["uid"], resource["metadata"]["resourceVersion"]
        operator.api.create(kinds.LLM_DEPLOYMENT, resource, "kubectl")
    await operator.settle()
    phases = {
        obj["metadata"]["name"]: obj["status"]["phase"]
        for obj in operator.cluster.all(kinds.LLM_DEPLOYMENT)
    }
    assert phases == dict.fromkeys(DIVERSE, "Ready") | {"stopped": "Stopped"}
    operator.writes()
    return operator


def render_v2(identity: Identity, revision: Revision) -> dict[str, Any]:
    """Render a pod template that differs from the first version's."""
    template = pod.render_pod_template(identity, replace(revision, renderer=1))
    template["spec"]["hostname"] = "server"
    return template


async def an_upgrade(operator: OperatorModel, monkeypatch: pytest.MonkeyPatch) -> OperatorModel:
    """Return the process of a release with another renderer and another default image."""
    renderers = {**pod._RENDERERS, 2: render_v2}
    monkeypatch.setattr(pod, "_RENDERERS", renderers)
    operator.environment = replace(operator.environment, default_image="llm-server:2", renderer=2)
    return await operator.restart()


def edit_plain(operator: OperatorModel, source: str) -> None:
    """Have the resource without further settings serve another model."""

    def change(obj: dict[str, Any]) -> None:
        obj["spec"]["model"] = {"source": source}

    operator.api.edit(kinds.LLM_DEPLOYMENT, ("default", "plain"), change)


async def test_an_upgrade_restarts_no_pod_of_twenty_diverse_resources(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every revision is rendered as it was made: no pod is replaced, nothing is written."""
    operator = await a_fleet()
    before = operator.uids()

    upgraded = await an_upgrade(operator, monkeypatch)
    await upgraded.settle()

    assert len(before) == 23
    assert upgraded.uids() == before
    assert upgraded.writes() == []


async def test_what_is_edited_after_an_upgrade_gets_the_new_renderer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The new pod template is for revisions whose spec is new; an old spec keeps the old one."""
    operator = await a_fleet()
    upgraded = await an_upgrade(operator, monkeypatch)

    for source in ("builtin://tiny", "builtin://simulated"):
        edit_plain(upgraded, source)
        await upgraded.settle()
        (deployment,) = (
            obj
            for obj in upgraded.cluster.all(kinds.DEPLOYMENT)
            if obj["metadata"]["labels"][kinds.INSTANCE_LABEL] == "plain"
        )
        template = deployment["spec"]["template"]
        image = template["spec"]["containers"][0]["image"]
        is_new = source == "builtin://tiny"
        assert template["spec"].get("hostname") == ("server" if is_new else None)
        assert image == ("llm-server:2" if is_new else "llm-server:1")
