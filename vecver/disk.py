"""Puts files and folders on the disk, so that they are there after a power failure. Knows nothing of what they hold."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path


def sync(path: Path) -> None:
    """Put a file's bytes, or the names in a folder, on the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk, where the system can open a folder. Raises OSError."""
    with contextlib.suppress(PermissionError):  # Windows cannot open a folder; its renames are durable without it
        sync(folder)


def make_folder(folder: Path, mode: int = 0o777, sync: Callable[[Path], None] = sync_folder) -> Path:
    """`folder`, made with those above it if it was not there; `sync` makes each durable. Raises OSError."""
    if folder.is_dir():
        return folder
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True, mode=mode)
    for made in missing:
        sync(made.parent)
    return folder
