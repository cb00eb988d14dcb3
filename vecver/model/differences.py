"""The difference between two versions of one document, chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from vecver.model.display import ROWS, ROWS_HTML, clipped, described, folded, html_table, listed, span_text
from vecver.model.frames import data_frame
from vecver.model.positions import NOWHERE, Position
from vecver.model.spaces import Json

if TYPE_CHECKING:
    import pandas as pd

Change = Literal["added", "changed", "removed", "unchanged"]
ChunkChange = Literal["added", "removed", "kept"]


@dataclass(frozen=True, repr=False)
class ChunkDiff:
    """A chunk that one of two versions of a document has, or both."""

    change: ChunkChange
    key: str  # 32 hex characters
    text: str
    span: tuple[int, int]  # characters of the document's text: before if it was removed, else after; (0, 0): its title
    position: Position = NOWHERE  # where it stands in the document: headings, page, sheet, line

    def to_json(self) -> Json:
        """The fields; of the position only those that are set."""
        where = {name: value for name, value in self.position.__dict__.items() if value not in (None, (), "")}
        if "headings" in where:
            where["headings"] = list(where["headings"])
        return {"change": self.change, "key": self.key, "text": self.text, "span": list(self.span), **where}

    def to_dict(self) -> Json:
        """The same as `to_json`."""
        return self.to_json()

    def __repr__(self) -> str:
        return described("ChunkDiff", f"{self.change} {span_text(self.span)}: {folded(self.text)}")

    @classmethod
    def from_json(cls, value: Json) -> ChunkDiff:
        """The value whose `to_json` this is."""
        where = {name: value[name] for name in Position.__dataclass_fields__ if name in value}
        where["headings"] = tuple(where.get("headings", ()))
        start, end = value["span"]
        return cls(value["change"], value["key"], value["text"], (start, end), Position(**where))


@dataclass(frozen=True, repr=False)
class DocumentDiff:
    """A document in two versions. A removed chunk comes before the chunk that followed it."""

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
        """The fields as JSON values."""
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
        """The value whose `to_json` this is."""
        chunks = tuple(ChunkDiff.from_json(chunk) for chunk in value["chunks"])
        fields = {name: (before, after) for name, (before, after) in value["fields"].items()}
        return cls(value["from"], value["to"], value["document"], value["change"], chunks, fields)

    def to_dict(self) -> Json:
        """The same as `to_json`."""
        return self.to_json()

    def to_pandas(self) -> pd.DataFrame:
        """A row for each chunk. Raises InvalidInputError without pandas."""
        return data_frame([chunk.to_json() for chunk in self.chunks], ("change", "key", "text", "span"))

    def _head(self) -> str:
        counts = f"+{len(self.added)} -{len(self.removed)} chunks, {len(self.kept)} kept"
        return f"{clipped(self.document, 32)} {self.change}: {counts}"

    def __repr__(self) -> str:
        signs = {"added": "+", "removed": "-"}
        changed = [chunk for chunk in self.chunks if chunk.change != "kept"]
        lines = [f"  {signs[chunk.change]} {folded(chunk.text)}" for chunk in changed[:ROWS]]
        return listed(described("DocumentDiff", self._head()), lines, len(changed))

    def _repr_html_(self) -> str:
        rows = [(chunk.change, span_text(chunk.span), chunk.text) for chunk in self.chunks if chunk.change != "kept"]
        return html_table(self._head(), ("change", "span", "text"), rows[:ROWS_HTML])

    def __str__(self) -> str:
        signs = {"added": "+", "removed": "-"}
        lines = [f"{signs[chunk.change]} {chunk.text}" for chunk in self.chunks if chunk.change != "kept"]
        fields = [f"~ {name}: {before!r} -> {after!r}" for name, (before, after) in self.fields.items()]
        counts = f"{len(self.added)} chunks added, {len(self.removed)} removed, {len(self.kept)} kept"
        return "\n".join([f"{self.document}: {self.change}", *fields, *lines, counts])
