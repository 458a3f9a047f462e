"""Keeps the code of the pipelines a daemon has loaded, so that events can be replayed on it later."""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, version

from service.catalogue import Catalogue
from service.db.kept import KeepCode
from service.db.reads import Reads
from service.db.writer import Writer
from service.definition import definition
from service.errors import DatabaseUnavailable
from stages.artifacts import ArtifactStore
from stages.errors import StageError
from stages.kept_code import Archive, NotKept, pack
from stages.pipeline import Pipeline
from triggers.base import Clock

logger = logging.getLogger("tidemill")

RETRY_S = 30.0
_PLACES = 3
IN_MEMORY = "the artifact store is in memory: set TIDEMILL_ARTIFACTS to a folder or an object store"


@dataclass(frozen=True, slots=True)
class _Packed:
    pipeline: Pipeline
    data: bytes | None
    missing: str | None
    made_with: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Keeping:
    """Once at the start of a daemon. The files are read at once, while they are what was imported; storing them waits
    until store and database are there. Code that is kept already is not kept again.
    """

    catalogue: Catalogue
    store: ArtifactStore
    store_url: str
    writer: Writer
    reads: Reads
    clock: Clock

    async def run(self) -> None:
        """Keep every pipeline that another process can import."""
        left = await asyncio.to_thread(self._all_packed)
        while left:
            left = [one for one in left if not await self._tried(one)]
            if left:
                await self.clock.sleep(RETRY_S)

    def _all_packed(self) -> list[_Packed]:
        importable = [one for one in self.catalogue.pipelines.values() if one.spec]
        distributions = packages_distributions() if importable else {}
        return [self._packed(one, distributions) for one in importable]

    def _packed(self, pipeline: Pipeline, distributions: Mapping[str, list[str]]) -> _Packed:
        if self.store_url.startswith("memory:"):
            return _Packed(pipeline, None, IN_MEMORY, {})
        try:
            archive = pack(str(pipeline.spec), [one.stage for one in pipeline.plan.stages.values()])
        except NotKept as error:
            logger.warning("the code of %s %s is not kept: %s", pipeline.name, pipeline.version, error)
            return _Packed(pipeline, None, str(error), {})
        return _Packed(pipeline, archive.data, _doubt(archive), made_with(archive.needs, distributions))

    async def _tried(self, one: _Packed) -> bool:
        try:
            await self._keep(one)
        except (DatabaseUnavailable, StageError) as error:
            logger.warning("the code of %s is not kept yet: %s", one.pipeline.name, error)
            return False
        return True

    async def _keep(self, one: _Packed) -> None:
        name, named = one.pipeline.name, one.pipeline.version
        known = await self.reads.row("pipeline_versions", name, named, 1, None)
        if known is not None and known["code"] is not None and await self.store.exists(known["code"]):
            return
        digest = None if one.data is None else await self.store.put(one.data)
        size_bytes = None if one.data is None else len(one.data)
        place = (name, named, definition(one.pipeline), str(one.pipeline.spec))
        await self.writer.submit(KeepCode(*place, digest, size_bytes, one.missing, one.made_with))


def _doubt(archive: Archive) -> str | None:
    """What may be missing in code that is kept."""
    if not archive.unknown:
        return None
    places = ", ".join(archive.unknown[:_PLACES]) + (", ..." if len(archive.unknown) > _PLACES else "")
    return f"imports by names worked out as it runs ({places}): of those only modules of its own package are kept"


def made_with(packages: Iterable[str], distributions: Mapping[str, list[str]]) -> dict[str, str]:
    """The versions of Python, of Tidemill and of the distributions that these packages come from."""
    names = {name for package in packages for name in distributions.get(package, ())}
    return {name: found for name in ("python", "tidemill", *sorted(names)) if (found := installed(name)) is not None}


def installed(name: str) -> str | None:
    """The version of a distribution, or of Python, that is here."""
    try:
        return platform.python_version() if name == "python" else version(name)
    except PackageNotFoundError:
        return None
