"""Removals: which documents an ingest removes, and when it stops until removals are allowed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from helpers import records, texts_of
from source_folders import PAGES, write_numbered_pages, write_pages

import vecver
from vecver.cli import main
from vecver.errors import ConflictError


@pytest.mark.parametrize(
    ("before", "after", "stops"),
    [(1, 0, True), (4, 0, True), (4, 1, False), (12, 1, True), (40, 30, False), (50, 39, True), (100, 80, False)],
)
def test_removing_many_documents_stops_until_allowed(
    docs: vecver.Dataset, tmp_path: Path, before: int, after: int, stops: bool
) -> None:
    rows = records({str(i): f"text {i}" for i in range(before)})
    docs.ingest(rows, space="test")
    rest = rows[:after] + records({"new": "another"})
    plan = docs.ingest(rest, dry_run=True)
    assert plan.documents["removed"] == before - after and any("would stop" in note for note in plan.notes) == stops
    if stops:
        with pytest.raises(ConflictError) as caught:
            docs.ingest(rest)
        error = caught.value
        assert error.code == "removals_not_allowed" and "allow_removals=True" in error.hint and error.exit_code == 4
        assert f"{before - after} of the {before} documents" in error.message
        told = error.context["removals"][0]
        assert (told["source"], told["remove"], told["of"]) == ("records", before - after, before)
        assert set(told["first"]) <= {str(i) for i in range(before)} and len(docs.documents()) == before
        assert not docs.ingest(rest, keep_missing=True).documents["removed"]
    assert docs.ingest(rest, allow_removals=True).changed
    assert len(docs.documents()) == after + 1 and docs.repository.check().clean


def test_another_list_of_records_does_not_remove_the_first(docs: vecver.Dataset) -> None:
    docs.ingest([{"id": "a", "text": "one"}], embedder="hashing")
    with pytest.raises(ConflictError):
        docs.ingest([{"id": "b", "text": "two"}])
    assert docs.documents() == ["a"]
    docs.ingest([{"id": "b", "text": "two"}], label="more")
    assert docs.documents() == ["a", "b"]


def test_another_folder_under_an_old_label_stops(docs: vecver.Dataset, handbook: Path, tmp_path: Path) -> None:
    with pytest.raises(ConflictError):
        docs.ingest(write_numbered_pages(tmp_path / "other", 5), label="handbook")
    assert docs.documents() == sorted(PAGES)


def test_each_source_counts_for_itself(docs: vecver.Dataset, tmp_path: Path) -> None:
    big, small = write_numbered_pages(tmp_path / "big", 100), write_pages(tmp_path / "small", {"a.md": "1"})
    docs.ingest([big, small], embedder="hashing")
    (small / "a.md").rename(small / "b.md")
    with pytest.raises(ConflictError) as caught:
        docs.ingest([big, small])
    assert [told["source"] for told in caught.value.context["removals"]] == ["small"]


def test_what_moves_to_another_source_is_not_removed(docs: vecver.Dataset, tmp_path: Path) -> None:
    one, two = write_pages(tmp_path / "one", {"a.md": "1"}), write_pages(tmp_path / "two", {"b.md": "2"})
    docs.ingest([one, two], embedder="hashing")
    (one / "a.md").rename(two / "a.md")
    write_pages(one, {"c.md": "3"})
    assert docs.ingest([one, two]).documents["removed"] == 0


def test_after_a_stop_nothing_is_embedded_again(docs: vecver.Dataset, handbook: Path) -> None:
    for file in handbook.rglob("*.md"):
        file.unlink()
    write_pages(handbook, {"new.md": "new"})
    before = docs.resolve()
    with pytest.raises(ConflictError):
        docs.ingest(handbook)
    assert docs.resolve() == before and docs.documents() == sorted(PAGES)
    assert docs.ingest(handbook, allow_removals=True).chunks["embedded"] == 0


@pytest.mark.parametrize("bad", [{"id": "x", "text": None}, {"id": 1.5, "text": "t"}, {"id": "", "text": "t"}])
def test_a_source_whose_only_record_failed_removes_nothing(docs: vecver.Dataset, bad: dict[str, Any]) -> None:
    docs.ingest(records({str(i): f"text {i}" for i in range(30)}), space="test")
    options: list[dict[str, Any]] = [{}, {"dry_run": True}, {"keep_missing": True}]
    for how in options:
        report = docs.ingest([bad], **how)
        assert report.documents["removed"] == 0 and report.documents["failed"] == 1 and not report.changed
        told = any("30 documents of the source 'records'" in note for note in report.notes)
        assert told == ("keep_missing" not in how)
    assert docs.status([bad])["removed"] == [] and len(docs.documents()) == 30
    named = bad["id"] == "x"  # what has no name may be any of them, whatever is allowed
    assert docs.ingest([bad], allow_removals=True).documents["removed"] == (30 if named else 0)


def test_a_record_without_a_usable_id_may_be_any(docs: vecver.Dataset) -> None:
    docs.ingest(records({"7": "seven", "8": "eight", "9": "nine"}), space="test")
    rows = records({"7": "seven", "9": "nine"})
    report = docs.ingest([*rows, {**records({"8": "eight"})[0], "id": 8.0}])
    assert report.documents["removed"] == 0 and set(texts_of(docs)) == {"7", "8", "9"}


def test_a_source_whose_files_all_became_unreadable(docs: vecver.Dataset, handbook: Path) -> None:
    for name in PAGES:
        (handbook / name).unlink()
    (handbook / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    report = docs.ingest(handbook)
    assert report.documents["failed"] == 1 and report.documents["removed"] == 0 and not report.changed
    assert docs.documents() == sorted(PAGES)


def test_what_lies_behind_a_link_to_nowhere_stays(docs: vecver.Dataset, tmp_path: Path) -> None:
    shared, folder = write_numbered_pages(tmp_path / "shared", 3), write_pages(tmp_path / "handbook", PAGES)
    (folder / "more").symlink_to(shared)
    docs.ingest(folder, embedder="hashing")
    shutil.move(shared, tmp_path / "away")
    (folder / "keys.md").unlink()
    report = docs.ingest(folder)
    assert report.names["removed"] == ("keys.md",) and [f.document for f in report.failures] == ["more"]
    assert docs.documents() == sorted({*PAGES, "more/000.md", "more/001.md", "more/002.md"} - {"keys.md"})


def test_a_dry_run_tells_what_the_run_will_do(docs: vecver.Dataset, tmp_path: Path) -> None:
    folder = write_numbered_pages(tmp_path / "docs", 20)
    (folder / "twice.md").write_text("# Page 1\n\nWords about 001.md.\n")

    def both(**how: Any) -> None:
        plan = docs.ingest(folder, dry_run=True, **how)
        report = docs.ingest(folder, **how)
        for name in ("documents", "chunks", "tokens", "names", "failures"):
            assert getattr(plan, name) == getattr(report, name), name

    both(embedder="hashing")
    both()
    (folder / "003.md").unlink()
    (folder / "004.md").write_text("# Page 1\n\nAnother text.\n")
    (folder / "long.md").write_text("\n\n".join(f"Paragraph {i} says {i * 7919}. " * 20 for i in range(40)))
    (folder / "empty.md").write_text("")
    both()
    both(keep_missing=True)
    (folder / "long.md").write_text("\n\n".join(f"Paragraph {i} says {i * 7919}. " * 20 for i in range(5, 35)))
    (folder / "twice.md").unlink()
    both()


def test_a_dry_run_of_given_vectors(docs: vecver.Dataset) -> None:
    docs.ingest(records({"a": "1", "b": "2", "c": "3"}), space="test")
    rows = records({"a": "1", "b": "other", "d": "4"})
    plan, report = docs.ingest(rows, dry_run=True), docs.ingest(rows)
    assert (plan.documents, plan.chunks, plan.names) == (report.documents, report.chunks, report.names)
    assert plan.chunks["removed"] == 2 and plan.chunks["live"] == 3


def test_status_is_clean_after_an_ingest(docs: vecver.Dataset, handbook: Path, tmp_path: Path) -> None:
    (handbook / "empty.md").write_text("")
    (handbook / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    clean = {"added": [], "changed": [], "removed": [], "failed": ["broken.pdf", "empty.md"]}
    assert not docs.ingest(handbook).changed  # no commit; it is remembered all the same
    assert docs.status(handbook) == clean and docs.measures() == {}
    docs.ingest(write_pages(tmp_path / "other", {"o.md": "o"}))  # a commit of another source
    assert docs.status(handbook) == clean
    (handbook / "keys.md").write_bytes(b"")
    docs.ingest(handbook)
    assert docs.status(handbook) == {**clean, "failed": ["broken.pdf", "empty.md", "keys.md"]}
    (handbook / "empty.md").write_text("no more\n")
    assert docs.status(handbook) == {**clean, "added": ["empty.md"], "failed": ["broken.pdf", "keys.md"]}
    (handbook / "broken.pdf").unlink()
    docs.ingest(handbook)
    assert docs.status(handbook) == {**clean, "failed": ["keys.md"]}
    assert docs.repository.check().clean


def test_the_command_line_stops_at_removals_and_allows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VECVER_REPO", raising=False)
    write_pages(tmp_path / "handbook", PAGES)

    def run(*words: str, code: int = 0) -> Any:
        result = CliRunner().invoke(main, list(words), catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result

    run("init")
    run("ingest", "d", "handbook", "--embedder", "hashing")
    (tmp_path / "handbook" / "heating.md").write_text("# Other\n")
    shown = run("ingest", "d", "handbook/heating.md", "--source", "handbook").output
    assert "  documents  1 changed\n" in shown and run("status", "d", "handbook").output == "d@main is up to date\n"
    for name in PAGES:
        (tmp_path / "handbook" / name).unlink()
    write_pages(tmp_path / "handbook", {"new.md": "new"})
    plan = run("ingest", "d", "handbook", "--dry-run")
    assert "+ new.md" in plan.output and "- deep/pump.md" in plan.output and "would stop" in plan.output
    assert json.loads(run("ingest", "d", "handbook", "--dry-run", "--json").stdout)["names"]["added"] == ["new.md"]
    stopped = run("ingest", "d", "handbook", code=4)
    assert "4 of the 4 documents of the source 'handbook'" in stopped.output and "--allow-removals" in stopped.output
    assert "4 removed" in run("ingest", "d", "handbook", "--allow-removals").output
    (tmp_path / "handbook" / "empty.md").write_text("")
    run("ingest", "d", "handbook")
    assert run("status", "d", "handbook").output.splitlines()[-1] == "d@main is up to date"
