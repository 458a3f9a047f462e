"""Parameters that are secrets: which they are, what is kept of them, and how they are shown."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from stages.problems import Problems
from stages.secrets import MASK
from triggers.event import Event
from triggers.marked import hidden_in

Path = tuple[str, ...]
_KINDS = (SecretStr, SecretBytes)
# Of the data of events: more, and longer ones, are not looked for in what a stage tells.
MOST_TEXTS, LONGEST_TEXT = 200, 4096


class Hidden(str):
    """A value that is shown as `***`, or as a text without its secrets, and is still equal only to what it hides."""

    __slots__ = ("_hides",)
    _hides: Any

    @classmethod
    def of(cls, value: Any, text: str = MASK) -> Hidden:
        """This value, hidden."""
        made = cls(text)
        made._hides = value
        return made

    def __eq__(self, other: object) -> bool:
        return bool(self._hides == (other._hides if isinstance(other, Hidden) else other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


@cache
def secret_paths(model: type[BaseModel] | None) -> tuple[Path, ...]:
    """Where secrets are in parameters: fields of `SecretStr` and `SecretBytes`, and those marked `{"secret": True}`."""
    return () if model is None else tuple(path for path, _ in _secrets(model, frozenset()))


def check_secrets(model: type[BaseModel] | None, problems: Problems) -> None:
    """Note secrets in places where they would not be found again, or would be known to everybody."""
    for path, field in () if model is None else _secrets(model, frozenset()):
        name = ".".join(path)
        if field is None:
            problems.add(
                f"parameter {name!r} has a secret among other things: a secret is a field of its own, of SecretStr or "
                f"SecretBytes (or None), in the params or in a model that is a field of them"
            )
        elif field.alias or field.validation_alias or field.serialization_alias:
            problems.add(f"parameter {name!r} is a secret and has an alias: call the field as it is called outside")


def check_filled(model: type[BaseModel] | None, trigger: Any, problems: Problems) -> None:
    """Note secrets that a trigger fills: events, and what triggers say, are kept and shown as they are."""
    secret = {path[0] for path in secret_paths(model)}
    for name in trigger.params:
        if name in secret:
            problems.add(
                f"trigger {trigger.name!r} fills parameter {name!r}, which is a secret, and events are kept and shown: "
                f"give it when the run is started, or mark it with secrets= and let the stage read it in the event"
            )


def revealed(params: BaseModel, plain: dict[str, Any]) -> dict[str, Any]:
    """The parameters as JSON (`plain`, with secrets as pydantic writes them), and the secrets as they were given."""
    for path in secret_paths(type(params)):
        holder: Any = params
        inside: Any = plain
        for name in path[:-1]:
            holder = getattr(holder, name)
            inside = inside[name] if holder is not None else None
            if inside is None:
                break
        if inside is not None:
            inside[path[-1]] = _given(getattr(holder, path[-1]), inside[path[-1]])
    return plain


def masked(params: Mapping[str, Any], paths: Sequence[Sequence[str]], hide: Any = Hidden.of) -> dict[str, Any]:
    """Raw parameters without what is at `paths`. What is not there is not made up."""
    shown = dict(params)
    for path in paths:
        name, rest = path[0], path[1:]
        inside = shown.get(name)
        if inside is None:
            continue
        shown[name] = masked(inside, [rest], hide) if rest and isinstance(inside, Mapping) else hide(inside)
    return shown


def shown_whole(params: Mapping[str, Any]) -> dict[str, Any]:
    """Masked parameters as they are, for a run that is to have the same."""
    found = {}
    for name, value in params.items():
        inside = shown_whole(value) if isinstance(value, dict) else value
        found[name] = value._hides if isinstance(value, Hidden) else inside
    return found


def without(params: Mapping[str, Any], paths: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Raw parameters with `***`, for what is kept elsewhere than in the run."""
    return masked(params, paths, lambda _: MASK)


def values_at(params: Mapping[str, Any], paths: Sequence[Sequence[str]]) -> list[str]:
    """The texts that must not be seen of these parameters."""
    found: list[Any] = []
    if paths:
        masked(params, paths, found.append)
    return [text for one in found for text in _texts(one)]


def values_of(params: Mapping[str, Any] | None, model: type[BaseModel] | None) -> list[str]:
    """The texts that must not be seen of raw parameters of this model."""
    return values_at(params or {}, secret_paths(model))


def values_in(events: Iterable[Event]) -> list[str]:
    """The texts that must not be seen of the data of events, as far as they can be looked for in each line."""
    marked: list[Any] = []
    for event in events:
        marked += hidden_in(event)
    if not marked:
        return []
    found = (text for one in marked for text in _texts(one) if len(text) <= LONGEST_TEXT)
    return list(islice(found, MOST_TEXTS))


def unmasked(changed: Mapping[str, Any], before: Mapping[str, Any], paths: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Changed parameters, in which `***` means a secret as it was."""
    made = dict(changed)
    for path in paths:
        name, rest = path[0], path[1:]
        if made.get(name) == MASK:
            made[name] = before.get(name)
        elif rest and isinstance(made.get(name), Mapping) and isinstance(before.get(name), Mapping):
            made[name] = unmasked(made[name], before[name], [rest])
    return made


def _secrets(model: type[BaseModel], seen: frozenset[type]) -> Iterator[tuple[Path, FieldInfo | None]]:
    """With each path its field, or None where a secret is somewhere in what the field holds."""
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        one = _but_none(field.annotation)
        marked = isinstance(extra, dict) and extra.get("secret") is True
        if one in _KINDS:
            yield (name,), field
        elif isinstance(one, type) and issubclass(one, BaseModel) and not marked:
            if one not in seen:
                yield from (((name, *rest), inner) for rest, inner in _secrets(one, seen | {model}))
        elif any(_holds_secret(kind, frozenset()) for kind in _types_in(field.annotation)):
            yield (name,), None
        elif marked:
            yield (name,), field


def _holds_secret(kind: type, seen: frozenset[type]) -> bool:
    if issubclass(kind, _KINDS):
        return True
    if not issubclass(kind, BaseModel) or kind in seen:
        return False
    return bool(list(_secrets(kind, seen | {kind})))


def _but_none(annotation: Any) -> Any:
    """What an annotation names besides None, where that is one thing."""
    named = [part for part in typing.get_args(annotation) if part is not type(None)]
    return named[0] if len(named) == 1 and type(None) in typing.get_args(annotation) else annotation


def _types_in(annotation: Any) -> Iterator[type]:
    """Every class that an annotation names, however deep."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _types_in(part)


def _given(value: Any, otherwise: Any) -> Any:
    """A secret as JSON. Bytes that are no UTF-8 raise `ValueError`."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return value.get_secret_value().decode() if isinstance(value, SecretBytes) else otherwise


def _texts(value: Any) -> Iterator[str]:
    """Each text in a value; of a number how it is written."""
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
    elif value is not None and not isinstance(value, bool):
        yield value.decode(errors="ignore") if isinstance(value, bytes) else str(value)
