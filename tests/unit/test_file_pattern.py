"""Which paths a pattern means."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.errors import InvalidTrigger
from triggers.files.pattern import Pattern
from triggers.files.scan import cover


def means(text: str, path: str, root: str = "/srv/root") -> bool:
    pattern = Pattern.of(text, root)
    *folders, name = path.strip("/").split("/")
    spots = pattern.start()
    for folder in folders:
        spots = pattern.enter(spots, folder)
    return pattern.accepts(spots, name)


@pytest.mark.parametrize(
    ("text", "path", "meant"),
    [
        ("landing/*.csv", "/srv/root/landing/a.csv", True),
        ("landing/*.csv", "/srv/root/landing/sub/a.csv", False),
        ("landing/*.csv", "/srv/root/a.csv", False),
        ("landing/**/*.csv", "/srv/root/landing/a.csv", True),
        ("landing/**/*.csv", "/srv/root/landing/x/y/a.csv", True),
        ("landing/**/y/*.csv", "/srv/root/landing/x/y/a.csv", True),
        ("landing/**/y/*.csv", "/srv/root/landing/y/x/a.csv", False),
        ("landing/**", "/srv/root/landing/x/y/a", True),
        ("./landing//a.csv", "/srv/root/landing/a.csv", True),
        ("landing/a[0-9].csv", "/srv/root/landing/a7.csv", True),
        ("landing/a[!0-9].csv", "/srv/root/landing/a7.csv", False),
        ("landing/*.csv", "/srv/root/landing/.a.csv", False),
        ("landing/.*.csv", "/srv/root/landing/.a.csv", True),
        ("landing/**/*.csv", "/srv/root/landing/.git/a.csv", False),
        ("landing/*.csv", "/srv/root/landing/a\udcff\n.csv", True),
        ("landing/*.CSV", "/srv/root/landing/a.csv", False),
        ("/mnt/share/*.csv", "/mnt/share/a.csv", True),
        ("landing/dt=*/", "/srv/root/landing/dt=1", True),
    ],
)
def test_a_pattern_means_what_a_shell_would_mean(text: str, path: str, meant: bool) -> None:
    assert means(text, path) is meant


def test_the_root_is_taken_literally_whatever_it_is_called() -> None:
    assert means("*.csv", "/srv/[a-z]*/x.csv", root="/srv/[a-z]*")
    assert not means("*.csv", "/srv/b/x.csv", root="/srv/[a-z]*")


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("landing/flights/*.csv", "/srv/root/landing/flights"),
        ("landing/**/flights/*.csv", "/srv/root/landing"),
        ("*.csv", "/srv/root"),
        ("landing/orders.csv", "/srv/root/landing"),
        ("landing/dt=*/", "/srv/root/landing"),
        ("/mnt/share/**", "/mnt/share"),
    ],
)
def test_the_base_is_the_folder_that_has_to_exist(text: str, base: str) -> None:
    assert Pattern.of(text, "/srv/root").base == base


@pytest.mark.parametrize("text", ["", "/", "a/../b", "..", "landing/.", "a\0b"])
def test_what_cannot_be_a_pattern_is_refused_with_the_pattern_named(text: str) -> None:
    with pytest.raises(InvalidTrigger, match=re.escape(f'Files("{text}")')):
        Pattern.of(text, "/")


segments = st.sampled_from(["a", "b", "*", "a*", "**", "?"])
names = st.sampled_from(["a", "b", "ab", "ba"])


@given(st.lists(segments, min_size=1, max_size=6), st.lists(names, min_size=1, max_size=6))
def test_the_walk_agrees_with_one_expression_over_the_whole_path(pattern: list[str], path: list[str]) -> None:
    if pattern[-1] == "**":
        pattern = [*pattern, "*"]
    one = "".join(
        "(?:[^/]+/)*" if segment == "**" else segment.replace("*", "[^/]*").replace("?", "[^/]") + "/"
        for segment in pattern
    )
    assert means("/".join(pattern), "/".join(path), root="/") is (re.fullmatch(one, "/".join(path) + "/") is not None)


def test_folders_inside_others_are_covered_by_them() -> None:
    assert cover(["/a/b", "/a", "/ab", "/a/b/c", "/a-b"]) == ["/a-b", "/a", "/ab"]
    assert cover(["/a", "/"]) == ["/"]
