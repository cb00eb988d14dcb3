"""Commits, moves of refs, and the difference between two commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from vecver.digest import digest_json
from vecver.model.display import ROWS, ROWS_HTML, clipped, counted, described, folded, html_table, listed
from vecver.model.frames import data_frame
from vecver.model.spaces import Json, Recipe

if TYPE_CHECKING:
    import pandas as pd

_PLAIN_COMMIT_FIELDS = (
    *("dataset", "author", "message", "time", "content_root", "vector_root"),
    *("counts", "environment", "operation"),
)
_CHANGE_COLUMNS = ("document", "change")
_SIGNS = {"added": "+", "changed": "~", "removed": "-"}


@dataclass(frozen=True, repr=False)
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
        """The commit's id: the digest of `to_json`, 64 hexadecimal digits."""
        return digest_json(self.to_json())

    def to_json(self) -> Json:
        """The commit as it is stored, with its format number."""
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
        """The commit that a stored object holds."""
        fields = {name: value[name] for name in _PLAIN_COMMIT_FIELDS}
        return cls(**fields, parents=tuple(value["parents"]), recipe=Recipe.from_json(value["recipe"]))

    def to_dict(self) -> Json:
        """`to_json` with the commit's id as `commit`."""
        return {"commit": self.id, **self.to_json()}

    def to_row(self) -> Json:
        """A row of a table of commits. What it added, changed and removed is None where that is not recorded."""
        counts = self.operation.get("documents")
        changes = {
            name: counts.get(name) if isinstance(counts, dict) else None for name in ("added", "changed", "removed")
        }
        row = {"commit": self.id, "time": self.time, "author": self.author, "message": self.message}
        return {**row, "documents": self.counts["documents"], "chunks": self.counts["chunks"], **changes}

    def to_pandas(self) -> pd.DataFrame:
        """One row. Raises InvalidInputError without pandas."""
        return commits_frame([self])

    def __repr__(self) -> str:
        message = f' "{clipped(self.message, 24)}"' if self.message else ""
        return described("Commit", f"{self.id[:12]} {self.time[:10]}{message}: {_size(self)}")

    def _repr_html_(self) -> str:
        return commits_html(f"{self.dataset} {self.id[:12]}", [self])


def commit_line(commit: Commit) -> str:
    """A commit on a line of a list."""
    return f"  {commit.id[:12]}  {commit.time[:16].replace('T', ' ')}  {_size(commit)}  {folded(commit.message)}"


def commits_frame(commits: Sequence[Commit]) -> pd.DataFrame:
    """A DataFrame with a row a commit."""
    columns = ("commit", "time", "author", "message", "documents", "chunks", "added", "changed", "removed")
    return data_frame([commit.to_row() for commit in commits], columns)


def commits_html(caption: str, commits: Sequence[Commit]) -> str:
    """A table of commits."""
    rows = [
        (
            commit.id[:12],
            commit.time[:19],
            commit.author,
            commit.message,
            commit.counts["documents"],
            commit.counts["chunks"],
        )
        for commit in commits
    ]
    return html_table(caption, ("commit", "time", "author", "message", "documents", "chunks"), rows)


def _size(commit: Commit) -> str:
    return f"{counted(commit.counts['documents'], 'document')}, {counted(commit.counts['chunks'], 'chunk')}"


_BESIDE = ("gating", "measured")  # fields of a move that are not in its stored form


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
    gating: Json | None = None  # what was measured for it, as `Gating.to_json`; stored beside it, not in it
    measured: Json | None = field(default=None, compare=False)  # of a rollback: see `Dataset.rollback`

    @cached_property
    def id(self) -> str:
        """The digest of what is stored. One that a later vecver wrote may hold more than these fields."""
        return digest_json(self.to_json())

    def to_json(self) -> Json:
        """The move as it is stored, with its format number."""
        stored = (name for name in self.__dataclass_fields__ if name not in _BESIDE)
        return {**{name: getattr(self, name) for name in stored}, "format": 1}

    def to_dict(self) -> Json:
        """`to_json`, and what was measured for it, where something was."""
        beside = {name: getattr(self, name) for name in _BESIDE}
        return {**self.to_json(), **{name: value for name, value in beside.items() if value}}

    @classmethod
    def from_json(cls, value: Json) -> Move:
        """The value whose `to_dict` this is."""
        names = [name for name in cls.__dataclass_fields__ if name not in _BESIDE or name in value]
        return cls(**{name: value[name] for name in names})


@dataclass(frozen=True)
class ChunkCounts:
    """The number of chunks of a document before and after, and how many were added and removed."""

    before: int  # 0 of a document that was added
    after: int
    added: int  # chunks that only the later version has
    removed: int

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, value: Json) -> ChunkCounts:
        """The value whose `to_json` this is."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True, repr=False)
class Diff:
    """The difference between two versions. Document ids are sorted."""

    before: str  # commit ids
    after: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    chunks_added: int
    chunks_removed: int
    chunks_of: Mapping[str, ChunkCounts] = field(default_factory=dict)  # of each of these documents

    def to_json(self) -> Json:
        """The difference as JSON values: documents by change, chunks as counts."""
        return {
            "from": self.before,
            "to": self.after,
            "documents": {"added": list(self.added), "changed": list(self.changed), "removed": list(self.removed)},
            "chunks": {"added": self.chunks_added, "removed": self.chunks_removed},
            "chunks_of": {document: counts.to_json() for document, counts in self.chunks_of.items()},
        }

    @classmethod
    def from_json(cls, value: Json) -> Diff:
        """The value whose `to_json` this is."""
        documents, chunks = value["documents"], value["chunks"]
        added, changed, removed = (tuple(documents[kind]) for kind in ("added", "changed", "removed"))
        of = {document: ChunkCounts.from_json(counts) for document, counts in value.get("chunks_of", {}).items()}
        return cls(value["from"], value["to"], added, changed, removed, chunks["added"], chunks["removed"], of)

    def to_dict(self) -> Json:
        """The same as `to_json`."""
        return self.to_json()

    def to_pandas(self) -> pd.DataFrame:
        """A row for each document: its id and what happened to it. Raises InvalidInputError without pandas."""
        return data_frame([{"document": name, "change": change} for change, name in self._changes()], _CHANGE_COLUMNS)

    def _changes(self) -> list[tuple[str, str]]:
        kinds = (("added", self.added), ("changed", self.changed), ("removed", self.removed))
        return [(change, name) for change, names in kinds for name in names]

    def _head(self) -> str:
        documents = f"+{len(self.added)} ~{len(self.changed)} -{len(self.removed)} documents"
        return (
            f"{self.before[:12]} to {self.after[:12]}: {documents}, +{self.chunks_added} -{self.chunks_removed} chunks"
        )

    def __repr__(self) -> str:
        changes = self._changes()
        lines = [f"  {_SIGNS[change]} {folded(name)}" for change, name in changes[:ROWS]]
        return listed(described("Diff", self._head()), lines, len(changes))

    def _repr_html_(self) -> str:
        changes = self._changes()
        more = f" (the first {ROWS_HTML} of {len(changes)})" if len(changes) > ROWS_HTML else ""
        return html_table(self._head() + more, ("change", "document"), changes[:ROWS_HTML])

    def __str__(self) -> str:
        lines = [f"+ {d}" for d in self.added] + [f"~ {d}" for d in self.changed] + [f"- {d}" for d in self.removed]
        summary = (
            f"{len(self.added)} added, {len(self.changed)} changed, {len(self.removed)} removed documents; "
            f"{self.chunks_added} chunks added, {self.chunks_removed} removed"
        )
        return "\n".join([*lines, summary])
