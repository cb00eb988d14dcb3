"""Landing: writers of one branch who touch different documents all land; who touches the same is told which."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import DIM, SPACE, ingest, open_on, records, texts_of, vector_of
from hypothesis import given, settings
from hypothesis import strategies as st

import vecver
from vecver.digest import key
from vecver.errors import ConflictError
from vecver.model import Commit, Recipe, Report, Space
from vecver.repo import Draft, NewDocument, Snapshot, Versions
from vecver.repo.refs import turns
from vecver.repo.rows.layout import Layout
from vecver.repo.rows.proof import Proof
from vecver.repo.rows.segment import Segment
from vecver.store import LocalStore, MemoryStore, Store

THE_SPACE = Space("given:test", DIM, "ip")
Act = Callable[[vecver.Dataset], Any]


@pytest.fixture
def docs() -> vecver.Dataset:
    return open_on(MemoryStore()).dataset("d")


def add(docs: vecver.Dataset, texts: Mapping[str, str], label: str, *, keep: bool = False, **how: Any) -> Report:
    """These documents are all that the source has, or some of it."""
    return ingest(docs, texts, label=label, keep_missing=keep, **how)


def overtaken(docs: vecver.Dataset, rival: Act, mine: Callable[[], Any]) -> Any:
    """`mine`, before whose commit the rival lands."""
    save = Versions.save

    def late(self: Versions, *arguments: Any) -> str:
        Versions.save = save  # type: ignore[method-assign]
        rival(open_on(docs._versions.store, author="rival").dataset(docs.name))
        return save(self, *arguments)

    Versions.save = late  # type: ignore[assignment, method-assign]
    try:
        return mine()
    finally:
        Versions.save = save  # type: ignore[method-assign]


def disputed(docs: vecver.Dataset, rival: Act, mine: Callable[[], Any]) -> list[str]:
    """The documents that the conflict names; nothing of mine may have landed."""
    before: list[str] = []

    def then(theirs: vecver.Dataset) -> None:
        rival(theirs)
        before.append(theirs.resolve())

    with pytest.raises(ConflictError) as caught:
        overtaken(docs, then, mine)
    named = list(caught.value.context.get("documents", []))
    assert caught.value.code == "ref_moved" and caught.value.context["found"] == docs.resolve() == before[0]
    assert all(repr(name) in caught.value.message for name in named[:5])
    assert docs.repository.check().clean
    return named


# -- what is disputed -------------------------------------------------------------------------------


def test_who_touches_other_documents_lands_after_the_winner(docs: vecver.Dataset) -> None:
    add(docs, {"a": "one", "b": "two"}, "x")
    add(docs, {"c": "three"}, "y")
    rival = lambda other: add(other, {"c": "changed", "d": "new"}, "y")  # noqa: E731
    report = overtaken(docs, rival, lambda: add(docs, {"a": "other", "e": "five"}, "x"))
    assert texts_of(docs) == {"a": "other", "c": "changed", "d": "new", "e": "five"}
    commit = docs.show()
    assert (report.commit, report.changed, commit.author) == (commit.id, True, "tester")
    assert commit.parents == (docs.resolve("main~1"),) and docs.show("main~1").author == "rival"
    assert report.documents == {"added": 1, "changed": 1, "removed": 1, "unchanged": 0, "failed": 0}
    assert report.documents == commit.operation["documents"]
    assert report.chunks["live"] == commit.counts["chunks"] == 4 and report.chunks["removed"] == 2
    found = docs.diff("main~1", "main")
    assert (found.added, found.changed, found.removed) == (("e",), ("a",), ("b",))
    assert [move.after for move in docs.moves("branch", "main")] == [c.id for c in docs.log()]
    assert docs.repository.check().clean


RIVALS: list[tuple[str, Act, list[str]]] = [
    ("changes what I change", lambda d: add(d, {"a": "theirs"}, "x", keep=True), ["a"]),
    ("changes what I remove", lambda d: add(d, {"b": "theirs"}, "x", keep=True), ["b"]),
    ("removes what I change", lambda d: add(d, {"b": "two", "same": "s"}, "x"), ["a"]),
    ("changes what I found unchanged", lambda d: add(d, {"same": "theirs"}, "x", keep=True), ["same"]),
    ("removes what I found unchanged", lambda d: add(d, {"a": "one", "b": "two"}, "x"), ["same"]),
    ("adds what I add", lambda d: add(d, {"new": "theirs"}, "x", keep=True), ["new"]),
    ("adds it to another source", lambda d: add(d, {"new": "mine"}, "z"), ["new"]),
    ("adds to my source", lambda d: add(d, {"late": "l"}, "x", keep=True), ["late"]),
    ("does all of it", lambda d: add(d, {"a": "theirs", "new": "n", "late": "l"}, "x"), ["a", "late", "new", "same"]),
]  # fmt: skip


@pytest.mark.parametrize(("rival", "expected"), [rest for _, *rest in RIVALS], ids=[name for name, *_ in RIVALS])
def test_a_real_conflict_names_the_documents(docs: vecver.Dataset, rival: Act, expected: list[str]) -> None:
    add(docs, {"a": "one", "b": "two", "same": "s"}, "x")
    add(docs, {"c": "three"}, "y")
    assert disputed(docs, rival, lambda: add(docs, {"a": "mine", "same": "s", "new": "mine"}, "x")) == expected


def test_who_speaks_for_a_part_of_a_source_leaves_the_rest_to_others(docs: vecver.Dataset) -> None:
    add(docs, {"a": "one", "b": "two"}, "x")
    rival = lambda other: add(other, {"b": "theirs", "late": "l"}, "x", keep=True)  # noqa: E731
    overtaken(docs, rival, lambda: add(docs, {"a": "mine"}, "x", keep=True))
    assert texts_of(docs) == {"a": "mine", "b": "theirs", "late": "l"} and docs.repository.check().clean


def test_a_document_that_failed_keeps_the_version_that_it_has_by_now(docs: vecver.Dataset) -> None:
    add(docs, {"a": "one", "b": "two"}, "x")
    broken = [*records({"a": "mine"}), {"id": "b", "text": "no vector"}]
    rival = lambda other: add(other, {"b": "theirs"}, "x", keep=True)  # noqa: E731
    report = overtaken(docs, rival, lambda: docs.ingest(broken, space=SPACE, label="x"))
    assert report.documents["failed"] == 1
    assert texts_of(docs) == {"a": "mine", "b": "theirs"} and docs.repository.check().clean


def test_what_both_did_is_no_conflict_and_no_second_commit(docs: vecver.Dataset) -> None:
    add(docs, {"a": "one", "b": "two"}, "x")
    same = lambda d: add(d, {"a": "changed", "c": "new"}, "x")  # noqa: E731
    report = overtaken(docs, same, lambda: same(docs))
    assert (report.changed, report.commit) == (False, docs.resolve()) and len(list(docs.log())) == 2
    assert report.documents == {"added": 0, "changed": 0, "removed": 0, "unchanged": 2, "failed": 0}
    more = lambda d: add(d, {"a": "changed", "c": "other", "d": "more"}, "x")  # noqa: E731
    report = overtaken(docs, lambda d: add(d, {"c": "other"}, "x", keep=True), lambda: more(docs))
    assert report.names == {"added": ("d",), "changed": (), "removed": ()}
    assert texts_of(docs) == {"a": "changed", "c": "other", "d": "more"} and docs.repository.check().clean


def test_a_change_that_was_taken_back_is_none(docs: vecver.Dataset) -> None:
    add(docs, {"a": "one", "b": "two"}, "x")

    def there_and_back(other: vecver.Dataset) -> None:
        add(other, {"a": "theirs", "late": "l"}, "x")
        other.rollback("main")

    overtaken(docs, there_and_back, lambda: add(docs, {"a": "mine", "b": "two"}, "x"))
    assert texts_of(docs) == {"a": "mine", "b": "two"} and docs.repository.check().clean
    earlier = docs.resolve("main~3")
    assert disputed(docs, lambda d: d.rollback("main", to=earlier), lambda: add(docs, {"a": "next"}, "x")) == ["a"]


def test_another_space_is_a_conflict_where_documents_would_stay_in_it(docs: vecver.Dataset) -> None:
    wide = [{"id": "a", "text": "one", "vector": np.ones(3, np.float32)}]
    elsewhere = lambda d: d.ingest(wide, space="wide", label="x")  # noqa: E731
    add(docs, {"a": "one"}, "x")
    assert disputed(docs, lambda d: add(d, {"c": "three"}, "y"), lambda: elsewhere(docs)) == []
    docs.rollback("main")
    assert disputed(docs, elsewhere, lambda: add(docs, {"b": "two"}, "y")) == []
    docs.rollback("main")
    overtaken(docs, lambda d: add(d, {"c": "three"}, "y"), lambda: add(docs, {"b": "two"}, "z"))
    assert docs.documents() == ["a", "b", "c"] and docs.repository.check().clean


def test_a_branch_that_was_deleted_is_not_made_again(docs: vecver.Dataset) -> None:
    add(docs, {"a": "one"}, "x")
    docs.branch("work")
    with pytest.raises(ConflictError) as caught:
        overtaken(docs, lambda d: d.delete_branch("work"), lambda: add(docs, {"b": "two"}, "y", branch="work"))
    assert (caught.value.code, caught.value.context["found"]) == ("ref_moved", None)
    assert "work" not in docs.branches()


def test_a_name_that_is_no_branch_by_now_is_a_conflict(docs: vecver.Dataset) -> None:
    def elsewhere(other: vecver.Dataset) -> None:
        add(other, {"b": "two"}, "y", branch="other")
        other.tag("main", "other")

    with pytest.raises(ConflictError) as caught:
        overtaken(docs, elsewhere, lambda: add(docs, {"a": "one"}, "x"))
    assert caught.value.code == "name_taken" and docs.branches().keys() == {"other"}


def test_the_recipe_that_somebody_asked_for_stays_where_the_next_did_not_ask(tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    docs.ingest([{"id": "a", "text": "one"}], label="x", embedder="hashing")
    whole = lambda d: d.ingest([{"id": "b", "text": "two"}], label="y", chunker="whole")  # noqa: E731
    overtaken(docs, whole, lambda: docs.ingest([{"id": "c", "text": "three"}], label="z"))
    assert docs.documents() == ["a", "b", "c"] and docs.show().recipe.chunker["name"] == "whole"
    asked = lambda: docs.ingest([{"id": "d", "text": "four"}], label="w", chunker="structure", chunk_tokens=9)  # noqa: E731
    other = lambda d: d.ingest([{"id": "b", "text": "2"}], label="y", chunker="structure", chunk_tokens=8)  # noqa: E731
    overtaken(docs, other, asked)
    assert docs.show().recipe.chunker["max_tokens"] == 9 and docs.repository.check().clean


# -- where the rows lie -----------------------------------------------------------------------------

pages_of = st.dictionaries(st.sampled_from("pqrs"), st.lists(st.sampled_from("abcd"), min_size=1, max_size=4))


def pages(texts: Mapping[str, list[str]]) -> list[NewDocument]:
    """Documents of several chunks."""
    made = []
    for name, chunks in texts.items():
        embedded, spans = [key(text.encode()) for text in chunks], [(i, i + 1) for i in range(len(chunks))]
        digest = key(repr(chunks).encode()).hex() * 2
        made.append(NewDocument(name, "s", digest, "00" * 16, "text/plain", "", {}, chunks, embedded, spans))
    return made


def drafted(versions: Versions, parent: Snapshot | None, texts: Mapping[str, list[str]]) -> Draft:
    """A closed draft with these documents beside the parent's."""
    draft = Draft(versions.store, parent, THE_SPACE)
    rows = draft.stage(pages(texts))
    if len(rows):
        draft.add(rows, np.stack([vector_of(text) for text in rows.table.column("text").to_pylist()]))
    draft.close()
    return draft


