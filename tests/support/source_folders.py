"""Folders of pages to ingest, and the labels of the sources that a version holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from inside import versions_of

import vecver

PAGES = {
    "heating.md": "# Heating\n",
    "keys.md": "# Keys\n",
    "deep/pump.md": "# Pump\n",
    "deep/low/valve.md": "# Valve\n",
}


def write_pages(folder: Path, texts: Mapping[str, str]) -> Path:
    """Write a file for each name, with its text and a line that holds the name; the folder."""
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + f"\nWords about {name}.\n", "utf-8")
    return folder


def write_numbered_pages(folder: Path, count: int, first: int = 0) -> Path:
    """Write the pages 000.md, 001.md ... from `first` on; the folder."""
    return write_pages(folder, {f"{i:03}.md": f"# Page {i}" for i in range(first, first + count)})


def labels_of(docs: vecver.Dataset) -> dict[str, str]:
    """The label of the source of each document."""
    table = versions_of(docs).snapshot(docs.resolve()).documents(["document", "source"])
    return dict(zip(table["document"].to_pylist(), table["source"].to_pylist(), strict=True))


def forget_places(docs: vecver.Dataset) -> None:
    """Commit the head again as an earlier vecver wrote it: without places."""
    old = docs.show()
    operation = {name: value for name, value in old.operation.items() if name != "places"}
    commit = replace(old, operation=operation, parents=(old.id,))
    versions_of(docs).save(commit, versions_of(docs).layout(old.id))
    versions_of(docs).move(docs.name, "branch", "main", before=old.id, after=commit.id, reason="test")
