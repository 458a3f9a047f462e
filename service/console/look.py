"""Templates, the words they are filled with, and what a browser may do with the pages made of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import orjson
from jinja2 import Environment, FileSystemBytecodeCache, FunctionLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup

from service.api.access import ACT
from service.console.assets import address, assets, style, style_source
from service.console.meter import meter, spark
from service.words.deeds import plainly
from service.words.endings import failed_in, failed_why
from service.words.events import event_name
from service.words.parts import number, size
from service.words.times import distance, instant, lasted

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        f"style-src {style_source()}",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
}
SHOWN_DIGEST = 10
MOST_NAME = 72
# As many different ones are remembered as they are drawn.
MOST_STATES = 256
# What ticks are called.
INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)Z")
# A sign for each state, so that colour is never the only one; then how it looks.
SIGNS = {
    **dict.fromkeys(
        ("succeeded", "passed", "reused", "approved", "ran", "listening", "delivering", "ok", "alive", "production"),
        ("✓", "good"),
    ),
    **dict.fromkeys(("failed", "rejected", "dead", "lost", "lapsed", "refused"), ("✗", "bad")),
    **dict.fromkeys(("waiting", "retrying", "rate-limited", "silent", "staging"), ("◷", "wait")),
    **dict.fromkeys(("paused", "stopped"), ("‖", "wait")),
    "late": ("↷", "wait"),
    **dict.fromkeys(("running", "starting"), ("▶", "work")),
    **dict.fromkeys(("queued", "coalesced"), ("…", "work")),
}
PLAIN = ("○", "plain")
TEMPLATES = Path(__file__).parent / "templates"
# How templates are compiled is said in this file.
MADE_BY = f"{jinja2.__version__}\n{Path(__file__).read_text(encoding='utf-8')}\n"
START = ("bare.html", "base.html", "parts.html", "now.html")


def rendered(template: str, **values: Any) -> str:
    """A template, filled. Everything in `values` is escaped."""
    return _environment().get_template(template).render(**values)


class Compiled(FileSystemBytecodeCache):
    """Templates as they were compiled at an earlier start, in a folder; where that cannot be written, as if there were
    none.
    """

    def __init__(self, folder: Path) -> None:
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        super().__init__(str(folder))

    def get_source_checksum(self, source: str) -> str:
        """What comes of a template depends on who compiles it and how, too."""
        return super().get_source_checksum(MADE_BY + source)

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take one."""
        with suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep one."""
        with suppress(OSError):
            super().dump_bytecode(bucket)


def prepare(folder: Path) -> None:
    """Compile what the start page is made of: that takes longer than all the rest of its first answer. What is compiled
    from now on is kept in `folder`.
    """
    _environment().bytecode_cache = Compiled(folder)
    for name in START:
        _environment().get_template(name)


@cache
def _environment() -> Environment:
    # All are read at once: files that an upgrade replaces do not match the code of a daemon that runs on.
    sources = {one.name: (one.read_text(encoding="utf-8"), str(one), None) for one in TEMPLATES.glob("*.html")}
    made = Environment(
        loader=FunctionLoader(sources.get),
        auto_reload=False,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["asset"] = address
    made.globals["style"] = style()
    made.globals["mark"] = Markup(assets()["mark.svg"].decode())
    made.globals["state"] = state
    made.globals["meter"] = meter
    made.globals["spark"] = spark
    made.globals["sign"] = lambda name: SIGNS.get(name, PLAIN)[0]
    made.globals["look"] = lambda name: SIGNS.get(name, PLAIN)[1]
    made.globals["gate_act"] = gate_act
    made.tests["search"] = lambda text, part: part in text
    made.filters |= {
        "at": at,
        "so_far": so_far,
        "clock": clock,
        "took": took,
        "number": number,
        "size": size,
        "short": short,
        "cut": cut,
        "named": named,
        "plainly": plainly,
        "json": as_json,
        "line": as_line,
        "without": without,
        "failed_in": failed_in,
        "failed_why": failed_why,
    }
    return made


# A text that is marked as safe is equal to the same text that is not.
@lru_cache(maxsize=MOST_STATES, typed=True)
def state(name: str) -> Markup:
    """A state by sign, word and colour."""
    sign, look = SIGNS.get(name, PLAIN)
    return Markup('<span class="state %s"><span aria-hidden="true">%s</span> %s</span>') % (look, sign, name)


def at(given: datetime | str | None, now: datetime) -> Markup:
    """How far an instant is from now; the instant itself when pointed at, and for the script that keeps it true."""
    if given is None:
        return Markup("")
    when = _instant(given)
    told = Markup('<time datetime="%s" title="%s">%s</time>')
    return told % (when.isoformat(), f"{when:%Y-%m-%d %H:%M:%S} UTC", distance(when, now))


def so_far(begun: datetime | str | None, now: datetime) -> Markup:
    """For how long something has been going on, if it has begun; the script keeps that true, too."""
    if begun is None:
        return Markup("")
    when = _instant(begun)
    told = Markup('for <time datetime="{}" title="{}" data-lasts>{}</time>')
    seconds = max(int((now - when).total_seconds()), 1)
    return told.format(when.isoformat(), f"since {when:%Y-%m-%d %H:%M:%S} UTC", lasted(seconds))


def clock(given: datetime | str | None) -> Markup:
    """An instant in UTC; the day too."""
    if given is None:
        return Markup("")
    when = _instant(given)
    return Markup('<time datetime="{}" data-fixed>{}</time>').format(when.isoformat(), f"{when:%Y-%m-%d %H:%M:%S} UTC")


def took(seconds: float | None) -> str:
    """A duration, or nothing."""
    return "" if seconds is None else lasted(seconds).replace(" ", "\N{NO-BREAK SPACE}")


def short(digest: str | None) -> str:
    """The first digits of a digest."""
    return (digest or "")[:SHOWN_DIGEST]


def cut(name: str, most: int = MOST_NAME) -> Markup | str:
    """A name others gave, which may be as long as they like: both its ends, and the whole when pointed at."""
    if len(name) <= most:
        return name
    end = most // 3
    return Markup('<span title="{}">{}…{}</span>').format(name, name[: most - end - 1], name[-end:])


def named(event: Mapping[str, Any], pipeline: str = "") -> str:
    """What people call an event; one that is called by an instant, as pages tell instants."""
    return INSTANT.sub(r"\1 \2 UTC", event_name(event, pipeline))


def as_json(value: Any) -> str:
    """A document as people read it."""
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()


def as_line(value: Any) -> str:
    """A document on one line."""
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def without(document: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """What else a document holds."""
    return {name: value for name, value in document.items() if name not in names}


def gate_act(run: int, gate: str) -> str:
    """Where the decision about a gate is sent."""
    return f"{ACT}runs/{run}/gates/{quote(gate, safe='')}"


def _instant(given: datetime | str) -> datetime:
    when = instant(given) if isinstance(given, str) else given
    return when.astimezone(UTC)
