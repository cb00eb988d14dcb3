"""Hits, answers, and the outcome of a replay.

`Answer.unread` makes an answer whose hits and receipt are read from the version when they are first used, and
`Hit.unread` a hit whose fields are. They equal, pickle, copy and print as answers and hits that were made with them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, overload

from vecver.model.display import (
    COLUMNS,
    ROWS,
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
    width_of,
)
from vecver.model.frames import METADATA, data_frame
from vecver.model.rerankers import Reranked
from vecver.model.spaces import Json, Vectors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd


@dataclass(frozen=True)
class Part:
    """The live rows of one segment, as a search sees them."""

    vectors: Vectors  # (n, dim) float32, mapped
    live: npt.NDArray[np.uint8] | None  # (ceil(n / 8),) little-endian bits, row i is bit i; None: all rows
    live_count: int
    keys: npt.NDArray[np.uint8]  # (n, 16): the tie-break
    max_norm: float  # no vector is longer
    index: Any = None  # an opened index under this mask (`index.faiss.View`), or None: scan
    codes: Any = None  # of the segment's rows (`index.SegmentCodes`), or None: scan floats


_COLUMNS: Final = ("rank", "score", "document", "key", "start", "end", "text", "title")  # of `Answer.to_pandas`
_FIELDS: Final = ("rank", "score", "score_bits", "document", "key", "span", "text", "title", "metadata")
_OPTIONAL: Final = ("context", "headings", "header", "page", "sheet", "line", "by")  # left out of JSON where empty
_ORIGINS: Final = ("dense", "keyword", "reranked")  # the same; a hit that lacks them has the default of its class


@dataclass(frozen=True)
class Side:
    """What one side of a hybrid search says of a hit."""

    score: float  # of its vector, or of its words: higher is better
    rank: int | None  # among the side's best 100, from 1; None: below them

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return {"score": self.score, "rank": self.rank}

    @classmethod
    def from_json(cls, value: Json | None) -> Side | None:
        """The value whose `to_json` this is; None for None."""
        return None if value is None else cls(value["score"], value["rank"])


@dataclass(frozen=True, repr=False)
class Hit:
    """A chunk that answers a query."""

    rank: int  # from 1
    score: float  # higher is better
    score_bits: str  # the score's IEEE 754 bits, 16 hex characters, big-endian
    document: str
    key: str  # 32 hex characters
    span: tuple[int, int]  # characters of the document's text; (0, 0): no piece of it (its title)
    text: str
    title: str
    metadata: Json
    context: str | None = None  # the hit with its neighbours, joined; None unless asked for
    headings: tuple[str, ...] = ()  # over the chunk, outermost first, without the title; of code: class, function
    header: str = ""  # the header row of the table that the chunk goes on with; "" where it begins the table
    page: int | None = None  # from 1: where the chunk begins, as all below
    sheet: str | None = None  # of a workbook
    line: int | None = None  # of the document's text, from 1; only of plain text and source code
    by: str | None = None  # "title": the score is that of its document's title, which ranked this passage
    vector: Vectors | None = field(default=None, compare=False, repr=False)  # (dim,) float32, if asked for
    dense: Side | None = None  # in hybrid search: what its vector says of it
    keyword: Side | None = None  # the same of its words
    reranked: Reranked | None = None  # where a reranker ordered it; `score` stays that of the search

    def to_json(self) -> Json:
        """All fields; those that are None, and headings and a header that are empty, are left out. A vector is a list
        of numbers, from which `from_json` makes the same float32 bits."""
        self.read()
        value: Json = {name: getattr(self, name) for name in _FIELDS}
        value["span"] = list(self.span)
        for name in _OPTIONAL:
            part = getattr(self, name)
            if part is not None and part != "" and part != ():
                value[name] = list(part) if name == "headings" else part
        value |= {name: part.to_json() for name in _ORIGINS if (part := getattr(self, name)) is not None}
        if self.vector is not None:
            value["vector"] = self.vector.tolist()
        return value

    def to_dict(self) -> Json:
        """The same as `to_json`."""
        return self.to_json()

    def to_row(self) -> Json:
        """A row of a table: the span as `start` and `end`, each field of metadata as `metadata.NAME`."""
        self.read()
        row = {"rank": self.rank, "score": self.score, "document": self.document, "key": self.key}
        row |= {"start": self.span[0], "end": self.span[1], "text": self.text, "title": self.title}
        row |= {name: getattr(self, name) or None for name in ("headings", "header", "page", "sheet", "line", "by")}
        row["headings"] = list(self.headings) or None
        row |= {METADATA + name: value for name, value in self.metadata.items()}
        row |= {} if self.context is None else {"context": self.context}
        for name in _ORIGINS:
            if (part := getattr(self, name)) is not None:
                row |= {f"{name}_{field}": value for field, value in part.to_json().items()}
        return row if self.vector is None else {**row, "vector": self.vector}

    def to_pandas(self) -> pd.DataFrame:
        """One row. Raises InvalidInputError without pandas."""
        return data_frame([self.to_row()])

    def __repr__(self) -> str:
        place = f"{clipped(self.document, 32)} {span_text(self.span)}"
        return described("Hit", f"{self.rank} {self.score:.4f} {place}: {folded(self.text)}")

    def _repr_html_(self) -> str:
        return _hits_html(f"{self.document} {span_text(self.span)}", [self])

    @classmethod
    def made(cls, fields: dict[str, Any]) -> Hit:
        """The same as `Hit(**fields)` with every field, which takes 3 us; this takes no more than its dict."""
        hit = object.__new__(cls)
        object.__setattr__(hit, "__dict__", fields)
        return hit

    @classmethod
    def unread(cls, fields: dict[str, Any], read_field: Callable[[str], Json]) -> Hit:
        """A hit with some fields; the others are read when the first of them is used.

        `read_field`: takes the name of a field, or "" for all; returns its value by name, and those of other fields
        that were read with it. The hit holds what `read_field` holds until all fields are read.
        """
        return cls.made({**fields, "_read_field": read_field})

    if not TYPE_CHECKING:  # a type checker that sees a `__getattr__` accepts every misspelt name

        def __getattr__(self, name: str) -> Any:
            if name not in self.__dataclass_fields__:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            if read_field := self.__dict__.get("_read_field"):
                self.__dict__.update(read_field(name))
                if self.__dict__.keys() >= _READ:
                    self._hold_alone(self.__dict__)
            return self.__dict__[name]

    def read(self) -> Hit:
        """The same hit, with every field read."""
        if read_field := self.__dict__.get("_read_field"):
            self._hold_alone({**read_field(""), **self.__dict__})
        return self

    def _hold_alone(self, fields: dict[str, Any]) -> None:
        """Hold every field, and no longer what reads them."""
        object.__setattr__(
            self, "__dict__", {name: fields[name] for name in self.__dataclass_fields__ if name in fields}
        )

    def __getstate__(self) -> Json:
        return {name: getattr(self.read(), name) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, value: Json) -> Hit:
        """The hit whose `to_json` this is; a vector may also be base64 of its float32 bytes."""
        start, end = value["span"]
        fields = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        headings = tuple(value.get("headings", ()))
        vector = None if value.get("vector") is None else _vector(value["vector"])
        origins = {
            "dense": Side.from_json(value.get("dense")),
            "keyword": Side.from_json(value.get("keyword")),
            "reranked": Reranked.from_json(value.get("reranked")),
        }
        return cls(**{**fields, **origins, "span": (start, end), "headings": headings, "vector": vector})


_READ: Final = Hit.__dataclass_fields__.keys() - set(_ORIGINS)  # what a hit has of its own once it is read
for _name in _OPTIONAL:
    delattr(Hit, _name)  # the class holds the default of a field: where a hit lacks it, `__getattr__` must be called


@dataclass(frozen=True, repr=False)
class Answer(Sequence[Hit]):
    """The hits of one query, best first, and the receipt that proves them."""

    dataset: str
    revision: str  # as the caller wrote it
    commit: str  # full id; "" where `missing` says that there is no version
    hits: tuple[Hit, ...]
    receipt: Json
    query: Json | None = None  # {"tokens", "unknown", "cut"} of a query of which the embedder ignored tokens
    missing: str | None = None  # with missing="empty": a sentence that names what is missing
    notes: tuple[str, ...] = ()  # sentences on what was not done as it was asked

    @classmethod
    def unread(
        cls, read_hits: Callable[[], tuple[Hit, ...]], read_receipt: Callable[[tuple[Hit, ...]], Json], **fields: Any
    ) -> Answer:
        """An answer whose hits, and the receipt of them, are read when they are first used.

        Until its hits are read it holds what `read_hits` holds. `fields`: the other fields; two threads may both read.
        """
        answer = object.__new__(cls)
        defaults = {"query": None, "missing": None, "notes": ()}
        answer.__dict__.update(defaults, **fields, _read_hits=read_hits, _read_receipt=read_receipt)
        return answer

    if not TYPE_CHECKING:  # a type checker that sees a `__getattr__` accepts every misspelt name

        def __getattr__(self, name: str) -> Any:
            if name not in ("hits", "receipt"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            read = self.__dict__.get(f"_read_{name}")
            if read is not None:
                self.__dict__[name] = read() if name == "hits" else read(self.hits)
                self.__dict__.pop(f"_read_{name}", None)
            return self.__dict__[name]

    def __getstate__(self) -> Json:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, index: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def to_json(self) -> Json:
        """The fields of this answer as JSON values; `query`, `missing` and `notes` only where they are set."""
        return {
            "dataset": self.dataset,
            "revision": self.revision,
            "commit": self.commit,
            "hits": [hit.to_json() for hit in self.hits],
            "receipt": self.receipt,
            **({} if self.query is None else {"query": self.query}),
            **({} if self.missing is None else {"missing": self.missing}),
            **({"notes": list(self.notes)} if self.notes else {}),
        }

    def to_dict(self) -> Json:
        """The same as `to_json`."""
        return self.to_json()

    def to_pandas(self) -> pd.DataFrame:
        """A row for each hit. Raises InvalidInputError without pandas."""
        return data_frame([hit.to_row() for hit in self.hits], _COLUMNS)

    def _head(self) -> str:
        missing = f" ({self.missing})" if self.missing else ""
        return f"{self.dataset}@{self.revision} {self.commit[:12]}: {counted(len(self.hits), 'hit')}{missing}"

    def __repr__(self) -> str:
        return listed(described("Answer", self._head()), [_hit_line(hit) for hit in self.hits[:ROWS]], len(self.hits))

    def _repr_html_(self) -> str:
        return _hits_html(self._head(), self.hits)

    @classmethod
    def from_json(cls, value: Json) -> Answer:
        """The value whose `to_json` this is."""
        hits = tuple(Hit.from_json(hit) for hit in value["hits"])
        required = (value["dataset"], value["revision"], value["commit"], hits, value["receipt"])
        return cls(*required, value.get("query"), value.get("missing"), tuple(value.get("notes", ())))


def _hit_line(hit: Hit) -> str:
    """A hit on a line of a list."""
    head = f"{hit.rank:>3}  {hit.score:.4f}  {padded(hit.document, 24)}  "
    return head + clipped(hit.text, COLUMNS - width_of(head))


def _hits_html(caption: str, hits: Sequence[Hit]) -> str:
    """A table of hits; of many, the first."""
    more = f" (the first {ROWS_HTML})" if len(hits) > ROWS_HTML else ""
    rows = [
        (hit.rank, f"{hit.score:.4f}", hit.document, place_text(hit.page, hit.sheet, hit.line, hit.headings), hit.text)
        for hit in hits[:ROWS_HTML]
    ]
    return html_table(caption + more, ("rank", "score", "document", "place", "text"), rows)


def _vector(value: str | Sequence[float]) -> Vectors:
    """A vector from JSON: numbers, or base64 of little-endian float32 bytes."""
    import numpy as np

    data = np.frombuffer(base64.b64decode(value), "<f4") if isinstance(value, str) else value
    return np.array(data, np.float32)


@dataclass(frozen=True)
class Replay:
    """The outcome of recomputing a receipt."""

    identical: bool
    differences: tuple[str, ...]  # one sentence each
    recall: float | None  # of an approximate answer against exact; None for an exact one
    notes: tuple[str, ...] = ()  # what could not be proved, and why

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return {
            "identical": self.identical,
            "differences": list(self.differences),
            "recall": self.recall,
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, value: Json) -> Replay:
        """The value whose `to_json` this is."""
        return cls(value["identical"], tuple(value["differences"]), value["recall"], tuple(value["notes"]))
