"""How the client speaks to a daemon: one request, one connection, and every refusal as an error."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson

from service.errors import ConfigError, ServiceError

TIMEOUT_S = 30.0

Json = dict[str, Any]


class ApiError(ServiceError):
    """The daemon refused. `problem` is its whole problem document (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.title = str(problem.get("title", http.client.responses.get(status, "")))
        self.detail = str(problem.get("detail", "")) or f"{status} {self.title}"
        self.problem = problem
        self.transient = status in (429, 502, 503, 504)
        super().__init__(self.detail)


class DaemonUnavailable(ServiceError):
    """No daemon answers at this address."""

    transient = True

    def __init__(self, url: str, error: BaseException) -> None:
        super().__init__(
            f"no daemon answers at {url} ({error or type(error).__name__}): start one with `tidemill up`,"
            " or set TIDEMILL_URL to the address of one that runs"
        )


class Calls:
    """Speaks to the daemon at `url`. One may be shared by threads: each call has a connection of its own."""

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{url!r} is not the address of a daemon: expected http://HOST:PORT (TIDEMILL_URL)")
        self.url = url.rstrip("/")
        self._parts = parts
        self._token = token
        self._timeout_s = timeout_s

    def _get(self, path: str, **query: Any) -> Json:
        wanted = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", f"{path}?{urlencode(wanted, doseq=True)}" if wanted else path)

    def _post(self, path: str, body: Any) -> Json:
        return self._ask("POST", path, body)

    def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        content = None if method == "GET" else orjson.dumps(body)
        sent = {"Content-Type": content_type, **(headers or {})} if content is not None else dict(headers or {})
        return answer_of(*self._exchange(method, path, content, sent))

    def _exchange(self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """One request: the status and the body of its answer."""
        connection = self._connect()
        try:
            response = self._send(connection, method, path, content, headers)
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise DaemonUnavailable(self.url, error) from error
        finally:
            connection.close()

    def _events(self, run_id: int, wanted: Mapping[str, Any], last: str) -> Iterator[tuple[str, str, Any]]:
        """One connection's worth of server-sent events: kind, id, data."""
        query = urlencode({"follow": "true"} | {name: value for name, value in wanted.items() if value is not None})
        headers = {"Accept": "text/event-stream", "Last-Event-ID": last}
        connection = self._connect()
        try:
            response = self._send(connection, "GET", f"/api/v1/runs/{run_id}/logs?{query}", None, headers)
            if response.status != 200:
                answer_of(response.status, response.read())
            yield from _parsed(response)
        except (OSError, http.client.HTTPException) as error:
            raise DaemonUnavailable(self.url, error) from error
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        return kind(self._parts.hostname or "", self._parts.port, timeout=self._timeout_s)

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        given = {"Accept": "application/json", **headers}
        if self._token:
            given["Authorization"] = f"Bearer {self._token}"
        connection.request(method, self._parts.path.rstrip("/") + path, content, given)
        return connection.getresponse()


def answer_of(status: int, content: bytes) -> Json:
    """The document of an answer. Raises `ApiError` for one that refuses."""
    try:
        document = orjson.loads(content) if content else {}
    except orjson.JSONDecodeError:
        document = {"detail": f"{status}: what answers there is no Tidemill daemon: {content[:80]!r}"}
        status = status if status >= 400 else 502
    if status >= 400:
        raise ApiError(status, document if isinstance(document, dict) else {})
    answer: Json = document
    return answer


def _parsed(lines: Iterator[bytes]) -> Iterator[tuple[str, str, Any]]:
    """Server-sent events out of their lines (WHATWG HTML, section 9.2.6), as far as our daemon writes them."""
    fields: dict[str, str] = {}
    for line in lines:
        text = line.decode().rstrip("\r\n")
        if text:
            name, _, value = text.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield fields.get("event", "message"), fields.get("id", ""), orjson.loads(fields["data"])
            fields = {}
        else:
            fields = {}
