"""Drift: how far what a version holds has moved from what another one held, statistic by statistic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, Self, get_args

from vecver.model.display import described, html_table, listed
from vecver.model.spaces import Json

StatisticName = Literal[
    "space",
    "documents",
    "chunks",
    "language",
    "chunk_length",
    "same_length",
    "ending",
    "duplicates",
    "norm",
    "vectors",
    "document_length",
    "document_chunks",
]
STATISTICS: Final[tuple[StatisticName, ...]] = get_args(StatisticName)


@dataclass(frozen=True)
class SketchSummary:
    """What a version's rows are like, from its sketch. All but the counts are as exact as the sketch's bins."""

    documents: int
    chunks: int
    characters: int  # of the median chunk; 0 for a version without chunks
    longest: int  # characters that 95% of the chunks do not exceed
    languages: Mapping[str, float]  # class -> share of the chunks, the largest first
    repeats: float  # share of the chunks whose text another one has already
    norm: str  # of the median vector, in words: "about 1"

    def to_json(self) -> Json:
        """The fields as JSON values, with shares to six places."""
        languages = {name: round(share, 6) for name, share in self.languages.items()}
        return {**self.__dict__, "languages": languages, "repeats": round(self.repeats, 6)}

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """The summary whose `to_json` this is."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__})

    def __str__(self) -> str:
        known = [f"{name} {share:.0%}" for name, share in self.languages.items() if name != "unclear"]
        length = f"{self.characters:,} characters a chunk, 95% at most {self.longest:,}"
        repeats = f"{self.repeats:.1%} repeat a text"
        return " · ".join([*known[:2], length, *([repeats] if self.repeats >= 0.0005 else [])])


@dataclass(frozen=True)
class Example:
    """A chunk that shows how a statistic moved."""

    document: str
    key: str  # of the chunk, in hex
    text: str

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """The example whose `to_json` this is."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Share:
    """A class of rows, and which share of all rows it is in both versions, 0 to 1."""

    name: str
    before: float
    after: float

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return {"name": self.name, "from": round(self.before, 6), "to": round(self.after, 6)}

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """The share whose `to_json` this is."""
        return cls(value["name"], value["from"], value["to"])


@dataclass(frozen=True)
class Statistic:
    """One statistic of two versions. It moved if its distance is above its threshold.

    `distance` is the share of the rows that lie in another class than before (half the sum of the differences of all
    shares, the total variation). Of `documents` and `chunks` it is the relative change, of `duplicates` the difference
    of two shares, of `same_length` by how much the share of a single length grew; of `space` 1 or 0.

    `threshold` grows with the rows that differ: so far chance may carry it. See `flows.evaluating.drift_rules`.
    """

    name: StatisticName
    distance: float
    threshold: float
    text: str  # what moved, in a few words
    shares: tuple[Share, ...] = ()  # the classes that changed most, those that grew first
    examples: tuple[Example, ...] = ()  # chunks of the later version in classes that grew; where it moved
    gone: tuple[Example, ...] = ()  # chunks of the earlier version in classes that shrank

    @property
    def moved(self) -> bool:
        """Whether it moved beyond its threshold."""
        return self.distance > self.threshold

    def with_examples(self, examples: tuple[Example, ...], gone: tuple[Example, ...]) -> Self:
        """The same with these chunks."""
        return replace(self, examples=examples, gone=gone)

    def to_json(self) -> Json:
        """The fields as JSON values."""
        numbers = {"distance": round(self.distance, 6), "threshold": round(self.threshold, 6)}
        lists = {name: [each.to_json() for each in getattr(self, name)] for name in ("shares", "examples", "gone")}
        return {"name": self.name, "moved": self.moved, **numbers, "text": self.text, **lists}

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """The statistic whose `to_json` this is."""
        shares = tuple(Share.from_json(each) for each in value["shares"])
        examples, gone = (tuple(Example.from_json(each) for each in value[name]) for name in ("examples", "gone"))
        return cls(value["name"], value["distance"], value["threshold"], value["text"], shares, examples, gone)


@dataclass(frozen=True, repr=False)
class Drift:
    """What moved between two versions."""

    dataset: str
    before: str  # full commit id
    after: str
    documents: tuple[int, int]  # before, after
    chunks: tuple[int, int]
    changed: int  # documents that were added, changed or removed
    statistics: tuple[Statistic, ...]  # those that could be compared; the farthest above their thresholds first

    @property
    def moved(self) -> tuple[Statistic, ...]:
        """The statistics that moved beyond their thresholds, the farthest first."""
        return tuple(each for each in self.statistics if each.moved)

    @property
    def drifted(self) -> bool:
        """Whether any statistic moved."""
        return bool(self.moved)

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return {
            "dataset": self.dataset,
            "from": self.before,
            "to": self.after,
            "drifted": self.drifted,
            "moved": [each.name for each in self.moved],
            "text": str(self),
            **{name: {"from": old, "to": new} for name, (old, new) in self._counts.items()},
            "changed": self.changed,
            "statistics": [each.to_json() for each in self.statistics],
        }

    def to_dict(self) -> Json:
        """The same as `to_json`."""
        return self.to_json()

    @property
    def _counts(self) -> dict[str, tuple[int, int]]:
        return {"documents": self.documents, "chunks": self.chunks}

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """The drift whose `to_json` this is."""
        documents, chunks = ((value[name]["from"], value[name]["to"]) for name in ("documents", "chunks"))
        statistics = tuple(Statistic.from_json(each) for each in value["statistics"])
        return cls(value["dataset"], value["from"], value["to"], documents, chunks, value["changed"], statistics)

    def __str__(self) -> str:
        """One line, such as a chat shows of a webhook."""
        moved = "; ".join(f"{each.name.replace('_', ' ')}: {each.text}" for each in self.moved)
        return f"{self.dataset} {self.before[:12]} → {self.after[:12]}: {moved or 'nothing moved'}"

    def _head(self) -> str:
        moved = ", ".join(each.name.replace("_", " ") for each in self.moved) or "nothing"
        return f"{self.dataset} {self.before[:12]} → {self.after[:12]}: {moved} moved"

    def __repr__(self) -> str:
        return listed(described("Drift", self._head()), [f"  {each.name}: {each.text}" for each in self.moved])

    def _repr_html_(self) -> str:
        rows = [
            (each.name, "moved" if each.moved else "", f"{each.distance:.3f}", f"{each.threshold:.3f}", each.text)
            for each in self.statistics
        ]
        return html_table(self._head(), ("statistic", "", "distance", "threshold", ""), rows)
