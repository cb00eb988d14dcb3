"""Receipts: an answer is proved from the repository alone, and every changed value in a receipt is detected."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generated import clustered
from helpers import ingest, open_on, vector_of
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import session_of

import vecver
from vecver.digest import digest_json
from vecver.errors import InvalidInputError, NotFoundError
from vecver.index import faiss
from vecver.model import Json, Replay
from vecver.store import LocalStore, MemoryStore

TEXTS = {f"doc-{i}": f"the text number {i}" for i in range(30)}
NOTES = {f"note-{i}": text for i, text in enumerate(["bleed the valve", "the pump runs dry", "file taxes by may"])}
QUERY = vector_of("a question")


def repository_on(store: Any) -> vecver.Repository:
    """A dataset of given vectors with two versions, and one of embedded texts."""
    repository = open_on(store)
    ingest(repository.dataset("d"), TEXTS)
    ingest(repository.dataset("d"), {**TEXTS, "doc-3": "another text", "more": "one more text"})
    records = [{"id": id, "text": text} for id, text in NOTES.items()]
    repository.dataset("notes").ingest(records, embedder="hashing", chunker="whole")
    return repository


@pytest.fixture(scope="module")
def repository() -> vecver.Repository:
    return repository_on(MemoryStore())


@pytest.fixture(scope="module")
def approximate() -> vecver.Repository:
    """5,000 rows that are searched through an index; a third of the documents is `old`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faiss.costs, "INDEX_ROWS", 5000)
        repository = open_on(MemoryStore())
        rows = enumerate(clustered("cosine")[0][:9000])
        records = ({"id": str(i), "text": f"text {i}", "vector": row, "old": i % 3 == 0} for i, row in rows)
        repository.dataset("d").ingest(records, space="test")
        repository.dataset("d").search(clustered("cosine")[1][0])  # opens the index
    return repository


def sealed(receipt: Json) -> Json:
    """A receipt whose digest was written anew, as a forger would."""
    return {**receipt, "digest": digest_json({name: value for name, value in receipt.items() if name != "digest"})}


def told(repository: vecver.Repository, receipt: Json) -> str:
    """How a replay tells that something is wrong: an error's code, `differs`, `noted`, or nothing."""
    try:
        outcome = vecver.replay(repository, receipt)
    except (InvalidInputError, NotFoundError) as error:
        return error.code
    return "differs" if not outcome.identical else "noted" if outcome.notes else ""


# -- what was answered is proved ----------------------------------------------------------------


def test_the_same_repository_says_identical(repository: vecver.Repository) -> None:
    docs, notes = repository.dataset("d"), repository.dataset("notes")
    for answer in (
        docs.search(QUERY),
        docs.search(QUERY, at="main~1", k=3, exact=True),
        docs.search(QUERY, k=500),
        notes.search("how to bleed a valve", k=2),
        notes.search(np.eye(1, notes.show().recipe.space.dim)[0]),
    ):
        assert vecver.replay(repository, answer.receipt) == Replay(True, (), None)


def test_a_receipt_by_hand(repository: vecver.Repository) -> None:
    answer = repository.dataset("d").search(QUERY, k=2)
    receipt, commit = answer.receipt, repository.dataset("d").show()
    assert receipt["hits"] == [[h.key, hashlib.sha256(h.text.encode()).hexdigest(), h.score_bits] for h in answer]
    data = QUERY.astype("<f4").tobytes()
    vector, digest = base64.b64encode(data).decode(), hashlib.sha256(data).hexdigest()
    assert receipt["query"] == {"text": None, "vector": vector, "digest": digest}
    assert (receipt["commit"], receipt["content_root"]) == (commit.id, commit.content_root)
    assert (receipt["engine"], receipt["k"], receipt["filter"]) == ({"name": "exact"}, 2, None)
    assert sealed(receipt) == receipt == json.loads(json.dumps(receipt))


