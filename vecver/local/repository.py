"""The handle on a repository: opening it, its datasets, and what concerns all of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from datetime import timedelta
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

from vecver import flows, repo, store
from vecver.errors import ConflictError, InvalidInputError, NotPublishedError, say
from vecver.local.dataset import Dataset
from vecver.local.embedders import Embedders
from vecver.local.milvus import MilvusConnections
from vecver.local.session import Session
from vecver.local.sharing import Sharing, address_of

if TYPE_CHECKING:
    from vecver.model import Check, DatasetRemoval, Endpoints, Garbage, Json, Milvus, Replay, Verify
    from vecver.progress import Progress


class Repository(Sharing):
    """The versions of one or more datasets, at one URL. Made by `vecver.open`."""

    def __init__(
        self,
        versions: repo.Versions,
        api_key: str | None = None,
        milvus: Milvus | None = None,
        publish: Sequence[str] = (),
        embedders: Sequence[Any] = (),
        *,
        remote_key: str = "",
        background: bool = True,
        endpoints: Endpoints | None = None,
    ) -> None:
        upkeep, connections = flows.Upkeep(versions, background=background), MilvusConnections(versions, milvus)
        known = Embedders(api_key, embedders, endpoints)
        self._session = Session(versions, upkeep, known, connections, remote_key, frozenset(publish))

    @property
    def _versions(self) -> repo.Versions:
        return self._session.versions

    @property
    def url(self) -> str:
        """The address of its store."""
        return self._versions.store.url

    @property
    def id(self) -> str:
        """Its identity, 32 hex characters, as receipts name it."""
        return self._versions.id

    def signed(self, author: str, key: str = "") -> Repository:
        """This repository for another author of commits and ref moves; everything open is shared.

        `key`: the id of the author's API key, for a service: no key approves what it asked for (`Dataset.approve`).
        """
        other = copy(self)
        other._session = self._session.signed(author, key)
        return other

    def dataset(self, name: str) -> Dataset:
        """A handle on a dataset, which need not have a version yet. Raises InvalidInputError for a bad name."""
        repo.check_name("dataset", name)
        return Dataset(self._session, name, self)

    def datasets(self) -> list[str]:
        """The names of all datasets that have a version, sorted."""
        return self._versions.datasets()

    def rename_dataset(self, old: str, new: str) -> Dataset:
        """Rename a dataset, in one step; returns a handle on it. Its versions, refs, publications and receipts stay.

        Commits and receipts keep the name with which the dataset was created, and replay as before. Handles on `old`,
        and a service's API keys for it, do not follow; a new dataset may take that name.
        Raises NotFoundError, InvalidInputError, ConflictError (`new` is taken).
        """
        repo.datasets.rename(self._versions, old, new)
        return Dataset(self._session, new, self)

    def delete_dataset(self, name: str, *, apply: bool = False) -> DatasetRemoval:
        """What would be deleted with a dataset; with `apply`, delete it with all versions and refs, in one step.

        `gc` frees its rows once they have been unused for its grace age. Another dataset may take the name at once and
        starts empty; tags of the deleted one do not block its tags. Receipts of the deleted dataset no longer replay.
        Raises NotFoundError, ConflictError (something of it is published in a Milvus: unpublish it first).
        """
        return repo.datasets.delete(self._versions, name, apply=apply)

    def dataset_of(self, receipt: Json) -> str | None:
        """The present name of a receipt's dataset; None if that was deleted, or the receipt names none."""
        key = receipt.get("dataset")
        return self._versions.name_of(key) if isinstance(key, str) else None

    def check(
        self,
        progress: Progress | None = None,
        *,
        milvus: str | Milvus | None = None,
        remote: str | None = None,
        repair: bool = False,
    ) -> Check:
        """Re-hash and decode everything reachable, and prove every commit's roots from its rows.

        `progress` counts "commits", or "rows" of a Milvus. `repair` first rebuilds what can be derived from sound files
        (indexes, look-up orders, refs from their moves, the list of what waits for gc), deletes derived files only, and
        adds advice to every problem that is left. `Check.notes` names the branches whose upkeep failed or is not done.

        With `milvus` ("": the embedded one) that Milvus is read back instead: it is proved that of every version that
        is published there it holds exactly the commit's keys and vectors, and the published texts and metadata.

        With `remote` the repository at that remote is checked instead. What the store has a hash of that is the hash of
        the same file here is not fetched, and `Check.notes` says how many bytes that were. It proves that those bytes
        were stored; that the store can still read them is its own promise.

        Raises InvalidInputError (`repair`, `milvus` and `remote` together, a service as remote), NotPublishedError
        (nothing is published there), NotFoundError (no such remote, nothing there), ConflictError (another repository
        is there), BackendError.
        """
        if remote is not None:
            if repair or milvus is not None:
                raise InvalidInputError(
                    "a remote is checked by itself, and not repaired from here",
                    code="conflicting_options",
                    hint=say("repo.push(restore=True) sends what is lost", cli="`vecver push --restore` does"),
                )
            return repo.check_remote(self._versions, self._store_of(remote), progress)
        if repair and milvus is not None:
            raise InvalidInputError(
                "check does not repair a Milvus",
                code="conflicting_options",
                hint=say("docs.republish() does", cli="`vecver publish DATASET --rebuild` does"),
            )
        if milvus is None:
            self._session.upkeep.wait()
            outcome = flows.repair(self._versions, progress) if repair else repo.check(self._versions.store, progress)
            return replace(outcome, notes=tuple(self._session.upkeep.notes()))
        names = [name for name in self._versions.datasets() if self._session.milvus.has_published(name, milvus)]
        if not names:
            raise NotPublishedError(
                "nothing of this repository is published there",
                code="not_published",
                hint="check the address: it must be the one that was published to",
            )
        publishers = [self._session.milvus.publisher(name, milvus, progress) for name in names]
        from vecver.model import Check

        checks = [flows.check_published(publisher) for publisher in publishers]
        problems = tuple(problem for check in checks for problem in check.problems)
        return Check(sum(check.objects for check in checks), sum(check.bytes for check in checks), problems)

    def gc(
        self,
        *,
        keep_last: int | None = None,
        keep_within: timedelta | None = None,
        grace: timedelta = repo.GRACE,
        apply: bool = False,
    ) -> Garbage:
        """What no version needs; with `apply`, delete what has been unused for at least `grace`.

        Every version that a ref or its log leads to is kept, unless `keep_last` (the newest versions of each branch)
        or `keep_within` (their age) is given: then those are kept, and the versions that refs name or named in the
        last 30 days. Of the others the commit stays and the rows are deleted. Run it again when `grace` has passed.

        `grace` keeps what an ingest of another process has written, or relies on, until its commit lands: let it be
        longer than an ingest takes. One that finds its rows deleted ends with a ConflictError (code "collected") that
        asks to repeat it; no version ever names rows that are gone.

        Raises InvalidInputError, IntegrityError (something is damaged: nothing is deleted), BackendError.
        """
        self._session.upkeep.wait()
        return flows.garbage(self._versions, repo.Retention(keep_last, keep_within), grace, apply=apply)

    def replay(self, receipt: Json) -> Replay:
        """Recompute an answer from its receipt. Raises InvalidInputError, NotFoundError."""
        return flows.replay(self._versions, receipt, self._session.embedders.open)

    def settle(self) -> None:
        """Wait for the work in the background: everything open is verified, and every commit's upkeep is done.

        Raises IntegrityError (earlier answers cannot be trusted), and the error of upkeep that failed: versions are
        not harmed by that, and the next commit, or `optimize`, tries again.
        """
        self._versions.settle()
        self._session.upkeep.settle()

    def close(self) -> None:
        """End the upkeep after commits, and close every Milvus connection; `with` does so at its end.

        Upkeep gets five seconds, then stops at its next safe point, and the next commit does what is left. Another
        process may open milvus-lite afterwards. The handle stays usable: the next call connects again.
        """
        self._session.upkeep.close()
        self._session.milvus.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<vecver repository {self.url}>"


