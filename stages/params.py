"""The parameters of a run: the pydantic model a pipeline's stages agree on, and raw values checked against it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from stages.base import Stage
from stages.digests import digest_text
from stages.errors import InvalidParams
from stages.problems import Problems, in_our_words, nearest, place_of_function
from stages.secret_params import check_filled, revealed, secret_paths, values_at
from stages.secrets import MASK, Secrets
from stages.signature import Signature

Params = type[BaseModel]
NO_PARAMS_DIGEST = digest_text("no params")


def agreed_params(
    given: Params | None, stages: Iterable[Stage], signatures: Mapping[str, Signature], problems: Problems
) -> Params | None:
    """The model that serves every stage: the one given, or the most derived of those the stages name."""
    asked = [(stage, model) for stage in stages if (model := signatures[stage.name].params_type) is not None]
    widest = [one for _, one in asked if all(issubclass(one, other) for _, other in asked)]
    chosen = given or next(iter(widest), asked[0][1] if asked else None)
    for stage, model in asked:
        if chosen is not None and not issubclass(chosen, model):
            problems.add(
                f"stage {stage.name!r} takes params of type {model.__name__}, but the pipeline's are "
                f"{chosen.__name__}; a parameter that means a stage's output is named like that stage",
                place_of_function(stage.function),
            )
    return chosen


def check_trigger_params(model: Params | None, trigger: Any, problems: Problems) -> None:
    """Note parameters a trigger fills that the pipeline does not have, and values it gives that would never do."""
    known = _names(model)
    check_filled(model, trigger, problems)
    for name in trigger.params:
        if known is not None and name not in known:
            has = f"the pipeline's are {', '.join(sorted(known))}" if known else "the pipeline takes none"
            problems.add(f"trigger {trigger.name!r} fills parameter {name!r}, but {has}{nearest(name, known)}")
    given = {name: one["value"] for name, one in trigger.params.items() if isinstance(one, Mapping)}
    for wrong in _wrong_values(model, given):
        problems.add(f"trigger {trigger.name!r}: params {wrong}")


def _wrong_values(model: Params | None, given: Mapping[str, Any]) -> list[str]:
    """What is wrong with these parameters, whatever the others will be."""
    if model is None or not given:
        return []
    try:
        model.model_validate(dict(given))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        return [_told(one) for one in found if one["loc"] and one["loc"][0] in given]
    except (LookupError, AttributeError, TypeError):
        return []  # a validator of the author's counts on the others being there
    return []


def parse_params(pipeline: str, model: Params | None, raw: Mapping[str, Any] | None) -> BaseModel | None:
    """The validated parameters of a run, or None for a pipeline without. Raises `InvalidParams` naming the fields."""
    given = raw or {}
    known = _names(model)
    wrong = [
        f"{name}: no such parameter{nearest(name, known)}" for name in given if known is not None and name not in known
    ]
    parsed = None
    if model is not None:
        try:
            parsed = model.model_validate(dict(given))
        except ValidationError as error:
            wrong += [_told(one) for one in error.errors(include_url=False, include_context=False)]
    paths = secret_paths(model)
    if paths:
        secrets = values_at(given, paths)
        wrong += [f"a secret is {MASK}: give its value"] * (MASK in secrets)
        wrong = [Secrets(secrets).mask(one) for one in wrong]
    if wrong:
        raise InvalidParams(f"wrong parameters for pipeline {pipeline!r}: {'; '.join(wrong)}")
    return parsed


def plain_params(params: BaseModel | None) -> dict[str, Any]:
    """Validated parameters as JSON, with their secrets: what is kept with a run, and read again for each stage."""
    return {} if params is None else revealed(params, params.model_dump(mode="json"))


def digest_params(params: BaseModel | None) -> str:
    """What a stage key holds of validated parameters, defaults included. The order of fields changes nothing."""
    if params is None:
        return NO_PARAMS_DIGEST
    plain = revealed(params, params.model_dump(mode="json", round_trip=True))
    return digest_text(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode())


def _names(model: Params | None) -> Sequence[str] | None:
    """What the fields may be called from outside, or None where the model takes anything."""
    if model is None:
        return ()
    if model.model_config.get("extra") == "allow":
        return None
    names = set(model.model_fields)
    for field in model.model_fields.values():
        names.update(alias for alias in (field.alias, field.validation_alias) if isinstance(alias, str))
    return sorted(names)


def _told(error: Any) -> str:
    where = ".".join(str(step) for step in error["loc"]) or "params"
    given = error.get("input")
    shown = "" if error["type"] == "missing" or isinstance(given, dict | list) else f" (got {given!r})"
    return f"{where}: {in_our_words(error['msg'])}{shown}"