def test_a_copy_and_a_file_and_later_commits(tmp_path: Path) -> None:
    repository = repository_on(LocalStore(tmp_path / "kb"))
    receipt = repository.dataset("d").search(QUERY).receipt
    shutil.copytree(tmp_path / "kb", tmp_path / "copy")
    (tmp_path / "receipt.json").write_text(json.dumps(receipt, indent=1))
    assert vecver.replay(vecver.open(tmp_path / "copy"), tmp_path / "receipt.json") == Replay(True, (), None)
    for step in range(5):
        ingest(repository.dataset("d"), {f"doc-{step}": "all else is gone"})
    for here in (repository, vecver.open(tmp_path / "kb")):
        outcome = vecver.replay(here, receipt)
        assert outcome.identical and outcome.notes == ("'main' does not name this version any more",)


def test_filters_are_replayed(approximate: vecver.Repository) -> None:
    docs = approximate.dataset("d")
    for filter in ({"old": True}, {"$or": [{"old": False}]}):
        receipt = docs.search(clustered("cosine")[1][1], filter=filter, exact=True).receipt
        assert vecver.replay(approximate, receipt) == Replay(True, (), None)
    nothing = docs.search(clustered("cosine")[1][1], filter={"old": {"$exists": False}})
    assert nothing.hits == () and vecver.replay(approximate, nothing.receipt).identical


def test_approximate_answers_give_their_recall(approximate: vecver.Repository) -> None:
    queries: Any = clustered("cosine")[1][:40]
    answers = approximate.dataset("d").search(queries)
    exact = approximate.dataset("d").search(queries, exact=True)
    outcomes = [vecver.replay(approximate, answer.receipt) for answer in answers]
    assert all(outcome.identical and outcome.recall is not None for outcome in outcomes)
    true = [len({h.key for h in a} & {h.key for h in b}) / 10 for a, b in zip(answers, exact, strict=True)]
    assert [outcome.recall for outcome in outcomes] == true and np.mean(true) >= 0.95


# -- what was not, is told ----------------------------------------------------------------------

