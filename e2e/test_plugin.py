"""The plugin as its users have it: through kubectl, with their roles, before and during changes."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.commands import Outcome
from e2e.manifests import Manifest
from e2e.rollouts import ARGS, NEW, Diary, Rolled, noted, quick, served, step
from e2e.story import Namespace
from kubectl_llm.exits import ExitCode
from llm_operator import kinds
from llm_operator.api.status import RolloutPhase

pytestmark = pytest.mark.cluster

OTHER = "--simulated-prefill-tokens-per-second=50000"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who has kubectl, the plugin on the PATH, and a kubeconfig."""

    namespace: Namespace
    kubeconfig: Path

    def types(self, *words: str) -> Outcome:
        """Type ``kubectl llm ...`` and return how it ended."""
        backend = self.namespace.cluster.backend
        path = f"{Path(sys.executable).parent}:{backend.environment()['PATH']}"
        return backend.attempt(
            *("env", f"PATH={path}", f"KUBECONFIG={self.kubeconfig}", "kubectl", "llm"),
            *words,
            *("-n", self.namespace.name),
        )

    def reads(self, *words: str) -> Any:
        """Type a command that must end well, and return the document that it prints."""
        outcome = self.types(*words, "-o", "json")
        assert outcome.returncode in (ExitCode.OK, ExitCode.STALLED), outcome.stderr
        return json.loads(outcome.stdout)


@pytest.fixture(scope="module")
def administrator(module_namespace: Namespace) -> User:
    """Somebody who may do everything."""
    return User(module_namespace, module_namespace.cluster.backend.kubeconfig)


@pytest.fixture(scope="module")
def with_role(
    module_namespace: Namespace, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], User]:
    """Make somebody who has one of the cluster's own roles in this namespace."""

    def make(role: str) -> User:
        name = f"a-{role}"
        module_namespace.kubectl("create", "serviceaccount", name)
        account = f"--serviceaccount={module_namespace.name}:{name}"
        module_namespace.kubectl("create", "rolebinding", name, f"--clusterrole={role}", account)
        token = module_namespace.kubectl("create", "token", name, "--duration=1h").strip()
        content = yaml.safe_load(module_namespace.cluster.backend.kubeconfig.read_text())
        for user in content["users"]:
            user["user"] = {"token": token}
        path = tmp_path_factory.mktemp(role) / "kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return User(module_namespace, path)

    return make


def chat(*args: str, rollout: Manifest | None = None, replicas: int = 2) -> Manifest:
    """Return the resource that most of this is about."""
    steps = (step(25, 1), step(50, 1), step(100, 1))
    return served("chat", rollout or quick(*steps), *args, replicas=replicas)


@pytest.fixture(scope="module")
def serving(module_namespace: Namespace) -> Rolled:
    """``chat``, applied as kubectl does by itself, and ready."""
    module_namespace.apply_client_side(chat())
    resource = Rolled(module_namespace, "chat")
    module_namespace.until_settled("chat")
    return resource


@dataclass(frozen=True, slots=True)
class Foretold:
    """A change: what the plan said, and what came of it."""

    plan: Any
    code: int
    created: int
    removed: int


@pytest.fixture
def carry_out(
    administrator: User, serving: Rolled, tmp_path: Path
) -> Iterator[Callable[[Manifest], Foretold]]:
    """Plan a manifest, apply it, wait for its end, and count the pods that came and went."""
    namespace = serving.namespace
    with noted(namespace) as diary:

        def change(manifest: Manifest) -> Foretold:
            path = tmp_path / "chat.yaml"
            path.write_text(yaml.safe_dump(manifest))
            diary.look(namespace)
            before, live_before = _seen(diary), _live(namespace)
            plan = administrator.reads("plan", "-f", str(path))
            namespace.apply_client_side(manifest)
            ended = administrator.types("status", "chat", "--watch", "--timeout", "100")
            _until_ending_pods_are_gone(namespace)
            diary.look(namespace)
            created = _seen(diary) - before
            removed = (live_before | created) - _live(namespace)
            return Foretold(plan, ended.returncode, len(created), len(removed))

        yield change


def _seen(diary: Diary) -> frozenset[str]:
    return frozenset(uid for uids in diary.pods["chat"].values() for uid in uids)


def _live(namespace: Namespace) -> frozenset[str]:
    return frozenset(pod["metadata"]["uid"] for pod in namespace.live_pods("chat"))


def _until_ending_pods_are_gone(namespace: Namespace) -> None:
    selector = f"{kinds.INSTANCE_LABEL}=chat"
    namespace.until(
        "pods that end are gone",
        lambda: len(namespace.objects(kinds.POD, selector)) == len(namespace.live_pods("chat")),
        within_seconds=60,
    )


