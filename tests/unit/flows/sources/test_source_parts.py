"""Parts of a source: ingesting a file or folder of a known source updates that part alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from source_folders import PAGES, forget_places, labels_of, write_pages

import vecver


@pytest.mark.parametrize("label", [None, "handbook"])
@pytest.mark.parametrize("name", list(PAGES))
def test_a_file_of_a_known_source_updates_that_document(
    docs: vecver.Dataset, handbook: Path, name: str, label: str | None
) -> None:
    (handbook / name).write_text("# Another text\n\nOther words.\n")
    (handbook / "keys.md").write_text("# Edited too\n")
    report = docs.ingest(handbook / name, label=label)
    assert dict(report.names) == {"added": (), "changed": (name,), "removed": ()}
    assert docs.documents() == sorted(PAGES) and set(labels_of(docs).values()) == {"handbook"}
    assert docs.show().operation["sources"][0]["scope"] == ""
    left = [] if name == "keys.md" else ["keys.md"]
    assert docs.status(handbook) == {"added": [], "changed": left, "removed": [], "failed": []}


@pytest.mark.parametrize("label", [None, "handbook"])
def test_a_new_file_of_a_known_source_has_the_id_of_its_folder(
    docs: vecver.Dataset, handbook: Path, label: str | None
) -> None:
    write_pages(handbook, {"deep/new.md": "new"})
    assert docs.ingest(handbook / "deep" / "new.md", label=label).names["added"] == ("deep/new.md",)
    assert not docs.ingest(handbook).changed


def test_files_of_a_known_source_that_a_shell_expands(docs: vecver.Dataset, handbook: Path) -> None:
    for name in ("heating.md", "keys.md", "deep/pump.md"):
        (handbook / name).write_text("# Another text\n\nOther words.\n")
    report = docs.ingest([handbook / "heating.md", handbook / "deep/pump.md"])
    assert report.names["changed"] == ("heating.md", "deep/pump.md") and docs.documents() == sorted(PAGES)


@pytest.mark.parametrize("label", [None, "handbook"])
def test_a_folder_of_a_known_source_removes_only_its_documents(
    docs: vecver.Dataset, handbook: Path, label: str | None
) -> None:
    (handbook / "keys.md").unlink()
    (handbook / "deep" / "pump.md").unlink()
    write_pages(handbook, {"deep/new.md": "new"})
    assert docs.status(handbook / "deep", label=label)["removed"] == ["deep/pump.md"]
    report = docs.ingest(handbook / "deep", label=label)
    assert dict(report.names) == {"added": ("deep/new.md",), "changed": (), "removed": ("deep/pump.md",)}
    assert "keys.md" in docs.documents() and set(labels_of(docs).values()) == {"handbook"}
    assert docs.ingest(handbook).names["removed"] == ("keys.md",)


def test_a_part_keeps_the_prefix_and_the_ignore_files_of_its_source(docs: vecver.Dataset, tmp_path: Path) -> None:
    folder = write_pages(tmp_path / "handbook", {**PAGES, "deep/skip.log": "log"})
    (folder / ".vecverignore").write_text("*.log\n")
    docs.ingest(folder, prefix="kb/", embedder="hashing")
    for part in ("keys.md", "deep", "deep/low/valve.md", "deep/low/*.md"):
        assert not docs.ingest(folder / part).changed, part
    assert docs.documents() == sorted(f"kb/{name}" for name in PAGES)


def test_a_linked_folder_in_a_source_is_a_part_by_its_link(docs: vecver.Dataset, tmp_path: Path) -> None:
    shared = write_pages(tmp_path / "shared", {"a.md": "1", "b.md": "2"})
    folder = write_pages(tmp_path / "handbook", {"c.md": "3"})
    (folder / "more").symlink_to(shared)
    docs.ingest(folder, embedder="hashing")
    (shared / "a.md").write_text("# Edited\n")
    assert docs.ingest(folder / "more" / "a.md").names["changed"] == ("more/a.md",)
    assert docs.documents() == ["c.md", "more/a.md", "more/b.md"]


def test_a_glob_removes_only_documents_that_it_matches(docs: vecver.Dataset, tmp_path: Path) -> None:
    folder = write_pages(tmp_path / "docs", {"a.md": "1", "b.md": "2", "c.txt": "3", "x/d.md": "4"})
    docs.ingest(str(folder / "*.md"), embedder="hashing")
    docs.ingest(str(folder / "*.txt"))
    assert docs.documents() == ["a.md", "b.md", "c.txt"]
    docs.ingest(folder)
    (folder / "a.md").unlink()
    (folder / "x" / "d.md").unlink()
    assert docs.ingest(str(folder / "*.md")).names["removed"] == ("a.md",)
    assert docs.documents() == ["b.md", "c.txt", "x/d.md"]


def test_a_folder_beside_what_a_glob_matched_is_a_source_of_its_own(docs: vecver.Dataset, tmp_path: Path) -> None:
    folder = write_pages(tmp_path / "kb", {"a.md": "1", "more/b.md": "2"})
    docs.ingest(str(folder / "*.md"), embedder="hashing")
    docs.ingest(folder / "more")
    assert labels_of(docs) == {"a.md": "kb", "b.md": "more"}


def test_a_file_under_a_label_removes_nothing_wherever_it_lies(
    docs: vecver.Dataset, handbook: Path, tmp_path: Path
) -> None:
    other = write_pages(tmp_path / "other", {"heating.md": "# From elsewhere\n"}) / "heating.md"
    assert docs.ingest(other, label="handbook").names["changed"] == ("heating.md",)
    assert docs.documents() == sorted(PAGES)
    (handbook / "heating.md").write_text("# Here again\n")
    assert docs.ingest(handbook).names["changed"] == ("heating.md",)  # the label still lies here


@pytest.mark.parametrize("name", ["heating.md", "deep/pump.md", "deep"])
def test_a_part_of_a_source_of_a_repository_made_before(docs: vecver.Dataset, handbook: Path, name: str) -> None:
    forget_places(docs)
    (handbook / "keys.md").write_text("# Edited\n")
    assert not docs.ingest(handbook / name, label="handbook").changed
    assert docs.documents() == sorted(PAGES)


def test_a_repository_without_places_still_ingests(docs: vecver.Dataset, handbook: Path, tmp_path: Path) -> None:
    forget_places(docs)
    assert not docs.ingest(handbook).changed
    (handbook / "keys.md").unlink()
    assert docs.ingest(handbook).names["removed"] == ("keys.md",)
    docs.ingest(write_pages(tmp_path / "b" / "handbook", {"z.md": "z"}))
    assert labels_of(docs)["z.md"] == "b/handbook"