def committed(docs: vecver.Dataset, layout: Layout) -> str:
    """A version with this layout at the head of the branch."""
    versions, before = docs._versions, docs.branches().get("main")
    commit = Commit(
        docs.name, (before,) if before else (), "", "", versions.time(), layout.roots.content_root,
        layout.roots.vector_root, {"documents": layout.document_count, "chunks": layout.chunk_count},
        Recipe({"name": "given"}, {"name": "test", "given": True}, THE_SPACE), {}, {},
    )  # fmt: skip
    versions.move(docs.name, "branch", "main", before=before, after=versions.save(commit, layout), reason="test")
    return commit.id


def head(docs: vecver.Dataset) -> Snapshot | None:
    return docs._versions.newest_layout(docs.resolve()) if docs.branches() else None


@settings(max_examples=40)
@given(st.lists(pages_of, max_size=5), pages_of, st.lists(pages_of, max_size=3), st.booleans(), st.booleans())
def test_a_change_has_the_roots_that_it_has_when_it_is_made_on_the_new_parent(
    before: list[dict[str, list[str]]],
    mine: dict[str, list[str]],
    after: list[dict[str, list[str]]],
    optimized: bool,
    collected: bool,
) -> None:
    """Chunks are kept, revived, and copied where the new layout has lost them; the documents of `after` are others."""
    docs = open_on(MemoryStore()).dataset("d")
    for texts in before:
        committed(docs, drafted(docs._versions, head(docs), texts).layout()[0])
    for _ in range(2 if collected else 0):  # so that nobody else lists the rows that only older versions had
        docs.repository.gc(keep_last=1, grace=timedelta(0), apply=True)
    draft = drafted(docs._versions, head(docs), mine)
    for texts in after:
        others = {name.upper(): chunks for name, chunks in texts.items()}
        committed(docs, drafted(docs._versions, head(docs), others).layout()[0])
    if optimized and docs.branches():
        docs.optimize()
    there = head(docs)
    fresh, _ = drafted(docs._versions, there, mine).layout()
    layout, _ = draft.onto(there).layout() if there else draft.layout()
    proved = Proof(lambda id: Segment(docs._versions.store, id)).roots(layout)
    for roots in (fresh.roots, proved):
        assert (roots.content_root, roots.vector_root) == (layout.roots.content_root, layout.roots.vector_root)
    assert (fresh.chunk_count, fresh.document_count) == (layout.chunk_count, layout.document_count)


