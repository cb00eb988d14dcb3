"""Crashes of a publisher or of Milvus: what was published is searched as before; the next publish repairs the rest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from published import Content, Doc, assert_clean, assert_right, connection_of, copied, ingest, let_go, no_pauses, opened

import vecver
from vecver.errors import BackendError, NotPublishedError
from vecver.flows.publishing import publisher as room
from vecver.repo.published import rows as rows_room
from vecver.store import LocalStore, Store

pytestmark = pytest.mark.milvus
pytest.importorskip("milvus_lite", reason="no milvus-lite: install vecver[milvus]")

A, B, C, D, E, F, G = (Doc(f"text {letter}", f"seed {letter}", 2020) for letter in "abcdefg")
VERSIONS: dict[str, Content] = {
    "v1": {"a": A, "b": B, "c": C, "d": D, "e": E},
    "v2": {"a": A, "b": B._replace(year=2021), "c": C._replace(seed="other"), "d": D._replace(text="new"), "f": F},
    "v3": {"b": B, "c": C, "d": D._replace(text="new"), "e": E, "g": G},  # b, c and e are as they were
    "v4": {letter: Doc(letter, letter, 2022) for letter in "uvwxyz"},
}
STORE_WRITES = ("put", "swap", "delete")
MILVUS_WRITES = (
    "CreateCollection", "CreateIndex", "LoadCollection", "DropCollection", "CreateAlias", "AlterAlias", "DropAlias",
    "Upsert", "Delete", "Flush",
)  # fmt: skip


class PowerFailure(BaseException):
    """Derived from BaseException, so that no `except Exception` catches it."""


class Fuse:
    """Lets so many writes pass, and does not let the next one, or what follows it; `done`: only what follows."""

    def __init__(self, left: int, *, done: bool = False) -> None:
        self.left, self.done, self.count = left, done, 0

    def __call__(self, write: Callable[[], Any]) -> Any:
        self.count += 1
        if self.count <= self.left:
            return write()
        if self.done and self.count == self.left + 1:
            write()
        return self.blow()

    def blow(self) -> Any:
        raise PowerFailure


class Tripping(Fuse):
    """Refuses one write, as a Milvus that is in trouble does, and lets all others pass."""

    def blow(self) -> Any:
        self.left = 10**9
        raise OSError("the server is on fire")


class FusedStore:
    """A store whose writes go through a fuse."""

    def __init__(self, inner: Store, fuse: Fuse) -> None:
        self.inner, self.fuse, self.url = inner, fuse, inner.url

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        return (lambda *what: self.fuse(partial(method, *what))) if name in STORE_WRITES else method


class FusedCall:
    """One gRPC method of Milvus, through a fuse; pymilvus calls it, or asks for its future."""

    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self.inner, self.fuse = inner, fuse

    def __call__(self, *what: Any, **how: Any) -> Any:
        return self.fuse(partial(self.inner, *what, **how))

    def future(self, *what: Any, **how: Any) -> Any:
        def write() -> Any:
            future = self.inner.future(*what, **how)
            future.exception()  # wait: it is done before the power fails
            return future

        return self.fuse(write)


class FusedStub:
    """pymilvus' gRPC stub, the writes through a fuse: what one call of its client does may be half done."""

    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self.inner, self.fuse = inner, fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        return FusedCall(method, self.fuse) if name in MILVUS_WRITES else method


def fused(folder: Path, fuse: Fuse) -> vecver.Dataset:
    """A handle that writes through a fuse, to the store and to Milvus."""
    docs = opened(FusedStore(LocalStore(folder), fuse))
    handler = connection_of(docs)._client._handler
    handler._stub = FusedStub(handler._stub, fuse)
    return docs


@dataclass(frozen=True)
class Case:
    """What is published, the verb that is cut off, and what is published when it got through."""

    before: tuple[str, ...]
    verb: Callable[[vecver.Dataset], Any]
    after: tuple[str, ...]
    dedicated: tuple[str, ...] = ()  # published alone as well
    few_dead: int = 4096
    vanish: bool = False  # may versions be away until the verb got through?


CASES = {
    "first": Case((), lambda docs: docs.publish("v1"), ("v1",)),
    "next": Case(("v1", "v2"), lambda docs: docs.publish("v3"), ("v1", "v2", "v3")),
    "new collection": Case(("v1", "v2"), lambda docs: docs.publish("v4"), ("v1", "v2", "v4"), few_dead=0),
    "dedicated": Case(("v1", "v2"), lambda docs: docs.publish("v2", dedicated=True), ("v1", "v2")),
    "unpublish": Case(("v1", "v2", "v3"), lambda docs: docs.unpublish("v2"), ("v1", "v3")),
    "unpublish the newest": Case(("v1", "v2"), lambda docs: docs.unpublish("v2"), ("v1",)),
    "unpublish the last": Case(("v1",), lambda docs: docs.unpublish("v1"), (), ("v1",)),
    "republish": Case(("v1", "v2"), lambda docs: docs.republish(), ("v1", "v2"), ("v2",), vanish=True),
}


