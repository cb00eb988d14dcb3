"""Landing: many writers at once all land, and none that dies or hangs holds up the others."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from helpers import SPACE, open_on, records, texts_of
from inside import versions_of
from landing import add, overtaken

import vecver
from vecver.errors import ConflictError
from vecver.repo.refs import turns
from vecver.repo.refs.refs import Refs
from vecver.store import LocalStore, MemoryStore, Store


@pytest.fixture
def docs() -> vecver.Dataset:
    return open_on(MemoryStore()).dataset("d")


# -- many ---------------------------------------------------------------------------------------------


def one_document(store: Store, writer: int) -> str | None:
    """The error of a writer of one document, or None."""
    try:
        add(open_on(store, author=f"w{writer}").dataset("d"), {f"w{writer}": f"text {writer}"}, f"w{writer}")
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def assert_all_landed(store: Store, writers: int) -> None:
    docs = open_on(store).dataset("d")
    assert texts_of(docs) == {f"w{n}": f"text {n}" for n in range(writers)}
    commits = list(docs.log())
    assert [c.counts["documents"] for c in commits] == list(range(writers, 0, -1))
    assert docs.repository.check().problems == ()
    assert one_document(store, writers) is None
    assert len(versions_of(docs).layout(docs.resolve()).segments) <= 16, "the tail is not folded"


def test_a_branch_that_another_writer_makes_between_two_looks_is_there(
    docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = Refs.get

    def made_just_after(self: Refs, kind: Any, name: str) -> str | None:
        found = get(self, kind, name)
        if found is None and kind == "branch":
            monkeypatch.undo()
            add(docs, {"first": "text"}, "first")
        return found

    monkeypatch.setattr(Refs, "get", made_just_after)
    add(docs, {"second": "text"}, "second")
    assert set(texts_of(docs)) == {"first", "second"}


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_64_writers_all_land_without_an_error(tmp_path: Path, kind: str) -> None:
    """The branch does not even exist when they begin."""
    place = MemoryStore() if kind == "memory" else LocalStore(tmp_path)
    open_on(place)
    with ThreadPoolExecutor(64) as threads:
        told = list(threads.map(lambda writer: one_document(place, writer), range(64)))
    assert told == [None] * 64
    assert_all_landed(place, 64)


@pytest.mark.parametrize("writers", [8, pytest.param(64, marks=pytest.mark.deep)])
def test_processes_all_land(tmp_path: Path, writers: int) -> None:
    place = LocalStore(tmp_path)
    open_on(place)
    with multiprocessing.get_context("forkserver").Pool(writers) as pool:
        told = pool.starmap(one_document, [(place, writer) for writer in range(writers)], chunksize=1)
    assert told == [None] * writers
    assert_all_landed(place, writers)


def test_a_long_ingest_lands_beside_a_writer_that_never_pauses(tmp_path: Path) -> None:
    """While it reads its records, and until it has landed, another commits without a pause."""
    place = LocalStore(tmp_path)
    docs = open_on(place).dataset("d")
    add(docs, {"first": "f"}, "first")
    landed: list[str] = []

    def restless() -> int:
        other, number = open_on(place).dataset("d"), 0
        while not landed:
            add(other, {"small": f"version {number}"}, "small")
            number += 1
        return number

    def slowly() -> Iterator[dict[str, Any]]:
        yield from records({f"doc {n}": f"text {n}" for n in range(200)})
        while len(list(docs.log())) < 5:
            pass

    with ThreadPoolExecutor(1) as threads:
        rival = threads.submit(restless)
        try:
            report = docs.ingest(slowly(), space=SPACE, label="long")
        finally:
            landed.append("or not")
        made = rival.result()
    assert report.changed and made >= 4 and len(list(docs.log())) == made + 2
    assert {"first", "small", "doc 0", "doc 199"} <= set(docs.documents()) and docs.repository.check().clean


class PowerFailure(BaseException):
    """Derived from BaseException, so that no `except Exception` catches it."""


class Dying:
    """A store that fails at the n-th write from when it is `armed`, before or after doing it, and at all later ones."""

    def __init__(self, inner: Store, left: int, done: bool) -> None:
        self.inner, self.left, self.done, self.armed = inner, left, done, False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        return (lambda *given: self.write(method, *given)) if name in ("put", "swap", "delete") else method

    def write(self, method: Callable[..., Any], *given: Any) -> Any:
        self.left -= self.armed
        if self.left >= 0:
            return method(*given)
        if self.done and self.left == -1:
            method(*given)
        raise PowerFailure


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_power_fails_at_every_write_of_a_second_attempt(done: bool) -> None:
    theirs = {"a": "one", "b": "two", "rival": "r"}
    mine = {"a": "mine", "rival": "r", "new": "n"}
    found = []
    for number in range(100):
        place = Dying(MemoryStore(), number, done)
        docs = open_on(place).dataset("d")
        add(docs, {"a": "one", "b": "two"}, "x")

        def rival(_: Any, place: Dying = place) -> None:
            add(open_on(place.inner).dataset("d"), {"rival": "r"}, "y")
            place.armed = True

        try:
            overtaken(docs, rival, lambda docs=docs: add(docs, {"a": "mine", "new": "n"}, "x"))  # type: ignore[misc]
        except PowerFailure:
            pass
        else:
            break
        after = open_on(place.inner).dataset("d")
        found.append(texts_of(after))
        assert found[-1] in (theirs, mine) and after.repository.check().problems == ()
        add(after, {"next": "x"}, "z")
        assert texts_of(after) == {**found[-1], "next": "x"} and after.repository.check().problems == ()
    assert found == sorted(found, key=lambda one: one == mine) and len(found) >= 6 and (mine in found) == done


def test_a_killed_writer_does_not_block_the_others(tmp_path: Path) -> None:
    place = LocalStore(tmp_path)
    open_on(place)
    assert one_document(place, 0) is None
    child = os.fork()
    if not child:
        die = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
        overtaken(open_on(place).dataset("d"), die, lambda: one_document(place, 1))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert one_document(place, 1) is None
    assert_all_landed(place, 2)


def test_a_writer_that_hangs_delays_the_others_only_briefly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SECONDS", 0.05)
    place = LocalStore(tmp_path)
    open_on(place)
    with ThreadPoolExecutor(1) as threads:
        hung = lambda _: threads.submit(one_document, place, 1).result()  # noqa: E731
        assert overtaken(open_on(place).dataset("d"), hung, lambda: one_document(place, 0)) is None
    docs = open_on(place).dataset("d")
    assert texts_of(docs) == {"w0": "text 0", "w1": "text 1"} and docs.repository.check().clean


def test_a_branch_is_rolled_back_among_writers(tmp_path: Path) -> None:
    """A rollback waits for its turn like other writers; with `expected` it fails where the branch has moved."""
    docs = open_on(LocalStore(tmp_path)).dataset("d")
    add(docs, {"a": "one"}, "a")
    seen = docs.resolve()
    with ThreadPoolExecutor(8) as threads:
        others = [threads.submit(one_document, versions_of(docs).store, n) for n in range(7)]
        moved = threads.submit(lambda: docs.rollback("main", to=seen)).result()
        assert [other.result() for other in others] == [None] * 7
    assert moved.after in {commit.id for commit in docs.log()} and docs.repository.check().clean
    with pytest.raises(ConflictError):
        docs.rollback("main", expected=seen)
