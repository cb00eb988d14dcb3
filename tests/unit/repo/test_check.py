"""Check: a sound repository is clean, and whatever is damaged in it is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from helpers import Ticking, ingest, open_on, vector_of
from inside import contents_of, store_of, versions_of
from pyroaring import BitMap

import vecver
from vecver import repo
from vecver.errors import IntegrityError, VecverError
from vecver.model import Check
from vecver.repo.objects import load_commit, path_of, save_commit
from vecver.repo.rows import index_files
from vecver.repo.rows.layout import Layout, Live, load_layout, save_layout
from vecver.repo.rows.segment import Segment
from vecver.repo.rows.segment_writer import SegmentWriter
from vecver.store import LocalStore, MemoryStore, Store

BASE = {"a": "one", "b": "two", "c": "three"}


def small(store: Store) -> vecver.Dataset:
    """A repository with every kind of object: three commits, two datasets, all kinds of refs, an index file."""
    repository = open_on(store, clock=Ticking())
    docs = repository.dataset("d")
    ingest(docs, BASE)
    ingest(docs, {**BASE, "b": "changed"})
    docs.tag("v1", "main~1")
    docs.promote("prod", "v1")
    docs.promote("prod", "main")
    docs.rollback("main")
    docs.branch("gone")
    docs.delete_branch("gone")
    docs.recall("v1", sample=2)
    ingest(repository.dataset("other"), {"x": "elsewhere"})
    folder = store.scratch()
    (folder / "index").write_bytes(b"an index")
    segment = versions_of(docs).snapshot(docs.resolve()).segments[0]
    versions_of(docs).put_derived(segment, "flat", folder / "index", {"faiss": "1"})
    folder.rmdir()
    return docs


@pytest.fixture(scope="module")
def healthy() -> dict[str, bytes]:
    store = MemoryStore()
    small(store)
    return contents_of(store)


def kind(name: str) -> str:
    return name.split("/")[0] + (":" + name.rsplit("/", 1)[1].split(".")[0] if name.startswith("segments/") else "")


# -- sound ------------------------------------------------------------------------------------------


def test_a_sound_repository_is_clean(store: Store) -> None:
    docs = small(store)
    found = docs.repository.check()
    assert found.problems == () and found.clean
    assert found.objects == len(list(store.list("")))
    assert found.bytes == sum(store.size(name) or 0 for name in store.list(""))


def test_an_empty_repository_is_clean(store: Store) -> None:
    assert open_on(store).check() == Check(1, store.size("vecver.json") or 0, ())


def test_checking_changes_nothing_and_counts_the_commits_that_it_proves(healthy: dict[str, bytes]) -> None:
    store, calls = store_of(healthy), list[tuple[str, int]]()
    repo.check(store, lambda unit, count, total=None: calls.append((unit, count)))
    assert contents_of(store) == healthy
    assert calls == [("commits", 1)] * sum(name.startswith("commits/") for name in healthy)


def test_what_no_ref_leads_to_is_no_problem(healthy: dict[str, bytes]) -> None:
    strays = {"commits/ab/abcd": b"?", "layouts/abcd": b"?", "segments/ab/segment.json": b"?", "parts/x/y": b"?"}
    assert repo.check(store_of({**healthy, **strays})).clean


# -- damaged ----------------------------------------------------------------------------------------

KINDS = ["commits", "layouts", "measures", "moves", "refs", "vecver.json",
         *(f"segments:{f}" for f in ("segment", "documents", "chunks", "vectors", "lookup", "flat"))]  # fmt: skip


def test_every_kind_of_object_is_damaged_below(healthy: dict[str, bytes]) -> None:
    assert {kind(name) for name in healthy} == set(KINDS)


def assert_named(objects: dict[str, bytes], name: str) -> None:
    """Check names the damaged object, or for one that is gone, somebody who misses it."""
    found = repo.check(store_of(objects))
    assert not found.clean, f"{name} is damaged, and nobody noticed"
    named = {problem.object for problem in found.problems}
    assert name in named or (kind(name) == "refs"), f"{name} is damaged, but what is named is {named}"


def assert_survived(objects: dict[str, bytes]) -> None:
    """Reading a damaged repository raises house errors only, and never answers from damaged bytes that it checks."""
    try:
        docs = vecver.open(store_of(objects)).dataset("d")
        docs.search(vector_of("x"), at="main", k=3)
        docs.diff("v1", "prod")
    except VecverError as error:
        assert error.code and error.hint


def flips(content: bytes) -> Iterable[int]:
    """Every place of a small object, as refs are, and some of a large one."""
    step = 1 if len(content) < 250 else len(content) // 41
    return {*range(0, len(content), step), len(content) - 1}


@pytest.mark.parametrize("damaged", KINDS)
def test_a_flipped_bit_is_named(healthy: dict[str, bytes], damaged: str) -> None:
    for name in [n for n in healthy if kind(n) == damaged][:3]:
        for place in flips(healthy[name]):
            content = bytearray(healthy[name])
            content[place] ^= 1 << place % 8
            assert_named({**healthy, name: bytes(content)}, name)


@pytest.mark.deep
def test_every_flipped_bit_of_every_object_is_named(healthy: dict[str, bytes]) -> None:
    for name in healthy:
        for place in range(len(healthy[name])):
            content = bytearray(healthy[name])
            content[place] ^= 1 << place % 8
            assert_named({**healthy, name: bytes(content)}, name)


@pytest.mark.parametrize("damaged", KINDS)
def test_what_is_cut_off_or_has_grown_is_named(healthy: dict[str, bytes], damaged: str) -> None:
    for name in [n for n in healthy if kind(n) == damaged]:
        content = healthy[name]
        for other in (b"", content[:-1], content[: len(content) // 2], content + b"\0", b"\0" * len(content)):
            objects = {**healthy, name: other}
            assert_named(objects, name)
            assert_survived(objects)


def test_what_is_gone_is_missed(healthy: dict[str, bytes]) -> None:
    unseen = set()
    for name in healthy:
        objects = {n: c for n, c in healthy.items() if n != name}
        assert_survived(objects)
        problems = repo.check(store_of(objects)).problems
        if not problems:
            unseen.add(name)
        elif kind(name) != "refs":
            assert any(p.object == name for p in problems), name
    # An index without its facts, or a measure that is gone, is none.
    assert unseen == {n for n in healthy if n.endswith("/flat.json") or n.startswith("measures/")}


def test_a_ref_that_is_lost_or_set_back_is_found_by_its_moves(healthy: dict[str, bytes]) -> None:
    store = store_of(healthy)
    refs = versions_of(open_on(store)).refs("d")
    path = refs.path("branch", "main")
    older = list(refs.log("branch", "main"))[1]
    for state in (None, b'{"commit":"%s","format":1,"move":"%s"}' % (older.after.encode(), older.previous.encode())):  # type: ignore[union-attr]
        objects = {n: c for n, c in healthy.items() if n != path} | ({path: state} if state else {})
        problems = repo.check(store_of(objects)).problems
        assert any(p.object == path for p in problems)
    assert any("deleted or set back" in p.problem for p in problems)


def test_a_move_that_lost_its_race_is_no_lost_one(healthy: dict[str, bytes]) -> None:
    store = store_of(healthy)
    versions = versions_of(open_on(store))
    before, main = set(store.list("moves/")), versions.refs("d").path("branch", "main")
    now, body = versions.resolve("d", "main"), store.get(main)
    versions.move("d", "branch", "main", before=now, after=versions.resolve("d", "v1"), reason="lost")
    store.put(main, body)  # as if the swap had failed after the move was written
    assert len(set(store.list("moves/")) - before) == 1
    assert repo.check(store).clean


MAIN, TAG = "refs/d/branches/main", "refs/d/tags/v1"


@pytest.mark.parametrize("one, other", [(TAG, MAIN), ("refs/d/aliases/prod", TAG), ("refs/other/branches/main", MAIN)])
def test_a_ref_with_the_bytes_of_another_is_named(healthy: dict[str, bytes], one: str, other: str) -> None:
    problems = repo.check(store_of({**healthy, one: healthy[other]})).problems
    assert any(p.object == one and "its log holds a move of" in p.problem for p in problems)


def test_an_object_under_another_ones_name_is_named(healthy: dict[str, bytes]) -> None:
    for folder in ("commits/", "layouts/", "moves/"):
        one, other, *_ = [name for name in healthy if name.startswith(folder)]
        assert_named({**healthy, one: healthy[other]}, one)


# -- wrong, with the right digests ------------------------------------------------------------------


def relaid(healthy: dict[str, bytes], change: Callable[[Live], Live]) -> tuple[str, ...]:
    """What check says when one segment of main's layout is described otherwise."""
    store = store_of(healthy)
    commit = open_on(store).dataset("d").resolve()
    layout = load_layout(store, commit)
    save_layout(store, commit, Layout((change(layout.segments[0]), *layout.segments[1:]), layout.roots))
    return tuple(problem.problem for problem in repo.check(store).problems)