@pytest.fixture(autouse=True)
def small_and_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several messages for a few rows."""
    no_pauses(monkeypatch)
    monkeypatch.setattr("vecver.index.milvus.connection._BATCH_ROWS", 2)
    monkeypatch.setattr(rows_room, "BLOCK_ROWS", 3)


def prepared(folder: Path, case: Case) -> Path:
    """A repository with all versions, of which some are published."""
    docs = opened(LocalStore(folder))
    for tag, content in VERSIONS.items():
        ingest(docs, content)
        docs.tag(tag)
    for tag in case.before:
        docs.publish(tag)
    for tag in case.dedicated:
        docs.publish(tag, dedicated=True)
    connection_of(docs).close()
    let_go(folder)
    return folder


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Case:
    case = CASES[request.param]
    monkeypatch.setattr(room, "FEW_DEAD", case.few_dead)
    return case


def cut_off(case: Case, template: Path, folder: Path, fuse: Fuse) -> Path:
    """The verb, until the fuse blows, and the files as they are at that moment."""
    work = copied(template, folder / "work")
    docs = fused(work, fuse)
    try:
        with pytest.raises(PowerFailure):
            case.verb(docs)
        return copied(work, folder / "left")
    finally:
        connection_of(docs).close()
        let_go(work)


def published_in(docs: vecver.Dataset) -> set[str]:
    """The tags that are published, in whatever collection."""
    found = set()
    for tag in VERSIONS:
        with suppress(NotPublishedError):
            docs.publication(tag)
            found.add(tag)
    return found


def assert_repaired(case: Case, left: Path) -> bool:
    """What was published is right, and the verb succeeds when repeated. Returns whether it had succeeded before."""
    docs = opened(LocalStore(left))
    found = published_in(docs)
    ended = found == set(case.after)
    kept = set(case.before) & set(case.after)
    assert case.vanish or ended or kept <= found <= {*case.before, *case.after}
    for tag in found:
        assert_right(docs, tag, VERSIONS[tag])
    assert_clean(docs, finished=False)
    with suppress(NotPublishedError):  # it is unpublished already; what was left to delete is deleted even so
        case.verb(docs)
    assert_all_there(case, docs)
    connection_of(docs).close()
    let_go(left)
    return ended


def assert_all_there(case: Case, docs: vecver.Dataset) -> None:
    """As if nothing had happened."""
    assert published_in(docs) == set(case.after)
    for tag in case.after:
        assert_right(docs, tag, VERSIONS[tag])
    assert_clean(docs)


def writes_of(case: Case, template: Path, folder: Path) -> int:
    """How many writes the verb takes, when nothing happens."""
    fuse, work = Fuse(10**9), copied(template, folder / "work")
    docs = fused(work, fuse)
    case.verb(docs)
    count = fuse.count
    assert_all_there(case, docs)
    connection_of(docs).close()
    let_go(work)
    return count


def assert_cut_off_anywhere(case: Case, folder: Path, writes: Callable[[int], range]) -> None:
    """After each of these writes the power fails; before the next one is the same, as nothing is written between."""
    template = prepared(folder / "template", case)
    count = writes_of(case, template, folder)
    assert count >= 5
    ended = [assert_repaired(case, cut_off(case, template, folder, Fuse(n, done=True))) for n in writes(count)]
    if set(case.before) != set(case.after):
        assert ended == sorted(ended), "a later failure undid what an earlier one left done"


def test_a_power_failure_after_every_fourth_write(case: Case, tmp_path: Path) -> None:
    assert_cut_off_anywhere(case, tmp_path, lambda count: range(len(case.before), count, 4))


@pytest.mark.deep
def test_a_power_failure_after_every_write(case: Case, tmp_path: Path) -> None:
    assert_cut_off_anywhere(case, tmp_path, range)


def assert_refused_anywhere(case: Case, folder: Path, writes: Callable[[int], range]) -> None:
    """The same handle is used after an error, with what it has cached by then."""
    template = prepared(folder / "template", case)
    for n in writes(writes_of(case, template, folder)):
        work, fuse = copied(template, folder / "work"), Tripping(n)
        docs = fused(work, fuse)
        with suppress(BackendError, OSError):  # of Milvus; of the store
            case.verb(docs)
        assert fuse.count > n
        for tag in published_in(docs):
            assert_right(docs, tag, VERSIONS[tag])
        with suppress(NotPublishedError):
            case.verb(docs)
        assert_all_there(case, docs)
        connection_of(docs).close()
        let_go(work)


def test_a_write_that_is_refused(tmp_path: Path) -> None:
    assert_refused_anywhere(CASES["next"], tmp_path, lambda count: range(1, count, 3))


@pytest.mark.deep
def test_every_write_that_is_refused(case: Case, tmp_path: Path) -> None:
    assert_refused_anywhere(case, tmp_path, range)
