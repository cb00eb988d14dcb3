"""Exports: a folder is written whole or not at all, and the command line says what went wrong."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from exported import ALL, QUERIES, code_of, entries, given, names
from helpers import SPACE, ingest, open_on
from inside import versions_of

import vecver
from vecver.cli import main
from vecver.errors import BackendError, IntegrityError, InvalidInputError, NotFoundError
from vecver.index import faiss
from vecver.repo.rows.segment_files import FILES
from vecver.store import LocalStore, MemoryStore

# -- where to -----------------------------------------------------------------------------------------


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = given(open_on(LocalStore(tmp_path / "kb")))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/note").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    monkeypatch.chdir(tmp_path / "here")
    before = names(tmp_path)
    for name in ("file", "full", "link", "dangling", "here"):
        assert code_of(lambda name=name: docs.snapshot("main", tmp_path / name), InvalidInputError) == "not_empty"  # type: ignore[misc]
    assert code_of(lambda: docs.snapshot("main", "."), InvalidInputError) == "not_empty"
    assert code_of(lambda: docs.snapshot("main", tmp_path / "no/out"), InvalidInputError) == "no_folder"
    assert code_of(lambda: docs.snapshot("main", tmp_path / "file/out"), InvalidInputError) == "no_folder"
    assert code_of(lambda: docs.snapshot("main", tmp_path / "kb/out"), InvalidInputError) == "within_repository"
    assert code_of(lambda: docs.snapshot("v9", tmp_path / "out"), NotFoundError) == "revision_not_found"
    assert names(tmp_path) == before and (tmp_path / "file").read_text() == "mine"
    assert docs.snapshot("main", tmp_path / "here/../empty").path == str(tmp_path / "empty")
    assert len(vecver.open_snapshot("../empty").search(QUERIES[0])) == 3 and names(tmp_path) == before


def test_a_folder_that_was_filled_meanwhile_is_kept(tmp_path: Path) -> None:
    docs = given(open_on(MemoryStore()))

    def fill(unit: str, count: int, total: int | None = None) -> None:
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out/note").write_text("mine")

    assert code_of(lambda: docs.snapshot("main", tmp_path / "out", progress=fill), InvalidInputError) == "not_empty"
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["note"]


# -- failures -----------------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path: Path) -> Iterator[vecver.Dataset]:
    (tmp_path / "to").mkdir()
    docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
    docs.ingest(entries(2000), space=SPACE, metric="ip")
    before = docs.repository.check()
    yield docs
    assert docs.repository.check() == before, "the repository is untouched"
    docs.snapshot("main", tmp_path / "to/out")
    assert vecver.open_snapshot(tmp_path / "to/out").check().clean


@pytest.mark.parametrize("indexed", [False, True])
def test_a_disk_that_fills_leaves_nothing(
    large: vecver.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indexed: bool
) -> None:
    """Files may not grow beyond a limit, which stops every library that writes one, as a full disk does."""
    resource = pytest.importorskip("resource", reason="this system limits no file sizes")
    monkeypatch.setattr(faiss.costs, "INDEX_ROWS", 100 if indexed else 10_000)
    made = large.snapshot("main", tmp_path / "to/whole")
    sizes = {name: file["bytes"] for name, file in made.files.items()}
    shutil.rmtree(tmp_path / "to/whole")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, *(size - 1 for size in sizes.values())):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(BackendError) as caught:
                large.snapshot("main", tmp_path / "to/out")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert caught.value.hint and names(tmp_path / "to") == []


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_full_disk_at_the_last_step_is_reported_as_full(
    large: vecver.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*names: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    assert code_of(lambda: large.snapshot("main", tmp_path / "to/out"), BackendError) == "store_full"
    assert names(tmp_path / "to") == []
    monkeypatch.undo()


CHILD = """
import os, signal, sys
import vecver, vecver.index.faiss.costs
vecver.index.faiss.costs.INDEX_ROWS = 1000
def die(unit, count):
    if unit == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
