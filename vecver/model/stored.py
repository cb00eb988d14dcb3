"""Documents and chunks read from a version, and the fields that filters may name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, overload

from vecver.model.display import (
    COLUMNS,
    ROWS_HTML,
    clipped,
    counted,
    described,
    folded,
    html_table,
    listed,
    padded,
    place_text,
    span_text,
)
from vecver.model.frames import METADATA, data_frame
from vecver.model.spaces import Json

if TYPE_CHECKING:
    import pandas as pd

    from vecver.model.spaces import Vectors

MISSING: Final = "\ufffd"  # stands for each character of a document's text that no chunk holds
_PLACE: Final = ("headings", "header", "page", "sheet", "line")  # left out of JSON where empty
_COLUMNS: Final = ("document", "key", "start", "end", "text", "title", *_PLACE)


@dataclass(frozen=True, repr=False, eq=False)
class StoredChunk:
    """A chunk of a version, with its document's title and metadata."""

    document: str
    key: str  # 32 hex characters
    span: tuple[int, int]  # characters of the document's text; (0, 0): no piece of it (its title)
    text: str
    title: str  # of the document
    metadata: Mapping[str, Any]  # of the document; and of the part of it (a mail of a mailbox) that the chunk holds
    headings: tuple[str, ...] = ()  # over the chunk, outermost first, without the title; of code: class, function
    header: str = ""  # the header row of the table that the chunk goes on with; "" where it begins the table
    page: int | None = None  # from 1: where the chunk begins, as all below
    sheet: str | None = None  # of a workbook
    line: int | None = None  # of the document's text, from 1; only of plain text and source code
    context: str | None = None  # the chunk with its neighbours, joined; None unless asked for
    vector: Vectors | None = None  # (dim,) float32; None unless asked for

    def to_json(self) -> Json:
        """All fields; empty ones of the place, context and vector are left out. A vector is a list of numbers."""
        value: Json = {
            "document": self.document,
            "key": self.key,
            "span": list(self.span),
            "text": self.text,
            "title": self.title,
            "metadata": dict(self.metadata),
            **self.place_json(),
        }
        if self.context is not None:
            value["context"] = self.context
        return value if self.vector is None else {**value, "vector": self.vector.tolist()}

    def place_json(self) -> Json:
        """Where it stands in its document; unknown fields are left out."""
        place = {name: getattr(self, name) for name in _PLACE}
        kept = {name: value for name, value in place.items() if value not in (None, (), "")}
        return {**kept, "headings": list(self.headings)} if self.headings else kept

    @classmethod
    def from_json(cls, value: Json) -> StoredChunk:
        """The value whose `to_json` this is; a vector may also be float32 bytes."""
        start, end = value["span"]
        fields = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        fields |= {"span": (start, end), "headings": tuple(value.get("headings", ()))}
        if (vector := value.get("vector")) is not None:
            import numpy as np

            fields["vector"] = np.frombuffer(vector, "<f4") if isinstance(vector, bytes) else np.array(vector, "<f4")
        return cls(**fields)

    def to_dict(self) -> Json:
        """The same as `to_json`."""
        return self.to_json()

    def to_row(self) -> Json:
        """A row of a table: the span as `start` and `end`, each field of metadata as `metadata.NAME`."""
        place = {name: value if value != "" else None for name, value in self.place_json().items()}
        row = {"document": self.document, "key": self.key, "start": self.span[0], "end": self.span[1]}
        row |= {"text": self.text, "title": self.title, **{name: place.get(name) for name in _PLACE}}
        row |= {METADATA + name: value for name, value in self.metadata.items()}
        row |= {} if self.context is None else {"context": self.context}
        return row if self.vector is None else {**row, "vector": self.vector}

    def to_pandas(self) -> pd.DataFrame:
        """One row. Raises InvalidInputError without pandas."""
        return chunks_frame([self])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StoredChunk):
            return NotImplemented
        same = all(
            getattr(self, name) == getattr(other, name) for name in self.__dataclass_fields__ if name != "vector"
        )
        one, two = self.vector, other.vector
        return same and (one is two if one is None or two is None else one.tolist() == two.tolist())

    def __hash__(self) -> int:
        return hash((self.document, self.key, self.span))

    def __repr__(self) -> str:
        return described("StoredChunk", f"{clipped(self.document, 30)} {span_text(self.span)}: {self.text[:200]}")

    def _repr_html_(self) -> str:
        return chunks_html(self.document, [self], 1)


