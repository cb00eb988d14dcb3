"""Partial clones: brings the rows of a version when they are needed, and keeps the versions that lock files name.

Decisions
1. A version without its rows is one that gc forgot, with a note at which remote its rows are. So log, show, measures,
   refs and check need nothing new, and an older vecver that opens such a clone says that the rows are not there. The
   note stays when the rows come, so that gc may let them go and they can come again.
2. Rows come by whole versions, with their segments and indexes: then everything works as in a whole clone, offline too.
3. What a lock file names is tracked under the name "locked", so that gc keeps it. The name of the pin is that of the
   lock file's place and of the dataset: another content of the same file takes its place, and a dataset that the file
   no longer names loses its pin at the next sync.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from vecver.errors import IntegrityError, NotFoundError
from vecver.model import Commit, Transferred
from vecver.repo.maintain import gc
from vecver.repo.maintain.naming import naming
from vecver.repo.objects import load_commit
from vecver.repo.refs import names, remotes, tracking
from vecver.repo.refs.tracking import Tracked
from vecver.repo.rows.layout import load_layout
from vecver.repo.rows.proof import Proof
from vecver.repo.rows.segment import Segment
from vecver.repo.sync.exchange import Exchange, Options, check_same, repeated, settle_name
from vecver.repo.sync.receiving import known_here
from vecver.repo.sync.service import open_remote
from vecver.repo.versions import Versions
from vecver.store import Store


def bring_rows(here: Versions, id: str, key: str = "") -> None:
    """Bring the rows of a version from the remote that has them. `key`: for a service.

    Raises NotFoundError (no such remote, nothing there), ConflictError (another repository is there), IntegrityError,
    BackendError.
    """
    remote = gc.place_of_rows(here.store, id)
    if remote is None:
        return
    store = open_remote(remotes.url_of(here.store, remote), key)
    check_same(here, store)
    exchange = Exchange(here, remote, store, here.store, Options(rows_of={id}))

    def attempt() -> Transferred:
        exchange.transfer.send_rows([load_commit(here.store, id)])
        with naming(here.store):
            exchange.transfer.name_versions([])
        return exchange.outcome(store.url)

    repeated(attempt)


def pin(here: Versions, remote: str, store: Store, id: str, name: str, options: Options) -> Transferred:
    """Bring one version with its rows, and the records of those before it; gc keeps it under this name.

    Raises NotFoundError (it is not at the remote), ConflictError (another repository), IntegrityError, BackendError.
    """
    exchange = Exchange(here, remote, store, here.store, replace(options, rows_of={id}))

    def attempt() -> Transferred:
        if not has_rows(here.store, id):
            check_same(here, store)
            exchange.transfer.send_rows(_lacking(exchange, id))
        with naming(here.store) as still:
            exchange.transfer.name_versions([])
            still()
            key = load_commit(here.store, id).dataset
            seen = tracking.read(here.store, key, remotes.LOCKED)
            if seen.refs.get(("tag", name)) != id:  # otherwise all of it is here, and nobody is asked
                settle_name(store, here, key)
            tracking.write(here.store, key, remotes.LOCKED, Tracked({**seen.refs, ("tag", name): id}), seen)
        return exchange.outcome(store.url)

    return repeated(attempt)


def unpin(here: Versions, pin_of: Callable[[str], str], datasets: Collection[str]) -> None:
    """Let gc have the versions of all datasets but these that a lock file named before.

    `pin_of`: the name of the pin that the file has for a dataset of this name.
    """
    keys, known = tracking.keys(here.store), names.read(here.store)
    called = {*keys, *(known.name_of(key) or key for key in keys), *(known.entries[k]["was"] for k in known.entries)}
    dropped = {("tag", pin_of(name)) for name in called if name and name not in datasets}
    for key in sorted(keys):
        seen = tracking.read(here.store, key, remotes.LOCKED)
        refs = {place: commit for place, commit in seen.refs.items() if place not in dropped}
        tracking.write(here.store, key, remotes.LOCKED, Tracked(refs, seen.agreed), seen)


def has_rows(store: Store, id: str) -> bool:
    """Is a version here with its rows?"""
    try:
        load_commit(store, id)
        load_layout(store, id)
    except NotFoundError:
        return False
    return True


def prove(store: Store, id: str) -> None:
    """Prove the roots of a version from its rows. Raises IntegrityError."""
    commit, layout = load_commit(store, id), load_layout(store, id)
    for live in layout.segments:
        Segment(store, live.segment).verify()
    roots = Proof(lambda segment: Segment(store, segment)).roots(layout)
    if (roots.content_root, roots.vector_root) != (commit.content_root, commit.vector_root):
        raise IntegrityError(
            f"the rows of version {id[:12]} do not have its roots",
            code="wrong_roots",
            hint="run `vecver check`, and ask the remote to do the same",
            commit=id,
        )


def _lacking(exchange: Exchange, id: str) -> list[Commit]:
    """The version, and those before it of which not even the record is here. Raises NotFoundError."""
    try:
        exchange.read(id)
    except NotFoundError as error:
        raise NotFoundError(
            f"{exchange.source.url} has no version {id[:12]}",
            code="version_not_found",
            hint="it was not pushed, or gc has deleted it: whoever has it pushes it again",
            commit=id,
        ) from error
    before = [commit for commit in exchange.absent({id}, known_here(exchange.here.store)) if commit.id != id]
    return [*before, exchange.read(id)]
