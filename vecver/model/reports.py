"""The reports of ingest, check, snapshot, gc, optimize and recall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vecver.model.display import ROWS_HTML, described, html_table
from vecver.model.documents import Coverage, Failure
from vecver.model.frames import data_frame
from vecver.model.spaces import Json

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
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
    notes: tuple[str, ...] = ()  # what could not be done besides the commit, and `document_notes`
    coverage: Mapping[str, Coverage] = field(default_factory=dict)  # document -> how much of it was read, if measured
    unseen: Mapping[str, str] = field(default_factory=dict)  # document -> a sentence on text that the embedder ignores
    unknown: tuple[str, ...] = ()  # ids to delete that name no document

    @property
    def partial(self) -> dict[str, Coverage]:
        """The documents of which this ingest read a part."""
        return {document: coverage for document, coverage in self.coverage.items() if coverage.notes}

    @property
    def document_notes(self) -> tuple[str, ...]:
        """The notes on documents that were read in part; each begins with the document's id."""
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
        """The report as JSON values, with seconds to the millisecond; `unknown` only where it names any."""
        documents = [
            {"document": document, **document_coverage.to_json()}
            for document, document_coverage in self.coverage.items()
        ]
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
            **({"unknown": list(self.unknown)} if self.unknown else {}),
        }

    def to_dict(self) -> Json:
        """`to_json` with the names of the documents that were added, changed and removed."""
        return {**self.to_json(), "names": {kind: list(ids) for kind, ids in self.names.items()}}

    def to_pandas(self) -> pd.DataFrame:
        """A row for each document that changed or failed. Raises InvalidInputError without pandas."""
        return data_frame(self._rows(), ("document", "change", "reason"))

    def _rows(self) -> list[Json]:
        changed = [{"document": id, "change": kind, "reason": None} for kind, ids in self.names.items() for id in ids]
        failed = [
            {"document": failure.document, "change": "failed", "reason": failure.reason} for failure in self.failures
        ]
        return [*changed, *failed]

    def _head(self) -> str:
        kinds = ("added", "changed", "removed", "failed", "unchanged")
        counts = [f"{self.documents[kind]:,} {kind}" for kind in kinds if self.documents.get(kind)]
        chunks = f"; {self.chunks.get('embedded', 0):,} chunks embedded" if self.changed or self.dry_run else ""
        state = "would be " if self.dry_run else "" if self.changed else "nothing changed, "
        return f"{self.dataset} {(self.commit or '')[:12]}: {state}{', '.join(counts) or 'no documents'}{chunks}"

    def __repr__(self) -> str:
        return described("Report", self._head())

    def _repr_html_(self) -> str:
        rows = [(row["change"], row["document"], row["reason"]) for row in self._rows()[:ROWS_HTML]]
        return html_table(self._head(), ("change", "document", "reason"), rows)

    @classmethod
    def from_json(cls, value: Json) -> Report:
        """What `to_json` says; `names` too, where they were added to it."""
        fields = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        failures = tuple(Failure.from_json(item) for item in value["failures"])
        names = {kind: tuple(ids) for kind, ids in value.get("names", {}).items()}
        measured = value.get("coverage", {}).get("documents", [])  # older services do not measure
        coverage = {item["document"]: Coverage.from_json(item) for item in measured}
        read = {"failures": failures, "names": names, "notes": tuple(value["notes"]), "coverage": coverage}
        read["unseen"], read["unknown"] = value.get("unseen", {}), tuple(value.get("unknown", ()))
        return cls(**{**fields, **read})


@dataclass(frozen=True)
class Problem:
    """A problem that `check` reports."""

    object: str  # the store's name of it
    problem: str


@dataclass(frozen=True)
class Check:
    """The outcome of re-reading a repository."""

    objects: int
    bytes: int
    problems: tuple[Problem, ...]
    repaired: tuple[Problem, ...] = ()  # what `repair` fixed first, and how
    notes: tuple[str, ...] = ()  # on branches that are not folded and indexed; no problems, and not in `to_json`

    @property
    def clean(self) -> bool:
        """Whether no problem was found."""
        return not self.problems

    def to_json(self) -> Json:
        """The fields as JSON values; `repaired` only where something was repaired."""
        problems = [{"object": p.object, "problem": p.problem} for p in self.problems]
        report: Json = {"clean": self.clean, "objects": self.objects, "bytes": self.bytes, "problems": problems}
        repaired = [{"object": p.object, "repaired": p.problem} for p in self.repaired]
        return {**report, "repaired": repaired} if repaired else report


