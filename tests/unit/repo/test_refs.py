"""Refs: moved only from where the mover saw them, every move kept, names used once where they must be."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from helpers import ingest, open_on
from inside import versions_of

import vecver
from vecver import repo
from vecver.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from vecver.repo.refs.refs import KINDS, Kind, Refs
from vecver.store import LocalStore, MemoryStore, Store

GOOD = [
    "a",
    "main",
    "2026-06",
    "v1.0",
    "release_1+2",
    "Überschrift",
    "日本語",
    "x" * 100,
    "日" * 26,
    "a.b-c",
    "_x",
    "9",
]
BAD = ["", ".", "..", ".a", "a.", "a..b", "-a", "a/b", "../a", "a b", "a\n", "a~1", "a^", "a@{1}", "git:1", "a\0",
       "%41", "x" * 101, "日" * 100, "😀"]  # fmt: skip


def refs(store: Store | None = None) -> Refs:
    return Refs(store or MemoryStore(), "data.set")


def move(refs: Refs, before: str | None, after: str | None, *, kind: Kind = "branch", name: str = "main") -> Any:
    return refs.move(
        kind, name, before=before, after=after, author="me", time="2026-01-01T00:00:00.000000+00:00", reason="r"
    )


def create(refs: Refs, kind: Kind, name: str, commit: str = "c1") -> Any:
    return refs.create(kind, name, commit, author="me", time="2026-01-01T00:00:00.000000+00:00", reason="r")


# -- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GOOD)
def test_good_names(store: Store, kind: Kind, name: str) -> None:
    create(refs(store), kind, name)
    assert refs(store).all(kind) == {name: "c1"}
    assert refs(store).find(name) == (kind, "c1")


@pytest.mark.parametrize("name", BAD)
def test_bad_names(store: Store, name: str) -> None:
    create(refs(store), "branch", "main")
    for make in (create, lambda r, k, n: move(r, None, "c1", kind=k, name=n)):
        with pytest.raises(InvalidInputError) as caught:
            make(refs(store), "branch", name)
        assert caught.value.code == "invalid_name"
    assert refs(store).find(name) is None and list(refs(store).log("branch", name)) == []
    assert refs(store).all("branch") == {"main": "c1"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_a_name_is_taken_by_every_kind(kind: Kind, other: Kind) -> None:
    ours = refs()
    create(ours, kind, "x")
    with pytest.raises(ConflictError) as caught:
        create(ours, other, "x", "c2")
    assert (caught.value.code, caught.value.context["kind"]) == ("name_taken", kind)
    assert ours.find("x") == (kind, "c1")


@pytest.mark.parametrize("other", KINDS)
def test_a_deleted_tags_name_is_never_used_again(other: Kind) -> None:
    ours = refs()
    create(ours, "tag", "v1")
    move(ours, "c1", None, kind="tag", name="v1")
    with pytest.raises(ConflictError) as caught:
        create(ours, other, "v1")
    assert caught.value.code == "tag_fixed"
    assert ours.find("v1") is None and ours.all("tag") == {}


def test_a_deleted_branchs_name_may_be_used_again_and_its_log_goes_on() -> None:
    ours = refs()
    create(ours, "branch", "x")
    move(ours, "c1", None, name="x")
    create(ours, "branch", "x", "c2")
    assert [(m.before, m.after) for m in ours.log("branch", "x")] == [(None, "c2"), ("c1", None), (None, "c1")]


def test_datasets_do_not_see_each_other() -> None:
    store = MemoryStore()
    create(Refs(store, "a"), "branch", "main", "c1")
    assert Refs(store, "b").find("main") is None
    create(Refs(store, "b"), "tag", "main", "c2")
    assert Refs(store, "a").find("main") == ("branch", "c1")


# -- moving -----------------------------------------------------------------------------------------


def test_a_ref_moves_only_from_where_it_was_seen(store: Store) -> None:
    ours = refs(store)
    move(ours, None, "c1")
    for before in (None, "c0"):
        with pytest.raises(ConflictError) as caught:
            move(ours, before, "c2")
        assert (caught.value.code, caught.value.context["found"]) == ("ref_moved", "c1")
    move(ours, "c1", "c2")
    move(ours, "c2", "c1")
    assert ours.get("branch", "main") == "c1"
    assert [(m.before, m.after) for m in ours.log("branch", "main")] == [("c2", "c1"), ("c1", "c2"), (None, "c1")]


def test_a_move_that_another_overtakes_is_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between reading the ref and swapping it; even when the other came back to the same commit."""
    ours, theirs = refs(store := MemoryStore()), refs(store)
    move(ours, None, "c1")
    put = store.put

    def overtaken(name: str, data: bytes | Path) -> None:
        monkeypatch.setattr(store, "put", put)
        move(theirs, "c1", "c9")
        move(theirs, "c9", "c1")
        put(name, data)

    monkeypatch.setattr(store, "put", overtaken)
    with pytest.raises(ConflictError) as caught:
        move(ours, "c1", "c2")
    assert caught.value.code == "ref_moved"
    assert [m.after for m in ours.log("branch", "main")] == ["c1", "c9", "c1"]


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"commit":"c","format":1}', b"null"])
def test_a_ref_that_cannot_be_read_is_no_absent_one(damage: bytes) -> None:
    store = MemoryStore()
    move(refs(store), None, "c1")
    store.put(refs().path("branch", "main"), damage)
    for look in (lambda: refs(store).get("branch", "main"), lambda: refs(store).all("branch")):
        with pytest.raises(IntegrityError):
            look()


