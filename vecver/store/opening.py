"""Opens the store at an address."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from vecver.errors import InvalidInputError, say
from vecver.store.api import Store
from vecver.store.local import LocalStore
from vecver.store.memory import MemoryStore


def open_store(url: str | Path | Store) -> Store:
    """The store at a path, a `file://` URL or `memory://`; a Store is returned as it is. Touches nothing yet.

    Raises InvalidInputError (another scheme).
    """
    if not isinstance(url, str | Path) and isinstance(url, Store):
        return url
    text = str(url)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return LocalStore(Path(text))
    if scheme == "file" and rest.removeprefix("localhost").startswith("/"):
        return LocalStore(Path(unquote(rest.removeprefix("localhost"))))
    if scheme == "memory":
        return MemoryStore()
    raise InvalidInputError(
        f"no store is known for the scheme {scheme!r}",  # the rest may hold a password
        code="unknown_store",
        hint=say(
            "a service is asked by vecver.connect(URL); a repository is a directory, file:///path or memory://",
            cli="a repository is a directory or file:///path; a service is asked by vecver.connect(URL) in Python",
        )
        if scheme in ("http", "https")
        else "use a directory, file:///path or memory://",
    )
