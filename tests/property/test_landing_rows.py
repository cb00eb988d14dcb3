"""Landing: a change made on an old parent gets the rows and roots that it would have on the new one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from helpers import open_on, texts_of, vector_of
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import versions_of
from landing import THE_SPACE, add, overtaken

import vecver
from vecver.digest import key
from vecver.errors import ConflictError
from vecver.model import Commit, Recipe
from vecver.repo import Draft, NewDocument, Snapshot, Versions
from vecver.repo.rows.layout import Layout
from vecver.repo.rows.proof import Proof
from vecver.repo.rows.segment import Segment
from vecver.store import MemoryStore


@pytest.fixture
def docs() -> vecver.Dataset:
    return open_on(MemoryStore()).dataset("d")


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
    versions, before = versions_of(docs), docs.branches().get("main")
    commit = Commit(
        docs.name, (before,) if before else (), "", "", versions.time(), layout.roots.content_root,
        layout.roots.vector_root, {"documents": layout.document_count, "chunks": layout.chunk_count},
        Recipe({"name": "given"}, {"name": "test", "given": True}, THE_SPACE), {}, {},
    )  # fmt: skip
    versions.move(docs.name, "branch", "main", before=before, after=versions.save(commit, layout), reason="test")
    return commit.id


def head(docs: vecver.Dataset) -> Snapshot | None:
    return versions_of(docs).newest_layout(docs.resolve()) if docs.branches() else None


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
        committed(docs, drafted(versions_of(docs), head(docs), texts).layout()[0])
    for _ in range(2 if collected else 0):  # so that nobody else lists the rows that only older versions had
        docs.repository.gc(keep_last=1, grace=timedelta(0), apply=True)
    draft = drafted(versions_of(docs), head(docs), mine)
    for texts in after:
        others = {name.upper(): chunks for name, chunks in texts.items()}
        committed(docs, drafted(versions_of(docs), head(docs), others).layout()[0])
    if optimized and docs.branches():
        docs.optimize()
    there = head(docs)
    fresh, _ = drafted(versions_of(docs), there, mine).layout()
    layout, _ = draft.onto(there).layout() if there else draft.layout()
    proved = Proof(lambda id: Segment(versions_of(docs).store, id)).roots(layout)
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
    relay = versions_of(docs).fold(docs.resolve(), small=3)
    assert relay and len(relay.sources) > 1
    relay.write()
    relay.compare()
    later = str(add(docs, {"c": "three"}, "y").commit)
    revived = str(add(docs, {"a": "one", "b": "two"}, "x").commit)
    relay.follow([revived, later])
    assert versions_of(docs).switch(relay) == 2
    folded = relay.segments[0].id
    lain = [[live.segment for live in versions_of(docs).layout(id).segments] for id in (revived, later, f"{later}")]
    assert folded not in lain[0] and folded in lain[1]
    assert texts_of(docs) == {"a": "one", "b": "two", "c": "three"} and docs.repository.check().clean