def test_kubectl_finds_the_plugin_and_it_shows_the_resource(
    administrator: User, serving: Rolled
) -> None:
    """``kubectl llm get`` has a line for it, and a page with its pods and conditions."""
    table = administrator.types("get").stdout
    page = administrator.types("get", "chat").stdout

    assert "chat" in table
    assert [serving.stable, "stable", "2", "0", "0", "0"] in [
        line.split() for line in page.splitlines()
    ]
    assert "Available" in page


@pytest.mark.long
def test_a_plan_foretells_the_pods_of_real_changes(
    carry_out: Callable[[Manifest], Foretold],
) -> None:
    """New revision, kept revision, hot field, no room, recreate: pods come and go as foretold."""
    room = quick(step(50, 1), step(100, 1), maxExtraReplicas=0, minServingPercent=100)
    changes = [
        chat(NEW),
        chat(NEW, replicas=3),
        chat(replicas=3),
        chat(replicas=2, rollout=quick(strategy="Recreate")),
        chat(NEW, rollout=quick(strategy="BlueGreen")),
        chat(OTHER, rollout=quick(strategy="Rolling")),
    ]
    for manifest in changes:
        foretold = carry_out(manifest)
        plan = foretold.plan
        assert foretold.code == ExitCode.OK, plan
        assert (plan["podsCreated"], plan["podsRemoved"]) == (foretold.created, foretold.removed)

    refused = carry_out(chat(rollout=room))
    assert refused.code == ExitCode.STALLED
    assert "maxExtraReplicas" in refused.plan["obstacle"]
    assert (refused.created, refused.removed) == (0, 0)


def test_a_server_side_apply_is_planned_by_a_dry_run(
    administrator: User, module_namespace: Namespace, tmp_path: Path
) -> None:
    """A field that the same manager leaves out is foretold to go, and nothing is written."""
    manifest = served("applied", quick(), NEW, replicas=0)
    module_namespace.apply(manifest)
    del manifest["spec"]["server"]["args"]
    path = tmp_path / "applied.yaml"
    path.write_text(yaml.safe_dump(manifest))
    before = module_namespace.resource("applied")["spec"]

    plan = administrator.reads("plan", "-f", str(path))

    assert plan["applied"] == "server-side apply"
    assert [(c["field"], c["before"], c["after"]) for c in plan["changes"]] == [
        ("spec.server.args", [*ARGS, NEW], None)
    ]
    assert module_namespace.resource("applied")["spec"] == before


def test_the_role_view_looks_and_does_not_steer(
    with_role: Callable[[str], User], serving: Rolled
) -> None:
    """Somebody who may look sees everything, and is told in a sentence what is not allowed."""
    viewer = with_role("view")

    assert viewer.types("get", "chat").returncode == ExitCode.OK
    assert viewer.types("history", "chat").returncode == ExitCode.OK
    assert viewer.types("explain", "chat").returncode == ExitCode.OK
    refused = viewer.types("pause", "chat")
    assert refused.returncode == ExitCode.FORBIDDEN
    assert "Traceback" not in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_the_role_edit_steers_and_goes_back(
    with_role: Callable[[str], User], module_namespace: Namespace
) -> None:
    """Somebody who may edit pauses a rollout, is answered, and undoes the change."""
    editor = with_role("edit")
    module_namespace.apply(served("steered", quick(step(25, 600), step(100, 1))))
    module_namespace.until_settled("steered")
    steered = Rolled(module_namespace, "steered")
    before = steered.stable
    steered.edit_args(NEW)
    steered.until(RolloutPhase.STEP)

    paused = editor.types("pause", "steered")
    assert paused.returncode == ExitCode.OK, paused.stderr
    assert steered.phase == RolloutPhase.PAUSED
    assert "Paused" in editor.types("get", "steered").stdout

    undone = editor.types("undo", "steered", "--yes")
    assert undone.returncode == ExitCode.OK, undone.stderr
    waited = editor.types("status", "steered", "--watch", "--timeout", "60")
    assert waited.returncode == ExitCode.OK, waited.stdout + waited.stderr
    assert steered.stable == before
    managers = module_namespace.resource("steered")["metadata"]["managedFields"]
    assert "kubectl-llm" in {entry["manager"] for entry in managers}


def test_what_does_not_exist_is_one_sentence(administrator: User) -> None:
    """A missing resource ends the wait with 3."""
    missing = administrator.types("status", "nobody", "--watch")
    assert missing.returncode == ExitCode.NOT_FOUND
    assert '"nobody" not found' in missing.stderr
