"""What a disk may hold after a cut: a verb is recorded once, then every state that a cut could leave is made of that.

A recording watches a folder. Before each step of a process that could matter to a power cut (a file or folder is
synced, renamed, removed or made) it looks at every file, so also at what native code wrote between two steps.

Four things are done to each step:

    cut        the process ends before it; what it wrote is there
    power      the power fails: only what was synced is there, names only where their folder was synced
    torn       the power fails: all names are there, but of each file that was not synced only the first half
    reordered  the power fails: of the names that were not synced, one alone is there, or one alone is not

Decisions
- 2026-11-26 the model is that of ALICE (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014), with
  one name at a time. A rename is one change, as in every journal: that it may be half done is not tried.
- 2026-11-26 watching the file system, not the store: exports and the service's state are written without a store.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from stat import S_ISDIR
from typing import Any

import pytest

FOLDER = b"\0a folder"  # stands for a folder where bytes stand for a file
MODES = ("cut", "power", "torn", "reordered")
Disk = Mapping[str, bytes]  # path below the watched folder -> bytes
Files = Mapping[str, tuple[int, bytes]]  # path -> id and bytes; FOLDER for a folder

_STEPS = ("fsync", "replace", "rename", "unlink", "remove", "mkdir", "rmdir", "link")
_YOUNG_NS = 10**8  # a file that changed so lately is read again: its times may not have moved


@dataclass(frozen=True)
class Step:
    """The folder before one step, and what the step syncs."""

    files: Files
    action: str
    synced: str | None = None  # the path that is synced, "" for the watched folder itself


@dataclass
class Recording:
    """The steps of one verb, in the order in which they were taken; the last is that it has returned."""

    root: Path
    steps: list[Step] = field(default_factory=list)
    _known: dict[str, tuple[tuple[int, int, int], bytes]] = field(default_factory=dict)
    _ids: dict[int, int] = field(default_factory=dict)  # inode -> id: file systems use inodes again
    _new_ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _lock: Any = field(default_factory=threading.RLock)

    def look(self, action: str, synced: str | None = None, removed: str | None = None) -> None:
        """Note the folder as it is now, before a step that may remove a file."""
        with self._lock:
            self.steps.append(Step(dict(self._files()), action, synced))
            if removed is not None and os.path.exists(removed):
                self._ids.pop(os.stat(removed).st_ino, None)

    def _files(self) -> Iterator[tuple[str, tuple[int, bytes]]]:
        for folder, folders, files in os.walk(self.root):
            place = Path(folder).relative_to(self.root)
            for name in folders + files:
                path = (place / name).as_posix()
                with contextlib.suppress(FileNotFoundError):  # another thread has just moved it
                    yield path, self._read(path)

    def _read(self, path: str) -> tuple[int, bytes]:
        info = os.stat(self.root / path)
        id = self._ids.setdefault(info.st_ino, next(self._new_ids))
        if S_ISDIR(info.st_mode):
            return id, FOLDER
        stamp = (info.st_ino, info.st_size, info.st_mtime_ns)
        known = self._known.get(path)
        if known is None or known[0] != stamp or time.time_ns() - info.st_mtime_ns < _YOUNG_NS:
            known = self._known[path] = (stamp, (self.root / path).read_bytes())
        return id, known[1]

    def path_of(self, handle: int) -> str | None:
        """The watched path that a file handle is open on."""
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        if not path.is_relative_to(self.root):
            return None
        return "" if path == self.root else path.relative_to(self.root).as_posix()


@contextlib.contextmanager
def recorded(root: Path) -> Iterator[Recording]:
    """Record what this process does to a folder until the block ends."""
    recording = Recording(root.resolve())
    with pytest.MonkeyPatch.context() as patch:
        for name in _STEPS:
            patch.setattr(os, name, _watched(recording, name, getattr(os, name)))
        yield recording
    recording.look("returned")


def _watched(recording: Recording, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def step(*what: Any, **how: Any) -> Any:
        synced = recording.path_of(what[0]) if name == "fsync" else None
        if name != "fsync" or synced is not None:
            shown = what[0] if synced is None else synced
            recording.look(f"{name} {shown}", synced, _removed(name, what, how))
        return real(*what, **how)

    return step


def _removed(name: str, what: tuple[Any, ...], how: dict[str, Any]) -> str | None:
    """The file that a step takes away."""
    if name in ("unlink", "remove"):
        folder = f"/proc/self/fd/{how['dir_fd']}" if how.get("dir_fd") is not None else ""
        return os.path.join(folder, what[0])
    return os.fspath(what[1]) if name in ("replace", "rename") else None


@contextlib.contextmanager
def unsynced() -> Iterator[None]:
    """Nothing waits for the disk: what is tried after a cut needs no second one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


