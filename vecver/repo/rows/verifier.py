"""Verifying segments: a process hashes their files when it first uses them, and remembers those that stay as they are.

    local/verified.json   of large segments: size, inode and times of each file when it was hashed

That file is of this machine and no part of the repository; without it everything is hashed once more.

Decisions
- 2026-11-26 up to AT_ONCE bytes are hashed before the first answer (some 25 ms), the rest in a thread, so that no
  question waits for gigabytes. What is answered meanwhile says so in its receipt; damage that the thread finds is
  raised by every later use. Whoever copies rows or proves an answer waits for the thread.
- 2026-11-26 a file that has the size, inode and times (of its content and of its entry) that it had when it was
  hashed is believed. Rot of a disk changes none of them: `always` and `vecver check` hash again. One that was
  written in the last seconds is not remembered for other processes: a clock's tick may hide a change.
- 2026-11-26 what is hashed is what is mapped, and so what is served.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from vecver.errors import IntegrityError, InvalidInputError
from vecver.model import Verify
from vecver.repo import objects
from vecver.repo.rows.segment_files import FILES, path_of
from vecver.store import Store

if TYPE_CHECKING:
    from vecver.repo.rows.segment import Segment

PENDING = "pending"  # as receipts say it
AT_ONCE = 32 << 20  # bytes that are hashed before an answer; the rest is hashed beside it
_KEPT = 4 << 20  # bytes of a segment that other processes need not hash again; fewer take them some milliseconds
_FRESH_SECONDS = 2.0
_LOOK_SECONDS = 0.02  # an open file is looked at again after so long: 7 segments take 0.05 to 0.4 ms
_FILE = "verified.json"

Seen = tuple[tuple[int, int, int, int], ...]  # size, inode, and times (ns) of each of FILES


@dataclass
class _Verdict:
    """What is known of an opened segment."""

    paths: tuple[str, ...]  # of its files; none where they are no files
    seen: Seen | None  # when they were hashed; None where they are no files
    done: threading.Event = field(default_factory=threading.Event)
    damage: IntegrityError | None = None
    looked: float = field(default_factory=time.monotonic)


class Verifier:
    """Verifies what `Versions` opens, as its mode says."""

    def __init__(self, store: Store, mode: Verify = "once") -> None:
        if mode not in (modes := get_args(Verify)):
            raise InvalidInputError(
                f"{mode!r} does not say when to verify", code="invalid_verify", hint=f"choose {', '.join(modes)}"
            )
        self.mode = mode
        self._store = store
        self._sound: dict[str, Seen] = {}
        self._damaged: dict[str, tuple[Seen, IntegrityError]] = {}
        self._stamping = threading.Lock()

    def use(self, segments: Sequence[Segment]) -> None:
        """Verify segments, or begin to. Raises IntegrityError if one is known to be damaged."""
        if self.mode == "never":
            return
        later: list[Segment] = []
        now = 0
        for segment in segments:
            if not self._is_new(segment):
                continue
            if self._begin(segment):
                continue
            now += segment.size
            if self.mode == "always" or now <= AT_ONCE:
                self._finish(segment)
            else:
                later.append(segment)
        if later:
            threading.Thread(target=self._finish_all, args=(later,), name="vecver-verify", daemon=True).start()
        for segment in segments:
            if segment.verdict.damage:
                raise segment.verdict.damage

    def state(self, segments: Iterable[Segment]) -> str:
        """What a receipt says: the mode in which all are verified, or PENDING. Raises IntegrityError for damage."""
        if self.mode == "never":
            return self.mode
        verdicts = [segment.verdict for segment in segments]
        for verdict in verdicts:
            if verdict.damage:
                raise verdict.damage
        return self.mode if all(verdict.done.is_set() for verdict in verdicts) else PENDING

    def wait(self, segments: Iterable[Segment]) -> None:
        """Wait until all that are in use are verified. Raises IntegrityError for damage."""
        if self.mode == "never":
            return
        for segment in segments:
            segment.verdict.done.wait()
            if segment.verdict.damage:
                raise segment.verdict.damage

    def forget(self) -> None:
        """Believe nothing of what was verified."""
        self._sound.clear()
        self._damaged.clear()
        if place := self._place():
            with contextlib.suppress(OSError):
                place.unlink()

    # -- within ---------------------------------------------------------------------------------

    def _is_new(self, segment: Segment) -> bool:
        """Was it never verified, or were its mapped files written to since?"""
        verdict: _Verdict | None = segment.verdict
        if verdict is None:
            return True
        clock = time.monotonic()
        if verdict.seen is None or not verdict.done.is_set() or clock - verdict.looked < _LOOK_SECONDS:
            return False
        verdict.looked = clock
        now = _seen(verdict.paths)
        if now is None or now == verdict.seen:  # files that are gone stay mapped as they were
            return False
        return any(mine[1] == old[1] for mine, old in zip(now, verdict.seen, strict=True))

    def _begin(self, segment: Segment) -> bool:
        """Give a segment a verdict, from memory if there is one; says if it is final."""
        paths = tuple(str(path) for file in FILES if (path := self._store.path(path_of(segment.id, file))))
        seen = _seen(paths) if len(paths) == len(FILES) else None
        segment.verdict = verdict = _Verdict(paths, seen)
        if seen is None or self.mode == "always":
            return False
        before = self._damaged.get(segment.id)
        if before and before[0] == seen:
            verdict.damage = before[1]
        elif self._sound.get(segment.id) != seen and (segment.size < _KEPT or self._stamps().get(segment.id) != seen):
            return False
        verdict.done.set()
        return True

    def _finish_all(self, segments: Sequence[Segment]) -> None:
        for segment in segments:
            self._finish(segment)

    def _finish(self, segment: Segment) -> None:
        """Hash a segment's files and say what was found."""
        verdict: _Verdict = segment.verdict
        try:
            segment.verify()
        except IntegrityError as error:
            verdict.damage = error
            if verdict.seen:
                self._damaged[segment.id] = verdict.seen, error
        else:
            if verdict.seen and _seen(verdict.paths) == verdict.seen:
                self._sound[segment.id] = verdict.seen
                self._stamp(segment, verdict.seen)
        finally:
            verdict.done.set()

    def _stamps(self) -> dict[str, Seen]:
        """What this and other processes have verified here."""
        if not (place := self._place()):
            return {}
        try:
            value = json.loads(place.read_bytes())["segments"]
            return {id: tuple(tuple(file) for file in files) for id, files in value.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # verified once more then
            return {}

    def _stamp(self, segment: Segment, seen: Seen) -> None:
        """Remember a large segment for other processes; where that cannot be written, each verifies it anew."""
        newest = max(max(file[2:]) for file in seen)
        if segment.size < _KEPT or not (place := self._place()) or time.time_ns() - newest < _FRESH_SECONDS * 1e9:
            return
        with self._stamping, contextlib.suppress(OSError):
            known = {**self._stamps(), segment.id: seen}
            there = {id: files for id, files in known.items() if self._store.size(path_of(id, "segment.json"))}
            part = place.with_name(f"{_FILE}.{os.getpid()}")
            place.parent.mkdir(exist_ok=True)
            try:
                part.write_text(json.dumps({"format": objects.FORMAT, "segments": there}), "utf-8")
                os.replace(part, place)
            finally:
                part.unlink(missing_ok=True)

    def _place(self) -> Path | None:
        """The file of stamps, where the store is a folder."""
        root = self._store.path("vecver.json")
        return root.parent / "local" / _FILE if root else None


def _seen(paths: Sequence[str]) -> Seen | None:
    """Files as they are now; None where one cannot be seen."""
    try:
        found = [os.stat(path) for path in paths]
    except OSError:
        return None
    return tuple((one.st_size, one.st_ino, one.st_mtime_ns, one.st_ctime_ns) for one in found)
