"""Every verb that writes to a repository, what a user sees of a repository, and what must hold after any cut."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import SPACE, best, ingest, open_on, records, texts_of, vector_of
from inside import versions_of

import vecver
from vecver import repo
from vecver.errors import ApprovalError
from vecver.index import faiss
from vecver.repo.rows.segment_files import FILES
from vecver.store import LocalStore, Store

NOW = timedelta(0)
QUERIES = np.stack([vector_of(f"question {i}") for i in range(2)])
OLD = {"a": "one", "b": "two", "c": "three", "e": "five"}
MIDDLE = {**OLD, "b": "changed"}
NEW = {"a": "one", "b": "changed again", "d": "four", "e": "five"}
MANY = 515  # records, more than are embedded at once
GATE = "R@10 >= 0"
JUDGED = [{"vector": vector_of(text).tolist(), "documents": ["a"]} for text in ("one", "two")]
ROWS = {f"row {i}": f"text {i}" for i in range(320)}


KINDS = (  # of objects; a verb that writes another fails until test_damage damages it
    *("vecver.json", "refs", "moves", "commits", "layouts", "measures", "parts", "vectors", "forgotten", "retired"),
    *("publications", "names", "questions", "question-sets", "policies", "approvals", "gatings", "remotes", "tracking"),
    *(f"segments: {file}" for file in ("segment.json", *FILES, "index", "index.json")),
)


def kind_of(name: str) -> str:
    """The kind of object that a name of the store is of."""
    folder, file = name.split("/")[0], name.split("/")[-1]
    if folder != "segments":
        return folder
    derived = file.startswith(faiss.SPEC)
    return "segments: " + (("index.json" if file.endswith(".json") else "index") if derived else file)


@dataclass(frozen=True)
class Verb:
    """Something that writes below a folder; the repository is its folder `kb`."""

    act: Callable[[Path], Any]
    before: Callable[[Path], None]
    again: bool = True  # may it be done again where it got through?
    cuts: int = 4  # that each way of cutting it off must give at least
    whole: Callable[[Path], Any] = lambda place: None  # what must hold of what it writes beside the repository


@dataclass(frozen=True)
class Version:
    """What a user sees of a ref."""

    commit: str
    texts: Mapping[str, str]
    answers: tuple[Any, ...]  # of every query, exact and not: document, bits of the score, text


Seen = dict[str, Version]


def opened(place: Path) -> vecver.Repository:
    """The repository of a place, made if there is none."""
    return open_on(LocalStore(place / "kb"))


def docs(place: Path, name: str = "d") -> vecver.Dataset:
    """A new handle on a dataset."""
    return opened(place).dataset(name)


def store_of(place: Path) -> LocalStore:
    return LocalStore(place / "kb")


# -- what is there before ---------------------------------------------------------------------------


def nothing(place: Path) -> None:
    """No repository."""


def empty(place: Path) -> None:
    opened(place)


def small(place: Path) -> None:
    """Three versions, refs of every kind, a measure, a deleted branch, a second dataset."""
    here = docs(place)
    ingest(here, OLD)
    here.tag("old")
    here.branch("side")
    ingest(here, MIDDLE)
    here.promote("prod", "old")
    here.promote("prod", "main")
    here.promote("next", "main")
    here.branch("gone")
    here.delete_branch("gone")
    ingest(docs(place, "other"), {"x": "elsewhere"})
    opened(place).dataset("embedded").ingest(texts_only(OLD), embedder="hashing", chunker="whole")


def tall(place: Path) -> None:
    """As many small versions as fold with the next one, a rollback among them, and what gc may take."""
    here = docs(place)
    for turn in range(8):
        ingest(here, {**OLD, f"new {turn}": f"text {turn}", "often": f"edit {turn}"})
    here.rollback("main", to="main~3")
    here.tag("old", "main~2")
    here.branch("side", "main~1")
    with pytest.raises(ZeroDivisionError):
        docs(place, "embedded").ingest(breaking(), embedder="hashing", chunker="whole")  # leaves parts
    opened(place).gc(grace=NOW, apply=True)


def diverged(place: Path) -> None:
    """The small repository; its branch `side` has changed other documents than `main`, and one both have."""
    small(place)
    ingest(docs(place), {"a": "one", "b": "changed", "e": "of side", "s": "new"}, branch="side")
    ingest(docs(place), {**MIDDLE, "e": "of main"})


def tidied(place: Path) -> None:
    """The same, re-laid: what was replaced waits to be deleted."""
    tall(place)
    docs(place).optimize()


def judged(place: Path) -> None:
    """The small repository with a question set."""
    small(place)
    docs(place).add_questions("judged", JUDGED)


def evaluated(place: Path) -> None:
    """The small repository with a question set, and a run by it beside its newest version."""
    judged(place)
    docs(place).eval(questions="judged")


def gated(place: Path) -> None:
    docs(place).promote("prod", "old", gates=[GATE], questions="judged")


def guarded(place: Path) -> None:
    """The same, with an alias that moves once somebody else approves it."""
    judged(place)
    docs(place).set_policy("prod", [GATE], questions="judged", approval=True)


def asked(place: Path) -> None:
    """Ask for a promotion, which waits then."""
    with pytest.raises(ApprovalError):
        docs(place).promote("prod", "old")


def waiting(place: Path) -> None:
    guarded(place)
    asked(place)


def by_another(place: Path) -> vecver.Dataset:
    return opened(place).signed("another").dataset("d")


def assert_decided_as_moved(place: Path) -> None:
    """The alias has moved if and only if its promotion is known as approved."""
    here = docs(place)
    has_moved = here.resolve("prod") == here.resolve("old")
    assert (here.approvals()["prod"].state == "approved") == has_moved


def unindexed(place: Path) -> None:
    ingest(docs(place), ROWS)


def texts_only(texts: Mapping[str, str]) -> list[dict[str, str]]:
    """Records for an embedder."""
    return [{"id": id, "text": text} for id, text in texts.items()]


def breaking() -> Iterator[dict[str, str]]:
    """More records than are embedded at once, and then none."""
    yield from texts_only({f"r{i}": f"record {i}" for i in range(MANY)})
    raise ZeroDivisionError


@contextmanager
def small_indexes() -> Iterator[None]:
    """A few hundred rows get an index, and are searched through it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faiss.costs, "INDEX_ROWS", 300)
        patch.setattr(faiss.costs, "_PROBE", -(10**9))
        yield


