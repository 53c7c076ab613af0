"""A server that loads from a hub says what it loaded."""

from pathlib import Path

from e2e.hub.server import HubServer
from llm_operator.telemetry import read_exposition
from llm_server import contract
from tests.server_process import start_server


def test_the_metrics_name_the_commit_that_was_loaded(hub: HubServer, tmp_path: Path) -> None:
    """The operator learns from them what the branch named when the model was fetched."""
    repository = hub.repositories.get("demo/tiny")
    assert repository is not None
    commit = hub.repositories.commit(repository, "main")
    assert commit is not None
    server = start_server(
        "--model", "hf://demo/tiny@main", "--cache-dir", str(tmp_path / "cache"),
        environment={"HF_ENDPOINT": hub.url},
    )  # fmt: skip
    try:
        server.wait_until_ready()
        reading = read_exposition(server.probe(contract.METRICS_PATH).content)
    finally:
        server.kill()
    assert reading.commit == commit.sha
