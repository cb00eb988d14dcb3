"""Source labels_of: each place that documents come from gets a label, and keeps it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from source_folders import PAGES, labels_of, write_pages

import vecver
from vecver.errors import InvalidInputError


def test_a_second_folder_of_one_name_is_another_source(docs: vecver.Dataset, tmp_path: Path) -> None:
    first = write_pages(tmp_path / "a" / "docs", {"one.md": "1", "two.md": "2", "three.md": "3"})
    second = write_pages(tmp_path / "b" / "docs", {"four.md": "4", "five.md": "5"})
    docs.ingest(first, embedder="hashing")
    assert docs.ingest(second).documents["removed"] == 0
    assert labels_of(docs) == {
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
        docs.ingest(write_pages(tmp_path / place, {f"{number}.md": "text"}), embedder="hashing")
    assert sorted(labels_of(docs)) == ["0.md", "1.md", "2.md", "3.md"]
    assert len(set(labels_of(docs).values())) == 4


def test_a_second_file_of_records_of_one_name(docs: vecver.Dataset, tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        rows = [{"id": f"{place}{i}", "text": f"text {place} {i}"} for i in range(3)]
        (tmp_path / place / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        docs.ingest(tmp_path / place / "data.jsonl", embedder="hashing")
    assert len(docs.documents()) == 6 and set(labels_of(docs).values()) == {"data.jsonl", "b/data.jsonl"}
    (tmp_path / "b" / "data.jsonl").write_text('{"id": "b0", "text": "text b 0"}\n{"id": "b1", "text": "text b 1"}\n')
    assert docs.ingest(tmp_path / "b" / "data.jsonl").names["removed"] == ("b2",)


def test_two_folders_of_one_name_in_one_command(docs: vecver.Dataset, tmp_path: Path) -> None:
    both = [
        write_pages(tmp_path / "a" / "docs", {"one.md": "1"}),
        write_pages(tmp_path / "b" / "docs", {"two.md": "2"}),
    ]
    docs.ingest(both, embedder="hashing")
    assert labels_of(docs) == {"one.md": "docs", "two.md": "b/docs"}
    assert not docs.ingest(both[1]).changed and not docs.ingest(both[::-1]).changed


def test_records_in_memory_and_a_folder_called_records(docs: vecver.Dataset, tmp_path: Path) -> None:
    docs.ingest([{"id": "a", "text": "one"}, {"id": "b", "text": "two"}], embedder="hashing")
    docs.ingest(write_pages(tmp_path / "records", {"c.md": "three"}))
    assert docs.documents() == ["a", "b", "c.md"]


def test_a_folder_is_one_source_however_its_path_is_written(
    docs: vecver.Dataset, handbook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to("handbook")
    monkeypatch.chdir(tmp_path)
    for way in ("handbook", "./handbook/", "link", str(handbook), "kb/../handbook", "handbook/deep/../"):
        assert not docs.ingest(way).changed, way
    monkeypatch.chdir(handbook)
    assert not docs.ingest(".").changed and set(labels_of(docs).values()) == {"handbook"}


def test_a_label_belongs_to_its_place_whatever_it_is(docs: vecver.Dataset, tmp_path: Path) -> None:
    folder = write_pages(tmp_path / "content", PAGES)
    docs.ingest(folder, label="wiki", embedder="hashing")
    assert not docs.ingest(folder).changed and set(labels_of(docs).values()) == {"wiki"}


def test_one_folder_under_two_prefixes_is_two_sources(docs: vecver.Dataset, tmp_path: Path) -> None:
    folder = write_pages(tmp_path / "docs", {"a.md": "1", "b.md": "2"})
    docs.ingest(folder, prefix="x/", embedder="hashing")
    docs.ingest(folder, prefix="y/")
    assert docs.documents() == ["x/a.md", "x/b.md", "y/a.md", "y/b.md"]
    assert not docs.ingest(folder, prefix="x/").changed and not docs.ingest(folder, prefix="y/").changed


def test_another_checkout_of_one_git_repository_is_the_same_source(docs: vecver.Dataset, tmp_path: Path) -> None:
    def git(folder: Path, *words: str) -> None:
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)

    write_pages(tmp_path / "origin" / "docs", PAGES)
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
    assert set(labels_of(docs).values()) == {"docs"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://user:secret@host.org/team/kb.git", "git@host.org:team/kb"),
        ("ssh://git@host.org:22/team/kb.git", "https://HOST.org/team/kb/"),
        ("/srv/git/kb.git", "/srv/git/kb"),
    ],
)
def test_urls_of_one_git_remote_agree(one: str, other: str) -> None:
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
    write_pages(tmp_path / "elsewhere" / "handbook", {"new.md": "new"})
    assert docs.ingest(moved, label="handbook").names["added"] == ("new.md",)
    assert not docs.ingest(moved).changed  # its place is known from now on


def test_no_path_of_this_machine_is_in_the_commit(docs: vecver.Dataset, handbook: Path, tmp_path: Path) -> None:
    assert str(tmp_path) not in json.dumps(docs.show().to_json())


def test_places_have_a_bound_and_survive_a_rollback(docs: vecver.Dataset, handbook: Path, tmp_path: Path) -> None:
    for number in range(3):
        docs.ingest([{"id": str(number), "text": "t"}], label=f"l{number}")
    docs.rollback("main")
    assert docs.show().operation["kind"] == "rollback"
    docs.ingest(write_pages(tmp_path / "b" / "handbook", {"other.md": "1"}))
    assert labels_of(docs)["other.md"] == "b/handbook"
    from vecver.flows.ingesting.sources import Source, places_after

    sources = [Source([], str(number), place={}) for number in range(500)]
    assert list(places_after({"old": {}}, sources)) == [str(number) for number in range(300, 500)]
