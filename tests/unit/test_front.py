"""A client that hangs up while it is answered is no fault of ours, whatever the loop calls it."""

from __future__ import annotations

from typing import Any

import pytest

from service.api.front import _to_whom_is_there
from service.api.problems import ClientGone


@pytest.mark.parametrize(
    ("says", "raised"),
    [
        (
            "unable to perform operation on <TCPTransport closed=True reading=False 0x5>; the handler is closed",
            ClientGone,
        ),
        ("a fault of ours", RuntimeError),
    ],
)
async def test_writing_to_a_connection_that_is_gone_is_told_from_other_faults(
    says: str, raised: type[Exception]
) -> None:
    async def send(message: Any) -> None:
        raise RuntimeError(says)

    with pytest.raises(raised):
        await _to_whom_is_there(send, {})({"type": "http.response.start", "status": 200, "headers": []})
