"""What an ingest did not read is in its report, in the commit, and listed for every later version."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from inside import session_of

import vecver
from vecver import pipeline
from vecver.cli.app import main
from vecver.model import Answer, Coverage, Original, Parsed, Report, TokenCounts
from vecver.pipeline.parsers import parse
from vecver.pipeline.parsers.coverage import Content, Part

LOST = Coverage(10, 7, 1, ("2 of 4 words of page 3 could not be kept: 'boiler', 'valve'.",))


@pytest.fixture
def docs(tmp_path: Path) -> vecver.Dataset:
    return vecver.create(tmp_path / "repo").dataset("handbook")


@pytest.fixture
def handbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of documents, of which those with "torn" in them are read in part."""

    def parse_all(originals: Iterator[Original], **_: object) -> Iterator[tuple[Original, Parsed]]:
        for original in originals:
            text = (original.data or b"").decode()
            coverage = LOST if "torn" in text else Coverage(5, 5) if "whole" in text else None
            yield original, Parsed(text, "", "text/plain", "test 1", coverage)

    monkeypatch.setattr(pipeline, "parse_all", parse_all)
    folder = tmp_path / "handbook"
    folder.mkdir()
    write(folder, **{"a.txt": "a torn page", "b.txt": "a whole page", "c.txt": "text as it is"})
    return folder


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / name).write_text(text)


def ingest(docs: vecver.Dataset, folder: Path, **how: object) -> Report:
    return docs.ingest(folder, embedder="hashing", allow_removals=True, **how)  # type: ignore[arg-type]


def test_the_report_and_the_commit_tell_what_was_not_read(docs: vecver.Dataset, handbook: Path) -> None:
    planned = ingest(docs, handbook, dry_run=True)
    report = ingest(docs, handbook)
    assert report.coverage == planned.coverage == {"a.txt": LOST, "b.txt": Coverage(5, 5)}
    assert report.notes == planned.notes == (f"a.txt: {LOST.notes[0]}",)
    assert report.failures == ()
    totals = {"measured": 2, "partial": 1, "words": 15, "kept": 12, "furniture": 1, "share": 0.8571}
    documents = [{"document": "a.txt", **LOST.to_json()}, {"document": "b.txt", **Coverage(5, 5).to_json()}]
    assert report.to_json()["coverage"] == {**totals, "documents": documents}
    operation = docs.show().operation
    assert operation["coverage"] == totals and operation["partial"] == documents[:1]
    assert Report.from_json(report.to_json()).coverage == report.coverage


def test_a_version_lists_what_earlier_ingests_read_in_part(docs: vecver.Dataset, handbook: Path) -> None:
    first = ingest(docs, handbook)
    write(handbook, **{"c.txt": "another text"})
    assert ingest(docs, handbook).notes == ()
    assert docs.partial_reads() == {"a.txt": LOST}
    write(handbook, **{"c.txt": "torn now"})
    ingest(docs, handbook)
    assert list(docs.partial_reads()) == ["a.txt", "c.txt"]
    write(handbook, **{"c.txt": "mended"})
    (handbook / "a.txt").unlink()
    ingest(docs, handbook)
    assert docs.partial_reads() == {}
    assert docs.partial_reads(first) == {"a.txt": LOST}
    docs.rollback("main", first)
    assert docs.partial_reads() == {"a.txt": LOST}


def test_a_document_that_fails_later_stays_listed_as_it_was_read(docs: vecver.Dataset, handbook: Path) -> None:
    ingest(docs, handbook)
    write(handbook, **{"a.txt": " \n", "c.txt": "another text"})
    assert [failure.document for failure in ingest(docs, handbook).failures] == ["a.txt"]
    assert docs.partial_reads() == {"a.txt": LOST}