@dataclass(frozen=True)
class Export:
    """A snapshot on disk: a folder with a version's rows, vectors and index."""

    path: str
    dataset: str
    commit: str  # full id
    documents: int
    chunks: int
    index: str  # its kind: "flat", or the spec of the repository's own indexes
    files: Mapping[str, Json]  # name -> {"sha256", "bytes"}, without the manifest

    @property
    def bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file["bytes"] for file in self.files.values())

    def to_json(self) -> Json:
        """The fields as JSON values, and the bytes of all files together."""
        return {**self.__dict__, "files": dict(self.files), "bytes": self.bytes}


@dataclass(frozen=True)
class Garbage:
    """What no version needs, as `gc` reports it. A unit is a segment, or another object by its name."""

    forgotten: tuple[str, ...]  # commits whose rows are no longer kept; their records stay
    delete: Mapping[str, int]  # unit -> bytes: has waited long enough
    wait: Mapping[str, int]  # unit -> bytes: has not
    kept_versions: int

    def to_json(self) -> Json:
        """The fields as JSON values, and the bytes to delete and to wait for."""
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
    postings: int = 0  # lists of a segment's words, for keyword search, that were built

    @property
    def changed(self) -> bool:
        """Whether a version was rewritten, or an index or postings built."""
        return bool(self.versions or self.indexes or self.postings)

    def to_json(self) -> Json:
        """The fields as JSON values; `segments` as counts before and after, `postings` if some were built."""
        built = {"postings": self.postings} if self.postings else {}
        return {
            "versions": self.versions,
            "rows": self.rows,
            "segments": {"before": self.segments[0], "after": self.segments[1]},
            "indexes": self.indexes,
            **built,
        }


@dataclass(frozen=True)
class RecallAt:
    """The index against exact search at one k."""

    k: int
    ann_recall: float  # share of the true top k that the index's answers hold, mean over the queries
    engine: str  # as receipts name it; "exact": every live row was scanned
    p50_ms: float  # one warm query through `Dataset.search`; nearest rank
    p95_ms: float
    p99_ms: float
    queries_per_second: float  # one after the other
    worst: float | None = None  # the smallest recall of a query; absent in older measures
    below_0_8: float | None = None  # the share of the queries that find less than 0.8 of their true top k

    def to_json(self) -> Json:
        """The fields that are set."""
        return {name: value for name, value in self.__dict__.items() if value is not None}


@dataclass(frozen=True)
class Recall:
    """How well and how fast a version's index answers. Kept beside the commit as its measure `recall`.

    That of another mode is kept beside it, as `recall-keyword` or `recall-hybrid-convex-0.6`.
    """

    dataset: str
    commit: str  # full id
    at: tuple[RecallAt, ...]  # one a k, in the caller's order
    queries: Json  # {"source": "sample" | "given", "count", "digest": of their float32 bits, "drawn": how a sample was}
    index: Json  # chunks, indexed (those that an index covers), rows (live or not, that are searched), segments
    environment: Json  # vecver, faiss, python, machine, cpus
    time: str  # ISO 8601, UTC, microseconds
    raised: int | None = None  # indexes that `apply` made to read more lists; None without `apply`
    not_kept: str | None = None  # why the result was not stored beside the commit, if so
    mode: str | None = None  # "keyword", "hybrid": by what chunks were ranked; None: by their vectors
    weight: float | None = None  # of the vectors in hybrid mode
    fusion: str | None = None  # "convex", "rrf" in hybrid mode

    def __getitem__(self, k: int) -> RecallAt:
        """The measure at `k`. Raises KeyError if there is none."""
        return {at_k.k: at_k for at_k in self.at}[k]

    def to_json(self) -> Json:
        """The fields that are set, as JSON values."""
        kept = {name: value for name, value in self.__dict__.items() if value is not None}
        return {**kept, "at": [at_k.to_json() for at_k in self.at]}
