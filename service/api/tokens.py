"""Tokens of the API: an admin makes and revokes them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.bodies import TokenBody
from service.api.context import Context
from service.api.endpoint import BEFORE, LIMIT, Endpoint
from service.api.problems import Problem
from service.api.requests import flag, known_only, query_id, query_limit, read_model
from service.api.standing import recorded_as
from service.callers import Right
from service.db.rows import Row
from service.db.tokens import PutToken, RevokeToken
from service.errors import NotFound
from service.known_tokens import SHOWN, digest_of, new_token
from service.shapes.access import TokenMade, TokenRevoked, TokenShape, TokensPage

QUERY = {"limit": LIMIT, "before": BEFORE, "all": "`true`: those that were revoked, too"}
SECRET = {"Cache-Control": "no-store"}


async def make(context: Context, request: Request) -> Response:
    """A token, told this once. Its name is what is recorded where it does something."""
    body = await read_model(request, context.limit_bytes, TokenBody)
    roles: list[str] = list(dict.fromkeys(body.roles))
    if ("approver" in roles) != bool(body.pipelines):
        raise Problem(422, "an approver, and nobody else, has pipelines whose gates it decides: give both, or neither")
    token = new_token()
    put = PutToken(body.name, digest_of(token), token[:SHOWN], roles, body.pipelines, body.by, body.expires_s)
    [row] = await context.write(put)
    if row is None:
        raise Problem(409, f"there is a token called {body.name}: revoke it first, or choose another name")
    context.tokens.hear()
    answer: TokenMade = {
        "id": row["id"],
        "name": body.name,
        "token": token,
        "prefix": put.prefix,
        "roles": roles,
        "pipelines": body.pipelines,
        "created_at": row["created_at"],
        "expires_at": row["expires_at"],
    }
    return Json(answer, 201, SECRET)


async def listed(context: Context, request: Request) -> Response:
    """Tokens, newest first."""
    known_only(request, QUERY)
    limit = query_limit(request)
    revoked = flag(request.query_params, "all")
    rows = await context.daemon.reads.fetch("list_tokens", query_id(request, "before"), revoked, limit)
    answer: TokensPage = {
        "tokens": [_shape(row) for row in rows],
        "next": rows[-1]["id"] if len(rows) == limit else None,
    }
    return Json(answer)


async def revoke(context: Context, request: Request) -> Response:
    """End a token. Within seconds nobody gets in by it, nor by a browser in which it was shown."""
    known_only(request, {"by": ""})
    name = request.path_params["name"]
    by = (recorded_as(request.scope, request.query_params.get("by")) or "api")[:200]
    [ended] = await context.write(RevokeToken(name, by))
    if ended is None:
        raise NotFound(f"there is no token called {name[:80]!r} that stands: `tidemill tokens list` tells which do")
    context.tokens.hear()
    answer: TokenRevoked = {"id": ended, "name": name}
    return Json(answer)


def _shape(row: Row) -> TokenShape:
    shape: TokenShape = dict(row)  # type: ignore[assignment]
    return shape


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/v1/tokens",
        summary="Make a token with a name and roles; it is told this once",
        tag="access",
        handler=make,
        body=TokenBody,
        answers={201: TokenMade},
        problems=(409, 413, 415, 422, 429),
        only=Right.ADMIN,
    ),
    Endpoint(
        method="GET",
        path="/api/v1/tokens",
        summary="Tokens, newest first, without themselves",
        tag="access",
        handler=listed,
        query=QUERY,
        answers={200: TokensPage},
        problems=(422,),
        only=Right.ADMIN,
    ),
    Endpoint(
        method="DELETE",
        path="/api/v1/tokens/{name:path}",
        summary="Revoke a token",
        tag="access",
        handler=revoke,
        query={"by": "who asks"},
        answers={200: TokenRevoked},
        problems=(404, 422, 429),
        only=Right.ADMIN,
    ),
)