def test_a_move_of_a_later_format_is_refused() -> None:
    store = MemoryStore()
    move(refs(store), None, "c1")
    store.put(refs().path("branch", "main"), b'{"commit":"c1","format":2,"move":"x"}')
    with pytest.raises(IntegrityError) as caught:
        refs(store).get("branch", "main")
    assert caught.value.code == "unknown_format"


# -- races ------------------------------------------------------------------------------------------

WRITERS, ROUNDS = 4, 6


def commit_in_rounds(store: Store, writer: int) -> tuple[list[str], int]:
    """Add a document of one's own, again and again; the documents that made it, and how often somebody was faster."""
    docs = open_on(store, author=f"w{writer}").dataset("d")
    made, lost = [], 0
    for round in range(ROUNDS):
        name = f"w{writer}-{round}"
        while True:
            try:
                docs.ingest(
                    [{"id": name, "text": name, "vector": [1.0, float(round)]}],
                    space="s",
                    keep_missing=True,
                    label=name,
                )
                break
            except ConflictError as error:
                assert error.code in ("ref_moved", "name_taken"), error.code
                lost += 1
        made.append(name)
    return made, lost


def assert_no_update_was_lost(docs: vecver.Dataset, results: list[tuple[list[str], int]]) -> None:
    assert docs.documents() == sorted(name for made, _ in results for name in made)
    commits = list(docs.log())
    assert len(commits) == WRITERS * ROUNDS
    assert [c.counts["documents"] for c in commits] == list(range(WRITERS * ROUNDS, 0, -1))
    log = docs.moves("branch", "main")
    assert [m.after for m in log] == [c.id for c in commits] and log[-1].before is None
    assert all(newer.before == older.after for newer, older in pairwise(log))
    assert docs.repository.check().clean


def test_threads_that_commit_to_one_branch_lose_nothing(store: Store) -> None:
    open_on(store)
    with ThreadPoolExecutor(WRITERS) as pool:
        results = list(pool.map(lambda writer: commit_in_rounds(store, writer), range(WRITERS)))
    assert_no_update_was_lost(open_on(store).dataset("d"), results)


def test_processes_that_commit_to_one_branch_lose_nothing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    docs = open_on(store).dataset("d")
    context = multiprocessing.get_context("forkserver")
    with context.Pool(WRITERS) as pool:
        results = pool.starmap(commit_in_rounds, [(store, writer) for writer in range(WRITERS)])
    assert_no_update_was_lost(docs, results)


