"""Merging: random histories of two branches, crossings among them, against a plain model of dictionaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from helpers import SPACE, open_on, texts_of, vector_of
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import versions_of

import vecver
from vecver.errors import ConflictError
from vecver.store import MemoryStore

Texts = dict[str, str]
BRANCHES = ("main", "side")


@dataclass(frozen=True)
class Version:
    """A commit of the model: what it holds, and the numbers of its parents."""

    texts: Mapping[str, str | None]  # in a merged common ancestor UNCLEAR, a text of no document
    parents: tuple[int, ...]


UNCLEAR = "\0"


class Model:
    """Histories as git would keep them: no clock, no rows; ancestors by their definition."""

    def __init__(self, texts: Texts) -> None:
        self.versions = [Version(texts, ())]
        self.heads = dict.fromkeys(BRANCHES, 0)

    def commit(self, branch: str, texts: Mapping[str, Any], *others: int) -> None:
        self.versions.append(Version(texts, (self.heads[branch], *others)))
        self.heads[branch] = len(self.versions) - 1

    def ancestors(self, heads: Sequence[int]) -> set[int]:
        """These versions and all behind them."""
        return set(heads).union(*(self.ancestors(self.versions[head].parents) for head in heads))

    def bases(self, left: Sequence[int], right: Sequence[int]) -> list[int]:
        common = self.ancestors(left) & self.ancestors(right)
        return [each for each in sorted(common) if not any(each in self.ancestors([o]) for o in common - {each})]

    def base(self, numbers: Sequence[int]) -> Mapping[str, str | None]:
        """The texts of several common ancestors, merged."""
        merged, done = self.versions[numbers[0]].texts, [numbers[0]]
        for number in numbers[1:]:
            below = self.base(self.bases(done, [number]))
            merged = three_way(below, merged, self.versions[number].texts)
            done.append(number)
        return merged


def three_way(base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """The texts after a merge; UNCLEAR where both changed them."""
    merged = {}
    for name in {*base, *ours, *theirs}:
        old, mine, other = base.get(name), ours.get(name), theirs.get(name)
        value = mine if mine == other or old == other else other if old == mine else UNCLEAR
        if value is not None:
            merged[name] = value
    return merged


names, texts = st.sampled_from("abcd"), st.sampled_from(["one", "two", "three"])
edits = st.dictionaries(names, st.none() | texts, min_size=1, max_size=3)  # None: the document goes
answers = st.fixed_dictionaries({name: st.sampled_from(["ours", "theirs"]) for name in "abcd"})
step = (
    st.tuples(st.just("edit"), st.sampled_from(BRANCHES), edits)
    | st.tuples(st.just("merge"), st.sampled_from(BRANCHES), answers)
    | st.tuples(st.just("cross"), st.none(), answers)
    | st.tuples(st.just("optimize"), st.none(), st.none())
)


def write(docs: vecver.Dataset, branch: str, rows: Mapping[str, str | None]) -> None:
    """Give the documents of a branch these texts; None: remove it."""
    new = {name: text for name, text in rows.items() if text is not None}
    if new:
        vectors = np.array([vector_of(text) for text in new.values()])
        docs.upsert(
            [{"id": name, "text": text} for name, text in new.items()],
            vectors=vectors, space=SPACE, metric=None if docs.branches() else "ip", branch=branch,
        )  # fmt: skip
    if gone := [name for name, text in rows.items() if text is None]:
        docs.delete(gone, branch=branch)


def roots(docs: vecver.Dataset, at: str) -> tuple[str, str]:
    commit = docs.show(at)
    return commit.content_root, commit.vector_root


def fresh_roots(content: Mapping[str, str]) -> tuple[str, str]:
    """The roots of a repository into which exactly these texts were written at once."""
    docs = open_on(MemoryStore()).dataset("d")
    write(docs, "main", {**content, "other": "x"})
    docs.delete("other")
    return roots(docs, "main")


def check_merge(
    docs: vecver.Dataset, model: Model, branch: str, theirs: int, revision: str, choice: Mapping[str, str]
) -> None:
    """Merge a version, which the model has under the number `theirs`, and compare all that can be seen of it."""
    ours = model.heads[branch]
    bases = model.bases([ours], [theirs])
    plan = docs.merge(revision, branch=branch, dry_run=True)
    assert docs.branches()[branch] == plan.ours == plan.commit and not plan.changed, "a dry run writes nothing"
    if theirs in bases or ours in bases:
        kind = "up_to_date" if theirs in bases else "fast_forward"
        merge = docs.merge(revision, branch=branch)
        assert (merge.kind, plan.kind, merge.changed) == (kind, kind, kind == "fast_forward")
        model.heads[branch] = ours if theirs in bases else theirs
        return
    before, there = model.versions[ours].texts, model.versions[theirs].texts
    after = three_way(model.base(bases), before, there)
    disputed = sorted(name for name, text in after.items() if text == UNCLEAR)
    assert [conflict.name for conflict in plan.unsettled] == disputed
    if disputed:
        with pytest.raises(ConflictError) as refused:
            docs.merge(revision, branch=branch, ours=disputed[1:])
        assert [each["name"] for each in refused.value.context["conflicts"]] == disputed[:1]
        assert docs.branches()[branch] == plan.ours
    for name in disputed:
        after[name] = (before if choice[name] == "ours" else there).get(name)
    after = {name: text for name, text in after.items() if text is not None}
    sides = {side: [name for name in disputed if choice[name] == side] for side in ("ours", "theirs")}
    merge = docs.merge(revision, branch=branch, **sides)  # type: ignore[arg-type]
    assert docs.show(branch).parents == (plan.ours, plan.theirs)
    model.commit(branch, after, theirs)
    assert merge.kind == "merge" and texts_of(docs, branch) == after
    assert merge.names == {
        "added": tuple(sorted(after.keys() - before.keys())),
        "changed": tuple(sorted(name for name in after.keys() & before.keys() if after[name] != before[name])),
        "removed": tuple(sorted(before.keys() - after.keys())),
    }


def play(first: Texts, steps: Sequence[tuple[str, str, Any]]) -> None:
    """Edits, merges both ways, settled conflicts, rows re-laid between: texts, conflicts and roots are the model's."""
    docs = open_on(MemoryStore()).dataset("d")
    write(docs, "main", first)
    docs.branch("side")
    model = Model(first)
    for kind, branch, what in steps:
        if kind == "optimize":
            docs.optimize()
        elif kind == "merge":
            other = BRANCHES[1 - BRANCHES.index(branch)]
            check_merge(docs, model, branch, model.heads[other], other, what)
        elif kind == "cross":  # each branch merges where the other one stood
            heads, numbers = docs.branches(), dict(model.heads)
            for one, other in (BRANCHES, BRANCHES[::-1]):
                check_merge(docs, model, one, numbers[other], heads[other], what)
        else:
            now = dict(model.versions[model.heads[branch]].texts)
            after = {name: text for name, text in {**now, **what}.items() if text is not None}
            write(docs, branch, {name: what[name] for name in what if now.get(name) != what[name]})
            if after != now:
                model.commit(branch, after)
        for each in BRANCHES:
            content = {name: text for name, text in model.versions[model.heads[each]].texts.items() if text is not None}
            assert texts_of(docs, each) == content
    for each in BRANCHES:
        assert roots(docs, each) == fresh_roots(texts_of(docs, each))
    assert docs.repository.check().clean


