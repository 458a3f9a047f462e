"""Whose forms are ours."""

from __future__ import annotations

import pytest

from service.api.access import check_form_origin
from service.api.problems import Problem


def check(origin: str | None, site: str | None, public_url: str | None = None) -> None:
    given = {b"host": "mill.example:8400", b"origin": origin, b"sec-fetch-site": site}
    headers = [(name, value.encode()) for name, value in given.items() if value is not None]
    check_form_origin({"type": "http", "headers": headers}, public_url)


@pytest.mark.parametrize("public_url", [None, "https://public.example"])
@pytest.mark.parametrize("origin", ["null", "", "https://evil.example", "http://mill.example:1", "http://["])
def test_a_form_from_elsewhere_is_refused(origin: str, public_url: str | None) -> None:
    with pytest.raises(Problem, match="a page from"):
        check(origin, None, public_url)
    with pytest.raises(Problem, match="a page from"):
        check("http://mill.example:8400", "cross-site", public_url)


def test_our_own_is_taken() -> None:
    check("http://mill.example:8400", "same-origin")
    check("https://public.example", None, "https://public.example/")
    check(None, None)
