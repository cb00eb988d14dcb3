"""Tracking refs: where the refs of a remote stood when it was last asked. `origin/main` names one in a revision.

    tracking/<dataset>/<remote>   sealed: `refs`: kind -> name -> commit, `null` where the remote has deleted that ref;
                                  `agreed`: alias -> commit on which both sides last agreed by a push, pull or clone

Decisions
1. One object for a dataset and a remote, not one for each ref: a fetch is one swap, and nobody sees half of it.
2. gc keeps a tracked commit as one that a ref names. An older vecver does not know these names; its gc may
   delete what was fetched and not pulled, and the next fetch brings it again.
3. There is no log: the remote keeps that of its own refs.
4. Where an alias moved is seen by what both sides last agreed on, not by what was last fetched: otherwise looking at
   the remote would make it right to overwrite what somebody did there (as with Git's `--force-with-lease`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from vecver.errors import ConflictError
from vecver.repo import objects
from vecver.repo.refs import names
from vecver.repo.refs.refs import KINDS, Kind, is_name
from vecver.store.api import get_or_none

if TYPE_CHECKING:
    from vecver.store import Store

FOLDER = "tracking"
Place = tuple[Kind, str]  # kind and name of a ref


@dataclass(frozen=True)
class Tracked:
    """The refs of one dataset at a remote, as they were seen. `body`: as it is stored; None if it never was."""

    refs: Mapping[Place, str | None] = field(default_factory=dict)  # -> commit; None: deleted there
    agreed: Mapping[str, str] = field(default_factory=dict)  # alias -> commit
    body: bytes | None = None

    @property
    def commits(self) -> list[str]:
        """The commits that these refs name."""
        return [commit for commit in self.refs.values() if commit]


def read(store: Store, key: str, remote: str) -> Tracked:
    """What is tracked of a dataset; nothing if it was never fetched. Raises IntegrityError."""
    path = path_of(key, remote)
    body = get_or_none(store, path)
    return Tracked() if body is None else _parse(path, body)


def write(store: Store, key: str, remote: str, tracked: Tracked, seen: Tracked) -> None:
    """Replace what is tracked, which was `seen`. Raises ConflictError if another process did at this moment."""
    if (dict(tracked.refs), dict(tracked.agreed)) == (dict(seen.refs), dict(seen.agreed)):
        return
    kinds = {kind: {name: commit for (of, name), commit in tracked.refs.items() if of == kind} for kind in KINDS}
    try:
        body = objects.sealed({"dataset": key, "remote": remote, "refs": kinds, "agreed": dict(tracked.agreed)})
        store.swap(path_of(key, remote), seen.body, body)
    except ConflictError as error:
        raise ConflictError(
            f"another process asked {remote} about {key} at this moment",
            code="tracking_moved",
            hint="try again; nothing was lost",
            dataset=key,
        ) from error


def find(store: Store, key: str, revision: str) -> str | None:
    """The commit that REMOTE/NAME names; None if it names none. Raises IntegrityError."""
    remote, slash, name = revision.partition("/")
    if not slash or not is_name(remote):
        return None
    refs = read(store, key, remote).refs
    return next((commit for kind in KINDS if (commit := refs.get((kind, name)))), None)


def commits_of(store: Store, key: str) -> Iterator[str]:
    """The commits that are tracked of a dataset, at any remote. Raises IntegrityError."""
    prefix = f"{FOLDER}/{quote(key, safe='')}/"
    for path in store.list(prefix):
        yield from read(store, key, unquote(path.removeprefix(prefix))).commits


def keys(store: Store) -> set[str]:
    """The keys of the datasets of which something is tracked; without deleted ones."""
    return {unquote(path.split("/")[1]) for path in store.list(f"{FOLDER}/")} - names.read(store).deleted


def forget(store: Store, remote: str) -> None:
    """Forget what is tracked of a remote."""
    store.delete(*(path for path in store.list(f"{FOLDER}/") if path.endswith(f"/{quote(remote, safe='')}")))


def path_of(key: str, remote: str) -> str:
    """The store's name of what is tracked."""
    return f"{FOLDER}/{quote(key, safe='')}/{quote(remote, safe='')}"


def _parse(path: str, body: bytes) -> Tracked:
    value = objects.parse_sealed(path, body)
    try:
        if path_of(value["dataset"], value["remote"]) != path:
            raise objects.misplaced(path)
        refs = {(kind, name): commit for kind in KINDS for name, commit in value["refs"].get(kind, {}).items()}
        return Tracked(refs, dict(value["agreed"]), body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise objects.malformed(path) from error
