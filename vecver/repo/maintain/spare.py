"""Spare room: some kilobytes that gc lets go of when the disk is full, so that it can write down what it deletes.

    local/spare     of no meaning; beside a repository in a folder, and no part of it

Decisions
- 2026-11-26 what gc condemns must be durable before it is deleted, or a racing writer could name it again; and that
  takes a write. The roads not taken: overwriting the list in place, which a power failure tears, and deleting first
  what nobody happens to have claimed, which loses data to such a writer.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from vecver.store import Store

SIZE = 64 << 10  # bytes


def keep(store: Store, least: int = SIZE) -> None:
    """Have at least so much room spare, if there is so much; no error if not."""
    place, size = _place(store), max(least, SIZE)
    if place is None:
        return
    with contextlib.suppress(OSError):
        if place.exists() and place.stat().st_size >= size:
            return
        place.parent.mkdir(exist_ok=True)
        try:
            place.write_bytes(os.urandom(size))  # what a file system that compresses cannot make smaller
        except OSError:
            place.unlink(missing_ok=True)


def release(store: Store) -> bool:
    """Let go of it; says if there was any."""
    place = _place(store)
    if place is None:
        return False
    try:
        place.unlink()
    except OSError:
        return False
    return True


def _place(store: Store) -> Path | None:
    root = store.path("vecver.json")
    return root.parent / "local" / "spare" if root else None
