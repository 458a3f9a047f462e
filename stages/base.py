"""A stage: a typed function that makes one artifact out of others, and what it may ask for while it runs."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NewType, TypedDict, Unpack, overload

from stages.errors import InvalidPipeline
from stages.problems import nearest, place_of_function
from stages.retry import Retry

if TYPE_CHECKING:
    from stages.registry import Registry

StageName = NewType("StageName", str)
Reuse = Literal["always", "run", "never"]


class Mark:
    """Something that is so from some moment on. Set and seen from any thread; nobody can wait for it."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made = False

    def set(self) -> None:
        """From now on."""
        self._made = True

    def is_set(self) -> bool:
        """Whether it is so by now."""
        return self._made


class StageContext:
    """What a stage may know of its own attempt. Injected into a parameter annotated `StageContext`.

    `item` is the place in the list of a mapped stage, else None. In `shadow` (a replay) the attempt may change nothing
    outside: models are only read and nothing is emitted, but what else the stage changes it must leave alone itself.
    `idempotency_key` stays the same over every attempt and resume of this stage in this run: hand it to whatever the
    stage changes outside. It does not enter the stage's key: a stage that needs it should say `reuse="run"`.
    """

    def __init__(
        self,
        *,
        run_id: int,
        pipeline: str,
        stage: str,
        attempt: int,
        idempotency_key: str,
        artifact_digests: Mapping[str, str],
        registry: Registry | None = None,
        report: Callable[[float, str], None] = lambda fraction, note: None,
        folder: Callable[[], Path] = lambda: Path(tempfile.mkdtemp(prefix="tidemill-")),
        item: int | None = None,
        stopping: threading.Event | Mark | None = None,
        mask: Callable[[str], None] = lambda value: None,
        shadow: bool = False,
    ) -> None:
        self.run_id = run_id
        self.pipeline = pipeline
        self.stage = stage
        self.attempt = attempt
        self.idempotency_key = idempotency_key
        self.artifact_digests = artifact_digests
        self.logger = logging.getLogger(f"tidemill.stage.{pipeline}.{stage}")
        self.item = item
        self.shadow = shadow
        self.metrics: dict[str, float] = {}
        self.emitted: list[Mapping[str, Any]] = []
        self._registry = registry
        self._report = report
        self._folder = folder
        self._mask = mask
        self._stopping = stopping or Mark()

    @property
    def cancelled(self) -> bool:
        """Whether this attempt is out of time or cancelled: what it returns is dropped, so it should clean up and end.

        A blocking stage in a thread of the daemon cannot be stopped otherwise: ask in its loops.
        """
        return self._stopping.is_set()

    @property
    def registry(self) -> Registry:
        """The model registry. Raises RuntimeError where the runner lends none (a bare `stage run`)."""
        if self._registry is None:
            raise RuntimeError(f"stage {self.stage}: no model registry here: set TIDEMILL_URL to a running daemon")
        return self._registry

    def folder(self) -> Path:
        """A new, empty folder for files this attempt makes. It is removed once the attempt's output is stored."""
        return self._folder()

    def record_metrics(self, **values: float) -> None:
        """Record numbers that gates check and `tidemill show` prints. A later value of a name wins."""
        self.metrics.update({name: float(value) for name, value in values.items()})

    def emit(self, kind: str, data: Any = None, *, subject: str | None = None, event_id: str | None = None) -> None:
        """Tell that something happened: an event of type `kind`, to which `CloudEvents` triggers listen.

        It becomes real with this attempt's result, or not at all. `event_id` (by default its place among the emitted)
        tells it apart from the others of this stage in this run: the same id is the same event. `data` is plain JSON.
        """
        place = f"{self.run_id}" if self.item is None else f"{self.run_id}/{self.item}"
        named = event_id if event_id is not None else str(len(self.emitted) + 1)
        event = {"type": kind, "id": f"{place}/{named}", "subject": subject, "data": data}
        self.emitted.append({name: value for name, value in event.items() if value is not None})

    def progress(self, fraction: float, note: str = "") -> None:
        """Tell how far this attempt is, from 0 to 1. Cheap: call it as often as you like."""
        if isinstance(fraction, bool) or not isinstance(fraction, int | float):
            raise TypeError(f"progress({fraction!r}): how far this is, a number from 0 to 1; what it does goes second")
        self._report(min(max(float(fraction), 0.0), 1.0), str(note))

    def mask(self, value: str) -> None:
        """Show `***` instead of this value in what this attempt logs, prints, notes and raises from now on.

        Say so before the value is used. One shorter than 4 characters is not hidden.
        """
        self._mask(value)


