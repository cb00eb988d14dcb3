"""One suite for both handles: the repository in this process, and the same one behind a service.

What a handle gives is held against values worked out here; then the answers of both against each other, bit by bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from helpers import SPACE, best, records, vector_of
from serving import running

import vecver
from vecver.errors import AccessError, ConflictError, InvalidInputError, NotFoundError, SpaceMismatchError, VecverError

Repo = vecver.Repository | vecver.RemoteRepository
Docs = vecver.Dataset | vecver.RemoteDataset

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")

TEXTS = {f"doc-{i}": f"the text number {i}" for i in range(12)}
QUERY = vector_of("a question")
PAGES = {
    "heating.md": "# Heating\n\nTo bleed the radiator, open the valve with the key.\n",
    "guide/pump.md": "# The pump\n\nThe pump runs dry without water.\n",
    "guide/W\u00e4rme \u201c1\u201d.md": "# W\u00e4rme\n\nDas Ventil \u00f6ffnen.\n",
}


# -- the two handles --------------------------------------------------------------------------------


@pytest.fixture
def both(tmp_path: Path) -> Iterator[dict[str, Repo]]:
    """A handle of each kind on one repository."""
    local = vecver.open(tmp_path / "kb", create=True, author="alice")
    with served(tmp_path) as (url, key), vecver.connect(url, key) as remote:
        yield {"local": local, "remote": remote}


@pytest.fixture(params=["local", "remote"])
def handle(request: pytest.FixtureRequest, both: dict[str, Repo]) -> Repo:
    """Each of them in turn."""
    return both[request.param]


@contextmanager
def served(place: Path, **settings: Any) -> Iterator[tuple[str, str]]:
    """The URL of a service on the repository `kb`, and a key of alice's that may do everything."""
    from vecver_service.app import create_app
    from vecver_service.settings import ServiceSettings
    from vecver_service.state.keys import Keys

    chosen = ServiceSettings(state=str(place / "state"), **settings)
    _, key = Keys(chosen.keys_file("")).add("alice", ["*:admin"])
    with running(create_app(vecver.open(place / "kb"), chosen)) as url:
        yield url, key


def folder_of(place: Path, pages: dict[str, str]) -> Path:
    """A folder that holds exactly these files."""
    folder = place / "handbook"
    for old in folder.rglob("*.md"):
        old.unlink()
    for name, text in pages.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def filled(repository: Repo) -> Docs:
    """Two versions of records with vectors: doc-3 changed, doc-4 gone, one more."""
    docs = repository.dataset("d")
    docs.ingest(records(TEXTS, year=2024), space=SPACE, metric="ip", message="first")
    later = {**TEXTS, "doc-3": "another text", "more": "one more text"}
    del later["doc-4"]
    docs.ingest(records(later, year=2025), space=SPACE, metric="ip", message="second")
    return docs


# -- documents in -----------------------------------------------------------------------------------


def test_a_folder_becomes_a_version(handle: Repo, tmp_path: Path) -> None:
    docs = handle.dataset("handbook")
    told: list[Any] = []
    folder = folder_of(tmp_path, {**PAGES, ".hidden.md": "no", "skip.log": "no", ".gitignore": "*.log\n"})
    report = docs.ingest(folder, embedder="hashing", message="June", progress=lambda *what: told.append(what))
    assert report.changed and not report.failures
    assert report.documents == {"added": 3, "changed": 0, "removed": 0, "unchanged": 0, "failed": 0}
    assert set(report.names["added"]) == set(PAGES)
    assert docs.documents() == sorted(PAGES)
    commit = docs.show()
    assert (commit.id, commit.message, commit.author) == (report.commit, "June", "alice")
    assert [source["label"] for source in commit.operation["sources"]] == ["handbook"]
    assert sum(count for unit, count, *_ in told if unit == "documents") == 3

    again = docs.ingest(folder, embedder="hashing")
    assert (again.changed, again.commit, again.documents["unchanged"]) == (False, report.commit, 3)

    folder_of(tmp_path, {"heating.md": PAGES["heating.md"] + "\nClose it.\n", "new.md": "# New\n\nText.\n"})
    report = docs.ingest(folder, prefix="", keep_missing=True)
    assert dict(report.names) == {"added": ("new.md",), "changed": ("heating.md",), "removed": ()}
    report = docs.ingest(folder)
    assert sorted(report.names["removed"]) == sorted(set(PAGES) - {"heating.md"})
    assert docs.search("close the valve", k=1)[0].document in ("heating.md", "new.md")


