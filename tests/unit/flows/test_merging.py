"""Merging: what it brings along, what is a conflict and how it is settled, what is refused, and what comes after."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from helpers import Ticking, ingest, open_on, records, texts_of, vector_of
from inside import versions_of

import vecver
from vecver.errors import ConflictError, InvalidInputError, NotFoundError, SpaceMismatchError, VecverError
from vecver.flows.ingesting import shortfalls
from vecver.repo import common_ancestors, measures
from vecver.store import MemoryStore

OLD = {"a": "one", "b": "two", "c": "three"}


@pytest.fixture
def docs() -> vecver.Dataset:
    """`main` has changed b and `draft` has changed a, removed c and added d since they parted."""
    docs = open_on(MemoryStore(), clock=Ticking()).dataset("d")
    ingest(docs, OLD, label="s")
    docs.branch("draft")
    ingest(docs, {**OLD, "b": "two on main"}, label="s")
    ingest(docs, {"a": "one on draft", "b": "two", "d": "four"}, label="s", branch="draft")
    return docs


def conflicting(docs: vecver.Dataset) -> None:
    """`b` on draft says something else than on main, and `x` was added on both sides."""
    docs.upsert(records({"b": "two on draft", "x": "draft"}), branch="draft")
    docs.upsert(records({"x": "main"}))


def refused(call: Callable[[], Any], error: type[VecverError], code: str) -> VecverError:
    with pytest.raises(error) as caught:
        call()
    assert caught.value.code == code and caught.value.hint
    return caught.value


# -- what a merge brings ------------------------------------------------------------------------------


def test_each_side_keeps_what_it_changed(docs: vecver.Dataset) -> None:
    ours, theirs, base = docs.resolve("main"), docs.resolve("draft"), docs.resolve("main~1")
    plan = docs.merge("draft", dry_run=True)
    assert (plan.kind, plan.changed, docs.resolve()) == ("merge", False, ours)
    merge = docs.merge("draft")
    assert (merge.ours, merge.theirs, merge.bases, merge.names) == (ours, theirs, (base,), plan.names)
    assert merge.names == {"added": ("d",), "changed": ("a",), "removed": ("c",)} and merge.chunks["added"] == 2
    assert texts_of(docs) == {"a": "one on draft", "b": "two on main", "d": "four"}
    commit = docs.show(merge)
    assert commit.parents == (ours, theirs) and commit.message == "Merge draft" and docs.resolve("main^2") == theirs
    assert docs.search(vector_of("four"), k=1)[0].document == "d"
    assert docs.repository.check().clean and docs.resolve("draft") == theirs


def test_no_row_is_written(docs: vecver.Dataset) -> None:
    store = versions_of(docs).store
    before = set(store.list("segments/"))
    docs.merge("draft")
    assert set(store.list("segments/")) == before


def test_sources_metadata_and_titles_go_along(docs: vecver.Dataset) -> None:
    docs.upsert([{"id": "n", "text": "n", "title": "N", "year": 2020, "vector": vector_of("n")}],
                label="notes", branch="draft")  # fmt: skip
    docs.merge("draft")
    document = docs.get("n")
    assert (document.title, document.metadata, document.source) == ("N", {"year": 2020}, "notes")
    assert docs.get("d").source == "s" and docs.show().operation["places"].keys() == {"s", "notes"}
    report = ingest(docs, {"a": "one on draft", "b": "two on main"}, label="s")
    assert report.names["removed"] == ("d",), "what was merged belongs to its source, and the notes to theirs"


def test_metadata_alone_is_a_change(docs: vecver.Dataset) -> None:
    docs.upsert(records({"a": "one on draft"}, year=2020), branch="draft")
    assert docs.merge("draft").names["changed"] == ("a",)
    docs.upsert(records({"b": "two on main"}, year=2021))
    docs.upsert(records({"b": "two on main"}, year=2022), branch="draft")
    assert [each.name for each in docs.merge("draft", dry_run=True).conflicts] == ["b"]


def test_where_nothing_diverged_the_branch_moves_forward(docs: vecver.Dataset) -> None:
    docs.merge("draft")
    stood, head = docs.resolve("draft"), docs.resolve("main")
    assert docs.merge("main", branch="draft", dry_run=True).kind == "fast_forward" and docs.resolve("draft") == stood
    merge = docs.merge("main", branch="draft")
    assert (merge.kind, merge.changed, merge.commit) == ("fast_forward", True, head) and docs.resolve("draft") == head
    assert docs.moves("branch", "draft")[0].reason == "merge"
    again = docs.merge("main", branch="draft")
    assert (again.kind, again.changed, again.notes) == ("up_to_date", False, ())
    assert docs.merge(head).kind == "up_to_date"


def test_a_commit_can_be_asked_for_where_nothing_diverged(docs: vecver.Dataset) -> None:
    docs.branch("next", "draft")
    docs.upsert(records({"e": "five"}), branch="next")
    stood, theirs = docs.resolve("draft"), docs.show("next")
    merge = docs.merge("next", branch="draft", fast_forward=False, message="Both")
    commit = docs.show("draft")
    assert (merge.kind, commit.parents, commit.message) == ("merge", (stood, theirs.id), "Both")
    assert (commit.content_root, commit.vector_root) == (theirs.content_root, theirs.vector_root)


# -- conflicts ----------------------------------------------------------------------------------------


def test_conflicts_are_listed_and_change_nothing(docs: vecver.Dataset) -> None:
    conflicting(docs)
    ours = docs.resolve()
    error = refused(lambda: docs.merge("draft"), ConflictError, "merge_conflicts")
    sides = {each["name"]: (each["ours"], each["theirs"]) for each in error.context["conflicts"]}
    assert sides == {"b": ("changed", "changed"), "x": ("added", "added")} and docs.resolve() == ours
    assert "'b', 'x'" in error.message and "theirs=['b']" in error.hint
    assert {each.name for each in docs.merge("draft", dry_run=True).unsettled} == {"b", "x"}


@pytest.mark.parametrize(
    "answer, b, x",
    [
        ({"ours": True}, "two on main", "main"),
        ({"theirs": True}, "two on draft", "draft"),
        ({"theirs": "b", "ours": ["x"]}, "two on draft", "main"),
        ({"theirs": ["x"], "ours": True}, "two on main", "draft"),
    ],
)
def test_conflicts_are_settled(docs: vecver.Dataset, answer: dict[str, Any], b: str, x: str) -> None:
    conflicting(docs)
    merge = docs.merge("draft", **answer)
    texts = texts_of(docs)
    assert (texts["b"], texts["x"], texts["a"]) == (b, x, "one on draft") and not merge.unsettled
    assert docs.show().operation["settled"] == {each.name: each.settled for each in merge.conflicts}
    assert docs.repository.check().clean


def test_a_document_that_one_side_removed_and_the_other_changed(docs: vecver.Dataset) -> None:
    docs.upsert(records({"c": "three on main"}))
    docs.delete("b", branch="draft")
    plan = docs.merge("draft", dry_run=True)
    assert {each.name: (each.ours, each.theirs) for each in plan.conflicts} == {
        "b": ("changed", "removed"),
        "c": ("changed", "removed"),
    }
    merge = docs.merge("draft", theirs="b", ours="c")
    assert merge.names["removed"] == ("b",) and texts_of(docs).keys() == {"a", "c", "d"}


def test_what_both_did_alike_is_no_conflict(docs: vecver.Dataset) -> None:
    for branch in ("main", "draft"):
        docs.upsert(records({"b": "agreed", "x": "new"}), branch=branch)
        docs.delete("c", branch=branch)
    merge = docs.merge("draft")
    assert merge.conflicts == () and merge.names == {"added": ("d",), "changed": ("a",), "removed": ()}


def test_a_renamed_document_that_the_other_side_changed_is_not_lost(docs: vecver.Dataset) -> None:
    docs.delete("b", branch="draft")
    docs.upsert(records({"B": "two"}), branch="draft")
    assert [each.name for each in docs.merge("draft", dry_run=True).conflicts] == ["b"]
    docs.merge("draft", ours="b")
    assert texts_of(docs) == {"a": "one on draft", "b": "two on main", "B": "two", "d": "four"}


def test_a_document_that_two_sources_claim_is_a_conflict(docs: vecver.Dataset) -> None:
    docs.upsert(records({"x": "same"}), label="one")
    docs.upsert(records({"x": "same"}), label="two", branch="draft")
    assert [each.name for each in docs.merge("draft", dry_run=True).conflicts] == ["x"]
    docs.merge("draft", theirs=["x"])
    assert docs.get("x").source == "two"


BAD: list[tuple[dict[str, Any], type[VecverError], str]] = [
    ({"ours": ["a"]}, InvalidInputError, "no_such_conflict"),
    ({"ours": True, "theirs": True}, InvalidInputError, "conflicting_options"),
    ({"ours": ["b"], "theirs": ["b"]}, InvalidInputError, "conflicting_options"),
    ({"ours": 3}, InvalidInputError, "invalid_side"),
    ({"theirs": {"b": 1}}, InvalidInputError, "invalid_side"),
    ({"settings": "mine"}, InvalidInputError, "invalid_side"),
    ({"branch": "nowhere"}, NotFoundError, "branch_not_found"),
    ({"branch": "v1"}, NotFoundError, "branch_not_found"),
    ({"expected": "0" * 64}, ConflictError, "ref_moved"),
    ({"revision": "nowhere"}, NotFoundError, "revision_not_found"),
]


@pytest.mark.parametrize("how, error, code", BAD)
def test_what_is_refused(docs: vecver.Dataset, how: dict[str, Any], error: type[VecverError], code: str) -> None:
    docs.tag("v1")
    before = docs.branches(), docs.tags()
    refused(lambda: docs.merge(**{"revision": "draft", **how}), error, code)
    assert (docs.branches(), docs.tags()) == before


def test_a_dataset_without_versions(repository: vecver.Repository) -> None:
    refused(lambda: repository.dataset("none").merge("draft"), NotFoundError, "dataset_not_found")


def test_tags_and_aliases_stay(docs: vecver.Dataset) -> None:
    docs.tag("v1")
    docs.promote("prod")
    before = docs.tags(), docs.aliases()
    docs.merge("draft")
    docs.merge("main", branch="draft")
    assert (docs.tags(), docs.aliases()) == before


# -- recipes and settings -----------------------------------------------------------------------------


@pytest.fixture
def embedded() -> vecver.Dataset:
    """`main` and `draft` were embedded alike, and each added a document."""
    docs = open_on(MemoryStore(), clock=Ticking()).dataset("d")
    docs.upsert([{"id": "a", "text": "one"}], embedder="hashing")
    docs.branch("draft")
    for branch in ("main", "draft"):
        docs.upsert([{"id": branch, "text": branch}], branch=branch)
    return docs


def test_another_space_is_refused(docs: vecver.Dataset) -> None:
    docs.ingest(records({"a": "one"}), space="another", metric="ip", label="s", branch="draft", allow_removals=True)
    error = refused(lambda: docs.merge("draft"), SpaceMismatchError, "merge_other_space")
    assert "--embedder another" in error.hint.cli  # type: ignore[attr-defined]
    docs.branch("old", "main~1")
    assert docs.merge("draft", branch="old").kind == "fast_forward", "nothing diverged, so nothing is mixed"


def test_another_chunker_is_refused(embedded: vecver.Dataset) -> None:
    embedded.upsert([{"id": "x", "text": "x"}], branch="draft", chunker="structure", chunk_tokens=50)
    error = refused(lambda: embedded.merge("draft"), ConflictError, "merge_other_chunker")
    assert "chunk_tokens=50" in error.hint


def test_settings_are_merged_three_ways(embedded: vecver.Dataset) -> None:
    def speak(branch: str, language: str) -> None:
        embedded.ingest([{"id": "k", "text": "k"}], branch=branch, label="k", language=language)

    speak("draft", "german")
    embedded.merge("draft")
    assert embedded.show().recipe.keywords["language"] == "german"  # type: ignore[index]
    speak("main", "french")
    speak("draft", "spanish")
    plan = embedded.merge("draft", dry_run=True)
    assert [(each.kind, each.ours, each.theirs) for each in plan.unsettled] == [("keywords", "french", "spanish")]
    error = refused(lambda: embedded.merge("draft"), ConflictError, "merge_conflicts")
    assert 'settings="theirs"' in error.hint and "both changed keywords" in error.message
    embedded.merge("draft", settings="theirs")
    assert embedded.show().recipe.keywords["language"] == "spanish"  # type: ignore[index]


def test_one_label_for_two_places_is_a_conflict(docs: vecver.Dataset) -> None:
    docs.ingest(records({"p": "p"}), label="t", place={"path": "1" * 32})
    docs.ingest(records({"q": "q"}), label="t", place={"path": "2" * 32}, branch="draft")
    plan = docs.merge("draft", dry_run=True)
    assert [(each.kind, each.name) for each in plan.unsettled] == [("source", "t")]
    docs.merge("draft", settings="theirs")
    assert docs.show().operation["places"]["t"] == {"path": "2" * 32}


def test_one_source_seen_from_two_machines_is_no_conflict(docs: vecver.Dataset) -> None:
    for branch, place in (("main", "1"), ("draft", "2")):
        docs.ingest(records({branch: "p"}), label="t", branch=branch, place={"path": place * 32, "git": "3" * 32})
    assert docs.merge("draft").conflicts == ()
    assert docs.show().operation["places"]["t"] == {"path": "1" * 32, "git": "3" * 32}


# -- what comes after ---------------------------------------------------------------------------------


def test_a_merge_is_rolled_back_to_where_the_branch_stood(docs: vecver.Dataset) -> None:
    before = texts_of(docs)
    merged = docs.merge("draft")
    docs.rollback("main")
    assert texts_of(docs) == before
    again = docs.merge("draft")
    assert again.kind == "up_to_date" and merged.commit[:12] in again.notes[0]
    docs.rollback("main", merged)
    assert texts_of(docs)["a"] == "one on draft"


def test_a_note_says_what_a_rollback_took_back_and_no_other_rollback_does(docs: vecver.Dataset) -> None:
    merged = docs.merge("draft")
    docs.upsert(records({"e": "five"}))
    docs.rollback("main")  # of "e" alone
    assert docs.merge("draft").notes == ()
    docs.rollback("main", merged.ours)
    docs.upsert(records({"f": "six"}), branch="draft")
    again = docs.merge("draft")
    assert again.names["added"] == ("f",) and texts_of(docs)["a"] == "one"
    assert f"the changes up to {merged.theirs[:12]}" in again.notes[0]


def test_a_merge_keeps_what_could_not_be_read(docs: vecver.Dataset) -> None:
    versions, partial = versions_of(docs), {"read": 1}
    for branch, unreadable in (
        ("main", {"m": {"source": "m"}, "both": {"source": "m"}}),
        ("draft", {"t": {}, "both": {}}),
    ):
        kept = shortfalls.Shortfalls(unreadable, {"a": {**partial, "of": branch}, "b": {**partial, "of": branch}})
        measures.save(versions.store, docs.resolve(branch), shortfalls.KIND, kept.to_json())
    kept = shortfalls.load(versions, docs.merge("draft").commit)
    assert kept.unreadable == {"m": {"source": "m"}, "both": {"source": "m"}, "t": {}}
    assert kept.partial == {"a": {**partial, "of": "draft"}, "b": {**partial, "of": "main"}}  # draft changed a


def test_a_move_forward_is_rolled_back_to_where_the_branch_stood(docs: vecver.Dataset) -> None:
    docs.branch("next", "draft")
    for number in range(3):
        docs.upsert(records({"e": f"five {number}"}), branch="next")
    before = texts_of(docs, "draft")
    docs.merge("next", branch="draft")
    docs.rollback("draft")
    assert texts_of(docs, "draft") == before


def test_everything_that_walks_histories_walks_a_merge(docs: vecver.Dataset) -> None:
    judged = [{"vector": vector_of("four").tolist(), "documents": ["d"]}]
    docs.add_questions("judged", judged)
    old, theirs = docs.resolve("main"), docs.resolve("draft")
    merged = docs.merge("draft")
    ingest(docs, {**texts_of(docs), "e": "five"}, label="s")
    ids = [commit.id for commit in docs.log()]
    assert merged.commit in ids and theirs not in ids, "the log follows first parents"
    assert docs.diff("main~1^1", "main~1").added == ("d",) and docs.diff("main~1^2", "main~1").changed == ("b",)
    broken = docs.bisect("main~3", "main", query=vector_of("three"), expect="c", k=1)
    assert (broken.commit, broken.good) == (merged.commit, old)
    docs.eval(merged, questions="judged")
    history = docs.measure_history(questions="judged", measures=["R@10"])
    assert [each.commit for each in history] == ids
    assert docs.drift("main~2", "main").dataset == "d"
    answer = docs.search(vector_of("four"), at=merged, k=2)
    docs.optimize()
    for _ in range(2):
        docs.repository.gc(keep_last=1, grace=timedelta(0), apply=True)
    assert vecver.replay(docs.repository, answer.receipt).identical
    assert docs.repository.check().clean


def test_where_gc_deleted_the_ancestor_every_difference_is_a_conflict(docs: vecver.Dataset) -> None:
    repository = open_on(versions_of(docs).store)  # by its clock all is older than what is kept for rollbacks
    for _ in range(2):
        repository.gc(keep_last=1, grace=timedelta(0), apply=True)
    docs = repository.dataset("d")
    refused(lambda: docs.search(vector_of("one"), at="main~1"), NotFoundError, "version_forgotten")
    plan = docs.merge("draft", dry_run=True)
    assert {each.name: (each.ours, each.theirs) for each in plan.conflicts} == {
        "a": ("changed", "changed"),
        "b": ("changed", "changed"),
        "c": ("changed", "absent"),
        "d": ("absent", "changed"),
    }
    docs.merge("draft", theirs=["a", "d"], ours=True)
    assert texts_of(docs) == {"a": "one on draft", "b": "two on main", "c": "three", "d": "four"}


def test_a_branch_that_moves_during_a_merge_loses_nothing(docs: vecver.Dataset, monkeypatch: Any) -> None:
    """Another writer that has no turn lands between the comparison and the commit."""
    versions = versions_of(docs)
    save, landed = type(versions).save, list[str]()

    def overtaken(self: Any, commit: Any, layout: Any) -> str:
        if commit.operation["kind"] == "merge" and not landed:
            landed.append("y")
            draft = versions.commit(docs.resolve("main"))
            docs.branch("other", draft.id)
            docs.upsert(records({"y": "meanwhile"}), branch="other")
            docs.branch("main", "other", expected=draft.id)
        return str(save(self, commit, layout))

    monkeypatch.setattr(type(versions), "save", overtaken)
    merge = docs.merge("draft")
    assert landed and merge.ours == docs.resolve("other")
    assert texts_of(docs) == {"a": "one on draft", "b": "two on main", "d": "four", "y": "meanwhile"}
    assert docs.show().parents == (docs.resolve("other"), docs.resolve("draft"))


def test_merges_and_writers_at_once_all_land(docs: vecver.Dataset) -> None:
    for number in range(4):
        docs.branch(f"b{number}", "main")
        docs.upsert(records({f"b{number}": "merged"}), branch=f"b{number}")
    calls: list[Callable[[], object]] = [partial(docs.merge, f"b{n}") for n in range(4)]
    calls += [partial(docs.upsert, records({f"w{n}": "written"})) for n in range(4)]
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {*(f"b{n}" for n in range(4)), *(f"w{n}" for n in range(4))} <= texts_of(docs).keys()
    assert docs.repository.check().clean


# -- common ancestors ---------------------------------------------------------------------------------


def test_common_ancestors_are_found_whatever_the_clocks_said(docs: vecver.Dataset) -> None:
    """Crossed merges have two; a clock that ran an hour behind hides and adds none."""
    heads = docs.branches()
    docs.merge(heads["draft"], branch="main")
    docs.merge(heads["main"], branch="draft")
    versions = versions_of(docs)
    one, two = docs.resolve("main"), docs.resolve("draft")
    assert common_ancestors(versions.commit, [one], [two]) == sorted(heads.values())
    chain = {"r": (), "a": ("r",), "b": ("a",), "c": ("b",), "x": ("r",), "y": ("x", "a"), "z": ("y", "c")}

    class Made:
        def __init__(self, id: str) -> None:
            self.id, self.parents = id, chain[id]
            self.time = f"2026-01-01T{23 - ord(id) % 24:02}:00:00+00:00"

    load: Any = Made
    assert common_ancestors(load, ["z"], ["c"]) == ["c"]
    assert common_ancestors(load, ["y"], ["c"]) == ["a"]
    assert common_ancestors(load, ["x"], ["c"]) == ["r"]
    assert common_ancestors(load, ["z"], ["z"]) == ["z"]
