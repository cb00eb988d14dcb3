"""Verifying segments: a process hashes their files when it first uses them, and again when they change.

A large segment that another process hashed on this machine is not hashed again (`stamps`).

Decisions
1. Up to AT_ONCE bytes are hashed before the first answer (some 25 ms), the rest in a thread, so that no question
   waits for gigabytes. Receipts of answers given meanwhile say "pending"; damage that the thread finds is raised by
   every later use. Whoever copies rows or proves an answer waits for the thread.
2. The mapped bytes are hashed, because these are the bytes that answers are read from.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, get_args

from vecver.errors import IntegrityError, InvalidInputError
from vecver.model import Verify
from vecver.repo.rows.segment_files import FILES, path_of
from vecver.repo.rows.stamps import Stamps, file_states
from vecver.repo.rows.verdict import FileStates, Verdict

if TYPE_CHECKING:
    from vecver.repo.rows.segment import Segment
    from vecver.store import Store

PENDING = "pending"  # as receipts say it
AT_ONCE = 32 << 20  # bytes that are hashed before an answer; the rest is hashed in a thread
_LOOK_SECONDS = 0.02  # between two looks at the files of an open segment: 7 segments take 0.05 to 0.4 ms


class Verifier:
    """Verifies segments as `mode` says: "once", "always" or "never". Raises InvalidInputError for other modes."""

    def __init__(self, store: Store, mode: Verify = "once") -> None:
        if mode not in (modes := get_args(Verify)):
            raise InvalidInputError(
                f"{mode!r} does not say when to verify", code="invalid_verify", hint=f"choose {', '.join(modes)}"
            )
        self.mode = mode
        self.stamps = Stamps(store)
        self._store = store
        self._sound: dict[str, FileStates] = {}
        self._damaged: dict[str, tuple[FileStates, IntegrityError]] = {}

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
        self.stamps.forget()

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
        files = file_states(verdict.paths)
        if files is None or files == verdict.files:  # deleted files stay mapped as they were
            return False
        return any(new[1] == old[1] for new, old in zip(files, verdict.files, strict=True))

    def _remembered(self, segment: Segment) -> bool:
        """Give a segment a new verdict; True if an earlier verification of the same files makes it final."""
        paths = tuple(str(path) for file in FILES if (path := self._store.path(path_of(segment.id, file))))
        files = file_states(paths) if len(paths) == len(FILES) else None
        segment.verdict = verdict = Verdict(paths, files)
        if files is None or self.mode == "always":
            return False
        damaged = self._damaged.get(segment.id)
        if damaged and damaged[0] == files:
            verdict.damage = damaged[1]
        elif self._sound.get(segment.id) != files and not self.stamps.has("segments", segment.id, files):
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
            if verdict.files and file_states(verdict.paths) == verdict.files:
                self._sound[segment.id] = verdict.files
                self.stamps.add("segments", segment.id, verdict.files)
        finally:
            verdict.done.set()


def _verdict_of(segment: Segment) -> Verdict:
    assert segment.verdict, "a segment is verified only after `use`"
    return segment.verdict


def _raise_damage(verdict: Verdict) -> None:
    if verdict.damage:
        raise verdict.damage
