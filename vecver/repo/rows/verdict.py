"""Verdict: what is known of an opened segment's files. `repo.rows.verifier` gives it and the segment carries it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vecver.errors import IntegrityError

FileStates = tuple[tuple[int, int, int, int], ...]  # size, inode and two times (ns) of each of `segment_files.FILES`


@dataclass
class Verdict:
    """Whether the files have the content that was written; final once `done` is set."""

    paths: tuple[str, ...]  # of the segment's files; empty on a store that has no files
    files: FileStates | None  # as they were when they were hashed; None on a store that has no files
    done: threading.Event = field(default_factory=threading.Event)
    damage: IntegrityError | None = None
    looked: float = field(default_factory=time.monotonic)  # when the files were last compared with `files`
