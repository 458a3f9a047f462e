"""`tidemill notify` itself: what it sends, prints and exits with."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from service import exits
from service.address import daemon_url
from service.config import read_settings
from service.errors import ConfigError
from service.notify.build import Build, detect, status_word
from service.notify.options import API_TOKEN, HOOK_TOKEN, Options
from service.notify.sending import GaveUp, Refused, event_of, send, to_events, to_hook


def run(options: Options) -> int:
    """Do it, and return the exit code."""
    try:
        event = _event(options)
    except ValueError as error:
        return _ended(str(error), exits.USAGE)
    if options.dry_run:
        print(json.dumps(event, indent=2, ensure_ascii=False))
        return exits.SUCCEEDED
    try:
        url, token = _where(options)
    except (ValueError, ConfigError) as error:
        return _ended(str(error), exits.USAGE)
    message = to_hook(event, options.hook) if options.hook else to_events(event)
    try:
        answer = send(url, token, message, patience_s=options.patience)
    except Refused as error:
        return _ended(str(error), exits.USAGE)
    except GaveUp as error:
        return _ended(str(error), exits.TRANSIENT)
    _tell(answer, options.json)
    return _follow(url, answer) if options.wait else exits.SUCCEEDED


def _where(options: Options) -> tuple[str, str | None]:
    """The daemon's address and the token for it. Raises `ValueError`, `ConfigError`.

    Where a job is told no address, it is that of the daemon which the settings describe, as for the other commands.
    """
    variable = options.token_from or (HOOK_TOKEN if options.hook else API_TOKEN)
    token = os.environ.get(variable)
    if options.token_from and not token:
        raise ValueError(f"--token-from {variable}: this variable is not set, or empty: put the token into it")
    told = options.url or os.environ.get("TIDEMILL_URL")
    if told:
        return told, token
    settings = read_settings()
    return daemon_url(settings), token or (None if options.hook else settings.http.api_token)


def _event(options: Options) -> dict[str, Any]:
    names = ("repository", "commit", "branch", "job")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    build: Build = replace(detect(os.environ), **given)
    status = status_word(options.status) if options.status is not None else build.status
    if not status:
        raise ValueError(
            "how did the job go? Nothing here tells: pass --status success, failure, cancelled, running or an exit code"
            " (on GitHub Actions --status ${{ job.status }}, in a step with if: always())"
        )
    try:
        extra = None if options.data is None else json.loads(options.data)
    except ValueError as error:
        raise ValueError(f"--data is not JSON: {error}") from None
    apart: dict[str, str] = {name: value for name, value in given.items() if name in ("commit", "branch")}
    return event_of(replace(build, status=status), options.id, extra, apart)


def _ended(told: str, code: int) -> int:
    print(f"tidemill notify: {told}", file=sys.stderr)
    return code


def _tell(answer: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
        return
    for event in answer.get("events", ()):
        runs = ", ".join(f"run {run}" for run in event["runs"])
        again = "" if event.get("first", True) else " (told before: nothing was started now; --id tells it apart)"
        print(f"event {event['id']}: {runs or event['fate'] + ': ' + event['reason']}{again}")


def _follow(url: str, answer: Mapping[str, Any]) -> int:
    """The worst of how the runs ended, as `tidemill run --wait` exits. Where none was started nothing failed."""
    from service.cli.follow import exit_code, follow
    from service.cli.views.run import ending
    from service.client import Client

    client = Client(url, os.environ.get(API_TOKEN))
    worst = exits.SUCCEEDED
    for run_id in dict.fromkeys(run for event in answer.get("events", ()) for run in event["runs"]):
        *_, last = follow(client, run_id)
        for line in ending(last):
            print(line.plain)
        worst = max(worst, exit_code(last) or exits.SUCCEEDED, key=(exits.SUCCEEDED, exits.WAITING, exits.FAILED).index)
    return worst
