"""Promote, tag and roll back: refs move, and no segment is written."""

from __future__ import annotations

from typing import Any

import pytest
from helpers import Ticking, ingest, open_on, texts_of
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import versions_of

import vecver
from vecver.errors import ConflictError, NotFoundError
from vecver.store import MemoryStore, Store

BASE = {"a": "one", "b": "two", "c": "three"}


@pytest.fixture
def docs(repository: vecver.Repository) -> vecver.Dataset:
    return repository.dataset("d")


def segments_on(store: Store) -> set[str]:
    return {name for name in store.list("segments/")}


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


def test_rolling_back_a_ref_without_a_version_before_is_refused(docs: vecver.Dataset) -> None:
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
