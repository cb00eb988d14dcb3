"""Progress: an ingest tells what it has done and of how much; on a terminal that is a rate and a time left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vecver
from vecver.pipeline import how_many

ROWS = [{"id": f"d{n}", "text": f"this is text {n}"} for n in range(1300)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three documents, one that is ignored, and a file of records in three forms beside them."""
    for name in ("a.md", "b/c.md", "b/d.md", "b/e.tmp"):
        (tmp_path / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "docs" / name).write_text(f"text of {name}")
    (tmp_path / "docs/.gitignore").write_text("*.tmp\n")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "rows.csv").write_text('id,text\na,"one\nor two lines"\n')
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    return tmp_path


def test_documents_are_counted_where_that_costs_no_reading(folder: Path) -> None:
    assert how_many(folder / "docs") == 3
    assert how_many(str(folder / "docs/b/*.md")) == 2
    assert how_many(folder / "docs/a.md") == how_many(folder / "rows.jsonl", records=False) == 1
    assert how_many(folder / "rows.jsonl") == how_many(folder / "rows.parquet") == 1300
    assert how_many(ROWS) == how_many(pa.Table.from_pylist(ROWS)) == 1300


def test_what_does_not_tell_its_number_is_not_counted(folder: Path) -> None:
    assert how_many(row for row in ROWS) is how_many("-") is how_many(folder / "rows.csv") is None
    (folder / "rows.parquet").write_bytes(b"no parquet")
    assert how_many(folder / "rows.parquet") is None


def test_an_ingest_tells_all_that_it_sees_and_writes(repository: vecver.Repository) -> None:
    told: list[tuple[str, int, int | None]] = []

    def listen(unit: str, count: int, total: int | None = None) -> None:
        told.append((unit, count, total))

    docs = repository.dataset("d")
    for _ in range(2):
        docs.ingest(ROWS, embedder="hashing", progress=listen)
    documents = [(count, total) for unit, count, total in told if unit == "documents"]
    assert documents == [(512, 1300), (512, 1300), (276, 1300), (0, 1300), (1300, 1300)]
    assert [count for unit, count, _ in told if unit == "chunks"] == [512, 512, 276]
    docs.ingest(iter(ROWS), progress=listen)
    assert told[-1] == ("documents", 1300, None)


def test_a_terminal_shows_rate_and_time_left_and_a_pipe_nothing(folder: Path) -> None:
    termios = pytest.importorskip("termios", reason="needs a pseudo terminal")
    command = [sys.executable, "-c", "from vecver.cli import program; program()", "--repo", str(folder / "kb")]
    made = subprocess.run([*command, "init"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    ingest = [*command, "ingest", "d", str(folder / "rows.jsonl"), "--embedder", "hashing"]
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    subprocess.run(
        [*ingest, "--dry-run"], stdout=subprocess.DEVNULL, stderr=theirs, stdin=subprocess.DEVNULL, check=True
    )
    os.set_blocking(ours, False)
    shown = os.read(ours, 65536).decode()
    os.close(theirs)
    os.close(ours)
    assert "/1300 [00:00<" in shown and "documents/s]" in shown
    assert subprocess.run(ingest, capture_output=True, check=True).stderr == b""
