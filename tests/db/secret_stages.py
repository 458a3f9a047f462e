"""Stages that tell the secrets among their parameters in every way they can."""

from __future__ import annotations

import logging

from pydantic import BaseModel, Field, SecretBytes, SecretStr

from stages import Event, Permanent, Pipeline, StageContext, SubRun, stage
from stages.gates.base import GateResult


class Login(BaseModel):
    """Of a database."""

    user: str = "reader"
    password: SecretStr


class Keys(BaseModel):
    """What the pipelines take."""

    token: SecretStr = SecretStr("of-the-author")
    key: SecretBytes = SecretBytes(b"")
    marked: str = Field("", json_schema_extra={"secret": True})
    login: Login | None = None
    works: bool = False


def spoken(params: Keys) -> str:
    password = params.login.password.get_secret_value() if params.login else ""
    return f"{params.token.get_secret_value()} {params.key.get_secret_value().decode()} {params.marked} {password}"


@stage(reuse="run")
async def asks(event: Event, params: Keys, context: StageContext) -> int:
    told = spoken(params)
    context.logger.info("asking with %s", told, extra={"told": told})
    logging.getLogger("library").warning("headers %s", told)
    print("printed", told)
    context.progress(0.5, f"at {told}")
    if not params.works:
        raise Permanent(f"refused {told}")
    return len(told)


@stage(reuse="run")
async def ends(asks: int) -> int:
    return asks


def agrees(output: int, params: Keys) -> GateResult:
    """A gate that tells them too."""
    return GateResult.of(True, f"agreed to {spoken(params)}", {"with": spoken(params)})


inline = Pipeline("inline_secrets", [asks, ends], gates={("asks", "ends"): agrees})
process = Pipeline("process_secrets", [asks, ends], gates={("asks", "ends"): agrees}, runner="process")


@stage(reuse="run")
async def hands_on(params: Keys) -> SubRun:
    return SubRun("inline_secrets", params={"marked": params.marked, "works": True})


above = Pipeline("above_secrets", [hands_on])
PIPELINES = (inline, process, above)
