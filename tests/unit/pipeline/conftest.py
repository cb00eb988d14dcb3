"""A folder of pages, a dataset, and a recording embedder for tests of ingests."""

from __future__ import annotations

from pathlib import Path

import pytest
from handbook import PAGES, Counting, write

import vecver
from vecver.pipeline import open_embedder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    for name, text in PAGES.items():
        write(folder / name, text)
    return folder


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    embedder = Counting(open_embedder("hashing"))
    monkeypatch.setattr("vecver.pipeline.open_embedder", lambda spec, **how: embedder)
    return embedder


@pytest.fixture
def docs(tmp_path: Path) -> vecver.Dataset:
    return vecver.open(tmp_path / "kb", create=True, author="test").dataset("handbook")
