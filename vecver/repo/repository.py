"""One repository on a store: its identity, its versions, and the one visible moment of a commit.

vecver.json   format and id; written first, so that half a repository is none
"""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vecver.digest import canonical_json
from vecver.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from vecver.model import Commit, Json, Move, Space
from vecver.repo import derived as derived_room
from vecver.repo import refs as refs_room
from vecver.repo.draft import Draft
from vecver.repo.layout import Layout, load_layout, save_layout
from vecver.repo.objects import load_commit, save_commit
from vecver.repo.refs import Kind, Refs
from vecver.repo.revisions import resolve
from vecver.repo.segment import Segment
from vecver.repo.snapshot import Snapshot
from vecver.store import Store

FORMAT = 1
ROOT = "vecver.json"
OPEN_SNAPSHOTS = 16  # kept open; their segments are shared and mapped


@dataclass(frozen=True)
class Clock:
    """Where times come from; tests bring their own."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class Versions:
    """The versions of all datasets on one store. `author` signs commits and ref moves."""

    def __init__(self, store: Store, *, author: str = "", clock: Clock | None = None) -> None:
        self.store = store
        self.author = author
        self._clock = clock or Clock()
        self._segments: dict[str, Segment] = {}
        self._snapshots: OrderedDict[str, Snapshot] = OrderedDict()
        self.id = _identity(store)

    # -- reading --------------------------------------------------------------------------------

    def datasets(self) -> list[str]:
        return refs_room.dataset_names(self.store)

    def refs(self, dataset: str) -> Refs:
        return Refs(self.store, dataset)

    def resolve(self, dataset: str, revision: str) -> str:
        """The commit id that a revision names; a dataset without any version is not found."""
        if dataset not in self.datasets():
            raise NotFoundError(
                f"there is no dataset {dataset!r} in {self.store.url}",
                code="dataset_not_found",
                hint=f"`vecver ingest {dataset} SOURCE` makes it; there are: {', '.join(self.datasets()) or 'none yet'}",
                dataset=dataset,
            )
        return resolve(self.store, dataset, revision)

    def commit(self, id: str) -> Commit:
        return load_commit(self.store, id)

    def snapshot(self, id: str) -> Snapshot:
        """A commit opened for reading; the newest few stay open, all share their segments."""
        if id in self._snapshots:
            self._snapshots.move_to_end(id)
            return self._snapshots[id]
        layout = load_layout(self.store, id)
        snapshot = Snapshot(self.commit(id), layout, [self._segment(live.segment) for live in layout.segments])
        self._snapshots[id] = snapshot
        while len(self._snapshots) > OPEN_SNAPSHOTS:
            self._snapshots.popitem(last=False)
        return snapshot

    # -- writing --------------------------------------------------------------------------------

    def draft(self, parent: Snapshot | None, space: Space) -> Draft:
        """The next version after `parent`, to be filled with rows of `space`."""
        return Draft(self.store, parent, space)

    def save(self, commit: Commit, layout: Layout) -> str:
        """Write a commit and its layout, children first. Nothing names it yet."""
        save_layout(self.store, commit.id, layout)
        save_commit(self.store, commit)
        return commit.id

    def move(self, dataset: str, kind: Kind, name: str, *, before: str | None, after: str | None, reason: str) -> Move:
        """Move a ref from where the caller saw it; creating needs a free name, and tags never move."""
        refs = self.refs(dataset)
        if kind == "tag" and before and after:
            raise ConflictError(
                f"the tag {name!r} is fixed", code="tag_fixed", hint="use an alias for a name that moves", name=name
            )
        signed = {"author": self.author, "time": self.time(), "reason": reason}
        if before is None and after is not None:
            return refs.create(kind, name, after, **signed)
        return refs.move(kind, name, before=before, after=after, **signed)

    def time(self) -> str:
        """Now, as ref moves record it."""
        return self._clock.now().isoformat(timespec="microseconds")

    # -- derived files --------------------------------------------------------------------------

    def has_derived(self, segment: Segment, spec: str) -> bool:
        return derived_room.has_derived(self.store, segment.id, spec)

    def put_derived(self, segment: Segment, spec: str, file: Path, built_with: Json) -> None:
        derived_room.put_derived(self.store, segment.id, spec, file, built_with)

    def derived(self, segment: Segment, spec: str) -> Path | memoryview | None:
        return derived_room.derived(self.store, segment.id, spec)

    def _segment(self, id: str) -> Segment:
        if id not in self._segments:
            self._segments[id] = Segment(self.store, id)
        return self._segments[id]


def create(store: Store) -> None:
    """Make a repository on an empty store. Raises ConflictError if one is there, InvalidInputError if other things are."""
    if store.size(ROOT) is not None:
        raise ConflictError(
            f"{store.url} is a repository already",
            code="repository_exists",
            hint="open it without create, or choose another place",
            url=store.url,
        )
    if foreign := next((name for name in store.list("") if not name.startswith("tmp/") and name != "lock"), None):
        raise InvalidInputError(
            f"{store.url} is not empty: it holds {foreign}",
            code="not_empty",
            hint="choose an empty or new folder, for example `.vecver` in it",
            url=store.url,
        )
    store.swap(ROOT, None, canonical_json({"format": FORMAT, "id": secrets.token_hex(16)}))


def exists(store: Store) -> bool:
    """Is there a repository on this store?"""
    return store.size(ROOT) is not None


def _identity(store: Store) -> str:
    if not exists(store):
        raise NotFoundError(
            f"{store.url} is not a vecver repository",
            code="repository_not_found",
            hint="`vecver init` makes one; `--repo URL` or VECVER_REPO names another",
            url=store.url,
        )
    try:
        value = json.loads(store.get(ROOT))
        format, id = value["format"], str(value["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{ROOT} in {store.url} cannot be read", code="malformed", hint="restore it from a copy", url=store.url
        ) from error
    if format != FORMAT:
        raise IntegrityError(
            f"{store.url} has format {format}, this vecver reads {FORMAT}",
            code="unknown_format",
            hint="upgrade vecver",
            url=store.url,
        )
    return id
