"""Settings: the order of sources, what is refused, what is hidden."""

import json
import stat
import tomllib
from pathlib import Path

import pytest

from assistant import config
from assistant.errors import ConfigError
from tests.cli.conftest import Run

DIGEST = "a" * 64


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIVAVOCE_CONFIG", str(tmp_path / "config.toml"))


def write(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)


def test_later_sources_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, '[server]\nport = 1\nhost = "a"\nmax_sessions = 7\n')
    monkeypatch.setenv("VIVAVOCE_SERVER__PORT", "2")
    monkeypatch.setenv("VIVAVOCE_SERVER__HOST", "b")
    server = config.load(flags={"server": {"port": 3, "host": None}}).server
    assert (server.port, server.host, server.max_sessions) == (3, "b", 7)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[server]\nprot = 1\n", r"no setting 'server\.prot'.*did you mean server\.port.*valid: model, "),
        ("[server]\nport = 70000\n", r"server\.port"),
        ('[server]\nport = "x"\n', r"server\.port"),
        ('device = "tpu"\n', "device"),
        ('[server]\ntokens = ["secret"]\n', "SHA-256"),
        ("[server\n", "not valid TOML"),
    ],
)
def test_bad_settings_are_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    write(tmp_path, text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        config.load()
    assert "\n" not in str(caught.value)


def test_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVAVOCE_SERVER__PROT", "2")
    with pytest.raises(ConfigError, match="did you mean VIVAVOCE_SERVER__PORT"):
        config.load()


def test_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="config init"):
        config.load(tmp_path / "none.toml")


def test_template_is_valid_with_every_line_taken_in() -> None:
    lines = [line.removeprefix("# ") for line in config.template().splitlines()[1:] if "not set" not in line]
    tables = tomllib.loads("\n".join(lines))
    assert tables["server"]["port"] == config.Settings.model_construct().server.port
    assert tables["server"]["limits"]["audio_rate"] == 3.0


def test_show_redacts_tokens(run: Run, tmp_path: Path) -> None:
    write(tmp_path, f'[server]\ntokens = ["{DIGEST}"]\n')
    for arguments in (("config", "show"), ("config", "show", "--json")):
        done = run(*arguments)
        assert done.returncode == 0
        assert DIGEST not in done.stdout
        assert "***" in done.stdout


def test_init_writes_once_and_privately(run: Run, tmp_path: Path) -> None:
    assert run("config", "path").stdout.strip() == str(tmp_path / "config.toml")
    assert run("config", "init").returncode == 0
    assert stat.S_IMODE((tmp_path / "config.toml").stat().st_mode) == 0o600
    again = run("config", "init")
    assert again.returncode == 1
    assert "--force" in again.stderr
    assert run("config", "init", "--force").returncode == 0
    assert json.loads(run("config", "show", "--json").stdout)["device"] == "auto"
