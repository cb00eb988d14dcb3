"""Checking: re-read everything that a ref leads to, and prove each commit's roots from its rows.

Refs lead to moves and commits, commits to parents and layouts, layouts to segments. Every object is
re-hashed and decoded once. Roots are proved by induction along the history: those of a commit are
those proved for its parent plus the rows by which their layouts differ, so 100 versions cost one
pass over the rows ever written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from vecver.digest import digest
from vecver.errors import NotFoundError, VecverError
from vecver.model import Check, Commit, Problem
from vecver.repo import layout as layouts
from vecver.repo import objects
from vecver.repo.fold import roots_of
from vecver.repo.layout import Layout, Live, load_layout, rows_of
from vecver.repo.lookup import order_of
from vecver.repo.objects import load_commit
from vecver.repo.refs import KINDS, Refs, dataset_names
from vecver.repo.repository import ROOT
from vecver.repo.roots import Roots
from vecver.repo.segment import FILES, Segment, path_of
from vecver.store import Store

Progress = Callable[[str, int], None]


class _Checker:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.problems: list[Problem] = []
        self.sizes: dict[str, int] = {}
        self.segments: dict[str, Segment | None] = {}
        self.proved: dict[str, tuple[Layout, Roots]] = {}

    def seen(self, name: str) -> bool:
        """Count an object; says whether it was counted before."""
        known = name in self.sizes
        self.sizes[name] = self.store.size(name) or 0
        return known

    def attempt(self, name: str, read: Callable[[], Any]) -> Any:
        """What `read` gives, or None and a problem on `name`."""
        try:
            return read()
        except NotFoundError:
            self.problem(name, "missing")
        except VecverError as error:
            self.problem(name, error.message)
        except Exception as error:  # undecodable bytes fail in as many ways as there are decoders
            self.problem(name, f"cannot be decoded: {type(error).__name__}: {error}")
        return None

    def problem(self, name: str, text: str) -> None:
        self.problems.append(Problem(name, text))


def check(store: Store, progress: Progress | None = None) -> Check:
    """Re-hash and decode everything reachable from the refs, and prove roots against layouts. Changes nothing."""
    checker = _Checker(store)
    checker.seen(ROOT)
    for dataset in dataset_names(store):
        commits = _refs(checker, dataset)
        for commit in _parents_first(checker, commits):
            _prove(checker, commit)
            if progress:
                progress(commit.id, sum(checker.sizes.values()))
    return Check(len(checker.sizes), sum(checker.sizes.values()), tuple(checker.problems))


def _refs(checker: _Checker, dataset: str) -> list[str]:
    """Check a dataset's refs and their logs; the commits that they name or named."""
    refs, commits = Refs(checker.store, dataset), dict[str, None]()
    for kind in KINDS:
        prefix = refs._path(kind, "")
        for path in checker.store.list(prefix):
            checker.seen(path)
            value = checker.attempt(path, lambda path=path: json.loads(checker.store.get(path)))
            if value is None:
                continue
            _log(checker, path, value, commits)
    return list(commits)


def _log(checker: _Checker, path: str, value: Any, commits: dict[str, None]) -> None:
    if value.get("commit"):
        commits[value["commit"]] = None
    id, first = value.get("move"), True
    while id:
        name = f"moves/{id}"
        if checker.seen(name):
            return
        body = checker.attempt(name, lambda name=name: checker.store.get(name))
        if body is None:
            return
        if digest(body) != id:
            checker.problem(name, "does not match its digest")
            return
        move = json.loads(body)
        if first and move["after"] != value.get("commit"):
            checker.problem(path, "names another commit than its newest move")
        first, id = False, move["previous"]


def _parents_first(checker: _Checker, heads: list[str]) -> Iterator[Commit]:
    """Every commit that the heads lead to, parents before children."""
    done: set[str] = set()
    stack = [(id, False) for id in reversed(heads)]
    loaded: dict[str, Commit] = {}
    while stack:
        id, ready = stack.pop()
        if ready:
            yield loaded.pop(id)
            continue
        if id in done:
            continue
        done.add(id)
        name = objects.path_of(id)
        checker.seen(name)
        commit = checker.attempt(name, lambda id=id: load_commit(checker.store, id))
        if commit is None:
            continue
        loaded[id] = commit
        stack += [(id, True), *((parent, False) for parent in reversed(commit.parents))]


