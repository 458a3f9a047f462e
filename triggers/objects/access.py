"""How a bucket is reached: opening it through obstore, and what its errors mean to a person. Imports obstore late."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

from triggers.errors import InvalidTrigger, SourceUnavailable
from triggers.objects.place import Place
from triggers.secret import resolve

TIMEOUTS = {"connect_timeout": "10s", "timeout": "60s"}
RETRIES = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}
ACCOUNTS = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_ACCOUNT_NAME")

_QUERY = re.compile(r"(?<=/)(//?[^\s?]+)\?\S*")
_ADVICE = (
    (
        ("invalid path",),
        "it holds a key with an empty part, which cannot be listed, nor what is near or after it: rename that object",
    ),
    (
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "without LOCATION"),
        "it is in another region: pass region=",
    ),
    (
        ("NoSuchBucket", "ContainerNotFound", "bucket does not exist"),
        "there is no such bucket: create it, or correct it",
    ),
    (
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthenticationFailed", "redential", "metadata"),
        "its credentials are missing or wrong: set them in the environment, or pass options=",
    ),
    (("AccessDenied", "AuthorizationFailure", "403"), "the credentials may not list or read it: grant them that"),
)


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a bucket. `options` are obstore's for that provider; a value may be `env:NAME` or `file:PATH`."""

    place: Place
    endpoint: str = ""
    region: str = ""
    options: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def account(self) -> str:
        """The account of Azure, as far as it is known."""
        given = self.place.account or self.options.get("account_name", "")
        return given or next((os.environ[name] for name in ACCOUNTS if os.environ.get(name)), "")

    def open(self) -> Any:
        """The obstore of the whole bucket. Raises `InvalidTrigger`: an option or a secret is wrong."""
        from obstore import store as stores
        from obstore.exceptions import BaseError

        place, options = self.place, self._resolved()
        if place.store == "memory":
            return memory(place.bucket)
        if place.store == "file":
            return stores.LocalStore("/")
        client: Any = TIMEOUTS | ({"allow_http": True} if self.endpoint.startswith("http://") else {})
        around: Any = {"client_options": client, "retry_config": RETRIES, **options}
        if self.endpoint:
            around["base_url" if place.store == "gs" else "endpoint"] = self.endpoint
        try:
            if place.store == "s3":
                return stores.S3Store(place.bucket, **around | ({"region": self.region} if self.region else {}))
            if place.store == "gs":
                return stores.GCSStore(place.bucket, **around)
            return stores.AzureStore(place.bucket, **around | {"account_name": self.account})
        except (BaseError, TypeError, ValueError) as error:
            raise InvalidTrigger(
                f"{place.uri} cannot be opened: {_said(error)}: check endpoint= and options="
            ) from None

    def _resolved(self) -> dict[str, str]:
        return {
            name: resolve(value, f"{self.place.uri}: option {name}")[0].decode("utf-8", "replace")
            for name, value in self.options.items()
        }


@cache
def memory(name: str) -> Any:
    """The store that `memory://NAME/...` means in this process, for tests."""
    from obstore.store import MemoryStore

    return MemoryStore()


@contextmanager
def telling(uri: str) -> Iterator[None]:
    """Turn whatever obstore raises within into `SourceUnavailable`, with what to do about it.

    `FileNotFoundError` passes where it is about one object.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        said = _said(error)
        if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in said and "ContainerNotFound" not in said:
            raise
        whole = str(error)
        advice = next((told for signs, told in _ADVICE if any(sign in whole for sign in signs)), "")
        raise SourceUnavailable(
            f"{uri}: {advice or 'it does not answer: check endpoint= and the network'} ({said})"
        ) from None


def _said(error: Exception) -> str:
    """The first line of what obstore says (after it come its own types), without queries, which may hold signatures."""
    said = " ".join(str(error).partition("\n\nDebug source")[0].split())
    return _QUERY.sub(r"\1", said)[:300]
