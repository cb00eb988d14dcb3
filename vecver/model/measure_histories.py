"""Measure histories: what was measured of each version of a branch, read from beside the commits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vecver.model.display import ROWS, counted, described, folded, html_table, listed
from vecver.model.frames import data_frame
from vecver.model.spaces import Json

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class StoredMeasure:
    """One measure of one version, as it was stored."""

    mean: float
    low: float | None  # its interval at 95%; None of ann_recall
    high: float | None
    engine: str  # who proposed hits: "exact", "faiss" or "milvus"; of ann_recall as receipts name it
    time: str  # of the measurement; ISO 8601, UTC
    p50_ms: float | None = None  # of ann_recall: the median time of a query, in milliseconds
    queries: int | None = None  # of ann_recall: how many it was measured by

    def to_json(self) -> Json:
        """The fields that are set, as JSON values."""
        return {name: value for name, value in self.__dict__.items() if value is not None}

    @classmethod
    def from_json(cls, value: Json) -> StoredMeasure:
        """The value whose `to_json` this is."""
        optional = {name: value.get(name) for name in ("low", "high", "p50_ms", "queries")}
        return cls(mean=value["mean"], engine=value["engine"], time=value["time"], **optional)


@dataclass(frozen=True)
class MeasuredVersion:
    """A version, the refs that name it, and what was measured of it."""

    commit: str  # full id
    time: str  # of the commit; ISO 8601, UTC, seconds
    message: str
    refs: tuple[tuple[str, str], ...]  # (kind, name) of the branches, aliases and tags that stand here
    documents: int
    chunks: int
    measures: Mapping[str, StoredMeasure]  # by name; without those that were not measured

    def to_json(self) -> Json:
        """The fields as JSON values."""
        values: Json = {name: getattr(self, name) for name in ("commit", "time", "message", "documents", "chunks")}
        values["refs"] = [{"kind": kind, "name": name} for kind, name in self.refs]
        return {**values, "measures": {name: each.to_json() for name, each in self.measures.items()}}

    @classmethod
    def from_json(cls, value: Json) -> MeasuredVersion:
        """The value whose `to_json` this is."""
        fields = {name: value[name] for name in ("commit", "time", "message", "documents", "chunks")}
        refs = tuple((ref["kind"], ref["name"]) for ref in value["refs"])
        measures = {name: StoredMeasure.from_json(each) for name, each in value["measures"].items()}
        return cls(**fields, refs=refs, measures=measures)


@dataclass(frozen=True, repr=False)
class MeasureHistory:
    """The stored measures of the versions that led to a revision, newest first. Iterating gives `MeasuredVersion`s."""

    dataset: str
    questions: Json | None  # the set's summary: {"name", "digest", "count", ...}; None: relevance was not asked for
    names: tuple[str, ...]  # of the measures
    versions: tuple[MeasuredVersion, ...]

    def __iter__(self) -> Iterator[MeasuredVersion]:
        return iter(self.versions)

    def __len__(self) -> int:
        return len(self.versions)

    def series(self, measure: str) -> list[tuple[str, StoredMeasure]]:
        """(commit, value) of the versions of which a measure is stored, newest first. Raises KeyError."""
        if measure not in self.names:
            raise KeyError(measure)
        return [(each.commit, each.measures[measure]) for each in self.versions if measure in each.measures]

    def to_json(self) -> Json:
        """The fields as JSON values."""
        values: Json = {"dataset": self.dataset, "questions": self.questions, "measures": list(self.names)}
        return {**values, "versions": [each.to_json() for each in self.versions]}

    @classmethod
    def from_json(cls, value: Json) -> MeasureHistory:
        """The value whose `to_json` this is."""
        versions = tuple(MeasuredVersion.from_json(each) for each in value["versions"])
        return cls(value["dataset"], value["questions"], tuple(value["measures"]), versions)

    def to_dict(self) -> Json:
        """The same as `to_json`."""
        return self.to_json()

    def to_pandas(self) -> pd.DataFrame:
        """A row a version: commit, time, message, and its measures. Raises InvalidInputError without pandas."""
        columns = ("commit", "time", "message", *self.names)
        return data_frame([dict(zip(columns, self._row(each), strict=True)) for each in self.versions], columns)

    def to_html(self) -> str:
        """A page that opens anywhere, without a network: the measures over the versions, drawn and as a table.

        Raises InvalidInputError without jinja2.
        """
        from vecver import reports

        return reports.history_page(self.to_json())

    def to_svg(self) -> str:
        """The measures over the versions, drawn as one SVG file. Raises InvalidInputError without jinja2."""
        from vecver import reports

        return reports.history_svg(self.to_json())

    def _row(self, version: MeasuredVersion) -> tuple[object, ...]:
        means = (version.measures[name].mean if name in version.measures else None for name in self.names)
        return (version.commit, version.time, version.message, *means)

    def __repr__(self) -> str:
        by = f" by {self.questions['name'] or 'questions'}" if self.questions else ""
        lines = [
            f"  {each.commit[:12]}  {'  '.join(_shown(each.measures.get(name)) for name in self.names)}  "
            f"{folded(each.message)}"
            for each in self.versions[:ROWS]
        ]
        head = described("MeasureHistory", f"{self.dataset}{by}: {counted(len(self), 'version')}")
        return listed(head, lines, len(self))

    def _repr_html_(self) -> str:
        rows = [
            (each.commit[:12], each.message, *(_shown(each.measures.get(name)) for name in self.names))
            for each in self.versions
        ]
        return html_table(f"{self.dataset}: measures over versions", ("commit", "message", *self.names), rows)


def _shown(measure: StoredMeasure | None) -> str:
    return f"{measure.mean:.4f}" if measure else "-"
