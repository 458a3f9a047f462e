"""A server that speaks as much of S3 as a reader needs, written from its API reference; the same of GCS's XML API, and
of Azure's Blob service.

Objects are put and counted from the test. Keys are listed in the order of their UTF-8 bytes, `page` at a time.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


@dataclass(slots=True)
class Stored:
    """One version of an object."""

    content: bytes
    etag: str
    version: int
    at: datetime


@dataclass
class Bucket:
    """What is in the one bucket there is, and what the server was asked for."""

    name: str = "bucket"
    page: int = 1_000
    objects: dict[str, Stored] = field(default_factory=dict)
    old: dict[tuple[str, str], Stored] = field(default_factory=dict)
    failing: tuple[int, str] | None = None
    lists: list[dict[str, str]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    url: str = ""
    versions: int = 0
    listed: Callable[[], None] = lambda: None

    def put(self, key: str, content: bytes = b"x") -> Stored:
        """Write an object, as a new version."""
        self.versions += 1
        made = Stored(content, hashlib.md5(content).hexdigest(), self.versions, datetime.now(UTC))
        self.objects[key] = self.old[key, str(made.version)] = made
        return made

    def after(self, after: str, prefix: str) -> list[str]:
        """The keys of the next page, and one more where there is one."""
        keys = (key for key in self.objects if key.startswith(prefix) and key.encode() > after.encode())
        return sorted(keys, key=str.encode)[: self.page + 1]


class Handler(BaseHTTPRequestHandler):
    """Answers lists, reads and heads."""

    protocol_version = "HTTP/1.1"
    bucket: Bucket

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        """`ListObjectsV2`, or `GetObject`."""
        parts = urlsplit(self.path)
        name, _, key = parts.path.lstrip("/").partition("/")
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        if self.bucket.failing is not None:
            status, code = self.bucket.failing
            self._answer(status, _error(code), {"Content-Type": "application/xml"})
        elif name != self.bucket.name:
            self._answer(404, _error("NoSuchBucket"), {"Content-Type": "application/xml"})
        elif query.get("comp") == "list":
            self._answer(200, self._azure_listing(query), {"Content-Type": "application/xml"})
        elif "list-type" in query:
            self._answer(200, self._listing(query), {"Content-Type": "application/xml"})
        else:
            self._object(unquote(key), query)

    def do_HEAD(self) -> None:
        """`HeadObject`."""
        self.bucket.heads.append(unquote(self.path.partition("?")[0].lstrip("/").partition("/")[2]))
        self.do_GET()

    def _object(self, key: str, query: dict[str, str]) -> None:
        version = query.get("versionId") or query.get("generation")
        found = self.bucket.old.get((key, version)) if version else self.bucket.objects.get(key)
        if found is None:
            self._answer(404, _error("NoSuchKey"), {"Content-Type": "application/xml"})
            return
        etag = f'"{found.etag}"'
        wanted = self.headers.get("If-Match")
        if wanted not in (None, etag):
            self._answer(412, _error("PreconditionFailed"), {})
            return
        headers = {"ETag": etag, "Last-Modified": format_datetime(found.at, usegmt=True)}
        headers["x-goog-generation"] = headers["x-amz-version-id"] = str(found.version)
        self._answer(200, found.content, headers)

    def _listing(self, query: dict[str, str]) -> bytes:
        self.bucket.lists.append(query)
        after = query.get("continuation-token") or query.get("start-after") or ""
        prefix = query.get("prefix", "")
        keys = self.bucket.after(after, prefix)
        shown, more = keys[: self.bucket.page], len(keys) > self.bucket.page
        contents = "".join(self._entry(key, self.bucket.objects[key]) for key in shown)
        self.bucket.listed()
        token = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if more else ""
        listing = (
            f"<ListBucketResult><Name>{self.bucket.name}</Name><KeyCount>{len(shown)}</KeyCount>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
        )
        return listing.encode()

    def _azure_listing(self, query: dict[str, str]) -> bytes:
        self.bucket.lists.append(query)
        keys = sorted(key for key in self.bucket.objects if key.startswith(query.get("prefix", "")))
        blobs = "".join(
            f"<Blob><Name>{escape(key)}</Name><Properties><Etag>{one.etag}</Etag>"
            f"<Last-Modified>{format_datetime(one.at, usegmt=True)}</Last-Modified>"
            f"<Content-Length>{len(one.content)}</Content-Length><Content-Type>text/csv</Content-Type>"
            "</Properties></Blob>"
            for key, one in ((key, self.bucket.objects[key]) for key in keys)
        )
        return f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker /></EnumerationResults>".encode()

    def _entry(self, key: str, one: Stored) -> str:
        return (
            f"<Contents><Key>{escape(key)}</Key><LastModified>{one.at.isoformat()[:-9]}Z</LastModified>"
            f"<ETag>&quot;{one.etag}&quot;</ETag><Size>{len(one.content)}</Size></Contents>"
        )

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


@contextmanager
def serving(bucket: Bucket) -> Iterator[Bucket]:
    """Serve a bucket on a free port of this machine."""
    handler = type("BucketHandler", (Handler,), {"bucket": bucket})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    bucket.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
