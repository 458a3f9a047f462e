"""Where objects are: a bucket or container of one provider, and which keys in it a pattern means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from triggers.errors import InvalidTrigger
from triggers.files.pattern import WILD, Pattern, check_brackets

STORES = ("s3", "gs", "az", "file", "memory")
_BLOB, _DFS = ".blob.", ".dfs."


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket. `store` is one of `STORES`; `account` is that of Azure, empty where it is not known."""

    store: str
    bucket: str
    account: str = ""

    @property
    def uri(self) -> str:
        """What names this bucket in all the world, as far as is known: the `source` of its events."""
        if self.store == "az" and self.account:
            return f"https://{self.account}.blob.core.windows.net/{self.bucket}"
        return f"{self.store}://{self.bucket}"

    def url(self, key: str) -> str:
        """The address of an object, as data tools take it: percent-encoded only where it is a web address."""
        return f"{self.uri}/{quote(key) if self.uri.startswith('https:') else key}"

    def holds(self, other: Place) -> bool:
        """Whether `other` may be the same bucket. Accounts differ only where both are known."""
        same = (self.store, self.bucket) == (other.store, other.bucket)
        return same and (not self.account or not other.account or self.account == other.account)


@dataclass(frozen=True, slots=True)
class ObjectPattern:
    """Which objects, such as `s3://bucket/landing/*.parquet`; with a `/` at its end, which whole folders of them."""

    text: str
    place: Place
    keys: Pattern

    @classmethod
    def of(cls, text: str) -> ObjectPattern:
        """Read a pattern. Raises `InvalidTrigger`."""
        place, keys = _taken_apart(text)
        if WILD.search(place.bucket):
            raise _wrong(text, "a bucket's name cannot be a pattern: declare a trigger for each bucket")
        if not keys.strip("/"):
            raise _wrong(text, f'it names no objects: add which, such as "{text.rstrip("/")}/**/*.parquet"')
        check_brackets(keys, f'Objects("{text}")')
        names = keys.split("/")
        if {"", ".", ".."} & set(names[:-1]) or names[-1] in (".", "..") or "\0" in keys:
            raise _wrong(text, 'a key has no empty, "." or ".." parts and no NUL: leave them out')
        return cls(text, place, Pattern.of(f"/{keys}", "/"))

    @property
    def folders(self) -> bool:
        """Whether it means whole folders."""
        return self.keys.folders

    @property
    def prefix(self) -> str:
        """The folder in which all of its objects are; empty for the whole bucket."""
        return self.keys.base.strip("/")

    def matches(self, key: str) -> bool:
        """Whether it means the object `key`."""
        *folders, name = key.split("/")
        spots = self.keys.start()
        for folder in folders:
            spots = self.keys.enter(spots, folder)
            if not spots:
                return False
        return not self.folders and self.keys.accepts(spots, name)

    def means(self, url: str) -> bool:
        """Whether it means the object, or the folder, at this address."""
        place, key = _address(url)
        if place is None or not self.place.holds(place):
            return False
        return key.rstrip("/") in self.folders_of(key) if key.endswith("/") else self.matches(key)

    def key_in(self, url: str) -> str:
        """The key in the address of an object or folder."""
        return _address(url)[1]

    def folders_of(self, key: str) -> Iterator[str]:
        """The folders over the object `key` that it means, without a `/` at their ends."""
        spots, path = self.keys.start(), ""
        for folder in key.split("/")[:-1]:
            path = f"{path}/{folder}" if path else folder
            if self.folders and self.keys.accepts(spots, folder):
                yield path
            spots = self.keys.enter(spots, folder)
            if not spots:
                return


def _taken_apart(text: str) -> tuple[Place, str]:
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise _wrong(text, 'it is no address of objects: write "s3://bucket/landing/*.parquet", or gs:, az:, file:')
    if scheme == "https":
        return _web_address(text)
    if scheme not in STORES:
        raise _wrong(text, f"{scheme}: is not one of {', '.join(STORES)}")
    bucket, _, keys = rest.partition("/")
    if bool(bucket) is (scheme == "file"):
        wanted = (
            "write file:/// and a path from the root on" if scheme == "file" else "the name of the bucket is missing"
        )
        raise _wrong(text, wanted)
    return Place(scheme, bucket), keys


def _web_address(text: str) -> tuple[Place, str]:
    host, _, path = text.removeprefix("https://").partition("/")
    account = azure_account(host)
    container, _, keys = path.partition("/")
    if not account or not container:
        raise _wrong(text, "of web addresses only https://ACCOUNT.blob.core.windows.net/CONTAINER/... is understood")
    return Place("az", container, account), keys


def _address(url: str) -> tuple[Place | None, str]:
    """The bucket and key of an object's address, as `Place.url` makes them."""
    found = azure_address(url) if url.startswith("https:") else None
    if found is not None:
        return found[0], unquote(found[1])
    store, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    return (Place(store, bucket), key) if store in STORES else (None, "")


def azure_account(host: str) -> str:
    """The storage account in the name of a host of Azure, or nothing."""
    marked = host.replace(_DFS, _BLOB, 1)
    return marked.partition(_BLOB)[0] if _BLOB in marked else ""


def azure_address(url: str) -> tuple[Place, str] | None:
    """The container and the (still encoded) key of a blob's address, also one on a test server; None if it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    names = parts.path.lstrip("/")
    account = azure_account(parts.hostname or "")
    if not account:
        account, _, names = names.partition("/")
    container, _, key = names.partition("/")
    return (Place("az", container, account), key) if container and key else None


def _wrong(text: str, reason: str) -> InvalidTrigger:
    return InvalidTrigger(f'Objects("{text}"): {reason}')
