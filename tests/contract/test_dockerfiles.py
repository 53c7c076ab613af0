"""Rules of the Dockerfiles, and of what they put into the images."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from llm_server import contract

ROOT = Path(__file__).parents[2]
PRODUCT = ("Dockerfile.operator", "Dockerfile.server")
CLIENT = "e2e/images/client/Dockerfile"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile, its lines joined."""

    word: str
    rest: str


def instructions(dockerfile: str) -> list[Instruction]:
    """Return a Dockerfile's instructions in order, without comments."""
    text = (ROOT / dockerfile).read_text()
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", bare)
    split = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [Instruction(word, rest.strip()) for word, _, rest in split]


def rest_of(dockerfile: str, word: str) -> list[str]:
    """Return the rest of every instruction of one kind, in order."""
    return [found.rest for found in instructions(dockerfile) if found.word == word]


def copies(dockerfile: str) -> list[tuple[tuple[str, ...], str]]:
    """Return sources and target of every COPY."""
    split = [rest.split() for rest in rest_of(dockerfile, "COPY")]
    return [(tuple(words[:-1]), words[-1]) for words in split]


def argument(dockerfile: str, name: str) -> str:
    """Return the default of a build argument."""
    (found,) = [r for r in rest_of(dockerfile, "ARG") if r.partition("=")[0] == name]
    return found.partition("=")[2]


def stage(dockerfile: str, application: Path, until: int | None = None) -> None:
    """Copy our code as the image has it, after its first ``until`` COPYs."""
    for sources, target in copies(dockerfile)[:until]:
        if "/app/" not in target:
            continue
        place = application / target.partition("/app/")[2]
        for source in map(ROOT.joinpath, sources):
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, place, dirs_exist_ok=True, ignore=ignored)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, place)


def run_staged(application: Path, code: str) -> str:
    """Run Python with the staged code as its only code of ours; return what it printed."""
    settings = {"PYTHONPATH": str(application), "PYTHONSAFEPATH": "1", "PATH": os.defpath}
    environment = {**settings, "PYTHONDONTWRITEBYTECODE": "1"}
    line = [sys.executable, "-S", "-c", f"{_LIBRARIES}; {code}"]
    done = subprocess.run(
        line, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# The environment's packages, but not its link to the checkout.
_LIBRARIES = f"import sys; sys.path += {[p for p in sys.path if p.endswith('site-packages')]!r}"


@pytest.mark.parametrize("dockerfile", [*PRODUCT, CLIENT])
def test_the_base_is_an_argument_with_a_public_default(dockerfile: str) -> None:
    """A mirror or a local base is a build argument; nothing else names a registry."""
    assert argument(dockerfile, "BASE_IMAGE") == "docker.io/library/python:3.11-slim-bookworm"
    assert rest_of(dockerfile, "FROM") == ["${BASE_IMAGE}"]


@pytest.mark.parametrize("dockerfile", [*PRODUCT, CLIENT])
def test_no_host_and_no_certificate_is_baked_in(dockerfile: str) -> None:
    """No URL stands in a Dockerfile, and a CA bundle comes as a secret for the step alone."""
    steps = " ".join(f"{found.word} {found.rest}" for found in instructions(dockerfile))

    assert "://" not in steps
    assert set(re.findall(r"(?:SSL_CERT_FILE|PIP_CERT)=(\S+?);? ", steps)) == {"/run/ca.crt"}
    kept = rest_of(dockerfile, "ENV") + rest_of(dockerfile, "COPY")
    assert not any(re.search(r"CERT|crt|PROXY|INDEX_URL", text) for text in kept)
    assert not rest_of(dockerfile, "ADD")


@pytest.mark.parametrize("dockerfile", [*PRODUCT, CLIENT])
def test_dependencies_are_locked_by_hash(dockerfile: str) -> None:
    """Every installation verifies hashes; the one exception is a user's own index for torch."""
    commands = [
        command.strip()
        for step in rest_of(dockerfile, "RUN")
        for command in step.split(";")
        if re.search(r"\b(?:pip install|uv pip)\b", command)
    ]

    assert commands
    unverified = [command for command in commands if "--require-hashes" not in command]
    assert all("--index-url" in command and "TORCH_INDEX_URL" in command for command in unverified)


@pytest.mark.parametrize("dockerfile", PRODUCT)
def test_installers_leave_in_the_step_that_brought_them(dockerfile: str) -> None:
    """No layer holds uv or its tools, and the base's own installers are removed."""
    steps = rest_of(dockerfile, "RUN")

    for step in steps:
        assert ("venv /tmp/uv" in step) is step.endswith("rm -rf /tmp/uv")
    assert any("strip_installers.py" in step for step in steps)
    assert not any(re.search(r"\bapt(-get)?\b|\bgcc\b", step) for step in steps)


@pytest.mark.parametrize("dockerfile", PRODUCT)
def test_our_code_comes_after_the_dependencies(dockerfile: str) -> None:
    """A change of code invalidates no layer of dependencies: they see only locks and build/."""
    seen: list[str] = []
    for found in instructions(dockerfile):
        if found.word == "RUN" and "uv pip" in found.rest:
            break
        if found.word == "COPY":
            seen += found.rest.split()[:-1]

    assert seen
    assert all(source.startswith(("requirements/", "build/")) for source in seen)


@pytest.mark.parametrize("dockerfile", PRODUCT)
def test_the_code_layer_is_compiled_and_last(dockerfile: str) -> None:
    """Nothing but the compilation follows the copy of our code: a code change costs seconds."""
    words = [found for found in instructions(dockerfile) if found.word in ("COPY", "RUN")]

    assert [found.word for found in words[-2:]] == ["COPY", "RUN"]
    assert "compileall" in words[-1].rest


@pytest.mark.parametrize("dockerfile", [*PRODUCT, CLIENT])
def test_nothing_that_a_layer_depends_on_is_bind_mounted(dockerfile: str) -> None:
    """Podman reuses a layer though a bind mount changed: inputs are copied."""
    assert not any("type=bind" in step for step in rest_of(dockerfile, "RUN"))


@pytest.mark.parametrize("dockerfile", PRODUCT)
def test_the_user_is_the_contracts_number(dockerfile: str) -> None:
    """``runAsNonRoot`` can only judge a numeric user, and the pods say the same number."""
    number = contract.RUN_AS_ID

    assert rest_of(dockerfile, "USER") == [f"{number}:{number}"]


@pytest.mark.parametrize(
    ("dockerfile", "module", "program"),
    [
        ("Dockerfile.operator", "llm_operator", "llm-operator"),
        ("Dockerfile.server", "llm_server", "llm-server"),
    ],
)
def test_the_entry_point_is_the_program(dockerfile: str, module: str, program: str) -> None:
    """Exec form, so that SIGTERM reaches Python; the module of the console script."""
    (entry,) = map(json.loads, rest_of(dockerfile, "ENTRYPOINT"))
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]

    assert entry == [f"/opt/{program}/bin/python3", "-m", module]
    assert scripts[program] == f"{module}.__main__:main"