ids, words, labels = st.sampled_from("abcd"), st.sampled_from(["one", "two", "three"]), st.sampled_from("xy")
ingests = st.tuples(labels, st.dictionaries(ids, words, min_size=1), st.booleans())
World = dict[str, tuple[str, str]]  # document -> source, text


def applied(world: World, label: str, texts: Mapping[str, str], keep: bool) -> World | None:
    """What an ingest makes of a version; None where a document is another source's."""
    if any(name in world and world[name][0] != label for name in texts):
        return None
    left = {name: one for name, one in world.items() if keep or one[0] != label}
    return {**left, **{name: (label, text) for name, text in texts.items()}}


def quarrel(before: World, now: World, label: str, texts: Mapping[str, str], keep: bool) -> list[str]:
    """The documents on which a writer from `before` and those who made `now` of it do not agree."""
    own = applied(before, label, texts, keep) or {}
    found = []
    for name in {*before, *now}:
        was, theirs, mine = before.get(name), now.get(name), own.get(name)
        spoken = name in texts or mine != was or (not keep and theirs is not None and theirs[0] == label)
        if was != theirs and spoken and mine != theirs:
            found.append(name)
    return sorted(found)


@settings(max_examples=60)
@given(st.lists(ingests, max_size=2), ingests, st.lists(ingests, min_size=1, max_size=3), st.integers(0, 9))
def test_any_two_writers_against_a_dictionary(history: list[Any], mine: Any, theirs: list[Any], tidy: int) -> None:
    docs, world = open_on(MemoryStore()).dataset("d"), World()

    def play(where: vecver.Dataset, acts: list[Any], world: World) -> World:
        for label, texts, keep in acts:
            after = applied(world, label, texts, keep)
            if after is not None:
                add(where, texts, label, keep=keep)
                world = after
        return world

    world = play(docs, history, world)
    label, texts, keep = mine
    own = applied(world, label, texts, keep)
    if own is None or own == world:
        return
    now: list[World] = []

    def rival(other: vecver.Dataset) -> None:
        now.append(play(other, theirs, world))
        if tidy == 0 and other.branches():
            other.optimize()

    wanted = {}
    try:
        report = overtaken(docs, rival, lambda: add(docs, texts, label, keep=keep))
    except ConflictError as error:
        assert error.context["documents"] == quarrel(world, now[0], label, texts, keep) != []
        wanted = now[0]
    else:
        assert quarrel(world, now[0], label, texts, keep) == []
        wanted = applied(now[0], label, texts, keep) or {}
        assert report.changed == (wanted != now[0]) and report.commit == docs.resolve()
        assert sum(report.documents[kind] for kind in ("added", "changed", "removed")) == sum(
            wanted.get(name) != now[0].get(name) for name in {*wanted, *now[0]}
        )
    assert texts_of(docs) == {name: text for name, (_, text) in wanted.items()}
    assert docs.repository.check().problems == ()


