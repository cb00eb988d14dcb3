"""Folding: decides which segments of a dataset to merge, and for which commits. `repo.maintain.rewrite` merges them.

`fold` keeps the newest version on few segments as commits pile up, as an LSM tree does; `optimize` lays all retained
commits on the fewest segments.

Decisions
1. Segments fold when more than MANY_SMALL are of one size class (a class has eight times the rows of the one before),
   the smallest class first; large segments, which have an index, when more than MANY are. Small ones also fold when
   together they are large enough for an index. So a row is copied once a class, a version has a handful of segments
   of each class, and a fold costs what the segments of its class hold, not the whole tail.
2. A fold lays only the newest commit anew. Earlier commits keep the segments that they name until `optimize`, which
   alone looks at every commit. When a fold laid all commits anew, every eighth of 10,000 one-row commits wrote every
   earlier layout again, and commit 600 took three times as long as commit 100.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress

from vecver.errors import NotFoundError
from vecver.model import Commit
from vecver.repo.maintain.rewrite import Rewrite
from vecver.repo.objects import load_commit, parents_first
from vecver.repo.rows.layout import Layout, Live, load_layout
from vecver.repo.rows.segment_writer import MAX_ROWS
from vecver.store import Store

MANY_SMALL = 8
MANY = 4
_CLASS = 8  # each size class begins at so many times the rows of the one before
_FULL = 0.5  # a segment with this share of MAX_ROWS ...
_NEEDED = 0.9  # ... and this share of rows that some commit lists stays as it is


def fold(store: Store, head: str, small: int) -> Rewrite | None:
    """The rewrite that folds the tail of a version; None while it is short. A segment of `small` rows is large."""
    ids = crowded(load_layout(store, head), small)
    return Rewrite(store, [head], ids) if ids else None


def crowded(layout: Layout, small: int) -> list[str]:
    """The segments of a layout that should become one, in its order; none while they are few."""
    tail = [live for live in layout.segments if live.chunk_count < small]
    large = [live for live in layout.segments if small <= live.chunk_count < _FULL * MAX_ROWS]
    if len(tail) > 1 and sum(live.chunk_count for live in tail) >= small:
        return [live.segment for live in tail]
    return _crowded_class(tail, 1, MANY_SMALL) or _crowded_class(large, small, MANY)


def _crowded_class(lives: list[Live], first: int, limit: int) -> list[str]:
    """The segments of the lowest size class that has more than `limit`; the second class begins at 8 times `first`."""
    classes: dict[int, list[Live]] = defaultdict(list)
    for live in lives:
        classes[_class_of(max(live.chunk_count, live.document_count), first)].append(live)
    many = [members for _, members in sorted(classes.items()) if len(members) > limit]
    return [live.segment for live in many[0]] if many else []


def optimize(store: Store, heads: Iterable[str]) -> list[Rewrite]:
    """The rewrites that lay all commits behind `heads` on the fewest segments: one a space, none where they are."""
    spaces: dict[str, dict[str, Layout]] = defaultdict(dict)
    for commit, layout in layouts_of(store, heads):
        spaces[commit.recipe.space.id][commit.id] = layout
    rewrites = []
    for versions in spaces.values():
        if sources := _wasteful(versions.values()):
            rewrites.append(Rewrite(store, list(versions), sources, exhaustive=True))
    return rewrites


def layouts_of(store: Store, heads: Iterable[str]) -> Iterator[tuple[Commit, Layout]]:
    """Every commit behind `heads`, parents first, with its layout; without the commits whose rows gc deleted."""
    for commit in parents_first(heads, lambda id: load_commit(store, id)):
        with suppress(NotFoundError):
            yield commit, load_layout(store, commit.id)


def _wasteful(versions: Iterable[Layout]) -> list[str]:
    """The segments worth copying, in the order in which layouts first name them."""
    needed: dict[str, Live] = {}
    for layout in versions:
        for live in layout.segments:
            old = needed.get(live.segment)
            chunks, documents = (
                (live.chunks, live.documents)
                if old is None
                else (
                    old.chunks | live.chunks,
                    old.documents | live.documents,
                )
            )
            needed[live.segment] = Live(live.segment, chunks, documents, live.chunk_count, live.document_count)
    few = [live for live in needed.values() if not _stays(live)]
    if len(few) == 1 and _share(few[0]) == 1:
        return []
    return [live.segment for live in few]


def _stays(live: Live) -> bool:
    return live.chunk_count >= _FULL * MAX_ROWS and _share(live) >= _NEEDED


def _share(live: Live) -> float:
    """The share of a segment's rows that are live in some commit."""
    return (len(live.chunks) + len(live.documents)) / max(live.chunk_count + live.document_count, 1)


def _class_of(rows: int, first: int) -> int:
    number = 0
    while rows >= first * _CLASS ** (number + 1):
        number += 1
    return number