def test_commands_list_what_was_read_in_part(tmp_path: Path, handbook: Path) -> None:
    write(handbook, **{f"{n:02}.txt": "torn" for n in range(12)})

    def run(*words: str) -> tuple[str, str]:
        done = CliRunner().invoke(main, ["--repo", str(tmp_path / "cli"), *words], catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout, done.stderr

    run("init")
    out, err = run("ingest", "kb", str(handbook), "--embedder", "hashing")
    assert "text 78.6% of the words were kept; 13 documents read in part" in " ".join(out.split())
    assert err.count("note: ") == 10 and err.splitlines()[-1] == "... and 3 more: `vecver show kb` lists them"
    shown = json.loads(run("show", "kb", "--json")[0])["partial"]
    assert [one["document"] for one in shown] == [f"{n:02}.txt" for n in range(12)] + ["a.txt"]
    assert shown[-1] == {"document": "a.txt", **LOST.to_json()}
    assert f"  a.txt: {LOST.notes[0]}" in run("show", "kb")[0]
    assert json.loads(run("status", "kb", str(handbook), "--json")[0])["partial"] == shown
    assert f"% 00.txt (read in part): {LOST.notes[0]}" in run("status", "kb", str(handbook))[0]


def test_a_service_lists_what_was_read_in_part(docs: vecver.Dataset, handbook: Path, tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
    from serving import running
    from vecver_service.app import create_app
    from vecver_service.settings import ServiceSettings

    first = ingest(docs, handbook)
    write(handbook, **{"a.txt": "mended"})
    ingest(docs, handbook)
    settings = ServiceSettings(state=str(tmp_path / "state"), no_auth=True)
    with running(create_app(docs.repository, settings)) as url, vecver.connect(url) as remote:
        assert remote.dataset("handbook").partial_reads(first) == {"a.txt": LOST}
        assert remote.dataset("handbook").partial_reads() == {}


def test_a_share_is_never_rounded_up_to_everything() -> None:
    assert Coverage(1_000_000, 999_999).to_json()["share"] == 0.9999
    assert Coverage(3, 3).to_json()["share"] == 1.0


def test_a_document_whose_coverage_cannot_be_computed_is_read_and_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(data: bytes, media_type: str, passwords: Sequence[str]) -> Content:
        return Content("text", parts=[Part("page 1", None)])  # type: ignore[arg-type]

    reader = parse.Reader(read, ("test 1",))
    monkeypatch.setitem(parse.READERS, "text/plain", reader)
    parsed = parse.parse(b"text", "a.txt")
    assert parsed.text == "text" and parsed.coverage
    (note,) = parsed.coverage.notes
    assert note.startswith("Whether its text is complete could not be checked (AttributeError)")


# -- what the embedder cannot see ---------------------------------------------------------------


class Ascii:
    """Knows words of ASCII alone, and reads 4 of them."""

    def __init__(self) -> None:
        self.inner = pipeline.open_embedder("hashing")
        self.name, self.max_tokens = "ascii", 4

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def token_counts(self, texts: Sequence[str]) -> TokenCounts:
        words = [text.split() for text in texts]
        tokens = np.array([len(row) for row in words])
        unknown = np.array([sum(not word.isascii() for word in row) for row in words])
        return TokenCounts(tokens, unknown, np.maximum(tokens - 4, 0))


def test_documents_that_the_embedder_cannot_see_are_named(
    docs: vecver.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_of(docs).embedders, "open", lambda _: Ascii())
    texts = {"thai": "ท่อ น้ำ valve", "long": "one two three four five six", "plain": "one valve"}
    records = [{"id": id, "text": text} for id, text in texts.items()]
    planned = docs.ingest(records, label="r", chunker="whole", dry_run=True)
    report = docs.ingest(records, label="r", chunker="whole")
    assert (
        report.notes
        == planned.notes
        == (
            "thai: The embedder ascii does not know 67% of its tokens, so texts of that script or with such words look "
            "alike to it: use a multilingual embedder, such as "
            "sentence-transformers:paraphrase-multilingual-MiniLM-L12-v2.",
            "long: The embedder ascii does not read the last 2 of its 6 tokens.",
        )
    )
    assert Report.from_json(report.to_json()).unseen == report.unseen
    whole, foreign, long = docs.search(["valve", "ท่อ valve", "a b c d e"])
    assert [answer.query for answer in (whole, foreign, long)] == [
        None,
        {"tokens": 2, "unknown": 1, "cut": 0},
        {"tokens": 5, "unknown": 0, "cut": 1},
    ]
    assert "query" not in whole.to_json() and Answer.from_json(long.to_json()).query == long.query


def test_minilm_counts_what_it_does_not_know_or_read() -> None:
    counts = pipeline.open_embedder("minilm").token_counts(["open the valve", "ท่อน้ำ valve", "x" * 101, "word " * 300])
    assert counts.tokens.tolist() == [3, 2, 1, 300]
    assert counts.unknown.tolist() == [0, 1, 1, 0]
    assert counts.cut.tolist() == [0, 0, 0, 46]
