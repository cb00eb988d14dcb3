"""Checking a remote from a repository with the same files: what is fetched, and that no damage is missed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from buckets import Watched
from helpers import ingest, open_on
from inside import versions_of

import vecver
from vecver import repo
from vecver.errors import ConflictError, InvalidInputError
from vecver.model import Check
from vecver.repo import SyncOptions
from vecver.store import LocalStore, MemoryStore, Store
from vecver.store import requests as bucket_requests
from vecver.store.clouds import Bucket
from vecver.store.object_store import ObjectStore


class Hashing(Watched):
    """A bucket in memory whose ETags are those of S3: MD5, or for objects sent in parts that of the parts."""

    part = 1 << 20

    def __init__(self) -> None:
        super().__init__(pytest.importorskip("obstore.store", reason="obstore is not installed").MemoryStore())
        self.fetched = 0

    def head(self, name: str) -> Any:
        body = bytes(self._objects.get(name).bytes())
        tag = hashlib.md5(body).hexdigest()
        if len(body) > self.part:
            parts = [body[i : i + self.part] for i in range(0, len(body), self.part)]
            tag = f"{hashlib.md5(b''.join(hashlib.md5(part).digest() for part in parts)).hexdigest()}-{len(parts)}"
        return {**super().head(name), "e_tag": f'"{tag}"'}

    def get(self, name: str, *, options: Any = None) -> Any:
        found = super().get(name, options=options)
        self.fetched += found.meta["size"]
        return found


@pytest.fixture
def here(tmp_path: Path) -> vecver.Repository:
    repository = vecver.open(tmp_path / "kb", create=True, background=False)
    ingest(repository.dataset("d"), {f"doc-{n}": f"text {n}" for n in range(300)})
    ingest(repository.dataset("d"), {f"doc-{n}": f"text {n}" for n in range(310)})
    return repository


def pushed(here: vecver.Repository, bucket: Any) -> Store:
    there = ObjectStore(Bucket(bucket, "s3://in/memory", ""), None)
    repo.push(versions_of(here), "origin", there, SyncOptions())
    return there


def check(here: vecver.Repository, there: Store) -> Check:
    return repo.check_remote(versions_of(here), there)


def files_of(store: Store) -> dict[str, bytes]:
    """The large files of segments."""
    names = (name for name in store.list("segments/") if not name.endswith(".json"))
    return {name: store.get(name) for name in names}


@pytest.mark.parametrize("part", [8 << 20, 4096])
def test_what_the_store_has_a_hash_of_is_not_fetched(
    here: vecver.Repository, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    monkeypatch.setattr(bucket_requests, "PIECE_BYTES", part)
    bucket = Hashing()
    bucket.part = part
    there = pushed(here, bucket)
    large = sum(map(len, files_of(there).values()))
    bucket.fetched = 0
    found = check(here, there)
    assert found.clean and str(large) in found.notes[0]
    assert bucket.fetched <= found.bytes - large + 2000  # what is small, some of it twice
    assert (found.objects, found.bytes) == (repo.check(there).objects, repo.check(there).bytes)


@pytest.mark.parametrize("file", ["vectors.npy", "chunks.arrow", "documents.arrow", "lookup.npy"])
def test_damage_is_found_where_the_file_here_is_sound(here: vecver.Repository, file: str) -> None:
    there = pushed(here, Hashing())
    name = next(name for name in files_of(there) if name.endswith(file))
    body = there.get(name)
    there.put(name, body[:-1] + bytes([body[-1] ^ 1]))  # the same size
    assert name in {problem.object for problem in check(here, there).problems}
    there.delete(name)
    assert ("missing", name) in [(problem.problem, problem.object) for problem in check(here, there).problems]
    there.put(name, body)
    assert check(here, there).clean


def test_damage_here_says_nothing_of_the_remote(here: vecver.Repository) -> None:
    there = pushed(here, Hashing())
    for path in Path(here.url).glob("segments/*/vectors.npy"):
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    assert check(here, there).clean and not here.check().clean


def test_a_hash_of_another_kind_proves_nothing(here: vecver.Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Azure gives it, or S3 with own keys: everything is fetched."""
    for tag in ('"0x8DC0FFEE"', f'"{"0" * 32}"', f'"{"0" * 32}-2"', None):
        bucket = Hashing()
        there = pushed(here, bucket)
        monkeypatch.setattr(bucket, "head", lambda name, b=bucket, t=tag: {**Watched.head(b, name), "e_tag": t})
        bucket.fetched = 0
        found = check(here, there)
        assert found.clean and found.notes == ()
        assert bucket.fetched >= sum(map(len, files_of(there).values()))


def test_a_file_of_a_cut_off_push_is_proved_without_fetching_it(here: vecver.Repository) -> None:
    bucket: Any = Hashing()
    source, there = versions_of(here).store, ObjectStore(Bucket(bucket, "s3://in/memory", ""), None)
    names = [name for name in source.list("segments/") if name.endswith("vectors.npy")]
    there.put("vecver.json", source.get("vecver.json"))
    there.put(names[0], source.get(names[0]))
    there.put(names[1], bytes(len(source.get(names[1]))))
    bucket.fetched = 0
    repo.push(versions_of(here), "origin", there, SyncOptions())
    assert bucket.fetched < len(source.get(names[0])) + 5000 and repo.check(there).clean


def test_a_folder_a_service_and_another_repository(here: vecver.Repository, tmp_path: Path) -> None:
    here.add_remote("origin", tmp_path / "team")
    here.push()
    assert here.check(remote="origin").clean and here.check(remote="origin").notes == ()
    name = next(iter(files_of(LocalStore(tmp_path / "team"))))
    (tmp_path / "team" / name).write_bytes(b"x")
    assert not here.check(remote="origin").clean
    here.add_remote("service", "http://localhost:1")
    with pytest.raises(InvalidInputError, match="is a service"):
        here.check(remote="service")
    with pytest.raises(InvalidInputError, match="a remote is checked by itself"):
        here.check(remote="origin", repair=True)
    other = MemoryStore()
    repo.create(other)
    with pytest.raises(ConflictError, match="another repository"):
        check(open_on(MemoryStore()), other)