def _prove(checker: _Checker, commit: Commit) -> None:
    """Check a commit's layout and segments, and that its rows give its roots."""
    name = layouts.path_of(commit.id)
    checker.seen(name)
    layout = checker.attempt(name, lambda: load_layout(checker.store, commit.id))
    if layout is None:
        return
    if any(_segment(checker, live) is None for live in layout.segments):
        checker.problem(objects.path_of(commit.id), "its rows cannot be read: see its segments")
        return
    base, roots = next((checker.proved[p] for p in commit.parents if p in checker.proved), _NOTHING)
    found = checker.attempt(name, lambda: roots + _change(checker, base, layout))
    if found is None:
        return
    for what, expected, actual in (
        ("content", commit.content_root, found.content_root),
        ("vector", commit.vector_root, found.vector_root),
    ):
        if expected != actual:
            checker.problem(name, f"its rows have the {what} root {actual[:12]}, the commit says {expected[:12]}")
    if found.content_root != layout.roots.content_root or found.vector_root != layout.roots.vector_root:
        checker.problem(name, "the lanes that it keeps are not those of its rows")
    if commit.counts != {"documents": layout.document_count, "chunks": layout.chunk_count}:
        checker.problem(objects.path_of(commit.id), "its counts are not those of its layout")
    checker.proved[commit.id] = (layout, found)


_NOTHING = (Layout.empty(), Roots.empty())


def _change(checker: _Checker, base: Layout, layout: Layout) -> Roots:
    """What the roots gain from `base` to `layout`."""
    old = {live.segment: live for live in base.segments}
    new = {live.segment: live for live in layout.segments}
    gained = Roots.empty()
    for id in old.keys() | new.keys():
        a, b = old.get(id), new.get(id)
        if a == b:
            continue
        gained = gained + _rows(checker, id, b, a) - _rows(checker, id, a, b)
    return gained


def _rows(checker: _Checker, id: str, one: Live | None, other: Live | None) -> Roots:
    """What the rows that are live in `one` but not in `other` add."""
    segment = checker.segments.get(id)
    if one is None or segment is None:
        return Roots.empty()
    chunks = one.chunks - other.chunks if other else one.chunks
    documents = one.documents - other.documents if other else one.documents
    return roots_of(segment, rows_of(chunks), rows_of(documents))


def _segment(checker: _Checker, live: Live) -> Segment | None:
    """A segment whose files match their digests and decode, or None."""
    if live.segment in checker.segments:
        return checker.segments[live.segment]
    name = path_of(live.segment, "segment.json")
    checker.seen(name)
    segment = checker.attempt(name, lambda: Segment(checker.store, live.segment))
    sound = segment is not None and all([_file(checker, segment, file) for file in FILES])
    sound = sound and checker.attempt(name, lambda: _decoded(checker, segment, live)) is not None
    checker.segments[live.segment] = segment if sound else None
    return checker.segments[live.segment]


def _file(checker: _Checker, segment: Segment, file: str) -> bool:
    name = path_of(segment.id, file)
    checker.seen(name)
    buffer = checker.attempt(name, lambda: checker.store.map(name))
    if buffer is None:
        return False
    if hashlib.sha256(buffer).hexdigest() != segment.manifest["files"][file]["sha256"]:
        checker.problem(name, "does not match its digest")
        return False
    return True


def _decoded(checker: _Checker, segment: Segment, live: Live) -> bool:
    """Shapes agree, vectors are finite, and the stored orders are right."""
    name = path_of(segment.id, "segment.json")
    shape = (segment.chunk_count, segment.space.dim)
    if (len(segment.chunks), segment.vectors.shape) != (segment.chunk_count, shape):
        checker.problem(name, "its files do not have the rows that it says")
    if (live.chunk_count, live.document_count) != (segment.chunk_count, segment.document_count):
        checker.problem(name, "a layout counts its rows otherwise")
    if not all(np.isfinite(segment.vectors[i : i + 65536]).all() for i in range(0, segment.chunk_count, 65536)):
        checker.problem(name, "it holds vectors that are not finite")
    for keys, order in zip((segment.keys, segment.embedded, segment.document_ids), segment._orders, strict=True):
        if not np.array_equal(order_of(keys), order):
            checker.problem(name, "a look-up order is wrong")
    return True
