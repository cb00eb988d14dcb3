"""Sends output that is longer than the terminal to a pager, as git does."""

from __future__ import annotations

import os
import shlex
import subprocess
from types import TracebackType
from typing import IO, TextIO


class Pages:
    """A stream that holds text back until it is longer than the terminal; then it goes to a pager, as it comes.

    The pager: VECVER_PAGER, else PAGER, else `less -FRX`; none if that is empty or "cat". If it cannot be started, the
    text is printed without one.
    """

    def __init__(self, stream: TextIO, height: int) -> None:
        self._stream = stream
        self._room = height - 1  # lines that fit above the next prompt
        self._held: list[str] | None = []  # None: it was written out
        self._lines = 0
        self._pager: subprocess.Popen[str] | None = None
        self.encoding = stream.encoding

    def write(self, text: str) -> None:
        """Raises BrokenPipeError when the reader has left the pager."""
        if self._held is None:
            self._target.write(text)
            return
        self._held.append(text)
        self._lines += text.count("\n")
        if self._lines > self._room:
            self._pager = _started(self.encoding)
            self._release()

    def flush(self) -> None:
        if self._held is None:
            self._target.flush()

    def isatty(self) -> bool:
        return True

    def __enter__(self) -> Pages:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        """Show what was held, or wait until the reader leaves the pager."""
        if self._pager is None:
            self._release()
            return False
        left = kind is not None and issubclass(kind, BrokenPipeError)
        try:
            self._target.close()
        except BrokenPipeError:
            left = True
        _wait(self._pager)
        return left

    def _release(self) -> None:
        held, self._held = self._held or [], None
        for text in held:
            self._target.write(text)
        self._target.flush()

    @property
    def _target(self) -> IO[str]:
        if self._pager is None or self._pager.stdin is None:
            return self._stream
        return self._pager.stdin


def _started(encoding: str) -> subprocess.Popen[str] | None:
    command = next((os.environ[name] for name in ("VECVER_PAGER", "PAGER") if name in os.environ), "less")
    try:
        words = shlex.split(command)
        if not words or words == ["cat"]:
            return None
        environment = {"LESS": "FRX", "LV": "-c", **os.environ}
        return subprocess.Popen(
            words, stdin=subprocess.PIPE, text=True, encoding=encoding, errors="replace", env=environment
        )
    except (OSError, ValueError):  # there is no such program, or its quotes do not match
        return None


def _wait(pager: subprocess.Popen[str]) -> None:
    """Wait until the pager ends; Ctrl-C is for the pager, which continues after it."""
    while True:
        try:
            pager.wait()
            return
        except KeyboardInterrupt:
            continue
