"""Compaction: fold small segments after a commit, optimize a whole dataset on request, and collect garbage.

copy the rows -> prove that they are the same -> build their index -> switch the layouts -> gc, later
"""

from __future__ import annotations

from datetime import timedelta

from vecver import index
from vecver.errors import IntegrityError, VecverError
from vecver.flows.maintaining.indexing import build_index, index_segments, open_index
from vecver.model import Garbage, Optimized
from vecver.progress import Progress
from vecver.repo import Retention, Rewrite, Segment, Versions, turn_at

_FOLLOWED = 1000  # versions that may land while their tail is folded


def fold(versions: Versions, dataset: str, branch: str, progress: Progress | None = None) -> str | None:
    """Fold the small segments at the end of a branch if there are many; a note if that failed, which harms nothing.

    One process folds at a time, while others commit; if another one does already, this returns at once.
    """
    refs = versions.refs(dataset)
    try:
        with versions.folding(dataset):
            while (head := refs.get("branch", branch)) and (
                rewrite := versions.fold(head, index.faiss.costs.INDEX_ROWS)
            ):
                rewrite.write(progress)
                rewrite.compare()
                index_segments(versions, rewrite.segments, progress)
                with turn_at(versions, dataset, branch):  # so that no commit lands between these two
                    rewrite.follow(_since(versions, refs.get("branch", branch), head))
                    versions.switch(rewrite)
    except VecverError as error:
        if error.code == "locked":
            return None
        return f"the small segments were not folded: {error.message}; the next ingest tries again"
    return None


def _since(versions: Versions, head: str | None, old: str) -> list[str]:
    """The versions that landed during a fold, from `head` back to `old` along first parents."""
    landed: list[str] = []
    while head and head != old and len(landed) < _FOLLOWED:
        landed.append(head)
        head = next(iter(versions.commit(head).parents), None)
    return landed


def optimize(versions: Versions, dataset: str, progress: Progress | None = None) -> Optimized:
    """Rewrite the rows of all versions of a dataset into the fewest segments, and mend its indexes. No version changes.

    It may be interrupted at any point and run again. Raises NotFoundError, IntegrityError (a version would not have the
    same roots; nothing was changed), BackendError.
    """
    versions.resolve(dataset, next(iter(versions.refs(dataset).all("branch")), "main"))
    switched = rows = before = after = built = 0
    for rewrite in versions.optimize(dataset):
        rewrite.write(progress)
        rewrite.prove(progress)
        for segment in rewrite.segments:
            built += _index(versions, rewrite, segment, progress)
        switched += versions.switch(rewrite)
        before, after = before + len(rewrite.sources), after + len(rewrite.segments)
        rows += sum(segment.chunk_count for segment in rewrite.segments)
    built += index_segments(versions, versions.segments(dataset), progress, mend=True)
    return Optimized(switched, rows, (before, after), built)


def garbage(versions: Versions, retention: Retention, grace: timedelta, *, apply: bool) -> Garbage:
    """What gc would delete now and later; with `apply` it deletes the former."""
    plan = versions.garbage(retention, [index.faiss.SPEC], grace)
    if apply:
        versions.collect(plan, retention)
    return plan


def _index(versions: Versions, rewrite: Rewrite, segment: Segment, progress: Progress | None) -> bool:
    """Build a new segment's index; from that of its first rows, if these are a whole old segment."""
    if not index.faiss.wanted(segment.chunk_count, segment.max_norm):
        return False
    build_index(versions, segment, progress, _grown(versions, rewrite, segment))
    return True


def _grown(versions: Versions, rewrite: Rewrite, segment: Segment) -> index.faiss.Index | None:
    first = rewrite.copied_first(segment)
    if first is None or not versions.has_derived(first, index.faiss.SPEC):
        return None
    try:
        found = open_index(versions, first)
    except IntegrityError:
        return None
    return found if found and index.faiss.grows(found, segment.chunk_count) else None
