"""The pages that the documentation names are there."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.console import look
from service.console.look import cut, named, so_far
from service.console.pages import PAGES

DOCUMENT = Path(__file__).parents[2] / "docs" / "console.md"


def test_every_page_in_the_documentation_is_one() -> None:
    named = {
        re.sub(r"[A-Z]+", "{}", path) for path in re.findall(r"`(/[A-Za-z/]*)`", DOCUMENT.read_text(encoding="utf-8"))
    }
    assert "/events/{}/explain" in named
    assert named <= {re.sub(r"\{[^}]*\}", "{}", path) for path, _ in PAGES}


def test_a_name_that_is_too_long_shows_both_ends_and_the_whole_when_pointed_at() -> None:
    assert cut("landing/flights/2026-01.parquet") == "landing/flights/2026-01.parquet"
    name = "<b>" + "x" * 2000 + "/2026-01.parquet"
    told = str(cut(name))
    assert told.endswith("x/2026-01.parquet</span>")
    assert told.startswith(f'<span title="&lt;b&gt;{"x" * 2000}/2026-01.parquet">&lt;b&gt;xx')
    assert len(told.partition(">")[2]) < 100


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.2, "1 s"), (59.9, "59 s"), (77.3, "1 min 17 s"), (120.0, "2 min"), (7_260.0, "2 h 1 min")]
)
def test_what_goes_on_is_told_in_whole_seconds_as_the_script_goes_on_to_tell_it(seconds: float, told: str) -> None:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    text = str(so_far(now - timedelta(seconds=seconds), now))
    assert text.startswith("for <time datetime=")
    assert f" data-lasts>{told}</time>" in text
    assert so_far(None, now) == ""


def test_what_the_start_page_is_made_of_is_compiled_while_a_daemon_starts(tmp_path: Path) -> None:
    templates = Path(look.__file__).parent / "templates"
    named, wanted = set[str](), {"now.html"}
    while new := wanted - named:
        named |= new
        wanted |= {one for name in new for one in re.findall(r'"(\w+\.html)"', (templates / name).read_text())}
    assert set(look.START) == named
    look.prepare(tmp_path)


def test_what_was_compiled_at_one_start_is_taken_at_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(folder: Path) -> None:
        look._environment.cache_clear()
        look.prepare(folder)

    start(tmp_path / "pages")
    assert len(list((tmp_path / "pages").iterdir())) == len(look.START)
    with monkeypatch.context() as patched:
        patched.setattr("jinja2.Environment.compile", None)
        start(tmp_path / "pages")
        patched.setattr(look, "MADE_BY", "others")
        with pytest.raises(TypeError):
            start(tmp_path / "pages")
    (tmp_path / "file").touch()
    start(tmp_path / "file" / "pages")


def test_a_page_first_asked_for_after_its_file_was_replaced_is_as_it_was_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look.prepare(tmp_path)

    def gone(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", gone)
    environment = look._environment()
    assert environment.cache is not None
    environment.cache.clear()
    assert environment.get_template("runs.html").name == "runs.html"
    assert not environment.auto_reload


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"id": "2026-01-05T03:00:00Z", "subject": "daily"}, "2026-01-05 03:00:00 UTC"),
        ({"id": "2026-01-05T03:00:00Z", "subject": "daily/night"}, "2026-01-05 03:00:00 UTC (daily/night)"),
        ({"id": "body-17", "subject": None}, "body-17"),
    ],
)
def test_a_tick_is_called_by_its_instant_as_pages_tell_instants(event: dict[str, str], told: str) -> None:
    assert named(event, "daily") == told
