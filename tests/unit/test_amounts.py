"""The settings that name amounts: `pools` and `executor.resources`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.config import describe, read_settings
from service.errors import ConfigError
from service.pools import check_pools, pools_of
from service.settings import Settings
from stages.base import stage
from stages.pipeline import Pipeline


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(**environ: str) -> Settings:
    return read_settings(None, {f"TIDEMILL_{name}": value for name, value in environ.items()}, {})


def test_amounts_are_read_from_the_environment_and_shown_as_they_are_written() -> None:
    settings = read(POOLS="warehouse=4, gpu=1", EXECUTOR_RESOURCES="cpu=8,memory_gb=1.5")
    assert pools_of(settings.pools) == {"warehouse": 4, "gpu": 1}
    assert dict(settings.executor.resources) == {"cpu": 8.0, "memory_gb": 1.5}
    shown = {key: value for key, value, _ in describe(settings)}
    assert (shown["pools"], shown["executor.resources"]) == ("warehouse=4,gpu=1", "cpu=8,memory_gb=1.5")


def test_amounts_may_be_tables_of_a_file() -> None:
    file = Path("mill.toml")
    file.write_text("[pools]\nwarehouse = 4\n[executor.resources]\ngpu = 0.5", encoding="utf-8")
    settings = read_settings(file, {}, {})
    assert pools_of(settings.pools) == {"warehouse": 4}
    assert dict(settings.executor.resources) == {"gpu": 0.5}


@pytest.mark.parametrize("wrong", ["warehouse", "warehouse=", "=4", "a=0", "a=-1", "a=1.5", "a=nan", "a=1,a=2", "4"])
def test_what_is_no_number_of_places_is_refused_with_an_example(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"TIDEMILL_POOLS.*warehouse=4,gpu=1"):
        read(POOLS=wrong)


@stage
def nothing() -> int:
    return 1


def test_a_pool_that_is_not_set_is_named_with_its_pipeline_and_the_setting() -> None:
    pooled: list[Any] = [Pipeline("flights", [nothing], pool="warehouse"), Pipeline("free", [nothing])]
    check_pools(pooled, {"warehouse": 1})
    with pytest.raises(ConfigError, match=r"pipeline flights .*'warehouse'.*TIDEMILL_POOLS.*gpu=1.*warehouse=PLACES"):
        check_pools(pooled, {"gpu": 1})
