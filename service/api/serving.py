"""Predictions: the model in production, held in memory, asked by the function its pipeline serves with."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields, is_dataclass
from traceback import walk_tb
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from service.api.problems import Problem
from service.catalogue import Catalogue
from service.db.registry import PRODUCTION, PostgresRegistry
from service.db.views import Views
from service.errors import Conflict, NotFound
from stages.artifacts import ArtifactStore
from stages.canonical.register import MODEL_ROLE
from stages.codecs.base import Scratch
from stages.pipeline import Pipeline
from stages.registry import ModelVersion
from stages.values import load

HELD_MODELS = 4
LOAD_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 30.0
# Of models, where somebody asks for one that there is not.
TOLD = 20
JSON_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


@dataclass(frozen=True, slots=True)
class Served:
    """A prediction as JSON, and the version that made it."""

    version: int
    content: bytes


class Serving:
    """Loads a model when it is first asked, and keeps the last few."""

    def __init__(self, registry: PostgresRegistry, store: ArtifactStore, catalogue: Catalogue, views: Views) -> None:
        self._registry = registry
        self._store = store
        self._catalogue = catalogue
        self._views = views
        self._held: OrderedDict[str, tuple[Any, AsyncExitStack]] = OrderedDict()
        self._loading = asyncio.Lock()

    async def predict(self, name: str, payload: Any) -> Served:
        """What the version in production says of `payload`.

        Raises `NotFound` (no such version), 422 (the payload is wrong), `StoreUnavailable`, 503 (it takes too long).
        What the serving function raises for another reason passes through: it is a fault of the pipeline.
        """
        version = await self._registry.alias(name, PRODUCTION)
        if version is None:
            raise await self._none_in_production(name)
        pipeline, serve = self._server(version)
        model = await self._model(version, pipeline)
        async with _bounded(ANSWER_TIMEOUT_S, f"{name} did not answer"):
            result = await asyncio.to_thread(_ask, serve, model, payload)
        return Served(version.version, await asyncio.to_thread(_written, version, result))

    async def _none_in_production(self, name: str) -> NotFound:
        waiting = await self._views.model(name)
        if waiting is None:
            page = await self._views.models(limit=TOLD)
            known = ", ".join(one["model"] for one in page["models"]) or "none"
            return NotFound(
                f"no model is called {name[:80]!r}; registered: {known}{' and others' if page['next'] else ''}"
            )
        return NotFound(
            f"{name} has {waiting['versions']} versions and none in production: approve the run that waits to deploy"
            " one (`tidemill runs --state waiting` lists them, `tidemill approve RUN GATE --by NAME` lets it pass)"
        )

    def _server(self, version: ModelVersion) -> tuple[Pipeline, Callable[..., Any]]:
        pipeline = self._catalogue.pipelines.get(version.pipeline or "")
        if pipeline is None or pipeline.serve is None:
            raise Conflict(
                f"{version.model} version {version.version} comes from pipeline {version.pipeline!r}, which this daemon"
                " has not loaded with a function to serve it: add it to TIDEMILL_PIPELINES, with Pipeline(serve=...)"
            )
        return pipeline, pipeline.serve

    async def _model(self, version: ModelVersion, pipeline: Pipeline) -> Any:
        digest = version.artifacts.get(MODEL_ROLE)
        if digest is None or version.run_id is None:
            raise Conflict(f"{version.model} version {version.version} has no artifact {MODEL_ROLE!r} made by a run")
        if digest not in self._held:
            async with self._loading:
                if digest not in self._held:
                    await self._load(version.run_id, digest, pipeline)
        self._held.move_to_end(digest)
        return self._held[digest][0]

    async def _load(self, run_id: int, digest: str, pipeline: Pipeline) -> None:
        found = await self._views.artifact(run_id, digest)
        if found is None:
            raise Conflict(f"run {run_id} no longer tells how its artifact {digest} is read: register the model again")
        stage, ref = found
        made_by = pipeline.plan.stages.get(stage)
        async with AsyncExitStack() as stack, _bounded(LOAD_TIMEOUT_S, f"artifact {digest} could not be read"):
            scratch = stack.enter_context(Scratch())
            model = await load(ref, self._store, made_by.output_type if made_by else None, scratch)
            self._held[digest] = (model, stack.pop_all())
        while len(self._held) > HELD_MODELS:
            _, (_, files) = self._held.popitem(last=False)
            await files.aclose()

    async def close(self) -> None:
        """Let go of the models and of the files some of them read."""
        while self._held:
            _, (_, files) = self._held.popitem()
            await files.aclose()


def _ask(serve: Callable[..., Any], model: Any, payload: Any) -> Any:
    try:
        result = serve(model, payload)
        return asyncio.run(result) if inspect.iscoroutine(result) else result
    except ValidationError:
        raise
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        if _raised_in(serve, error):
            raise Problem(422, f"the payload does not fit: {type(error).__name__}: {error}") from error
        raise


def _raised_in(serve: Callable[..., Any], error: Exception) -> bool:
    """Whether the module that serves raised it: what a library below it raises is no word about the payload."""
    code = getattr(inspect.unwrap(serve), "__code__", None)
    frames = list(walk_tb(error.__traceback__))
    return code is not None and frames[-1][0].f_code.co_filename == code.co_filename


def _written(version: ModelVersion, result: Any) -> bytes:
    if isinstance(result, BaseModel):
        result = result.model_dump(mode="json")
    answer = result if isinstance(result, dict) else {"predictions": result}
    written = orjson.dumps({**answer, "model": version.model, "version": version.version}, option=JSON_OPTIONS)
    # What JSON has no number for is written as null: only then it is worth a look.
    if b"null" in written and (odd := _no_number(result)) is not None:
        raise Problem(
            422,
            f"{version.model} version {version.version} answered {odd}, and JSON has no such number: ask about another"
            " payload, or have the function that serves answer None where there is none",
        )
    return written


def _no_number(value: Any) -> float | None:
    """The first number in an answer that is none, or has no end."""
    if isinstance(value, float):
        return None if math.isfinite(value) else value
    if is_dataclass(value):
        value = {one.name: getattr(value, one.name) for one in fields(value)}
    elif hasattr(value, "dtype"):
        return _no_number(value.tolist())
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return next((odd for one in inside if (odd := _no_number(one)) is not None), None)


@asynccontextmanager
async def _bounded(timeout_s: float, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise Problem(503, f"{what} within {timeout_s:g} s: try again", headers={"Retry-After": "1"}) from None
