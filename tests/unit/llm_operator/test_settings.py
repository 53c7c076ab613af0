"""Settings: every variable has an accepted form, and a wrong one is named with it."""

import pytest

from llm_operator.settings import (
    ENV_PREFIX,
    LogFormat,
    LogLevel,
    OperatorSettings,
    SettingsInvalid,
    read_settings,
)


def test_without_variables_the_defaults_hold() -> None:
    """An empty environment is enough to start."""
    settings = read_settings()
    assert (settings.workers, settings.watch_namespace) == (16, "")


def test_every_field_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prefix and the field's name in capitals make the variable."""
    values = {
        "WATCH_NAMESPACE": "team",
        "WORKERS": "4",
        "LOG_LEVEL": "debug",
        "LOG_FORMAT": "json",
        "LEASE_DURATION_SECONDS": "30",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"{ENV_PREFIX}{name}", value)
    settings = read_settings()
    assert (settings.watch_namespace, settings.workers) == ("team", 4)
    assert (settings.log_level, settings.log_format) == (LogLevel.DEBUG, LogFormat.JSON)
    assert settings.lease_duration_seconds == 30


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("WORKERS", "many", "integer, 1 to 256"),
        ("WORKERS", "0", "integer, 1 to 256"),
        ("PROBE_PORT", "70000", "integer, 1 to 65535"),
        ("REQUEST_TIMEOUT_SECONDS", "0", "number, above 0 to 60"),
        ("LOG_LEVEL", "loud", "debug, info, warning, error"),
        ("LOG_FORMAT", "xml", "auto, json, console"),
        ("SERVER_IMAGE", "", "text of 1 to 512 characters"),
        ("LEASE_DURATION_SECONDS", "2.5", "integer, 3 to 300"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_accepted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, accepted: str
) -> None:
    """The message has the variable and its accepted form."""
    monkeypatch.setenv(f"{ENV_PREFIX}{name}", value)
    with pytest.raises(SettingsInvalid) as caught:
        read_settings()
    message = str(caught.value)
    assert message.startswith(f"{ENV_PREFIX}{name}: ")
    assert f"(accepted: {accepted})" in message


def test_all_wrong_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One start tells everything that is wrong."""
    monkeypatch.setenv(f"{ENV_PREFIX}WORKERS", "0")
    monkeypatch.setenv(f"{ENV_PREFIX}PROBE_PORT", "0")
    with pytest.raises(SettingsInvalid, match=r"WORKERS.*; .*PROBE_PORT"):
        read_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEASE_DURATION_SECONDS", "9"),
        ("LEASE_RETRY_SECONDS", "12"),
        ("REQUEST_TIMEOUT_SECONDS", "14"),
    ],
)
def test_lease_times_that_do_not_fit_together_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Times by which two replicas could write stop the start and are named."""
    monkeypatch.setenv(f"{ENV_PREFIX}{name}", value)
    with pytest.raises(SettingsInvalid, match=f"{ENV_PREFIX}{name}"):
        read_settings()


def test_variables_that_a_service_brings_do_not_stop_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A Service named ``llm-operator`` puts variables with our prefix into every pod."""
    monkeypatch.setenv("LLM_OPERATOR_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("LLM_OPERATOR_PORT_8080_TCP", "tcp://10.0.0.1:8080")
    monkeypatch.setenv("LLM_OPERATOR_PORT", "tcp://10.0.0.1:8080")
    read_settings()


def test_every_field_is_described() -> None:
    """What a setting means stands beside it."""
    fields = OperatorSettings.model_fields
    assert [name for name, field in fields.items() if not field.description] == []
