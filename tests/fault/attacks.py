"""What the fuzzer sends: requests to every address, mutated, and bytes that are hardly HTTP."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.odd_values import swapped

HOOKS = (
    "open",
    "github",
    "gitlab",
    "bitbucket",
    "gitea",
    "circleci",
    "buildkite",
    "jenkins",
    "standard",
    "hmac",
    "objects",
    "sns",
    "google",
)
WORDS = (
    *("", "0", "1", "2", "-1", "9" * 25, "fuzzed", "gated", "add", "add-double", "x" * 3000, "%00", "%ff", "..", "a/b"),
    *(
        "é",
        "\u202e",
        "'",
        '"',
        "%",
        "*",
        "null",
        "true",
        "NaN",
        "queued",
        "latest",
        "1.5",
        "\t",
        " ",
        "%2F",
        "[]",
        "{}",
    ),
)
TYPES = (
    *("application/json", "application/cloudevents+json", "application/cloudevents-batch+json", "text/plain", ""),
    *("application/x-www-form-urlencoded", "application/json; charset=utf-16", "multipart/form-data; boundary=x"),
    *("application/cloudevents+xml", "a/b;" * 200, "\xff", 'application/json;;;;charset="utf-8'),
)
HEADERS = (
    *(
        "x-hub-signature-256",
        "x-hub-signature",
        "x-gitlab-token",
        "x-gitlab-event",
        "x-gitea-signature",
        "x-gitea-event",
    ),
    *("circleci-signature", "x-buildkite-signature", "x-buildkite-event", "authorization", "webhook-id", "x-sig"),
    *("webhook-timestamp", "webhook-signature", "idempotency-key", "x-github-event", "x-github-delivery", "ce-id"),
    *("ce-source", "ce-type", "ce-specversion", "ce-time", "ce-dataschema", "ce-subject", "ce-é", "ce-", "traceparent"),
    *("tracestate", "content-encoding", "accept", "range", "expect", "transfer-encoding", "upgrade", "connection"),
    *(
        "webhook-request-origin",
        "webhook-request-rate",
        "webhook-request-callback",
        "origin",
        "cookie",
        "last-event-id",
    ),
)
EVENT = {"specversion": "1.0", "id": "1", "source": "/fuzz", "type": "t", "data": {"factor": 3}}
SEEDS: Sequence[Any] = (
    EVENT,
    [EVENT, EVENT],
    {"params": {"factor": 2}, "data": None, "by": "fuzzer"},
    {"by": "fuzzer", "reason": "because", "subject": "0" * 8},
    {"ref": "refs/heads/main", "repository": {"full_name": "acme/ml"}, "after": "a" * 40},
    {"artifacts": {"model": "0" * 64}, "metrics": {"r2": 0.5}, "lineage": {}},
    {"payload": json.dumps(EVENT), "as": "webhook:open", "headers": {}},
    {"version": 1, "expect": None},
    {
        "Records": [
            {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": "a%2B", "eTag": "e"}}}
        ]
    },
    {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": "{}", "Signature": "AA=="},
    {
        "Type": "Notification",
        "TopicArn": "arn:aws:sns:eu-west-1:1:t",
        "Message": "{}",
        "Signature": "",
        "SignatureVersion": "1",
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a.pem",
    },
    {"message": {"data": "e30=", "attributes": {"eventType": "OBJECT_FINALIZE", "bucketId": "b", "objectId": "k"}}},
    [
        {
            "eventType": "Microsoft.Storage.BlobCreated",
            "data": {"api": "PutBlob", "url": "https://a.blob.core.windows.net/c/k", "eTag": "0"},
        }
    ],
    [{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "1"}}],
)


@dataclass(frozen=True, slots=True)
class Address:
    """A method and a path of the API, with `{parameters}`."""

    method: str
    path: str
    query: Sequence[str]


def addresses(document: Mapping[str, Any]) -> list[Address]:
    """Every address that the API says it has."""
    found = []
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            query = [one["name"] for one in told.get("parameters", ()) if one.get("in") == "query"]
            found.append(Address(method.upper(), path, query))
    return found


_AT = b"Host: 127.0.0.1\r\n"
_PREFACES = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET\r\n\r\n",
    b"\r\n\r\n\r\n",
    b"\0" * 100,
    b"GET / HTTP/1.1\nHost: x\n\n",
    b"GET http://127.0.0.1/livez HTTP/1.1\r\n" + _AT + b"\r\n",
    b"GET http:///// HTTP/1.1\r\n" + _AT + b"\r\n",
    b"OPTIONS * HTTP/1.1\r\n" + _AT + b"\r\n",
    b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n" + _AT + b"\r\n",
    b"GET / HTTP/1.1\r\n" + _AT + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + _AT + b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
    b"POST /hooks/open HTTP/1.1\r\n" + _AT + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"POST /hooks/open HTTP/1.1\r\n" + _AT + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\n a: b\r\n\r\n",
)


class Attacker:
    """Makes attacks out of one source of chance: the same seed, the same attacks."""

    def __init__(self, seed: int, known: Sequence[Address]) -> None:
        self.chance = random.Random(seed)
        self._known = known
        self._ids = 0

    def attack(self) -> list[bytes]:
        """What to write to one connection, piece by piece."""
        if self.chance.random() < 0.25:
            return self.chance.choice(_RAW)(self)
        return [self.right() if self.chance.random() < 0.2 else self.request()]

    def right(self) -> bytes:
        """A request as it should be, so that there is something behind the addresses."""
        self._ids += 1
        closed = ("connection", "close")
        if self.chance.random() < 0.5:
            body = json.dumps({**EVENT, "id": f"{self._ids % 300}"}).encode()
            return self.written("POST", "/api/v1/events", [("content-type", TYPES[1]), closed], body)
        hook = self.chance.choice(("open", "github", "gitea", "circleci", "bearer", "gitlab"))
        body = json.dumps({"id": str(self._ids % 300), "data": {"factor": 2}}).encode()
        return self.written("POST", f"/hooks/{hook}", [("content-type", TYPES[0]), closed, *_proofs(body)], body)

    def request(self) -> bytes:
        """A request that is HTTP, whatever else it is."""
        one = self.chance.choice(self._known)
        method = (
            one.method
            if self.chance.random() < 0.9
            else self.chance.choice(("GET", "POST", "PUT", "HEAD", "PATCH", "X"))
        )
        body = self._body()
        headers = self._headers(body)
        return self.written(method, self._target(one), headers, body)

    def written(self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
        lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers)]
        if not any(name == "content-length" for name, _ in headers):
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body

    def word(self) -> str:
        """A value that somebody might put somewhere."""
        if self.chance.random() < 0.2:
            return "".join(chr(self.chance.randrange(1, 0x250)) for _ in range(self.chance.randrange(12)))
        return self.chance.choice(WORDS)

    def _target(self, one: Address) -> str:
        path = one.path
        while "{" in path:
            before, _, rest = path.partition("{")
            name, _, after = rest.partition("}")
            value = (
                self.chance.choice(HOOKS) if name == "hook" else self.chance.choice(("1", "2", "fuzzed", self.word()))
            )
            path = before + (quote(value, safe="%") or "x") + after
        if one.query and self.chance.random() < 0.5:
            names = self.chance.sample(list(one.query), self.chance.randint(1, len(one.query)))
            path += "?" + "&".join(f"{name}={quote(self.word(), safe='%')}" for name in names)
        elif self.chance.random() < 0.1:
            path += "?" + quote(self.word(), safe="%=&") + "=" + "&" * self.chance.randrange(300)
        return path

    def _headers(self, body: bytes) -> list[tuple[str, str]]:
        headers = [("content-type", self.chance.choice(TYPES))] if self.chance.random() < 0.9 else []
        for name in self.chance.sample(HEADERS, self.chance.randrange(4)):
            if name in ("transfer-encoding", "expect", "connection") and self.chance.random() < 0.8:
                continue
            headers.append((name, self._clean(self.word())))
        if self.chance.random() < 0.3:
            headers += _proofs(body)
        if self.chance.random() < 0.9:
            headers.append(("connection", "close"))
        if self.chance.random() < 0.3:
            self._ids += 1
            headers.append(("idempotency-key", f"k{self._ids % 500}"))
        return [(name, value) for name, value in headers if all(ord(char) < 256 for char in name + value)]

    @staticmethod
    def _clean(value: str) -> str:
        return value.replace("\r", "").replace("\n", "")

    def _body(self) -> bytes:
        kind = self.chance.random()
        if kind < 0.15:
            return b""
        if kind < 0.3:
            return self.chance.randbytes(self.chance.randrange(2_000))
        if kind < 0.35:
            return self.chance.choice(
                (b"[" * 5_000, b'{"a":' * 3_000, b"1" * 5_000, b"\xff\xfe" * 50, b"payload=%FF&" * 30)
            )
        seed = self.chance.choice(SEEDS)
        # One value of another type comes past checks that many changes at once do not.
        odd = self.chance.choice(list(swapped(seed))) if self.chance.random() < 0.3 else self._mutated(seed)
        written = json.dumps(odd).encode()
        if kind < 0.5 and written:
            place = self.chance.randrange(len(written))
            written = written[:place] + self.chance.randbytes(self.chance.randrange(4)) + written[place + 1 :]
        return written

    def _mutated(self, value: Any) -> Any:
        if self.chance.random() < 0.08:
            return self.chance.choice(
                (None, True, -1, 1e308, 2**70, "\ud800", "\0", self.word(), [], {}, [[]], {"": {}})
            )
        if isinstance(value, dict):
            made = {name: self._mutated(one) for name, one in value.items() if self.chance.random() > 0.05}
            return made | ({self.word(): self.word()} if self.chance.random() < 0.1 else {})
        if isinstance(value, list):
            return [self._mutated(one) for one in value] * self.chance.choice((1, 1, 1, 20))
        return value

    def chunked(self) -> list[bytes]:
        head = self.written("POST", "/hooks/open", [("content-type", "application/json"), ("content-length", "0")], b"")
        head = head.replace(b"content-length: 0", b"Transfer-Encoding: chunked")
        bad = (
            b"zz\r\n{}\r\n0\r\n\r\n",
            b"-1\r\n",
            b"ffffffffffffffffff\r\n",
            b"2\r\n{}",
            b"2\r\n{}XX0\r\n\r\n",
            b"0;a=b\r\n\r\n",
        )
        return [head, self.chance.choice((*bad, b"2\r\n{}\r\n0\r\n\r\n", b"5\r\n{}\r\n"))]

    def huge_head(self) -> list[bytes]:
        kind = self.chance.randrange(3)
        if kind == 0:
            return [
                b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"".join(b"a%d: b\r\n" % n for n in range(5_000)) + b"\r\n"
            ]
        if kind == 1:
            return [b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nx: " + b"y" * 300_000 + b"\r\n\r\n"]
        return [b"GET /" + b"z" * 200_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]

    def wrong_length(self) -> list[bytes]:
        length = self.chance.choice(("-1", "1e9", "99999999999999999999", "5", "0", "1, 2", "+3", "0x10", str(1 << 40)))
        headers = [("content-type", "application/json"), ("content-length", length)]
        return [self.written("POST", "/api/v1/events", headers, b'{"a": 1}')]

    def slow(self) -> list[bytes]:
        whole = self.request()
        cuts = sorted(self.chance.randrange(len(whole) + 1) for _ in range(3))
        return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    def cut_off(self) -> list[bytes]:
        whole = self.request()
        return [whole[: self.chance.randrange(1, len(whole))]]

    def preface(self) -> list[bytes]:
        return [self.chance.choice(_PREFACES)]

    def noise(self) -> list[bytes]:
        return [self.chance.randbytes(self.chance.randrange(1, 4_000))]

    def pipelined(self) -> list[bytes]:
        return [b"".join(self.request() for _ in range(self.chance.randint(2, 6)))]

    def large(self) -> list[bytes]:
        size = self.chance.choice((1_048_577, 3_000_000))
        return [self.written("POST", "/hooks/open", [("content-type", "application/json")], b'"' + b"x" * size + b'"')]


def _proofs(body: bytes) -> list[tuple[str, str]]:
    """What a sender that knows the secret sends."""
    digest = hmac.new(b"s", body, hashlib.sha256).hexdigest()
    found = {"x-hub-signature-256": f"sha256={digest}", "x-gitea-signature": digest, "authorization": "Bearer s"}
    return [*found.items(), ("circleci-signature", f"v1={digest}"), ("x-gitlab-token", "s")]


_RAW: Sequence[Callable[[Attacker], list[bytes]]] = (
    *(Attacker.chunked, Attacker.huge_head, Attacker.wrong_length, Attacker.slow, Attacker.cut_off, Attacker.preface),
    *(Attacker.noise, Attacker.pipelined, Attacker.large),
)
