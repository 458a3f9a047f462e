"""Opens the artifact store behind a URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from stages.artifacts import ArtifactStore
from stages.errors import StoreUnavailable

OBJECT_SCHEMES = ("s3", "s3a", "gs", "az", "abfs", "abfss", "memory")


def open_store(url: str) -> ArtifactStore:
    """The store at `file:///folder`, `s3://bucket/prefix`, `gs://`, `az://` or `memory://`.

    Credentials and endpoints of object stores come from their usual environment variables. Raises `StoreUnavailable`
    for an unknown scheme and for a folder that cannot be written.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        from stages.local_store import LocalStore

        return LocalStore(Path(unquote(parts.path)))
    if parts.scheme in OBJECT_SCHEMES:
        from stages.object_store import ObjectStore

        return ObjectStore(url)
    known = ", ".join(f"{scheme}://" for scheme in ("file", *OBJECT_SCHEMES))
    raise StoreUnavailable(
        f"artifact store {url!r}: not a URL of a store; use one of {known} (a folder is file:///absolute/path)",
        transient=False,
    )
