"""Heads: where all refs of a repository stand, read with one listing and one request for each ref."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import unquote

from vecver.repo.refs import names, refs
from vecver.repo.refs.refs import KINDS, Refs
from vecver.repo.refs.tracking import Place
from vecver.store import Store


@dataclass(frozen=True)
class Head:
    """Where a ref stands: `commit` is None where it was deleted; `move` is the newest entry of its log."""

    commit: str | None
    move: str


Heads = dict[Place, Head]


def heads_of(store: Store, keys: Collection[str] | None = None) -> dict[str, Heads]:
    """key of a dataset -> its refs, deleted ones included; of all datasets that are not deleted, or of these `keys`.

    Raises IntegrityError.
    """
    gone = names.read(store).deleted
    prefixes = sorted({f"refs/{path.split('/')[1]}/" for path in store.list("refs/")} if keys is None else _of(keys))
    paths = [path for prefix in prefixes for path in store.list(prefix) if unquote(path.split("/")[1]) not in gone]
    found: defaultdict[str, Heads] = defaultdict(dict)
    for path, body in zip(paths, store.get_all(paths), strict=True):
        if body is None:  # its dataset was deleted, and gc took it at this moment
            continue
        ref = refs.parse(path, body)
        if ref["move"]:  # otherwise it is only reserved
            key, place = _place_of(path)
            found[key][place] = Head(ref["commit"], ref["move"])
    return dict(found)


def _of(keys: Collection[str]) -> set[str]:
    return {Refs.folder(key) for key in keys}


def _place_of(path: str) -> tuple[str, Place]:
    """(key of the dataset, place) of a ref's name in the store."""
    _, key, folder, name = path.split("/")
    kind = next(kind for kind in KINDS if refs.FOLDERS[kind] == folder)
    return unquote(key), (kind, unquote(name))