# -- what a cut leaves ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """One state that a cut may leave."""

    mode: str  # of the first way to this state
    step: int  # the cut falls before this one
    action: str
    disk: Disk
    returned: bool  # the verb had returned: what it did must last
    ways: list[str] = field(default_factory=list)  # the modes of every cut that leaves this

    def __str__(self) -> str:
        return f"{self.mode} before step {self.step} ({self.action})"


def cuts(recording: Recording) -> list[Cut]:
    """Every state that a cut before any step may leave, each once, in the order of the steps."""
    found: dict[tuple[bytes, bool], Cut] = {}
    synced = _Synced(recording.steps[0].files)
    for number, step in enumerate(recording.steps):
        returned = number == len(recording.steps) - 1
        for mode, disk in synced.after_a_cut(step.files):
            cut = found.setdefault((digest_of(disk), returned), Cut(mode, number, step.action, disk, returned))
            cut.ways.append(mode)
        if step.synced is not None:
            synced.sync(step.synced, step.files)
    return list(found.values())


Name = tuple[int, str]  # the id of a folder, and a name in it
_ROOT = 0


class _Synced:
    """Which names and which bytes would survive; whatever was there when the recording began is synced."""

    def __init__(self, files: Files) -> None:
        self.names = _names(files)
        self.bytes = {id: content for id, content in files.values()}

    def sync(self, path: str, files: Files) -> None:
        """A file's bytes, or the names in a folder, are on the disk."""
        id, content = files.get(path, (_ROOT, FOLDER))
        if content != FOLDER:
            self.bytes[id] = content
            return
        self.names = {name: there for name, there in self.names.items() if name[0] != id}
        self.names |= {name: there for name, there in _names(files).items() if name[0] == id}

    def after_a_cut(self, files: Files) -> Iterator[tuple[str, Disk]]:
        now, written = _names(files), dict(files.values())
        yield "cut", {path: content for path, (_, content) in files.items()}
        yield "power", self._disk(self.names, written, {})
        yield "torn", self._disk(now, written, {id: content[: len(content) // 2] for id, content in written.items()})
        for changed in self._pending(now, files):
            yield "reordered", self._disk(_some(self.names, now, changed), written, written)
            yield "reordered", self._disk(_some(now, self.names, changed), written, written)

    def _pending(self, now: dict[Name, int], files: Files) -> list[list[Name]]:
        """The names that are not synced; those that one file has or had belong together, as a rename is one change."""
        private = {files[path][0] for path in files if _is_private(path)}
        changed: dict[int, list[Name]] = {}
        for name in sorted(self.names.keys() | now.keys()):
            if self.names.get(name) != now.get(name) and name[0] not in private:
                changed.setdefault(now.get(name, self.names.get(name, _ROOT)), []).append(name)
        return list(changed.values())

    def _disk(self, names: Mapping[Name, int], files: Mapping[int, bytes], unsynced: Mapping[int, bytes]) -> Disk:
        """What these names lead to; bytes that were never synced are those of `unsynced`, else none."""
        children: dict[int, list[tuple[str, int]]] = {}
        for (folder, name), id in names.items():
            children.setdefault(folder, []).append((name, id))
        found, waiting = dict[str, bytes](), [("", _ROOT)]
        while waiting:
            path, folder = waiting.pop()
            for name, id in children.get(folder, []):
                below = f"{path}{name}"
                if FOLDER in (files.get(id), self.bytes.get(id)):
                    found[below] = FOLDER
                    waiting.append((f"{below}/", id))
                else:
                    found[below] = self.bytes.get(id, unsynced.get(id, b""))
        return found


def _names(files: Files) -> dict[Name, int]:
    """Where each file is listed: a folder that is renamed takes what is in it along."""
    ids = {path: id for path, (id, _) in files.items()}
    return {(ids.get(path.rpartition("/")[0], _ROOT), path.rpartition("/")[2]): id for path, id in ids.items()}


def _some(names: Mapping[Name, int], others: Mapping[Name, int], changed: list[Name]) -> dict[Name, int]:
    """`names`, but with some of them as they are among the `others`."""
    found = {name: id for name, id in names.items() if name not in changed}
    return found | {name: others[name] for name in changed if name in others}


def _is_private(path: str) -> bool:
    """Is this a store's own, of no use after a cut?"""
    return path.rpartition("/")[2] in ("tmp", "locks") or "/tmp/" in path


def digest_of(disk: Disk) -> bytes:
    """Equal for disks that hold the same."""
    content = (f"{path}\0".encode() + sha256(content).digest() for path, content in sorted(disk.items()))
    return sha256(b"".join(content)).digest()


def laid_out(disk: Disk, folder: Path) -> Path:
    """The files of a disk, in a new folder."""
    folder.mkdir(parents=True)
    for path, content in sorted(disk.items()):
        if content == FOLDER:
            (folder / path).mkdir(parents=True, exist_ok=True)
        else:
            (folder / path).write_bytes(content)
    return folder