def test_a_file_a_glob_and_a_list_are_sources(handle: Repo, tmp_path: Path) -> None:
    folder, docs = folder_of(tmp_path, PAGES), handle.dataset("handbook")
    docs.ingest(folder / "heating.md", embedder="hashing", prefix="a/")
    docs.ingest([str(folder / "guide" / "p*.md")], prefix="b/")
    (tmp_path / "notes.jsonl").write_text('{"id": "n1", "text": "a note"}\n{"id": "n2", "text": "\u2028"}\nno json\n')
    report = docs.ingest(tmp_path / "notes.jsonl")
    assert docs.documents() == ["a/heating.md", "b/pump.md", "n1"]
    assert sorted(failure.code for failure in report.failures) == ["empty", "malformed"]
    assert report.documents["failed"] == 2
    assert [source["label"] for commit in docs.log() for source in commit.operation["sources"]] == [
        *("notes.jsonl", "guide", "heating.md"),
    ]


def test_what_cannot_be_parsed_is_reported(handle: Repo, tmp_path: Path) -> None:
    folder, docs = folder_of(tmp_path, {"heating.md": PAGES["heating.md"]}), handle.dataset("handbook")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    report = docs.ingest(folder, embedder="hashing")
    assert [failure.document for failure in report.failures] == ["broken.pdf"]
    assert report.documents["failed"] == 1 and docs.documents() == ["heating.md"]
    (folder / "other.md").write_text("more")
    with pytest.raises(InvalidInputError) as caught:
        docs.ingest(folder, strict=True)
    assert caught.value.code == "documents_failed"
    assert [failure["document"] for failure in caught.value.context["failures"]] == ["broken.pdf"]
    assert docs.resolve() == report.commit


def test_records_bring_their_vectors(handle: Repo) -> None:
    docs = filled(handle)
    table = [(commit.message, commit.counts) for commit in docs.log()]
    assert table == [
        ("second", {"documents": 12, "chunks": 12}),
        ("first", {"documents": 12, "chunks": 12}),
    ]
    report = docs.ingest(records({"x": "y"}), space=SPACE, dry_run=True)
    assert (report.dry_run, report.changed, report.commit) == (True, False, docs.resolve())
    assert dict(report.names)["added"] == ("x",) and len(report.names["removed"]) == 12


def test_a_table_is_a_source(handle: Repo) -> None:
    import pyarrow as pa

    docs = handle.dataset("t")
    vectors = pa.array([vector_of(text).tolist() for text in TEXTS.values()], pa.list_(pa.float32()))
    docs.ingest(
        pa.table({"id": list(TEXTS), "text": list(TEXTS.values()), "vector": vectors}), space=SPACE, metric="ip"
    )
    assert [(hit.document, hit.score) for hit in docs.search(QUERY, k=5)] == best(TEXTS, QUERY, 5)


# -- documents removed only where that is meant -------------------------------------------------------


def test_two_folders_of_one_name_are_two_sources(handle: Repo, tmp_path: Path) -> None:
    docs = handle.dataset("handbook")
    first, second = folder_of(tmp_path / "a", PAGES), folder_of(tmp_path / "b", {"other.md": "# Other\n"})
    docs.ingest(first, embedder="hashing")
    assert docs.ingest(second).names["removed"] == () and docs.documents() == sorted({*PAGES, "other.md"})
    assert not docs.ingest(first).changed and not docs.ingest(second).changed
    labels = [source["label"] for commit in docs.log() for source in commit.operation["sources"]]
    assert labels == ["b/handbook", "handbook"]