@settings(max_examples=40)
@given(st.dictionaries(names, texts, min_size=1), st.lists(step, min_size=2, max_size=12))
def test_histories_merge_as_dictionaries_do(first: Texts, steps: Sequence[tuple[str, str, Any]]) -> None:
    play(first, steps)


@pytest.mark.deep
@pytest.mark.timeout(3600)
@settings(max_examples=1000)
@given(st.dictionaries(names, texts, min_size=1), st.lists(step, min_size=8, max_size=25))
def test_long_histories_merge_as_dictionaries_do(first: Texts, steps: Sequence[tuple[str, str, Any]]) -> None:
    play(first, steps)


def merge_both_ways(first: Texts, data: st.DataObject) -> None:
    """Each side changes documents of its own, or both alike: the roots do not depend on who merges whom."""
    shared = data.draw(st.dictionaries(st.sampled_from("ef"), texts))
    mine = data.draw(st.dictionaries(st.sampled_from("abx"), st.none() | texts, min_size=1))
    other = data.draw(st.dictionaries(st.sampled_from("cdy"), st.none() | texts, min_size=1))
    docs = open_on(MemoryStore()).dataset("d")
    write(docs, "main", {**first, "kept": "kept"})
    docs.branch("side")
    for branch, rows in (("main", {**shared, **mine}), ("side", {**shared, **other})):
        write(docs, branch, {name: text for name, text in rows.items() if text is not None or name in first})
    heads = docs.branches()
    docs.branch("back", heads["side"])
    one, two = docs.merge(heads["side"], branch="main"), docs.merge(heads["main"], branch="back")
    assert not one.conflicts and not two.conflicts
    assert roots(docs, "main") == roots(docs, "back")
    assert one.chunks["live"] == two.chunks["live"]
    versions = versions_of(docs)
    segments = {live.segment for head in heads.values() for live in versions.layout(head).segments}
    assert {live.segment for live in versions.layout(docs.resolve("main")).segments} <= segments, "no row is copied"


@settings(max_examples=30)
@given(st.dictionaries(names, texts, min_size=1), st.data())
def test_without_a_conflict_both_orders_give_one_content(first: Texts, data: st.DataObject) -> None:
    merge_both_ways(first, data)


@pytest.mark.deep
@pytest.mark.timeout(3600)
@settings(max_examples=1000)
@given(st.dictionaries(names, texts, min_size=1), st.data())
def test_many_pairs_of_edits_give_one_content_in_both_orders(first: Texts, data: st.DataObject) -> None:
    merge_both_ways(first, data)
