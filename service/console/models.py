"""Models: which there are, the versions of one and how they measured, and where their aliases point."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from starlette.requests import Request

from service.api.bodies import AliasBody
from service.api.context import Context
from service.api.models import point_alias, version_called, versions_of
from service.api.problems import Problem
from service.api.requests import path_id, query_day, query_id, whole
from service.console.page import Done, Form, Shown, further, who
from service.console.plot import Measured, Plot, plot
from service.db.predictions import detail_of
from service.db.registry import PRODUCTION
from service.shapes.models import VersionShape

# As many aliases as are told with their model.
LIMIT, MOST_PLOTS, MOST_ALIASES = 50, 24, 100
LOOKS = {"production": "good", "staging": "wait"}


async def models(context: Context, request: Request) -> Shown:
    """A page of models and where their aliases point."""
    after = request.query_params.get("after") or None
    page = await context.views.models(after=after, limit=LIMIT)
    return Shown(
        "models.html", {"title": "Models", "models": page["models"], **further("/models", after, page["next"])}
    )


async def model(context: Context, request: Request) -> Shown:
    """A page of a model's versions, the newest first."""
    name, before = request.path_params["model"], query_id(request, "before")
    found = await versions_of(context, name, before, LIMIT)
    values = {
        "title": name,
        "name": name,
        "aliases": found["aliases"],
        "more_aliases": len(found["aliases"]) == MOST_ALIASES,
        "versions": found["versions"],
        "plots": plots(found["versions"]),
        "older": urlencode({"before": found["next"]}) if found["next"] else "",
        "later": before is not None,
        "production": PRODUCTION,
    }
    return Shown("model.html", values)


async def version(context: Context, request: Request) -> Shown:
    """One version: how it measured beside the one in production, what it was made from, and what it answered."""
    name = request.path_params["model"]
    shown = await version_called(context, name, path_id(request, "version", "version"))
    held = await context.daemon.registry.alias(name, PRODUCTION)
    other = held if held is not None and held.version != shown["version"] else None
    detail = await detail_of(context.daemon.reads, shown, query_day(request, "before"))
    values = {"title": f"{name} {shown['version']}", "name": name, "version": detail, "production": other}
    made = None if shown["run_id"] is None else await context.daemon.reads.row("show_run", shown["run_id"])
    return Shown("version.html", {**values, "made": made})


async def pointed(context: Context, request: Request, form: Form) -> Done:
    """Let an alias point at a version, if it still points where the form says it did."""
    by, session = who(context, request, form)
    name, alias = form.get("model", ""), form.get("alias", "").strip()
    wanted, seen = whole(form.get("version", "")), form.get("expect", "")
    if wanted is None:
        raise Problem(422, "say which version the alias is to point at, by its number")
    body = AliasBody(version=wanted, expect=whole(seen) if seen else None)
    await point_alias(context, name, alias, body)
    return Done(f"/models/{quote(name)}", f"{by} let {alias} point at version {wanted} of {name}.", session)


def plots(versions: Sequence[VersionShape]) -> list[Plot]:
    """Each metric over these versions, the oldest left."""
    told: dict[str, list[Measured]] = {}
    for one in reversed(versions):
        for name, value in one["metrics"].items():
            told.setdefault(name, []).append(_measured(one, value))
    found = (plot(name, measured) for name, measured in sorted(told.items())[:MOST_PLOTS])
    return [one for one in found if one is not None]


def _measured(one: VersionShape, value: float) -> Measured:
    to = f"/models/{quote(one['model'])}/versions/{one['version']}"
    return Measured(value, f"version {one['version']}", to, LOOKS.get(one["state"], "plain"))