def test_a_part_of_a_source_is_ingested_as_such(handle: Repo, tmp_path: Path) -> None:
    docs = handle.dataset("handbook")
    folder = folder_of(tmp_path, {**PAGES, "guide/old.md": "# Old\n", "b.md": "# B\n"})
    docs.ingest(folder, embedder="hashing", prefix="kb/")
    for name in ("heating.md", "b.md", "guide/pump.md"):
        (folder / name).write_text("# New\n\nAnother text.\n")
    report = docs.ingest(folder / "heating.md", label="handbook")
    assert dict(report.names) == {"added": (), "changed": ("kb/heating.md",), "removed": ()}
    (folder / "b.md").unlink()
    (folder / "guide" / "old.md").unlink()
    report = docs.ingest(folder / "guide")
    assert dict(report.names) == {"added": (), "changed": ("kb/guide/pump.md",), "removed": ("kb/guide/old.md",)}
    (folder / "guide" / "pump.md").unlink()
    report = docs.ingest(str(folder / "*.md"), prefix="kb/")
    assert dict(report.names) == {"added": (), "changed": (), "removed": ("kb/b.md",)}
    assert docs.ingest(folder, prefix="kb/").names["removed"] == ("kb/guide/pump.md",)


def test_many_removals_must_be_allowed(handle: Repo, tmp_path: Path) -> None:
    docs = handle.dataset("d")
    docs.ingest(records({str(i): f"text {i}" for i in range(30)}), space=SPACE, metric="ip")
    rest = records({str(i): f"text {i}" for i in range(15)})
    plan = docs.ingest(rest, dry_run=True)
    assert plan.documents["removed"] == 15 and any("would stop" in note for note in plan.notes)
    with pytest.raises(ConflictError) as caught:
        docs.ingest(rest)
    assert caught.value.code == "removals_not_allowed" and "15 of the 30 documents" in caught.value.message
    (told,) = caught.value.context["removals"]
    assert (told["source"], told["remove"], told["of"], len(told["first"])) == ("records", 15, 30, 15)
    report = docs.ingest(rest, allow_removals=True)
    assert (report.documents, report.chunks, report.names) == (plan.documents, plan.chunks, plan.names)
    assert len(docs.documents()) == 15


# -- answers out ------------------------------------------------------------------------------------


def test_the_best_are_found(handle: Repo) -> None:
    docs = filled(handle)
    found = docs.search(QUERY, at="main~1", k=5, exact=True)
    assert [(hit.document, hit.score) for hit in found] == best(TEXTS, QUERY, 5)
    assert [hit.rank for hit in found] == [1, 2, 3, 4, 5]
    assert found[0].score_bits == np.float64(found[0].score).byteswap().tobytes().hex()
    assert (found.dataset, found.revision, found.commit) == ("d", "main~1", docs.resolve("main~1"))
    assert found[0].metadata == {"year": 2024} and found[0].text == TEXTS[found[0].document]
    several = docs.search([QUERY, vector_of("b")], at="main~1", k=2)
    assert [[hit.document for hit in one] for one in several] == [
        [document for document, _ in best(TEXTS, query, 2)] for query in (QUERY, vector_of("b"))
    ]
    assert len(docs.search(QUERY, k=100, filter={"year": {"$lt": 2025}})) == 0
    assert len(docs.search(QUERY, k=100, filter={"year": 2025}, space=SPACE)) == 12


def test_a_replay_proves_an_answer(handle: Repo) -> None:
    receipt = dict(filled(handle).search(QUERY, k=3).receipt)
    assert receipt["repository"] == handle.id
    assert vecver.replay(handle, receipt) == vecver.model.Replay(True, (), None)
    forged = handle.replay({**receipt, "k": 4})
    assert not forged.identical and len(forged.differences) > 0
    with pytest.raises(InvalidInputError) as caught:
        handle.replay({"digest": "x"})
    assert caught.value.code == "invalid_receipt"


# -- versions and refs ------------------------------------------------------------------------------


def test_history(handle: Repo) -> None:
    docs = filled(handle)
    second, first = docs.log()
    assert (second.parents, first.parents) == ((first.id,), ())
    assert [docs.resolve("main"), docs.resolve("main~1"), docs.resolve(first.id[:12])] == [
        second.id,
        first.id,
        first.id,
    ]
    assert docs.show(first) == first and list(docs.log("main~1")) == [first]
    diff = docs.diff("main~1", second)
    assert (diff.before, diff.after) == (first.id, second.id)
    assert (diff.added, diff.removed) == (("more",), ("doc-4",))
    assert len(diff.changed) == 11 and (diff.chunks_added, diff.chunks_removed) == (2, 2)
    docs.tag("v1", "main~1")
    docs.tag("v2")
    docs.tag("v2-too", "v2")
    assert [(commit.id, names) for commit, names in docs.tagged()] == [
        (first.id, ["v1"]),
        (second.id, ["v2", "v2-too"]),
    ]
    assert handle.datasets() == ["d"]


