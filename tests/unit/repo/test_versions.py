"""Versions: drafts and their layouts, diffs, snapshots, and the verbs that move refs without moving a row."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import DIM, SPACE, Ticking, best, ingest, open_on, records, texts_of, vector_of
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import versions_of
from pyroaring import BitMap

import vecver
from vecver.digest import key
from vecver.errors import ConflictError, IntegrityError, NotFoundError
from vecver.model import Commit, Recipe, Space
from vecver.repo import Draft, NewDocument, Versions, document_id, find_absent, find_known
from vecver.repo.rows.layout import Layout, Live, layout_path, load_layout, mask_of, packed, rows_of, save_layout
from vecver.repo.rows.roots import Roots, lanes_of
from vecver.store import LocalStore, MemoryStore, Store

BASE = {"a": "one", "b": "two", "c": "three"}
corpora = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["one", "two", "three", "four"]), min_size=1)


@pytest.fixture
def docs(repository: vecver.Repository) -> vecver.Dataset:
    return repository.dataset("d")


def layout_of(docs: vecver.Dataset, at: str = "main") -> Layout:
    return versions_of(docs).snapshot(docs.resolve(at)).layout


def rows_in(layout: Layout) -> list[tuple[list[int], list[int]]]:
    """(live chunk rows, live document rows) of each segment."""
    return [(list(live.chunks), list(live.documents)) for live in layout.segments]


def segments_on(store: Store) -> set[str]:
    return {name for name in store.list("segments/")}


# -- layouts ----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sets(st.integers(0, 99)), st.sets(st.integers(0, 9))), max_size=5), st.binary())
def test_layouts_come_back(masks: list[tuple[set[int], set[int]]], row: bytes) -> None:
    store = MemoryStore()
    lives = tuple(Live(f"{i}" * 64, BitMap(c), BitMap(d), 100, 10) for i, (c, d) in enumerate(masks))
    saved = Layout(lives, Roots(lanes_of([row]), lanes_of([row, row])))
    save_layout(store, "c" * 64, saved)
    found = load_layout(store, "c" * 64)
    assert found.segments == saved.segments
    assert (found.roots.content_root, found.roots.vector_root) == (saved.roots.content_root, saved.roots.vector_root)
    assert (found.chunk_count, found.document_count) == (sum(len(c) for c, _ in masks), sum(len(d) for _, d in masks))


def test_a_layout_of_another_commit_is_refused() -> None:
    store = MemoryStore()
    save_layout(store, "a" * 64, Layout.empty())
    store.put(layout_path("b" * 64), store.get(layout_path("a" * 64)))
    with pytest.raises(IntegrityError) as caught:
        load_layout(store, "b" * 64)
    assert caught.value.code == "wrong_layout"


def test_masks() -> None:
    assert packed(mask_of([0, 1, 9]), 12).tolist() == [0b00000011, 0b00000010]
    assert rows_of(BitMap()).tolist() == [] and rows_of(mask_of(np.array([3, 1]))).tolist() == [1, 3]


def test_a_commit_writes_what_changed_and_touches_only_the_masks_it_must(docs: vecver.Dataset) -> None:
    ingest(docs, BASE)
    assert rows_in(layout_of(docs)) == [([0, 1, 2], [0, 1, 2])]
    report = ingest(docs, {"a": "one", "b": "changed", "d": "new"})
    assert rows_in(layout_of(docs)) == [([0], [0]), ([0, 1], [0, 1])]
    assert report.documents == {"added": 1, "changed": 1, "removed": 1, "unchanged": 1, "failed": 0}
    assert (report.chunks["live"], report.chunks["removed"]) == (3, 2)
    assert rows_in(layout_of(docs, "main~1")) == [([0, 1, 2], [0, 1, 2])]


def test_what_was_taken_back_is_the_old_row_again(docs: vecver.Dataset) -> None:
    ingest(docs, BASE)
    ingest(docs, {**BASE, "b": "changed"})
    ingest(docs, BASE)
    assert [chunks for chunks, _ in rows_in(layout_of(docs))] == [[0, 1, 2], []]  # only the document row is new
    assert texts_of(docs) == BASE and docs.repository.check().clean


def test_segments_without_a_live_row_leave_the_layout(docs: vecver.Dataset) -> None:
    ingest(docs, BASE)
    ingest(docs, {"x": "other"})
    assert rows_in(layout_of(docs)) == [([0], [0])]
    ingest(docs, BASE)
    assert texts_of(docs) == BASE and docs.repository.check().clean
    assert [docs.resolve("main~2") != docs.resolve(), docs.show().content_root == docs.show("main~2").content_root] == [
        True
    ] * 2


def test_an_ingest_that_changes_nothing_writes_nothing(docs: vecver.Dataset) -> None:
    first = ingest(docs, BASE)
    before = list(versions_of(docs).store.list(""))
    report = ingest(docs, BASE)
    assert (report.changed, report.commit) == (False, first.commit)
    assert list(versions_of(docs).store.list("")) == before


# -- drafts of documents with several chunks --------------------------------------------------------

THE_SPACE = Space("given:test", DIM, "ip")


def pages(*chunks: Iterable[str], titles: str = "") -> list[NewDocument]:
    """Documents p0, p1 ... with these chunks each."""
    made = []
    for number, texts in enumerate(map(list, chunks)):
        spans = [(i * 10, i * 10 + 10) for i in range(len(texts))]
        embedded = [key(text.encode()) for text in texts]
        made.append(
            NewDocument(f"p{number}", "s", "00" * 32, "00" * 16, "text/plain", titles, {}, texts, embedded, spans)
        )
    return made


def committed(docs: vecver.Dataset, documents: list[NewDocument]) -> tuple[int, int]:
    """A version with these documents beside those that were there; (rows written, rows removed)."""
    versions = versions_of(docs)
    branches = docs.branches()
    parent = versions.snapshot(branches["main"]) if branches else None
    draft = Draft(versions.store, parent, THE_SPACE)
    rows = draft.stage(documents)
    if len(rows):
        draft.add(rows, np.stack([vector_of(text) for text in rows.table.column("text").to_pylist()]))
    layout, removed = draft.finish()
    before = parent.commit.id if parent else None
    commit = Commit(
        dataset=docs.name,
        parents=(before,) if before else (),
        author="",
        message="",
        time=versions.time(),
        content_root=layout.roots.content_root,
        vector_root=layout.roots.vector_root,
        counts={"documents": layout.document_count, "chunks": layout.chunk_count},
        recipe=Recipe({"name": "given"}, {"name": "test", "given": True}, THE_SPACE),
        environment={},
        operation={},
    )
    versions.move(docs.name, "branch", "main", before=before, after=versions.save(commit, layout), reason="test")
    return len(rows), removed


def chunks_of(docs: vecver.Dataset, page: str, at: str = "main") -> list[str]:
    snapshot = versions_of(docs).snapshot(docs.resolve(at))
    table, row = snapshot.document(page)  # type: ignore[misc]
    keys = np.frombuffer(b"".join(table.column("chunks")[row].as_py()), np.uint8).reshape(-1, 16)
    return [snapshot.text(int(n), int(r)) for n, r in zip(*snapshot.find_chunks(keys), strict=True)]


def test_one_edited_paragraph_writes_one_row(docs: vecver.Dataset) -> None:
    assert committed(docs, pages("abcdefgh", "xyz")) == (11, 0)
    assert committed(docs, pages("abcDefgh")) == (1, 1)
    assert chunks_of(docs, "p0") == list("abcDefgh") and chunks_of(docs, "p0", "main~1") == list("abcdefgh")
    assert committed(docs, pages("hgfeDcba")) == (0, 0)  # another order is another document row only
    assert committed(docs, pages("abcdefgh")) == (0, 1)  # the old row is revived
    assert chunks_of(docs, "p0") == list("abcdefgh") and chunks_of(docs, "p1") == list("xyz")
    assert docs.repository.check().clean


def test_equal_paragraphs_are_rows_of_their_own(docs: vecver.Dataset) -> None:
    assert committed(docs, pages("aaa", "a")) == (4, 0)
    assert committed(docs, pages("aa")) == (0, 1)
    assert committed(docs, pages("aaaa")) == (1, 0)
    assert chunks_of(docs, "p0") == list("aaaa") and docs.show().counts == {"documents": 2, "chunks": 5}
    assert docs.repository.check().clean


def test_context_joins_neighbours(docs: vecver.Dataset) -> None:
    spans = [(0, 0), (0, 3), (3, 7), (6, 9), (10, 12), (14, 16)]
    texts = ["Title", "abc", "defg", "ghi", "kl", "op"]
    embedded = [key(text.encode()) for text in texts]
    committed(docs, [NewDocument("p", "s", "00" * 32, "00" * 16, "text/plain", "", {}, texts, embedded, spans)])
    snapshot = versions_of(docs).snapshot(docs.resolve())
    keys = snapshot.document("p")[0].column("chunks")[0].as_py()  # type: ignore[index]
    assert snapshot.context(keys[2], "p", 0) == "defg"
    assert snapshot.context(keys[2], "p", 1) == "abcdefghi"
    assert snapshot.context(keys[2], "p", 9) == "abcdefghi kl\n\nop"
    assert snapshot.context(keys[0], "p", 1) == "abc"
    assert snapshot.context(keys[0], "p", 0) == ""


def test_looking_things_up_changes_no_draft(docs: vecver.Dataset) -> None:
    committed(docs, pages("abc", "xy"))
    versions = versions_of(docs)
    parent = versions.snapshot(docs.resolve())
    draft = Draft(versions.store, parent, THE_SPACE, part_rows=1)
    assert [document is not None for document in find_known(parent, ["p1", "new", "p0"])] == [True, False, True]
    assert find_absent(parent, {document_id("p1")}, ["s"]) == [("p0", "s")]
    assert find_absent(parent, set(), ["s"]) == [("p0", "s"), ("p1", "s")] and find_absent(parent, set(), ["t"]) == []
    assert list(draft.vectors_of([key(b"a"), key(b"new")])) == [key(b"a")]
    assert draft.kept() == (5, 0) and draft.layout()[0] == parent.layout
    draft.seal()
    assert (
        parts_on(versions.store) == [] and find_known(None, ["p0"]) == [None] and find_absent(None, set(), ["s"]) == []
    )


def test_status_builds_no_draft(docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest(docs, {"a": "one", "b": "two", "c": "three"})
    monkeypatch.delattr(Versions, "draft")
    found = docs.status(records({"a": "one", "b": "other", "d": "new"}), label="records")
    assert (found["added"], found["changed"], found["removed"]) == (["d"], ["b"], ["c"])


# -- interrupted ingests ----------------------------------------------------------------------------


class Embedding:
    """Embeds each text once, and counts; breaks off after so many batches."""

    def __init__(self, store: Store, batches: int) -> None:
        self.store, self.batches, self.texts = store, batches, list[str]()

    def into(self, draft: Draft, chunks: list[str]) -> None:
        rows = draft.stage(pages(chunks))
        for start in range(0, len(rows), 4):
            piece = rows.slice(start, 4)
            names = piece.table.column("embedded").to_pylist()
            texts = dict(zip(names, piece.table.column("text").to_pylist(), strict=True))
            known = draft.vectors_of(names)
            missing = [name for name in texts if name not in known]
            if missing and not self.batches:
                raise KeyboardInterrupt
            self.batches -= 1 if missing else 0
            self.texts += [texts[name] for name in missing]
            computed = {name: vector_of(texts[name]) for name in missing}
            draft.keep(computed)
            known.update(computed)
            draft.add(piece, np.stack([known[name] for name in names]))


def parts_on(store: Store) -> list[str]:
    return list(store.list("parts/"))


def embed(store: Store, chunks: list[str], batches: int = 1000) -> list[str]:
    """One attempt at an ingest; the texts that it embedded."""
    draft, embedding = Draft(store, None, THE_SPACE, part_rows=8), Embedding(store, batches)
    try:
        embedding.into(draft, chunks)
        draft.finish()
    except KeyboardInterrupt:
        draft.seal()
    finally:
        draft.discard()
    return embedding.texts


def test_what_an_interrupted_ingest_embedded_is_found_by_the_next(store: Store) -> None:
    chunks = [f"text {i}" for i in range(40)]
    assert embed(store, chunks, batches=5) == chunks[:20]
    assert len(parts_on(store)) == 3 and segments_on(store) == set()
    assert embed(store, chunks, batches=2) == chunks[20:28]
    assert embed(store, chunks) == chunks[28:]
    assert parts_on(store) == [] and len(segments_on(store)) == 5
    assert embed(store, [*chunks, "new"]) == ["new"]
    assert parts_on(store) == []


def test_a_killed_ingest_loses_less_than_a_part(store: Store) -> None:
    """Nothing is sealed at the end, as after `kill -9`."""
    chunks = [f"text {i}" for i in range(40)]
    draft, embedding = Draft(store, None, THE_SPACE, part_rows=8), Embedding(store, 7)
    with pytest.raises(KeyboardInterrupt):
        embedding.into(draft, chunks)
    assert embedding.texts == chunks[:28]
    assert embed(store, chunks) == chunks[24:]


def test_vectors_that_were_brought_are_not_kept_twice(store: Store) -> None:
    draft = Draft(store, None, THE_SPACE, part_rows=1)
    rows = draft.stage(pages("abc"))
    draft.add(rows, np.stack([vector_of(text) for text in "abc"]))
    assert parts_on(store) == []
    draft.finish()


def test_a_damaged_part_is_embedded_again(store: Store) -> None:
    chunks = [f"text {i}" for i in range(24)]
    embed(store, chunks, batches=5)
    for name, damage in zip(parts_on(store), (b"", b"\0" * 99, None), strict=True):
        store.put(name, damage) if damage is not None else store.delete(name)
    assert embed(store, chunks) == chunks
    assert all(store.size(name) in (0, 99) for name in parts_on(store))


def test_parts_of_another_space_are_not_mixed_in(store: Store) -> None:
    embed(store, ["one"] * 1, batches=0)
    draft = Draft(store, None, Space("other", DIM, "ip"))
    embed(store, ["one", "two"], batches=1)
    assert draft.vectors_of([key(b"one")]) == {}


def test_a_part_stays_while_some_of_it_is_in_no_segment(store: Store) -> None:
    embed(store, ["one", "two", "three", "four", "five"], batches=1)
    assert embed(store, ["one", "two"]) == []
    assert len(parts_on(store)) == 1
    assert embed(store, ["one", "two", "three", "four"]) == []
    assert parts_on(store) == []


# -- diff -------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(corpora, corpora, corpora)
def test_diff_is_what_dictionaries_say(one: dict[str, str], between: dict[str, str], two: dict[str, str]) -> None:
    docs = open_on(MemoryStore()).dataset("d")
    before, _, after = ingest(docs, one), ingest(docs, between), ingest(docs, two)
    found = docs.diff(before, after)
    assert found.added == tuple(sorted(two.keys() - one.keys()))
    assert found.removed == tuple(sorted(one.keys() - two.keys()))
    assert found.changed == tuple(sorted(name for name in one.keys() & two.keys() if one[name] != two[name]))
    assert found.chunks_added == len(two.items() - one.items())
    assert found.chunks_removed == len(one.items() - two.items())
    back = docs.diff(after, before)
    assert (back.added, back.chunks_added) == (found.removed, found.chunks_removed)


def test_diff_sees_metadata_and_not_sources(docs: vecver.Dataset) -> None:
    docs.ingest(records(BASE, year=2024), space=SPACE, label="here")
    docs.ingest(
        [*records({"a": "one", "b": "two"}, year=2024), *records({"c": "three"}, year=2025)], space=SPACE, label="here"
    )
    assert str(docs.diff("main~1", "main")).splitlines() == [
        "~ c",
        "0 added, 1 changed, 0 removed documents; 0 chunks added, 0 removed",
    ]


def test_diff_of_unrelated_datasets_rows(docs: vecver.Dataset) -> None:
    """Equal segments are skipped by their ids, wherever they came from."""
    ingest(docs, BASE)
    docs.branch("twin")
    ingest(docs, {**BASE, "d": "four"}, branch="twin")
    ingest(docs, {**BASE, "d": "four"})
    assert docs.diff("twin", "main").to_json()["documents"] == {"added": [], "changed": [], "removed": []}


# -- promote, tag, roll back ------------------------------------------------------------------------


def test_moving_refs_writes_no_segment(docs: vecver.Dataset) -> None:
    ingest(docs, BASE)
    ingest(docs, {"a": "other"})
    store = versions_of(docs).store
    segments, names = segments_on(store), set(store.list(""))
    docs.promote("prod", "main~1")
    docs.promote("prod")
    docs.tag("v1")
    docs.rollback("prod")
    docs.branch("side", "v1")
    new = {name.split("/")[0] for name in set(store.list("")) - names}
    assert new == {"refs", "moves"}
    docs.rollback("main")
    assert segments_on(store) == segments
    assert {name.split("/")[0] for name in set(store.list("")) - names} == {"refs", "moves", "commits", "layouts"}
    assert texts_of(docs, "prod") == texts_of(docs) == BASE


def test_rolling_a_branch_back_twice_goes_two_back(docs: vecver.Dataset) -> None:
    versions = [{**BASE, "a": f"version {i}"} for i in range(4)]
    ids = [ingest(docs, texts).commit for texts in versions]
    docs.rollback("main")
    assert texts_of(docs) == versions[2] and docs.show().parents == (ids[3],)
    docs.rollback("main")
    assert texts_of(docs) == versions[1]
    ingest(docs, versions[3])
    docs.rollback("main")
    assert texts_of(docs) == versions[1]
    docs.rollback("main")
    assert texts_of(docs) == versions[0]
    with pytest.raises(NotFoundError) as caught:
        docs.rollback("main")
    assert caught.value.code == "nothing_before"
    docs.rollback("main", to=ids[2])
    assert texts_of(docs) == versions[2]
    assert docs.show().operation == {"kind": "rollback", "branch": "main", "from": docs.resolve("main~1"), "to": ids[2]}
    assert docs.repository.check().clean


def test_rolling_back_what_is_not_there(docs: vecver.Dataset) -> None:
    ingest(docs, BASE)
    docs.promote("prod")
    for ref in ("nope", "prod", "main"):
        with pytest.raises(NotFoundError):
            docs.rollback(ref)
    docs.tag("v1")
    with pytest.raises(ConflictError):
        docs.rollback("v1")


def test_rolling_an_alias_back_twice_goes_two_promotions_back(docs: vecver.Dataset) -> None:
    a, b, c, d = [str(ingest(docs, {"a": f"version {i}"}).commit) for i in range(4)]
    for commit in (a, b, b, c, d):
        docs.promote("prod", commit)
    assert [docs.rollback("prod").after for _ in range(2)] == [c, b]
    docs.promote("prod", d)
    assert [docs.rollback("prod").after for _ in range(2)] == [b, a]
    docs.promote("prod", c)
    docs.promote("prod", d)
    assert docs.rollback("prod", to=a).after == a
    with pytest.raises(NotFoundError):
        docs.rollback("prod")
    assert [move.reason for move in docs.moves("alias", "prod")][:4] == ["rollback", "promote", "promote", "rollback"]


to_somewhere = st.tuples(st.sampled_from(["promote", "rollback"]), st.integers(0, 3))
back = st.just(("rollback", None))
moves = st.lists(to_somewhere | back | back | st.just(("delete", None)), max_size=16)


@settings(max_examples=60, deadline=None)
@given(moves)
def test_promote_and_roll_back_are_a_stack(sequence: list[tuple[str, Any]]) -> None:
    docs = open_on(MemoryStore(), clock=Ticking()).dataset("d")
    ids = [str(ingest(docs, {"a": f"{i}"}).commit) for i in range(4)]
    stack: list[str] = []
    for verb, number in sequence:
        target = None if number is None else ids[number]
        if verb == "promote":
            docs.promote("prod", str(target))
            stack += [str(target)] if stack[-1:] != [target] else []
        elif verb == "delete" and stack:
            docs.delete_alias("prod")
            stack = []
        elif verb == "rollback" and stack and target:
            docs.rollback("prod", to=target)
            if target in stack:
                stack = stack[: len(stack) - stack[::-1].index(target)]
            else:
                stack.append(target)
        elif verb == "rollback" and len(stack) > 1:
            docs.rollback("prod")
            stack.pop()
        else:
            with pytest.raises(NotFoundError):
                docs.rollback("prod") if verb == "rollback" else docs.delete_alias("prod")
        assert docs.aliases() == ({"prod": stack[-1]} if stack else {})


# -- snapshots --------------------------------------------------------------------------------------


def test_versions_share_their_segments(docs: vecver.Dataset) -> None:
    ingest(docs, BASE)
    ingest(docs, {**BASE, "d": "four"})
    versions = versions_of(docs)
    old, new = versions.snapshot(docs.resolve("main~1")), versions.snapshot(docs.resolve())
    assert old.segments[0] is new.segments[0] and versions.snapshot(docs.resolve()) is new


def test_versions_stay_open_within_a_budget_of_bytes(store: Store) -> None:
    """A version holds its look-ups (28 bytes a chunk and document here) and masks; a segment counts once."""
    docs = open_on(store).dataset("d")
    ids = [ingest(docs, {**BASE, "d": str(turn)}).commit for turn in range(4)]
    versions = versions_of(open_on(store))
    for id in ids:
        versions.snapshot(str(id)).document("d")
    assert versions.opened.ids() == ids
    held = versions.opened.nbytes
    assert 0 < sum(versions.snapshot(str(id)).nbytes for id in ids) <= held < 4000
    versions.opened.open_bytes = held - 1
    versions.snapshot(str(docs.rollback("main").after))
    assert ids[0] not in versions.opened.ids() and ids[-1] in versions.opened.ids(), (
        "the one not asked for longest goes"
    )


def test_so_many_versions_stay_open_and_no_more(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that commits 10,000 times would else map 40,000 files, and count them at every commit."""
    monkeypatch.setattr("vecver.repo.opened.OPEN_VERSIONS", 3)
    docs = open_on(store).dataset("d")
    ids = [ingest(docs, {**BASE, "d": str(turn)}).commit for turn in range(6)]
    for id in ids:
        assert texts_of(docs, str(id))["d"] == str(ids.index(id))
    assert versions_of(docs).opened.ids() == ids[-3:]


