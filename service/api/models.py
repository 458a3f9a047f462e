"""Models: the registry, for people and for stages that run elsewhere, and predictions."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.bodies import AliasBody, VersionBody
from service.api.by_name import QUERY as BY_NAME
from service.api.by_name import asked_by_name
from service.api.context import Context
from service.api.endpoint import BEFORE, LIMIT, Content, Endpoint
from service.api.problems import Problem
from service.api.requests import known_only, path_id, query_day, query_id, query_limit, read_json, read_model
from service.api.standing import caller_of, own_key
from service.callers import Right
from service.db.predictions import detail_of
from service.db.registry import MoveAlias, RegisterVersion
from service.errors import NotFound
from service.shapes.models import AliasesPage, ModelsAnswer, Prediction, VersionShape, VersionsPage
from service.shapes.predictions import VersionDetail
from stages.registry import ModelVersion, NewVersion
from triggers.attributes import is_text
from triggers.headers import fold, key_of

LIST_QUERY = {"before": BEFORE, "limit": LIMIT}
LARGEST_VERSION = 2**31 - 1
DAYS_QUERY = {"before": "only days before this one: `next` of the page above"}


async def models(context: Context, request: Request) -> Response:
    """A page of models."""
    after, limit = asked_by_name(request)
    return Json(await context.views.models(after=after, limit=limit))


async def model(context: Context, request: Request) -> Response:
    """A model's versions, a page of them."""
    known_only(request, LIST_QUERY)
    limit, before = query_limit(request), query_id(request, "before")
    return Json(await versions_of(context, request.path_params["model"], before, limit))


async def versions_of(context: Context, name: str, before: int | None, limit: int) -> VersionsPage:
    """Those below `before`, newest first. Raises `NotFound`."""
    found = await context.views.model(name)
    if found is None:
        raise _unknown(name)
    below = LARGEST_VERSION if before is None else min(before, LARGEST_VERSION)
    versions = await context.views.versions(name, before=below, limit=limit)
    last = versions[-1]["version"] if len(versions) == limit else None
    return {"model": name, "aliases": found["aliases"], "versions": versions, "next": last}


async def aliases(context: Context, request: Request) -> Response:
    """A page of a model's aliases."""
    after, limit = asked_by_name(request)
    name = request.path_params["model"]
    page = await context.views.aliases(name, after=after, limit=limit)
    if not page["aliases"] and await context.views.model(name) is None:
        raise _unknown(name)
    return Json(page)


async def version(context: Context, request: Request) -> Response:
    """One version, down to what it has answered."""
    known_only(request, DAYS_QUERY)
    name, before = request.path_params["model"], query_day(request, "before")
    shown = await version_called(context, name, path_id(request, "version", "version"))
    return Json(await detail_of(context.daemon.reads, shown, before))


def _unknown(name: str) -> NotFound:
    return NotFound(f"no model is called {name[:80]!r}: a version appears once a run has registered one")


async def register(context: Context, request: Request) -> Response:
    """Store a version. The same key and content answer the version made first."""
    name = request.path_params["model"]
    if not is_text(name) or len(name) > 200:
        raise Problem(422, "a model's name is 1 to 200 characters without control characters")
    key = key_of(fold(request.scope["headers"]), "Idempotency-Key")
    if key is None:
        raise Problem(422, "Idempotency-Key is missing: send one that stays the same when you try again")
    body = await read_model(request, context.limit_bytes, VersionBody)
    [made] = await context.write(
        RegisterVersion(NewVersion(model=name, **body.model_dump()), own_key(request.scope, key))
    )
    if not _same(made, name, body):
        raise Problem(422, f"{key!r} was used before for another version: use another key", version=made.version)
    return Json(await version_called(context, name, made.version), 201)


def _same(made: ModelVersion, name: str, body: VersionBody) -> bool:
    return made.model == name and body.model_dump() == {
        "artifacts": made.artifacts,
        "metrics": made.metrics,
        "lineage": made.lineage,
        "run_id": made.run_id,
        "pipeline": made.pipeline,
    }


