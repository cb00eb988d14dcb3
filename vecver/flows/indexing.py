"""Indexing: build and open the FAISS index of large segments. An index is derived: any version lives without it."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from vecver import index
from vecver.repo import Segment, Snapshot, Versions

Progress = Callable[[str, int], None]  # ("documents" | "chunks" | "index rows", how many more are done)


def index_segments(versions: Versions, commit: str, progress: Progress | None = None) -> None:
    """Build the missing indexes of a commit's large segments."""
    for segment in versions.snapshot(commit).segments:
        if index.faiss.wanted(segment.chunk_count) and not versions.has_derived(segment, index.faiss.SPEC):
            folder = versions.store.scratch()
            try:
                index.faiss.build(segment.vectors, segment.space.metric, folder / "index")
                versions.put_derived(segment, index.faiss.SPEC, folder / "index", {"faiss": index.faiss.version()})
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            if progress:
                progress("index rows", segment.chunk_count)


def open_indexes(versions: Versions, snapshot: Snapshot) -> None:
    """Open what indexes the snapshot's segments have; each is verified once a process."""
    for segment in snapshot.segments:
        if segment.index is None and index.faiss.wanted(segment.chunk_count):
            segment.index = _opened(versions, segment)


def _opened(versions: Versions, segment: Segment) -> object | None:
    source = versions.derived(segment, index.faiss.SPEC)
    return None if source is None else index.faiss.load(source)
