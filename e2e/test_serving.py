"""Real models through a real Service: the embedded one, and one that the hub client downloads."""

import json
from collections.abc import Callable

import pytest

from e2e.hub_pod import Hub
from e2e.manifests import TORCH_RESOURCES, claim, client_pod, llm_deployment
from e2e.story import Namespace
from llm_operator import kinds
from llm_server import contract

pytestmark = pytest.mark.cluster

Record = Callable[[str, object], None]
DEFINITE = "What is the capital of France? Answer in one word."


@pytest.fixture(scope="module")
def client(module_namespace: Namespace) -> str:
    """The name of a running pod that has the openai client in it."""
    image = module_namespace.cluster.images.client
    module_namespace.apply(client_pod("client", image, ["sleep", "infinity"]))
    module_namespace.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=60s")
    return "client"


def ask(namespace: Namespace, client: str, name: str, prompt: str) -> tuple[str, dict[str, object]]:
    """Stream one chat answer through the Service; return the text and its figures."""
    chat = ["python3", "chat.py", f"--base-url=http://{name}/v1", f"--model={name}"]
    outcome = namespace.cluster.backend.attempt(
        "kubectl", "-n", namespace.name, "exec", client, "--", *chat, f"--prompt={prompt}"
    )
    assert outcome.ok, outcome.stderr
    figures: dict[str, object] = json.loads(outcome.stderr.strip().splitlines()[-1])
    return outcome.stdout, figures


def test_the_embedded_model_answers_in_a_stream(
    module_namespace: Namespace, client: str, record_property: Record
) -> None:
    """SmolLM2 answers a chat through the Service, token by token, with a finish reason."""
    module_namespace.apply(
        llm_deployment("smol", source="builtin://smollm2-135m-instruct", resources=TORCH_RESOURCES)
    )
    module_namespace.until_settled("smol", within_seconds=180)

    text, figures = ask(module_namespace, client, "smol", DEFINITE)

    assert "Paris" in text
    assert figures["finish_reason"] == "stop"
    assert int(str(figures["chunks"])) >= 2, "the answer came in one piece"
    record_property("answer", figures | {"text": text.strip()[:80]})


def test_a_model_from_a_hub_is_downloaded_to_a_claim_and_served(
    module_namespace: Namespace, client: str, hub: Hub
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

    _, figures = ask(module_namespace, client, "from-hub", "Say something.")

    assert figures["finish_reason"] in ("stop", "length")
    status = module_namespace.status("from-hub")
    assert status["model"]["revision"] == hub.revision
    pod = module_namespace.live_pods("from-hub")[0]["metadata"]["name"]
    cache = ("exec", pod, "--", "find", contract.MODEL_CACHE_PATH, "-name", "*.safetensors")
    assert module_namespace.kubectl(*cache).strip()
    assert module_namespace.get(
        kinds.ResourceKind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim"), "models"
    )
