"""When a file is complete, and what its event says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.errors import InvalidTrigger
from triggers.files import Files
from triggers.files.event import decode_path, encode_path, landed, path_of
from triggers.files.policy import Promise, Sighting, Sign, Verdict, is_due, parse_manifest, sight

NO_SIGN = Sign()


def judge(trigger: Files, sign: Sign = NO_SIGN, *, mtime_ns: int = 100, size_bytes: int = 5) -> Verdict:
    return trigger.policy.judge("a.csv", size_bytes, mtime_ns, sign)


def test_a_file_of_the_stable_policy_must_not_change_for_a_while() -> None:
    assert judge(Files("*.csv")) is Verdict.UNCHANGED_FIRST
    first = sight(1, None, 10.0)
    assert not is_due(first, 10.9, 1.0)
    assert is_due(sight(1, first, 11.0), 11.0, 1.0)


def test_a_change_starts_the_wait_again() -> None:
    assert sight(2, Sighting(1, 10.0), 10.9) == Sighting(2, 10.9)


def test_a_clock_set_back_starts_the_wait_again_rather_than_waiting_for_the_clock_to_catch_up() -> None:
    assert sight(1, Sighting(1, 3600.0), 10.0) == Sighting(1, 10.0)


def test_a_file_renamed_into_place_is_ready_at_once() -> None:
    assert judge(Files("*.csv", complete="rename")) is Verdict.READY


def test_a_marker_covers_what_was_written_before_it() -> None:
    trigger = Files("*.csv", complete="marker")
    assert judge(trigger) is Verdict.NOT_YET
    assert judge(trigger, Sign(100)) is Verdict.READY
    assert judge(trigger, Sign(99)) is Verdict.UNCHANGED_FIRST


def test_each_file_may_have_a_marker_of_its_own() -> None:
    policy = Files("*.csv", complete="marker", marker="{name}.done").policy
    assert policy.sign_of("a.csv") == "a.csv.done"
    assert policy.told_by("a.csv.done") == "a.csv"
    assert policy.is_sign("a.csv.done")
    assert not policy.is_sign("a.csv")
    assert not policy.is_sign(".done")


def test_a_manifest_covers_what_it_lists_with_the_right_size() -> None:
    trigger = Files("*.csv", complete="manifest")
    assert judge(trigger, Sign(1, {"b.csv": Promise(5)})) is Verdict.NOT_YET
    assert judge(trigger, Sign(1, {"a.csv": Promise(5)})) is Verdict.READY
    assert judge(trigger, Sign(1, {"a.csv": Promise(6)})) is Verdict.NOT_YET
    assert judge(trigger, Sign(1, {"a.csv": Promise()})) is Verdict.READY


@pytest.mark.parametrize(
    ("settings", "sizes", "sign", "verdict"),
    [
        ({"complete": "marker"}, {}, Sign(), Verdict.NOT_YET),
        ({"complete": "marker"}, {}, Sign(100), Verdict.READY),
        ({"complete": "marker"}, {"a": 1}, Sign(100), Verdict.READY),
        ({"complete": "marker"}, {"a": 1}, Sign(99), Verdict.UNCHANGED_FIRST),
        ({"complete": "manifest"}, {"a": 1}, Sign(), Verdict.NOT_YET),
        ({"complete": "manifest"}, {"a": 1}, Sign(1, {"a": Promise(1), "b": Promise(1)}), Verdict.NOT_YET),
        ({"complete": "manifest"}, {"a": 1, "b": 1}, Sign(1, {"a": Promise(1), "b": Promise(1)}), Verdict.READY),
        ({"complete": "stable"}, {}, Sign(), Verdict.NOT_YET),
        ({"complete": "stable"}, {"a": 1}, Sign(), Verdict.UNCHANGED_FIRST),
        ({"complete": "rename"}, {"a": 1}, Sign(), Verdict.READY),
    ],
)
def test_a_folder_is_complete_as_its_files_are(
    settings: dict[str, Any], sizes: dict[str, int], sign: Sign, verdict: Verdict
) -> None:
    assert Files("dt=*/", **settings).policy.judge_folder(sizes, 100, sign) is verdict


def test_a_manifest_gives_names_sizes_and_checksums() -> None:
    raw = orjson.dumps({"files": [{"name": "a", "size_bytes": 3, "sha256": "AB", "rows": 7}, {"name": "sub/b"}]})
    assert parse_manifest(raw) == {"a": Promise(3, "sha256", "ab"), "sub/b": Promise()}


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'{"files": {}}', b'{"files": ["a"]}', b'{"files": [{"name": "a", "size_bytes": "3"}]}']
)
def test_half_a_manifest_is_none(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_manifest(raw)


@pytest.mark.parametrize(
    ("pattern", "settings", "wrong"),
    [
        ("*.csv", {"complete": "done"}, "complete='done' is not one of"),
        ("*.csv", {"stable_s": -1}, "stable_s=-1"),
        ("*.csv", {"rescan_s": 0}, "rescan_s=0"),
        ("*.csv", {"marker": "a/b"}, "marker='a/b'"),
        ("*.csv", {"complete": "rename", "marker": "x"}, "marker='x' is for complete"),
        ("*.csv", {"manifest": "x.json"}, "manifest='x.json' is for complete"),
        ("in[/*.csv", {}, "is not closed"),
        ("*.csv", {"ignore": "*.tmp"}, "ignore takes a list"),
        ("landing/*.tmp", {}, "all it matches is ignored"),
        ("../x", {}, r'cannot hold ".."'),
    ],
)
def test_a_wrong_setting_is_refused_when_it_is_declared(pattern: str, settings: dict[str, Any], wrong: str) -> None:
    with pytest.raises(InvalidTrigger, match=wrong):
        Files(pattern, **settings)


def test_what_writers_have_not_finished_is_ignored_by_its_name() -> None:
    policy = Files("*").policy
    assert all(map(policy.ignores, ["a.tmp", "a.part", "a.csv._COPYING_", "a~", "_temporary"]))
    assert not any(map(policy.ignores, ["a.csv", "tmp", "a.parts", "_SUCCESS"]))


@given(st.binary(min_size=1).filter(lambda raw: b"\0" not in raw))
def test_any_path_becomes_text_that_any_database_takes_and_back(raw: bytes) -> None:
    path = raw.decode("utf-8", "surrogateescape")
    text = encode_path(path)
    assert decode_path(text) == path
    assert text.encode()
    assert text.isprintable() or all(character >= "\xa0" for character in text if not character.isprintable())


def test_a_readable_path_stays_readable() -> None:
    assert encode_path("landing/dt=2013-01-02/übung (1) a+b@c.csv") == "landing/dt=2013-01-02/übung (1) a+b@c.csv"
    assert encode_path("50%\n\udcff") == "50%25%0A%FF"


def event_of(path: str, mtime_ns: int = 0) -> Any:
    return landed(
        path=f"/srv/{path}",
        key=encode_path(path),
        size_bytes=3,
        mtime_ns=mtime_ns,
        identity="d1",
        digest="d1",
        files=None,
    )


def test_the_event_of_a_file_carries_its_path_and_content() -> None:
    event = event_of("in/50%.csv", 1_500_000_000)
    assert (event.source, event.id, event.subject) == ("tidemill:files", "in/50%25.csv@d1", "in/50%25.csv")
    assert event.time == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert event.data == {
        "path": "/srv/in/50%.csv",
        "relative_path": "in/50%.csv",
        "size_bytes": 3,
        "mtime_ns": 1_500_000_000,
        "digest": "d1",
    }
    assert str(path_of(event)) == "/srv/in/50%.csv"


def test_a_name_that_is_not_utf8_can_be_shown_sent_and_opened() -> None:
    event = event_of("in/a\udcff.csv")
    assert event.id == "in/a%FF.csv@d1"
    assert event.data["path"] == "/srv/in/a\ufffd.csv"
    assert orjson.dumps(event.data)
    assert str(path_of(event)) == "/srv/in/a\udcff.csv"


@pytest.mark.parametrize("mtime_ns", [-(2**63), 2**63 - 1, 10**25, -1])
def test_an_absurd_modification_time_is_no_reason_to_fail(mtime_ns: int) -> None:
    assert event_of("a", mtime_ns).time.tzinfo is UTC
