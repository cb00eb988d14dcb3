"""Hands out the stored objects of one dataset to who may read that dataset. Knows neither HTTP nor keys.

    of the dataset   refs, question sets and policies under its key; its entry among the names
    of a commit      the record, layout, note that its rows are gone, and measures of a commit of the dataset
    of a move        the moves of its refs, and what was measured for them
    of a layout      the files of the segments that the layout of such a commit names

Decisions
1. Every object is proved to be the dataset's from the object itself or from one that names it: a commit and a move say
   whose they are, and a segment is asked for together with a commit, whose layout must name it. That costs one or two
   small reads, whatever the history, needs no memory between two requests, and holds in every process of a service.
2. A segment holds rows of one dataset only, though perhaps of versions that `gc` let go meanwhile, as in any copy.
3. What belongs to a place is not handed out: remotes and what is tracked of them, publications, approvals, unfinished
   ingests. Nor is anything under a name that no vecver writes.
4. An object of another dataset is answered as one that does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

from vecver.errors import NotFoundError
from vecver.repo import objects, policies, question_sets
from vecver.repo.objects import commit_ids, load_commit
from vecver.repo.refs import names
from vecver.repo.refs.refs import KINDS, Refs, gating_path, load_move, move_path
from vecver.repo.rows.layout import layout_path
from vecver.store import Store
from vecver.store.api import absent

_ID = "[0-9a-f]{64}"
_FILE = r"(?!\.)[\w.,:=+@%~-]{1,255}"
_OF_DATASET = ("refs", question_sets.FOLDER, policies.FOLDER)


class DatasetObjects:
    """The stored objects of the dataset with this key, as the store names them."""

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._key = key
        quoted = re.escape(quote(key, safe=""))
        self._rules: list[tuple[re.Pattern[str], Callable[..., bool]]] = [
            (re.compile(f"(?:{'|'.join(_OF_DATASET)})/{quoted}/{_FILE}(?:/{_FILE})?"), lambda commit: True),
            (re.compile(f"commits/([0-9a-f]{{2}})/({_ID})"), lambda commit, folder, id: self._has_commit(id, folder)),
            (re.compile(f"(?:layouts|forgotten)/({_ID})"), lambda commit, id: self._has_commit(id)),
            (re.compile(f"measures/({_ID})/{_FILE}"), lambda commit, id: self._has_commit(id)),
            (re.compile(f"(?:moves|gatings)/({_ID})"), lambda commit, id: self._has_move(id)),
            (re.compile(f"{question_sets.CONTENT}/({_ID})"), lambda commit, digest: digest in self._digests()),
            (re.compile(f"segments/({_ID})/{_FILE}"), self._names_segment),
        ]
        self._folders: list[tuple[re.Pattern[str], Callable[..., Iterable[str]]]] = [
            (re.compile(f"(?:{'|'.join(_OF_DATASET)})/{quoted}/(?:{_FILE}/)?"), self._stored),
            (re.compile("moves/"), self._move_names),
            (re.compile("gatings/"), self._gatings),
            (re.compile("measures/"), self._all_measures),
            (re.compile(f"measures/({_ID})/"), self._measures),
            (re.compile("commits/([0-9a-f]{2})/"), self._commits),
            (re.compile(f"segments/({_ID})/"), self._files),
        ]

    def map(self, name: str, commit: str | None = None) -> memoryview:
        """The bytes of an object. `commit`: one whose layout names the segment that is asked for.

        Raises NotFoundError (there is no such object, or it is not the dataset's), IntegrityError, BackendError.
        """
        if name == names.NAME and self._exists():
            return memoryview(self._names())
        for pattern, allows in self._rules:
            if found := pattern.fullmatch(name):
                if not self._proves(allows, commit, *found.groups()):
                    break
                is_large = name.startswith("segments/")
                return self._store.map(name) if is_large else memoryview(self._store.get(name))
        raise absent(name)

    def names(self, prefix: str, commit: str | None = None) -> Iterator[str]:
        """The names of the dataset's objects in a folder, sorted. `commit`: see `map`.

        Folders are "refs/KEY/", "questions/KEY/", "policies/KEY/", "moves/", "gatings/", "measures/", "measures/ID/",
        "commits/3f/" and "segments/ID/"; any other is empty. Raises IntegrityError, BackendError.
        """
        for pattern, listed in self._folders:
            if found := pattern.fullmatch(prefix):
                yield from listed(prefix, commit, *found.groups())

    # -- lists ----------------------------------------------------------------------------------

    def _stored(self, prefix: str, commit: str | None = None, *rest: str) -> Iterator[str]:
        return self._store.list(prefix)

    def _move_names(self, prefix: str, commit: str | None) -> list[str]:
        return sorted(map(move_path, self._moves()))

    def _gatings(self, prefix: str, commit: str | None) -> list[str]:
        return sorted({*map(gating_path, self._moves())} & {*self._stored(prefix)})

    def _moves(self) -> Iterator[str]:
        refs = Refs(self._store, self._key)
        for kind in KINDS:
            for name in refs.names(kind):
                yield from (move.removeprefix("moves/") for move in refs.move_names(kind, name))

    def _measures(self, prefix: str, commit: str | None, id: str) -> Iterator[str]:
        return self._stored(prefix) if self._has_commit(id) else iter(())

    def _all_measures(self, prefix: str, commit: str | None) -> Iterator[str]:
        return (name for name in self._stored(prefix) if self._has_commit(name.split("/")[1]))

    def _commits(self, prefix: str, commit: str | None, digits: str) -> Iterator[str]:
        return (objects.path_of(id) for id in commit_ids(self._store, digits) if self._has_commit(id))

    def _files(self, prefix: str, commit: str | None, id: str) -> Iterator[str]:
        return self._stored(prefix) if self._proves(self._names_segment, commit, id) else iter(())

    def _exists(self) -> bool:
        return next(self._store.list(Refs.folder(self._key)), None) is not None

    # -- proofs ---------------------------------------------------------------------------------

    def _proves(self, allows: Callable[..., bool], *facts: str | None) -> bool:
        """What `allows` says; no, where what would have to prove it is not there."""
        try:
            return allows(*facts)
        except NotFoundError:
            return False

    def _has_commit(self, id: str, folder: str | None = None) -> bool:
        if folder not in (None, id[:2]):
            return False
        try:
            return load_commit(self._store, id).dataset == self._key
        except NotFoundError:
            return False

    def _has_move(self, id: str) -> bool:
        return load_move(self._store, id).dataset == self._key

    def _names_segment(self, commit: str | None, segment: str) -> bool:
        if commit is None or not re.fullmatch(_ID, commit) or not self._has_commit(commit):
            return False
        return segment in _segments_of(commit, self._store.get(layout_path(commit)))

    def _digests(self) -> set[str]:
        return set(question_sets.digests(self._store, self._key))

    def _names(self) -> bytes:
        """The names with this dataset's entry alone: renames of others are not told.

        A dataset that has the former name of another has a key of its own, which is told too.
        """
        known = names.read(self._store)
        name, entry = known.name_of(self._key), known.entries.get(self._key)
        if entry is None and name != self._key:
            entry = {"name": name, "time": "", "author": "", "was": name}
        return objects.sealed({"datasets": {self._key: entry} if entry else {}})


def _segments_of(commit: str, layout: bytes) -> frozenset[str]:
    """The segments that the stored bytes of a layout name. Raises IntegrityError."""
    value = objects.parse_sealed(layout_path(commit), layout)
    if value.get("commit") != commit:
        raise objects.misplaced(layout_path(commit))
    return frozenset(part["segment"] for part in value["segments"])
