"""Any histories of three clones, pushed, fetched, pulled and broken off at any operation, lose nothing.

A plain dictionary says what each version of each place holds. After every step each place is sound; a branch is where
its place put it; and at the end, once all went through, every place has every version that was pushed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from failing import Failing, PowerFailure, power_failure
from helpers import ingest, open_on, texts_of
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import versions_of

import vecver
from vecver import repo
from vecver.errors import ConflictError
from vecver.store import MemoryStore

NOW = timedelta(0)
PLACES = ("a", "b")
VERBS = {"push": repo.push, "fetch": repo.fetch, "pull": repo.pull}

edits = st.tuples(st.just("edit"), st.sampled_from(PLACES), st.sampled_from("xyz"), st.integers(0, 3))
exchanges = st.tuples(
    st.sampled_from(sorted(VERBS)), st.sampled_from(PLACES), st.none() | st.integers(0, 120), st.booleans()
)
others = st.tuples(st.sampled_from(["optimize", "gc", "gc there", "tag"]), st.sampled_from(PLACES))


class World:
    """Two clones and the place that they share; what each commit must hold."""

    def __init__(self) -> None:
        self.there = MemoryStore()
        first = open_on(MemoryStore())
        ingest(first.dataset("d"), {"a": "one"})
        repo.create(self.there, first.id)
        repo.push(versions_of(first), "origin", self.there, repo.SyncOptions())
        self.stores: dict[str, MemoryStore] = {}
        for place in PLACES:
            self.stores[place] = MemoryStore()
            vecver.clone(self.there, self.stores[place])
        self.held: dict[str, Mapping[str, str]] = {first.dataset("d").resolve(): {"a": "one"}}

    def docs(self, place: str) -> vecver.Dataset:
        return open_on(self.stores[place], author=place).dataset("d")

    def edit(self, place: str, name: str, number: int) -> None:
        docs = self.docs(place)
        texts = {**texts_of(docs), name: f"{number} by {place}"}
        if commit := ingest(docs, texts).commit:
            self.held[commit] = texts

    def exchange(self, verb: str, place: str, after: int | None, breaks_here: bool) -> None:
        """`after`: so many operations, of this store or of the other one, and the power fails."""
        here, there = self.stores[place], self.there
        broken: Any = Failing(
            here if breaks_here else there, after or 10**9, done=bool(after and after % 2), die=power_failure
        )
        versions = versions_of(open_on(broken if breaks_here else here, author=place))
        with suppress(ConflictError, PowerFailure):
            VERBS[verb](versions, "origin", there if breaks_here else broken, repo.SyncOptions())

    def other(self, what: str, place: str) -> None:
        docs = self.docs(place)
        if what == "optimize":
            docs.optimize()
        elif what == "tag":
            with suppress(ConflictError):
                docs.tag(f"tag-{place}-{len(self.held)}")
        else:
            open_on(self.there if what == "gc there" else self.stores[place]).gc(grace=NOW, apply=True)

    def assert_sound(self) -> None:
        for store in (self.there, *self.stores.values()):
            repository = open_on(store)
            assert repository.check().problems == ()
            docs = repository.dataset("d")
            for commit in {*docs.branches().values(), *docs.tags().values()}:
                assert texts_of(docs, commit) == self.held[commit]


def play(steps: list[tuple[Any, ...]]) -> None:
    world = World()
    for step in steps:
        branches = {place: world.docs(place).resolve("main") for place in PLACES}
        if step[0] == "edit":
            world.edit(*step[1:])
        elif step[0] in VERBS:
            world.exchange(*step)
        else:
            world.other(*step)
        for place in PLACES:  # a branch moves forward only
            commits = [commit.id for commit in world.docs(place).log()]
            assert branches[place] in commits
    world.assert_sound()
    for place in PLACES:  # whatever was broken off goes on
        with suppress(ConflictError):
            repo.push(versions_of(open_on(world.stores[place])), "origin", world.there, repo.SyncOptions())
        repo.fetch(versions_of(open_on(world.stores[place])), "origin", world.there, repo.SyncOptions())
        main = world.docs(place).resolve("origin/main")
        assert main == open_on(world.there).dataset("d").resolve("main")
    world.assert_sound()


@settings(max_examples=8, deadline=None)
@given(st.lists(edits | exchanges | exchanges | others, max_size=8))
def test_histories(steps: list[tuple[Any, ...]]) -> None:
    play(steps)


@pytest.mark.deep
@pytest.mark.timeout(3600)
@settings(max_examples=150, deadline=None)
@given(st.lists(edits | exchanges | exchanges | others, max_size=25))
def test_many_histories(steps: list[tuple[Any, ...]]) -> None:
    play(steps)