def open(
    url: str | PathLike[str] | store.Store,
    *,
    create: bool = False,
    author: str = "",
    api_key: str | None = None,
    open_bytes: int = repo.OPEN_BYTES,
    verify: Verify = "once",
    milvus: str | Milvus | None = None,
    publish: Sequence[str] = (),
    embedders: Sequence[Any] = (),
    background: bool = True,
    cache: str | PathLike[str] | None = None,
    cache_bytes: int | None = None,
    remote_key: str = "",
    ref_age: float = 0.0,
    endpoints: Endpoints | None = None,
) -> Repository:
    """The repository at a directory, `s3://`, `gs://` or `az://BUCKET/PREFIX`, or `memory://`; `create` makes it.

    `author` signs commits and ref moves. `api_key` is given to embedders that need one, and kept nowhere.
    `open_bytes`: memory in which used versions stay open, beside the files they map.
    `verify`: rows are hashed "once", when a file is first used or was changed since, large files beside the answers;
    "always", by every process and before it answers; or "never". A receipt says what was done ("pending": not yet).
    `milvus`: the one that is published to and searched through. `publish`: branches whose every new version, and
    aliases whose every promotion, is published there at once. `embedders`: embedder objects that versions were
    embedded with; see `vecver.embedder`.
    `endpoints`: how many requests an embedder behind HTTP endpoints may have at once and a minute.
    `background`: upkeep, which folds the small segments that commits leave and builds search indexes, runs in a thread
    after a commit has landed, not before the call returns. `repo.settle()` waits for it, `repo.close()` ends it, and
    what was not done is done after the next commit.
    `cache`: the folder with copies of what lies in a bucket (default: the platform's for caches), at most `cache_bytes`
    (default 32 GiB; 0: none). `ref_age`: a search may take a branch, tag or alias of a bucket as it was so many seconds
    ago, so as not to wait for a request; moves by this process count at once.
    Credentials for a bucket come from where the cloud's own tools take them.
    `remote_key`: the API key for a remote that is a service; it is sent to such remotes only, and kept nowhere.
    Raises NotFoundError (no repository there), InvalidInputError (a folder with other things in it; credentials in
    the URL), BackendError (the bucket does not answer, refuses, is missing, or ignores conditions of writes).
    """
    place = store.open_store(url, cache=cache, cache_bytes=cache_bytes)
    if create and not repo.exists(place):
        with suppress(ConflictError):  # another process made it first
            repo.create(place)
    versions = repo.Versions(
        place, author=author, open_bytes=open_bytes, verify=verify, index_bytes=flows.index_bytes, ref_age_s=ref_age
    )
    versions.opened.bring_rows = partial(bring_rows, versions, key=remote_key)
    address = _milvus(milvus) if isinstance(milvus, str) else milvus
    how: dict[str, Any] = {"remote_key": remote_key, "background": background, "endpoints": endpoints}
    return Repository(versions, api_key, address, publish, embedders, **how)


