from pathlib import Path

import pytest

from e2e.cluster.build_context import context_key, sources_of, stage
from e2e.cluster.images import RECIPES
from e2e.cluster.paths import CHECKOUT

DOCKERFILE = """\
# COPY nothing /
ARG BASE_IMAGE=python
FROM ${BASE_IMAGE} AS built
COPY --chown=1:1 requirements/a.txt requirements/b.txt \\
     # a comment between the lines
     ./tool/ /there/
RUN --mount=type=secret,id=ca --mount=type=bind,source=requirements/c.txt,target=/c.txt \\
    --mount=type=cache,target=/x --mount=type=bind,from=built,source=/y,target=/z true
COPY --from=built /elsewhere /here
copy code/app /app
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout with a Dockerfile that names part of it."""
    root = tmp_path / "checkout"
    for name in ("requirements/a.txt", "requirements/b.txt", "requirements/c.txt", "tool/run"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "code/app/__pycache__").mkdir(parents=True)
    (root / "code/app/main.py").write_text("main")
    (root / "code/app/__pycache__/main.pyc").write_text("compiled")
    (root / "secret.key").write_text("secret")
    (root / "Dockerfile").write_text(DOCKERFILE)
    return root


def test_sources_are_what_copy_and_bind_mounts_name() -> None:
    """Continued lines, comments, flags and other stages are told from sources."""
    sources = sources_of(DOCKERFILE)
    assert sources.copied == ("requirements/a.txt", "requirements/b.txt", "tool", "code/app")
    assert sources.bound == ("requirements/c.txt",)


@pytest.mark.parametrize("source", [".", "./", "$NAME/x", "src/*.py", "[ab]"])
def test_a_source_that_names_nothing_in_particular_is_refused(source: str) -> None:
    """A pattern, a variable or the whole tree as source is refused with the source."""
    with pytest.raises(ValueError, match="name the files and directories"):
        sources_of(f"FROM scratch\nCOPY {source} /app\n")


def test_the_context_holds_what_is_named_and_nothing_else(tree: Path, tmp_path: Path) -> None:
    """Secrets and compiled files of the checkout never reach a build."""
    target = tmp_path / "context"
    target.mkdir()
    stage(tree, tree / "Dockerfile", target)
    assert sorted(str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()) == [
        "code/app/main.py",
        "requirements/a.txt",
        "requirements/b.txt",
        "requirements/c.txt",
        "tool/run",
    ]


def test_times_do_not_tell_two_checkouts_apart(tree: Path, tmp_path: Path) -> None:
    """Files staged at different times have the same times, so layers are found again."""
    target = tmp_path / "context"
    target.mkdir()
    stage(tree, tree / "Dockerfile", target)
    assert len({path.stat().st_mtime for path in target.rglob("*")}) == 1


def test_the_key_changes_with_every_input_and_with_nothing_else(tree: Path) -> None:
    """Contents, executable bits, build arguments and the Dockerfile count; other files do not."""
    dockerfile = tree / "Dockerfile"
    keys = [context_key(tree, dockerfile, {})]

    (tree / "secret.key").write_text("another")
    (tree / "code/app/__pycache__/main.pyc").write_text("another")
    assert context_key(tree, dockerfile, {}) == keys[0]

    keys.append(context_key(tree, dockerfile, {"ACCELERATOR": "cpu"}))
    (tree / "code/app/main.py").write_text("changed")
    keys.append(context_key(tree, dockerfile, {}))
    (tree / "tool/run").chmod(0o755)
    keys.append(context_key(tree, dockerfile, {}))
    (tree / "requirements/c.txt").write_text("bound")
    keys.append(context_key(tree, dockerfile, {}))
    dockerfile.write_text(DOCKERFILE + "USER 1\n")
    keys.append(context_key(tree, dockerfile, {}))
    assert len(set(keys)) == len(keys)


def test_a_source_that_is_missing_is_an_error(tree: Path) -> None:
    """A Dockerfile that names what is not there fails before the build."""
    (tree / "tool/run").unlink()
    (tree / "tool").rmdir()
    with pytest.raises(FileNotFoundError, match="tool"):
        context_key(tree, tree / "Dockerfile", {})


@pytest.mark.parametrize("field", RECIPES)
def test_every_image_of_the_table_can_be_keyed(field: str) -> None:
    """Each Dockerfile of this checkout keeps to the rules, and all that it names is there."""
    recipe = RECIPES[field]
    assert context_key(CHECKOUT, CHECKOUT / recipe.dockerfile, dict(recipe.args))
