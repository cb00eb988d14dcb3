"""`vecver.sync` and `vecver.open_locked`: the versions that a lock file names, here and exactly those."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from vecver import repo, store
from vecver.arguments import AskingOne, OneQuery, Queries
from vecver.digest import digest
from vecver.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError, say
from vecver.local.lock_files import LOCK_FILE, address_in, read_lock, repository_near
from vecver.local.repository import open as open_repository
from vecver.model import Synced
from vecver.near import near

if TYPE_CHECKING:
    from vecver.local.dataset import Dataset
    from vecver.model import (
        Answer,
        Chunks,
        Commit,
        Count,
        Document,
        Fields,
        Hit,
        Json,
        Lock,
        LockedVersion,
        StoredChunk,
    )
    from vecver.progress import Progress


class Locked:
    """One version, pinned by a lock file: what is asked of it is asked of exactly that commit."""

    def __init__(self, docs: Dataset, version: LockedVersion) -> None:
        self.dataset = docs
        self.version = version

    @property
    def commit(self) -> Commit:
        """The version."""
        return self.dataset.show(self.version.commit)

    @overload
    def search(self, query: OneQuery, **how: Unpack[AskingOne]) -> Answer: ...
    @overload
    def search(self, query: Queries, **how: Unpack[AskingOne]) -> list[Answer]: ...
    def search(self, query: Any, **how: Any) -> Answer | list[Answer]:
        """As `Dataset.search` at this commit."""
        answers: Answer | list[Answer] = self.dataset.search(query, at=self.version.commit, **how)
        return answers

    def more_like(self, document: str | Hit, **how: Any) -> Answer:
        """As `Dataset.more_like` at this commit."""
        return self.dataset.more_like(document, at=self.version.commit, **how)

    def documents(
        self, *, where: Json | None = None, prefix: str = "", limit: int | None = None, after: str | None = None
    ) -> list[str]:
        """The ids of its documents, sorted; as `Dataset.documents`."""
        at = self.version.commit
        return self.dataset.documents(at, where=where, prefix=prefix, limit=limit, after=after)

    @overload
    def get(self, ids: str, *, missing: Literal["error"] = "error") -> Document: ...  # type: ignore[overload-overlap]
    @overload
    def get(self, ids: str, *, missing: Literal["skip"]) -> Document | None: ...  # type: ignore[overload-overlap]
    @overload
    def get(self, ids: Iterable[str], *, missing: Literal["error", "skip"] = "error") -> list[Document]: ...
    def get(self, ids: Any, *, missing: Any = "error") -> Any:
        """Documents by their ids, as `Dataset.get`."""
        return self.dataset.get(ids, at=self.version.commit, missing=missing)

    def chunks(
        self, *, where: Json | None = None, vectors: bool = False, limit: int | None = None, after: str | None = None
    ) -> Chunks:
        """Its chunks, as `Dataset.chunks`."""
        at = self.version.commit
        return self.dataset.chunks(at, where=where, vectors=vectors, limit=limit, after=after)

    def chunk(self, key: str, context: int = 1) -> StoredChunk:
        """The chunk with this key, as `Dataset.chunk`."""
        return self.dataset.chunk(key, at=self.version.commit, context=context)

    def count(self, where: Json | None = None) -> Count:
        """How many documents and chunks it holds, or of those that match; as `Dataset.count`."""
        return self.dataset.count(self.version.commit, where=where)

    def fields(self) -> Fields:
        """What filters may name, as `Dataset.fields`."""
        return self.dataset.fields(self.version.commit)

    def __repr__(self) -> str:
        return f"<vecver locked {self.dataset.name}@{self.version.commit[:12]} ({self.version.revision})>"


def sync(
    file: str | PathLike[str] = LOCK_FILE,
    *,
    repository: str | PathLike[str] | None = None,
    author: str = "",
    remote_key: str = "",
    progress: Progress | None = None,
) -> Synced:
    """Make exactly the versions that a lock file names available; what is here already is not fetched again.

    `repository`: where; by default the `.vecver` beside the file or above it, which is made if there is none. Of a
    version its rows come, and of those before it the records. It is proved that the rows have the roots in the file.
    What the file named before, and no longer does, gc may let go.
    `remote_key`: the API key, where the file's remote is a service.

    Raises NotFoundError (file, remote, version), IntegrityError (a root is another one), ConflictError (the folder is
    another repository), AccessError (a service refuses the key), BackendError.
    """
    place = Path(file).expanduser().absolute()
    lock = read_lock(place)
    target = store.open_store(fspath(repository or repository_near(place)))
    remote = repo.open_remote(address_in(lock, place), remote_key)
    if not repo.exists(target):
        repo.create(target, lock.repository)
    versions = repo.Versions(target, author=author)
    if versions.id != lock.repository:
        raise _other_repository(versions, lock, place)
    objects = total = 0
    for name, version in sorted(lock.datasets.items()):
        done = _brought(versions, version, name, remote, place, progress)
        objects, total = objects + done[0], total + done[1]
    repo.unpin(versions, lambda name: _pin(place, name), set(lock.datasets))
    return Synced(lock, target.url, objects, total)


def _brought(
    versions: repo.Versions,
    version: LockedVersion,
    name: str,
    remote: store.Store,
    file: Path,
    progress: Progress | None,
) -> tuple[int, int]:
    """(objects, bytes) that were fetched of one version; its roots are those of the lock file."""
    was_here, options = repo.has_rows(versions.store, version.commit), repo.SyncOptions(progress=progress)
    remote_name = "" if was_here else _remote_at(versions.store, remote.url)
    done = repo.pin(versions, remote_name, remote, version.commit, _pin(file, name), options)
    _check_roots(versions, version, name, file)
    if not was_here:
        repo.prove(versions.store, version.commit)
    return done.objects, done.bytes


def _pin(file: Path, dataset: str) -> str:
    """Under which name gc keeps the version of a dataset that a lock file names."""
    return digest(f"{file}\n{dataset}".encode())[:12]


def _check_roots(versions: repo.Versions, version: LockedVersion, name: str, file: Path) -> None:
    """Raises IntegrityError if a version has other roots than the lock file says."""
    commit = versions.commit(version.commit)
    if (commit.content_root, commit.vector_root) != (version.content_root, version.vector_root):
        raise IntegrityError(
            f"{file} does not name the roots of {name}@{version.commit[:12]}: one of the two was changed",
            code="wrong_roots",
            hint="take the file from your Git history again, or lock the version anew",
            file=str(file),
            commit=version.commit,
        )


def _remote_at(target: store.Store, url: str) -> str:
    """The name of the remote at an address, which is given one if it has none."""
    known = repo.remotes.read(target)
    for name, value in known.items():
        if value["url"] == url:
            return name
    name = repo.remotes.ORIGIN if not known else f"locked-{digest(url.encode())[:6]}"
    repo.remotes.add(target, name, url, partial=True)
    return name


def open_locked(
    dataset: str | None = None,
    *,
    file: str | PathLike[str] = LOCK_FILE,
    repository: str | PathLike[str] | None = None,
    **opening: Any,
) -> Locked:
    """The version that a lock file names, as `vecver.sync` made it available; nothing is fetched.

    `dataset` may be left out if the file names one. `opening`: as for `vecver.open`.

    Raises NotFoundError (no such file, dataset or version here; the hint says how to get it), InvalidInputError (which
    dataset is not clear), ConflictError (the folder is another repository), IntegrityError (the file is damaged,
    or names other roots than the version has).
    """
    place = Path(file).expanduser().absolute()
    lock = read_lock(place)
    name = dataset or _only(lock, place)
    if name not in lock.datasets:
        raise NotFoundError(
            f"{place} names no version of {name!r}",
            code="dataset_not_found",
            hint=f"it names: {', '.join(sorted(lock.datasets)) or 'none'}",
            did_you_mean=near(name, list(lock.datasets)),
        )
    opened = open_repository(repository or repository_near(place), **opening)
    if opened.id != lock.repository:
        raise _other_repository(opened._versions, lock, place)
    version = lock.datasets[name]
    if not repo.has_rows(opened._versions.store, version.commit):
        raise NotFoundError(
            f"version {version.commit[:12]} of {name} is not in {opened.url}",
            code="not_synced",
            hint=say("vecver.sync() brings it", cli="`vecver sync` brings it"),
            commit=version.commit,
        )
    _check_roots(opened._versions, version, name, place)
    present_name = opened._versions.name_of(opened._versions.commit(version.commit).dataset)
    return Locked(opened.dataset(present_name or name), version)


def _only(lock: Lock, file: Path) -> str:
    if len(lock.datasets) == 1:
        return next(iter(lock.datasets))
    raise InvalidInputError(
        f"{file} names versions of {', '.join(sorted(lock.datasets)) or 'no dataset'}",
        code="ambiguous_dataset",
        hint="name the dataset",
    )


def _other_repository(versions: repo.Versions, lock: Lock, file: Path) -> ConflictError:
    return ConflictError(
        f"{versions.store.url} is repository {versions.id[:12]}, {file} names versions of {lock.repository[:12]}",
        code="other_repository",
        hint=say("name another folder: repository=FOLDER", cli="name another folder: `vecver --repo FOLDER sync`"),
        url=versions.store.url,
    )
