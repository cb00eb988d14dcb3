"""Frozen values that travel between the rooms. They do no I/O and know no library but numpy.

The road of one document: `Original` (as its source has it) -> `Parsed` (Markdown) -> `Chunk`s
(spans of that Markdown) -> rows of a segment -> `Hit`s of an `Answer`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import floor
from typing import Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from vecver.digest import digest_json

Json = dict[str, Any]
Vectors = npt.NDArray[np.float32]
Metric = Literal["cosine", "ip", "l2"]
Verify = Literal["always", "once", "never"]  # when stored rows are hashed: see `repo.verify`


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
        """Of what rows depend on; where the embedder was found on this machine is not part of it."""
        return digest_json({"chunker": self.chunker, "space": self.space.to_json()})[:32]

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
    digest: str  # sha256 of the bytes, or of the canonical record without its vector
    data: bytes | None = None
    text: str | None = None
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    vector: Vectors | None = None


@dataclass(frozen=True)
class Mark:
    """From `start` on, a document's text is of this page or sheet."""

    start: int  # characters
    field: Literal["page", "sheet"]
    value: int | str  # pages count from 1


@dataclass(frozen=True)
class Coverage:
    """How many of the words that a reader's library saw in a document its text holds."""

    seen: int  # words in the library's plain view of the document
    kept: int  # of these, the text holds
    furniture: int = 0  # of these, were left out on purpose: running headers, navigation
    notes: tuple[str, ...] = ()  # what is missing, one sentence each, naming the page, part or sheet

    @property
    def share(self) -> float:
        """Of the words that are not furniture, the share that the text holds."""
        wanted = self.seen - self.furniture
        return self.kept / wanted if wanted else 1.0

    def to_json(self) -> Json:
        share = floor(self.share * 10_000) / 10_000  # never 1 where a word is missing
        counts = {"words": self.seen, "kept": self.kept, "furniture": self.furniture, "share": share}
        return {**counts, "notes": list(self.notes)}

    @classmethod
    def from_json(cls, value: Json) -> Coverage:
        return cls(value["words"], value["kept"], value["furniture"], tuple(value["notes"]))

    def __add__(self, other: Coverage) -> Coverage:
        """Of both together; the notes stay with each."""
        return Coverage(self.seen + other.seen, self.kept + other.kept, self.furniture + other.furniture)


@dataclass(frozen=True)
class Parsed:
    """A document's text as Markdown with `#` headings."""

    text: str
    title: str  # "" where the document has none
    media_type: str  # "text/markdown", "application/pdf" ...: what the bytes were
    parser: str  # "liteparse 2.18.0": who read it, with version
    coverage: Coverage | None = None  # None: the text is the document as it is
    marks: tuple[Mark, ...] = ()  # where pages and sheets begin, in order
    pieces: tuple[bytes, ...] = field(default=(), compare=False, repr=False)  # as the chunker cuts it, made beforehand


@dataclass(frozen=True)
class Failure:
    """A document that could not be read, and why. Its previous version stays live."""

    document: str
    code: str  # stable: "empty", "no_text", "encrypted", "malformed", "binary", "unsupported", "timeout" ...
    reason: str  # one sentence for a person, with the next thing to do where there is one
    hides: bool = False  # other documents may lie behind it: none of its source is removed as missing

    def to_json(self) -> Json:
        return {"document": self.document, "code": self.code, "reason": self.reason}

    @classmethod
    def from_json(cls, value: Json) -> Failure:
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


@dataclass(frozen=True)
class Position:
    """Where a chunk stands in its document, as far as the document says; the fields are those of `Chunk`."""

    headings: tuple[str, ...] = ()
    header: str = ""
    page: int | None = None
    sheet: str | None = None
    line: int | None = None


NOWHERE: Final = Position()  # of which nothing is known


@dataclass(frozen=True)
class TokenCounts:
    """How much of each text an embedder reads; all `(n,)`."""

    tokens: npt.NDArray[np.int64]  # content tokens, not truncated
    unknown: npt.NDArray[np.int64]  # of these, that are not in its vocabulary; 0 where it does not tell
    cut: npt.NDArray[np.int64]  # of these, beyond what it reads

    def to_json(self, row: int) -> Json:
        return {"tokens": int(self.tokens[row]), "unknown": int(self.unknown[row]), "cut": int(self.cut[row])}


