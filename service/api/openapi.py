"""The API described in OpenAPI 3.1, made from the table of endpoints and the types of what they take and give."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, TypeAdapter
from typing_extensions import is_typeddict

from service.api.endpoint import Content, Endpoint
from service.api.problems import MEDIA_TYPE

REFERENCE = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"{(\w+)(?::path)?}")
# What any address may answer: it holds a NUL. One that needs the token, too; 503 while Postgres is away.
EVERYWHERE = (400,)
GUARDED = (*EVERYWHERE, 401, 403, 503)
PROBLEM = {
    "type": "object",
    "description": "An error (RFC 9457)",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
SAYS = """Events in, runs out. Whatever is answered with a 2xx has been committed; sending it again is safe.
A POST may carry an `Idempotency-Key`: with the same one it is carried out once, and the answer comes again with
`Idempotency-Replayed: true` (422: the key came before with another request; 409: the first is still under way).
A name in a path is percent-encoded, a `/` in it too (`%2F`).
Lists are paged by `next`, which goes into `before` or `after` of the next request.
Where the daemon has an API token, every request but health checks and signed webhooks carries it."""
SENT_AGAIN = "sent again with the same one, the request is carried out once, and told the first answer"
HAD_ALREADY = "the ETag of an answer that one has: where it is still the same, 304 says so"
PROBLEM_REFERENCE = {"$ref": REFERENCE.format(model="Problem")}


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole description."""
    schemas = Schemas(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(shown_path(endpoint), {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tidemill", "version": version("tidemill"), "description": SAYS},
        "paths": paths,
        "components": {
            "schemas": {**schemas.components, "Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def shown_path(endpoint: Endpoint) -> str:
    """The path as OpenAPI writes it."""
    return _PARAMETER.sub(r"{\1}", endpoint.path)


class Schemas:
    """The schemas of all types the endpoints name, each once."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        kinds = {kind for endpoint in endpoints for kind in _kinds(endpoint)}
        self._models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        self._shapes = {kind: TypeAdapter(kind) for kind in kinds if is_typeddict(kind)}
        inputs = [(kind, "validation", TypeAdapter(kind)) for kind in self._models]
        outputs = [(kind, "serialization", adapter) for kind, adapter in self._shapes.items()]
        found, rest = TypeAdapter.json_schemas([*inputs, *outputs], ref_template=REFERENCE)  # type: ignore[list-item]
        self.components = rest.get("$defs", {})
        self._found = {kind: schema for (kind, _), schema in found.items()}

    def of(self, kind: Any) -> Mapping[str, Any]:
        """The schema of a type, by reference where it has a name."""
        return self._found.get(kind) or TypeAdapter(kind).json_schema(ref_template=REFERENCE)


def _kinds(endpoint: Endpoint) -> list[Any]:
    bodies = _listed(endpoint.body)
    answers = [one for answer in endpoint.answers.values() for one in _listed(answer)]
    return [one for one in (*bodies, *answers) if isinstance(one, type)]


def _listed(given: Any) -> Sequence[Any]:
    if given is None:
        return ()
    return given if isinstance(given, tuple) else (given,)


def _operation(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    told: dict[str, Any] = {
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "operationId": _operation_id(endpoint),
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.body is not None:
        told["requestBody"] = {"required": endpoint.needs_body, "content": _content(endpoint.body, schemas)}
    if endpoint.open:
        told["security"] = [{}]
    return told


def _operation_id(endpoint: Endpoint) -> str:
    words = re.findall(r"\w+", shown_path(endpoint).removeprefix("/api/v1"))
    return "_".join((endpoint.method.lower(), *words))


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    text = {"type": "string"}
    return [
        *({"name": name, "in": "path", "required": True, "schema": text} for name in _PARAMETER.findall(endpoint.path)),
        *({"name": name, "in": "query", "schema": text, "description": says} for name, says in endpoint.query.items()),
        *(
            {"name": name, "in": "header", "schema": text, "description": says, "required": says.startswith("required")}
            for name, says in _headers(endpoint).items()
        ),
    ]


def _headers(endpoint: Endpoint) -> Mapping[str, str]:
    key = {"Idempotency-Key": SENT_AGAIN} if endpoint.takes_key else {}
    return key | ({"If-None-Match": HAD_ALREADY} if endpoint.has_etag else {}) | dict(endpoint.headers)


def _responses(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    answers = {
        str(status): {"description": HTTPStatus(status).phrase, **_answer(answer, schemas)}
        for status, answer in endpoint.answers.items()
    }
    if endpoint.has_etag:
        answers["304"] = {"description": "It is as it was"}
    general = EVERYWHERE if endpoint.open else GUARDED
    keyed = (409, 413, 415, 422, 429) if endpoint.takes_key else ()
    for status in sorted({*endpoint.problems, *general, *keyed}):
        content = {MEDIA_TYPE: {"schema": PROBLEM_REFERENCE}}
        answers.setdefault(str(status), {"description": HTTPStatus(status).phrase, "content": content})
    return answers


def _answer(answer: Any, schemas: Schemas) -> dict[str, Any]:
    return {} if answer is None else {"content": _content(answer, schemas)}


def _content(given: Any, schemas: Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for one in _listed(given):
        if isinstance(one, Content):
            content[one.media_type] = {"schema": dict(one.schema)}
        else:
            content["application/json"] = {"schema": schemas.of(one)}
    return content
