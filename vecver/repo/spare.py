"""Spare room: some kilobytes that gc frees on a full disk, so that it can write down what it is about to delete.

    local/spare     meaningless bytes, beside a repository in a folder and no part of it

Decisions
1. What gc condemns must be durable before it is deleted, or a racing writer could name it again; and that takes a
   write. We neither overwrite the list in place, which a power failure tears, nor first delete what nobody happens to
   have claimed, which loses data to such a writer.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from vecver.store import Store

SIZE = 64 << 10  # bytes


def keep(store: Store, least: int = SIZE) -> None:
    """Reserve at least so many bytes if the disk has them; no error otherwise."""
    place, size = _place(store), max(least, SIZE)
    if place is None:
        return
    with contextlib.suppress(OSError):
        if place.exists() and place.stat().st_size >= size:
            return
        place.parent.mkdir(exist_ok=True)
        try:
            place.write_bytes(os.urandom(size))  # no file system can compress it
        except OSError:
            place.unlink(missing_ok=True)


def release(store: Store) -> bool:
    """Free the reserve; whether there was one."""
    place = _place(store)
    if place is None:
        return False
    try:
        place.unlink()
    except OSError:
        return False
    return True


def _place(store: Store) -> Path | None:
    return store.folder / "local" / "spare" if store.folder and store.folder.is_dir() else None
