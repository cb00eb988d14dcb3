"""Stores: one contract that every store keeps, and what a local one does when its disk fails."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from buckets import bucket_in_memory

from vecver.errors import BackendError, ConflictError, InvalidInputError, NotFoundError
from vecver.store import LocalStore, MemoryStore, Store, open_store

NAMES = ["a", "deep/er/name", "caf%C3%A9/100%25", "Überschrift/日本語", "a b/c+d", "v1.0"]


class Contract:
    """What every store keeps; each subclass brings one as the fixture `store`."""

    rounds = 20  # of the race

    @pytest.mark.parametrize("name", NAMES)
    def test_what_is_put_is_there(self, store: Store, name: str) -> None:
        store.put(name, b"\0\xffbytes")
        assert store.get(name) == b"\0\xffbytes"
        assert bytes(store.map(name)) == b"\0\xffbytes"
        assert store.size(name) == 7
        assert list(store.list("")) == [name]
        place = store.path(name)
        assert place is None or place.read_bytes() == b"\0\xffbytes"

    def test_put_replaces(self, store: Store) -> None:
        store.put("x", b"old and longer")
        store.put("x", b"new")
        assert (store.get("x"), store.size("x")) == (b"new", 3)

    def test_empty_bytes_are_bytes(self, store: Store) -> None:
        store.put("x", b"")
        assert (store.get("x"), len(store.map("x")), store.size("x"), list(store.list(""))) == (b"", 0, 0, ["x"])

    def test_a_file_is_moved(self, store: Store) -> None:
        folder = store.scratch()
        (folder / "part").write_bytes(b"streamed")
        store.put("a/b", folder / "part")
        assert store.get("a/b") == b"streamed"
        assert list(folder.iterdir()) == []
        folder.rmdir()

    def test_several_files_are_moved(self, store: Store) -> None:
        folder = store.scratch()
        for name in ("one", "two"):
            (folder / name).write_text(name)
        store.put("a/one", b"old")
        store.put_all({"a/one": folder / "one", "a/two": folder / "two"})
        assert [store.get(name) for name in store.list("a/")] == [b"one", b"two"]
        assert list(folder.iterdir()) == []
        folder.rmdir()

    def test_scratch_is_private_and_no_name(self, store: Store) -> None:
        one, two = store.scratch(), store.scratch()
        (one / "part").write_bytes(b"")
        assert one != two and list(store.list("")) == []

    @pytest.mark.parametrize("name", ["x", "a", "a/b/c/d"])
    def test_missing_objects_raise_not_found(self, store: Store, name: str) -> None:
        store.put("a/b", b"1")
        for read in (store.get, store.map):
            with pytest.raises(NotFoundError) as caught:
                read(name)
            assert caught.value.code == "object_missing"
        assert store.size(name) is None and store.path(name) is None
        store.delete(name)
        assert list(store.list("")) == ["a/b"]

    def test_list_is_sorted_and_by_prefix(self, store: Store) -> None:
        for name in ("b/2", "b/10", "b/sub/1", "bb/1", "a"):
            store.put(name, b"1")
        assert list(store.list("")) == ["a", "b/10", "b/2", "b/sub/1", "bb/1"]
        assert list(store.list("b/")) == ["b/10", "b/2", "b/sub/1"]
        assert list(store.list("none/")) == []

    def test_delete(self, store: Store) -> None:
        store.put("a/b", b"1")
        store.put("a/c", b"2")
        store.delete("a/b")
        assert list(store.list("")) == ["a/c"]
        store.delete("a/c")
        store.put("a/b", b"3")
        assert store.get("a/b") == b"3"
        store.put("c", b"4")
        store.delete("c", "a/b", "none")
        assert list(store.list("")) == []

    def test_mapped_bytes_outlive_their_name(self, store: Store) -> None:
        store.put("x", b"old")
        mapped = store.map("x")
        store.put("x", b"new")
        store.delete("x")
        assert bytes(mapped) == b"old"

    def test_bytes_are_streamed_from_anywhere(self, store: Store) -> None:
        body = bytes(range(256)) * (36 << 10) + b"tail"  # more than a piece
        store.put("x", body)
        for start in (0, 1, 4 << 20, len(body) - 1, len(body), len(body) + 1):
            pieces = list(store.stream("x", start))
            assert b"".join(pieces) == body[start:] and max(map(len, pieces), default=0) < len(body)
        store.put("y", b"")
        assert list(store.stream("y")) == []
        with pytest.raises(NotFoundError) as caught:
            list(store.stream("z"))
        assert caught.value.code == "object_missing"

    @pytest.mark.parametrize("size", [1, 1000, (8 << 20) + 1])
    def test_a_hash_of_the_store_vouches_for_no_other_bytes(self, store: Store, size: int) -> None:
        body = bytes(size - 1) + b"x"
        store.put("x", body)
        assert not store.holds("x", memoryview(bytes(size))) and not store.holds("x", memoryview(body + b"x"))
        assert not store.holds("y", memoryview(body))
        assert store.holds("x", memoryview(body)) in (True, False)  # whether it has one is its own

    def test_swap(self, store: Store) -> None:
        store.swap("r", None, b"1")
        for expected in (None, b"2"):
            with pytest.raises(ConflictError) as caught:
                store.swap("r", expected, b"3")
            assert caught.value.code == "swap_lost"
        store.swap("r", b"1", b"2")
        assert store.get("r") == b"2"
        with pytest.raises(ConflictError):
            store.swap("absent", b"1", b"2")
        assert store.size("absent") is None

    def test_of_eight_threads_one_wins_each_round(self, store: Store) -> None:
        store.put("r", b"0")
        barrier = threading.Barrier(8)

        def race(writer: int) -> list[bool]:
            return [_swap_at(barrier, store, round, writer) for round in range(self.rounds)]

        with ThreadPoolExecutor(8) as pool:
            wins = list(pool.map(race, range(8)))
        assert [sum(won) for won in zip(*wins, strict=True)] == [1] * self.rounds


class TestMemoryStore(Contract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestObjectStore(Contract):
    """In obstore's own memory; `test_object_stores` has the same against services."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return bucket_in_memory(tmp_path / "cache")


