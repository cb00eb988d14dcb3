"""Copies on this machine: shared, bounded, and never trusted where something else touched them."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from buckets import Watched, bucket_in_memory

from vecver.errors import BackendError
from vecver.store.cache import Cache, default_folder
from vecver.store.object_store import ObjectStore


@pytest.fixture
def bucket() -> Watched:
    memory = pytest.importorskip("obstore.store", reason="obstore is not installed").MemoryStore
    return Watched(memory())


@pytest.fixture
def store(bucket: Watched, tmp_path: Path) -> ObjectStore:
    """A store with the objects `a` and `b`, of which nothing was copied."""
    bucket_in_memory(None, bucket).put("a", b"bytes of a")
    bucket_in_memory(None, bucket).put("b", b"bytes of b")
    bucket.count.clear()
    return bucket_in_memory(tmp_path / "cache", bucket)


def copies(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "cache").glob("*/*") if path.suffix != ".json")


def test_a_fixed_name_is_fetched_once_by_all_processes(store: ObjectStore, bucket: Watched, tmp_path: Path) -> None:
    other = bucket_in_memory(tmp_path / "cache", bucket)
    for reader in (store, store, other):
        assert (bytes(reader.map("a", fixed=True)), reader.get("a", fixed=True)) == (b"bytes of a",) * 2
    assert bucket.count == {"get": 1}
    assert other.path("a") == copies(tmp_path)[0] and other.path("b") is None


def test_another_name_is_asked_for_and_not_sent_again(store: ObjectStore, bucket: Watched, tmp_path: Path) -> None:
    assert bytes(store.map("a")) == bytes(store.map("a")) == b"bytes of a"
    assert bucket.count == {"get": 2} and len(copies(tmp_path)) == 1
    bucket_in_memory(None, bucket).put("a", b"replaced")
    assert bytes(store.map("a")) == b"replaced"


@pytest.mark.parametrize("change", ["write", "replace", "touch", "truncate", "delete", "note"])
def test_a_copy_that_was_changed_by_hand_is_fetched_again(
    store: ObjectStore, bucket: Watched, tmp_path: Path, change: str
) -> None:
    store.map("a", fixed=True)
    (path,) = copies(tmp_path)
    path.chmod(0o600)
    if change == "write":
        path.write_bytes(b"bytes of A")
    elif change == "replace":
        shutil.copy(path, tmp_path / "other")
        os.replace(tmp_path / "other", path)
    elif change == "touch":
        os.utime(path, (0, 0))
    elif change == "truncate":
        os.truncate(path, 3)
    elif change == "delete":
        path.unlink()
    else:
        path.with_suffix(".json").write_text("{")
    assert bytes(store.map("a", fixed=True)) == b"bytes of a" == store.get("a", fixed=True)
    assert bucket.count == {"get": 2}


def test_it_may_be_deleted_while_it_is_mapped(store: ObjectStore, bucket: Watched, tmp_path: Path) -> None:
    mapped = store.map("a", fixed=True)
    shutil.rmtree(tmp_path / "cache")
    assert bytes(mapped) == b"bytes of a"
    assert bytes(store.map("a", fixed=True)) == b"bytes of a" and len(copies(tmp_path)) == 1


def test_what_was_used_longest_ago_goes_first(bucket: Watched, tmp_path: Path) -> None:
    plain = bucket_in_memory(None, bucket)
    for name in "abcd":
        plain.put(name, name.encode() * 1000)
    cache = Cache(tmp_path / "cache", "in memory", 2500)
    store = ObjectStore(bucket_of(bucket), cache)
    for age, name in ((300, "a"), (400, "b")):
        store.map(name, fixed=True)
        note = copies_of(store, name).with_suffix(".json")
        os.utime(note, (os.stat(note).st_mtime - age,) * 2)
    store.get("a", fixed=True)  # a use: now `b` is the one of long ago
    for name in "cd":
        store.map(name, fixed=True)
        os.utime(copies_of(store, name).with_suffix(".json"), (2e9, 2e9))
    kept = {name for name in "abcd" if store.path(name)}
    assert kept == {"c", "d"} and sum(path.stat().st_size for path in copies(tmp_path)) <= 2500


def copies_of(store: ObjectStore, name: str) -> Path:
    path = store.path(name)
    assert path
    return path


def bucket_of(objects: Any) -> Any:
    from vecver.store.clouds import Bucket

    return Bucket(objects, "s3://in/memory", "")


def test_a_full_disk_keeps_nothing_and_harms_nothing(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("vecver.store.cache.os.replace", full)
    assert bytes(store.map("a", fixed=True)) == b"bytes of a" == store.get("a", fixed=True)
    store.put("c", b"new")
    assert store.get("c") == b"new" and copies(tmp_path) == []
    monkeypatch.setattr("vecver.store.object_store._IN_MEMORY", 5)
    with pytest.raises(BackendError) as caught:
        store.map("a", fixed=True)
    assert (caught.value.code, "VECVER_CACHE" in caught.value.hint) == ("store_full", True)


def test_a_folder_that_cannot_be_written_keeps_nothing(bucket: Watched, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    store = bucket_in_memory(tmp_path / "file", bucket)
    store.put("a", b"1")
    assert bytes(store.map("a", fixed=True)) == b"1" and store.scratch().is_dir()


def test_the_uncached_store_reads_the_bucket_once_and_mends_the_copy(
    store: ObjectStore, bucket: Watched, tmp_path: Path
) -> None:
    store.map("a", fixed=True)
    bucket_in_memory(None, bucket).put("a", b"damaged")
    assert bytes(store.map("a", fixed=True)) == b"bytes of a"
    bucket.count.clear()
    fresh = store.uncached()
    assert bytes(fresh.map("a", fixed=True)) == b"damaged" == fresh.get("a", fixed=True)
    assert bucket.count == {"get": 1}
    assert store.get("a", fixed=True) == b"damaged"


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/vecver")