def test_refs_move_and_go_back(handle: Repo) -> None:
    docs = filled(handle)
    second, first = (commit.id for commit in docs.log())
    move = docs.promote("prod", "main~1", expected="absent")
    assert (move.kind, move.name, move.before, move.after) == ("alias", "prod", None, first)
    assert (move.author, move.reason) == ("alice", "promote")
    assert docs.promote("prod", expected=first).before == first
    assert docs.aliases() == {"prod": second}
    assert docs.rollback("prod", expected=second).after == first
    assert [one.reason for one in docs.moves("alias", "prod")] == ["rollback", "promote", "promote"]
    docs.branch("trial", "main~1")
    assert docs.branches() == {"main": second, "trial": first}
    assert docs.branch("trial", second, expected=first).after == second
    assert docs.rollback("main", to="main~1").before == second
    assert docs.show().operation["kind"] == "rollback" and docs.diff("main", first).changed == ()
    assert docs.delete_branch("trial", expected=second).after is None
    assert docs.tag("v1").after == docs.resolve() and docs.tags() == {"v1": docs.resolve()}


@pytest.mark.parametrize(
    "ask",
    [
        lambda docs, elsewhere: docs.promote("prod", expected=elsewhere),
        lambda docs, elsewhere: docs.branch("trial", expected=elsewhere),
        lambda docs, elsewhere: docs.rollback("prod", "main", expected=elsewhere),
        lambda docs, elsewhere: docs.delete_alias("prod", expected=elsewhere),
        lambda docs, elsewhere: docs.delete_branch("trial", expected=elsewhere),
    ],
)
def test_a_ref_moves_only_from_where_it_was_seen(handle: Repo, ask: Callable[[Docs, str], Any]) -> None:
    docs = filled(handle)
    second, first = (commit.id for commit in docs.log())
    docs.promote("prod", first)
    docs.branch("trial", first)
    with pytest.raises(ConflictError) as caught:
        ask(docs, second)
    assert (caught.value.code, caught.value.context["found"]) == ("ref_moved", first)
    assert (docs.aliases(), docs.branches()["trial"]) == ({"prod": first}, first)


def test_a_ref_that_is_there_is_not_new(handle: Repo) -> None:
    docs = filled(handle)
    docs.promote("prod", "main~1")
    for ask in (lambda: docs.promote("prod", expected="absent"), lambda: docs.branch("main", expected="absent")):
        with pytest.raises(ConflictError) as caught:
            ask()
        assert caught.value.code == "name_taken"


def test_a_dataset_without_a_version(handle: Repo) -> None:
    docs = handle.dataset("new")
    assert (docs.branches(), docs.tags(), docs.aliases(), list(docs.tagged()), handle.datasets()) == (
        {},
        {},
        {},
        [],
        [],
    )
    for ask in (docs.resolve, docs.documents, lambda: docs.search(QUERY), lambda: list(docs.log())):
        with pytest.raises(NotFoundError) as caught:
            ask()
        assert caught.value.code == "dataset_not_found"


def test_more_documents_than_a_page(handle: Repo) -> None:
    docs = handle.dataset("d")
    texts = {f"doc-{i:04}": f"text {i}" for i in range(2100)}
    docs.ingest(records(texts), space=SPACE, metric="ip")
    assert docs.documents() == sorted(texts)


# -- errors -----------------------------------------------------------------------------------------