class TestLocalStore(Contract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(tmp_path / "new" / "place")

    def test_nothing_is_made_before_the_first_write(self, store: LocalStore) -> None:
        assert list(store.list("")) == [] and store.size("x") is None
        assert not store.root.exists()

    def test_of_four_processes_one_wins_each_round(self, store: LocalStore) -> None:
        store.put("r", b"0")
        context = multiprocessing.get_context("fork")
        barrier, queue = context.Barrier(4), context.SimpleQueue()
        racers = [context.Process(target=_race, args=(barrier, queue, store.root, writer)) for writer in range(4)]
        for racer in racers:
            racer.start()
        wins = [queue.get() for _ in racers]
        for racer in racers:
            racer.join()
        assert [sum(won) for won in zip(*wins, strict=True)] == [1] * 20

    def test_the_folder_of_several_files_is_synced_once(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.put("a/old", b"")
        folder = store.scratch()
        for name in ("one", "two", "three"):
            (folder / name).write_text(name)
        synced: list[str] = []
        real = os.fsync
        monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.readlink(f"/proc/self/fd/{file}")), real(file)))
        store.put_all({f"a/{name}": folder / name for name in ("one", "two", "three")})
        parts = [str(folder / name) for name in ("one", "two", "three")]
        assert synced == [*parts, str(store.root / "a")]  # the files before their folder

    @pytest.mark.parametrize("fails", ["replace", "fsync"])
    @pytest.mark.parametrize("write", ["put", "put file", "swap"])
    def test_a_write_that_is_cut_off_leaves_the_old_bytes(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch, fails: str, write: str
    ) -> None:
        store.put("x", b"old")
        scratch = store.scratch()
        (scratch / "part").write_bytes(b"new")
        _break(monkeypatch, fails, errno.ENOSPC)
        with pytest.raises(BackendError) as caught:
            _write(store, write, scratch)
        assert (caught.value.code, caught.value.retryable) == ("store_full", True)
        monkeypatch.undo()
        assert store.get("x") == b"old" and list(store.list("")) == ["x"]
        _write(store, write, scratch)
        assert store.get("x") == b"new"
        assert [path for path in (store.root / "tmp").iterdir() if path != scratch] == []

    def test_a_disk_that_fails_otherwise_is_no_full_one(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _break(monkeypatch, "replace", errno.EIO)
        with pytest.raises(BackendError) as caught:
            store.put("x", b"new")
        assert (caught.value.code, caught.value.retryable) == ("store_failed", False)

    def test_a_write_is_synced_before_it_is_seen_and_its_folder_after(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.put("a/x", b"old")
        told: list[str] = []
        folder, fsync, replace = os.stat(store.root / "a").st_ino, os.fsync, os.replace

        def told_fsync(handle: int) -> None:
            told.append("sync folder" if os.fstat(handle).st_ino == folder else "sync file")
            fsync(handle)

        def told_replace(old: Path, new: Path) -> None:
            told.append("rename")
            replace(old, new)

        monkeypatch.setattr(os, "fsync", told_fsync)
        monkeypatch.setattr(os, "replace", told_replace)
        store.put("a/x", b"new")
        assert told == ["sync file", "rename", "sync folder"]

    def test_a_folder_that_is_deleted_under_a_write_is_made_again(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.put("a/x", b"old")
        replace, rounds = os.replace, iter([True, False])

        def racing(source: Path, target: Path) -> None:
            if next(rounds):
                store.delete("a/x")
            replace(source, target)

        monkeypatch.setattr(os, "replace", racing)
        store.put("a/y", b"new")
        assert list(store.list("")) == ["a/y"] and store.get("a/y") == b"new"

    def test_a_holder_that_dies_leaves_no_lock(self, store: LocalStore) -> None:
        store.put("r", b"0")
        child = multiprocessing.get_context("fork").Process(target=_die_holding, args=(store,))
        child.start()
        child.join()
        assert child.exitcode == 9
        store.swap("r", b"0", b"1")
        assert store.get("r") == b"1"

    def test_a_lock_that_is_never_released_is_an_error(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vecver.store.local.LOCK_SECONDS", 0.1)
        with store._locked(), pytest.raises(BackendError) as caught:
            LocalStore(store.root).swap("r", None, b"1")
        assert (caught.value.code, caught.value.retryable) == ("store_locked", True)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_folder_that_may_not_be_read_is_not_an_empty_one(self, store: LocalStore) -> None:
        store.put("a/x", b"1")
        (store.root / "a").chmod(0)
        with pytest.raises(BackendError):
            list(store.list(""))


# -- opening --------------------------------------------------------------------------------------


def test_open_store(tmp_path: Path) -> None:
    memory = MemoryStore()
    assert open_store(memory) is memory
    assert isinstance(open_store("memory://"), MemoryStore)
    places = [
        open_store(url).url for url in (tmp_path, str(tmp_path), f"file://{tmp_path}", f"file://{tmp_path}/a%20b")
    ]
    assert places == [str(tmp_path)] * 3 + [f"{tmp_path}/a b"]
    with pytest.raises(InvalidInputError) as caught:
        open_store("gopher://kb")
    assert caught.value.code == "unknown_store"


# -- helpers --------------------------------------------------------------------------------------


def _swap_at(barrier: Any, store: Store, round: int, writer: int) -> bool:
    """Try to swap the value that this round began with. Returns whether this writer won."""
    barrier.wait()
    seen = store.get("r")
    barrier.wait()
    try:
        store.swap("r", seen, json.dumps([round, writer]).encode())
    except ConflictError:
        return False
    return True


def _race(barrier: Any, queue: Any, root: Path, writer: int) -> None:
    store = LocalStore(root)
    queue.put([_swap_at(barrier, store, round, writer) for round in range(20)])


def _die_holding(store: LocalStore) -> None:
    with store._locked():
        os._exit(9)


def _break(monkeypatch: pytest.MonkeyPatch, function: str, number: int) -> None:
    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, function, fail)


def _write(store: LocalStore, how: str, scratch: Path) -> None:
    writes: dict[str, Callable[[], None]] = {
        "put": lambda: store.put("x", b"new"),
        "put file": lambda: store.put("x", scratch / "part"),
        "swap": lambda: store.swap("x", b"old", b"new"),
    }
    writes[how]()


def test_scratch_of_killed_writers_is_swept(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "kb")
    dead, living = store.scratch(), store.scratch()
    for folder in (dead, living):
        (folder / "vectors.npy").write_bytes(b"half")
        long_ago = time.time() - 2 * 24 * 3600
        os.utime(folder, (long_ago, long_ago))
    os.utime(dead / "vectors.npy", (long_ago, long_ago))
    part, new_part = store.root / "tmp/part-1", store.root / "tmp/part-2"
    for file in (part, new_part):
        file.write_bytes(b"half")
    os.utime(part, (long_ago, long_ago))
    store.scratch()
    assert not dead.exists() and living.exists() and not part.exists() and new_part.exists()


def test_a_folder_tells_that_a_name_in_it_was_put_or_deleted(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "kb")
    assert store.folder_stamp("m/c/") == store.folder_stamp("m/c/"), "nothing is there yet, which is an answer too"
    before = store.folder_stamp("m/c/")
    store.put("m/c/one", b"1")
    assert store.folder_stamp("m/c/") is None, "another change might have the same time"
    stamps = [_aged(store, "m/c/", 9)]
    store.put("m/c/one", b"2")
    stamps.append(_aged(store, "m/c/", 8))
    store.delete("m/c/one")
    store.put("m/c/two", b"3")
    stamps.append(_aged(store, "m/c/", 7))
    assert len({before, *stamps}) == 4 and store.folder_stamp("m/c/") == stamps[-1]


def _aged(store: LocalStore, prefix: str, seconds: int) -> object:
    """The stamp of a folder, as if it had been changed so long ago, if it was changed just now."""
    if time.time() - os.stat(store.root / prefix).st_mtime < 5:
        os.utime(store.root / prefix, (time.time() - seconds,) * 2)
    return store.folder_stamp(prefix)
