from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from service.cli import main as entry
from service.errors import ServiceError
from stages.errors import InvalidPipeline
from triggers.errors import InvalidTrigger


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TIDEMILL_")]:
        monkeypatch.delenv(name)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tidemill", *arguments])
    with pytest.raises(SystemExit) as caught:
        entry.main()
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_commands_are_found_in_the_package(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--help") == 0
    assert "\n  config " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("runs", "--state", "failed", "--state", "cancelled"), "--state"),
        (("tokens", "create", "ci", "--role", "viewer", "--role", "operator", "--by", "a", "--by=b"), "--by"),
    ],
)
def test_an_option_given_twice_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], option: str
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert f"{option} is given 2 times, and taken once" in capsys.readouterr().err


def test_what_may_be_repeated_is_taken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TIDEMILL_URL", "http://127.0.0.1:1")
    assert run(monkeypatch, "runs", "--tag", "a", "--tag", "b", "--json", "--json") == 2
    assert "no daemon answers" in capsys.readouterr().err


def test_the_version_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("tidemill 0.")


def test_an_unknown_command_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "frobnicate") == 2


@pytest.mark.parametrize("error", [ServiceError, InvalidTrigger, InvalidPipeline])
def test_an_error_of_ours_is_one_message_and_code_2(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing() -> typer.Typer:
        app = typer.Typer()

        @app.command()
        def anything() -> None:
            raise error("what is wrong, where, what to do")

        return app

    monkeypatch.setattr(entry, "build_app", failing)
    assert run(monkeypatch) == 2
    assert capsys.readouterr() == ("", "tidemill: what is wrong, where, what to do\n")


def test_an_error_that_is_not_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> typer.Typer:
        raise ZeroDivisionError

    monkeypatch.setattr(entry, "build_app", failing)
    with pytest.raises(ZeroDivisionError):
        entry.main()


def test_config_shows_values_and_origins(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TIDEMILL_API_TOKEN", "hunter2")
    Path("mill.toml").write_text("[http]\nport = 1001")
    assert run(monkeypatch, "config", "--config", "mill.toml", "--json") == 0
    lines = {line["key"]: line for line in json.loads(capsys.readouterr().out)}
    assert lines["http.port"] == {"key": "http.port", "value": "1001", "origin": "mill.toml"}
    assert lines["http.api_token"]["value"] == "****"
    assert run(monkeypatch, "config", "--config", "mill.toml") == 0
    table = capsys.readouterr().out
    assert "hunter2" not in table
    assert ["http.port", "1001", "mill.toml"] in [line.split() for line in table.splitlines()]


def test_config_tells_a_wrong_setting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TIDEMILL_HTTP_PRT", "1")
    assert run(monkeypatch, "config") == 2
    assert "did you mean TIDEMILL_HTTP_PORT?" in capsys.readouterr().err


def test_help_imports_nothing_slow() -> None:
    code = "import service.cli.main as entry, sys; entry.build_app(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    slow = {"pydantic", "aiokafka", "apscheduler", "asyncpg", "faust", "httpx", "obstore", "polars", "pyarrow"}
    slow |= {"rich", "sklearn", "starlette", "uvicorn", "watchfiles", "stages", "triggers"}
    assert slow.isdisjoint(loaded.split())


def test_to_embed_a_broker_where_one_is_set_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEMILL_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert run(monkeypatch, "up", "--kafka", "apache") == 2
    assert "--kafka apache: a broker is set already (127.0.0.1:1), so none is embedded" in capsys.readouterr().err


def test_a_broker_that_cannot_be_embedded_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "up", "--kafka", "redpanda") == 2
    assert "kafka.embedded" in (told := capsys.readouterr().err)
    assert "one of tansu, apache" in told
