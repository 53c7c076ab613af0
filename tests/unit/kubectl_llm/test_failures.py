from pathlib import Path

import pytest

from llm_operator import kinds
from tests.models.kubectl_llm import Person, a_revision

VERBS_OF_A_RESOURCE = [
    ("history", "chat"),
    ("diff", "chat"),
    ("undo", "chat", "--yes"),
    ("explain", "chat"),
    ("promote", "chat"),
]


def said(person: Person, *words: str, code: int) -> str:
    """Return the one sentence on stderr of a command that ends with ``code``."""
    told = person.runs(*words)
    assert told.exit_code == code, told.output
    assert told.stdout == ""
    (sentence,) = told.stderr.splitlines()
    assert sentence.endswith(".")
    return sentence


@pytest.mark.parametrize("words", VERBS_OF_A_RESOURCE)
def test_a_resource_that_does_not_exist_is_one_sentence(
    person: Person, words: tuple[str, ...]
) -> None:
    """Every verb of a resource names the missing one and ends with 3."""
    assert '"chat" not found' in said(person, *words, code=3)


@pytest.mark.parametrize("words", VERBS_OF_A_RESOURCE)
def test_a_cluster_without_the_crd_says_what_to_install(
    person: Person, words: tuple[str, ...]
) -> None:
    """Where the kind is unknown, the sentence is about the operator and not about the name."""
    person.api.unserved.add(kinds.LLM_DEPLOYMENT)

    assert "install the operator" in said(person, *words, code=5)


def test_what_the_user_may_not_read_is_one_sentence(person: Person) -> None:
    """A refusal by RBAC is repeated with the user's name and ends with 4."""
    person.has([a_revision(1)])
    person.cluster.forbidden.add("GET")

    assert 'User "jane" cannot get' in said(person, "history", "chat", code=4)


def test_what_the_user_may_not_write_is_one_sentence(person: Person) -> None:
    """A person who may only read gets no command and no undo through."""
    person.has([a_revision(1)], {"stableRevision": a_revision(1).hash})
    person.cluster.forbidden.add("PATCH")

    assert "cannot patch llmdeployments" in said(person, "promote", "chat", code=4)


def test_an_unknown_user_is_told_so(person: Person) -> None:
    """401 is about the credentials, not about the network."""
    person.cluster.status = 401

    assert "does not know this user" in said(person, "history", "chat", code=4)


def test_a_failing_api_server_is_one_sentence(person: Person) -> None:
    """A server that only answers 503 ends with 5."""
    person.cluster.status = 503

    assert "does not answer" in said(person, "history", "chat", code=5)


def test_a_cluster_that_is_not_there_is_one_sentence(person: Person) -> None:
    """A refused connection ends with 5 and names the address."""
    text = person.cluster.kubeconfig.read_text().replace(person.cluster.url, "http://127.0.0.1:1")
    person.cluster.kubeconfig.write_text(text)

    assert "127.0.0.1:1" in said(person, "history", "chat", code=5)


def test_a_missing_kubeconfig_is_named(person: Person, tmp_path: Path) -> None:
    """The path that was looked at is in the sentence."""
    told = person.runs_bare("history", "chat", "--kubeconfig", str(tmp_path / "none"))

    assert told.exit_code == 5
    assert str(tmp_path / "none") in told.stderr


@pytest.mark.parametrize("content", ["", "[]", "clusters: 3", "{: not yaml"])
def test_a_file_that_is_no_kubeconfig_is_refused(person: Person, content: str) -> None:
    """Whatever the file holds, the answer is a sentence and 5."""
    person.cluster.kubeconfig.write_text(content)

    told = person.runs("history", "chat")

    assert told.exit_code == 5
    assert "no usable cluster credentials" in told.stderr


def test_an_unknown_context_is_named(person: Person) -> None:
    """``--context`` of a context that the kubeconfig lacks is refused by name."""
    assert "elsewhere" in said(person, "history", "chat", "--context", "elsewhere", code=5)


def test_the_namespace_option_wins_over_the_context(person: Person) -> None:
    """``-n`` looks elsewhere than in the namespace of the context, where chat is."""
    person.has([a_revision(1)])

    assert person.runs("history", "chat").exit_code == 0
    assert person.runs("history", "chat", "-n", "other").exit_code == 3


def test_the_kubeconfig_of_the_environment_is_used(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ``--kubeconfig`` the variable ``KUBECONFIG`` leads to the cluster."""
    person.has([a_revision(1)])
    monkeypatch.setenv("KUBECONFIG", str(person.cluster.kubeconfig))

    assert person.runs_bare("history", "chat").exit_code == 0


def test_nothing_is_coloured_that_is_no_terminal(person: Person) -> None:
    """Piped output has no escape sequence."""
    person.has([a_revision(1)], {"stableRevision": a_revision(1).hash})

    assert "\x1b" not in person.runs("history", "chat").output
