"""Trace context against the headers of the W3C's own test suite."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.vectors import vectors
from triggers.headers import fold
from triggers.trace import trace_of

CASES = vectors("traceparent/cases.json")["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['test']}:{case['headers'][0][1]}")
def test_w3c_case(case: dict[str, Any]) -> None:
    folded = fold([(name.encode(), value.encode()) for name, value in case["headers"]])
    found = trace_of(folded)
    assert bool(found) is (case["expect"] == "same trace-id")
    if found:
        assert found["traceparent"][3:35] == "12345678901234567890123456789012"
