"""Reads the settings once, at start: flags win over the environment, which wins over `tidemill.toml`.

All mistakes are told at once, each with the key, the place where it stands, what was expected and the nearest key.
Standard library only: start-up and `--help` must stay quick.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from service.errors import ConfigError
from service.kafka_access import kafka_problems, registry_problems
from service.oidc_settings import Oidc
from service.settings import KNOWN, SECTIONS, Known, Settings
from service.values import masked_url, postgres_url

DEFAULT_FILE = Path("tidemill.toml")
FILE_VARIABLE = "TIDEMILL_CONFIG"
OTHER_VARIABLES = frozenset({FILE_VARIABLE, "TIDEMILL_CODE", "TIDEMILL_FAULTS"})
"""Variables that are read before or beside the settings (`stages.code_root`, `triggers.faults`)."""
PREFIX = "TIDEMILL_"
MASK = "****"


class Shown(NamedTuple):
    """One line of `tidemill config`: a value that may be shown, and where it came from."""

    key: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class _Raw:
    """What one source gave for a key. `place` names the source and the key in it, `origin` the source alone."""

    value: Any
    place: str
    origin: str


@dataclass(frozen=True, slots=True)
class _Draft:
    """What was given so far, a later source over an earlier one, and what is wrong with it."""

    given: dict[str, _Raw] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_settings(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """The effective settings. `overrides` maps keys such as `http.port` to flags; None means not given.

    Without `path`, `TIDEMILL_CONFIG` names the file, else `tidemill.toml` in the working directory where there is
    one. A variable set to nothing counts as not set. Raises ConfigError.
    """
    environ = os.environ if environ is None else environ
    draft = _Draft()
    _take_file(draft, _file(path, environ))
    _take_environment(draft, environ)
    _take_flags(draft, overrides or {})
    chosen = _converted(draft, environ)
    if not draft.problems:
        settings = _settings(chosen)
        draft.problems.extend(_contradictions(settings))
    if draft.problems:
        raise ConfigError(_told(draft.problems))
    return settings


def describe(settings: Settings) -> list[Shown]:
    """Every setting as it is in effect, secrets masked."""
    return [Shown(key, _shown(known, settings), settings.origins.get(key, "default")) for key, known in KNOWN.items()]


def reference() -> str:
    """The table of all settings in `docs/operating.md`, as Markdown."""
    lines = ["| key | environment | default | |", "| --- | --- | --- | --- |"]
    for known in KNOWN.values():
        default = known.about.default_text or (f"`{_text(known.default)}`" if known.default not in (None, ()) else "")
        lines.append(f"| `{known.key}` | `{known.env}` | {default} | {known.about.says} |")
    return "\n".join(lines) + "\n"


# Sources.


def _file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    if path:
        return path
    if environ.get(FILE_VARIABLE):
        return Path(environ[FILE_VARIABLE])
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def _take_file(draft: _Draft, path: Path | None) -> None:
    for name, value in (_parsed(path) if path else {}).items():
        if name not in (*SECTIONS, *KNOWN) and isinstance(value, dict):
            draft.problems.append(f"{path}: {_unknown(name, list(SECTIONS), 'section')}")
        elif name not in SECTIONS:
            _take(draft, name, value, str(path))
        elif isinstance(value, dict):
            for inner, setting in value.items():
                _take(draft, f"{name}.{inner}", setting, str(path))
        else:
            draft.problems.append(f"{path}: {name} is a section: write [{name}] above its keys")


def _parsed(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file: check --config or {FILE_VARIABLE}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None


def _take_environment(draft: _Draft, environ: Mapping[str, str]) -> None:
    keys = {known.env: key for key, known in KNOWN.items()}
    values = [*environ.values(), *(raw.value for raw in draft.given.values())]
    lent = {value[4:] for value in values if isinstance(value, str) and value.startswith("env:")}
    for name, value in sorted(environ.items()):
        if name in keys and value:
            draft.given[keys[name]] = _Raw(value, f"environment: {name}", name)
        elif name.startswith(PREFIX) and name not in {*keys, *lent, *OTHER_VARIABLES}:
            problem = _unknown(name, [*keys, *OTHER_VARIABLES])
            draft.problems.append(f"environment: {problem} (names with {PREFIX} are kept for settings)")


def _take_flags(draft: _Draft, overrides: Mapping[str, Any]) -> None:
    for key, value in overrides.items():
        if value is not None:
            _take(draft, key, value, "command line")


def _take(draft: _Draft, key: str, value: Any, origin: str) -> None:
    if key in KNOWN:
        draft.given[key] = _Raw(value, f"{origin}: {key}", origin)
    else:
        draft.problems.append(f"{origin}: {_unknown(key, list(KNOWN))}")


def _unknown(name: str, known: list[str], kind: str = "setting") -> str:
    import difflib

    last = name.rpartition(".")[2]
    near = difflib.get_close_matches(name, known, n=1) or [each for each in known if each.rpartition(".")[2] == last]
    if near:
        return f"{name} is not a {kind}: did you mean {near[0]}?"
    section = name.rpartition(".")[0]
    beside = [each for each in known if each.startswith(f"{section}.")] if section in SECTIONS else known
    return f"{name} is not a {kind}: expected one of {', '.join(beside)}"


# From raw values to the object.


def _converted(draft: _Draft, environ: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    """The value and the origin of each key that could be read."""
    chosen = {}
    for key, raw in draft.given.items():
        about = KNOWN[key].about
        try:
            value, via = _fetched(raw.value, environ) if about.secret else (raw.value, "")
            chosen[key] = about.read(value), raw.origin + via
        except ValueError as error:
            shown = "" if about.secret else f" = {_shown_raw(raw.value)!r}"
            draft.problems.append(f"{raw.place}{shown}: expected {error}")
    return chosen


def _shown_raw(value: Any) -> Any:
    """What was given, as a message may tell it."""
    return masked_url(value) if isinstance(value, str) else value


def _fetched(value: Any, environ: Mapping[str, str]) -> tuple[Any, str]:
    """A secret given as `env:NAME` or `file:/path` is fetched from there."""
    kind, _, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    if kind == "env":
        if not environ.get(rest):
            raise ValueError(f"the variable {rest} to be set, since env:{rest} says so")
        return environ[rest], f", env:{rest}"
    if kind == "file":
        try:
            return Path(rest).read_text(encoding="utf-8").strip("\r\n"), f", file:{rest}"
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"a readable file at {rest}: {error}") from None
    return value, ""


def _settings(chosen: Mapping[str, tuple[Any, str]]) -> Settings:
    sections: dict[str, dict[str, Any]] = {name: {} for name in ("", *SECTIONS)}
    for key, (value, _) in chosen.items():
        section, _, name = key.rpartition(".")
        sections[section][name] = value
    settings = Settings(
        **sections[""],
        **{name: kind(**sections[name]) for name, kind in SECTIONS.items()},
        origins={key: origin for key, (_, origin) in chosen.items()},
    )
    return _absolute(settings)


def _absolute(settings: Settings) -> Settings:
    """With every path made absolute, and the default place of artifacts filled in."""
    root = settings.root.resolve()
    home = (root / settings.home).resolve()
    names = ("sasl_token_file", "ssl_cafile", "ssl_certfile", "ssl_keyfile")
    files = {name: root / file for name in names if (file := getattr(settings.kafka, name))}
    artifacts = settings.artifacts
    if not artifacts.url:
        artifacts = dataclasses.replace(artifacts, url=(home / "artifacts").as_uri())
    kafka = dataclasses.replace(settings.kafka, **files)
    return dataclasses.replace(settings, root=root, home=home, kafka=kafka, artifacts=artifacts)


def _contradictions(settings: Settings) -> list[str]:
    """What no single setting shows to be wrong."""
    problems = [*kafka_problems(settings.kafka), *registry_problems(settings.registry)]
    problems += [*lifecycle_problems(settings), *oidc_problems(settings.oidc)]
    if not settings.root.is_dir():
        problems.append(f"root (TIDEMILL_ROOT) is {settings.root}: expected a folder that exists")
    if not settings.http.api_token and not settings.oidc.issuer and not is_loopback(settings.http.host):
        problems.append(
            f"http.host is {settings.http.host}, which others can reach, but there is no http.api_token: "
            "set TIDEMILL_API_TOKEN to a long random text, or listen on 127.0.0.1"
        )
    if settings.http.trusted_proxies and not settings.http.api_token and not settings.oidc.issuer:
        problems.append(
            "http.trusted_proxies is set, but there is no http.api_token: whoever comes through a proxy would do "
            "everything; set TIDEMILL_API_TOKEN to a long random text"
        )
    return problems


def lifecycle_problems(settings: Settings) -> list[str]:
    """An address that a token, or what runs tell, must not go to."""
    url = settings.lifecycle.url
    parts = urlsplit(url or "https://none")
    if parts.scheme == "https" or is_loopback(parts.hostname or ""):
        return []
    told = masked_url(url or "")
    return [f"lifecycle.url is {told}: expected https://, since what runs tell would go there in clear"]


def oidc_problems(oidc: Oidc) -> list[str]:
    """What a provider of sign-in is to be, and what goes with it."""
    if oidc.issuer is None:
        given = [name for name in ("audience", "client_id", "client_secret", "roles") if getattr(oidc, name)]
        return [f"oidc.{given[0]} is set, but no oidc.issuer: who signs people in?"] if given else []
    problems = []
    parts = urlsplit(oidc.issuer)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        told = masked_url(oidc.issuer)
        problems.append(f"oidc.issuer is {told}: expected https://, or anybody on the way signs people in")
    if not (oidc.audience or oidc.client_id):
        problems.append("oidc.issuer is set, but neither oidc.audience nor oidc.client_id: whose tokens are for us?")
    if not oidc.roles:
        problems.append("oidc.issuer is set, but no oidc.roles: nobody could do anything; such as ml=operator,*=viewer")
    return problems


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. A name other than localhost could lead anywhere: False."""
    if host == "localhost":
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _told(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return "\n".join([f"{len(problems)} settings are wrong:", *(f"  {problem}" for problem in problems)])


# Showing.


def _shown(known: Known, settings: Settings) -> str:
    value = known.of(settings)
    if value is None:
        return ""
    if known.about.secret and known.about.read is not postgres_url:
        return MASK
    return masked_url(_text(value))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
