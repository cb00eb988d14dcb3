"""Frozen values that travel between the rooms. They do no I/O and know no library but numpy.

The road of one document: `Original` (as its source has it) -> `Parsed` (Markdown) -> `Chunk`s
(spans of that Markdown) -> rows of a segment -> `Hit`s of an `Answer`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from vecver.digest import digest_json

Json = dict[str, Any]
Vectors = npt.NDArray[np.float32]
Metric = Literal["cosine", "ip", "l2"]


# -- what a version is made of ------------------------------------------------------------------


@dataclass(frozen=True)
class Space:
    """What makes vectors comparable. Two vectors may be compared only when their spaces' ids are equal."""

    embedder: str  # fingerprint of the embedder, or "given:NAME" for vectors that a caller brought
    dim: int
    metric: Metric

    @cached_property
    def id(self) -> str:
        return digest_json(self.to_json())[:32]

    def to_json(self) -> Json:
        return {"embedder": self.embedder, "dim": self.dim, "metric": self.metric}

    @classmethod
    def from_json(cls, value: Json) -> Space:
        return cls(embedder=value["embedder"], dim=value["dim"], metric=value["metric"])


@dataclass(frozen=True)
class Recipe:
    """How documents become vectors: every name, version and parameter that a vector's bits depend on."""

    chunker: Json  # {"name": ..., parameters}
    embedder: Json  # {"name": ..., "version": ..., parameters}; what `pipeline.open_embedder` takes
    space: Space

    @cached_property
    def fingerprint(self) -> str:
        return digest_json(self.to_json())[:32]

    def to_json(self) -> Json:
        return {"chunker": self.chunker, "embedder": self.embedder, "space": self.space.to_json()}

    @classmethod
    def from_json(cls, value: Json) -> Recipe:
        return cls(value["chunker"], value["embedder"], Space.from_json(value["space"]))


# -- the pipeline's values ----------------------------------------------------------------------


@dataclass(frozen=True)
class Original:
    """One document as its source has it, before anything was understood.

    Exactly one of `data` (bytes of a file, to be parsed) and `text` (a record's text, taken as it is)
    is set. `vector`, float32 `(dim,)`, comes with records that bring their own.
    """

    document: str  # stable id: path relative to the folder given, or the record's id
    source: str  # label of the source that holds it
    digest: str  # sha256 of the bytes, or of the canonical record (its vector's bits included)
    data: bytes | None = None
    text: str | None = None
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    vector: Vectors | None = None


@dataclass(frozen=True)
class Parsed:
    """A document's text as Markdown with `#` headings."""

    text: str
    title: str  # "" where the document has none
    media_type: str  # "text/markdown", "application/pdf" ...: what the bytes were
    parser: str  # "liteparse 2.18.0": who read it, with version


@dataclass(frozen=True)
class Failure:
    """A document that could not be read, and why. Its previous version stays live."""

    document: str
    code: str  # stable: "empty", "no_text", "encrypted", "malformed", "binary", "unsupported", "timeout" ...
    reason: str  # one sentence for a person, with the next thing to do where there is one

    def to_json(self) -> Json:
        return {"document": self.document, "code": self.code, "reason": self.reason}


@dataclass(frozen=True)
class Chunk:
    """A piece of a document's text: `text[start:end]`. `[0, 0)` is a chunk that is no piece of it (the title)."""

    start: int  # characters
    end: int
    text: str  # the raw span, as stored and returned
    embedded: str  # the normalised text that is given to the embedder


class Embedder(Protocol):
    """Turns texts into vectors of one space. The same text gives the same bits on one machine."""

    name: str  # as given to `pipeline.open_embedder`
    dim: int
    metric: Metric
    max_tokens: int  # content tokens that it reads, without the specials it adds itself
    recipe: Json  # everything its vectors' bits depend on, JSON; reopens it via `pipeline.open_embedder`

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Content tokens of each text, without specials, not truncated; `(n,)`."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """`(n, dim)` float32, C-contiguous, in the order of `texts`. Texts are documents' chunks."""

    def embed_query(self, text: str) -> Vectors:
        """`(dim,)` float32, by the one path that every query takes."""
