"""Bad input and races during an ingest: a clear error or a reported failure, and nothing half-written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from handbook import PAGES, Counting, write
from inside import versions_of

import vecver

# -- bad input: a clear error or a reported failure, and nothing half-written -----------------------


def test_unreadable_documents_are_reported_and_keep_their_version(docs: vecver.Dataset, source: Path) -> None:
    docs.ingest(source, embedder="hashing")
    (source / "pump.md").write_bytes(b"")
    (source / "noise.bin").write_bytes(os.urandom(512) + b"\0\1\2")
    (source / "blank.txt").write_text(" \n\n ")
    report = docs.ingest(source)
    assert {f.document: f.code for f in report.failures} == {
        "pump.md": "empty",
        "noise.bin": "binary",
        "blank.txt": "no_text",
    }
    assert all(failure.reason for failure in report.failures)
    assert not report.changed and "pump.md" in docs.documents()
    with pytest.raises(vecver.InvalidInputError) as error:
        docs.ingest(source, strict=True)
    assert error.value.code == "documents_failed"


def test_a_partly_unreadable_source_loses_nothing(docs: vecver.Dataset, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n{"id": "c", "text": "three"}\n')
    docs.ingest(file, embedder="hashing")
    file.write_text('{"id": "a", "text": "one"}\n{"id": "b", "te\n')
    report = docs.ingest(file)
    assert [failure.code for failure in report.failures] == ["malformed"]
    assert report.documents["removed"] == 0 and docs.documents() == ["a", "b", "c"]
    assert docs.status(file)["removed"] == []


def test_invalid_utf8_is_read(docs: vecver.Dataset, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "latin.txt").write_bytes("Müller öffnet die Tür und grüßt alle Gäste im Haus.".encode("latin-1"))
    docs.ingest(tmp_path / "x", embedder="hashing")
    assert "öffnet die Tür" in docs.search("Tür")[0].text


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda folder: folder / "nowhere", "source_not_found"),
        (lambda folder: folder, "empty_source"),
        (lambda folder: str(folder / "*.md"), "empty_source"),
        (lambda folder: [{"id": "a", "text": "1"}, {"id": "a", "text": "2"}], "duplicate_document"),
        (lambda folder: [], "empty_source"),
    ],
)
def test_a_bad_source_is_an_error_and_changes_nothing(
    docs: vecver.Dataset, tmp_path: Path, make: Any, code: str
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(vecver.VecverError) as error:
        docs.ingest(make(folder), embedder="hashing")
    assert error.value.code == code and error.value.hint
    assert not docs.branches() and not list((tmp_path / "kb").glob("segments/*"))


def test_an_emptied_source_does_not_remove_its_documents(docs: vecver.Dataset, source: Path) -> None:
    docs.ingest(source, embedder="hashing")
    for file in [*source.rglob("*.md")]:
        file.unlink()
    with pytest.raises(vecver.InvalidInputError) as error:
        docs.ingest(source)
    assert error.value.code == "empty_source" and len(docs.documents()) == 3


@pytest.mark.parametrize("bad", ["../up", "a/../b", "nul\0", "two\nlines", "x" * 4000, ""])
def test_bad_ids_are_reported(docs: vecver.Dataset, bad: str) -> None:
    report = docs.ingest([{"id": bad, "text": "t"}, {"id": "good", "text": "t"}], embedder="hashing")
    assert [failure.code for failure in report.failures] == ["invalid_id"]
    assert docs.documents() == ["good"]


def test_one_id_from_two_sources_says_how_to_prefix(docs: vecver.Dataset, source: Path, tmp_path: Path) -> None:
    docs.ingest(source, embedder="hashing")
    write(tmp_path / "other" / "pump.md", "another pump\n")
    with pytest.raises(vecver.InvalidInputError) as error:
        docs.ingest(tmp_path / "other")
    assert error.value.code == "source_conflict" and "prefix=" in error.value.hint
    docs.ingest(tmp_path / "other", prefix="other/")
    assert "other/pump.md" in docs.documents() and "pump.md" in docs.documents()


def test_a_document_may_move_between_sources_of_one_command(docs: vecver.Dataset, tmp_path: Path) -> None:
    write(tmp_path / "a" / "x.md", "the words\n")
    write(tmp_path / "a" / "stays.md", "others\n")
    write(tmp_path / "b" / "y.md", "more words\n")
    both = [tmp_path / "a", tmp_path / "b"]
    docs.ingest(both, embedder="hashing")
    (tmp_path / "a" / "x.md").rename(tmp_path / "b" / "x.md")
    report = docs.ingest(both)
    assert report.chunks["embedded"] == 0 and docs.documents() == ["stays.md", "x.md", "y.md"]
    assert not docs.ingest(tmp_path / "b").changed  # it belongs to b now


def test_a_repository_in_its_own_source_is_no_document(tmp_path: Path) -> None:
    write(tmp_path / "x" / "a.md", "words\n")
    docs = vecver.open(tmp_path / "x" / "kb", create=True).dataset("d")
    docs.ingest(tmp_path / "x", embedder="hashing")
    assert not docs.ingest(tmp_path / "x").changed and docs.documents() == ["a.md"]


def test_broken_records_of_two_files_with_one_name(docs: vecver.Dataset, tmp_path: Path) -> None:
    for folder in ("j1", "j2"):
        write(tmp_path / folder / "d.jsonl", "{broken\n" + f'{{"id": "{folder}", "text": "words"}}\n')
    report = docs.ingest([tmp_path / "j1" / "d.jsonl", tmp_path / "j2" / "d.jsonl"], embedder="hashing")
    assert [failure.code for failure in report.failures] == ["malformed"] * 2 and docs.documents() == ["j1", "j2"]


def test_a_symlink_loop_is_reported(docs: vecver.Dataset, source: Path) -> None:
    (source / "deep" / "loop").symlink_to(source)
    report = docs.ingest(source, embedder="hashing")
    assert [failure.code for failure in report.failures] == ["symlink_loop"] and len(docs.documents()) == 3


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([{"id": "a", "text": "t", "vector": [float("nan"), 1.0]}], "invalid_vector"),
        ([{"id": "a", "text": "t", "vector": [1.0, 2.0, 3.0]}], "wrong_dimension"),
        ([{"id": "a", "text": "t"}], "no_vector"),
    ],
)
def test_vectors_that_do_not_fit_are_reported(docs: vecver.Dataset, rows: Any, code: str) -> None:
    docs.ingest([{"id": "z", "text": "t", "vector": [1.0, 0.0]}], space="mine")
    report = docs.ingest(rows, label="more")
    assert [failure.code for failure in report.failures] == [code]
    assert not report.changed and docs.documents() == ["z"]


def test_records_without_vectors_in_a_new_space_are_an_error(docs: vecver.Dataset) -> None:
    with pytest.raises(vecver.InvalidInputError) as error:
        docs.ingest([{"id": "a", "text": "t"}], space="mine")
    assert error.value.code == "no_vector"


def test_vectors_without_a_space_are_reported(docs: vecver.Dataset) -> None:
    report = docs.ingest([{"id": "a", "text": "t", "vector": [1.0]}], embedder="hashing")
    assert [failure.code for failure in report.failures] == ["unexpected_vector"] and not report.changed


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"embedder": "nobody"}, "unknown_embedder"),
        ({"chunker": "nobody"}, None),
        ({"chunk_tokens": 100000}, None),
        ({"branch": "no/name"}, "invalid_name"),
        ({"space": "mine", "chunker": "whole"}, "conflicting_options"),
        ({"space": "mine", "chunk_tokens": 0}, "conflicting_options"),
        ({"chunk_tokens": 0}, None),
        ({"metric": "l2"}, "conflicting_options"),
        ({"space": " "}, "invalid_space"),
    ],
)
def test_bad_options_are_errors(docs: vecver.Dataset, how: Any, code: str | None) -> None:
    with pytest.raises(vecver.InvalidInputError) as error:
        docs.ingest([{"id": "a", "text": "t"}], **{"embedder": "hashing", **how} if "space" not in how else how)
    assert error.value.hint and (code is None or error.value.code == code)
    assert not docs.branches()


def test_a_branch_that_does_not_exist_is_an_error(docs: vecver.Dataset, source: Path) -> None:
    docs.ingest(source, embedder="hashing")
    with pytest.raises(vecver.NotFoundError) as error:
        docs.ingest(source, branch="tyop")
    assert error.value.code == "branch_not_found"


def test_the_loser_of_a_race_lands_after_the_winner_and_embeds_nothing_again(
    docs: vecver.Dataset, source: Path, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs.ingest(source)
    write(source / "slow.md", "# Slow\n\nWords of the slow writer.\n")
    save, rival = versions_of(docs).save, [{"id": "rival", "text": "first"}]

    def overtaken(*arguments: Any) -> str:
        monkeypatch.undo()
        monkeypatch.setattr("vecver.pipeline.open_embedder", lambda spec, **how: counting)
        docs.ingest(rival, label="rival")
        counting.texts.clear()
        return save(*arguments)

    monkeypatch.setattr(versions_of(docs), "save", overtaken)
    report = docs.ingest(source)
    assert docs.documents() == sorted([*PAGES, "rival", "slow.md"]) and counting.texts == []
    assert report.names == {"added": ("slow.md",), "changed": (), "removed": ()}
    assert docs.diff("main~1", "main").added == ("slow.md",) and docs.diff("main~2", "main~1").added == ("rival",)
    assert docs.repository.check().clean


def test_the_loser_of_the_first_commit_lands_after_it(
    docs: vecver.Dataset, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = versions_of(docs).save

    def overtaken(*arguments: Any) -> str:
        monkeypatch.undo()
        docs.ingest([{"id": "rival", "text": "first"}], label="rival", embedder="hashing")
        return save(*arguments)

    monkeypatch.setattr(versions_of(docs), "save", overtaken)
    report = docs.ingest(source, embedder="hashing")
    assert docs.documents() == sorted([*PAGES, "rival"]) and docs.resolve() == report.commit
    assert len(list(docs.log())) == 2 and docs.repository.check().clean