def test_a_fold_that_is_overtaken_takes_the_newer_versions_along(docs: vecver.Dataset) -> None:
    """All but those that list rows which were not copied: here one that a newer version revives."""
    add(docs, {"a": "one", "b": "two"}, "x")
    for number in range(3):
        add(docs, {"a": "one", "b": f"version {number}"}, "x")
    relay = docs._versions.fold(docs.resolve(), small=3)
    assert relay and len(relay.sources) > 1
    relay.write()
    relay.compare()
    later = str(add(docs, {"c": "three"}, "y").commit)
    revived = str(add(docs, {"a": "one", "b": "two"}, "x").commit)
    relay.follow([revived, later])
    assert docs._versions.switch(relay) == 2
    folded = relay.segments[0].id
    lain = [[live.segment for live in docs._versions.layout(id).segments] for id in (revived, later, f"{later}")]
    assert folded not in lain[0] and folded in lain[1]
    assert texts_of(docs) == {"a": "one", "b": "two", "c": "three"} and docs.repository.check().clean


# -- many ---------------------------------------------------------------------------------------------


def one_document(store: Store, writer: int) -> str | None:
    """What a writer of one document is told, if it is an error."""
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
    assert len(docs._versions.layout(docs.resolve()).segments) <= 16, "the tail is not folded"


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_64_writers_all_land_and_are_told_no_error(tmp_path: Path, kind: str) -> None:
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


