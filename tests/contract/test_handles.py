"""One suite for both handles: the repository in this process, and the same one behind a service.

What a handle returns is compared with values worked out here. test_handles_agree.py compares the two bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handles import PAGES, QUERY, TEXTS, Docs, Repo, filled, folder_of
from helpers import SPACE, best, records, vector_of

import vecver
from vecver.errors import ConflictError, InvalidInputError, NotFoundError

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")


# -- documents in -----------------------------------------------------------------------------------


def test_a_folder_becomes_a_version(handle: Repo, tmp_path: Path) -> None:
    docs = handle.dataset("handbook")
    events: list[Any] = []
    folder = folder_of(tmp_path, {**PAGES, ".hidden.md": "no", "skip.log": "no", ".gitignore": "*.log\n"})
    report = docs.ingest(folder, embedder="hashing", message="June", progress=lambda *what: events.append(what))
    assert report.changed and not report.failures
    assert report.documents == {"added": 3, "changed": 0, "removed": 0, "unchanged": 0, "failed": 0}
    assert set(report.names["added"]) == set(PAGES)
    assert docs.documents() == sorted(PAGES)
    commit = docs.show()
    assert (commit.id, commit.message, commit.author) == (report.commit, "June", "alice")
    assert [source["label"] for source in commit.operation["sources"]] == ["handbook"]
    assert sum(count for unit, count, *_ in events if unit == "documents") == 3

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
    (events,) = caught.value.context["removals"]
    assert (events["source"], events["remove"], events["of"], len(events["first"])) == ("records", 15, 30, 15)
    report = docs.ingest(rest, allow_removals=True)
    assert (report.documents, report.chunks, report.names) == (plan.documents, plan.chunks, plan.names)
    assert len(docs.documents()) == 15


# -- answers out ------------------------------------------------------------------------------------


def test_the_best_are_found(handle: Repo) -> None:
    docs = filled(handle)
    answer = docs.search(QUERY, at="main~1", k=5, exact=True)
    assert [(hit.document, hit.score) for hit in answer] == best(TEXTS, QUERY, 5)
    assert [hit.rank for hit in answer] == [1, 2, 3, 4, 5]
    assert answer[0].score_bits == np.float64(answer[0].score).byteswap().tobytes().hex()
    assert (answer.dataset, answer.revision, answer.commit) == ("d", "main~1", docs.resolve("main~1"))
    assert answer[0].metadata == {"year": 2024} and answer[0].text == TEXTS[answer[0].document]
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
    assert [answer.reason for answer in docs.moves("alias", "prod")] == ["rollback", "promote", "promote"]
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
