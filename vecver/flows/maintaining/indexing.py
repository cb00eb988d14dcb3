"""Indexing: builds and opens the FAISS indexes of large segments. They are derived; without one, rows are scanned."""

from __future__ import annotations

from collections.abc import Iterable

from vecver import index
from vecver.errors import IntegrityError, index_again
from vecver.flows import opened_indexes
from vecver.progress import Progress
from vecver.repo import Layout, Segment, Snapshot, Versions


def index_segments(
    versions: Versions, segments: Iterable[Segment], progress: Progress | None = None, *, mend: bool = False
) -> int:
    """Build the missing indexes of large segments; returns how many were built.

    `mend`: also rebuild those that cannot be read, and calibrate those of an earlier vecver, whose bytes stay.
    """
    built = 0
    for segment in segments:
        if _wanted(segment) and not _is_there(versions, segment, mend):
            build_index(versions, segment, progress, replace=mend)
            built += 1
        elif mend and _wanted(segment):
            _calibrate(versions, segment)
    return built


def unindexed(versions: Versions, layout: Layout) -> list[Segment]:
    """The large segments of a version that have no index."""
    without = versions.without_derived(layout, index.faiss.SPEC, index.faiss.costs.INDEX_ROWS)
    return [segment for segment in without if _wanted(segment)]


def _calibrate(versions: Versions, segment: Segment) -> None:
    """Store what an index of an earlier vecver lacks: an effort for each query, what it is expected to find."""
    found = versions.derived(segment, index.faiss.SPEC)
    if found is None or index.faiss.has_expectation(found[1]):
        return
    opened = index.faiss.load(*found)
    facts = index.faiss.recalibrated(opened, found[1], segment.vectors, segment.space.metric)
    versions.put_derived_facts(segment, index.faiss.SPEC, facts)
    opened_indexes.forget(segment)


def build_index(
    versions: Versions,
    segment: Segment,
    progress: Progress | None = None,
    grown: index.faiss.Index | None = None,
    *,
    replace: bool = False,
) -> None:
    """Build a segment's index, from one over its first rows where `grown` is given; `replace` one that is there."""
    import shutil

    folder = versions.store.scratch()
    try:
        metric = segment.space.metric
        facts = index.faiss.build(segment.vectors, metric, folder / "index", grown=grown, progress=progress)
        versions.put_derived(segment, index.faiss.SPEC, folder / "index", facts, replace=replace)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def open_indexes(versions: Versions, snapshot: Snapshot) -> None:
    """Open what indexes the snapshot's segments have; each is verified once a process."""
    for segment in snapshot.segments:
        if opened_indexes.index_of(segment) is None and _wanted(segment) and (opened := open_index(versions, segment)):
            opened_indexes.keep(segment, opened)


def open_index(versions: Versions, segment: Segment) -> index.faiss.Index | None:
    """A segment's index, or None if it has none. Raises IntegrityError if it cannot be trusted or read."""
    found = versions.derived(segment, index.faiss.SPEC)
    opened = None if found is None else index.faiss.load(*found, segment.vectors, segment.space.metric)
    if opened and opened.count != segment.chunk_count:  # of another segment, from before their facts named it
        raise IntegrityError(
            f"the index of segment {segment.id[:12]} has {opened.count} rows, the segment {segment.chunk_count}",
            code="index_damaged",
            hint=index_again(),
        )
    return opened


def _wanted(segment: Segment) -> bool:
    return index.faiss.wanted(segment.chunk_count, segment.max_norm)


def _is_there(versions: Versions, segment: Segment, readable: bool) -> bool:
    if not readable:
        return versions.has_derived(segment, index.faiss.SPEC)
    try:
        return open_index(versions, segment) is not None
    except IntegrityError:
        return False