def test_a_mask_that_lost_a_bit_is_caught_by_the_roots(healthy: dict[str, bytes]) -> None:
    def lose(chunk: int | None, document: int | None) -> Callable[[Live], Live]:
        return lambda live: Live(
            live.segment, live.chunks - BitMap([chunk or 0]) if chunk is not None else live.chunks,
            live.documents - BitMap([document or 0]) if document is not None else live.documents,
            live.chunk_count, live.document_count)  # fmt: skip

    told = [relaid(healthy, lose(1, None)), relaid(healthy, lose(None, 2))]
    assert "its rows have the content root" in told[0][0] and "its rows have the vector root" in told[0][1]
    assert "its rows have the content root" in told[1][0] and not any("vector root" in text for text in told[1])
    assert all("its counts are not those of its layout" in texts for texts in told)


def test_a_mask_of_rows_that_are_not_there_is_named(healthy: dict[str, bytes]) -> None:
    beyond = relaid(healthy, lambda live: Live(live.segment, live.chunks | BitMap([99]), live.documents, 3, 3))
    assert any("cannot be decoded" in text for text in beyond)
    more = relaid(healthy, lambda live: Live.whole(live.segment, 7, 3))
    assert "a layout counts its rows otherwise" in more


def test_a_commit_that_says_other_roots_is_named() -> None:
    store = MemoryStore()
    docs = open_on(store).dataset("d")
    ingest(docs, BASE)
    from dataclasses import replace

    commit = load_commit(store, docs.resolve())
    for lie in (
        replace(commit, content_root="0" * 64),
        replace(commit, vector_root="0" * 64),
        replace(commit, counts={}),
    ):
        save_layout(store, lie.id, load_layout(store, commit.id))
        save_commit(store, lie)
        versions_of(docs).move("d", "branch", f"b{lie.id[:8]}", before=None, after=lie.id, reason="test")
    named = [problem.problem for problem in repo.check(store).problems]
    assert len(named) == 3 and [sum(word in text for text in named) for word in ("content", "vector", "counts")] == [
        1,
        1,
        1,
    ]