PLAIN = [{"id": "a", "text": "x"}]
ERRORS: list[tuple[Callable[[Docs], Any], type[VecverError], str]] = [
    (lambda docs: docs.search(QUERY, at="nowhere"), NotFoundError, "revision_not_found"),
    (lambda docs: docs.search(QUERY, at="main~9"), NotFoundError, "revision_not_found"),
    (lambda docs: docs.search(QUERY, at=".."), NotFoundError, "revision_not_found"),
    (lambda docs: docs.search(QUERY, at="a/b?c#d"), NotFoundError, "revision_not_found"),
    (lambda docs: docs.search(QUERY, at="@{yesterday}"), InvalidInputError, "invalid_revision"),
    (lambda docs: docs.search(QUERY, at=""), InvalidInputError, "invalid_revision"),
    (lambda docs: docs.search("", exact=True), SpaceMismatchError, "needs_vector"),
    (lambda docs: docs.search(QUERY[:3]), SpaceMismatchError, "wrong_dimension"),
    (lambda docs: docs.search(QUERY, space="other"), SpaceMismatchError, "space_mismatch"),
    (lambda docs: docs.search(QUERY * np.nan), InvalidInputError, "invalid_vector"),
    (lambda docs: docs.search([]), InvalidInputError, "invalid_vector"),
    (lambda docs: docs.search(np.empty((0, 8), np.float32)), InvalidInputError, "empty_query"),
    (lambda docs: docs.search(QUERY, k=0), InvalidInputError, "invalid_k"),
    (lambda docs: docs.search(QUERY, context=-1), InvalidInputError, "invalid_context"),
    (lambda docs: docs.search(QUERY, engine="solr"), InvalidInputError, "unknown_engine"),  # type: ignore[call-overload]
    (lambda docs: docs.search(QUERY, filter={"colour": "red"}), InvalidInputError, "unknown_field"),
    (lambda docs: docs.search(QUERY, filter={"year": {"$near": 1}}), InvalidInputError, "invalid_filter"),
    (lambda docs: docs.show("nowhere"), NotFoundError, "revision_not_found"),
    (lambda docs: list(docs.log("0" * 64)), NotFoundError, "revision_not_found"),
    (lambda docs: docs.documents("nowhere"), NotFoundError, "revision_not_found"),
    (lambda docs: docs.diff("main", "nowhere"), NotFoundError, "revision_not_found"),
    (lambda docs: docs.diff("main", "main", document="nowhere"), NotFoundError, "document_not_found"),
    (lambda docs: docs.publication(), vecver.NotPublishedError, "not_published"),
    (lambda docs: docs.tag("v1"), ConflictError, "name_taken"),
    (lambda docs: docs.tag("main"), ConflictError, "name_taken"),
    (lambda docs: docs.branch("v1"), ConflictError, "name_taken"),
    (lambda docs: docs.promote("v1"), ConflictError, "name_taken"),
    (lambda docs: docs.tag("a/b"), InvalidInputError, "invalid_name"),
    (lambda docs: docs.rollback("v1"), ConflictError, "tag_fixed"),
    (lambda docs: docs.rollback("nowhere"), NotFoundError, "alias_not_found"),
    (lambda docs: docs.delete_branch("main"), ConflictError, "last_branch"),
    (lambda docs: docs.delete_alias("nowhere"), NotFoundError, "alias_not_found"),
    (lambda docs: docs.moves("tag", "nowhere"), NotFoundError, "tag_not_found"),
    (lambda docs: docs.ingest([]), InvalidInputError, "empty_source"),
    (lambda docs: docs.ingest("/no/such/folder"), NotFoundError, "source_not_found"),
    (lambda docs: docs.ingest(PLAIN * 2), InvalidInputError, "duplicate_document"),
    (lambda docs: docs.ingest(PLAIN, label="\n"), InvalidInputError, "invalid_label"),
    (lambda docs: docs.ingest(records({"a": "x"}), metric="l2"), InvalidInputError, "conflicting_options"),
    (lambda docs: docs.ingest(records({"a": "x"}), branch="other"), NotFoundError, "branch_not_found"),
    (lambda docs: docs.ingest(records({"doc-1": "x"}), label="elsewhere"), InvalidInputError, "source_conflict"),
    (
        lambda docs: docs.ingest([{"id": "a", "text": "x"}], embedder="hashing", keep_missing=True),
        SpaceMismatchError,
        "mixed_spaces",
    ),
]


def test_errors_are_the_same(both: dict[str, Repo]) -> None:
    filled(both["local"])
    both["local"].dataset("d").tag("v1")
    wrong = []
    for number, (ask, kind, code) in enumerate(ERRORS):
        told = [failure(ask, repository.dataset("d")) for repository in both.values()]
        if told[0] != told[1] or told[0][:2] != (kind, code):
            wrong.append((number, code, *told))
    assert wrong == []


