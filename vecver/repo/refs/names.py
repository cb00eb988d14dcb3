"""Names of datasets: maps a name to its dataset after renames and deletions.

    names     one sealed object: what was renamed or deleted; absent if nothing was

A dataset keeps for ever the *key* that it was made with, which is its first name: refs, moves, commits, publications
and receipts are stored under the key. A new dataset whose name was another one's key gets the key NAME~2, and so on;
no name contains `~`. A deleted dataset keeps its key, so that no later dataset takes over its tags or receipts; gc
deletes its refs, and then what only they led to.

Decisions
1. Renaming or deleting is one swap of one object: wherever it stops, the old name holds or the new one. Moving every
   ref instead would leave a dataset half here and half there, and moves and commits, which name their dataset, cannot
   follow.
2. Tags of a deleted dataset bind no one: another dataset of its name begins with none.
3. The first branch of a dataset is made under the same lock as these changes, so that a name is not given to one
   dataset while another one begins under it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING

from vecver.errors import ConflictError, IntegrityError
from vecver.repo import objects
from vecver.store.api import get_or_none

if TYPE_CHECKING:
    from vecver.model import Json
    from vecver.store import Store

NAME = "names"
WAIT_SECONDS = 30.0
_BETWEEN = "~"


@dataclass(frozen=True)
class Names:
    """What was renamed or deleted: key -> `{"name": present name or None for deleted, "time", "author", "was"}`."""

    entries: Mapping[str, Json] = field(default_factory=dict)

    def key(self, name: str) -> str:
        """The key of the dataset with this name, or the key of one that would begin under it."""
        if not self.entries:
            return name
        for key, entry in self.entries.items():
            if entry["name"] == name:
                return key
        keys = (name if number == 1 else f"{name}{_BETWEEN}{number}" for number in count(1))
        return next(key for key in keys if key not in self.entries)

    def name_of(self, key: str) -> str | None:
        """The present name of the dataset with this key; None if it was deleted."""
        entry = self.entries.get(key)
        return key.partition(_BETWEEN)[0] if entry is None else entry["name"]

    @property
    def deleted(self) -> set[str]:
        """The keys of deleted datasets."""
        return {key for key, entry in self.entries.items() if entry["name"] is None}


_UNCHANGED = Names()


def read(store: Store) -> Names:
    """The names as they are now. Raises IntegrityError."""
    body = get_or_none(store, NAME)
    return _UNCHANGED if body is None else _parse(body)


def change(store: Store, key: str, name: str | None, *, author: str, time: str) -> None:
    """Name the dataset of a key `name`; None deletes it. Raises ConflictError if another process changed a name."""
    body = get_or_none(store, NAME)
    before = Names() if body is None else _parse(body)
    entry = {"name": name, "time": time, "author": author, "was": before.name_of(key)}
    try:
        store.swap(NAME, body, objects.sealed({"datasets": {**before.entries, key: entry}}))
    except ConflictError as error:
        raise ConflictError(
            "another dataset was renamed or deleted at this moment",
            code="names_moved",
            hint="look at the datasets, and repeat the command; nothing was changed",
        ) from error


def changing(store: Store) -> AbstractContextManager[object]:
    """A lock: one process at a time renames, deletes or begins a dataset. Raises ConflictError (code locked)."""
    return store.lock("names", WAIT_SECONDS)


@lru_cache(maxsize=8)
def _parse(body: bytes) -> Names:
    try:
        entries = objects.parse_sealed(NAME, body)["datasets"]
        if not all(isinstance(entry["name"], str | None) for entry in entries.values()):
            raise ValueError("a name that is no text")
        return Names(entries)
    except IntegrityError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise objects.malformed(NAME) from error
