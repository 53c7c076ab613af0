from pathlib import Path

from llm_server import contract
from llm_server.models.environment import default_cache_dir, prepare


def test_the_setting_wins_over_the_home(tmp_path: Path) -> None:
    """The cache is where the setting says, else in the user's cache, else where pods have it."""
    named = {"LLM_SERVER_CACHE_DIR": "/data", "XDG_CACHE_HOME": "/x", "HOME": str(tmp_path)}
    assert default_cache_dir(named) == Path("/data")
    del named["LLM_SERVER_CACHE_DIR"]
    assert default_cache_dir(named) == Path("/x/llm-server")
    del named["XDG_CACHE_HOME"]
    assert default_cache_dir(named) == tmp_path / ".cache" / "llm-server"
    assert default_cache_dir({"HOME": "/nonexistent"}) == Path(contract.MODEL_CACHE_PATH)


def test_every_cache_of_the_libraries_is_below_ours() -> None:
    """With a read-only root and no home nothing is written outside the cache directory."""
    environ: dict[str, str] = {}
    prepare(Path("/cache"), environ)
    written = {name: value for name, value in environ.items() if value.startswith("/")}
    assert {"HF_HOME", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR"} <= set(written)
    assert all(value.startswith("/cache") for value in written.values())


def test_what_the_user_set_stays() -> None:
    """A variable that is set is never replaced, the hub's endpoint and token included."""
    environ = {"HF_HOME": "/mine", "OMP_WAIT_POLICY": "ACTIVE", "HF_TOKEN": "t"}
    prepare(Path("/cache"), environ)
    assert (environ["HF_HOME"], environ["OMP_WAIT_POLICY"]) == ("/mine", "ACTIVE")
    assert "HF_ENDPOINT" not in environ


def test_telemetry_is_off_and_threads_do_not_spin() -> None:
    """The libraries send nothing about their use, and idle OpenMP threads sleep."""
    environ: dict[str, str] = {}
    prepare(Path("/cache"), environ)
    assert environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert environ["OMP_WAIT_POLICY"] == "PASSIVE"