def bring_rows(versions: repo.Versions, id: str, key: str) -> None:
    """Bring the rows of a version that are at a remote; imported only then."""
    repo.bring_rows(versions, id, key)


def _milvus(uri: str) -> Milvus:
    from vecver.model import Milvus

    return Milvus(uri)


def create(
    url: str | PathLike[str] | store.Store,
    *,
    author: str = "",
    api_key: str | None = None,
    cache: str | PathLike[str] | None = None,
    cache_bytes: int | None = None,
) -> Repository:
    """A new repository; `cache` as in `open`.

    Raises ConflictError if there is one already, InvalidInputError if other things lie there, BackendError.
    """
    place = store.open_store(url, cache=cache, cache_bytes=cache_bytes)
    repo.create(place)
    return Repository(repo.Versions(place, author=author), api_key)


def clone(
    url: str | PathLike[str] | store.Store,
    folder: str | PathLike[str] | store.Store,
    *,
    author: str = "",
    at: str = "",
    metadata_only: bool = False,
    indexes: bool = True,
    remote_key: str = "",
    progress: Progress | None = None,
    **opening: Any,
) -> Repository:
    """A new repository with everything of the one at `url`: versions, refs with their logs, question sets, policies.

    `url` may be a service: then with all that the API key `remote_key` may read there.

    `metadata_only`: without rows, which are fetched when they are needed, a whole version at a time; log, show and
    measures need none. `at` ("handbook@v1", or "v1" where there is one dataset): the records of
    that dataset, and the rows of this version.

    It has the same id, so that receipts replay there, and the remote "origin". A clone that was cut off goes on where
    it stopped, by the same call. `opening`: as for `vecver.open`. `progress` counts "bytes".

    Raises NotFoundError (no repository there), ConflictError or InvalidInputError (something is at `folder`),
    IntegrityError (something of it is lost or damaged), AccessError (a service refuses the key), BackendError.
    """
    source = url if isinstance(url, store.Store) else repo.open_remote(address_of(url), remote_key)
    target = store.open_store(folder)
    options = repo.SyncOptions(indexes=indexes, progress=progress)
    address = source.url if isinstance(url, store.Store) else address_of(url)
    repo.clone(source, target, address, options, author=author, at=at, partial=metadata_only)
    return open(target, author=author, remote_key=remote_key, **opening)