def test_the_slower_of_two_ingests_changes_nothing(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    ingest(docs, {"a": "one"})
    parent = versions_of(docs).snapshot(docs.resolve())
    ingest(docs, {"a": "two"})
    newest = docs.resolve()
    with pytest.raises(ConflictError):
        versions_of(docs).move("d", "branch", "main", before=parent.commit.id, after=parent.commit.id, reason="late")
    assert docs.resolve() == newest and len(docs.moves("branch", "main")) == 2


# -- through the front desk -------------------------------------------------------------------------


def test_tags_never_move_and_the_last_branch_stays(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    first = ingest(docs, {"a": "one"})
    docs.tag("v1")
    second = ingest(docs, {"a": "two"})
    for forbidden in (docs.tag, docs.rollback, docs.promote, docs.branch):
        with pytest.raises(ConflictError):
            forbidden("v1")
    with pytest.raises(ConflictError) as caught:
        versions_of(repository).move("d", "tag", "v1", before=first.commit, after=second.commit, reason="r")
    assert caught.value.code == "tag_fixed"
    with pytest.raises(ConflictError) as caught:
        docs.delete_branch("main")
    assert caught.value.code == "last_branch"
    docs.branch("next")
    docs.delete_branch("main")
    assert docs.branches() == {"next": second.commit}
    with pytest.raises(NotFoundError):
        docs.delete_branch("main")
    assert docs.resolve("v1") == first.commit


def test_a_repository_is_made_once(store: Store) -> None:
    repo.create(store)
    with pytest.raises(ConflictError) as caught:
        repo.create(store)
    assert caught.value.code == "repository_exists"
    assert repo.exists(store)


def test_no_repository_is_made_among_other_things(store: Store) -> None:
    store.put("thesis.txt", b"years of work")
    with pytest.raises(InvalidInputError) as caught:
        repo.create(store)
    assert caught.value.code == "not_empty"
    assert list(store.list("")) == ["thesis.txt"]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"format":1}', b'{"digest":"0","format":1,"id":"1"}', b"[]", b"\xff"])
def test_a_damaged_root_is_told_apart(store: Store, body: bytes) -> None:
    store.put("vecver.json", body)
    with pytest.raises(IntegrityError):
        vecver.open(store)


def test_one_name_made_as_two_kinds_at_once_is_never_both(repository: vecver.Repository) -> None:
    """Each writer looks again after its write; at most one keeps the name, and losing burns no tag."""
    docs = repository.dataset("d")
    ingest(docs, {"a": "text"})
    both: list[tuple[str, Any]] = [("tag", docs.tag), ("branch", docs.branch)]

    def make(kind: str, verb: Any, name: str) -> str | None:
        try:
            verb(name)
        except ConflictError:
            return None
        return kind

    with ThreadPoolExecutor(2) as threads:
        for turn in range(30):
            name = f"n{turn}"
            made = [*threads.map(lambda pair, name=name: make(*pair, name), both)]  # type: ignore[call-arg]
            assert made.count(None) >= 1
            assert [name in docs.tags(), name in docs.branches()] == ["tag" in made, "branch" in made]
            if made == [None, None]:
                docs.tag(name)


@pytest.mark.parametrize("verb", ["promote", "rollback", "delete", "branch"])
def test_a_ref_is_moved_only_from_where_its_mover_expects_it(repository: vecver.Repository, verb: str) -> None:
    docs = repository.dataset("d")
    first, second, third = (str(ingest(docs, {"a": text}).commit) for text in ("one", "two", "three"))
    docs.branch("work", second)
    docs.promote("prod", first, expected="absent")
    docs.promote("prod", second, expected=first)
    moves: dict[str, Any] = {
        "promote": lambda expected: docs.promote("prod", third, expected=expected),
        "rollback": lambda expected: docs.rollback("prod", expected=expected),
        "delete": lambda expected: docs.delete_alias("prod", expected=expected),
        "branch": lambda expected: docs.branch("work", third, expected=expected),
    }
    for wrong in (first, "absent", "f" * 64):
        with pytest.raises(ConflictError) as caught:
            moves[verb](wrong)
        assert second in (caught.value.context.get("found"), caught.value.context.get("commit"))
    assert docs.aliases() == {"prod": second} and docs.branches()["work"] == second
    after = {"promote": third, "rollback": first, "delete": None, "branch": third}
    assert moves[verb](second).after == after[verb]


def test_a_tag_is_not_moved_from_where_it_is_expected(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    first, second = (str(ingest(docs, {"a": text}).commit) for text in ("one", "two"))
    docs.tag("v1", first)
    with pytest.raises(ConflictError):
        docs.tag("v1", second)
    assert docs.tags() == {"v1": first}


def test_a_repository_is_signed_by_another_author(repository: vecver.Repository) -> None:
    alice = repository.signed("alice")
    made = ingest(alice.dataset("d"), {"a": "text"}, job="7")
    docs = repository.dataset("d")
    assert docs.show(made).author == "alice" and docs.show(made).operation["job"] == "7"
    assert docs.tag("v1").author == "tester" and alice.dataset("d").promote("prod").author == "alice"
    assert "job" not in docs.show(ingest(docs, {"a": "other"})).operation
