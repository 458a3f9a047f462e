"""What `tidemill notify` is told, and the quick way to read it from a command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields

API_TOKEN, HOOK_TOKEN = "TIDEMILL_API_TOKEN", "HOOK_TOKEN"

HELP = {
    "status": "success, failure, cancelled, running, or an exit code; default: what CI says.",
    "repository": "The repository, as owner/name; default: what CI says.",
    "commit": "The commit; default: what CI says.",
    "branch": "The branch; default: what CI says.",
    "job": "What the job is called; default: what CI says.",
    "data": "More for the event to carry, at data.data.",
    "id": "The event's id; default: the build, its try, job, status, and a digest of what else is given.",
    "hook": "Post to this hook instead of /api/v1/events.",
    "url": "The daemon's address; default: TIDEMILL_URL, else where http.host and http.port say.",
    "token_from": f"Variable with the token; default: {API_TOKEN}, with --hook {HOOK_TOKEN}.",
    "patience": "How long to try while nobody takes it.",
    "wait": "Wait until the runs it started are finished.",
    "dry_run": "Show the event, and send nothing.",
    "json": "Print what the daemon answers.",
}
METAVAR = {"data": "JSON", "token_from": "VARIABLE", "patience": "SECONDS"}
ABOUT = """Tell a daemon what this CI job did, as one event however often it is sent.

    Knows GitHub Actions, GitLab CI, CircleCI, Buildkite, Jenkins and Bitbucket by the variables they set. Exits with
    0 when the event is durable, 2 when it is refused, 75 when nobody took it; with --wait by how the runs end.

    Example: tidemill notify --status success --wait
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One field for each option of the command."""

    status: str | None = None
    repository: str | None = None
    commit: str | None = None
    branch: str | None = None
    job: str | None = None
    data: str | None = None
    id: str | None = None
    hook: str | None = None
    url: str | None = None
    token_from: str | None = None
    patience: float = 60.0
    wait: bool = False
    dry_run: bool = False
    json: bool = False


def parse(arguments: Sequence[str]) -> Options:
    """The options of a command line. Ends the process as argparse does where it is typed wrongly."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("tidemill notify", description=ABOUT, formatter_class=formatter)
    for field in fields(Options):
        flags = [f"--{field.name.replace('_', '-')}"] + (["-w"] if field.name == "wait" else [])
        if field.default is False:
            parser.add_argument(*flags, action="store_true", help=HELP[field.name])
        else:
            kind = float if field.name == "patience" else str
            parser.add_argument(
                *flags, type=kind, default=field.default, metavar=METAVAR.get(field.name, "TEXT"), help=HELP[field.name]
            )
    return Options(**vars(parser.parse_args(arguments)))