def chunks_frame(chunks: Sequence[StoredChunk]) -> pd.DataFrame:
    """A DataFrame with a row a chunk."""
    return data_frame([chunk.to_row() for chunk in chunks], _COLUMNS)


def chunk_line(chunk: StoredChunk) -> str:
    """A chunk on a line of a list."""
    head = f"{padded(chunk.document, 24)}  {padded(span_text(chunk.span), 13)}  "
    return head + clipped(chunk.text, COLUMNS - 41)


def chunks_html(caption: str, chunks: Sequence[StoredChunk], count: int) -> str:
    """A table of chunks; of many, the first."""
    rows = [
        (c.document, span_text(c.span), place_text(c.page, c.sheet, c.line, c.headings), c.text)
        for c in chunks[:ROWS_HTML]
    ]
    more = f" (the first {ROWS_HTML})" if count > ROWS_HTML else ""
    return html_table(caption + more, ("document", "span", "place", "text"), rows)


@dataclass(frozen=True, repr=False)
class Document:
    """A document of a version: its text, joined from its chunks, and its metadata.

    `text[start:end]` is the text of a chunk with the span `(start, end)`. Characters that no chunk holds are U+FFFD,
    and `missing` lists their spans. Text after the last chunk, if there was any, is absent.
    """

    id: str
    title: str
    text: str
    metadata: Mapping[str, Any]
    source: str  # label of the source that holds it; "" in a snapshot in a folder, which does not say it
    media_type: str  # what its bytes were
    digest: str  # sha256 of the source's bytes, 64 hex characters
    chunks: tuple[StoredChunk, ...] = field(default=())  # in reading order, those of its title first
    missing: tuple[tuple[int, int], ...] = ()  # spans of `text` that no chunk holds
    origin: Mapping[str, str] = field(default_factory=dict)  # of an object: bucket, key, e_tag, version as it has them

    def to_json(self) -> Json:
        """All fields, `origin` where there is one.

        A chunk has its key, span and place; text and metadata where these are not the document's.
        """
        return {
            "id": self.id,
            "title": self.title,
            "text": self.text,
            "metadata": dict(self.metadata),
            "source": self.source,
            "media_type": self.media_type,
            "digest": self.digest,
            "chunks": [self._chunk_json(chunk) for chunk in self.chunks],
            "missing": [list(span) for span in self.missing],
            **({"origin": dict(self.origin)} if self.origin else {}),
        }

    def _chunk_json(self, chunk: StoredChunk) -> Json:
        start, end = chunk.span
        text = {} if end and self.text[start:end] == chunk.text else {"text": chunk.text}
        metadata = {} if chunk.metadata == self.metadata else {"metadata": dict(chunk.metadata)}
        return {"key": chunk.key, "span": [start, end], **text, **metadata, **chunk.place_json()}

    @classmethod
    def from_json(cls, value: Json) -> Document:
        """The document whose `to_json` this is; what its chunks leave out is taken from the document."""
        fields = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        shared = {"document": value["id"], "title": value["title"]}
        chunks = tuple(
            StoredChunk.from_json(
                {"text": value["text"][slice(*chunk["span"])], "metadata": value["metadata"], **chunk, **shared}
            )
            for chunk in value["chunks"]
        )
        missing = tuple((start, end) for start, end in value["missing"])
        return cls(**{**fields, "chunks": chunks, "missing": missing})

    def to_dict(self) -> Json:
        """The same as `to_json`."""
        return self.to_json()

    def to_pandas(self) -> pd.DataFrame:
        """A row for each chunk. Raises InvalidInputError without pandas."""
        return chunks_frame(self.chunks)

    def __repr__(self) -> str:
        title = f' "{clipped(self.title, 30)}"' if self.title else ""
        lost = sum(end - start for start, end in self.missing)
        end = f", {lost:,} characters missing" if lost else ""
        size = f"{len(self.text):,} characters, {counted(len(self.chunks), 'chunk')}{end}"
        return described("Document", f"{clipped(self.id, 40)}{title}: {size}")

    def _repr_html_(self) -> str:
        caption = f"{self.id} · {self.title} · {len(self.text):,} characters"
        return chunks_html(caption, self.chunks, len(self.chunks))