def test_a_long_ingest_lands_beside_a_writer_who_never_rests(tmp_path: Path) -> None:
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
    """Not even `except Exception` may go on."""


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


def test_who_is_killed_in_its_turn_holds_up_nobody(tmp_path: Path) -> None:
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


def test_who_hangs_in_its_turn_holds_up_nobody_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SECONDS", 0.05)
    place = LocalStore(tmp_path)
    open_on(place)
    with ThreadPoolExecutor(1) as threads:
        hung = lambda _: threads.submit(one_document, place, 1).result()  # noqa: E731
        assert overtaken(open_on(place).dataset("d"), hung, lambda: one_document(place, 0)) is None
    docs = open_on(place).dataset("d")
    assert texts_of(docs) == {"w0": "text 0", "w1": "text 1"} and docs.repository.check().clean


def test_a_branch_is_rolled_back_among_writers(tmp_path: Path) -> None:
    """It waits for its turn as they do; only who says where the branch must stand is told that it moved."""
    docs = open_on(LocalStore(tmp_path)).dataset("d")
    add(docs, {"a": "one"}, "a")
    seen = docs.resolve()
    with ThreadPoolExecutor(8) as threads:
        others = [threads.submit(one_document, docs._versions.store, n) for n in range(7)]
        moved = threads.submit(lambda: docs.rollback("main", to=seen)).result()
        assert [other.result() for other in others] == [None] * 7
    assert moved.after in {commit.id for commit in docs.log()} and docs.repository.check().clean
    with pytest.raises(ConflictError):
        docs.rollback("main", expected=seen)
