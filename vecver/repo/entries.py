"""Entries: what a name of a dataset means and has meant, in one sealed object that moves by compare-and-swap.

    <folder>/<dataset>/<name>   {dataset, name, entries}: oldest first, the last one holds; null where it was removed

Question sets, policies and approvals are kept so. Two writers cannot lose each other's change, and what held before
stays readable for what was decided by it. There is no chain of moves as refs have: nothing is searched here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from vecver.errors import ConflictError
from vecver.model import Json
from vecver.repo import objects
from vecver.repo.refs.refs import check_name
from vecver.store import Store, get_or_none


@dataclass(frozen=True)
class Entries:
    """The entries of one name as they were read; `append` writes a new one if nobody else did meanwhile."""

    store: Store
    what: str  # for errors: "question set"
    path: str
    key: str  # of the dataset
    name: str
    body: bytes | None  # as it is stored
    values: tuple[Json | None, ...]

    @property
    def newest(self) -> Json | None:
        """What the name means; None if it means nothing."""
        return self.values[-1] if self.values else None

    def append(self, value: Json | None, *, kept: int | None = None) -> Entries:
        """The entries with a new one, stored. `kept`: only so many of the newest. Raises ConflictError."""
        values = (*self.values, value)[-kept if kept else None :]
        body = objects.sealed({"dataset": self.key, "name": self.name, "entries": list(values)})
        try:
            self.store.swap(self.path, self.body, body)
        except ConflictError as error:
            raise ConflictError(
                f"the {self.what} {self.name!r} was changed by somebody else at this moment",
                code="entries_moved",
                hint="look at what it is now, and try again; nothing was changed",
                name=self.name,
            ) from error
        return replace(self, body=body, values=values)


def read(store: Store, what: str, folder: str, key: str, name: str) -> Entries:
    """The entries of a name, which may have none. Raises InvalidInputError (the name), IntegrityError."""
    check_name(what, name)
    path = path_of(folder, key, name)
    body = get_or_none(store, path)
    if body is None:
        return Entries(store, what, path, key, name, None, ())
    value = objects.parse_sealed(path, body)
    try:
        values, owner = tuple(value["entries"]), (value["dataset"], value["name"])
    except (KeyError, TypeError) as error:
        raise objects.malformed(path) from error
    if owner != (key, name):
        raise objects.misplaced(path)
    if not all(isinstance(each, dict | None) for each in values):
        raise objects.malformed(path)
    return Entries(store, what, path, key, name, body, values)


def names(store: Store, folder: str, key: str) -> list[str]:
    """The names that a dataset has or had, sorted."""
    prefix = folder_of(folder, key)
    return sorted(unquote(path.removeprefix(prefix)) for path in store.list(prefix))


def path_of(folder: str, key: str, name: str) -> str:
    """The store's name of the entries of a name."""
    return folder_of(folder, key) + quote(name, safe="")


def folder_of(folder: str, key: str) -> str:
    """The store's folder of a dataset's names, with a `/`."""
    return f"{folder}/{quote(key, safe='')}/"
