"""What a pipeline file imports from `triggers`, and what that costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import triggers


@pytest.mark.parametrize("name", triggers.__all__)
def test_public_name_leads_to_its_class(name: str) -> None:
    assert getattr(triggers, name).__name__ == name


def test_unknown_name_is_an_attribute_error_that_lists_the_known() -> None:
    with pytest.raises(AttributeError, match="known are HMAC, SNS, Aggregate"):
        triggers.Crom  # noqa: B018


def test_importing_triggers_loads_no_client() -> None:
    declare = (
        "import sys, triggers; from triggers import *;"
        "print(*({'aiokafka', 'apscheduler', 'watchfiles', 'obstore'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", declare], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.split() == []