class Embedder(Protocol):
    """Turns texts into vectors of one space. The same text gives the same bits on one machine."""

    name: str  # as given to `pipeline.open_embedder`
    dim: int
    metric: Metric
    max_tokens: int  # content tokens that it reads, without the specials it adds itself
    recipe: Json  # reopens it via `pipeline.open_embedder`
    fingerprint: str  # what makes its vectors comparable, hex: `Space.embedder`
    environment: Json  # what their last bits may depend on: runtime, device, library versions

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Content tokens of each text, without specials, not truncated; `(n,)`."""

    def token_counts(self, texts: Sequence[str]) -> TokenCounts:
        """As `count_tokens`, with the tokens of each text that it does not know or does not read."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """`(n, dim)` float32, C-contiguous, in the order of `texts`. Texts are documents' chunks."""

    @property
    def at_once(self) -> int:
        """Calls of `embed_queries` that it serves side by side; what comes beyond is better embedded together."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """`(n, dim)` float32, C-contiguous, in the order of `texts`; a query has the bits it has alone."""


# -- a version ----------------------------------------------------------------------------------


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


_PLAIN_COMMIT_FIELDS = (
    *("dataset", "author", "message", "time", "content_root", "vector_root"),
    *("counts", "environment", "operation"),
)


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

    def to_json(self) -> Json:
        return {
            "from": self.before,
            "to": self.after,
            "documents": {"added": list(self.added), "changed": list(self.changed), "removed": list(self.removed)},
            "chunks": {"added": self.chunks_added, "removed": self.chunks_removed},
        }

    @classmethod
    def from_json(cls, value: Json) -> Diff:
        documents, chunks = value["documents"], value["chunks"]
        added, changed, removed = (tuple(documents[kind]) for kind in ("added", "changed", "removed"))
        return cls(value["from"], value["to"], added, changed, removed, chunks["added"], chunks["removed"])

    def __str__(self) -> str:
        lines = [f"+ {d}" for d in self.added] + [f"~ {d}" for d in self.changed] + [f"- {d}" for d in self.removed]
        summary = (
            f"{len(self.added)} added, {len(self.changed)} changed, {len(self.removed)} removed documents; "
            f"{self.chunks_added} chunks added, {self.chunks_removed} removed"
        )
        return "\n".join([*lines, summary])


@dataclass(frozen=True)
class Report:
    """What an ingest did, or would do (`dry_run`). Names a version wherever a revision is taken."""

    dataset: str
    commit: str | None  # full id; None only for a dry run of a dataset without versions
    changed: bool  # False: nothing differed, no commit was made
    documents: Mapping[str, int]  # added, changed, removed, unchanged, failed
    chunks: Mapping[str, int]  # live, embedded, reused, removed
    failures: tuple[Failure, ...]
    seconds: Mapping[str, float]  # parse, chunk, embed, write
    tokens: int = 0  # content tokens that were (or would be) embedded
    longer: int = 0  # documents of the chunker `whole` that are longer than the model reads
    dry_run: bool = False
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # document ids: added, changed, removed
    notes: tuple[str, ...] = ()  # what could not be done beside the commit, which stands; and `document_notes`
    coverage: Mapping[str, Coverage] = field(default_factory=dict)  # document -> how much of it was read, if measured
    unseen: Mapping[str, str] = field(default_factory=dict)  # document -> what of its text the embedder cannot see

    @property
    def partial(self) -> dict[str, Coverage]:
        """The documents of which this ingest read a part."""
        return {document: coverage for document, coverage in self.coverage.items() if coverage.notes}

    @property
    def document_notes(self) -> tuple[str, ...]:
        """Those of `notes` that say what of a document was not read; each begins with the document's id."""
        notes = {document: " ".join(coverage.notes) for document, coverage in self.partial.items()}
        both = [*notes.items(), *self.unseen.items()]
        return tuple(f"{document}: {note}" for document, note in both)

    @property
    def total_coverage(self) -> Coverage:
        """The words of all documents that were measured."""
        return sum(self.coverage.values(), Coverage(0, 0))

    def coverage_json(self) -> Json:
        """How much of all documents together was read, how many were measured, and how many were read in part."""
        total = self.total_coverage.to_json()
        del total["notes"]
        return {"measured": len(self.coverage), "partial": len(self.partial), **total}

    def to_json(self) -> Json:
        documents = [{"document": document, **one.to_json()} for document, one in self.coverage.items()]
        return {
            "dataset": self.dataset,
            "commit": self.commit,
            "changed": self.changed,
            "dry_run": self.dry_run,
            "documents": dict(self.documents),
            "chunks": dict(self.chunks),
            "tokens": self.tokens,
            "longer": self.longer,
            "failures": [failure.to_json() for failure in self.failures],
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "notes": list(self.notes),
            "coverage": {**self.coverage_json(), "documents": documents},
            "unseen": dict(self.unseen),
        }

    @classmethod
    def from_json(cls, value: Json) -> Report:
        """What `to_json` says; `names` too, where they were added to it."""
        fields = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        failures = tuple(Failure.from_json(one) for one in value["failures"])
        names = {kind: tuple(ids) for kind, ids in value.get("names", {}).items()}
        measured = value.get("coverage", {}).get("documents", [])  # services of before do not measure
        coverage = {one["document"]: Coverage.from_json(one) for one in measured}
        read = {"failures": failures, "names": names, "notes": tuple(value["notes"]), "coverage": coverage}
        read["unseen"] = value.get("unseen", {})
        return cls(**{**fields, **read})


