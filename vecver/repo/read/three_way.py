"""Three-way comparison: which documents each of two versions changed since they parted, and which both changed.

A document's state in a version is what the content root covers of it, its source and its recipe. What only one side
changed is that side's; what both changed to the same state is settled; the rest are conflicts.

Decisions
1. The unit is the document, as it is of a commit. A document that was renamed is one removed and one added: where the
   other side changed it, the removed one is a conflict, and nothing of that change is lost unseen.
2. The recipe of a row (parser, chunker) says how it was made, not what it holds. A side that only made the same rows
   anew has not changed the document; if the other side did nothing at all, its rows are taken, so that the next ingest
   need not read the document again.
3. The source is part of the state, because it decides which ingest may remove the document.
4. Where the histories crossed, several common ancestors are equally good. As git's recursive merge does, these are
   merged first, each pair upon its own common ancestors. A document on which they disagree beyond that equals no state:
   it is a conflict unless both sides have it alike.
5. If gc deleted the rows of a common ancestor, nobody can tell who changed what. An older ancestor would bring back
   what was taken back since, silently; so every document that differs is a conflict then.
6. All versions are compared with `ours`, by the rows that it lacks and that they lack, so unchanged documents are never
   read, however many versions take part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

import numpy as np

from vecver.errors import NotFoundError
from vecver.model.merges import SideChange
from vecver.repo.read.differences import Row, lacking_documents
from vecver.repo.read.snapshot import Snapshot
from vecver.repo.rows.root_rows import document_digests
from vecver.repo.rows.segment import Segment


@dataclass(frozen=True)
class DocumentState:
    """A document as one version has it."""

    content: bytes  # sha256 of what its row adds to the content root
    source: str
    recipe: bytes

    @property
    def key(self) -> tuple[bytes, str]:
        """What a reader or an ingest can see of it."""
        return self.content, self.source


class Unclear(Enum):
    """The state of a document of which the common ancestors do not say one; it equals no state of a version."""

    STATE = "unclear"


State: TypeAlias = "DocumentState | Unclear | None"  # None: the version does not have the document
Table: TypeAlias = Mapping[str, State]  # the documents that a version may have otherwise than `ours`


@dataclass(frozen=True)
class Comparison:
    """What a merge of `theirs` into `ours` comes to; each list is sorted."""

    taken: tuple[str, ...] = ()  # documents that only `theirs` changed or added
    removed: tuple[str, ...] = ()  # documents that only `theirs` removed
    conflicts: Mapping[str, tuple[SideChange, SideChange]] = field(default_factory=dict)  # what each side did
    absent: frozenset[str] = frozenset()  # conflicts that `ours` does not have
    gone: frozenset[str] = frozenset()  # conflicts that `theirs` does not have


class ThreeWay:
    """Compares versions by their ids. `open` opens one, with its rows where they lie now."""

    def __init__(
        self, ours: Snapshot, open: Callable[[str], Snapshot], ancestors: Callable[[Sequence[str], str], list[str]]
    ) -> None:
        self._ours = ours
        self._open = open
        self._ancestors = ancestors
        self._tables: dict[str, Table | None] = {}
        self._states: dict[str, State] = {}  # of `ours`, for every document of a table

    def compare(self, theirs: Snapshot, bases: Sequence[str]) -> Comparison:
        """The merge of `theirs`. `bases`: the best common ancestors."""
        table, base = self._read(theirs), self._merged(bases)
        names = table.keys() | (base or {}).keys()
        taken, removed, conflicts = list[str](), list[str](), dict[str, tuple[SideChange, SideChange]]()
        for name in sorted(names):
            old, mine, other = self._of(base, name), self._states[name], self._of(table, name)
            after = merged(old, mine, other)
            if after is Unclear.STATE:
                conflicts[name] = _change(old, mine), _change(old, other)
            elif after != mine:
                (removed if after is None else taken).append(name)
        absent = frozenset(name for name in conflicts if self._states[name] is None)
        gone = frozenset(name for name in conflicts if self._of(table, name) is None)
        return Comparison(tuple(taken), tuple(removed), conflicts, absent, gone)

    def _of(self, table: Table | None, name: str) -> State:
        return Unclear.STATE if table is None else table[name] if name in table else self._states[name]

    def _merged(self, bases: Sequence[str]) -> Table | None:
        """The state of the common ancestors, merged into one; None if it cannot be told."""
        if not bases:
            return None
        result, done = self._table(bases[0]), [bases[0]]
        for other in bases[1:]:
            table, base = self._table(other), self._merged(self._ancestors(done, other))
            if result is None or table is None:
                return None
            names = result.keys() | table.keys() | (base or {}).keys()
            result = {
                name: merged(self._of(base, name), self._of(result, name), self._of(table, name)) for name in names
            }
            done.append(other)
        return result

    def _table(self, commit: str) -> Table | None:
        if commit not in self._tables:
            try:
                version = self._open(commit)
            except NotFoundError as error:
                if error.code != "version_forgotten":
                    raise
                self._tables[commit] = None
            else:
                self._tables[commit] = self._read(version)
        return self._tables[commit]

    def _read(self, version: Snapshot) -> Table:
        """The documents whose rows `ours` and this version do not share."""
        mine, others = lacking_documents(self._ours, version), lacking_documents(version, self._ours)
        self._states.update(_states(mine, [name for name in mine if name not in self._states]))
        for name in others.keys() - self._states.keys():
            self._states[name] = None
        absent: dict[str, State] = dict.fromkeys(mine.keys() - others.keys())
        return {**absent, **_states(others, list(others))}


def merged(base: State, ours: State, theirs: State) -> State:
    """The state after a merge; `Unclear.STATE` for a conflict."""
    if _key(ours) == _key(theirs):
        return theirs if ours == base else ours
    if _key(base) == _key(ours):
        return theirs
    return ours if _key(base) == _key(theirs) else Unclear.STATE


def _key(state: State) -> object:
    return state.key if isinstance(state, DocumentState) else state


def _change(base: State, side: State) -> SideChange:
    if side is None:
        return "absent" if base in (None, Unclear.STATE) else "removed"
    return "added" if base is None else "changed"


def _states(rows: Mapping[str, Row], names: Sequence[str]) -> dict[str, DocumentState]:
    """The states of these documents, read segment by segment."""
    places: dict[Segment, list[str]] = {}
    for name in names:
        places.setdefault(rows[name][1], []).append(name)
    return {name: state for segment, here in places.items() for name, state in _of_segment(segment, rows, here)}


def _of_segment(segment: Segment, rows: Mapping[str, Row], names: Sequence[str]) -> Iterable[tuple[str, DocumentState]]:
    ordered = sorted(names, key=lambda name: rows[name][2])
    numbers = np.array([rows[name][2] for name in ordered], np.int64)
    digests, sources, recipes = document_digests(segment.documents, numbers)
    for name, digest, source, recipe in zip(ordered, digests, sources, recipes, strict=True):
        yield name, DocumentState(digest.tobytes(), source, recipe)