@pytest.mark.parametrize("dockerfile", PRODUCT)
def test_labels_name_the_release(dockerfile: str) -> None:
    """The image's version label is the package's version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = " ".join(rest_of(dockerfile, "LABEL"))

    assert f'org.opencontainers.image.version="{project["version"]}"' in labels
    assert f'org.opencontainers.image.licenses="{project["license"]}"' in labels


@pytest.mark.parametrize("dockerfile", PRODUCT)
def test_python_writes_nothing_and_buffers_nothing(dockerfile: str) -> None:
    """The root is read-only, and a log line must not wait in a buffer."""
    environment = " ".join(rest_of(dockerfile, "ENV"))

    assert "PYTHONDONTWRITEBYTECODE=1" in environment
    assert "PYTHONUNBUFFERED=1" in environment


@pytest.mark.parametrize("dockerfile", [*PRODUCT, CLIENT])
def test_the_context_holds_every_source(dockerfile: str) -> None:
    """Each COPY's source exists, and .dockerignore lets it through."""
    allowed = [
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]

    for sources, _ in copies(dockerfile):
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(source == way or source.startswith(f"{way}/") for way in allowed), source


def test_the_operators_image_imports_without_the_server(tmp_path: Path) -> None:
    """What the operator's image copies is enough, and of the server that is the contract alone."""
    stage("Dockerfile.operator", tmp_path)

    code = (
        "import llm_operator.__main__; print(*(m for m in sys.modules if m[:10] == 'llm_server'))"
    )
    assert set(run_staged(tmp_path, code).split()) == {"llm_server", "llm_server.contract"}
    assert {path.name for path in (tmp_path / "llm_server").iterdir()} == {
        "__init__.py",
        "contract.py",
    }


@pytest.mark.torch
def test_the_models_are_made_by_what_their_layer_copies(tmp_path: Path) -> None:
    """The layer of the models needs no code that is copied after it, and makes a model."""
    stage("Dockerfile.server", tmp_path / "app", until=-1)

    code = (
        f"import runpy; sys.argv[1:] = [{str(tmp_path)!r}, 'tiny']; "
        f"runpy.run_path({str(ROOT / 'build' / 'make_models.py')!r}, run_name='__main__')"
    )
    assert "make_models: tiny" in run_staged(tmp_path / "app", code)
    assert (tmp_path / "tiny" / "model.safetensors").stat().st_size > 100_000


def test_the_image_carries_every_model_that_has_weights() -> None:
    """The models made in the build are those of ``builtin://``, where the server looks for them."""
    (step,) = [s for s in rest_of("Dockerfile.server", "RUN") if "make_models.py" in s]
    (words,) = re.findall(r"make_models\.py ([^;]+);", step)
    directory, *names = words.split()

    assert directory == contract.BUILTIN_MODELS_PATH
    assert {*names, contract.BUILTIN_SIMULATED} == set(contract.BUILTIN_MODELS)


def test_the_server_exposes_the_contracts_ports() -> None:
    """EXPOSE names the API and the probe port."""
    assert rest_of("Dockerfile.server", "EXPOSE") == [f"{contract.HTTP_PORT} {contract.PROBE_PORT}"]


def test_an_unknown_accelerator_stops_the_build() -> None:
    """The step refuses a value by name and says what is allowed, before anything is installed."""
    step = next(s for s in rest_of("Dockerfile.server", "RUN") if "ACCELERATOR" in s)
    (refusal,) = re.findall(r"case .*? esac", step)
    done = subprocess.run(
        ["sh", "-euc", f"{refusal}; echo passed"],
        env={"ACCELERATOR": "tpu"},
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )

    assert done.returncode != 0
    assert "ACCELERATOR=tpu: allowed are cpu and cuda" in done.stderr
    assert argument("Dockerfile.server", "ACCELERATOR") in ("cpu", "cuda")