@dataclass(frozen=True)
class Problem:
    """Something that `check` found."""

    object: str  # the store's name of it
    problem: str


@dataclass(frozen=True)
class Check:
    """The outcome of re-reading a repository."""

    objects: int
    bytes: int
    problems: tuple[Problem, ...]
    repaired: tuple[Problem, ...] = ()  # what was made again before, and how

    @property
    def clean(self) -> bool:
        return not self.problems

    def to_json(self) -> Json:
        problems = [{"object": p.object, "problem": p.problem} for p in self.problems]
        found: Json = {"clean": self.clean, "objects": self.objects, "bytes": self.bytes, "problems": problems}
        repaired = [{"object": p.object, "repaired": p.problem} for p in self.repaired]
        return {**found, "repaired": repaired} if repaired else found


@dataclass(frozen=True)
class Export:
    """A snapshot that was exported: a version's rows, vectors and index in a folder of their own."""

    path: str
    dataset: str
    commit: str  # full id
    documents: int
    chunks: int
    index: str  # its kind: "flat", or the spec of the repository's own indexes
    files: Mapping[str, Json]  # name -> {"sha256", "bytes"}, without the manifest

    @property
    def bytes(self) -> int:
        return sum(file["bytes"] for file in self.files.values())

    def to_json(self) -> Json:
        return {**self.__dict__, "files": dict(self.files), "bytes": self.bytes}


@dataclass(frozen=True)
class Garbage:
    """What gc found that no version needs. A unit is a segment, or another object by its name."""

    forgotten: tuple[str, ...]  # commits that the retention lets go; their records stay
    delete: Mapping[str, int]  # unit -> bytes: has waited long enough
    wait: Mapping[str, int]  # unit -> bytes: has not
    kept_versions: int

    def to_json(self) -> Json:
        return {
            "kept_versions": self.kept_versions,
            "forgotten": list(self.forgotten),
            "delete": dict(self.delete),
            "wait": dict(self.wait),
            "bytes": {"delete": sum(self.delete.values()), "wait": sum(self.wait.values())},
        }


@dataclass(frozen=True)
class Optimized:
    """What `optimize` did."""

    versions: int  # that were re-laid
    rows: int  # chunk rows that were copied
    segments: tuple[int, int]  # copied from, into
    indexes: int  # that were built

    @property
    def changed(self) -> bool:
        return bool(self.versions or self.indexes)

    def to_json(self) -> Json:
        return {
            "versions": self.versions,
            "rows": self.rows,
            "segments": {"before": self.segments[0], "after": self.segments[1]},
            "indexes": self.indexes,
        }


@dataclass(frozen=True)
class RecallAt:
    """The index against exact search at one k."""

    k: int
    ann_recall: float  # share of the true top k that the index's answers hold, mean over the queries
    engine: str  # who proposed, as receipts name it; "exact": every live row was scanned, nothing can be missed
    p50_ms: float  # one warm query alone, asked as `Dataset.search` asks it; nearest rank
    p95_ms: float
    p99_ms: float
    queries_per_second: float  # one after the other
    worst: float | None = None  # the share that the query finds for which it is smallest; before 2026-11-26 not kept
    below_0_8: float | None = None  # the share of the queries that find less than 0.8 of their true top k

    def to_json(self) -> Json:
        return {name: value for name, value in self.__dict__.items() if value is not None}


