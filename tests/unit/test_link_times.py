"""How long `tidemill link` may be told to hold."""

from __future__ import annotations

import pytest
import typer

from service.cli.links import seconds


@pytest.mark.parametrize(("told", "time_s"), [("1s", 1), ("90min", 5_400), ("8h", 28_800), ("30d", 2_592_000)])
def test_a_time_is_read_as_people_write_it(told: str, time_s: float) -> None:
    assert seconds(told) == time_s


@pytest.mark.parametrize(("told", "wrong"), [("90d", "30 days"), ("0", "30 days"), ("soon", "write 90min")])
def test_a_time_that_no_link_may_hold_is_said_to_be_none_in_its_own_words(told: str, wrong: str) -> None:
    with pytest.raises(typer.BadParameter, match=wrong):
        seconds(told)