def other_store(place: Path) -> LocalStore:
    """The remote of the repository."""
    return LocalStore(place / "there")


def send(place: Path, *wanted: str) -> Any:
    return repo.push(versions_of(opened(place)), "origin", other_store(place), repo.SyncOptions(wanted))


def bring(verb: Callable[..., Any], place: Path) -> Any:
    return verb(versions_of(opened(place)), "origin", other_store(place), repo.SyncOptions())


def tiny(place: Path) -> None:
    """One version with a tag, an alias and a question set."""
    here = docs(place)
    ingest(here, {"a": "one", "b": "two"})
    here.tag("old")
    here.promote("prod", "old")
    here.add_questions("judged", JUDGED)


def clone(place: Path) -> Any:
    return repo.clone(other_store(place), store_of(place), "/the/remote", repo.SyncOptions(), author="cloner")


def ahead(place: Path) -> None:
    """The repository is further than its remote, whose alias is where it was."""
    tiny(place)
    send(place, "d@main", "d@prod")
    docs(place).eval(questions="judged")
    ingest(docs(place), {"a": "one", "b": "changed"})
    docs(place).tag("fresh")
    docs(place).promote("prod", "fresh")


def behind(place: Path) -> None:
    """The remote is further, and has another dataset."""
    tiny(place)
    shutil.copytree(place / "kb", place / "here")
    docs(place).eval(questions="judged")
    ingest(docs(place), {"a": "one", "b": "changed"})
    docs(place).tag("fresh")
    docs(place).promote("prod", "fresh")
    ingest(docs(place, "third"), {"x": "only there"})
    (place / "kb").rename(place / "there")
    (place / "here").rename(place / "kb")


def elsewhere(place: Path) -> None:
    """The repository is at the remote alone."""
    tiny(place)
    docs(place).promote("prod", "old", gates=[GATE], questions="judged")
    (place / "kb").rename(place / "there")


def assert_remote_sound(place: Path) -> None:
    """Every ref of the remote leads to whole versions."""
    if repo.exists(other_store(place)):
        assert open_on(other_store(place)).check().problems == ()


# -- the verbs --------------------------------------------------------------------------------------


def collect(place: Path, **keep: Any) -> None:
    """What waits goes."""
    for _ in range(2):
        opened(place).gc(grace=NOW, apply=True, **keep)


def unmerged(place: Path) -> bool:
    return docs(place).merge("side", dry_run=True).kind != "up_to_date"


def indexed(place: Path) -> None:
    with small_indexes():
        docs(place).optimize()


def with_index(place: Path) -> None:
    with small_indexes():
        ingest(docs(place), {**ROWS, "more": "x"})


def ingested_and_kept_up(place: Path) -> None:
    """An ingest whose fold runs in the repository's thread."""
    repository = open_on(LocalStore(place / "kb"), background=True)
    ingest(repository.dataset("d"), NEW)
    repository.settle()


def exported(place: Path) -> None:
    docs(place).snapshot("main", place / "out")


