"""Names of a segment's files in the store; knows nothing of what is in them, so that it costs nothing to import."""

from __future__ import annotations

FILES = ("documents.arrow", "chunks.arrow", "vectors.npy", "lookup.npy")


def path_of(segment: str, file: str) -> str:
    """The store's name of a segment's file."""
    return f"segments/{segment}/{file}"


def unit_of(segment: str) -> str:
    """What holds all of a segment's files, as `repo.maintain.trash` names it."""
    return f"segments/{segment}"
