"""gc that deletes at the same moment as another gc, or while a writer writes again what is being deleted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Event, Thread
from typing import Any

import pytest
from helpers import ingest, open_on, records, texts_of
from version_histories import NO_GRACE, assert_versions_hold, history

import vecver
from vecver.errors import ConflictError, NotFoundError
from vecver.repo.maintain import trash
from vecver.repo.rows.segment_files import FILES
from vecver.store import Store


class Killed(BaseException):
    """What ends a verb as a kill would."""


class Hooked:
    """The same store; calls of some methods go to hooks, which get the method first."""

    def __init__(self, inner: Store, **hooks: Callable[..., Any]) -> None:
        self._inner, self._hooks = inner, hooks

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        hook = self._hooks.get(name)
        return method if hook is None else lambda *arguments, **how: hook(partial(method, **how), *arguments)


def add_new(store: Any) -> str:
    """Add the document "new" to the branch; the segment of its row is the same each time."""
    report = open_on(store).dataset("d").ingest(records({"new": "text"}), space="test", keep_missing=True)
    return str(report.commit)


def collect_once(store: Any) -> None:
    open_on(store).gc(grace=NO_GRACE, apply=True)


def leave_a_segment(store: Store) -> vecver.Dataset:
    """A dataset with one version, and the segment of a killed ingest, which waits to be deleted."""
    docs = open_on(store).dataset("d")
    list(history(docs, 1))

    def killed(swap: Any, name: str, *rest: Any) -> None:
        if name.startswith("refs/"):
            raise Killed
        swap(name, *rest)

    with pytest.raises(Killed):
        add_new(Hooked(store, swap=killed))
    collect_once(store)
    assert any(unit.startswith("segments/") for unit in trash.read(store).waiting)
    return docs


def test_a_slower_gc_deletes_nothing_that_was_written_again(store: Store) -> None:
    """Both gcs find what a third one condemned before it was killed; the faster one deletes it first."""
    docs = leave_a_segment(store)

    def killed(delete: Any, *names: str) -> None:
        if names:
            raise Killed

    with pytest.raises(Killed):
        collect_once(Hooked(store, delete=killed))
    landed: list[str] = []

    def overtake() -> None:
        collect_once(store)
        landed.append(add_new(store))

    faster = Thread(target=overtake)

    def late(delete: Any, *names: str) -> None:
        if not faster.ident and any(name.startswith("segments/") for name in names):
            faster.start()
            faster.join(1)  # it waits, or is done by now
        delete(*names)

    collect_once(Hooked(store, delete=late))
    faster.join()
    assert_versions_hold(docs, {landed[0]: {**texts_of(docs, "main~1"), "new": "text"}})


def test_a_segment_that_is_half_deleted_while_it_is_written_again_is_not_named(store: Store) -> None:
    """gc has deleted all of it but its vectors when the writer writes it again, and deletes those that it wrote."""
    docs = leave_a_segment(store)
    half_deleted, written, collected = Event(), Event(), Event()

    def slowly(delete: Any, *names: str) -> None:
        vectors = [name for name in names if name.endswith("/vectors.npy")]
        delete(*(name for name in names if name not in vectors))
        if vectors:
            half_deleted.set()
            written.wait(10)
            delete(*vectors)

    def collect_slowly() -> None:
        collect_once(Hooked(store, delete=slowly))
        collected.set()

    sealed: list[str] = []

    def put(method: Any, name: str, data: Any) -> None:
        method(name, data)
        sealed.append(name.replace("segment.json", FILES[-1]))

    def opened(method: Any, name: str) -> Any:
        content = method(name)
        if name in sealed:
            written.set()
            collected.wait(10)
        return content

    gc = Thread(target=collect_slowly)
    gc.start()
    assert half_deleted.wait(10)
    with pytest.raises(ConflictError) as raised:
        add_new(Hooked(store, put=put, map=opened))
    gc.join()
    assert raised.value.code == "collected"
    assert docs.repository.check().clean
    assert_versions_hold(docs, {add_new(store): {**texts_of(docs), "new": "text"}})


def test_gc_waits_for_a_deletion_of_a_branch(store: Store) -> None:
    """Two gcs once deleted the move that the deleted branch named a moment later; then its log was damaged."""
    docs = open_on(store).dataset("d")
    ingest(docs, {"a": "x"})
    docs.branch("side")

    def collect_twice() -> None:
        for _ in range(2):
            collect_once(store)

    collecting = Thread(target=collect_twice)

    def late(swap: Any, name: str, *rest: Any) -> None:
        if name.startswith("refs/") and not collecting.ident:
            collecting.start()
            collecting.join(1)  # it waits, or is done by now
        swap(name, *rest)

    open_on(Hooked(store, swap=late)).dataset("d").delete_branch("side")
    collecting.join()
    assert docs.repository.check().clean
    assert [move.after for move in docs.moves("branch", "side")] == [None, docs.resolve()]


def test_gc_plans_while_another_deletes_the_move_of_a_killed_writer(store: Store) -> None:
    """It had listed the move, and then found nothing to read."""
    docs = leave_a_segment(store)
    (stray,) = (unit for unit in trash.read(store).waiting if unit.startswith("moves/"))

    def late(get: Any, name: str) -> Any:
        if name == stray:
            collect_once(store)
        return get(name)

    collect_once(Hooked(store, get=late))
    assert store.size(stray) is None
    assert docs.repository.check().clean


def test_a_promotion_names_no_version_that_was_deleted_while_it_looked(store: Store) -> None:
    """gc had condemned the version; it deletes and buries it between the two looks of a promotion."""
    docs = open_on(store).dataset("d")
    first = str(ingest(docs, {"a": "one"}).commit)
    ingest(docs, {"a": "two"})
    docs.promote("prod", "main")
    layout = f"layouts/{first}"

    def looked(method: Any, name: str) -> Any:
        try:
            return method(name)
        finally:
            if name in (trash.NAME, layout):
                store.delete(layout)

    with pytest.raises((ConflictError, NotFoundError)):
        open_on(Hooked(store, get=looked, size=looked)).dataset("d").promote("prod", first)
    assert docs.aliases()["prod"] == docs.resolve("main")