def test_segments_are_let_go_with_the_last_snapshot(docs: vecver.Dataset) -> None:
    versions_of(docs).opened.open_bytes = 0
    for number in range(6):
        ingest(docs, {"a": f"version {number}"})
        docs.search(vector_of("x"), k=1)
    gc.collect()
    assert len(versions_of(docs).opened.ids()) == 1 and versions_of(docs).opened.segment_count <= 2


def test_files_are_unmapped_with_the_last_handle(tmp_path: Path) -> None:
    """Without the cycle collector: deleted files that stay mapped keep their room on a full disk."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("no list of mapped files here")

    def work() -> None:
        docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
        ingest(docs, {str(n): f"text {n} " * 40 for n in range(300)})
        ingest(docs, {"a": "one", "b": "two"})
        docs.search(vector_of("one"), k=2)
        docs.search(vector_of("one"), k=2, at="main~1", exact=True)
        docs.diff("main~1", "main")
        docs.recall(sample=2)
        assert str(tmp_path) in maps.read_text()

    gc.disable()
    try:
        work()
        assert str(tmp_path) not in maps.read_text()
    finally:
        gc.enable()


def test_two_hundred_commits_of_one_chunk_all_answer_right(docs: vecver.Dataset) -> None:
    texts: dict[str, str] = {}
    states = []
    for number in range(200):
        texts = {**texts, f"d{number % 60:02}": f"text {number}"}
        states.append((ingest(docs, texts), texts))
    query = vector_of("query")
    reopened = open_on(versions_of(docs).store).dataset("d")
    for report, state in [states[-1], *states[::7]]:
        assert [(h.document, h.score) for h in reopened.search(query, at=report, k=5)] == best(state, query, 5)
    newest = versions_of(reopened).snapshot(reopened.resolve())
    assert len(newest.parts) == 1 and newest.layout.chunk_count == 60
    assert texts_of(reopened) == texts
    assert reopened.repository.check().clean


def test_few_live_rows_of_a_large_segment_are_gathered_with_the_others(
    docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One large segment with one live row once kept all others from being gathered."""
    monkeypatch.setattr("vecver.repo.read.snapshot.SMALL_ROWS", 10)
    ingest(docs, {f"d{i:02}": f"text {i}" for i in range(50)})
    for number in range(3):
        ingest(docs, {"d00": "text 0", **{f"new{i}": "new" for i in range(number + 1)}})
    snapshot = versions_of(docs).snapshot(docs.resolve())
    assert len(snapshot.layout.segments) == 4 and [len(p.part.vectors) for p in snapshot.parts] == [4]
    state = {"d00": "text 0", "new0": "new", "new1": "new", "new2": "new"}
    assert [(h.document, h.score) for h in docs.search(vector_of("q"), k=9)] == best(state, vector_of("q"), 9)
