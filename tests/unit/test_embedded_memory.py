"""How much memory the embedded Postgres takes for its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.embedded import memory

GB = 1024**3


@pytest.mark.parametrize(
    ("machine", "limit", "setting"),
    [
        (4 * GB, None, "1024MB"),
        (64 * GB, None, "2048MB"),
        (GB // 4, None, "128MB"),
        (64 * GB, str(2 * GB), "512MB"),
        (4 * GB, "max", "1024MB"),
        (4 * GB, "9223372036854771712", "1024MB"),
    ],
    ids=["a quarter", "at most", "at least", "of a container", "a container without a limit", "the same, version 1"],
)
def test_a_quarter_of_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: int, limit: str | None, setting: str
) -> None:
    told = tmp_path / "memory.max"
    if limit is not None:
        told.write_text(f"{limit}\n")
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": machine // 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    monkeypatch.setattr(memory, "LIMITS", (tmp_path / "none", told))
    assert memory.shared_buffers() == setting
