"""Rows that were altered, in files of unchanged size, are never answered from; see `repo.rows.verifier`."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from helpers import ingest, open_on, overwrite, texts_of, vector_of
from inside import versions_of

import vecver
from vecver.errors import IntegrityError, InvalidInputError
from vecver.repo.rows import stamps, verifier
from vecver.repo.rows.segment import Segment
from vecver.repo.rows.segment_files import FILES
from vecver.settings import load_settings
from vecver.store import LocalStore, MemoryStore, Store

TEXTS = {"a": "one", "b": "two", "c": "three"}


@pytest.fixture
def kb(tmp_path: Path) -> Path:
    ingest(open_on(LocalStore(tmp_path / "kb")).dataset("d"), TEXTS)
    return tmp_path / "kb"


def file_of(kb: Path, file: str) -> Path:
    (found,) = kb.glob(f"segments/*/{file}")
    return found


def alter(path: Path) -> bytes:
    """Flip a bit of a row, in place; returns what was there before."""
    content = path.read_bytes()
    changed = bytearray(content)
    changed[-1 if path.suffix == ".npy" else len(content) // 2] ^= 1
    overwrite(path, bytes(changed))
    return content


def ask(repository: vecver.Repository, **how: Any) -> vecver.Answer:
    return repository.dataset("d").search(vector_of("one"), **how)


def state(repository: vecver.Repository) -> str:
    return str(ask(repository).receipt["verified"])


@pytest.mark.parametrize("file", FILES)
def test_an_altered_file_is_not_answered_from(kb: Path, file: str) -> None:
    before = alter(file_of(kb, file))
    repository = vecver.open(kb)
    docs = repository.dataset("d")
    for verb in (lambda: ask(repository), lambda: ask(repository, exact=True), lambda: texts_of(docs)):
        with pytest.raises(IntegrityError) as caught:
            verb()
        assert (caught.value.code, file in caught.value.message) == ("digest_mismatch", True)
    overwrite(file_of(kb, file), before)
    assert state(repository) == "once", "the same process sees that it was restored"


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_altered_while_it_is_open_is_seen(kb: Path, file: str) -> None:
    repository = vecver.open(kb)
    assert state(repository) == "once"
    alter(file_of(kb, file))
    time.sleep(2 * verifier._LOOK_SECONDS)
    with pytest.raises(IntegrityError):
        ask(repository)


def test_what_is_replaced_or_deleted_stays_mapped_as_it_was(kb: Path) -> None:
    repository = vecver.open(kb)
    answer = ask(repository)
    path = file_of(kb, "vectors.npy")
    other = path.with_name("other")
    other.write_bytes(b"?" * path.stat().st_size)
    os.replace(other, path)
    assert ask(repository).receipt == answer.receipt
    path.unlink()
    assert ask(repository).receipt == answer.receipt


def test_rows_in_memory_are_verified_too() -> None:
    store = MemoryStore()
    ingest(open_on(store).dataset("d"), TEXTS)
    (name,) = [name for name in store.list("segments/") if name.endswith("vectors.npy")]
    store.put(name, store.get(name)[:-1] + b"?")
    with pytest.raises(IntegrityError):
        ask(open_on(store))


def test_a_large_file_is_hashed_beside_the_answers(kb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "AT_ONCE", 0)
    hashed, hold = Segment.verify, [True]

    def slow(segment: Segment) -> None:
        while hold[0]:
            time.sleep(0.001)
        hashed(segment)

    monkeypatch.setattr(Segment, "verify", slow)
    repository = vecver.open(kb)
    assert state(repository) == "pending"
    assert vecver.replay(vecver.open(kb, verify="never"), ask(repository).receipt).identical
    hold[0] = False
    repository.settle()
    assert state(repository) == "once"

    alter(file_of(kb, "vectors.npy"))
    hold[0] = True
    again = vecver.open(kb)
    receipt = ask(again).receipt
    assert receipt["verified"] == "pending"
    hold[0] = False
    with pytest.raises(IntegrityError):
        again.settle()
    for _ in range(3):
        with pytest.raises(IntegrityError):
            ask(again)
    with pytest.raises(IntegrityError):
        vecver.replay(vecver.open(kb), receipt)


def test_the_mode_is_honoured_and_said(kb: Path) -> None:
    for mode in ("once", "always", "never"):
        assert state(vecver.open(kb, verify=mode)) == mode
    alter(file_of(kb, "vectors.npy"))
    ask(vecver.open(kb, verify="never"))
    with pytest.raises(IntegrityError):
        ask(vecver.open(kb, verify="always"))
    with pytest.raises(InvalidInputError):
        vecver.open(kb, verify="sometimes")  # type: ignore[arg-type]


def test_settings_say_when_to_verify(tmp_path: Path) -> None:
    assert load_settings({}, tmp_path).verify == "once"
    assert load_settings({"VECVER_VERIFY": "always"}, tmp_path).verify == "always"
    with pytest.raises(InvalidInputError) as caught:
        load_settings({"VECVER_VERIFY": "yes"}, tmp_path)
    assert caught.value.code == "invalid_settings"


def test_other_processes_reuse_what_was_verified(kb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamps, "_STAMPED_BYTES", 0)
    monkeypatch.setattr(stamps, "_FRESH_SECONDS", 0.0)
    hashed = list[str]()
    real = Segment.verify
    monkeypatch.setattr(Segment, "verify", lambda segment: (hashed.append(segment.id), real(segment))[1])
    for _ in range(3):
        assert state(vecver.open(kb)) == "once"
    assert len(hashed) == 1
    assert state(vecver.open(kb, verify="always")) == "always" and len(hashed) == 2

    verified = kb / "local/verified.json"
    for damage in (b"", b"[]", b'{"segments": {"x": 1}}', b'{"segments": []}'):
        verified.write_bytes(damage)
        assert state(vecver.open(kb)) == "once"
    assert len(hashed) == 6 and vecver.open(kb).check().clean

    path = file_of(kb, "vectors.npy")
    info = path.stat()
    alter(path)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))  # as a tool would that hides it
    with pytest.raises(IntegrityError):
        ask(vecver.open(kb))


def test_where_no_stamp_can_be_written_every_process_verifies(kb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamps, "_STAMPED_BYTES", 0)
    monkeypatch.setattr(stamps, "_FRESH_SECONDS", 0.0)
    shutil.rmtree(kb / "local")
    (kb / "local").write_bytes(b"in the way")
    assert state(vecver.open(kb)) == "once"


def test_altered_vectors_are_not_sealed_under_a_fresh_digest(kb: Path) -> None:
    """Otherwise, reusing or folding them would give them a new, valid digest."""
    docs = vecver.open(kb).dataset("d")
    ingest(docs, {**TEXTS, "d": "four"})
    snapshot = versions_of(docs).snapshot(docs.resolve())
    names = [name.tobytes() for segment in snapshot.segments for name in segment.embedded]
    space = snapshot.commit.recipe.space
    assert len(versions_of(docs).draft(None, space).vectors_of(names)) == 4
    first = versions_of(docs).layout(docs.resolve("main~1")).segments[0].segment
    alter(kb / f"segments/{first}/vectors.npy")
    docs = vecver.open(kb).dataset("d")
    assert len(versions_of(docs).draft(None, space).vectors_of(names)) == 1, "the others are embedded again"
    with pytest.raises(IntegrityError):
        docs.optimize()
    with pytest.raises(IntegrityError):
        ingest(docs, {**TEXTS, "e": "five"})
    (kb / f"segments/{first}/vectors.npy").unlink()
    assert {problem.object for problem in vecver.open(kb).check().problems} == {
        f"segments/{first}/vectors.npy",
        *(f"commits/{id[:2]}/{id}" for id in (docs.resolve(), docs.resolve("main~1"))),
    }


def test_a_segment_of_another_store_is_read_as_before(store: Store) -> None:
    docs = open_on(store).dataset("d")
    for number in range(12):  # folds on the way
        ingest(docs, {str(i): f"text {i}" for i in range(number + 1)})
    assert docs.search(vector_of("text 3"), k=1).receipt["verified"] == "once"
    assert docs.repository.check().clean
