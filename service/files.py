"""Files of the state folder: written whole or not at all, and still there after a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def save(path: Path, text: str, *, mode: int = 0o666, durable: bool = True) -> None:
    """Replace a file in one step. Not `durable`: a power cut may bring back the one before it, never half of one."""
    part = path.with_name(path.name + ".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())  # else a power cut may leave an empty file under the name
    os.replace(part, path)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make what was made, renamed or removed in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
