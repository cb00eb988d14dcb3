"""The two handles on one repository: in this process, and behind a service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helpers import SPACE, records, vector_of
from serving import running

import vecver

Repo = vecver.Repository | vecver.RemoteRepository
Docs = vecver.Dataset | vecver.RemoteDataset

TEXTS = {f"doc-{i}": f"the text number {i}" for i in range(12)}
QUERY = vector_of("a question")
PAGES = {
    "heating.md": "# Heating\n\nTo bleed the radiator, open the valve with the key.\n",
    "guide/pump.md": "# The pump\n\nThe pump runs dry without water.\n",
    "guide/W\u00e4rme \u201c1\u201d.md": "# W\u00e4rme\n\nDas Ventil \u00f6ffnen.\n",
}


@contextmanager
def served(place: Path, **settings: Any) -> Iterator[tuple[str, str]]:
    """The URL of a service on the repository `kb`, and a key of alice's that may do everything."""
    from vecver_service.app import create_app
    from vecver_service.settings import ServiceSettings
    from vecver_service.state.keys import Keys

    chosen = ServiceSettings(state=str(place / "state"), **settings)
    _, key = Keys(chosen.keys_file("")).add("alice", ["*:admin"])
    with running(create_app(vecver.open(place / "kb"), chosen)) as url:
        yield url, key


def folder_of(place: Path, pages: dict[str, str]) -> Path:
    """A folder that holds exactly these files."""
    folder = place / "handbook"
    for old in folder.rglob("*.md"):
        old.unlink()
    for name, text in pages.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def filled(repository: Repo) -> Docs:
    """Two versions of records with vectors: doc-3 changed, doc-4 gone, one more."""
    docs = repository.dataset("d")
    docs.ingest(records(TEXTS, year=2024), space=SPACE, metric="ip", message="first")
    later = {**TEXTS, "doc-3": "another text", "more": "one more text"}
    del later["doc-4"]
    docs.ingest(records(later, year=2025), space=SPACE, metric="ip", message="second")
    return docs
