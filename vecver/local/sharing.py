"""The calls of `Repository` that share its versions with other places."""

from __future__ import annotations

import os
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from vecver import repo
from vecver.errors import ConflictError, say
from vecver.local.lock_files import LOCK_FILE, kept_address, read_lock, write_lock
from vecver.model import Lock, LockedVersion
from vecver.store import Store

if TYPE_CHECKING:
    from vecver.local.session import Session
    from vecver.model import Remote, Transferred
    from vecver.progress import Progress
    from vecver.repo import DatasetObjects

ORIGIN = "origin"


class Sharing:
    """Remotes, push, fetch and pull."""

    _session: Session

    def add_remote(self, name: str, url: str | PathLike[str]) -> Remote:
        """Name another place of this repository: a folder, the address of a store, or of a service to fetch from.

        Raises InvalidInputError (the name, an address with a secret), ConflictError (the name is taken).
        """
        address = address_of(url)
        repo.remotes.add(self._session.versions.store, name, address)
        return _remote(name, address)

    def remove_remote(self, name: str) -> None:
        """Forget a remote, and where its refs stood. The remote itself is not touched. Raises NotFoundError."""
        repo.remotes.remove(self._session.versions.store, name)

    def remotes(self) -> list[Remote]:
        """The remotes, sorted by name."""
        return [_remote(name, value["url"]) for name, value in repo.remotes.read(self._session.versions.store).items()]

    def has_rows(self, commit: str) -> bool:
        """Are the rows of a version here? A clone may have left them at its remote until they are needed."""
        return repo.has_rows(self._session.versions.store, commit)

    def push(
        self,
        *wanted: str,
        remote: str = ORIGIN,
        indexes: bool = True,
        restore: bool = False,
        progress: Progress | None = None,
    ) -> Transferred:
        """Send versions to a remote and move its refs forward. An empty place becomes a copy of this repository.

        `wanted`: datasets ("handbook") and refs ("handbook@prod"); none: all branches and tags of all datasets. An
        alias moves only if it is named. Only what the remote lacks is sent, with measures and question sets; what an
        interrupted push has sent is not sent again. `indexes=False` leaves search indexes out: they are made again at
        will. `restore` looks at every object of every version, and sends those that the remote has lost; what its gc
        let go stays so, but for a ref that is named.
        `progress` counts "bytes".

        Raises ConflictError (a branch has gone another way there, a tag or alias is another one; no ref was moved, or
        the remote is another repository), NotFoundError (remote, dataset, ref), IntegrityError (something is damaged
        here), InvalidInputError (the remote is a service), BackendError. After any failure each ref of the remote is at
        its old version or its new one.
        """
        options = repo.SyncOptions(wanted, indexes=indexes, restore=restore, progress=progress)
        repo.check_takes_push(repo.remotes.url_of(self._session.versions.store, remote))
        return repo.push(self._session.versions, remote, self._store_of(remote), options)

    def fetch(
        self,
        *wanted: str,
        remote: str = ORIGIN,
        indexes: bool = True,
        restore: bool = False,
        progress: Progress | None = None,
    ) -> Transferred:
        """Bring the versions of a remote here; "origin/main" then names where its branch stands. No ref here moves.

        Options as for `push`. A service gives what the key may read (`vecver.open(…, remote_key=…)`).
        Raises NotFoundError, ConflictError (another repository), IntegrityError (the remote has lost something),
        AccessError (a service refuses the key), BackendError.
        """
        options = repo.SyncOptions(wanted, indexes=indexes, restore=restore, progress=progress)
        return repo.fetch(self._session.versions, remote, self._store_of(remote), options)

    def pull(
        self,
        *wanted: str,
        remote: str = ORIGIN,
        indexes: bool = True,
        progress: Progress | None = None,
    ) -> Transferred:
        """Fetch, then move the branches and aliases here forward, and make the refs that are new.

        `wanted`: as for `push`; none: all refs, aliases included. Raises as `fetch`, and ConflictError if a ref was
        moved on both sides: then none is moved here, what was fetched is kept, and the hint says how to go on.
        """
        options = repo.SyncOptions(wanted, indexes=indexes, progress=progress)
        return repo.pull(self._session.versions, remote, self._store_of(remote), options)

    def lock(
        self, *versions: str, file: str | PathLike[str] = LOCK_FILE, remote: str | None = None, check: bool = True
    ) -> Lock:
        """Write into a lock file which versions an application needs, and where they are.

        `versions`: "handbook@prod" each; of a dataset that the file names already the line is replaced. None: those
        that the file names, at where their revisions stand now. `remote`: by default "origin", else this repository
        itself. `check=False` does not ask the remote whether it has them.

        Raises NotFoundError (revision, remote, file), ConflictError (not pushed yet; the file is that of another
        repository), IntegrityError, BackendError.
        """
        place = Path(file).expanduser().absolute()
        known = read_lock(place) if place.exists() or not versions else None
        if known and known.repository != self._session.versions.id:
            raise _of_another(place, known)
        store, url = self._place_of(remote)
        before = known.datasets if known else {}
        lock = Lock(self._session.versions.id, kept_address(url, place), before)
        for text in versions or [f"{name}@{version.revision}" for name, version in before.items()]:
            dataset, _, revision = text.partition("@")
            lock = lock.with_version(dataset, self._locked(dataset, revision or "main", store if check else None))
        write_lock(place, lock)
        return lock

    def _place_of(self, remote: str | None) -> tuple[Store, str]:
        """The store and address of a remote; without any, of this repository."""
        here = self._session.versions.store
        if remote is None and ORIGIN not in repo.remotes.read(here):
            return here, here.url
        url = repo.remotes.url_of(here, remote or ORIGIN)
        return repo.open_remote(url, self._session.remote_key), url

    def _locked(self, dataset: str, revision: str, store: Store | None) -> LockedVersion:
        versions = self._session.versions
        commit = versions.commit(versions.resolve(dataset, revision))
        if store and not repo.has_rows(store, commit.id):
            raise ConflictError(
                f"{dataset}@{revision} is not at {store.url}, so nobody could get it there",
                code="not_pushed",
                hint=say(
                    f"repo.push({dataset!r}) sends it", cli=f"`vecver push {dataset}` sends it; --no-check does not ask"
                ),
                commit=commit.id,
            )
        return LockedVersion(revision, commit.id, commit.content_root, commit.vector_root)

    def objects_of(self, dataset: str) -> DatasetObjects:
        """The stored objects of a dataset, for a service that lets others clone it. Asks for nothing yet."""
        return repo.DatasetObjects(self._session.versions.store, self._session.versions.key(dataset))

    def _store_of(self, remote: str) -> Store:
        return repo.open_remote(repo.remotes.url_of(self._session.versions.store, remote), self._session.remote_key)


def _of_another(file: Path, lock: Lock) -> ConflictError:
    return ConflictError(
        f"{file} names versions of another repository ({lock.repository[:12]})",
        code="other_repository",
        hint="name another file",
        file=str(file),
    )


def address_of(url: str | PathLike[str]) -> str:
    """An address as it is kept: of a folder its whole path."""
    text = fspath(url)
    if "://" in text:
        return text.rstrip("/") if text.startswith(("http://", "https://")) and text[-3:] != "://" else text
    return os.path.abspath(Path(text).expanduser())


def _remote(name: str, url: str) -> Remote:
    from vecver.model import Remote

    return Remote(name, url)
