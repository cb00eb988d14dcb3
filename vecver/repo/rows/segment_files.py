"""Names of a segment's files in the store. Imports nothing, so that every command can afford it."""

from __future__ import annotations

TABLES = ("documents.arrow", "chunks.arrow")
FILES = (*TABLES, "vectors.npy", "lookup.npy")


def path_of(segment: str, file: str) -> str:
    """The store's name of a segment's file."""
    return f"segments/{segment}/{file}"


def unit_of(segment: str) -> str:
    """The unit of all files of a segment, as `repo.maintain.trash` names it."""
    return f"segments/{segment}"
