"""A world in which two plays of a transcript cannot differ: a clock that is set, known secrets, one machine's facts.

`fix()` is called once, before vecver is imported. It replaces functions of the standard library, for our packages
alone and wherever in them they are called, so that rooms may move without a change here. Threads of libraries, locks
and time limits keep the real clock.

Decisions
1. The clock stands during a step of the play and is moved between steps: how often the code looks at it, and in which
   thread, leaves no trace in a transcript.
2. Secrets count by the function that draws them, so that temporary names of files, which threads draw in any order,
   shift no id that is shown.
3. Facts of this machine are replaced, not blanked afterwards: a commit's id is a digest of them, and of the folder that
   its documents came from.
4. `datetime` is replaced in our modules as they are imported, not in the standard library: pandas, which pyarrow
   imports when it likes, ended the process by a class of times that is not the one it was built with.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import shake_128
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

OURS = ("vecver", "vecver_service")
PLACE = "/transcript"  # where every play seems to happen
STEP = timedelta(minutes=1)
TICK = 1 / 1024  # seconds that a measured query takes


class World:
    """The time, and how much was drawn of each secret."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.time = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
        self.seconds = 0.0
        self.ticking = False  # do durations pass?
        self._drawn: Counter[tuple[CodeType, int]] = Counter()

    def step(self, *, ticking: bool = False) -> None:
        """Begin the next step of the play."""
        self.time += STEP
        self.ticking = ticking

    def perf_counter(self, _: FrameType) -> float:
        self.seconds += TICK if self.ticking else 0
        return self.seconds

    def token_hex(self, caller: FrameType, size: int) -> str:
        return self._secret(caller, size).hex()

    def token_urlsafe(self, caller: FrameType, size: int) -> str:
        return self._secret(caller, size).hex()[: (size * 8 + 5) // 6]

    def fsencode(self, _: FrameType, path: Any) -> bytes:
        encoded = os.fspath(path)
        encoded = encoded if isinstance(encoded, bytes) else encoded.encode("utf-8", "surrogateescape")
        return encoded.replace(str(self.folder).encode(), PLACE.encode())

    def _secret(self, caller: FrameType, size: int) -> bytes:
        drawn = (caller.f_code, size)
        self._drawn[drawn] += 1
        return shake_128(f"{size} {self._drawn[drawn]}".encode()).digest(size)


def fix(folder: Path) -> World:
    """Fix what differs from play to play. `folder`: the real path of where it is played."""
    world = World(folder)
    sys.meta_path.insert(0, _finder(_standing(world)))
    _multiarray_umath.__cpu_features__ = {"SSE": True, "AVX": False}
    for room, name, instead in (
        (time, "perf_counter", world.perf_counter),
        (secrets, "token_hex", world.token_hex),
        (secrets, "token_urlsafe", world.token_urlsafe),
        (os, "fsencode", world.fsencode),
        (os, "fsync", lambda _, handle: None),  # power does not fail here, and disks are slow
        (importlib.metadata, "version", lambda _, package: "1.2.3"),
        (platform, "python_version", lambda _: "3.11.0"),
        (platform, "machine", lambda _: "x86_64"),
    ):
        setattr(room, name, _for_ours(getattr(room, name), instead))
    return world


def _for_ours(real: Callable[..., Any], instead: Callable[..., Any]) -> Callable[..., Any]:
    """A function that our packages find replaced."""

    def call(*arguments: Any, **named: Any) -> Any:
        caller = sys._getframe(1)
        if str(caller.f_globals.get("__name__")).partition(".")[0] in OURS:
            return instead(caller, *arguments, **named)
        return real(*arguments, **named)

    return call


def _finder(standing: type[datetime]) -> Any:
    """Lets each of our modules, when it is imported, have a `datetime` whose now is the world's."""

    class Loader(SourceFileLoader):
        def exec_module(self, module: ModuleType) -> None:
            super().exec_module(module)
            if vars(module).get("datetime") is datetime:
                vars(module)["datetime"] = standing

    class Finder:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
            spec = PathFinder.find_spec(name, path, target) if name.partition(".")[0] in OURS else None
            if spec is not None and isinstance(spec.loader, SourceFileLoader):
                spec.loader = Loader(spec.loader.name, spec.loader.path)
            return spec

    return Finder


def _standing(world: World) -> type[datetime]:
    """`datetime`, whose now is the world's."""

    class Kind(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, datetime)

    class Standing(datetime, metaclass=Kind):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return world.time.astimezone(tz)

    return Standing
