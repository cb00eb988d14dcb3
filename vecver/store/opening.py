"""Opens the store at an address, and says by which address another process opens a store."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from vecver.errors import InvalidInputError, say
from vecver.store.api import Store
from vecver.store.local import LocalStore
from vecver.store.memory import MemoryStore

if TYPE_CHECKING:
    from vecver.store.cache import Cache

BUCKETS = ("s3", "gs", "az")  # schemes
_PLACES = "a repository is a directory, file:///path, or s3://, gs:// or az://BUCKET/PREFIX"


def open_store(
    url: str | PathLike[str] | Store, *, cache: str | PathLike[str] | None = None, cache_bytes: int | None = None
) -> Store:
    """The store at a path, a `file://` URL, `s3://`, `gs://` or `az://`, or `memory://`; a Store is returned as it is.

    `cache`: the folder in which copies of what lies in a bucket are kept, up to `cache_bytes` (0: none). Touches
    nothing yet. Raises InvalidInputError (another scheme, credentials in the address), BackendError (no obstore).
    """
    if not isinstance(url, str | PathLike) and isinstance(url, Store):
        return url
    text = fspath(url) if isinstance(url, str | PathLike) else str(url)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return LocalStore(Path(text))
    if scheme == "file" and rest.removeprefix("localhost").startswith("/"):
        return LocalStore(Path(unquote(rest.removeprefix("localhost"))))
    if scheme == "memory":
        return MemoryStore()
    if scheme in BUCKETS:
        return _in_bucket(text, Path(cache) if cache else None, cache_bytes)
    raise InvalidInputError(
        f"no store is known for the scheme {scheme!r}",  # the rest may hold a password
        code="unknown_store",
        hint=say(
            f"a service is asked by vecver.connect(URL); {_PLACES}, or memory://",
            cli=f"{_PLACES}; a service is asked by vecver.connect(URL) in Python",
        )
        if scheme in ("http", "https")
        else f"{_PLACES}, or memory://",
    )


@dataclass(frozen=True)
class StoreAddress:
    """What another process opens the same store by; credentials are that process's own."""

    url: str
    cache: str | None = None  # None: the default of that machine
    cache_bytes: int | None = None

    def open(self) -> Store:
        """The store. Raises as `open_store`."""
        return open_store(self.url, cache=self.cache, cache_bytes=self.cache_bytes)


def address_of(store: Store) -> StoreAddress:
    """Where other processes find a store. Raises InvalidInputError for one in this process's memory."""
    if isinstance(store, LocalStore):
        return StoreAddress(store.url)
    if isinstance(store, MemoryStore) or "://" not in store.url:
        raise InvalidInputError(
            "a repository in memory cannot be reached by other processes",
            code="store_in_memory",
            hint="keep it in a folder that all of them share, or in a bucket",
        )
    from vecver.store.cache import default_folder

    cache: Cache | None = getattr(store, "cache", None)
    if cache is None:
        return StoreAddress(store.url, cache_bytes=0)
    folder = None if cache.folder == default_folder().expanduser().absolute() else str(cache.folder)
    return StoreAddress(store.url, folder, cache.limit)


def _in_bucket(url: str, cache: Path | None, cache_bytes: int | None) -> Store:
    from vecver.store.cache import LIMIT, Cache, default_folder
    from vecver.store.clouds import open_bucket
    from vecver.store.object_store import ObjectStore

    bucket = open_bucket(url)
    limit = LIMIT if cache_bytes is None else cache_bytes
    if limit <= 0:
        return ObjectStore(bucket, None)
    return ObjectStore(bucket, Cache(cache or default_folder(), f"{bucket.endpoint} {bucket.url}", limit))
