"""What ingest makes of a document: `Original` (from its source), `Parsed` (Markdown), `Chunk`s (spans of it)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import floor
from typing import Any, Literal

from vecver.model.spaces import Json, Vectors


@dataclass(frozen=True)
class Original:
    """One document of a source, not parsed yet.

    Exactly one of `data` (bytes of a file, to be parsed) and `text` (a record's text, taken as it is)
    is set. `vector`, float32 `(dim,)`, comes with records that bring their own.
    """

    document: str  # stable id: path relative to the folder given, or the record's id
    source: str  # label of the source that holds it
    digest: str  # sha256 of the bytes, or of the canonical record without its vector
    data: bytes | None = None
    text: str | None = None
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    vector: Vectors | None = None
    origin: Mapping[str, str] = field(default_factory=dict)  # of an object: bucket, key, e_tag, version


@dataclass(frozen=True)
class Unread:
    """An object of a bucket that was listed and not read. `digest` and `parser` are "" unless they are known."""

    document: str
    source: str
    metadata: Mapping[str, Any]
    key: str  # its name in the bucket
    size: int  # bytes
    e_tag: str  # "" where the bucket gives none that identifies bytes
    digest: str = ""  # sha256 of the bytes, which an earlier ingest read under this ETag
    parser: str = ""  # that read them


@dataclass(frozen=True)
class Mark:
    """Where a page, sheet or part of a document begins in its text."""

    start: int  # characters
    field: Literal["page", "sheet", "part"]
    value: int | str  # pages count from 1; of a part (a mail of a mailbox) its metadata as JSON


@dataclass(frozen=True)
class Coverage:
    """How many of the words that the reader's library extracted are in the document's text."""

    seen: int  # words that the library extracted
    kept: int  # of these, in the text
    furniture: int = 0  # of these, left out on purpose: running headers, navigation
    notes: tuple[str, ...] = ()  # what is missing, one sentence each, naming the page, part or sheet

    @property
    def share(self) -> float:
        """Of the words that are not furniture, the share that the text holds."""
        wanted = self.seen - self.furniture
        return self.kept / wanted if wanted else 1.0

    def to_json(self) -> Json:
        """Words seen, kept and furniture, and the share that was kept, rounded down to four digits."""
        share = floor(self.share * 10_000) / 10_000  # never 1 where a word is missing
        counts = {"words": self.seen, "kept": self.kept, "furniture": self.furniture, "share": share}
        return {**counts, "notes": list(self.notes)}

    @classmethod
    def from_json(cls, value: Json) -> Coverage:
        """The value whose `to_json` this is."""
        return cls(value["words"], value["kept"], value["furniture"], tuple(value["notes"]))

    def __add__(self, other: Coverage) -> Coverage:
        """The sums of both, without notes."""
        return Coverage(self.seen + other.seen, self.kept + other.kept, self.furniture + other.furniture)


@dataclass(frozen=True)
class Parsed:
    """A document's text as Markdown with `#` headings."""

    text: str
    title: str  # "" where the document has none
    media_type: str  # "text/markdown", "application/pdf" ...: what the bytes were
    parser: str  # "liteparse 2.18.0": the library that read it
    coverage: Coverage | None = None  # None: the text is the document as it is
    marks: tuple[Mark, ...] = ()  # where pages and sheets begin, in order
    metadata: Mapping[str, Any] = field(default_factory=dict)  # from the file: author, tags ...
    pieces: tuple[bytes, ...] = field(default=(), compare=False, repr=False)  # the chunker's pieces, made by the worker


@dataclass(frozen=True)
class Failure:
    """A document that could not be read, and why. Its previous version stays live."""

    document: str
    code: str  # stable: "empty", "no_text", "encrypted", "malformed", "binary", "unsupported", "timeout" ...
    reason: str  # one sentence for a person, with the next thing to do where there is one
    hides: bool = False  # its source may have more documents than were read, so none is removed as missing

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return {"document": self.document, "code": self.code, "reason": self.reason}

    @classmethod
    def from_json(cls, value: Json) -> Failure:
        """The value whose `to_json` this is."""
        return cls(value["document"], value["code"], value["reason"])


@dataclass(frozen=True)
class Chunk:
    """A piece of a document's text: `text[start:end]`. `[0, 0)` is a chunk that is no piece of it (the title)."""

    start: int  # characters
    end: int
    text: str  # the raw span, as stored and returned
    embedded: str  # the normalised text that is given to the embedder
    headings: tuple[str, ...] = ()  # over it, outermost first, without the document's title; of code: class, function
    header: str = ""  # the header row of the table that it goes on with, as the document has it; "" where it begins it
    page: int | None = None  # from 1: where it begins
    sheet: str | None = None  # where it begins
    line: int | None = None  # of the document's text, from 1: where it begins; only of plain text and source code