def failure(ask: Callable[[Docs], Any], docs: Docs) -> tuple[type, str, str, str]:
    try:
        ask(docs)
    except VecverError as error:
        return type(error), error.code, error.message, error.hint
    return type(None), "", "", ""


def test_a_key_may_what_its_scopes_say(both: dict[str, Repo], tmp_path: Path) -> None:
    from vecver_service.state.keys import Keys

    docs = filled(both["local"])
    both["local"].dataset("secret").ingest(records({"a": "x"}), space=SPACE)
    _, key = Keys(tmp_path / "state" / "service.sqlite").add("bob", ["d:read"])
    with vecver.connect(both["remote"].url, key) as reader:
        assert reader.datasets() == ["d"]
        assert reader.dataset("d").search(QUERY) == docs.search(QUERY)
        for ask in (
            lambda: reader.dataset("d").promote("prod"),
            lambda: reader.dataset("d").ingest(PLAIN),
            lambda: reader.dataset("secret").search(QUERY),
            lambda: reader.dataset("secret").branches(),
            lambda: reader.dataset("absent").branches(),
        ):
            with pytest.raises(AccessError) as caught:
                ask()
            assert caught.value.code == "forbidden"
    for wrong in (None, key[:-1] + ("a" if key[-1] != "a" else "b")):
        with pytest.raises(AccessError) as caught:
            vecver.connect(both["remote"].url, wrong)
        assert caught.value.code == "unauthenticated"
    assert docs.aliases() == {}


def test_a_write_whose_answer_is_lost_happens_once(both: dict[str, Repo], tmp_path: Path) -> None:
    import httpx2

    from vecver.remote.http import Wire

    class Losing(httpx2.HTTPTransport):
        """Every first answer to a write gets lost on the way."""

        seen: ClassVar[set[str]] = set()

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            answer = super().handle_request(request)
            key = request.headers.get("idempotency-key")
            if key is None or key in self.seen:
                return answer
            self.seen.add(key)
            answer.read()
            answer.close()
            raise httpx2.ReadError("lost", request=request)

    wire = both["remote"]._wire  # type: ignore[union-attr]
    with vecver.RemoteRepository(Wire(wire.url, wire._key, transport=Losing())) as repository:
        docs = filled(repository)
        second, first = (commit.id for commit in docs.log())
        docs.promote("prod", first)
        docs.promote("prod", second)
        docs.rollback("prod")
        docs.tag("v1")
        repository.dataset("pages").ingest(folder_of(tmp_path, PAGES), embedder="hashing")
    docs = both["local"].dataset("d")
    assert [move.reason for move in docs.moves("alias", "prod")] == ["rollback", "promote", "promote"]
    assert [commit.message for commit in docs.log()] == ["second", "first"]
    assert len(wire.get("/v1/jobs")["jobs"]) == 3 and len(Losing.seen) == 7


def test_names_travel_as_they_are(both: dict[str, Repo], tmp_path: Path) -> None:
    names = ['say "hi".md', "a;b=c, d.md", "%22%2F.md", "u\u0308.md", "\u00fc.md", "'x'.md", "100%.md", "#?&.md"]
    folder = folder_of(tmp_path, {f"{n} {name}": f"text {n}" for n, name in enumerate(names)})
    docs = both["remote"].dataset("names")
    docs.ingest(folder, embedder="hashing", label="l\u00e4bel & co", message="a=b&c")
    assert docs.documents() == sorted(f"{n} {name}" for n, name in enumerate(names))
    assert both["local"].dataset("names").ingest(folder, label="l\u00e4bel & co").changed is False
    assert docs.show().message == "a=b&c"


def test_whoever_interrupts_an_ingest_ends_it(both: dict[str, Repo]) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    texts = {f"doc-{i}": f"text number {i} " * 40 for i in range(3000)}
    docs = both["remote"].dataset("d")
    with pytest.raises(KeyboardInterrupt):
        docs.ingest([{"id": id, "text": text} for id, text in texts.items()], embedder="hashing", progress=stop)
    wire, state = both["remote"]._wire, ""  # type: ignore[union-attr]
    while state not in ("succeeded", "cancelled"):  # asked to stop, it stops soon, or it was done already
        time.sleep(0.1)
        state = wire.get("/v1/jobs")["jobs"][0]["state"]
    assert (state == "cancelled") == (both["local"].dataset("d").branches() == {})


