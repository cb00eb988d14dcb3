"""Commits, moves of refs, and the difference between two commits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from vecver.digest import digest_json
from vecver.model.differences import ChunkCounts
from vecver.model.spaces import Json, Recipe

_PLAIN_COMMIT_FIELDS = (
    *("dataset", "author", "message", "time", "content_root", "vector_root"),
    *("counts", "environment", "operation"),
)


@dataclass(frozen=True)
class Commit:
    """An immutable version. Its id is the digest of its canonical JSON."""

    dataset: str
    parents: tuple[str, ...]
    author: str
    message: str
    time: str  # ISO 8601, UTC, seconds
    content_root: str
    vector_root: str
    counts: Json  # {"documents": n, "chunks": n}
    recipe: Recipe
    environment: Json
    operation: Json

    @cached_property
    def id(self) -> str:
        return digest_json(self.to_json())

    def to_json(self) -> Json:
        return {
            "format": 1,
            "dataset": self.dataset,
            "parents": list(self.parents),
            "author": self.author,
            "message": self.message,
            "time": self.time,
            "content_root": self.content_root,
            "vector_root": self.vector_root,
            "counts": self.counts,
            "recipe": self.recipe.to_json(),
            "recipe_fingerprint": self.recipe.fingerprint,
            "environment": self.environment,
            "operation": self.operation,
        }

    @classmethod
    def from_json(cls, value: Json) -> Commit:
        fields = {name: value[name] for name in _PLAIN_COMMIT_FIELDS}
        return cls(**fields, parents=tuple(value["parents"]), recipe=Recipe.from_json(value["recipe"]))


@dataclass(frozen=True)
class Move:
    """One move of a ref: an entry of its log."""

    dataset: str
    kind: Literal["branch", "tag", "alias"]
    name: str
    before: str | None  # commit id; None: the ref did not exist
    after: str | None  # None: the ref was deleted
    author: str
    time: str  # ISO 8601, UTC, microseconds
    reason: str  # "ingest", "promote", "rollback" ...
    previous: str | None  # digest of the move before this one

    def to_json(self) -> Json:
        return {**self.__dict__, "format": 1}

    @classmethod
    def from_json(cls, value: Json) -> Move:
        return cls(**{name: value[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Diff:
    """What lies between two versions. Document ids are sorted."""

    before: str  # commit ids
    after: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    chunks_added: int
    chunks_removed: int
    chunks_of: Mapping[str, ChunkCounts] = field(default_factory=dict)  # of each of these documents

    def to_json(self) -> Json:
        return {
            "from": self.before,
            "to": self.after,
            "documents": {"added": list(self.added), "changed": list(self.changed), "removed": list(self.removed)},
            "chunks": {"added": self.chunks_added, "removed": self.chunks_removed},
            "chunks_of": {document: counts.to_json() for document, counts in self.chunks_of.items()},
        }

    @classmethod
    def from_json(cls, value: Json) -> Diff:
        documents, chunks = value["documents"], value["chunks"]
        added, changed, removed = (tuple(documents[kind]) for kind in ("added", "changed", "removed"))
        of = {document: ChunkCounts.from_json(one) for document, one in value.get("chunks_of", {}).items()}
        return cls(value["from"], value["to"], added, changed, removed, chunks["added"], chunks["removed"], of)

    def __str__(self) -> str:
        lines = [f"+ {d}" for d in self.added] + [f"~ {d}" for d in self.changed] + [f"- {d}" for d in self.removed]
        summary = (
            f"{len(self.added)} added, {len(self.changed)} changed, {len(self.removed)} removed documents; "
            f"{self.chunks_added} chunks added, {self.chunks_removed} removed"
        )
        return "\n".join([*lines, summary])
