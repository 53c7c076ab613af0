"""Real models through a real Service: the embedded one, a hub's, and one that lies on a claim."""

from collections.abc import Callable, Iterator

import pytest

from e2e.asking import Client
from e2e.cluster.commands import CommandFailed
from e2e.hub_pod import Hub
from e2e.installation import SERVER_PYTHON
from e2e.manifests import TORCH_RESOURCES, claim, client_pod, llm_deployment, secret
from e2e.story import Namespace
from llm_operator import kinds
from llm_operator.desired.revision import IMAGE_DIGEST_ANNOTATION, MODEL_COMMIT_ANNOTATION
from llm_server import contract

pytestmark = pytest.mark.cluster

Record = Callable[[str, object], None]
DEFINITE = "What is the capital of France? Answer in one word."
TINY = f"{contract.BUILTIN_MODELS_PATH}/{contract.BUILTIN_TINY}"


@pytest.fixture(autouse=True)
def memory_for_the_next_model(module_namespace: Namespace) -> Iterator[None]:
    """Remove what a test served: each model keeps half a gigabyte."""
    yield
    module_namespace.kubectl("delete", "llmdeployments", "--all", "--wait=false")


def test_the_embedded_model_answers_in_a_stream(
    module_namespace: Namespace, client: Client, record_property: Record
) -> None:
    """SmolLM2 answers a chat through the Service, token by token, with a finish reason."""
    module_namespace.apply(
        llm_deployment("smol", source="builtin://smollm2-135m-instruct", resources=TORCH_RESOURCES)
    )
    module_namespace.until_settled("smol", within_seconds=180)

    text, figures = client.ask("smol", DEFINITE)

    assert "Paris" in text
    assert figures["finish_reason"] == "stop"
    assert int(str(figures["chunks"])) >= 2, "the answer came in one piece"
    record_property("answer", figures | {"text": text.strip()[:80]})


def test_a_model_from_a_hub_is_downloaded_to_a_claim_and_served(
    module_namespace: Namespace, client: Client, hub: Hub
) -> None:
    """hf:// runs the real hub client, writes to the claim as a non-root user, and serves."""
    module_namespace.apply(claim("models"))
    resource = llm_deployment(
        "from-hub",
        source=f"hf://{hub.public_repository}",
        server=hub.server(),
        resources=TORCH_RESOURCES,
    )
    resource["spec"]["model"]["cache"] = {"persistentVolumeClaim": {"claimName": "models"}}
    module_namespace.apply(resource)
    module_namespace.until_settled("from-hub", within_seconds=120)

    _, figures = client.ask("from-hub", "Say something.")

    assert figures["finish_reason"] in ("stop", "length")
    revision = module_namespace.children(kinds.CONTROLLER_REVISION, "from-hub")[0]
    annotations = revision["metadata"]["annotations"]
    commit = annotations[MODEL_COMMIT_ANNOTATION]
    assert contract.COMMIT.fullmatch(commit)
    assert module_namespace.status("from-hub")["model"]["revision"] == commit
    assert annotations[IMAGE_DIGEST_ANNOTATION].startswith("sha256:")
    pod = module_namespace.live_pods("from-hub")[0]["metadata"]["name"]
    cache = ("exec", pod, "--", "find", contract.MODEL_CACHE_PATH, "-name", "*.safetensors")
    assert module_namespace.kubectl(*cache).strip()
    assert module_namespace.get(
        kinds.ResourceKind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim"), "models"
    )


def test_a_private_model_is_served_with_the_token_of_a_secret(
    module_namespace: Namespace, client: Client, hub: Hub
) -> None:
    """A repository that answers 401 without its token opens with credentialsSecretRef."""
    module_namespace.apply(secret("hub-token", token=hub.token))
    resource = llm_deployment(
        "private",
        source=f"hf://{hub.private_repository}",
        server=hub.server(),
        resources=TORCH_RESOURCES,
    )
    resource["spec"]["model"]["credentialsSecretRef"] = {"name": "hub-token", "key": "token"}
    module_namespace.apply(resource)
    module_namespace.until_settled("private", within_seconds=120)

    _, figures = client.ask("private", "Say something.")

    assert figures["finish_reason"] in ("stop", "length")


def fill_claim(namespace: Namespace, name: str, directory: str) -> None:
    """Copy the tiny model of the server's image into a directory of a new claim."""
    namespace.apply(claim(name))
    copy = f"import shutil; shutil.copytree({TINY!r}, '/claim/{directory}')"
    pod = client_pod(f"fill-{name}", namespace.cluster.images.server, [SERVER_PYTHON, "-c", copy])
    pod["spec"]["volumes"] = [{"name": "claim", "persistentVolumeClaim": {"claimName": name}}]
    mounts = [{"name": "claim", "mountPath": "/claim"}]
    pod["spec"]["containers"][0]["volumeMounts"] = mounts
    namespace.apply(pod)
    done = ("--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    namespace.kubectl("wait", f"pod/fill-{name}", *done)


def test_a_model_on_a_claim_is_served_where_it_lies(
    module_namespace: Namespace, client: Client
) -> None:
    """pvc://claim/path reads a directory that somebody else filled, and cannot write to it."""
    fill_claim(module_namespace, "weights", "team/tiny")
    module_namespace.apply(
        llm_deployment("on-claim", source="pvc://weights/team/tiny", resources=TORCH_RESOURCES)
    )
    module_namespace.until_settled("on-claim", within_seconds=120)

    _, figures = client.ask("on-claim", "Say something.")

    assert figures["finish_reason"] in ("stop", "length")
    pod = module_namespace.live_pods("on-claim")[0]["metadata"]["name"]
    write = f"open('{contract.MODEL_CLAIM_PATH}/written', 'w')"
    with pytest.raises(CommandFailed, match="Read-only file system"):
        module_namespace.kubectl("exec", pod, "--", SERVER_PYTHON, "-c", write)