# -- bit by bit -------------------------------------------------------------------------------------


def test_answers_are_equal(both: dict[str, Repo], tmp_path: Path) -> None:
    filled(both["remote"])
    pages = both["remote"].dataset("pages")
    pages.ingest(folder_of(tmp_path, PAGES), embedder="hashing")
    pages.promote("prod")
    asked: list[tuple[str, Any, dict[str, Any]]] = [
        ("d", QUERY, {}),
        ("d", QUERY.tolist(), {"k": 3, "exact": True, "at": "main~1"}),
        ("d", QUERY / 3, {"filter": {"year": {"$gte": 2024}, "$or": [{"year": 2024}, {"year": 2025}]}}),
        ("d", [QUERY / 3, QUERY / 7], {"k": 100}),
        ("d", np.stack([QUERY, QUERY / 7]), {"k": np.int64(2)}),
        ("pages", "Ventil \u00f6ffnen \U0001f525", {"at": "prod", "context": 1}),
        ("pages", ["bleed the radiator", "pump"], {"exact": True, "k": 1}),
    ]
    for name, query, how in asked:
        here, there = (repository.dataset(name).search(query, **how) for repository in both.values())
        assert here == there
        for answer in here if isinstance(here, list) else [here]:
            assert all(repository.replay(answer.receipt).identical for repository in both.values())


def test_values_are_equal(both: dict[str, Repo], tmp_path: Path) -> None:
    local, remote = (repository.dataset("d") for repository in both.values())
    filled(both["local"])
    for number in range(120):  # more than a page of commits
        local.branch(f"b{number}", "main~1") if number < 3 else local.rollback("b0", to="main")
    local.tag("v1", "main~1")
    local.promote("prod")
    local.promote("prod", "v1")
    assert both["remote"].id == both["local"].id
    for ask in (
        lambda docs: docs.show("prod"),
        lambda docs: list(docs.log("b0")),
        lambda docs: list(docs.tagged()),
        lambda docs: docs.documents("v1"),
        lambda docs: docs.diff("v1", "main"),
        *(lambda docs, id=id: docs.diff("v1", "main", document=id) for id in ("more", "doc-4", "doc-5")),
        lambda docs: (docs.branches(), docs.tags(), docs.aliases()),
        lambda docs: docs.moves("alias", "prod"),
        lambda docs: docs.moves("branch", "b0"),
        lambda docs: docs.moves("tag", "v1"),
    ):
        assert ask(remote) == ask(local)
    assert len(list(remote.log("b0"))) > 100


def test_what_one_ingests_the_other_has_already(both: dict[str, Repo], tmp_path: Path) -> None:
    """The same documents are the same bytes, ids and labels, whichever way they came."""
    folder = folder_of(tmp_path, PAGES)
    rows = [{"id": "a", "text": "x", "n": 1.5, "tags": ["p", None], "title": "T"}, {"_id": 7, "text": "y\u2028"}]
    for first, second in (("local", "remote"), ("remote", "local")):
        for name, source in (("pages", folder), ("rows", rows)):
            docs = {kind: repository.dataset(f"{name}-{first}") for kind, repository in both.items()}
            made = docs[first].ingest(source, embedder="hashing", prefix="kb/")
            again = docs[second].ingest(source, prefix="kb/")
            assert (again.changed, again.commit, again.documents["unchanged"]) == (
                False,
                made.commit,
                len(made.names["added"]),
            )
    roots = {docs: both["local"].dataset(docs).show().content_root for docs in both["local"].datasets()}
    assert roots["pages-local"] == roots["pages-remote"] and roots["rows-local"] == roots["rows-remote"]


def test_whoever_saw_less_loses(both: dict[str, Repo]) -> None:
    """Two writers, one each way: the second that expects the old place is told where the ref is."""
    local, remote = (repository.dataset("d") for repository in both.values())
    filled(both["local"])
    second, first = (commit.id for commit in local.log())
    seen = replace(remote.promote("prod", first)).after
    local.promote("prod", second, expected=seen)
    with pytest.raises(ConflictError) as caught:
        remote.promote("prod", first, expected=seen)
    assert caught.value.context["found"] == second == remote.aliases()["prod"]
