"""Takes secrets out of text before it is stored or shown: values that are known, and what looks like one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import orjson

from stages.outcome import MESSAGE_LIMIT, TRACEBACK_LIMIT, ErrorRecord, Failed, Lost, Outcome

MASK = "***"
SHORTEST = 4

# What has a name that tells, or a form of its own. The part in `kept` stays: it says what was there.
_LOOKS = re.compile(
    r"""
      (?P<kept>
          authorization["']?[ \t]*[:=][ \t]*["']?(?:bearer|basic|token|digest)[ \t]+
        | \bbearer[ \t]+(?=[\w.~+/-]{8})
        | (?:password|passwd|passphrase|secret|token|(?:api|access|private)[_-]?key)["']?[ \t]*[:=][ \t]*(?=[^\s,;])
        | ://[^\s:/?\#@]{0,128}:(?=[^\s/?\#@]{1,256}@)
      )
      (?: "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | (?<=:)[^\s/?\#@]+(?=@) | [^\s,;"'&)\]}]+ )
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b
    | \bsk-[\w-]{20,}
    | \b(?:tm_|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|hf_|npm_|pypi-|whsec_)[\w-]{16,}
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_NAMES = re.compile(r"(?:password|passwd|passphrase|secret|token|(?:api|access|private)[_-]?key)$", re.I)
# A text without any of these holds nothing that `_LOOKS` finds (a password in a URL stands before an `@`): most lines
# cost a few searches for plain text.
_HINTS = (
    *("authorization", "bearer", "passw", "passphrase", "secret", "token", "key", "@"),
    *("akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-"),
    *("xoxa-", "xoxb-", "xoxp-", "xoxr-", "xoxs-", "sk-", "hf_", "npm_", "pypi-", "whsec_", "tm_"),
)

Hide = Callable[[Any, str], Any]


def _as_text(_: Any, text: str) -> str:
    return text


class Secrets:
    """Known secrets. `mask` may be called from any thread while values are added.

    A value shorter than `SHORTEST` is passed over: hiding it would hide half of every text. One of several lines is
    also known line by line, as it is printed.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._forms: frozenset[str] = frozenset()
        self._known: re.Pattern[str] | None = None
        self._hints: tuple[str, ...] = _HINTS
        self.add(*values)

    def add(self, *values: str) -> None:
        """Know more."""
        if not values:
            return
        forms = self._forms.union(*map(_forms, values))
        if forms != self._forms:
            longest_first = sorted(forms, key=len, reverse=True)
            self._forms, self._known = forms, re.compile("|".join(map(re.escape, longest_first)))

    def and_more(self, values: Iterable[str] = ()) -> Secrets:
        """The same secrets and others; what is added there is not known here."""
        more = Secrets()
        more._forms, more._known = self._forms, self._known
        more.add(*values)
        return more

    def of_document(self, text: str) -> Secrets | None:
        """Those that a document in JSON may hold, or None: going through its values is then quick, or needless."""
        folded = text.casefold()
        found = Secrets()
        found._hints = tuple(hint for hint in _HINTS if hint in folded)
        if self._known is not None and self._known.search(text):
            found._forms, found._known = self._forms, self._known
        return found if found._hints or found._known else None

    def mask_fields(self, fields: Mapping[str, Any], hide: Hide = _as_text) -> dict[str, Any]:
        """Plain values without secrets; one under a name such as `password` is hidden whatever it is.

        `hide` makes of a value and the text without secrets what stands in its place.
        """
        return {
            self.mask(name): hide(one, MASK) if _NAMES.search(name) else self.mask_value(one, hide)
            for name, one in fields.items()
        }

    def mask_value(self, value: Any, hide: Hide = _as_text) -> Any:
        """One plain value without secrets. A kind of text of its own is left: somebody has hidden it already."""
        if type(value) is str:
            text = self.mask(value)
            return value if text == value else hide(value, text)
        if isinstance(value, dict):
            return self.mask_fields(value, hide)
        return [self.mask_value(one, hide) for one in value] if isinstance(value, list) else value

    def mask_ends(self, text: str) -> str:
        """Hide what may be the rest of a known value at the beginning, and the beginning of one at the end."""
        for form in self._forms:
            for size in range(len(form) - 1, SHORTEST - 1, -1):
                if text.startswith(form[-size:]):
                    text = MASK + text[size:]
                if text.endswith(form[:size]):
                    text = text[:-size] + MASK
        return text

    def mask(self, text: str) -> str:
        """The text with `***` in place of secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        folded = text.casefold()
        for hint in self._hints:
            if hint in folded:
                return _LOOKS.sub(_masked, text)
        return text


def masked_error(error: ErrorRecord, secrets: Secrets) -> ErrorRecord:
    """An error as it may be stored. It was cut before it came here, perhaps in the middle of a secret."""
    message, traceback = secrets.mask(error.message), secrets.mask(error.traceback)
    if len(error.message) >= MESSAGE_LIMIT:
        message = secrets.mask_ends(message)
    if len(error.traceback) >= TRACEBACK_LIMIT:
        traceback = secrets.mask_ends(traceback)
    return replace(error, message=message, traceback=traceback)


def masked_outcome(outcome: Outcome, secrets: Secrets) -> Outcome:
    """An outcome as it may be stored. What succeeded is left as it is: its output is the stage's own affair."""
    if isinstance(outcome, Failed):
        return Failed(masked_error(outcome.error, secrets))
    return Lost(secrets.mask(outcome.reason)) if isinstance(outcome, Lost) else outcome


def _masked(found: re.Match[str]) -> str:
    return (found["kept"] or "") + MASK


def _forms(value: str) -> set[str]:
    """How a value may appear: as it is, line by line, as a string of Python or JSON, and in a URL."""
    forms = {value, *(line.strip() for line in value.splitlines())}
    forms |= {repr(value)[1:-1], quote(value, safe="", errors="backslashreplace")}
    forms.add(orjson.dumps(value.encode("utf-8", "replace").decode())[1:-1].decode())
    return {form for form in forms if len(form) >= SHORTEST and form.strip("*")}