@dataclass(frozen=True)
class Recall:
    """How well and how fast a version's index answers. Kept beside the commit as its measure `recall`."""

    dataset: str
    commit: str  # full id
    at: tuple[RecallAt, ...]  # one a k, as asked
    queries: Json  # {"source": "sample" | "given", "count", "digest": of their float32 bits, "drawn": how a sample was}
    index: Json  # chunks, indexed (those that an index covers), rows (live or not, that are searched), segments
    environment: Json  # vecver, faiss, python, machine, cpus
    time: str  # ISO 8601, UTC, microseconds
    raised: int | None = None  # indexes that look farther from now on (`apply`); None if that was not asked for
    not_kept: str | None = None  # why the result does not lie beside the commit, if it does not

    def __getitem__(self, k: int) -> RecallAt:
        """What was measured at `k`. Raises KeyError if nothing was."""
        return {one.k: one for one in self.at}[k]

    def to_json(self) -> Json:
        kept = {name: value for name, value in self.__dict__.items() if value is not None}
        return {**kept, "at": [one.to_json() for one in self.at]}


# -- publishing ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Milvus:
    """A Milvus, and how to enter it. No secret of it is printed or stored."""

    uri: str = ""  # "http://host:19530", a path that ends in ".db" (milvus-lite), or "": one in the repository's folder
    database: str = ""  # "": the server's default
    token: str = field(default="", repr=False)  # "user:password" or an API key
    user: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""  # PEM files for TLS: who signs the server; and, where the server asks for it, who we are
    certificate: str = ""
    key: str = field(default="", repr=False)
    server_name: str = ""  # that the server's certificate must have
    timeout: float = 60.0  # seconds, for one call


@dataclass(frozen=True)
class PublishedRows:
    """Chunks as Milvus is given them."""

    keys: npt.NDArray[np.uint8]  # (n, 16)
    vectors: Vectors  # (n, dim) float32
    documents: Sequence[str]  # n each
    titles: Sequence[str]
    texts: Sequence[str]
    metadata: Sequence[Json]

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class Publication:
    """A version in a Milvus: what any client needs to search it. Search `collection` with `filter`."""

    uri: str  # without secrets; a path for milvus-lite
    database: str
    collection: str
    alias: str  # for a collection that holds one version alone: where clients find the newest such; else ""
    ordinal: int
    filter: str  # a Milvus expression; "" where the collection holds nothing else
    metric: str  # Milvus' name: "IP" (of vectors of unit length where the space is cosine) or "L2"
    index: str  # Milvus' name: "HNSW", "FLAT"
    dim: int
    fields: tuple[str, ...]
    dataset: str
    commit: str  # full id
    chunks: int
    written: int = 0  # rows that this publish wrote; 0: the version was there already

    def to_json(self) -> Json:
        return {**self.__dict__, "fields": list(self.fields)}

    @classmethod
    def from_json(cls, value: Json) -> Publication:
        fields = {name: value[name] for name in cls.__dataclass_fields__}
        return cls(**{**fields, "fields": tuple(value["fields"])})


# -- searching ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """The live rows of one segment, as a search sees them."""

    vectors: Vectors  # (n, dim) float32, mapped
    live: npt.NDArray[np.uint8] | None  # (ceil(n / 8),) little-endian bits, row i is bit i; None: all rows
    live_count: int
    keys: npt.NDArray[np.uint8]  # (n, 16): the tie-break
    max_norm: float  # no vector is longer
    index: Any = None  # an opened index under this mask (`index.faiss.View`), or None: scan


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

    def to_json(self) -> Json:
        """All fields; those that are None, and headings and a header that are empty, are left out."""
        value = {name: getattr(self, name) for name in self.__dataclass_fields__}
        kept = {name: own for name, own in value.items() if name not in _OPTIONAL or own not in (None, (), "")}
        kept["span"] = list(self.span)
        return {**kept, "headings": list(self.headings)} if self.headings else kept

    @classmethod
    def from_json(cls, value: Json) -> Hit:
        start, end = value["span"]
        fields = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        headings = tuple(value.get("headings", ()))
        return cls(**{**fields, "span": (start, end), "headings": headings})


_OPTIONAL: Final = ("context", "headings", "header", "page", "sheet", "line")  # left out of a hit's JSON where empty


@dataclass(frozen=True)
class Answer(Sequence[Hit]):
    """The hits of one query, best first, and the receipt that proves them."""

    dataset: str
    revision: str  # as asked
    commit: str  # full id
    hits: tuple[Hit, ...]
    receipt: Json
    query: Json | None = None  # {"tokens", "unknown", "cut"} of a query that the embedder did not see whole

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
        }

    @classmethod
    def from_json(cls, value: Json) -> Answer:
        hits = tuple(Hit.from_json(one) for one in value["hits"])
        return cls(value["dataset"], value["revision"], value["commit"], hits, value["receipt"], value.get("query"))


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