@dataclass(frozen=True)
class Count:
    """The number of documents and chunks of a version."""

    documents: int
    chunks: int

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return {"documents": self.documents, "chunks": self.chunks}

    @classmethod
    def from_json(cls, value: Json) -> Count:
        """The value whose `to_json` this is."""
        return cls(value["documents"], value["chunks"])

    def to_dict(self) -> Json:
        """The same as `to_json`."""
        return self.to_json()


@dataclass(frozen=True, repr=False)
class Field:
    """A field that filters may name."""

    name: str
    kind: str  # "metadata", "position" (of a chunk in its document) or "built-in"
    types: tuple[str, ...]  # of its values: bool, int, float, str, strs (a list of strings), json (anything else)
    documents: int  # that have a value
    examples: tuple[Any, ...]  # the most frequent values, at most 3; long ones are passed over

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return {**self.__dict__, "types": list(self.types), "examples": list(self.examples)}

    @classmethod
    def from_json(cls, value: Json) -> Field:
        """The value whose `to_json` this is."""
        fields = {name: value[name] for name in cls.__dataclass_fields__}
        return cls(**{**fields, "types": tuple(value["types"]), "examples": tuple(value["examples"])})

    def to_dict(self) -> Json:
        """The same as `to_json`."""
        return self.to_json()

    @property
    def examples_text(self) -> str:
        """The examples on one line."""
        return ", ".join(map(repr, self.examples))

    def __repr__(self) -> str:
        documents = counted(self.documents, "document")
        types = "|".join(self.types)
        return described("Field", f"{clipped(self.name, 30)} {types}, {documents}: {self.examples_text}")


@dataclass(frozen=True, repr=False)
class Fields(Sequence[Field]):
    """The fields of a version that filters may name: metadata, then positions, then built-in ones, by name."""

    fields: tuple[Field, ...]

    @overload
    def __getitem__(self, index: int | str) -> Field: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Field, ...]: ...
    def __getitem__(self, index: int | str | slice) -> Field | tuple[Field, ...]:
        """A field by its number or its name. Raises KeyError, IndexError."""
        return {field.name: field for field in self.fields}[index] if isinstance(index, str) else self.fields[index]

    def __len__(self) -> int:
        return len(self.fields)

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return {"fields": [each.to_json() for each in self.fields]}

    @classmethod
    def from_json(cls, value: Json) -> Fields:
        """The value whose `to_json` this is."""
        return cls(tuple(Field.from_json(each) for each in value["fields"]))

    def to_dict(self) -> Json:
        """The same as `to_json`."""
        return self.to_json()

    def to_pandas(self) -> pd.DataFrame:
        """A row for each field. Raises InvalidInputError without pandas."""
        return data_frame([each.to_json() for each in self.fields], tuple(Field.__dataclass_fields__))

    def __repr__(self) -> str:
        lines = [
            f"  {padded(each.name, 20)}  {padded('|'.join(each.types), 8)}  {each.documents:>6}  "
            + folded(each.examples_text)
            for each in self.fields
        ]
        return listed(f"<Fields: {len(self.fields)}>", lines)

    def _repr_html_(self) -> str:
        rows = [(f.name, f.kind, ", ".join(f.types), f.documents, f.examples_text) for f in self.fields]
        return html_table("fields", ("name", "kind", "types", "documents", "examples"), rows)
