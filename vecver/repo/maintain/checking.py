"""Checking: re-reads everything that a ref leads to, and proves each commit's roots from its rows. Changes nothing.

Refs lead to moves and commits; commits to parents, layouts and measures; layouts to segments and the files derived
from them. Every object is hashed and decoded once. Roots are proved along the history, each from the one before
(`repo.rows.proof`), so 100 versions cost one pass over the rows ever written.

Decisions
1. Moves reveal a ref that something other than vecver deleted or set back: a move that another one names as its
   predecessor did take place, and so did one whose ref is missing altogether (`repo.refs.refs` says why), so some log
   must contain it. A move that nothing names may belong to a writer that lost its race or was cut off.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import TypeVar
from urllib.parse import unquote

import numpy as np

from vecver.errors import NotFoundError, VecverError
from vecver.model import Check, Commit, Move, Problem
from vecver.progress import Progress
from vecver.repo import approvals, entries, measures, objects, policies, question_sets
from vecver.repo.maintain import gc, trash
from vecver.repo.objects import load_commit
from vecver.repo.published import ledger
from vecver.repo.refs import names, refs, remotes, tracking
from vecver.repo.refs.refs import KINDS, Refs
from vecver.repo.root import ROOT, identity
from vecver.repo.rows import index_files
from vecver.repo.rows.layout import Live, layout_path, load_layout
from vecver.repo.rows.proof import Proof
from vecver.repo.rows.segment import Segment
from vecver.repo.rows.segment_files import FILES, path_of
from vecver.repo.rows.sorted_keys import order_of
from vecver.store import Store

T = TypeVar("T")

_OPEN = 1000  # segments


def check(store: Store, progress: Progress | None = None) -> Check:
    """Re-hash and decode everything reachable from the refs, and prove roots against layouts. Changes nothing.

    `progress` counts the "commits" that were proved.
    """
    store = store.uncached()
    checker = _Checker(store)
    checker.read(ROOT, lambda: identity(store))
    if store.size(trash.NAME) is not None:
        checker.read(trash.NAME, lambda: trash.read(store))
    if store.size(names.NAME) is not None and checker.read(names.NAME, lambda: names.read(store)) is None:
        return checker.result()  # nothing says which datasets there are
    for name in store.list(f"{ledger.FOLDER}/"):
        checker.ledger(name)
    moves = list(store.list("moves/"))  # listed before the refs are read, which then name at least these
    heads = [commit for dataset in refs.dataset_names(store) for commit in checker.refs(Refs(store, dataset))]
    checker.lost_moves(moves)
    heads += checker.tracked()
    for dataset in refs.dataset_names(store):
        checker.questions(dataset)
    for commit in objects.parents_first(heads, checker.commit):
        checker.prove(commit)
        checker.measures(commit.id)
        if progress:
            progress("commits", 1)
    return checker.result()


class _Checker:
    """What was read so far, and its problems."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.problems: list[Problem] = []
        self.names: set[str] = set()
        self.bytes = 0
        self.spaces: dict[str, str | None] = {}  # segment -> its space; None where the segment is damaged
        self.opened: OrderedDict[str, Segment] = OrderedDict()  # used longest ago first
        self.proof = Proof(self._opened)

    def read(self, name: str, load: Callable[[], T]) -> T | None:
        """Count an object and load it; None and a problem if that fails."""
        if name not in self.names:
            self.names.add(name)
            self.bytes += self.store.size(name) or 0
        try:
            return load()
        except NotFoundError as error:
            self.problem(error.context.get("name", name), "missing")
        except VecverError as error:
            self.problem(error.context.get("name", name), error.message)
        except Exception as error:  # undecodable bytes fail in as many ways as there are decoders
            self.problem(name, f"cannot be decoded: {type(error).__name__}: {error}")
        return None

    def result(self) -> Check:
        """The outcome so far."""
        return Check(len(self.names), self.bytes, tuple(self.problems))

    def problem(self, name: str, text: str) -> None:
        self.problems.append(Problem(name, text))

    def ledger(self, name: str) -> None:
        """Check the ledger of a dataset in a Milvus; `flows.publishing.publications` proves what that Milvus holds."""
        entries = self.read(name, lambda: ledger.parse(name, self.store.get(name)))
        states = [state for collection in entries.collections for state in collection.states] if entries else []
        for state in states:
            commit = self.commit(state.commit)
            if commit and not state.holds(commit):
                self.problem(name, f"it says of {state.commit[:12]} what the commit does not")

    # -- refs and moves -------------------------------------------------------------------------

    def refs(self, dataset: Refs) -> list[str]:
        """Check a dataset's refs and their logs; gives the commits that they name or named."""
        paths = [path for kind in KINDS for path in self.store.list(dataset.path(kind, ""))]
        return [commit for path in paths for commit in self._ref(path)]

    def _ref(self, path: str) -> list[str]:
        ref = self.read(path, lambda: refs.parse(path, self.store.get(path)))
        if ref is None or not ref["move"]:  # reserved: its writer was cut off or is still at work
            return []
        moves = self._log(ref["move"])
        if moves and moves[0].after != ref["commit"]:
            self.problem(path, "names another commit than its newest move")
        for move in moves:
            if Refs(self.store, move.dataset).path(move.kind, move.name) != path:
                self.problem(path, f"its log holds a move of the {move.kind} {move.name!r} of {move.dataset}")
        for newer, older in pairwise(moves):
            if newer.before != older.after:
                self.problem(path, "its log has a gap: a move begins elsewhere than the one before it ended")
        return [commit for commit in (ref["commit"], *(move.after for move in moves)) if commit]

    def _log(self, id: str | None) -> list[Move]:
        """The moves from the newest back, as far as they can be read."""
        moves: list[Move] = []
        while id and (move := self._move(id)):
            moves.append(move)
            id = move.previous
        return moves

    def _move(self, id: str) -> Move | None:
        gating = refs.gating_path(id)
        if self.store.size(gating) is not None:
            self.read(gating, partial(objects.load_sealed, self.store, gating))
        return self.read(refs.move_path(id), lambda: refs.load_move(self.store, id))

    def lost_moves(self, names: list[str]) -> None:
        """Report moves that took place and that no log contains."""
        strays = [name.rsplit("/", 1)[1] for name in names if name not in self.names]
        for move in refs.lost(self.store, [move for id in strays if (move := self._move(id))]):
            path = Refs(self.store, move.dataset).path(move.kind, move.name)
            state = "is not there" if self.store.size(path) is None else "lacks a move in its log"
            self.problem(path, f"it {state}, though it was moved at {move.time}: the ref was deleted or set back")

    def tracked(self) -> list[str]:
        """Check the remotes and what is tracked of them; gives the commits that their refs name."""
        if self.store.size(remotes.NAME) is not None:
            self.read(remotes.NAME, lambda: remotes.read(self.store))
        commits, keys = list[str](), tracking.keys(self.store)
        for path in self.store.list(f"{tracking.FOLDER}/"):
            key, remote = map(unquote, path.split("/")[1:])
            if key in keys and (tracked := self.read(path, partial(tracking.read, self.store, key, remote))):
                commits += tracked.commits
        return commits

    # -- commits --------------------------------------------------------------------------------

    def commit(self, id: str) -> Commit | None:
        return self.read(objects.path_of(id), lambda: load_commit(self.store, id))

    def prove(self, commit: Commit) -> None:
        """Check a commit's layout and segments, and that its rows give its roots."""
        name = layout_path(commit.id)
        if self.store.size(name) is None and self._forgotten(commit.id):
            return
        layout = self.read(name, lambda: load_layout(self.store, commit.id))
        if layout is None:
            return
        if not all([self._sound(live) for live in layout.segments]):
            self.problem(objects.path_of(commit.id), "its rows cannot be read: see its segments")
            return
        spaces = {space for live in layout.segments if (space := self.spaces[live.segment])}
        if spaces - {commit.recipe.space.id}:
            self.problem(name, "it names rows of another space than the commit's")
        roots = self.read(name, lambda: self.proof.roots(layout))
        if roots is None:
            return
        for kind, expected, actual in (
            ("content", commit.content_root, roots.content_root),
            ("vector", commit.vector_root, roots.vector_root),
        ):
            if expected != actual:
                self.problem(name, f"its rows have the {kind} root {actual[:12]}, the commit says {expected[:12]}")
        if (roots.content_root, roots.vector_root) != (layout.roots.content_root, layout.roots.vector_root):
            self.problem(name, "the lanes that it keeps are not those of its rows")
        if commit.counts != {"documents": layout.document_count, "chunks": layout.chunk_count}:
            self.problem(objects.path_of(commit.id), "its counts are not those of its layout")

    def _forgotten(self, commit: str) -> bool:
        """Did gc delete the rows of this commit?"""
        name = gc.forgotten_path(commit)
        is_recorded = self.store.size(name) is not None
        return is_recorded and self.read(name, lambda: gc.load_forgotten(self.store, commit)) is not None

    def measures(self, commit: str) -> None:
        """Re-read what was measured of a commit."""
        for kind in measures.kinds(self.store, commit):
            self.read(measures.path_of(commit, kind), partial(measures.load, self.store, commit, kind))

    def questions(self, key: str) -> None:
        """Re-read the policies and approvals of a dataset, and its question sets, also those that were replaced."""
        for path in self.store.list(entries.folder_of(approvals.FOLDER, key)):
            self.read(path, partial(approvals.load, self.store, Refs(self.store, key), unquote(path.rsplit("/", 1)[1])))
        for path in self.store.list(entries.folder_of(policies.FOLDER, key)):
            self.read(path, partial(policies.load, self.store, key, unquote(path.rsplit("/", 1)[1])))
        for path in self.store.list(entries.folder_of(question_sets.FOLDER, key)):
            name = unquote(path.rsplit("/", 1)[1])
            for digest in self.read(path, partial(question_sets.digests_of, self.store, key, name)) or ():
                self.read(question_sets.content_path(digest), partial(question_sets.load_content, self.store, digest))

    # -- segments -------------------------------------------------------------------------------

    def _sound(self, live: Live) -> bool:
        """Can the rows of a layout be read from their segment?"""
        if live.segment not in self.spaces:
            read = self._segment(live.segment)
            self.spaces[live.segment] = read.space.id if read else None
            if read:
                self._keep_open(read)
        if self.spaces[live.segment] is None:
            return False
        segment = self._opened(live.segment)
        name = path_of(segment.id, "segment.json")
        if (live.chunk_count, live.document_count) != (segment.chunk_count, segment.document_count):
            self.problem(name, "a layout counts its rows otherwise")
            return False
        return True

    def _opened(self, id: str) -> Segment:
        assert self.spaces[id], "a layout is proved after its segments were found sound"
        return self.opened.get(id) or self._keep_open(Segment(self.store, id))

    def _keep_open(self, segment: Segment) -> Segment:
        self.opened[segment.id] = segment
        if len(self.opened) > _OPEN:
            self.opened.popitem(last=False)
        return segment

    def _segment(self, id: str) -> Segment | None:
        """A segment whose files match their digests and decode, or None."""
        name = path_of(id, "segment.json")
        segment = self.read(name, lambda: Segment(self.store, id))
        for spec in index_files.specs(self.store, id):
            self._derived(id, spec)
        if segment is None or not all([self._file(segment, file) for file in FILES]):
            return None
        return segment if self.read(name, lambda: self._decoded(segment)) else None

    def _file(self, segment: Segment, file: str) -> bool:
        name = path_of(segment.id, file)
        digest = self.read(name, lambda: hashlib.sha256(self.store.map(name, fixed=True)).hexdigest())
        if digest is not None and digest != segment.manifest["files"][file]["sha256"]:
            self.problem(name, "does not match its digest")
            return False
        return digest is not None

    def _derived(self, segment: str, spec: str) -> None:
        name = path_of(segment, spec)
        if self.read(name + ".json", lambda: index_files.facts(self.store, segment, spec)):
            self.read(name, lambda: index_files.derived(self.store, segment, spec))
            if self.store.size(measured := index_files.measured_path(segment, spec)) is not None:
                self.read(measured, lambda: index_files.measured(self.store, segment, spec))

    def _decoded(self, segment: Segment) -> bool:
        """Shapes agree, vectors are finite, and the stored orders are right; else a problem."""
        vectors, count = segment.vectors, segment.chunk_count
        columns = (segment.keys, segment.embedded, segment.document_ids)
        wrong = []
        if (len(segment.chunks), len(segment.documents)) != (count, segment.document_count):
            wrong.append("its files do not have the rows that it says")
        if vectors.shape != (count, segment.space.dim):
            wrong.append("its vectors have another shape than it says")
        if not all(np.isfinite(vectors[i : i + 65536]).all() for i in range(0, count, 65536)):
            wrong.append("it holds vectors that are not finite")
        if not all(np.array_equal(order_of(c), order) for c, order in zip(columns, segment.orders, strict=True)):
            wrong.append("a look-up order is wrong")
        for text in wrong:
            self.problem(path_of(segment.id, "segment.json"), text)
        return not wrong