vecver.open(sys.argv[1]).dataset("d").snapshot("main", sys.argv[2], progress=die)
"""


@pytest.mark.parametrize("unit", ["chunks", "index rows"])
def test_a_killed_export_leaves_nothing_that_opens(large: vecver.Dataset, tmp_path: Path, unit: str) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path / "kb"), str(tmp_path / "to/out"), unit]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run(command, env=environment).returncode == -9
    (left,) = (tmp_path / "to").iterdir()
    assert left.name.startswith(".out.") and code_of(lambda: vecver.open_snapshot(left), NotFoundError)
    large.snapshot("main", tmp_path / "to/out")
    assert names(tmp_path / "to") == [left.name, "out"], "it may belong to a living process"
    long_ago = time.time() - 2 * 24 * 3600
    for path in (*left.iterdir(), left):
        os.utime(path, (long_ago, long_ago))
    shutil.rmtree(tmp_path / "to/out")
    large.snapshot("main", tmp_path / "to/out")
    assert names(tmp_path / "to") == ["out"]
    shutil.rmtree(tmp_path / "to/out")


@pytest.mark.parametrize("file", FILES)
def test_damaged_rows_are_not_sealed_under_new_checksums(tmp_path: Path, file: str) -> None:
    docs = given(open_on(LocalStore(tmp_path / "kb")), 50)
    (place,) = (tmp_path / "kb/segments").glob(f"*/{file}")
    content = bytearray(place.read_bytes())
    for at in range(0, len(content), max(1, len(content) // 20)):
        content[at] ^= 1
        place.write_bytes(content)
        docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
        assert code_of(lambda docs=docs: docs.snapshot("main", tmp_path / "out"), IntegrityError) == "digest_mismatch"  # type: ignore[misc]
        content[at] ^= 1
    assert names(tmp_path) == ["kb"]


def test_a_layout_of_other_rows_is_not_exported(tmp_path: Path) -> None:
    docs = given(open_on(MemoryStore()))
    commit = docs.show()
    ingest(docs, {"doc-1": "another text"})
    versions_of(docs).save(commit, versions_of(docs).snapshot(docs.resolve()).layout)
    docs = open_on(versions_of(docs).store).dataset("d")
    assert code_of(lambda: docs.snapshot(commit, tmp_path / "out"), IntegrityError) == "misplaced"
    assert names(tmp_path) == []


# -- the command line ---------------------------------------------------------------------------------


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "handbook").mkdir()
    (tmp_path / "handbook/valve.md").write_text("# Valve\n\nOpen the valve slowly until water comes.\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("VECVER_REPO", "VECVER_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    run("init")
    run("ingest", "handbook", "handbook", "--embedder", "hashing")
    run("tag", "handbook", "v1")
    return tmp_path


def test_the_commands(here: Path) -> None:
    made = json.loads(run("snapshot", "handbook@v1", "OUT", "--json"))
    assert made["path"] == str(here / "OUT") and set(made["files"]) == ALL - {"snapshot.json"}
    assert made["commit"][:12] in run("snapshot", "handbook", "again")
    run("search", "handbook@v1", "open the valve", "--exact", "--receipt", "theirs.json")
    shutil.rmtree(here / ".vecver")
    answer = json.loads(
        run("search", "--snapshot", "OUT", "open the valve", "-k", "1", "--json", "--receipt", "r.json")
    )
    assert answer["commit"] == answer["revision"] == made["commit"] and "water" in answer["hits"][0]["text"]
    assert "valve.md" in run("search", "--snapshot", "OUT", "valve")
    for receipt in ("r.json", "theirs.json"):
        assert json.loads(run("replay", receipt, "--snapshot", "OUT", "--json"))["identical"]
    (here / "queries").write_text('{"query": "valve"}\n{"query": "water"}\n')
    assert len(run("search", "--snapshot", "OUT", "--queries", "queries", "--json").splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["snapshot", "handbook@v1", "handbook"], 2, "not_empty"),
        (["snapshot", "handbook@v9", "OUT"], 3, "revision_not_found"),
        (["search", "--snapshot", "handbook", "q"], 3, "snapshot_not_found"),
        (["search", "--snapshot", "OUT", "handbook", "q"], 2, "conflicting_options"),
        (["search", "--snapshot", "OUT"], 2, "no_query"),
        (["search"], 2, "no_dataset"),
    ],
)
def test_what_goes_wrong_has_a_code(
    here: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, told: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["vecver", "--json"])
    output = run(*arguments, "--json", code=code)
    assert json.loads(output)["error"]["hint"] and not (here / "OUT").exists()
    assert json.loads(output)["error"]["code"] == told


def test_a_changed_snapshot_exits_5(here: Path) -> None:
    run("snapshot", "handbook", "OUT")
    with open(here / "OUT/index.faiss", "ab") as file:
        file.write(b"x")
    assert "index.faiss does not match its digest" in run("search", "--snapshot", "OUT", "valve", code=5)
