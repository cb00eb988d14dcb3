"""What lies between two versions of one document, chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vecver.model.documents import NOWHERE, Position
from vecver.model.spaces import Json

Change = Literal["added", "changed", "removed", "unchanged"]
ChunkChange = Literal["added", "removed", "kept"]


@dataclass(frozen=True)
class ChunkCounts:
    """How many chunks a document has before and after, and how many of them only there."""

    before: int  # 0 of a document that was added
    after: int
    added: int  # chunks that only the later version has
    removed: int

    def to_json(self) -> Json:
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, value: Json) -> ChunkCounts:
        return cls(**{name: value[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class ChunkDiff:
    """A chunk that one of two versions of a document has, or both."""

    change: ChunkChange
    key: str  # 32 hex characters
    text: str
    span: tuple[int, int]  # characters of the document's text: before if it was removed, else after; (0, 0): its title
    position: Position = NOWHERE  # where it stands in the document: headings, page, sheet, line

    def to_json(self) -> Json:
        """The fields; of the position only those that say something."""
        where = {name: value for name, value in self.position.__dict__.items() if value not in (None, (), "")}
        if "headings" in where:
            where["headings"] = list(where["headings"])
        return {"change": self.change, "key": self.key, "text": self.text, "span": list(self.span), **where}

    @classmethod
    def from_json(cls, value: Json) -> ChunkDiff:
        where = {name: value[name] for name in Position.__dataclass_fields__ if name in value}
        where["headings"] = tuple(where.get("headings", ()))
        start, end = value["span"]
        return cls(value["change"], value["key"], value["text"], (start, end), Position(**where))


@dataclass(frozen=True)
class DocumentDiff:
    """What one document says in two versions. A chunk that was removed stands before the one that followed it."""

    before: str  # commit ids
    after: str
    document: str
    change: Change
    chunks: tuple[ChunkDiff, ...]  # in reading order
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)  # what else differs: name -> (before, after)

    @property
    def added(self) -> tuple[ChunkDiff, ...]:
        """The chunks that only the later version has."""
        return self._of("added")

    @property
    def removed(self) -> tuple[ChunkDiff, ...]:
        """The chunks that only the earlier version has."""
        return self._of("removed")

    @property
    def kept(self) -> tuple[ChunkDiff, ...]:
        """The chunks that both versions have."""
        return self._of("kept")

    def _of(self, change: ChunkChange) -> tuple[ChunkDiff, ...]:
        return tuple(chunk for chunk in self.chunks if chunk.change == change)

    def to_json(self) -> Json:
        return {
            "from": self.before,
            "to": self.after,
            "document": self.document,
            "change": self.change,
            "fields": {name: list(values) for name, values in self.fields.items()},
            "chunks": [chunk.to_json() for chunk in self.chunks],
        }

    @classmethod
    def from_json(cls, value: Json) -> DocumentDiff:
        chunks = tuple(ChunkDiff.from_json(chunk) for chunk in value["chunks"])
        fields = {name: (before, after) for name, (before, after) in value["fields"].items()}
        return cls(value["from"], value["to"], value["document"], value["change"], chunks, fields)

    def __str__(self) -> str:
        signs = {"added": "+", "removed": "-"}
        lines = [f"{signs[one.change]} {one.text}" for one in self.chunks if one.change != "kept"]
        fields = [f"~ {name}: {before!r} -> {after!r}" for name, (before, after) in self.fields.items()]
        counts = f"{len(self.added)} chunks added, {len(self.removed)} removed, {len(self.kept)} kept"
        return "\n".join([f"{self.document}: {self.change}", *fields, *lines, counts])
