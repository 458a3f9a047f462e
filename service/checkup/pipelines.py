"""Pipelines: each loads, and no two have one name."""

from __future__ import annotations

from service.catalogue import Catalogue, load_catalogue
from service.checkup.finding import Finding, fine, problem, warning
from service.errors import ServiceError
from service.settings import Settings
from stages.errors import StageError
from triggers.errors import TriggerError


def load(settings: Settings) -> tuple[Catalogue, list[Finding]]:
    """Those that load, and what is to say of each. Imports their modules."""
    if not settings.pipelines:
        return load_catalogue(()), [warning("pipelines", "none is set", "set TIDEMILL_PIPELINES=package.module:name")]
    good: list[str] = []
    found: list[Finding] = []
    for spec in settings.pipelines:
        try:
            name, pipeline = list(load_catalogue([*good, spec]).pipelines.items())[-1]
        except (ServiceError, StageError, TriggerError) as error:
            found.append(problem("pipelines", str(error)))
        else:
            good.append(spec)
            told = f"{name} {pipeline.version}: {len(pipeline.stages)} stages, {len(pipeline.on)} triggers"
            found.append(fine("pipelines", told))
    return load_catalogue(good), found
