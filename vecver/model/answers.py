"""Hits, answers, and what a replay finds."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from vecver.model.spaces import Json, Vectors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class Part:
    """The live rows of one segment, as a search sees them."""

    vectors: Vectors  # (n, dim) float32, mapped
    live: npt.NDArray[np.uint8] | None  # (ceil(n / 8),) little-endian bits, row i is bit i; None: all rows
    live_count: int
    keys: npt.NDArray[np.uint8]  # (n, 16): the tie-break
    max_norm: float  # no vector is longer
    index: Any = None  # an opened index under this mask (`index.faiss.View`), or None: scan


_OPTIONAL: Final = (
    "context",
    "headings",
    "header",
    "page",
    "sheet",
    "line",
    "by",
    "vector",
)  # left out of a hit's JSON where empty


@dataclass(frozen=True)
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

    def to_json(self) -> Json:
        """All fields; those that are None, and headings and a header that are empty, are left out. A vector is a list
        of numbers, from which `from_json` makes the same float32 bits."""
        value = {name: getattr(self, name) for name in self.__dataclass_fields__}
        value["vector"] = None if self.vector is None else self.vector.tolist()
        kept = {name: own for name, own in value.items() if name not in _OPTIONAL or own not in (None, (), "")}
        kept["span"] = list(self.span)
        return {**kept, "headings": list(self.headings)} if self.headings else kept

    @classmethod
    def from_json(cls, value: Json) -> Hit:
        start, end = value["span"]
        fields = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        headings = tuple(value.get("headings", ()))
        vector = None if value.get("vector") is None else _vector(value["vector"])
        return cls(**{**fields, "span": (start, end), "headings": headings, "vector": vector})


@dataclass(frozen=True)
class Answer(Sequence[Hit]):
    """The hits of one query, best first, and the receipt that proves them."""

    dataset: str
    revision: str  # as asked
    commit: str  # full id; "" where `missing` says that there is no version
    hits: tuple[Hit, ...]
    receipt: Json
    query: Json | None = None  # {"tokens", "unknown", "cut"} of a query that the embedder did not see whole
    missing: str | None = None  # with missing="empty": what is not there, in a sentence. Without a commit: the version

    def __getitem__(self, index: Any) -> Any:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def to_json(self) -> Json:
        return {
            "dataset": self.dataset,
            "revision": self.revision,
            "commit": self.commit,
            "hits": [hit.to_json() for hit in self.hits],
            "receipt": self.receipt,
            **({} if self.query is None else {"query": self.query}),
            **({} if self.missing is None else {"missing": self.missing}),
        }

    @classmethod
    def from_json(cls, value: Json) -> Answer:
        hits = tuple(Hit.from_json(one) for one in value["hits"])
        own = (value["dataset"], value["revision"], value["commit"], hits, value["receipt"])
        return cls(*own, value.get("query"), value.get("missing"))


def _vector(value: str | Sequence[float]) -> Vectors:
    """A vector that travelled: numbers, or base64 of little-endian float32 bytes."""
    import numpy as np

    data = np.frombuffer(base64.b64decode(value), "<f4") if isinstance(value, str) else value
    return np.array(data, np.float32)


@dataclass(frozen=True)
class Replay:
    """The outcome of recomputing a receipt."""

    identical: bool
    differences: tuple[str, ...]  # one sentence each
    recall: float | None  # of an approximate answer against exact; None for an exact one
    notes: tuple[str, ...] = ()  # what could not be proved here, and why

    def to_json(self) -> Json:
        return {
            "identical": self.identical,
            "differences": list(self.differences),
            "recall": self.recall,
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, value: Json) -> Replay:
        return cls(value["identical"], tuple(value["differences"]), value["recall"], tuple(value["notes"]))
