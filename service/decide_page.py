"""The page behind a one-time link: what is asked, and one button. No script, nothing fetched, everything escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime

from service.links import Link
from service.report_page import escaped

STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 34rem; padding: 2rem 1rem; font: 16px/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } dt { opacity: .7; } dd { margin: 0 0 .6rem; }
input, button { font: inherit; padding: .5rem .8rem; box-sizing: border-box; max-width: 100%; }
input { width: 100%; margin: .3rem 0 1rem; }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
# The address is a secret while it can be used: nobody is told of it, and no copy of the page is kept.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
}
VERBS = {"approved": "Approve", "rejected": "Reject"}
SHOWN_DIGEST = 12


def asking(link: Link, pipeline: str, reason: str, evidence: Sequence[tuple[str, str]], expires_at: datetime) -> str:
    """What the link lets be done, and the button that does it."""
    verb = VERBS[link.decision]
    facts = [
        ("Pipeline", pipeline),
        ("Run", str(link.run_id)),
        ("Gate", link.gate),
        ("About", link.subject[:SHOWN_DIGEST]),
        ("As", link.person),
        ("Until", f"{expires_at:%Y-%m-%d %H:%M} UTC, once"),
        *([("It says", reason)] if reason else []),
        *evidence,
    ]
    told = "".join(f"<dt>{escaped(name)}<dd>{escaped(value)}" for name, value in facts)
    form = (
        f'<form method="post"><label>Why (may be empty)<input name="reason" maxlength="1000"></label>'
        f'<button name="confirm" value="{escaped(link.decision)}">{verb}</button></form>'
    )
    return _page(f"{verb} gate {link.gate}?", f"<dl>{told}</dl>{form}")


def telling(title: str, detail: str) -> str:
    """What came of it, or why nothing did."""
    return _page(title, f"<p>{escaped(detail)}</p>")


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{STYLE}</style>\n<h1>{escaped(title)}</h1>\n{body}\n</html>\n"
    )