OTHER = "0" * 64
FORGERIES: dict[str, tuple[Callable[[Json], Any], str]] = {  # what is changed -> how a forged, sealed receipt is told
    "format": (lambda r: r.update(format=2), "invalid_receipt"),
    "vecver": (lambda r: r.update(vecver="9.9"), "noted"),
    "repository": (lambda r: r.update(repository=OTHER[:32]), "noted"),
    "dataset": (lambda r: r.update(dataset="notes"), "revision_not_found"),
    "unknown dataset": (lambda r: r.update(dataset="e"), "dataset_not_found"),
    "revision": (lambda r: r.update(revision="main~1"), "noted"),
    "unknown revision": (lambda r: r.update(revision="prod"), "noted"),
    "commit": (lambda r: r.update(commit=OTHER), "revision_not_found"),
    "name for a commit": (lambda r: r.update(commit="main"), "differs"),
    "short commit": (lambda r: r.update(commit=r["commit"][:12]), "differs"),
    "parent commit": (lambda r: r.update(commit="main~1"), "differs"),
    "content_root": (lambda r: r.update(content_root=OTHER), "differs"),
    "vector_root": (lambda r: r.update(vector_root=OTHER), "differs"),
    "space": (lambda r: r.update(space=OTHER[:32]), "differs"),
    "engine": (lambda r: r.update(engine={"name": "magic"}), "differs"),
    "text": (lambda r: r["query"].update(text="what they asked"), "differs"),
    "empty text": (lambda r: r["query"].update(text=" "), "invalid_receipt"),
    "vector": (lambda r: r["query"].update(vector=base64.b64encode(bytes(32)).decode()), "differs"),
    "NaN": (lambda r: r["query"].update(vector=base64.b64encode(b"\xff" * 32).decode()), "invalid_receipt"),
    "shorter vector": (lambda r: r["query"].update(vector=r["query"]["vector"][:-8]), "invalid_receipt"),
    "vector's digest": (lambda r: r["query"].update(digest=OTHER), "differs"),
    "k": (lambda r: r.update(k=9), "differs"),
    "larger k": (lambda r: r.update(k=11), "differs"),
    "filter": (lambda r: r.update(filter={"year": 1}), "unknown_field"),
    "hit's key": (lambda r: r["hits"][4].__setitem__(0, OTHER[:32]), "differs"),
    "hit's text": (lambda r: r["hits"][4].__setitem__(1, OTHER), "differs"),
    "hit's score": (lambda r: r["hits"][4].__setitem__(2, OTHER[:16]), "differs"),
    "hits swapped": (lambda r: r["hits"].insert(0, r["hits"].pop()), "differs"),
    "hit left out": (lambda r: r["hits"].pop(3), "differs"),
    "hit twice": (lambda r: r["hits"].__setitem__(3, r["hits"][2]), "differs"),
    "no hits": (lambda r: r["hits"].clear(), "differs"),
}
BROKEN: dict[str, Any] = {
    "format": [None, "1"],
    "dataset": [None, 3],
    "commit": [None, 3],
    "engine": [None, "exact", {}, {"name": None}],
    "query": [None, {}, "text", {"text": 3, "vector": "", "digest": ""}, {"text": None, "vector": "?!", "digest": ""}],
    "k": [None, 0, -1, True, 2.0, "10", float("nan")],
    "filter": [3, "year", []],
    "hits": [None, {}, [None], [["a", "b", "c"]], [[1, 2, 3]], [[]]],
    "digest": [None, 3],
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_forged_receipt_is_detected(repository: vecver.Repository, what: str) -> None:
    """Its digest was written anew. What only its maker knows (vecver, repository, revision) is a note."""
    receipt = copy.deepcopy(repository.dataset("d").search(QUERY).receipt)
    change, how = FORGERIES[what]
    change(receipt)
    assert told(repository, sealed(receipt)) == how


@pytest.mark.parametrize("what", FORGERIES)
def test_a_changed_receipt_is_detected_by_its_digest(repository: vecver.Repository, what: str) -> None:
    receipt = copy.deepcopy(repository.dataset("d").search(QUERY).receipt)
    FORGERIES[what][0](receipt)
    assert told(repository, receipt) not in ("", "noted")


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_receipt_is_refused(repository: vecver.Repository, name: str) -> None:
    receipt = repository.dataset("d").search(QUERY).receipt
    for value in BROKEN[name]:
        assert told(repository, {**receipt, name: value}) == "invalid_receipt"
    assert told(repository, {field: value for field, value in receipt.items() if field != name}) == "invalid_receipt"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("dataset", "\ud800", "invalid_name"),
        ("dataset", "../d", "invalid_name"),
        ("commit", "\ud800", "revision_not_found"),
        ("commit", "~" * 10_000_000 + "x", "revision_not_found"),
        ("revision", "\ud800", "noted"),
        ("revision", "~" * 10_000_000 + "x", "noted"),
    ],
    ids=lambda value: str(value)[:12].encode("ascii", "backslashreplace").decode(),
)
def test_names_that_name_nothing(repository: vecver.Repository, field: str, value: str, code: str) -> None:
    """A service replays what anybody sends: no name in a receipt breaks a replay, or holds it up."""
    receipt = repository.dataset("d").search(QUERY).receipt
    assert told(repository, sealed({**receipt, field: value})) == code


@pytest.mark.parametrize(
    "options",
    [
        {"like": {"document": 5}},
        {"like": {"document": {}}},
        {"like": {"chunk": None}},
        {"min_score": 10**400},
        {"diversity": 10**400},
    ],
    ids=str,
)
def test_options_of_another_form_are_no_receipt(repository: vecver.Repository, options: Json) -> None:
    receipt = repository.dataset("d").search(QUERY).receipt
    assert told(repository, sealed({**receipt, "options": options})) == "invalid_receipt"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 50) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "text"]), inner),
    max_leaves=5,
)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_value_in_any_field_of_a_receipt_is_detected(repository: vecver.Repository, data: st.DataObject) -> None:
    """No value in any field crosses a replay unnoticed, or raises anything but a house error."""
    receipt = copy.deepcopy(repository.dataset("d").search(QUERY).receipt)
    target = data.draw(st.sampled_from([receipt, receipt["query"], receipt["hits"], receipt["hits"][0]]))
    place = data.draw(st.sampled_from(sorted(target) if isinstance(target, dict) else range(len(target))))
    old = target[place]
    target[place] = data.draw(json_values)
    if target[place] == old and type(target[place]) is type(old):
        return
    harmless = target is receipt and (place == "digest" or (place == "filter" and target[place] == {}))
    assert told(repository, receipt)
    try:
        receipt = sealed(receipt)
    except ValueError:  # NaN: nothing that JSON can say
        return
    assert told(repository, receipt) or harmless


