"""The API keeps to its own description: schemathesis asks a daemon with data whatever the document allows, and more."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from service.api.openapi import document
from service.api.routes import ENDPOINTS
from service.model import RunState
from tests.db.api import PIPELINES, STRUCTURED, Api, api, cloudevent
from tests.db.test_api_description import HOURS, ticking

EXAMPLES, SEED = 12, 20_261_127
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "negative_data_rejection"),
)
# What happens has no end.
LEFT_OUT = ("/api/v1/stream",)
SERVED = re.compile(r'tidemill_http_requests_total{method="(\w+)",route="([^"]+)",status="(\d+)"}')
# What nobody guesses: the signature of a link.
GUESSED = "/decide/{token}"


def test_the_document_is_openapi() -> None:
    errors = [
        f"{list(each.absolute_path)}: {each.message}"
        for each in OpenAPIV31SpecValidator(document(ENDPOINTS)).iter_errors()
    ]
    assert errors == []


async def data(one: Api) -> str:
    """Something of every kind, and where it is."""
    runs = [await one.start("sums", factor=3), await one.start("broken"), await one.start("line")]
    runs += [await one.start("gated", RunState.WAITING), await one.start("broken")]
    await one.call(one.client.move_alias, "line", "production", 1, None)
    await one.post("/api/v1/events", cloudevent(), headers=STRUCTURED)
    assert (await one.post("/api/v1/backfills", HOURS)).status_code == 201
    await one.daemon.writer.drained()
    stages = (await one.http.get(f"/api/v1/runs/{runs[0]}")).json()["stages"]
    there = {
        "run": [str(run) for run in runs],
        "other": [str(run) for run in runs],
        "stage": ["add", "double", "breaks"],
        "gate": ["add-double"],
        "digest": [stage["output"]["digest"] for stage in stages],
        "pipeline": ["sums", "gated", "line"],
        "model": ["line"],
        "version": ["1"],
        "alias": ["production"],
        "trigger": ["ticking/every:1h"],
        "backfill": ["1"],
        "event": ["1"],
        "hook": ["plain"],
    }
    known = [f"[dictionaries.{name}]\nvalues = {json.dumps(values)}" for name, values in there.items()]
    used = [f'"path.{name}" = {{ dictionary = "{name}", probability = 0.9 }}' for name in there]
    return "\n".join([*known, "[parameters]", *used])


@pytest.mark.timeout(240)
async def test_whatever_is_asked_is_answered_as_the_document_says(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=(*PIPELINES, ticking)) as one:
        (tmp_path / "schemathesis.toml").write_text(await data(one))
        command: list[Any] = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{one.daemon.address}/api/v1/openapi.json"),
            *("--seed", SEED, "--max-examples", EXAMPLES, "--mode", "all", "--phases", "examples,coverage,fuzzing"),
            *("--checks", ",".join(CHECKS), "--no-color", "--continue-on-failure"),
            *(word for path in LEFT_OUT for word in ("--exclude-path", path)),
        ]
        process = await asyncio.create_subprocess_exec(
            *map(str, command), cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        told, _ = await process.communicate()
        assert process.returncode == 0, told.decode()
        served = SERVED.findall((await one.http.get("/metrics")).text)
    read = {route.replace(":path", "") for method, route, status in served if method == "GET" and status[0] in "23"}
    there = {each.path.replace(":path", "") for each in ENDPOINTS if each.method == "GET"}
    assert there - read == {*LEFT_OUT, GUESSED}
