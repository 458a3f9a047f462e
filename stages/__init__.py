"""What a run is made of: stages, gates, pipelines, artifacts, runners."""

from stages.artifacts import ArtifactRef
from stages.base import Stage, StageContext, stage
from stages.ending import RunEnd
from stages.errors import InvalidParams, InvalidPipeline, Permanent, StageError, Transient
from stages.gates.base import GateContext, GateResult, GateState
from stages.limits import Concurrency, Rate
from stages.pipeline import Pipeline, load
from stages.records import Records
from stages.registry import AliasMoved, ModelVersion, NewVersion, Registry
from stages.retry import Retry
from stages.subrun import SubRun
from triggers.base import Record
from triggers.event import Event

__all__ = [
    "AliasMoved",
    "ArtifactRef",
    "Concurrency",
    "Event",
    "GateContext",
    "GateResult",
    "GateState",
    "InvalidParams",
    "InvalidPipeline",
    "ModelVersion",
    "NewVersion",
    "Permanent",
    "Pipeline",
    "Rate",
    "Record",
    "Records",
    "Registry",
    "Retry",
    "RunEnd",
    "Stage",
    "StageContext",
    "StageError",
    "SubRun",
    "Transient",
    "load",
    "stage",
]
