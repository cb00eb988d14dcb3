"""Verifying segments: a process hashes their files when it first uses them, and again when they change.

    local/verified.json   of large segments: size, inode and times of each file when it was hashed

That file belongs to this machine and is no part of the repository; without it everything is hashed once more.

Decisions
1. Up to AT_ONCE bytes are hashed before the first answer (some 25 ms), the rest in a thread, so that no question
   waits for gigabytes. Receipts of answers given meanwhile say "pending"; damage that the thread finds is raised by
   every later use. Whoever copies rows or proves an answer waits for the thread.
2. A file whose size, inode and times (of content and of entry) are those it had when it was hashed counts as
   verified. Bit rot changes none of them: the mode "always" and `vecver check` hash again. A file written within the
   last seconds is not recorded for other processes, since one tick of the clock may hide a change.
3. The mapped bytes are hashed, because these are the bytes that answers are read from.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from vecver.errors import IntegrityError, InvalidInputError
from vecver.model import Verify
from vecver.repo import objects
from vecver.repo.rows.segment_files import FILES, path_of
from vecver.repo.rows.verdict import FileStates, Verdict
from vecver.store import Store

if TYPE_CHECKING:
    from vecver.repo.rows.segment import Segment

PENDING = "pending"  # as receipts say it
AT_ONCE = 32 << 20  # bytes that are hashed before an answer; the rest is hashed in a thread
_STAMPED_BYTES = 4 << 20  # a smaller segment is hashed by every process: that takes some milliseconds
_FRESH_SECONDS = 2.0
_LOOK_SECONDS = 0.02  # between two looks at the files of an open segment: 7 segments take 0.05 to 0.4 ms
_FILE = "verified.json"


class Verifier:
    """Verifies segments as `mode` says: "once", "always" or "never". Raises InvalidInputError for other modes."""

    def __init__(self, store: Store, mode: Verify = "once") -> None:
        if mode not in (modes := get_args(Verify)):
            raise InvalidInputError(
                f"{mode!r} does not say when to verify", code="invalid_verify", hint=f"choose {', '.join(modes)}"
            )
        self.mode = mode
        self._store = store
        self._sound: dict[str, FileStates] = {}
        self._damaged: dict[str, tuple[FileStates, IntegrityError]] = {}
        self._stamping = threading.Lock()

    def use(self, segments: Sequence[Segment]) -> None:
        """Verify segments, or begin to in a thread. Raises IntegrityError if one is known to be damaged."""
        if self.mode == "never":
            return
        later: list[Segment] = []
        hashed_bytes = 0
        for segment in segments:
            if not self._needs_verdict(segment) or self._remembered(segment):
                continue
            hashed_bytes += segment.size
            if self.mode == "always" or hashed_bytes <= AT_ONCE:
                self._hash(segment)
            else:
                later.append(segment)
        if later:
            threading.Thread(target=self._hash_all, args=(later,), name="vecver-verify", daemon=True).start()
        for segment in segments:
            _raise_damage(_verdict_of(segment))

    def state(self, segments: Iterable[Segment]) -> str:
        """What a receipt says: the mode if all are verified, else PENDING. Raises IntegrityError for damage."""
        if self.mode == "never":
            return self.mode
        verdicts = [_verdict_of(segment) for segment in segments]
        for verdict in verdicts:
            _raise_damage(verdict)
        return self.mode if all(verdict.done.is_set() for verdict in verdicts) else PENDING

    def wait(self, segments: Iterable[Segment]) -> None:
        """Wait until all these segments, which are in use, are verified. Raises IntegrityError for damage."""
        if self.mode == "never":
            return
        for segment in segments:
            verdict = _verdict_of(segment)
            verdict.done.wait()
            _raise_damage(verdict)

    def forget(self) -> None:
        """Forget what was verified, here and by other processes."""
        self._sound.clear()
        self._damaged.clear()
        if stamps := self._stamps_file():
            with contextlib.suppress(OSError):
                stamps.unlink()

    # -- within ---------------------------------------------------------------------------------

    def _needs_verdict(self, segment: Segment) -> bool:
        """Was the segment never verified, or were its mapped files written to since?"""
        verdict = segment.verdict
        if verdict is None:
            return True
        now = time.monotonic()
        if verdict.files is None or not verdict.done.is_set() or now - verdict.looked < _LOOK_SECONDS:
            return False
        verdict.looked = now
        files = _file_states(verdict.paths)
        if files is None or files == verdict.files:  # deleted files stay mapped as they were
            return False
        return any(new[1] == old[1] for new, old in zip(files, verdict.files, strict=True))

    def _remembered(self, segment: Segment) -> bool:
        """Give a segment a new verdict; True if an earlier verification of the same files makes it final."""
        paths = tuple(str(path) for file in FILES if (path := self._store.path(path_of(segment.id, file))))
        files = _file_states(paths) if len(paths) == len(FILES) else None
        segment.verdict = verdict = Verdict(paths, files)
        if files is None or self.mode == "always":
            return False
        damaged = self._damaged.get(segment.id)
        if damaged and damaged[0] == files:
            verdict.damage = damaged[1]
        elif self._sound.get(segment.id) != files and not self._is_stamped(segment, files):
            return False
        verdict.done.set()
        return True

    def _hash_all(self, segments: Sequence[Segment]) -> None:
        for segment in segments:
            self._hash(segment)

    def _hash(self, segment: Segment) -> None:
        """Hash a segment's files and complete its verdict."""
        verdict = _verdict_of(segment)
        try:
            segment.verify()
        except IntegrityError as error:
            verdict.damage = error
            if verdict.files:
                self._damaged[segment.id] = verdict.files, error
        else:
            if verdict.files and _file_states(verdict.paths) == verdict.files:
                self._sound[segment.id] = verdict.files
                self._stamp(segment, verdict.files)
        finally:
            verdict.done.set()

    def _is_stamped(self, segment: Segment, files: FileStates) -> bool:
        """Has another process verified these files?"""
        return segment.size >= _STAMPED_BYTES and self._stamps().get(segment.id) == files

    def _stamps(self) -> dict[str, FileStates]:
        """What this and other processes have verified here; empty if that cannot be read."""
        if not (stamps := self._stamps_file()):
            return {}
        try:
            value = json.loads(stamps.read_bytes())["segments"]
            return {id: tuple(tuple(file) for file in files) for id, files in value.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _stamp(self, segment: Segment, files: FileStates) -> None:
        """Record a large segment for other processes; if that cannot be written, each of them verifies it."""
        newest = max(max(file[2:]) for file in files)
        if segment.size < _STAMPED_BYTES or time.time_ns() - newest < _FRESH_SECONDS * 1e9:
            return
        if not (stamps := self._stamps_file()):
            return
        with self._stamping, contextlib.suppress(OSError):
            verified = {**self._stamps(), segment.id: files}
            present = {id: each for id, each in verified.items() if self._store.size(path_of(id, "segment.json"))}
            part = stamps.with_name(f"{_FILE}.{os.getpid()}")
            stamps.parent.mkdir(exist_ok=True)
            try:
                part.write_text(json.dumps({"format": objects.FORMAT, "segments": present}), "utf-8")
                os.replace(part, stamps)
            finally:
                part.unlink(missing_ok=True)

    def _stamps_file(self) -> Path | None:
        """Where stamps are kept, if the store is a folder."""
        root = self._store.path("vecver.json")
        return root.parent / "local" / _FILE if root else None


def _verdict_of(segment: Segment) -> Verdict:
    assert segment.verdict, "a segment is verified only after `use`"
    return segment.verdict


def _raise_damage(verdict: Verdict) -> None:
    if verdict.damage:
        raise verdict.damage


def _file_states(paths: Sequence[str]) -> FileStates | None:
    """The files as they are now; None where one cannot be seen."""
    try:
        stats = [os.stat(path) for path in paths]
    except OSError:
        return None
    return tuple((each.st_size, each.st_ino, each.st_mtime_ns, each.st_ctime_ns) for each in stats)