def assert_whole_export(place: Path) -> None:
    """There is none, or one that answers as the version does."""
    if (place / "out").exists():
        snapshot = vecver.open_snapshot(place / "out")
        assert hits_of(snapshot.search(list(QUERIES), k=5)) == hits_of(docs(place).search(list(QUERIES), k=5))


def assert_measured(place: Path) -> None:
    """There is no measure, or a whole one."""
    measures = docs(place).measures("main")
    assert "damaged" not in measures.get("recall", {})


VERBS: dict[str, Verb] = {
    "init": Verb(lambda place: vecver.create(str(place / "kb")), nothing, again=False),
    "ingest, the first": Verb(lambda place: ingest(docs(place), OLD), empty),
    "ingest": Verb(lambda place: ingest(docs(place), NEW), small),
    "ingest that removes": Verb(lambda place: ingest(docs(place), {"a": "one", "b": "two"}), small),
    "ingest that keeps": Verb(lambda place: ingest(docs(place), {"z": "last"}, keep_missing=True), small),
    "ingest into a branch": Verb(lambda place: ingest(docs(place), NEW, branch="side"), small),
    "ingest in another space": Verb(
        lambda place: docs(place).ingest(records(NEW), space=SPACE + " 2", metric="ip"), small
    ),
    "ingest that embeds": Verb(
        lambda place: docs(place, "embedded").ingest(texts_only(NEW), embedder="hashing", chunker="whole"), small
    ),
    "ingest that embeds much": Verb(
        lambda place: docs(place, "embedded").ingest(
            texts_only({f"r{i}": f"record {i}" for i in range(MANY)}), embedder="hashing", chunker="whole"
        ),
        tall,
    ),
    "ingest that folds": Verb(lambda place: ingest(docs(place), NEW), tall),
    "ingest that folds in the thread": Verb(ingested_and_kept_up, tall),
    "ingest that builds an index": Verb(with_index, unindexed),
    "upsert": Verb(lambda place: docs(place).upsert(records({"b": "again", "z": "last"})), small),
    "delete documents": Verb(lambda place: docs(place).delete(["a", "e"]), small),
    "delete all documents": Verb(lambda place: docs(place).delete(docs(place).documents()), small),
    "merge": Verb(lambda place: docs(place).merge("side", theirs=["e"] if unmerged(place) else ()), diverged),
    "merge that moves forward": Verb(lambda place: docs(place).merge("main", branch="side"), small, cuts=2),
    "rename a dataset": Verb(lambda place: opened(place).rename_dataset("d", "renamed"), small, again=False, cuts=2),
    "delete a dataset": Verb(lambda place: opened(place).delete_dataset("d", apply=True), small, again=False, cuts=2),
    "rollback of a branch": Verb(lambda place: docs(place).rollback("main", to="old"), small),
    "rollback of an alias": Verb(lambda place: docs(place).rollback("prod"), small, again=False),
    "promote": Verb(lambda place: docs(place).promote("prod", "old"), small),
    "promote a new alias": Verb(lambda place: docs(place).promote("fresh", "old"), small),
    "promote with a gate": Verb(gated, judged),
    "add questions": Verb(lambda place: docs(place).add_questions("more", JUDGED[:1]), judged),
    "replace questions": Verb(lambda place: docs(place).add_questions("judged", JUDGED[:1]), judged),
    "remove questions": Verb(lambda place: docs(place).remove_questions("judged"), judged, again=False),
    "set a policy": Verb(lambda place: docs(place).set_policy("prod", [GATE], questions="judged"), judged),
    "ask for an approval": Verb(asked, guarded),
    "approve": Verb(lambda place: by_another(place).approve("prod"), waiting, whole=assert_decided_as_moved),
    "reject": Verb(lambda place: by_another(place).reject("prod", "why"), waiting, again=False, cuts=2),
    "eval": Verb(lambda place: docs(place).eval(questions="judged"), judged),
    "measure history": Verb(lambda place: docs(place).measure_history(), evaluated),
    "branch": Verb(lambda place: docs(place).branch("fresh", "old"), small, again=False),
    "tag": Verb(lambda place: docs(place).tag("fresh", "old"), small, again=False),
    "delete a branch": Verb(lambda place: docs(place).delete_branch("side"), small, again=False),
    "delete a tag": Verb(lambda place: docs(place).delete_tag("old"), small, again=False),
    "delete an alias": Verb(lambda place: docs(place).delete_alias("next"), small, again=False),
    "optimize": Verb(lambda place: docs(place).optimize(), tall),
    "optimize that builds an index": Verb(indexed, unindexed),
    "gc": Verb(collect, tidied),
    "gc with a retention": Verb(lambda place: collect(place, keep_last=1), tall),
    "recall": Verb(lambda place: docs(place).recall("main", sample=2, k=[1]), small, whole=assert_measured),
    "push": Verb(send, ahead, whole=assert_remote_sound),
    "push of an alias": Verb(lambda place: send(place, "d@prod"), ahead, whole=assert_remote_sound),
    "push to an empty place": Verb(send, tiny, whole=assert_remote_sound),
    "fetch": Verb(partial(bring, repo.fetch), behind, whole=assert_remote_sound),
    "pull": Verb(partial(bring, repo.pull), behind, whole=assert_remote_sound),
    "clone": Verb(clone, elsewhere, whole=assert_remote_sound),
    "snapshot": Verb(exported, small, again=False, whole=assert_whole_export),
}