@dataclass(frozen=True, eq=False)
class Stage:
    """A declared stage. Calling it calls the function, so stages are tested and re-used like any function."""

    name: str
    function: Callable[..., Any]
    retry: Retry = field(default_factory=Retry)
    timeout_s: float | None = None
    heartbeat_s: float | None = None
    memory_bytes: int | None = None
    cpu_s: float | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    environment: str | None = None
    image: str | None = None
    runner: str | None = None
    reuse: Reuse = "always"
    expires_s: float | None = None
    after: Sequence[str] = ()
    map: str | None = None
    at_once: int = 32
    when: Callable[..., Any] | None = None

    @property
    def must_end(self) -> bool:
        """Whether an attempt of it may have to be stopped before it returns."""
        return any(one is not None for one in (self.timeout_s, self.heartbeat_s, self.retry.total_s))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


class StageSettings(TypedDict, total=False):
    """What `stage` may be told; the fields of `Stage` say what is so otherwise."""

    name: str
    retry: Retry
    timeout_s: float | None
    heartbeat_s: float | None
    memory_bytes: int | None
    cpu_s: float | None
    resources: Mapping[str, float]
    environment: str | None
    image: str | None
    runner: str | None
    reuse: Reuse
    expires_s: float | None
    after: Sequence[str]
    map: str | None
    at_once: int
    when: Callable[..., Any] | None


@overload
def stage(function: Callable[..., Any], /) -> Stage: ...
@overload
def stage(**settings: Unpack[StageSettings]) -> Callable[[Callable[..., Any]], Stage]: ...


def stage(
    function: Callable[..., Any] | None = None, /, **settings: Unpack[StageSettings]
) -> Stage | Callable[[Callable[..., Any]], Stage]:
    """Declare a function as a stage, bare or with settings.

    Its inputs are its parameters: one named like another stage takes that stage's output; one annotated `Event`,
    `StageContext`, `Records` or with the pipeline's params model takes that. `reuse`: `always` re-uses the result of
    the same key from any run, `run` only within its run (for effects outside), `never` not at all. `after` names
    stages that must be finished first though nothing of theirs is taken.

    `timeout_s` bounds one attempt (`Retry.total_s`: all of them together), `heartbeat_s` the silence between two calls
    of `StageContext.progress`. `memory_bytes` and `cpu_s` bound what an attempt may use, where its runner can tell;
    `resources` is what it takes of the daemon's own (`{"gpu": 1}`) while it runs. `environment` is a lock file and
    `image` a container image by digest; each needs the runner of that kind. `expires_s`: a stored result older than
    that is made anew. `map` names the input that is a list: each item is an attempt of its own, `at_once` at a time,
    and the results are one list again. `when` is a function of some of the stage's arguments: where it returns False,
    the stage is skipped. A setting it does not know raises `InvalidPipeline`.
    """

    def declare(target: Callable[..., Any]) -> Stage:
        known = StageSettings.__annotations__
        if strange := ", ".join(f"{name!r}{nearest(name, known)}" for name in settings if name not in known):
            raise InvalidPipeline(f"{place_of_function(target)}: @stage has no setting {strange}")
        return Stage(**{"name": target.__name__, **settings, "function": target})  # type: ignore[arg-type]

    if function is not None and not hasattr(function, "__name__"):
        raise InvalidPipeline(f"stage({function!r:.80}): this is no function: write @stage above one")
    return declare if function is None else declare(function)
