"""The whole public face against a plain dictionary: any sequence of verbs, every version right after each of them."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from buckets import Watched, bucket_in_memory, lost
from helpers import SPACE, best, open_on, records, texts_of, vector_of
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from vecver.errors import ConflictError, NotFoundError
from vecver.store import LocalStore, MemoryStore, Store

Texts = dict[str, str]

documents = st.sampled_from([f"doc {letter}" for letter in "abcdefgh"])
texts = st.sampled_from(["one", "two", "three", "four", "five"])
names = st.sampled_from(["main", "dev", "fix", "v1", "v2", "prod", "next"])


class Machine(RuleBasedStateMachine):
    """A dataset, and what it must hold: a dictionary for every version, and one for every kind of ref."""

    versions = Bundle("versions")

    def __init__(self) -> None:
        super().__init__()
        self.store = self.new_store()
        self.open()
        self.contents: dict[str, Texts] = {}  # of every commit
        self.parents: dict[str, str | None] = {}
        self.refs: dict[str, dict[str, str]] = {"branch": {}, "tag": {}, "alias": {}}
        self.promoted: dict[str, list[str]] = {}  # what an alias can go back over
        self.dead_tags: set[str] = set()

    def new_store(self) -> Store:
        return MemoryStore()

    def open(self) -> None:
        self.docs = open_on(self.store).dataset("d")

    def taken(self, name: str) -> bool:
        return any(name in refs for refs in self.refs.values())

    # -- documents ------------------------------------------------------------------------------

    @rule(target=versions, branch=names, new=st.dictionaries(documents, texts, min_size=1))
    def ingest(self, branch: str, new: Texts) -> str:
        """All documents at once: what is missing is removed."""
        return self.commit(branch, new, keep=False)

    @rule(target=versions, branch=names, new=st.dictionaries(documents, texts, min_size=1, max_size=2))
    def edit(self, branch: str, new: Texts) -> str:
        """A few of them; the others stay."""
        return self.commit(branch, new, keep=True)

    def commit(self, branch: str, new: Texts, keep: bool) -> str:
        branches = self.refs["branch"]
        if branch not in branches and (branches or self.taken(branch)):
            branch = sorted(branches)[0]
        before = branches.get(branch)
        old = self.contents[before] if before else {}
        report = self.docs.ingest(
            records(new), space=SPACE, metric="ip", branch=branch, keep_missing=keep, allow_removals=True
        )
        wanted = {**old, **new} if keep else new
        assert report.documents == {
            "added": len(new.keys() - old.keys()),
            "changed": sum(name in old and old[name] != text for name, text in new.items()),
            "removed": 0 if keep else len(old.keys() - new.keys()),
            "unchanged": sum(old.get(name) == text for name, text in new.items()),
            "failed": 0,
        }
        assert report.changed == (wanted != old) and report.chunks["live"] == len(wanted)
        id = str(report.commit)
        if report.changed:
            self.record(branch, id, wanted, before)
        return id

    @precondition(lambda self: self.contents)
    @rule(target=versions, branch=names, rows=st.lists(st.tuples(documents, texts), max_size=4))
    def upsert(self, branch: str, rows: list[tuple[str, str]]) -> str:
        """A few rows, the last of each document; no document is removed."""
        branch, before = self.standing(branch)
        old, new = self.contents[before], dict(rows)
        given = [row for name, text in rows for row in records({name: text})]
        report = self.docs.upsert(given, branch=branch, label="records")
        wanted = {**old, **new}
        assert report.documents["added"] == len(new.keys() - old.keys()) and report.documents["removed"] == 0
        assert report.changed == (wanted != old) and report.chunks["live"] == len(wanted)
        return self.landed(branch, str(report.commit), wanted, before)

    @precondition(lambda self: self.contents)
    @rule(target=versions, branch=names, ids=st.lists(documents, max_size=3))
    def remove(self, branch: str, ids: list[str]) -> str:
        """Documents by their ids, whether they are there or not; the version may be left empty."""
        branch, before = self.standing(branch)
        old = self.contents[before]
        report = self.docs.delete(ids, branch=branch)
        wanted = {name: text for name, text in old.items() if name not in ids}
        assert set(report.names["removed"]) == old.keys() - wanted.keys()
        assert set(report.unknown) == set(ids) - old.keys()
        assert report.changed == (wanted != old) and report.chunks["live"] == len(wanted)
        return self.landed(branch, str(report.commit), wanted, before)

    def standing(self, branch: str) -> tuple[str, str]:
        """A branch that there is, and where it stands."""
        branches = self.refs["branch"]
        branch = branch if branch in branches else sorted(branches)[0]
        return branch, branches[branch]

    def landed(self, branch: str, id: str, content: Texts, before: str) -> str:
        """A commit, unless none was made."""
        if id != before:
            self.record(branch, id, content, before)
        return id

    def record(self, branch: str, id: str, content: Texts, parent: str | None) -> None:
        self.contents[id], self.parents[id], self.refs["branch"][branch] = content, parent, id

    # -- refs -----------------------------------------------------------------------------------

    @rule(version=versions, name=names, kind=st.sampled_from(["branch", "tag"]))
    def name(self, version: str, name: str, kind: str) -> None:
        make = self.docs.branch if kind == "branch" else self.docs.tag
        if self.taken(name) or name in self.dead_tags:
            with pytest.raises(ConflictError):
                make(name, version)
        else:
            make(name, version)
            self.refs[kind][name] = version

    @rule(version=versions, name=names)
    def promote(self, version: str, name: str) -> None:
        if name in self.dead_tags or (self.taken(name) and name not in self.refs["alias"]):
            with pytest.raises(ConflictError):
                self.docs.promote(name, version)
            return
        self.docs.promote(name, version)
        self.refs["alias"][name] = version
        stack = self.promoted.setdefault(name, [])
        stack += [version] if stack[-1:] != [version] else []

    @rule(name=names)
    def roll_an_alias_back(self, name: str) -> None:
        stack = self.promoted.get(name, [])
        if len(stack) > 1:
            self.docs.rollback(name)
            stack.pop()
            self.refs["alias"][name] = stack[-1]
        elif name in self.refs["alias"]:
            with pytest.raises(NotFoundError):
                self.docs.rollback(name)

    @precondition(lambda self: self.contents)
    @rule(target=versions, version=versions, data=st.data())
    def roll_a_branch_back(self, version: str, data: st.DataObject) -> str:
        branch = data.draw(st.sampled_from(sorted(self.refs["branch"])))
        before = self.refs["branch"][branch]
        id = str(self.docs.rollback(branch, to=version).after)
        self.record(branch, id, self.contents[version], before)
        return id

    @rule(name=names, kind=st.sampled_from(["branch", "tag", "alias"]))
    def delete(self, name: str, kind: str) -> None:
        if name not in self.refs[kind]:
            with pytest.raises(NotFoundError):
                getattr(self.docs, f"delete_{kind}")(name)
        elif kind == "branch" and len(self.refs[kind]) == 1:
            with pytest.raises(ConflictError):
                self.docs.delete_branch(name)
        else:
            getattr(self.docs, f"delete_{kind}")(name)
            del self.refs[kind][name]
            self.promoted.pop(name, None) if kind == "alias" else None
            self.dead_tags |= {name} if kind == "tag" else set()

    # -- looking --------------------------------------------------------------------------------

    @rule(version=versions, word=texts, k=st.integers(1, 12))
    def search(self, version: str, word: str, k: int) -> None:
        query = vector_of(word)
        for at in {version, *(name for refs in self.refs.values() for name in refs)}:
            answer = self.docs.search(query, at=at, k=k)
            content = self.contents[answer.commit]
            assert [(hit.document, hit.score) for hit in answer] == best(content, query, k)
            assert all(hit.text == content[hit.document] for hit in answer)

    @rule(version=versions)
    def read(self, version: str) -> None:
        content = self.contents[version]
        assert self.docs.documents(version) == sorted(content) and texts_of(self.docs, version) == content
        commit = self.docs.show(version)
        assert commit.counts == {"documents": len(content), "chunks": len(content)}
        assert list(commit.parents) == [p for p in [self.parents[version]] if p]

    @rule(one=versions, other=versions)
    def compare(self, one: str, other: str) -> None:
        a, b = self.contents[one], self.contents[other]
        found = self.docs.diff(one, other)
        assert set(found.added) == b.keys() - a.keys() and set(found.removed) == a.keys() - b.keys()
        assert set(found.changed) == {name for name in a.keys() & b.keys() if a[name] != b[name]}
        same = [self.docs.show(v).content_root for v in (one, other)]
        assert (same[0] == same[1]) == (a == b)

    @rule(version=versions)
    def walk(self, version: str) -> None:
        ids = [commit.id for commit in self.docs.log(version)]
        assert ids[0] == version and [self.parents[id] for id in ids] == [*ids[1:], None]
        assert self.docs.resolve(f"{version[:16]}~{len(ids) - 1}") == ids[-1]

    @precondition(lambda self: self.contents)
    @rule()
    def optimize(self) -> None:
        self.docs.optimize()

    @rule()
    def collect_garbage(self) -> None:
        for _ in range(2):
            assert self.docs.repository.gc(grace=timedelta(0), apply=True).forgotten == ()

    @rule()
    def reopen(self) -> None:
        self.open()

    @rule(version=consumes(versions))
    def check(self, version: str) -> None:
        assert self.docs.repository.check().problems == ()

    @invariant()
    def refs_are_where_they_should_be(self) -> None:
        found = {"branch": self.docs.branches(), "tag": self.docs.tags(), "alias": self.docs.aliases()}
        assert found == self.refs

    def teardown(self) -> None:
        assert self.docs.repository.check().problems == ()


class OnDisk(Machine):
    """The same on a directory, opened anew by every reader."""

    def new_store(self) -> Store:
        self.folder = tempfile.mkdtemp(prefix="vecver-machine-")
        return LocalStore(Path(self.folder))

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


class InBucket(Machine):
    """The same in a bucket that loses the reply of every fifth conditional write, with a cache that is deleted."""

    def new_store(self) -> Store:
        self.folder = tempfile.mkdtemp(prefix="vecver-machine-")
        memory = pytest.importorskip("obstore.store", reason="obstore is not installed").MemoryStore
        self.bucket = Forgetful(memory())
        return bucket_in_memory(Path(self.folder), self.bucket)

    @rule()
    def delete_the_cache(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder, ignore_errors=True)


class Forgetful(Watched):
    """Loses the reply of every fifth conditional write that the bucket took, and of no other: threads write beside."""

    conditional = 0

    def put(self, name: str, data: Any, **how: Any) -> Any:
        result = super().put(name, data, **how)
        if how.get("mode") is not None:
            self.conditional += 1
            if self.conditional % 5 == 0:
                raise lost(how["mode"])
        return result


def run(machine: type[Machine], examples: int, steps: int) -> None:
    how = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(machine, settings=how)


def test_in_memory() -> None:
    run(Machine, examples=25, steps=25)


def test_on_a_directory() -> None:
    run(OnDisk, examples=8, steps=20)


def test_in_a_bucket() -> None:
    run(InBucket, examples=4, steps=20)


@pytest.mark.deep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("machine", [Machine, OnDisk, InBucket])
def test_for_long(machine: type[Machine]) -> None:
    run(machine, examples=400, steps=60)


def test_brute_force_is_brute() -> None:
    """The judge itself, by hand: dot products of whole numbers."""
    state = {"a": "one", "b": "two"}
    query = np.eye(8, dtype=np.float32)[0]
    assert dict(best(state, query, 5)) == {"a": float(vector_of("one")[0]), "b": float(vector_of("two")[0])}
