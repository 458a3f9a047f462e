"""Who is in which group, and who may decide a gate."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.config import describe, read_settings
from service.errors import ConfigError
from service.roles import Standing, standing

GROUPS = {"ml-leads": ("kim", "lee"), "ops": ("sam",)}


def read(
    environ: dict[str, str] | None = None, text: str = "", folder: Path | None = None
) -> dict[str, tuple[str, ...]]:
    path = None
    if folder is not None:
        path = folder / "tidemill.toml"
        path.write_text(text, encoding="utf-8")
    return {group.name: group.people for group in read_settings(path, environ or {}).groups}


def test_groups_are_read_from_the_environment_and_from_tables(tmp_path: Path) -> None:
    assert read({"TIDEMILL_GROUPS": "ml-leads=kim + lee, ops=sam"}) == GROUPS
    assert read(text='[groups]\nml-leads = ["kim", "lee"]\nops = "sam"', folder=tmp_path) == GROUPS
    assert read(text='groups = ["ml-leads=kim+lee", "ops=sam"]', folder=tmp_path) == GROUPS
    assert read({"TIDEMILL_GROUPS": "ops=sam"}, "[groups]\nops = ['lou']", tmp_path) == {"ops": ("sam",)}
    assert read() == {}


def test_groups_are_shown_as_they_are_written() -> None:
    shown = {line.key: line.value for line in describe(read_settings(environ={"TIDEMILL_GROUPS": "a=kim+lee,b=sam"}))}
    assert shown["groups"] == "a=kim+lee,b=sam"


@pytest.mark.parametrize("wrong", ["ml-leads", "ml-leads=", "=kim", "a=+", "a=kim,a=lee"])
def test_a_group_has_a_name_and_people_and_is_there_once(wrong: str) -> None:
    with pytest.raises(ConfigError, match="TIDEMILL_GROUPS"):
        read({"TIDEMILL_GROUPS": wrong})


def test_a_table_of_groups_holds_lists_of_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"group=person\+person"):
        read(text="[groups]\nml-leads = [1]", folder=tmp_path)


@pytest.mark.parametrize(
    ("person", "asked", "role"),
    [("kim", ["ml-leads"], "ml-leads"), ("sam", ["ml-leads", "ops"], "ops"), ("ann", ["ops", "ann"], "ann")],
)
def test_people_decide_by_name_or_by_group(person: str, asked: list[str], role: str) -> None:
    assert standing(person, asked, GROUPS) == Standing(True, role)


@pytest.mark.parametrize("person", ["sam", "KIM", "ml-leads", "kim "])
def test_nobody_else_does_and_is_told_who_may(person: str) -> None:
    found = standing(person, ["ml-leads", "ann"], GROUPS)
    assert not found.allowed
    assert found.note == "ml-leads (kim, lee); ann (a person: there is no group of that name in TIDEMILL_GROUPS)"


def test_where_no_groups_are_set_anybody_decides_and_it_is_said() -> None:
    found = standing("anybody", ["ml-leads"], {})
    assert (found.allowed, found.role) == (True, None)
    assert "anybody may decide for ml-leads" in found.note
    assert standing("anybody", [], GROUPS) == Standing(True)


def test_those_who_are_named_one_by_one_are_the_only_ones_also_without_groups() -> None:
    assert standing("ann", ["ann", "bob"], {}, 2, named=True) == Standing(True, "ann")
    found = standing("kim", ["ann", "bob"], {}, 2, named=True)
    assert (found.allowed, found.note.startswith("ann (a person: there is no group of that name")) == (False, True)
    assert standing("kim", ["ml-leads", "ann"], GROUPS, named=True) == Standing(True, "ml-leads")
    assert "only 1 may decide and 2 must: ann" in standing("ann", ["ann"], {}, 2, named=True).note


def test_a_quorum_larger_than_its_people_is_told() -> None:
    assert "only 1 may decide and 2 must: sam" in standing("sam", ["ops"], GROUPS, 2).note
    assert standing("kim", ["ml-leads"], GROUPS, 2).note == ""
