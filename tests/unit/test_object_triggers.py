"""Triggers of files and objects as they are declared: what is right, what is wrong, and what the document shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import stages
import triggers
from stages import Event, stage
from triggers import ObjectNotices, Objects, ObjectTopic
from triggers.errors import InvalidTrigger
from triggers.objects.memory import ROW_MARKS, Marks, mark_of, packed, row_of, rows_of, unpacked
from triggers.objects.place import ObjectPattern, Place, azure_address
from triggers.route import Route

ROOT = Path(__file__).parents[2]


def test_what_the_document_shows_can_be_declared() -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "docs/files.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(shown) == 3
    names: dict[str, Any] = {name: getattr(triggers, name) for name in triggers.__all__}
    for block in shown:
        exec(compile(block, "docs/files.md", "exec"), {**names, "stage": stage, "Event": stages.Event})
    assert Event is stages.Event


@pytest.mark.parametrize(
    ("url", "settings", "told"),
    [
        ("landing/*.csv", {}, "it is no address of objects"),
        ("ftp://host/*.csv", {}, "is not one of s3, gs, az, file, memory"),
        ("s3:///landing/*.csv", {}, "the name of the bucket is missing"),
        ("s3://bucket", {}, "it names no objects"),
        ("s3://bucket/", {}, "it names no objects"),
        ("s3://buck*/a.csv", {}, "a bucket's name cannot be a pattern"),
        ("s3://bucket//a.csv", {}, "a key has no empty"),
        ("s3://bucket/a/../b.csv", {}, "a key has no empty"),
        ("https://example.com/a/*.csv", {}, "of web addresses only"),
        ("file://landing/*.csv", {}, "write file:/// and a path from the root on"),
        ("s3://bucket/*", {"poll_s": 0}, "poll_s=0 must be above 0"),
        ("s3://bucket/*", {"rescan_s": -1}, "rescan_s=-1 must be above 0, or None"),
        ("s3://bucket/*", {"complete": "soon"}, "complete='soon' is none of"),
        ("s3://bucket/*", {"complete": "stable"}, "an object appears whole"),
        ("s3://bucket/dt=*/", {}, "a folder is never written at once"),
        ("s3://bucket/dt=*/", {"complete": "marker", "ordered": True}, "ordered is for single objects"),
        ("file:///in/*", {"ordered": True}, "files are not listed in order"),
        ("s3://bucket/*", {"marker": "a/b"}, "marker='a/b' is not the name of an object"),
        ("s3://lake/[", {}, "\"[\" in '[' is not closed"),
        ("s3://lake/dt=[0-9/*.csv", {}, "is not closed"),
        ("s3://bucket/*", {"complete": "written", "marker": "x"}, "marker='x' is for complete"),
        ("s3://bucket/*", {"ignore": "*.tmp"}, "ignore takes a list"),
        ("s3://bucket/*", {"endpoint": "minio:9000"}, "is no http: or https: address"),
        ("s3://bucket/*", {"options": {"access_key_id": 1}}, "options maps names to text"),
        ("s3://bucket/*", {"options": "env:X"}, "options maps names to text"),
    ],
)
def test_what_is_wrong_with_a_declaration_is_told(url: str, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidTrigger, match=re.escape(told)):
        Objects(url, **settings)


def test_what_is_wrong_with_a_listener_of_notifications_is_told() -> None:
    wrong: list[tuple[Any, dict[str, Any], str]] = [
        (ObjectNotices, {"changes": ["deleted"]}, "give some of"),
        (ObjectNotices, {"changes": "created"}, "give some of"),
        (ObjectNotices, {"url": "s3://bucket/dt=*/"}, "single objects"),
        (ObjectTopic, {"changes": []}, "give some of"),
        (ObjectTopic, {"start": "now"}, "neither 'earliest' nor 'latest'"),
    ]
    for kind, settings, told in wrong:
        with pytest.raises(InvalidTrigger, match=told):
            kind("name", **settings)


def test_a_missing_secret_is_told_where_the_bucket_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    trigger = Objects("s3://bucket/*", options={"access_key_id": "env:NOT_THERE"})
    [lacking] = trigger.lacks(ROOT)
    assert "option access_key_id: environment variable 'NOT_THERE' is not set" in lacking
    assert "NOT_THERE" not in repr(trigger)


@pytest.mark.parametrize(
    ("pattern", "key", "means"),
    [
        ("s3://b/landing/*.csv", "landing/a.csv", True),
        ("s3://b/landing/*.csv", "landing/x/a.csv", False),
        ("s3://b/landing/**/*.csv", "landing/a.csv", True),
        ("s3://b/landing/**/*.csv", "landing/x/y/a.csv", True),
        ("s3://b/landing/**", "landing/x/y", True),
        ("s3://b/*.csv", ".hidden.csv", False),
        ("s3://b/a [x].csv", "a x.csv", True),
        ("s3://b/dt=*/", "dt=1/a.csv", False),
        ("file:///in/*.csv", "in/a.csv", True),
    ],
)
def test_which_keys_a_pattern_means(pattern: str, key: str, means: bool) -> None:
    assert ObjectPattern.of(pattern).matches(key) is means


def test_which_folders_a_pattern_means() -> None:
    folders = ObjectPattern.of("s3://b/in/**/dt=*/")
    assert list(folders.folders_of("in/x/dt=1/deep/dt=2/a.csv")) == ["in/x/dt=1", "in/x/dt=1/deep/dt=2"]
    assert list(folders.folders_of("in/dt=1")) == []
    assert (folders.prefix, ObjectPattern.of("s3://b/*.csv").prefix) == ("in", "")


def test_a_pattern_is_known_to_those_who_ask_what_would_become_of_an_event() -> None:
    trigger = Objects("az://box/in/*.csv")
    assert trigger.deaf_to(Route("object", "https://acc.blob.core.windows.net/box/in/a%20b.csv"), "p") is None
    assert Objects("s3://b/in/*.csv").deaf_to(Route("object", "s3://b/in/a.csv"), "p") is None
    assert Objects("s3://b/dt=*/", complete="marker").deaf_to(Route("object", "s3://b/dt=1/"), "p") is None
    assert "is not like" in str(Objects("s3://b/in/*.csv").deaf_to(Route("object", "s3://b/a.csv"), "p"))
    assert "it lists objects" in str(Objects("s3://b/in/*.csv").deaf_to(Route("http"), "p"))


def test_buckets_are_told_apart_by_account_where_it_is_known() -> None:
    known, other, unknown = (Place("az", "box", account) for account in ("one", "two", ""))
    assert known.holds(known)
    assert known.holds(unknown)
    assert unknown.holds(known)
    assert not known.holds(other)
    assert azure_address("http://127.0.0.1:10000/devstore/box/a.csv") == (Place("az", "box", "devstore"), "a.csv")
    assert azure_address("https://acc.blob.core.windows.net/box") is None
    assert azure_address("https://[broken") is None


def test_marks_are_a_set_that_can_be_stored() -> None:
    marks = [mark_of(f"key-{number}", "etag") for number in range(30_000)]
    kept = Marks(marks[:100])
    for start in range(100, 30_000, 500):
        kept.add(marks[start : start + 500])
    kept.add(marks[:1_000])
    assert len(kept) == 30_000
    assert all(mark in kept for mark in marks)
    assert mark_of("key-0", "other") not in kept
    rows = rows_of(sorted(marks))
    assert len(rows) == -(-30_000 // ROW_MARKS)
    assert {mark for row in rows for mark in unpacked(row)} == set(marks)
    assert packed(marks[:3]) == packed(reversed(marks[:3]))
    assert len({row_of(row) for row in rows}) == len(rows)


def test_declaring_them_loads_nothing_heavy() -> None:
    code = "import sys; from triggers import *; Objects('s3://b/*'); ObjectTopic('t'); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert not {"obstore", "aiokafka"} & set(done.stdout.split())
