"""Publishing against a plain dictionary: any sequence of verbs, and every version that is published is right."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from inside import versions_of
from published import (
    QUERIES,
    Content,
    Doc,
    assert_clean,
    assert_right,
    connection_of,
    ingest,
    let_go,
    no_pauses,
    opened,
)

from vecver.errors import NotPublishedError
from vecver.flows.publishing import publisher as room
from vecver.store import LocalStore

pytestmark = pytest.mark.milvus
pytest.importorskip("milvus_lite", reason="no milvus-lite: install vecver[milvus]")

ids = st.sampled_from(["a", "b", "c", "d", "e", "f"])
docs = st.builds(
    Doc,
    st.sampled_from(["text 1", "text 2"]),
    st.sampled_from(["seed 1", "seed 2", "seed 3"]),
    st.sampled_from([2020, 2021]),
)


class Publishing(RuleBasedStateMachine):
    """A dataset on a directory with the embedded Milvus: what its versions hold, and which are published how."""

    versions = Bundle("versions")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="vecver-publishing-"))
        self.docs = opened(LocalStore(self.folder))
        self.contents: dict[str, Content] = {}  # of every commit
        self.published: dict[str, bool] = {}  # commit -> alone as well

    @initialize(target=versions, content=st.dictionaries(ids, docs, min_size=2))
    def begin(self, content: Content) -> str:
        return self.made(content, "main")

    def made(self, content: Content, branch: str) -> str:
        id = str(ingest(self.docs, content, branch=branch).commit)
        self.contents[id] = content
        return id

    def equal(self, version: str) -> list[str]:
        """The versions that hold the same: where one is published, all are."""
        return [other for other, content in self.contents.items() if content == self.contents[version]]

    # -- versions -------------------------------------------------------------------------------

    @rule(target=versions, content=st.dictionaries(ids, docs), keep=st.booleans(), data=st.data())
    def ingest(self, content: Content, keep: bool, data: st.DataObject) -> str:
        """Other documents, or a few other ones; with other texts, vectors and metadata, each by itself."""
        branch = data.draw(st.sampled_from(sorted(self.docs.branches())))
        old = self.contents[self.docs.resolve(branch)]
        return self.made({**old, **content} if keep else content or old, branch)

    @rule(version=versions)
    def branch(self, version: str) -> None:
        if "side" not in self.docs.branches():
            self.docs.branch("side", version)

    @rule(target=versions, version=versions)
    def roll_back(self, version: str) -> str:
        id = str(self.docs.rollback("main", to=version).after)
        self.contents[id] = self.contents[version]
        return id

    @rule()
    def optimize(self) -> None:
        self.docs.optimize()

    @rule()
    def collect_garbage(self) -> None:
        for _ in range(2):
            self.docs.repository.gc(grace=timedelta(0), apply=True)

    @rule(restart=st.booleans())
    def reopen(self, restart: bool) -> None:
        if restart:
            connection_of(self.docs).close()
            let_go(self.folder)
        self.docs = opened(LocalStore(self.folder))

    # -- Milvus ---------------------------------------------------------------------------------

    @rule(version=versions, flat=st.booleans())
    def publish(self, version: str, flat: bool) -> None:
        there = any(other in self.published for other in self.equal(version))
        publication = self.docs.publish(version, flat=flat)
        assert publication.chunks == len(self.contents[version]) and (publication.written == 0 or not there)
        self.published.setdefault(version, False)

    @rule(version=versions)
    def publish_alone(self, version: str) -> None:
        publication = self.docs.publish(version, dedicated=True)
        assert publication.alias and publication.filter == ""
        self.published[version] = True
        assert connection_of(self.docs).settled(publication.alias) == len(self.contents[version])

    @rule(version=versions)
    def unpublish(self, version: str) -> None:
        there = [other for other in self.equal(version) if other in self.published]
        if not there:
            with pytest.raises(NotPublishedError):
                self.docs.unpublish(version)
            return
        assert self.docs.unpublish(version)
        for other in there:
            del self.published[other]

    @rule()
    def unpublish_what_nothing_names(self) -> None:
        named = [other for id in versions_of(self.docs).named_of_late("d") for other in self.equal(id)]
        self.docs.unpublish_unnamed()
        self.published = {id: alone for id, alone in self.published.items() if id in named}

    @precondition(lambda self: self.published)
    @rule()
    def republish(self) -> None:
        again = self.docs.republish()
        contents = [self.contents[publication.commit] for publication in again]
        assert all(self.contents[id] in contents for id in self.published)

    # -- looking --------------------------------------------------------------------------------

    @rule(k=st.integers(1, 7))
    def search(self, k: int) -> None:
        """Every version."""
        for version, content in self.contents.items():
            if any(other in self.published for other in self.equal(version)):
                assert_right(self.docs, version, content, k)
            else:
                with pytest.raises(NotPublishedError):
                    self.docs.search(QUERIES[0], at=version, engine="milvus")

    @rule()
    def check(self) -> None:
        assert_clean(self.docs)

    def teardown(self) -> None:
        try:
            self.search(3)
            assert_clean(self.docs)
        finally:
            connection_of(self.docs).close()
            let_go(self.folder)
            shutil.rmtree(self.folder)


def run(examples: int, steps: int) -> None:
    how = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(Publishing, settings=how)


@pytest.fixture(autouse=True)
def awake(monkeypatch: pytest.MonkeyPatch) -> None:
    no_pauses(monkeypatch)


@pytest.mark.parametrize("few_dead", [0, 4096], ids=["many collections", "one collection"])
def test_any_sequence(few_dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "FEW_DEAD", few_dead)
    run(examples=12, steps=15)


@pytest.mark.deep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("few_dead", [0, 4096], ids=["many collections", "one collection"])
def test_any_sequence_for_long(few_dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "FEW_DEAD", few_dead)
    run(examples=150, steps=40)
