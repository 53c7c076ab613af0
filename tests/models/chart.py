"""The chart as text, as values, and as what helm renders of it."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from e2e.cluster.programs import build_programs, cached_programs

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "llm-operator"
NAMESPACE = "llm-operator-system"
RELEASE = "llm-operator"


def values() -> Json:
    """Return the default values."""
    loaded: Json = yaml.safe_load((CHART / "values.yaml").read_text())
    return loaded


def values_schema() -> Json:
    """Return the schema of the values."""
    loaded: Json = json.loads((CHART / "values.schema.json").read_text())
    return loaded


def helm_program() -> Path:
    """Return helm: of the local cluster's programs, or of PATH where they are not built here."""
    if cached := cached_programs():
        return cached.directory / "helm"
    if (found := shutil.which("helm")) is not None:
        return Path(found)
    return build_programs().directory / "helm"


@dataclass(frozen=True, slots=True)
class Helm:
    """Runs helm on the chart, without a cluster."""

    program: Path

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one helm command on the chart; the caller looks at the result."""
        line = [str(self.program), *command.split(), *arguments]
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)

    def render(self, *values: str, kinds: tuple[str, ...] = ()) -> tuple[Json, ...]:
        """Return the objects of a release on a cluster that has ``kinds``.

        ``values`` are ``path=JSON``, as helm's ``--set-json`` takes them.
        """
        arguments = [f"--set-json={value}" for value in values]
        arguments += [f"--api-versions={kind}" for kind in kinds]
        where = (RELEASE, str(CHART), f"--namespace={NAMESPACE}")
        done = self.run("template", *where, *arguments)
        assert done.returncode == 0, done.stderr
        return tuple(obj for obj in yaml.safe_load_all(done.stdout) if obj)


def of_kind(objects: tuple[Json, ...], kind: str) -> list[Json]:
    """Return the objects of one kind."""
    return [obj for obj in objects if obj["kind"] == kind]


def container(objects: tuple[Json, ...]) -> Json:
    """Return the operator's container."""
    (deployment,) = of_kind(objects, "Deployment")
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    found: Json = only
    return found


def leaves(schema: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Json]]:
    """Yield the path and schema of every value that has no parts of its own."""
    for name, part in schema["properties"].items():
        if "properties" in part:
            yield from leaves(part, (*path, name))
        else:
            yield (*path, name), part


def values_table() -> str:
    """Return the values as docs/install.md shows them."""
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for path, schema in leaves(values_schema()):
        if path[0] != "global":
            default: Any = values()
            for name in path:
                default = default.get(name, "") if isinstance(default, dict) else ""
            shown = f"`{json.dumps(default)}`" if default != "" else "empty"
            rows.append(f"| `{'.'.join(path)}` | {shown} | {schema['description']} |")
    return "\n".join(rows) + "\n"