READERS: dict[str, Callable[[Path], Any]] = {
    "search": lambda place: docs(place).search(QUERIES[0], k=3),
    "log": lambda place: list(docs(place).log()),
    "diff": lambda place: docs(place).diff("old", "main"),
    "check": lambda place: opened(place).check(),
    "gc, planned": lambda place: opened(place).gc(grace=NOW),
    "status": lambda place: docs(place, "embedded").status(texts_only(NEW), label="records"),
    "replay": lambda place: vecver.replay(opened(place), docs(place).search(QUERIES[0], k=3).receipt),
    "measures": lambda place: docs(place).measures("main"),
}


# -- what a user sees -------------------------------------------------------------------------------


def seen(place: Path) -> Seen:
    """Every ref of every dataset, what its version holds, and what it answers."""
    return seen_in(store_of(place))


def seen_in(store: Store) -> Seen:
    """The same of the repository in a store; nothing if there is none."""
    if not repo.exists(store):
        return {}
    repository = open_on(store)
    found = {}
    for name in repository.datasets():
        here = repository.dataset(name)
        for ref, commit in {**here.branches(), **here.tags(), **here.aliases()}.items():
            found[f"{name}@{ref}"] = version_of(here, ref, commit)
    return found


def version_of(here: vecver.Dataset, ref: str, commit: str) -> Version:
    """What is seen of a ref; of versions with vectors that were given, the answers are those of brute force."""
    texts = texts_of(here, ref)
    given = here.show(ref).recipe.space.dim == QUERIES.shape[1]
    queries: Any = list(QUERIES) if given else ["record 7", "changed"]
    exact = hits_of(here.search(queries, at=ref, k=5, exact=True))
    if given:
        assert [[hit[:2] for hit in hits] for hits in exact] == [best(texts, query, 5) for query in QUERIES]
    return Version(commit, texts, (exact, hits_of(here.search(queries, at=ref, k=5))))


def hits_of(answers: Any) -> list[list[tuple[Any, ...]]]:
    return [[(hit.document, hit.score, hit.text) for hit in answer] for answer in answers]


def contents(versions: Seen) -> dict[str, Any]:
    """What is seen, whatever the commits are called."""
    return {ref: (version.texts, version.answers) for ref, version in versions.items()}


# -- what must hold after a cut ---------------------------------------------------------------------


def assert_goes_on(place: Path, verb: Verb, before: Seen, after: Seen, *, returned: bool) -> None:
    """Old or new and never between, sound, the verb gets through, and gc takes what was left."""
    now = seen(place)
    for ref in {*before, *after, *now}:
        assert now.get(ref) in (before.get(ref), after.get(ref)), f"{ref} stands between"
    assert not returned or now == after, "it had returned, and is lost"
    assert_sound(place)
    verb.whole(place)
    assert_gets_through(place, verb, after, done=now == after)


def assert_gets_through(place: Path, verb: Verb, after: Seen, *, done: bool) -> None:
    """Once more, and all is as if nothing had happened."""
    if not done or verb.again:
        verb.act(place)
        verb.whole(place)
    assert contents(seen(place)) == contents(after)
    assert_nothing_left(place)
    assert contents(seen(place)) == contents(after)


def assert_sound(place: Path) -> None:
    if repo.exists(store_of(place)):
        assert opened(place).check().problems == ()


def assert_nothing_left(place: Path) -> None:
    """gc deletes what no version needs, and nothing else."""
    for left in (place / "kb/tmp").glob("*"):
        for path in (*left.glob("*"), left):
            os.utime(path, (0, 0))
    collect(place)
    store_of(place).scratch().rmdir()  # sweeps
    plan = opened(place).gc(grace=NOW)
    assert not plan.delete and not plan.wait and not plan.forgotten
    assert list((place / "kb/tmp").iterdir()) == [] and list(store_of(place).list("parts/")) == []
    assert_sound(place)


def copied(place: Path, target: Path) -> Path:
    """A place as it is now."""
    shutil.copytree(place, target)
    return target