def test_a_segment_whose_vectors_are_not_finite_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No door lets such vectors in; a segment that another program wrote may hold them."""
    store = MemoryStore()
    docs = open_on(store).dataset("d")
    ingest(docs, BASE)
    snapshot = versions_of(docs).snapshot(docs.resolve())
    old = snapshot.segments[0]
    monkeypatch.setattr("vecver.repo.rows.segment_writer._max_norm", lambda vectors: 1.0)
    writer = SegmentWriter(store, old.space)
    writer.add(old.documents, old.chunks, np.full_like(old.vectors, np.inf))
    segment = writer.seal()
    save_layout(store, snapshot.commit.id, Layout((Live.whole(segment.id, 3, 3),), snapshot.layout.roots))
    named = [problem.problem for problem in repo.check(store).problems]
    assert "it holds vectors that are not finite" in named


# -- derived files ----------------------------------------------------------------------------------


def test_derived_files_are_believed_only_unchanged(store: Store) -> None:
    docs = small(store)
    versions = versions_of(docs)
    segment: Segment = versions.snapshot(docs.resolve()).segments[0]
    assert versions.has_derived(segment, "flat") and not versions.has_derived(segment, "hnsw")
    found = versions.derived(segment, "flat")
    assert found and bytes(found[0]) == b"an index" and found[1]["bytes"] == 8
    assert versions.derived(segment, "hnsw") is None
    assert list(index_files.specs(store, segment.id)) == ["flat"]
    store.put(f"segments/{segment.id}/flat", b"an indeX")
    with pytest.raises(IntegrityError) as caught:
        versions.derived(segment, "flat")
    assert caught.value.code == "index_damaged"


def test_a_stamped_index_is_hashed_again_only_if_its_file_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecver.repo.rows.stamps._STAMPED_BYTES", 0)
    monkeypatch.setattr("vecver.repo.rows.stamps._FRESH_SECONDS", 0.0)
    store = LocalStore(tmp_path / "kb")
    docs = small(store)
    segment: Segment = docs._versions.snapshot(docs.resolve()).segments[0]
    assert docs._versions.derived(segment, "flat")
    stamps = json.loads((tmp_path / "kb/local/verified.json").read_bytes())
    assert [name.rsplit("/", 1)[0] for name in stamps["indexes"]] == [f"{segment.id}/flat"]
    with monkeypatch.context() as without_hashing:
        without_hashing.setattr("vecver.repo.rows.index_files.hashlib", None)
        assert docs._versions.derived(segment, "flat")
    store.put(f"segments/{segment.id}/flat", b"an indeX")
    with pytest.raises(IntegrityError):
        docs._versions.derived(segment, "flat")


def test_a_commit_is_found_by_its_digest_only(healthy: dict[str, bytes]) -> None:
    store = store_of(healthy)
    docs = open_on(store).dataset("d")
    newest = docs.resolve()
    store.put(path_of(newest), store.get(path_of(newest)).replace(b"tester", b"Tester"))
    with pytest.raises(IntegrityError) as caught:
        open_on(store).dataset("d").show()
    assert caught.value.code == "digest_mismatch"