async def alias(context: Context, request: Request) -> Response:
    """The version an alias points at."""
    name, wanted = request.path_params["model"], request.path_params["alias"]
    found = await context.daemon.registry.alias(name, wanted)
    if found is None:
        raise NotFound(f"{name[:80]!r} has no alias {wanted[:80]!r}")
    return Json(await version_called(context, name, found.version))


async def move_alias(context: Context, request: Request) -> Response:
    """Compare-and-set. Raises `AliasMoved`."""
    name, wanted = request.path_params["model"], request.path_params["alias"]
    body = await read_model(request, context.limit_bytes, AliasBody)
    return Json(await point_alias(context, name, wanted, body))


async def point_alias(context: Context, name: str, wanted: str, body: AliasBody) -> VersionShape:
    """Let an alias point at a version. Raises `AliasMoved`, `NotFound` and 422."""
    if not is_text(wanted) or len(wanted) > 200:
        raise Problem(422, "an alias is 1 to 200 characters without control characters")
    if await context.views.version(name, body.version) is None:
        raise NotFound(f"{name[:80]!r} has no version {body.version}")
    await context.write(MoveAlias(name, wanted, body.version, body.expect))
    return await version_called(context, name, body.version)


async def version_called(context: Context, name: str, version: int) -> VersionShape:
    """One version. Raises `NotFound`."""
    shown = await context.views.version(name, version) if version <= LARGEST_VERSION else None
    if shown is None:
        raise NotFound(f"{name[:80]!r} has no version {version}")
    return shown


async def predict(context: Context, request: Request) -> Response:
    """Ask the version behind the alias `production`."""
    payload = await read_json(request, context.limit_bytes)
    name = request.path_params["model"]
    answer = await context.serving.predict(name, payload)
    context.predicted.note(name, answer.version, caller_of(request.scope))
    headers = {"Tidemill-Model-Version": str(answer.version)}
    return Response(answer.content, media_type="application/json", headers=headers)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/v1/models",
        summary="Registered models by name, and where their aliases point",
        tag="models",
        handler=models,
        query=BY_NAME,
        answers={200: ModelsAnswer},
        problems=(422,),
    ),
    Endpoint(
        method="GET",
        path="/api/v1/models/{model}",
        summary="A model's versions, newest first",
        tag="models",
        handler=model,
        query=LIST_QUERY,
        answers={200: VersionsPage},
        problems=(404, 422),
    ),
    Endpoint(
        method="GET",
        path="/api/v1/models/{model}/versions/{version}",
        summary="A version, what it was made from, and how many predictions it has answered, by the day",
        tag="models",
        handler=version,
        query=DAYS_QUERY,
        answers={200: VersionDetail},
        problems=(404, 422),
    ),
    Endpoint(
        method="POST",
        path="/api/v1/models/{model}/versions",
        summary="Register a version in state `staging`; the same key answers the version made first",
        tag="models",
        handler=register,
        headers={"Idempotency-Key": "required: identifies this version"},
        keeps_key=True,
        body=VersionBody,
        answers={201: VersionShape},
        problems=(413, 415, 422, 429),
    ),
    Endpoint(
        method="GET",
        path="/api/v1/models/{model}/aliases",
        summary="A model's aliases by name, and where they point",
        tag="models",
        handler=aliases,
        query=BY_NAME,
        answers={200: AliasesPage},
        problems=(404, 422),
    ),
    Endpoint(
        method="GET",
        path="/api/v1/models/{model}/aliases/{alias}",
        summary="The version an alias points at",
        tag="models",
        handler=alias,
        answers={200: VersionShape},
        problems=(404,),
    ),
    Endpoint(
        method="PUT",
        path="/api/v1/models/{model}/aliases/{alias}",
        summary="Point an alias at a version, if it still points at `expect`",
        tag="models",
        handler=move_alias,
        body=AliasBody,
        answers={200: VersionShape},
        problems=(404, 409, 413, 415, 422, 429),
    ),
    Endpoint(
        method="POST",
        path="/models/{model}/predict",
        only=Right.VIEWER,
        summary="Ask the version in production",
        tag="models",
        handler=predict,
        body=Content(media_type="application/json", schema={}),
        needs_body=False,
        answers={200: Prediction},
        problems=(404, 409, 413, 415, 422),
    ),
)
