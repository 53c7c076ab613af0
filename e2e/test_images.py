"""Rules of the images as a pod sees them: what is in them, and how much."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e import image_inspection
from e2e.manifests import client_pod
from e2e.story import Namespace
from llm_operator import kinds
from llm_server import contract

pytestmark = pytest.mark.cluster

MEGABYTES_ALLOWED = {"operator": 350, "server": 3600}

INSPECTION = Path(image_inspection.__file__).read_text()


@dataclass(frozen=True, slots=True)
class Inspected:
    """An image by its part in the product, and what was found in it."""

    part: str
    found: dict[str, Any]


@pytest.fixture(scope="module", params=["operator", "server"])
def image(request: pytest.FixtureRequest, module_namespace: Namespace) -> Inspected:
    """What a restricted pod of the image finds in it."""
    part: str = request.param
    reference: str = getattr(module_namespace.cluster.images, part)
    python = f"/opt/llm-{part}/bin/python3"
    name = f"inspect-{part}"
    module_namespace.apply(
        client_pod(name, reference, [python, "-c", INSPECTION, contract.BUILTIN_MODELS_PATH])
    )

    def ended() -> bool:
        pod = module_namespace.get(kinds.POD, name) or {}
        return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")

    module_namespace.until(f"the pod of the {part} image ends", ended, within_seconds=300)
    return Inspected(part, json.loads(module_namespace.kubectl("logs", name)))


def test_an_image_is_within_its_size(image: Inspected) -> None:
    """Unpacked, the operator takes at most 350 MB and the CPU server 3.6 GB."""
    assert image.found["bytes"] / 1e6 <= MEGABYTES_ALLOWED[image.part]


def test_an_image_cannot_install_or_compile(image: Inspected) -> None:
    """No pip, uv or compiler, neither as a program nor as a module of either Python."""
    assert image.found["installers"] == []


def test_an_image_runs_as_its_own_user(image: Inspected) -> None:
    """User and group are the number that pods and Dockerfiles share."""
    assert image.found["user"] == [contract.RUN_AS_ID, contract.RUN_AS_ID]


def test_our_code_is_compiled(image: Inspected) -> None:
    """On a read-only root, what is not compiled in the image is compiled at every start."""
    assert image.found["sources"] > 0
    assert image.found["not_compiled"] == []


def test_each_image_holds_its_part_alone(image: Inspected) -> None:
    """Only the server has torch, and the models that have weights."""
    with_weights = sorted({*contract.BUILTIN_MODELS} - {contract.BUILTIN_SIMULATED})

    assert image.found["has_torch"] == (image.part == "server")
    assert image.found["models"] == (with_weights if image.part == "server" else [])
