"""Names of datasets: which one a name means, though it was renamed, or another one of that name was deleted.

    names     one sealed object: what was renamed or deleted; absent while nothing was

A dataset has a *key*, the name that it was made with, for ever: its refs, moves, commits, publications and receipts
are kept under it. A name that its dataset gave up, and that is used again, gets the key NAME~2, and so on; `~` is in
no name. What is deleted keeps its key, so that no later dataset takes over a tag or a receipt of it; gc deletes its
refs, and then what only they led to.

Decisions
- 2026-11-26 To rename or delete is one swap of one object: stopped anywhere, the old name holds or the new one. The
  road not taken moves every ref: between the first and the last of them a dataset is half here and half there, and
  moves and commits, which name their dataset, cannot follow.
- 2026-11-26 Tags of a deleted dataset bind nobody: another dataset of its name begins with none.
- 2026-11-26 The first branch of a dataset is made under the same lock as these changes, so that a name is not given to
  one dataset while another one begins under it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count

from vecver.errors import ConflictError, IntegrityError
from vecver.model import Json
from vecver.repo import objects
from vecver.store import Store

NAME = "names"
WAIT_SECONDS = 30.0
_BETWEEN = "~"


@dataclass(frozen=True)
class Names:
    """What was renamed or deleted: key -> `{"name": what it is called now, None: deleted, "time", "author"}`."""

    entries: Mapping[str, Json] = field(default_factory=dict)

    def key(self, name: str) -> str:
        """The key of the dataset of this name, or of one that would begin under it."""
        for key, entry in self.entries.items():
            if entry["name"] == name:
                return key
        keys = (name if number == 1 else f"{name}{_BETWEEN}{number}" for number in count(1))
        return next(key for key in keys if key not in self.entries)

    def name_of(self, key: str) -> str | None:
        """What the dataset of this key is called; None if it was deleted."""
        entry = self.entries.get(key)
        return key.partition(_BETWEEN)[0] if entry is None else entry["name"]

    @property
    def deleted(self) -> set[str]:
        """The keys of what was deleted."""
        return {key for key, entry in self.entries.items() if entry["name"] is None}


def read(store: Store) -> Names:
    """What was renamed or deleted until now. Raises IntegrityError."""
    return Names() if store.size(NAME) is None else _parse(store.get(NAME))


def change(store: Store, key: str, name: str | None, *, author: str, time: str) -> None:
    """Let the dataset of a key be called `name`; None: delete it. Raises ConflictError: somebody did so meanwhile."""
    body = None if store.size(NAME) is None else store.get(NAME)
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


def changing(store: Store) -> AbstractContextManager[None]:
    """Nobody else renames or deletes a dataset meanwhile, or begins one. Raises ConflictError(code="locked")."""
    return store.lock("names", WAIT_SECONDS)


@lru_cache(maxsize=8)
def _parse(body: bytes) -> Names:
    try:
        entries = objects.parse_sealed(NAME, body)["datasets"]
        if not all(isinstance(one["name"], str | None) for one in entries.values()):
            raise ValueError("a name that is no text")
        return Names(entries)
    except IntegrityError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise objects.malformed(NAME) from error
