"""The screen of an ingest: what it says of chunks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from vecver.cli import main


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    ingested(tmp_path, "init")
    return tmp_path


def ingested(repository: Path, *arguments: str) -> str:
    result = CliRunner().invoke(main, ["--repo", str(repository / "kb"), *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def records(folder: Path, count: int, **fields: Any) -> str:
    file = folder / "records.jsonl"
    lines = [json.dumps({"id": f"r{i}", "text": f"text {i}", "vector": [1, i], **fields}) for i in range(count)]
    file.write_text("\n".join(lines))
    return str(file)


def test_chunks_with_given_vectors_are_counted(repository: Path) -> None:
    screen = ingested(repository, "ingest", "d", records(repository, 3), "--space", "s")
    assert "  chunks     3 in the version, with the vectors that were given\n" in screen
    screen = ingested(
        repository, "ingest", "d", records(repository, 2), "--space", "s", "--allow-removals", "--dry-run"
    )
    assert "  chunks     1 removed" in screen
    changed = records(repository, 2, vector=[5, 5])
    screen = ingested(repository, "ingest", "d", changed, "--space", "s", "--allow-removals")
    assert "  chunks     2 in the version, with the vectors that were given · 3 removed\n" in screen


def test_a_version_that_only_loses_documents_names_the_removed_chunks(repository: Path) -> None:
    ingested(repository, "ingest", "d", records(repository, 3), "--space", "s")
    screen = ingested(repository, "ingest", "d", records(repository, 2), "--space", "s", "--allow-removals")
    assert "  chunks     1 removed\n" in screen
