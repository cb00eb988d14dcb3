"""Removal is never an accident: which documents an ingest removes, and when it asks first."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from helpers import records, texts_of
from inside import versions_of

import vecver
from vecver.cli import main
from vecver.errors import ConflictError, InvalidInputError

PAGES = {
    "heating.md": "# Heating\n",
    "keys.md": "# Keys\n",
    "deep/pump.md": "# Pump\n",
    "deep/low/valve.md": "# Valve\n",
}


@pytest.fixture
def docs(tmp_path: Path) -> vecver.Dataset:
    return vecver.open(tmp_path / "kb", create=True, author="test").dataset("d")


@pytest.fixture
def handbook(tmp_path: Path, docs: vecver.Dataset) -> Path:
    folder = pages(tmp_path / "handbook", PAGES)
    docs.ingest(folder, embedder="hashing")
    return folder


def pages(folder: Path, texts: Mapping[str, str]) -> Path:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + f"\nWords about {name}.\n", "utf-8")
    return folder


def numbered(folder: Path, count: int, first: int = 0) -> Path:
    return pages(folder, {f"{i:03}.md": f"# Page {i}" for i in range(first, first + count)})


def labels(docs: vecver.Dataset) -> dict[str, str]:
    """Document -> the label that owns it."""
    table = versions_of(docs).snapshot(docs.resolve()).documents(["document", "source"])
    return dict(zip(table["document"].to_pylist(), table["source"].to_pylist(), strict=True))


def forget_places(docs: vecver.Dataset) -> None:
    """Make the head what an earlier vecver would have written: without places."""
    from dataclasses import replace

    old = docs.show()
    operation = {name: value for name, value in old.operation.items() if name != "places"}
    commit = replace(old, operation=operation, parents=(old.id,))
    versions_of(docs).save(commit, versions_of(docs).layout(old.id))
    versions_of(docs).move(docs.name, "branch", "main", before=old.id, after=commit.id, reason="test")


# -- two sources of one name ----------------------------------------------------------------------


def test_a_second_folder_of_one_name_is_another_source(docs: vecver.Dataset, tmp_path: Path) -> None:
    first = pages(tmp_path / "a" / "docs", {"one.md": "1", "two.md": "2", "three.md": "3"})
    second = pages(tmp_path / "b" / "docs", {"four.md": "4", "five.md": "5"})
    docs.ingest(first, embedder="hashing")
    assert docs.ingest(second).documents["removed"] == 0
    assert labels(docs) == {
        **dict.fromkeys(("one.md", "two.md", "three.md"), "docs"),
        **dict.fromkeys(("four.md", "five.md"), "b/docs"),
    }
    for folder in (first, second, first):
        assert not docs.ingest(folder).changed  # each is known again
    (second / "five.md").unlink()
    assert docs.ingest(second).names["removed"] == ("five.md",)
    (first / "two.md").unlink()
    assert docs.status(first)["removed"] == ["two.md"]
    assert docs.ingest(first).names["removed"] == ("two.md",)


def test_a_third_and_a_fourth_of_one_name(docs: vecver.Dataset, tmp_path: Path) -> None:
    for number, place in enumerate(("docs", "x/docs", "y/x/docs", "z/y/x/docs")):
        docs.ingest(pages(tmp_path / place, {f"{number}.md": "text"}), embedder="hashing")
    assert sorted(labels(docs)) == ["0.md", "1.md", "2.md", "3.md"]
    assert len(set(labels(docs).values())) == 4


def test_a_second_file_of_records_of_one_name(docs: vecver.Dataset, tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        rows = [{"id": f"{place}{i}", "text": f"text {place} {i}"} for i in range(3)]
        (tmp_path / place / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        docs.ingest(tmp_path / place / "data.jsonl", embedder="hashing")
    assert len(docs.documents()) == 6 and set(labels(docs).values()) == {"data.jsonl", "b/data.jsonl"}
    (tmp_path / "b" / "data.jsonl").write_text('{"id": "b0", "text": "text b 0"}\n{"id": "b1", "text": "text b 1"}\n')
    assert docs.ingest(tmp_path / "b" / "data.jsonl").names["removed"] == ("b2",)


def test_two_folders_of_one_name_in_one_command(docs: vecver.Dataset, tmp_path: Path) -> None:
    both = [pages(tmp_path / "a" / "docs", {"one.md": "1"}), pages(tmp_path / "b" / "docs", {"two.md": "2"})]
    docs.ingest(both, embedder="hashing")
    assert labels(docs) == {"one.md": "docs", "two.md": "b/docs"}
    assert not docs.ingest(both[1]).changed and not docs.ingest(both[::-1]).changed


def test_records_in_memory_and_a_folder_called_records(docs: vecver.Dataset, tmp_path: Path) -> None:
    docs.ingest([{"id": "a", "text": "one"}, {"id": "b", "text": "two"}], embedder="hashing")
    docs.ingest(pages(tmp_path / "records", {"c.md": "three"}))
    assert docs.documents() == ["a", "b", "c.md"]


def test_however_a_folder_is_written_it_is_one_source(
    docs: vecver.Dataset, handbook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to("handbook")
    monkeypatch.chdir(tmp_path)
    for way in ("handbook", "./handbook/", "link", str(handbook), "kb/../handbook", "handbook/deep/../"):
        assert not docs.ingest(way).changed, way
    monkeypatch.chdir(handbook)
    assert not docs.ingest(".").changed and set(labels(docs).values()) == {"handbook"}


def test_a_label_belongs_to_its_place_whatever_it_is(docs: vecver.Dataset, tmp_path: Path) -> None:
    folder = pages(tmp_path / "content", PAGES)
    docs.ingest(folder, label="wiki", embedder="hashing")
    assert not docs.ingest(folder).changed and set(labels(docs).values()) == {"wiki"}


def test_one_folder_under_two_prefixes_is_two_sources(docs: vecver.Dataset, tmp_path: Path) -> None:
    folder = pages(tmp_path / "docs", {"a.md": "1", "b.md": "2"})
    docs.ingest(folder, prefix="x/", embedder="hashing")
    docs.ingest(folder, prefix="y/")
    assert docs.documents() == ["x/a.md", "x/b.md", "y/a.md", "y/b.md"]
    assert not docs.ingest(folder, prefix="x/").changed and not docs.ingest(folder, prefix="y/").changed


def test_another_checkout_of_one_git_repository_is_the_same_source(docs: vecver.Dataset, tmp_path: Path) -> None:
    def git(folder: Path, *words: str) -> None:
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)

    pages(tmp_path / "origin" / "docs", PAGES)
    git(tmp_path / "origin", "init", "-q")
    git(tmp_path / "origin", "add", ".")
    git(tmp_path / "origin", "commit", "-q", "-m", "first")
    for name in ("one", "two", "three"):
        git(tmp_path, "clone", "-q", str(tmp_path / "origin"), name)
    docs.ingest(tmp_path / "one" / "docs", embedder="hashing")
    assert not docs.ingest(tmp_path / "two" / "docs").changed
    (tmp_path / "two" / "docs" / "keys.md").unlink()
    assert docs.ingest(tmp_path / "two" / "docs").names["removed"] == ("keys.md",)
    (tmp_path / "three" / "docs" / "deep" / "pump.md").write_text("# Another pump\n")
    assert docs.ingest(tmp_path / "three" / "docs" / "deep" / "pump.md").names["changed"] == ("deep/pump.md",)
    assert set(labels(docs).values()) == {"docs"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://user:secret@host.org/team/kb.git", "git@host.org:team/kb"),
        ("ssh://git@host.org:22/team/kb.git", "https://HOST.org/team/kb/"),
        ("/srv/git/kb.git", "/srv/git/kb"),
    ],
)
def test_a_remote_is_one_however_it_is_reached(one: str, other: str) -> None:
    from vecver.pipeline.sources.places import _remote

    assert _remote(one) == _remote(other) and "secret" not in _remote(one)
    assert _remote(one) != _remote(other + "2")


def test_a_moved_source_says_what_to_do(docs: vecver.Dataset, handbook: Path, tmp_path: Path) -> None:
    before = docs.resolve()
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.move(handbook, tmp_path / "elsewhere")
    with pytest.raises(InvalidInputError) as caught:
        docs.ingest(moved)
    assert caught.value.code == "source_conflict" and docs.resolve() == before
    assert "label='handbook'" in caught.value.hint and "dry_run=True" in caught.value.hint
    assert not docs.ingest(moved, label="handbook").changed
    pages(tmp_path / "elsewhere" / "handbook", {"new.md": "new"})
    assert docs.ingest(moved, label="handbook").names["added"] == ("new.md",)
    assert not docs.ingest(moved).changed  # its place is known from now on


def test_no_path_of_this_machine_is_in_the_commit(docs: vecver.Dataset, handbook: Path, tmp_path: Path) -> None:
    assert str(tmp_path) not in json.dumps(docs.show().to_json())


def test_places_have_a_bound_and_survive_a_rollback(docs: vecver.Dataset, handbook: Path, tmp_path: Path) -> None:
    for number in range(3):
        docs.ingest([{"id": str(number), "text": "t"}], label=f"l{number}")
    docs.rollback("main")
    assert docs.show().operation["kind"] == "rollback"
    docs.ingest(pages(tmp_path / "b" / "handbook", {"other.md": "1"}))
    assert labels(docs)["other.md"] == "b/handbook"
    from vecver.flows.ingesting.sources import Source, places_after

    sources = [Source([], str(number), place={}) for number in range(500)]
    assert list(places_after({"old": {}}, sources)) == [str(number) for number in range(300, 500)]


# -- a part of a known source ---------------------------------------------------------------------


@pytest.mark.parametrize("label", [None, "handbook"])
@pytest.mark.parametrize("name", list(PAGES))
def test_a_file_of_a_known_source_updates_that_document(
    docs: vecver.Dataset, handbook: Path, name: str, label: str | None
) -> None:
    (handbook / name).write_text("# Another text\n\nOther words.\n")
    (handbook / "keys.md").write_text("# Edited too\n")
    report = docs.ingest(handbook / name, label=label)
    assert dict(report.names) == {"added": (), "changed": (name,), "removed": ()}
    assert docs.documents() == sorted(PAGES) and set(labels(docs).values()) == {"handbook"}
    assert docs.show().operation["sources"][0]["scope"] == ""
    left = [] if name == "keys.md" else ["keys.md"]
    assert docs.status(handbook) == {"added": [], "changed": left, "removed": [], "failed": []}


@pytest.mark.parametrize("label", [None, "handbook"])
def test_a_new_file_of_a_known_source_has_the_id_of_its_folder(
    docs: vecver.Dataset, handbook: Path, label: str | None
) -> None:
    pages(handbook, {"deep/new.md": "new"})
    assert docs.ingest(handbook / "deep" / "new.md", label=label).names["added"] == ("deep/new.md",)
    assert not docs.ingest(handbook).changed


def test_files_of_a_known_source_that_a_shell_expands(docs: vecver.Dataset, handbook: Path) -> None:
    for name in ("heating.md", "keys.md", "deep/pump.md"):
        (handbook / name).write_text("# Another text\n\nOther words.\n")
    report = docs.ingest([handbook / "heating.md", handbook / "deep/pump.md"])
    assert report.names["changed"] == ("heating.md", "deep/pump.md") and docs.documents() == sorted(PAGES)


@pytest.mark.parametrize("label", [None, "handbook"])
def test_a_folder_of_a_known_source_speaks_for_itself_alone(
    docs: vecver.Dataset, handbook: Path, label: str | None
) -> None:
    (handbook / "keys.md").unlink()
    (handbook / "deep" / "pump.md").unlink()
    pages(handbook, {"deep/new.md": "new"})
    assert docs.status(handbook / "deep", label=label)["removed"] == ["deep/pump.md"]
    report = docs.ingest(handbook / "deep", label=label)
    assert dict(report.names) == {"added": ("deep/new.md",), "changed": (), "removed": ("deep/pump.md",)}
    assert "keys.md" in docs.documents() and set(labels(docs).values()) == {"handbook"}
    assert docs.ingest(handbook).names["removed"] == ("keys.md",)


def test_a_part_keeps_the_prefix_and_the_ignore_files_of_its_source(docs: vecver.Dataset, tmp_path: Path) -> None:
    folder = pages(tmp_path / "handbook", {**PAGES, "deep/skip.log": "log"})
    (folder / ".vecverignore").write_text("*.log\n")
    docs.ingest(folder, prefix="kb/", embedder="hashing")
    for part in ("keys.md", "deep", "deep/low/valve.md", "deep/low/*.md"):
        assert not docs.ingest(folder / part).changed, part
    assert docs.documents() == sorted(f"kb/{name}" for name in PAGES)


def test_a_linked_folder_in_a_source_is_a_part_by_its_link(docs: vecver.Dataset, tmp_path: Path) -> None:
    shared = pages(tmp_path / "shared", {"a.md": "1", "b.md": "2"})
    folder = pages(tmp_path / "handbook", {"c.md": "3"})
    (folder / "more").symlink_to(shared)
    docs.ingest(folder, embedder="hashing")
    (shared / "a.md").write_text("# Edited\n")
    assert docs.ingest(folder / "more" / "a.md").names["changed"] == ("more/a.md",)
    assert docs.documents() == ["c.md", "more/a.md", "more/b.md"]


def test_a_glob_speaks_for_what_it_matches(docs: vecver.Dataset, tmp_path: Path) -> None:
    folder = pages(tmp_path / "docs", {"a.md": "1", "b.md": "2", "c.txt": "3", "x/d.md": "4"})
    docs.ingest(str(folder / "*.md"), embedder="hashing")
    docs.ingest(str(folder / "*.txt"))
    assert docs.documents() == ["a.md", "b.md", "c.txt"]
    docs.ingest(folder)
    (folder / "a.md").unlink()
    (folder / "x" / "d.md").unlink()
    assert docs.ingest(str(folder / "*.md")).names["removed"] == ("a.md",)
    assert docs.documents() == ["b.md", "c.txt", "x/d.md"]


def test_a_folder_beside_what_a_glob_matched_is_a_source_of_its_own(docs: vecver.Dataset, tmp_path: Path) -> None:
    folder = pages(tmp_path / "kb", {"a.md": "1", "more/b.md": "2"})
    docs.ingest(str(folder / "*.md"), embedder="hashing")
    docs.ingest(folder / "more")
    assert labels(docs) == {"a.md": "kb", "b.md": "more"}


def test_a_file_under_a_label_removes_nothing_wherever_it_lies(
    docs: vecver.Dataset, handbook: Path, tmp_path: Path
) -> None:
    other = pages(tmp_path / "other", {"heating.md": "# From elsewhere\n"}) / "heating.md"
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


def test_a_repository_made_before_goes_on(docs: vecver.Dataset, handbook: Path, tmp_path: Path) -> None:
    forget_places(docs)
    assert not docs.ingest(handbook).changed
    (handbook / "keys.md").unlink()
    assert docs.ingest(handbook).names["removed"] == ("keys.md",)
    docs.ingest(pages(tmp_path / "b" / "handbook", {"z.md": "z"}))
    assert labels(docs)["z.md"] == "b/handbook"


# -- what must be allowed -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "stops"),
    [(1, 0, True), (4, 0, True), (4, 1, False), (12, 1, True), (40, 30, False), (50, 39, True), (100, 80, False)],
)
def test_what_stops(docs: vecver.Dataset, tmp_path: Path, before: int, after: int, stops: bool) -> None:
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
        docs.ingest(numbered(tmp_path / "other", 5), label="handbook")
    assert docs.documents() == sorted(PAGES)


def test_each_source_counts_for_itself(docs: vecver.Dataset, tmp_path: Path) -> None:
    big, small = numbered(tmp_path / "big", 100), pages(tmp_path / "small", {"a.md": "1"})
    docs.ingest([big, small], embedder="hashing")
    (small / "a.md").rename(small / "b.md")
    with pytest.raises(ConflictError) as caught:
        docs.ingest([big, small])
    assert [told["source"] for told in caught.value.context["removals"]] == ["small"]


def test_what_moves_to_another_source_is_not_removed(docs: vecver.Dataset, tmp_path: Path) -> None:
    one, two = pages(tmp_path / "one", {"a.md": "1"}), pages(tmp_path / "two", {"b.md": "2"})
    docs.ingest([one, two], embedder="hashing")
    (one / "a.md").rename(two / "a.md")
    pages(one, {"c.md": "3"})
    assert docs.ingest([one, two]).documents["removed"] == 0


def test_after_a_stop_nothing_is_embedded_again(docs: vecver.Dataset, handbook: Path) -> None:
    for file in handbook.rglob("*.md"):
        file.unlink()
    pages(handbook, {"new.md": "new"})
    before = docs.resolve()
    with pytest.raises(ConflictError):
        docs.ingest(handbook)
    assert docs.resolve() == before and docs.documents() == sorted(PAGES)
    assert docs.ingest(handbook, allow_removals=True).chunks["embedded"] == 0


# -- what failed is not missing -------------------------------------------------------------------


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
    shared, folder = numbered(tmp_path / "shared", 3), pages(tmp_path / "handbook", PAGES)
    (folder / "more").symlink_to(shared)
    docs.ingest(folder, embedder="hashing")
    shutil.move(shared, tmp_path / "away")
    (folder / "keys.md").unlink()
    report = docs.ingest(folder)
    assert report.names["removed"] == ("keys.md",) and [f.document for f in report.failures] == ["more"]
    assert docs.documents() == sorted({*PAGES, "more/000.md", "more/001.md", "more/002.md"} - {"keys.md"})


# -- dry runs and status --------------------------------------------------------------------------


def test_a_dry_run_tells_what_the_run_will_do(docs: vecver.Dataset, tmp_path: Path) -> None:
    folder = numbered(tmp_path / "docs", 20)
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
    docs.ingest(pages(tmp_path / "other", {"o.md": "o"}))  # a commit of another source
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


# -- the command line -----------------------------------------------------------------------------


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VECVER_REPO", raising=False)
    pages(tmp_path / "handbook", PAGES)

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
    pages(tmp_path / "handbook", {"new.md": "new"})
    plan = run("ingest", "d", "handbook", "--dry-run")
    assert "+ new.md" in plan.output and "- deep/pump.md" in plan.output and "would stop" in plan.output
    assert json.loads(run("ingest", "d", "handbook", "--dry-run", "--json").stdout)["names"]["added"] == ["new.md"]
    stopped = run("ingest", "d", "handbook", code=4)
    assert "4 of the 4 documents of the source 'handbook'" in stopped.output and "--allow-removals" in stopped.output
    assert "4 removed" in run("ingest", "d", "handbook", "--allow-removals").output
    (tmp_path / "handbook" / "empty.md").write_text("")
    run("ingest", "d", "handbook")
    assert run("status", "d", "handbook").output.splitlines()[-1] == "d@main is up to date"
