"""Real payloads of GitHub, signed, against the daemon: none is refused, however the hook reads them."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

from service.settings import Role
from stages import Pipeline
from tests.conformance.vectors import vectors
from tests.db.api import SECRET, add, api
from tests.db.writing import rows
from triggers import AsCloudEvent, GitHub, Webhook

SAMPLES = vectors("payloads/github_selected.json")["payloads"]
as_it_is = Pipeline("plain", [add], on=[Webhook("plain", verify=GitHub(SECRET))])
adapted = Pipeline("adapted", [add], on=[Webhook("adapted", verify=GitHub(SECRET), read=AsCloudEvent())])


async def test_every_real_payload_is_taken_once_by_either_reading(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, pipelines=(as_it_is, adapted)) as one:
        for number, (name, payload) in enumerate(SAMPLES.items()):
            body = json.dumps(payload).encode()
            headers = {
                "content-type": "application/json",
                "X-GitHub-Event": name.partition(".")[0],
                "X-GitHub-Delivery": f"d-{number}",
                "X-Hub-Signature-256": "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(),
            }
            for hook in ("plain", "adapted"):
                first, again = [(await one.http.post(f"/hooks/{hook}", content=body, headers=headers)) for _ in "12"]
                expected = (204, 204) if name == "ping" else (202, 200)
                assert (first.status_code, again.status_code) == expected, (hook, name, first.text)
    counted = await rows(database, "select pipeline, count(*) from outcomes group by pipeline order by pipeline")
    assert [tuple(row) for row in counted] == [("adapted", len(SAMPLES) - 1), ("plain", len(SAMPLES) - 1)]
