"""Checks a remote from a repository that has the same files, and fetches only what the store's own hash does not prove.

Decisions
1. A store such as S3 or Google Cloud keeps an MD5 of what it was sent (the ETag), and names of segments are SHA-256. So
   a file that is here too is hashed here by both: where its MD5 is that of the store, and its SHA-256 that of the
   segment, the store holds those bytes, or the store itself is wrong about what it holds. Nothing has to be recorded at
   the write for it, and what others wrote is proved too.
2. It does not prove that the bytes can still be read there: that the store's disks keep what was sent is its own
   promise. `vecver --repo URL check` reads every byte.
3. What is not here, or has an ETag of another kind (Azure, encryption with own keys), is fetched and hashed as always.
   A hash that differs is never taken for damage: the bytes decide.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from vecver.errors import InvalidInputError, NotFoundError, say
from vecver.model import Check
from vecver.progress import Progress
from vecver.repo.maintain.checking import check
from vecver.repo.sync.exchange import check_same
from vecver.repo.sync.service import is_service
from vecver.repo.versions import Versions
from vecver.store import Store


def check_remote(here: Versions, store: Store, progress: Progress | None = None) -> Check:
    """As `check`, of the repository at a remote.

    Raises NotFoundError (nothing there), ConflictError (another repository), InvalidInputError (a service),
    BackendError.
    """
    if is_service(store.url):
        raise InvalidInputError(
            f"{store.url} is a service, whose repository is checked where it lies",
            code="service_not_checked",
            hint=say(
                "ask its operator to run `vecver check`; repo.fetch() proves what it brings",
                cli="ask its operator to run `vecver check`; `vecver fetch` proves what it brings",
            ),
            url=store.url,
        )
    check_same(here, store)
    vouched = _Vouched(store, here.store)
    outcome = check(cast(Store, vouched), progress)
    note = f"{vouched.bytes} bytes were not fetched: the store's own hash is that of the same files here"
    return replace(outcome, notes=(note,)) if vouched.bytes else outcome


class _Vouched:
    """A remote, of which the files that its own hash vouches for are read from here."""

    def __init__(self, there: Store, here: Store) -> None:
        self._there, self._here = there, here
        self._proved: dict[str, bool] = {}
        self.bytes = 0  # that were not fetched

    def __getattr__(self, name: str) -> Any:
        return getattr(self._there, name)

    def uncached(self) -> _Vouched:
        self._there = self._there.uncached()
        return self

    def map(self, name: str, *, fixed: bool = False) -> memoryview:
        try:
            content = self._here.map(name, fixed=fixed) if fixed else None
        except NotFoundError:
            content = None
        if content is None:
            return self._there.map(name, fixed=fixed)
        if name not in self._proved:
            self._proved[name] = self._there.holds(name, content)
            self.bytes += len(content) if self._proved[name] else 0
        return content if self._proved[name] else self._there.map(name, fixed=fixed)

    def path(self, name: str) -> None:
        return None  # what lies here is not what is checked

    def bring(self, names: Any) -> None:
        pass  # a file is fetched once it is known that it must be