def test_another_query_text_is_detected(repository: vecver.Repository) -> None:
    receipt = repository.dataset("notes").search("how to bleed a valve").receipt
    forged = sealed({**receipt, "query": {**receipt["query"], "text": "how to file taxes"}})
    assert vecver.replay(repository, forged).differences == (
        "the query's text does not give the receipt's query vector",
    )


def test_without_its_embedder_a_text_is_a_note(repository: vecver.Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(spec: Any) -> Any:
        raise InvalidInputError("the embedder is not installed", code="missing", hint="install it")

    receipt = repository.dataset("notes").search("how to bleed a valve").receipt
    monkeypatch.setattr(session_of(repository).embedders, "open", missing)
    outcome = vecver.replay(repository, receipt)
    assert outcome.identical and "the embedder is not installed" in outcome.notes[0]


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (lambda r: r["hits"].pop(), "differs"),
        (lambda r: r["hits"].append(r["hits"][0]), "differs"),
        (lambda r: r["hits"].__setitem__(3, r["hits"][2]), "differs"),
        (lambda r: r["hits"].insert(0, r["hits"].pop()), "differs"),
        (lambda r: r["hits"][2].__setitem__(0, OTHER[:32]), "differs"),
        (lambda r: r["hits"][2].__setitem__(1, OTHER), "differs"),
        (lambda r: r["hits"][2].__setitem__(2, OTHER[:16]), "differs"),
        (lambda r: r["hits"].clear(), "differs"),
        (lambda r: r.update(k=11), "differs"),
        (lambda r: r.update(filter={"old": True}), "differs"),
        (lambda r: r["engine"].update(faiss="1.0"), "noted"),
    ],
)
def test_forged_approximate_answers_are_detected(approximate: vecver.Repository, change: Any, how: str) -> None:
    receipt = copy.deepcopy(approximate.dataset("d").search(clustered("cosine")[1][2]).receipt)
    assert receipt["engine"]["name"] == f"faiss {faiss.SPEC}"
    change(receipt)
    assert told(approximate, sealed(receipt)) == how


def test_poor_hits_pass_as_approximate_only_and_show_their_recall(approximate: vecver.Repository) -> None:
    """Live chunks with their right scores, but not the best: no lie for an index, a lie as an exact answer."""
    docs, query = approximate.dataset("d"), clustered("cosine")[1][3]
    receipt, worst = docs.search(query).receipt, docs.search(query, k=5000).receipt["hits"][-10:]
    outcome = vecver.replay(approximate, sealed({**receipt, "hits": worst}))
    assert outcome.identical and outcome.recall == 0.0
    assert told(approximate, sealed({**receipt, "hits": worst, "engine": {"name": "exact"}})) == "differs"


def test_a_commit_of_another_repository_is_not_found(repository: vecver.Repository) -> None:
    other = open_on(MemoryStore())
    ingest(other.dataset("d"), {"a": "quite another text"})
    assert told(repository, other.dataset("d").search(QUERY).receipt) == "revision_not_found"
    assert told(open_on(MemoryStore()), other.dataset("d").search(QUERY).receipt) == "dataset_not_found"


@pytest.mark.parametrize("content", ["", "[1", "[]", "3", "null", '{"a": 1}'])
def test_files_that_hold_no_receipt(repository: vecver.Repository, tmp_path: Path, content: str) -> None:
    (tmp_path / "receipt.json").write_text(content)
    with pytest.raises(InvalidInputError) as caught:
        vecver.replay(repository, tmp_path / "receipt.json")
    assert caught.value.code == "invalid_receipt" and caught.value.hint
