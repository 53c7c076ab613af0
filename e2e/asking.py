"""A pod with the openai client in it: what somebody asks of a Service inside the cluster."""

import json
from dataclasses import dataclass

from e2e.cluster.commands import Outcome
from e2e.manifests import client_pod
from e2e.story import Namespace

STATUS = """
import sys, httpx2
name, key = sys.argv[1:]
chat = {"model": name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
headers = {"Authorization": f"Bearer {key}"} if key else {}
url = f"http://{name}/v1/chat/completions"
print(httpx2.post(url, json=chat, headers=headers, timeout=30).status_code)
"""


@dataclass(frozen=True, slots=True)
class Client:
    """A running client pod."""

    namespace: Namespace
    pod: str

    def ask(self, name: str, prompt: str) -> tuple[str, dict[str, object]]:
        """Stream one chat answer through the Service; return the text and its figures."""
        chat = ("chat.py", f"--base-url=http://{name}/v1", f"--model={name}", f"--prompt={prompt}")
        outcome = self._python(*chat)
        figures: dict[str, object] = json.loads(outcome.stderr.strip().splitlines()[-1])
        return outcome.stdout, figures

    def status_of_asking(self, name: str, *, key: str = "") -> int:
        """Return the HTTP status of one chat request, with a bearer key or without any."""
        return int(self._python("-c", STATUS, name, key).stdout)

    def _python(self, *arguments: str) -> Outcome:
        command = ("kubectl", "-n", self.namespace.name, "exec", self.pod, "--", "python3")
        outcome = self.namespace.cluster.backend.attempt(*command, *arguments)
        assert outcome.ok, outcome.stderr
        return outcome


def start_client(namespace: Namespace) -> Client:
    """Return a client pod of the namespace once it runs."""
    client = Client(namespace, "client")
    image = namespace.cluster.images.client
    namespace.apply(client_pod(client.pod, image, ["sleep", "infinity"]))
    namespace.kubectl("wait", "--for=condition=Ready", f"pod/{client.pod}", "--timeout=60s")
    return client
