"""A dataset, and a folder of pages that was ingested into it."""

from __future__ import annotations

from pathlib import Path

import pytest
from source_folders import PAGES, write_pages

import vecver


@pytest.fixture
def docs(tmp_path: Path) -> vecver.Dataset:
    return vecver.open(tmp_path / "kb", create=True, author="test").dataset("d")


@pytest.fixture
def handbook(tmp_path: Path, docs: vecver.Dataset) -> Path:
    folder = write_pages(tmp_path / "handbook", PAGES)
    docs.ingest(folder, embedder="hashing")
    return folder
