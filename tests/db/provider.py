"""A provider of OpenID Connect that signs whatever a test wants it to sign, with keys that may change."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

AUDIENCE = "tidemill"


class Signer:
    """Keys by their ids, and what was asked of the provider."""

    def __init__(self) -> None:
        self.private: dict[str, tuple[Any, str]] = {}
        self.asked: Counter[str] = Counter()
        self.away = False
        self.codes: dict[str, dict[str, str]] = {}
        self.also: dict[str, Any] = {}
        self.issuer = ""

    def add(self, kid: str, algorithm: str = "RS256") -> None:
        """Have another key."""
        made: Any = {
            "R": lambda: rsa.generate_private_key(65537, 2048),
            "E": lambda: ec.generate_private_key(ec.SECP256R1()),
        }.get(algorithm[0] if algorithm != "EdDSA" else "", ed25519.Ed25519PrivateKey.generate)()
        self.private[kid] = (made, algorithm)

    def jwk(self, kid: str) -> dict[str, Any]:
        """The public part."""
        key, algorithm = self.private[kid]
        given: Any = get_default_algorithms()[algorithm]
        return {**json.loads(given.to_jwk(key.public_key())), "kid": kid, "use": "sig", "alg": algorithm}

    def token(self, kid: str = "one", **claims: Any) -> str:
        """A token as it should be, but for what is given; None leaves a claim out."""
        now = int(time.time())
        said = {"iss": self.issuer, "aud": AUDIENCE, "sub": "s-1", "iat": now, "exp": now + 300}
        said |= {"preferred_username": "kim", "groups": ["ml"], **claims}
        key, algorithm = self.private[kid]
        left = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(left, key, algorithm, headers={"kid": kid})

    def let_in(self, asked: Mapping[str, str]) -> str:
        """Somebody signed in there: the code with which the browser goes back."""
        code = f"code-{len(self.asked)}-{asked['state'][:8]}"
        self.codes[code] = dict(asked)
        return code

    def exchange(self, form: Mapping[str, str]) -> Any:
        """A code, once, for whoever has what its challenge was made of (RFC 7636, section 4.6)."""
        asked = self.codes.pop(form["code"], None)
        made = urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
        if asked is None or made != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return None
        return {"id_token": self.token(**{"nonce": asked["nonce"], "aud": asked["client_id"], **self.also})}

    def answer(self, path: str) -> Any:
        """What it says to a GET."""
        self.asked[path] += 1
        if self.away:
            return None
        if path == "/jwks":
            return {"keys": [self.jwk(kid) for kid in self.private]}
        if path == "/.well-known/openid-configuration":
            ends = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/jwks"}
            return {"issuer": self.issuer, **{name: self.issuer + end for name, end in ends.items()}}
        return None


@contextmanager
def signer() -> Iterator[Signer]:
    """One that listens on this machine, with a key `one`."""
    one = Signer()
    one.add("one")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = one.answer(self.path)
            content = json.dumps(found).encode()
            self.send_response(200 if found is not None else 503)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            given = self.rfile.read(int(self.headers["Content-Length"])).decode()
            found = one.exchange({name: values[0] for name, values in parse_qs(given).items()})
            content = json.dumps(found if found is not None else {"error": "invalid_grant"}).encode()
            self.send_response(200 if found is not None else 400)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.issuer = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
