"""`tidemill pause` and `unpause`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service import exits
from service.cli.arguments import Asker, asker
from service.cli.options import AsJson, ConfigFile
from service.cli.schedules import instant

if TYPE_CHECKING:
    from service.client import Client

# Makes the run of an event that was held back the same one, however often it is asked for.
ONCE = "held-back"
PAGE = 500
SHOWN_RUNS = 20
NOT_PAUSED = 409
What = Annotated[
    str,
    typer.Argument(
        metavar="TRIGGER|PIPELINE", help="A trigger as `tidemill triggers` names it, or a pipeline: all its triggers."
    ),
]
Reason = Annotated[str, typer.Option(help="Why, for those who read it later.")]

RunMissed = Annotated[bool, typer.Option("--run-missed", help="Start runs for the events that were held back.")]
HeldSince = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        parser=instant,
        metavar="TIME",
        help="With --run-missed, for all those accepted since then, whichever pause held them back, also after it was "
        "unpaused.",
    ),
]
HeldBy = Annotated[
    int | None,
    typer.Option(
        "--pause",
        metavar="N",
        help="With --run-missed, for those that pause N held back, also after it was unpaused; default: the pause that "
        "ends now.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(pause)
    app.command()(unpause)


def pause(
    what: What, reason: Reason = "", by: Asker = None, config_file: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Let a trigger, or all of a pipeline, start nothing until it is unpaused.

    Its events are accepted all the same, with the fate `paused`. Runs that were started go on; a start by hand is not
    held back.

    Example: tidemill pause flights --reason "the landing zone is being moved"
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    client = open_client(config_file)
    answer = client.pause(what, reason=reason, by=asker(by, client))
    if as_json:
        print_json(answer)
        return
    why = f": {answer['reason']}" if answer["reason"] else ""
    typer.echo(f"{answer['name']} is paused by {answer['by']}{why}")
    typer.echo(f"go on with: tidemill unpause {_quoted(answer['name'])}")


def unpause(
    what: What,
    run_missed: RunMissed = False,
    since: HeldSince = None,
    pause: HeldBy = None,
    by: Asker = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Let a trigger or a pipeline that was paused start runs again.

    What came meanwhile stays as it is: `tidemill events --fate paused` lists it. With --run-missed each of those events
    has its run now, oldest first; asking again starts no second one.

    Example: tidemill unpause flights --run-missed
    """
    from service.cli.connection import open_client
    from service.client import ApiError

    client = open_client(config_file)
    person = asker(by, client)
    answer: dict[str, Any] = {"name": what, "pause": None, "paused_at": None}
    try:
        answer = client.unpause(what, by=person)
    except ApiError as error:
        if not (run_missed and (since or pause)) or error.status != NOT_PAUSED:
            raise
    held = _Held(answer["name"], since, pause or (None if since else answer["pause"]))
    runs, refused = _run_held_back(client, held, person) if run_missed else ([], {})
    _tell({**answer, "runs": runs, "refused": refused}, held, run_missed=run_missed, as_json=as_json)
    if refused:
        raise typer.Exit(exits.FAILED)


@dataclass(frozen=True, slots=True)
class _Held:
    """The events that were held back from a trigger or a pipeline, by one pause or since an instant."""

    name: str
    since: datetime | None
    pause: int | None

    def tells(self) -> str:
        since = "" if self.since is None else f" since {self.since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return f"events held back{since}" + ("" if self.pause is None else f" by pause {self.pause}")


def _tell(answer: dict[str, Any], held: _Held, *, run_missed: bool, as_json: bool) -> None:
    from service.cli.output import print_json

    name, runs = answer["name"], answer["runs"]
    if as_json:
        print_json(answer)
        return
    typer.echo(f"{name} is not paused any more")
    if run_missed:
        typer.echo(f"{held.tells()}: {len(runs) + len(answer['refused'])}{_runs(runs)}")
        for key, why in answer["refused"].items():
            typer.echo(f"event {key} starts no run: {why}", err=True)
        return
    typer.echo("what came meanwhile: tidemill events --fate paused")
    typer.echo(f"run it: tidemill unpause {_quoted(name)} --run-missed --pause {held.pause}")


def _run_held_back(client: Client, held: _Held, by: str | None) -> tuple[list[int], dict[str, str]]:
    """Start, with all it does outside, the run of each event that was held back.

    The runs, and by the keys of events why they have none: the trigger may have changed meanwhile.
    """
    from service.client import ApiError

    runs, refused = [], {}
    pipeline, _, trigger = held.name.partition("/")
    for key in reversed(list(_held_back(client, held, pipeline, trigger))):
        before = [one["run"] for one in client.event(key)["replays"] if _stands_for(one, pipeline)]
        try:
            made = before or [client.replay(key, key=ONCE, pipeline=pipeline, effects=True, by=by)["run"]]
        except ApiError as error:
            if error.transient:
                raise
            refused[key] = error.detail
        else:
            runs.append(made[0])
    return runs, refused


def _held_back(client: Client, held: _Held, pipeline: str, trigger: str) -> Iterator[str]:
    """The keys of those events, newest first."""
    before: int | None = None
    while True:
        page = client.events(fate="paused", limit=PAGE, before=before, pause=held.pause)
        recent = [one for one in page["events"] if _is_recent(one, held.since)]
        for one in recent:
            here = (each for each in one["outcomes"] if each["pipeline"] == pipeline and each["fate"] == "paused")
            if any(trigger in ("", each["trigger"]) for each in here):
                yield one["key"]
        before = page["next"]
        if before is None or not recent:
            return


def _is_recent(event: dict[str, Any], since: datetime | None) -> bool:
    return since is None or datetime.fromisoformat(event["accepted_at"]) >= since


def _stands_for(replay: dict[str, Any], pipeline: str) -> bool:
    return replay["pipeline"] == pipeline and not replay["shadow"]


def _runs(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:SHOWN_RUNS])) + (", ..." if len(numbers) > SHOWN_RUNS else "")
    return f": {'run' if len(numbers) == 1 else 'runs'} {shown}" if numbers else ""


def _quoted(name: str) -> str:
    import shlex

    return shlex.quote(name)
