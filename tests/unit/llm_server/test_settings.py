import json
from pathlib import Path

import pytest

from llm_server.contract import Dtype, Setting, StartupFailure
from llm_server.models.failures import StartupError
from llm_server.settings import ServerSettings, parse
from llm_server.simulated_settings import FaultSettings


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    """One name, three places, one order of precedence."""
    file = tmp_path / "settings.yaml"
    file.write_text("max_batch_size: 1\nmax_queued_requests: 1\ndrain_seconds: 1\n")
    environ = {
        "LLM_SERVER_CONFIG": str(file),
        "LLM_SERVER_MAX_BATCH_SIZE": "2",
        "LLM_SERVER_MAX_QUEUED_REQUESTS": "2",
    }

    chosen = parse(["--max-batch-size", "3"], environ)

    assert (chosen.max_batch_size, chosen.max_queued_requests, chosen.drain_seconds) == (3, 2, 1)


def test_the_file_may_be_json(tmp_path: Path) -> None:
    """JSON is read like YAML."""
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"dtype": "Float32"}))

    assert parse(["--config", str(file)], {}).dtype is Dtype.FLOAT32


@pytest.mark.parametrize("setting", Setting)
def test_every_setting_of_the_contract_exists(setting: Setting) -> None:
    """What the operator renders is a setting, under the contract's variable and flag."""
    assert setting.value in ServerSettings.model_fields
    value = str(ServerSettings.model_fields[setting.value].get_default() or "17")

    by_variable = parse([], {setting.env: value})
    by_flag = parse([setting.flag, value], {})

    assert by_variable == by_flag


@pytest.mark.parametrize(
    ("arguments", "environ", "named", "accepted"),
    [
        ([], {"LLM_SERVER_MAX_BATCH_SIZE": "0"}, "LLM_SERVER_MAX_BATCH_SIZE", "equal to 1"),
        ([], {"LLM_SERVER_MAX_BATCH_SIZE": "many"}, "LLM_SERVER_MAX_BATCH_SIZE", "integer"),
        (["--dtype", "int8"], {}, "--dtype", "'BFloat16'"),
        (["--http-port", "70000"], {}, "--http-port", "65535"),
        (["--max-bach-size", "3"], {}, "--max-bach-size", "--help"),
        ([], {"LLM_SERVER_MAX_BACH_SIZE": "3"}, "LLM_SERVER_MAX_BACH_SIZE", "MAX_BATCH_SIZE"),
        (["--config", "/does/not/exist"], {}, "/does/not/exist", "YAML or JSON"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(
    arguments: list[str], environ: dict[str, str], named: str, accepted: str
) -> None:
    """The message names the flag or variable and what is accepted."""
    with pytest.raises(StartupError) as failure:
        parse(arguments, environ)

    assert failure.value.reason is StartupFailure.INVALID_SETTINGS
    assert named in failure.value.message
    assert accepted in failure.value.message


def test_each_request_inside_finds_a_connection() -> None:
    """Without a bound of their own, connections are as many as batch and queue hold, and more."""
    assert parse([], {}).effective_max_connections == 32 + 256 + 512
    assert parse(["--max-queued-requests", "5000"], {}).effective_max_connections > 5000
    assert parse(["--max-connections", "7"], {}).effective_max_connections == 7


@pytest.mark.parametrize("name", FaultSettings.model_fields)
def test_only_the_simulated_model_can_be_made_to_fail(name: str) -> None:
    """A fault that another model is asked for stops the start and is named as it was given."""
    value = "3" if name != "simulated_duration_percent" else "300"
    flag, variable = "--" + name.replace("_", "-"), "LLM_SERVER_" + name.upper()
    simulated, tiny = ["--model", "builtin://simulated"], ["--model", "builtin://tiny"]

    assert list(parse([*simulated, flag, value], {}).faults()) == [name]
    with pytest.raises(StartupError, match=f"^{flag}: only builtin://simulated"):
        parse([*tiny, flag, value], {})
    with pytest.raises(StartupError, match=f"^{variable}: only builtin://simulated"):
        parse(tiny, {variable: value})


def test_the_timing_of_the_simulation_is_no_fault() -> None:
    """Its other settings may stay when the model changes."""
    flags = ["--model", "builtin://tiny", "--simulated-step-milliseconds", "60"]

    assert parse(flags, {}).simulated_step_milliseconds == 60


def test_a_wrong_key_in_the_file_is_named(tmp_path: Path) -> None:
    """A key that is no setting is refused with the list of those that are."""
    file = tmp_path / "settings.yaml"
    file.write_text("max_bach_size: 1\n")

    with pytest.raises(StartupError, match="max_bach_size"):
        parse(["--config", str(file)], {})


def test_service_links_are_no_settings() -> None:
    """Variables that Kubernetes injects for a Service called llm-server are left alone."""
    environ = {
        "LLM_SERVER_SERVICE_HOST": "10.0.0.1",
        "LLM_SERVER_SERVICE_PORT_HTTP": "80",
        "LLM_SERVER_PORT": "tcp://10.0.0.1:80",
        "LLM_SERVER_PORT_80_TCP_ADDR": "10.0.0.1",
    }

    assert parse([], environ) == ServerSettings()


def test_drain_covers_every_request_by_default() -> None:
    """Without a drain time no admitted request is cut: it is the request timeout."""
    assert parse(["--request-timeout-seconds", "77"], {}).effective_drain_seconds == 77
    assert parse(["--drain-seconds", "0"], {}).effective_drain_seconds == 0


def test_help_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks for help sees each flag."""
    with pytest.raises(SystemExit):
        parse(["--help"], {})

    shown = capsys.readouterr().out
    assert all("--" + name.replace("_", "-") in shown for name in ServerSettings.model_fields)
