"""Whatever a pipeline file calls a trigger with, it hears in our words what is wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

import triggers
from tests.odd_values import OTHERS
from triggers.declared import Declared
from triggers.errors import InvalidTrigger

NOT_DECLARED = {"Event"}
DECLARED: list[Any] = [getattr(triggers, name) for name in triggers.__all__ if name not in NOT_DECLARED]
ODD = (
    *OTHERS,
    b"x",
    10**30,
    float("nan"),
    object(),
    str,
    datetime(2026, 1, 1, tzinfo=UTC),
    {1: 2},
    "\x00",
    "\ud800",
    -1,
)
# Something that each can be made of, where nothing is not enough.
ENOUGH: dict[str, dict[str, Any]] = {
    "Batch": {"max_events": 3, "max_wait_s": 5},
    "Bearer": {"token": "s"},
    "Calendar": {"weekdays": ["sat"]},
    "Cron": {"expression": "0 2 * * *"},
    "QuartzCron": {"expression": "0 0 2 * * ?"},
    "Every": {"interval": "1h"},
    "Files": {"pattern": "landing/*.csv"},
    "GooglePush": {"audience": "https://here", "email": "a@b"},
    "HMAC": {"header": "X-Sig", "secret": "s"},
    "Latest": {"quiet_s": 1, "max_wait_s": 5},
    "Objects": {"url": "s3://b/*.csv"},
    "RateLimit": {"runs": 1, "per_s": 5},
    "SNS": {"topic": "arn:aws:sns:eu-west-1:1:t"},
    "StandardWebhooks": {"secret": "whsec_a2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="},
    "StreamFeatures": {"topic": "t", "key": "data.k"},
    "Buildkite": {"token": "s"},
    "GitLab": {"token": "s"},
    **{name: {"topic": "t"} for name in ("KafkaArrivals", "KafkaBatches", "ObjectTopic")},
    **{name: {"stream": "s"} for name in ("KinesisBatches", "PulsarBatches")},
    **{name: {"hook": "h"} for name in ("ObjectNotices", "Webhook")},
    **{name: {"token": "s"} for name in ("GitHubStatus", "GitLabStatus", "Jenkins")},
    **{name: {"secret": "s"} for name in ("Bitbucket", "CircleCI", "GitHub", "Gitea")},
}


def deep(levels: int) -> dict[str, Any]:
    where: dict[str, Any] = {"a": 1}
    for _ in range(levels):
        where = {"not": where}
    return where


def test_everything_that_is_declared_is_of_one_kind() -> None:
    assert all(type(one) is Declared for one in DECLARED)


@pytest.mark.parametrize("declared", DECLARED, ids=lambda one: one.__name__)
def test_calls_that_do_not_fit_are_refused_in_words(declared: Any) -> None:
    for given, named in [((), {"nope": 1}), (("x",) * 30, {}), (("x",), {"nope": 1})]:
        with pytest.raises(InvalidTrigger) as refused:
            declared(*given, **named)
        assert str(refused.value).startswith(f"{declared.__name__}: ")
        assert "__init__" not in str(refused.value)


@pytest.mark.parametrize("declared", DECLARED, ids=lambda one: one.__name__)
def test_odd_values_of_every_setting_are_taken_or_refused_in_words(declared: Any) -> None:
    enough = ENOUGH.get(declared.__name__, {})
    if not inspect.isabstract(declared):
        declared(**enough)
    refused = {}
    for name in inspect.signature(declared.__init__).parameters:
        for value in ODD if name != "self" else ():
            try:
                declared(**(enough | {name: value}))
            except InvalidTrigger as error:
                refused[name, repr(value)] = str(error)
    assert {place: told for place, told in refused.items() if "cannot be understood" in told} == {}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: triggers.KinesisBatches(5), "KinesisBatches: stream=5: give text"),  # type: ignore[arg-type]
        (lambda: triggers.Cron(), "Cron: it has to be told expression"),  # type: ignore[call-arg]
        (
            lambda: triggers.Cron("@daily", timezon="UTC"),  # type: ignore[call-arg]
            "Cron: there is no setting 'timezon': did you mean timezone?",
        ),
        (
            lambda: triggers.CloudEvents("t"),  # type: ignore[misc]
            "CloudEvents: nothing is taken without a name, and 1 value is: write NAME=VALUE, for one of where",
        ),
        (lambda: triggers.GitHub(5), "GitHub: secret=...: give text or a list"),  # type: ignore[arg-type]
        (lambda: triggers.Aggregate("data.n"), "Aggregate: give one of its kinds: Count or Sum or "),  # type: ignore[abstract]
        (
            lambda: triggers.Batch(5, max_events=6),  # type: ignore[misc, call-arg]
            "Batch: max_events is given twice, without its name and with it",
        ),
        (lambda: triggers.RateLimit(1), "RateLimit: it has to be told per_s"),  # type: ignore[call-arg]
        (lambda: triggers.Manual(name=5), "Manual: name=5: give text, as in name='nightly'"),  # type: ignore[arg-type]
        (lambda: triggers.Manual(name=None), "Manual: name=None: give text"),  # type: ignore[arg-type]
        (
            lambda: triggers.Manual(name="a\0"),
            "Manual: name='a\\x00': give text that can be written as UTF-8, without a NUL",
        ),
        (lambda: triggers.Files("f" * 501), "Files: its name has 507 characters"),
        (lambda: triggers.Webhook("h", report="x"), "webhook 'h': report='x' is none: give one, such as GitHubStatus("),  # type: ignore[arg-type]
        (lambda: triggers.Webhook("h", same_body="x"), "Webhook: same_body='x': give True or False"),  # type: ignore[arg-type]
        (lambda: triggers.Files("*.csv", poll="yes"), "Files: poll='yes': give True or False"),  # type: ignore[arg-type]
        (lambda: triggers.Approval(pipeline=5), "Approval: pipeline=5: give text or None"),  # type: ignore[arg-type]
        (lambda: triggers.Every(True), "Every: interval=True: give text or a number"),
        (lambda: triggers.HMAC(5, secret="s"), "HMAC: header 5: no header has that name"),  # type: ignore[arg-type]
        (lambda: triggers.HMAC("X Y", secret="s"), "HMAC: header 'X Y': no header has that name"),
        (lambda: triggers.KinesisBatches("s", region=3), "KinesisBatches('s'): region=3: give"),  # type: ignore[arg-type]
        (lambda: triggers.KinesisBatches("s", endpoint=5), "KinesisBatches('s'): endpoint=5: give https://HOST"),  # type: ignore[arg-type]
        (lambda: triggers.PulsarBatches("s", cluster=5), "PulsarBatches: cluster=5: give text"),  # type: ignore[arg-type]
        (lambda: triggers.GitLab(signing="nope"), "GitLab: signing= is no signing token, they begin with whsec_"),
        (
            lambda: triggers.GitHubStatus("t", link="https://here/{foo}"),
            "GitHubStatus: link 'https://here/{foo}': only {run} is filled in",
        ),
        (lambda: triggers.Manual(where={"a": {1, 2}}), "manual: where has the set {1, 2}: give a list"),
        (lambda: triggers.Manual(where={"a": float("nan")}), "manual: where has nan: give a finite number"),
        (lambda: triggers.Manual(where={"a": "\0"}), "manual: where has '\\x00': give text"),
        (lambda: triggers.Manual(where={"a": 2**64}), "manual: where has a whole number of 65 bits"),
        (lambda: triggers.Manual(where=deep(3000)), "manual: where has more than 100 levels"),
        (lambda: triggers.Manual(params={"a": {"value": {1}}}), "manual: params has the set {1}: give a list"),
        (lambda: triggers.KafkaBatches("t", value=1), "KafkaBatches: there is no setting 'value'; there are topic, "),
    ],
)
def test_it_is_told_which_setting_of_what(call: Callable[[], object], told: str) -> None:
    with pytest.raises(InvalidTrigger) as refused:
        call()
    assert str(refused.value).startswith(told)
