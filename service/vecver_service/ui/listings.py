"""Lists of versions for the page of the history: newest first, or in the order of a measure; and which of them match.

Decisions
1. A page shows `PAGE` versions and reads no others to begin with: a history of 10,000 versions opens as fast as one of
   a hundred. A filter of texts looks through up to `LOOKED` versions and says where to go on.
2. The order of a measure needs the measures of every version that may come first, so it is that of the newest
   `among`: 1,000 of them take 0.3 s to read the first time, and 0.02 s later, when vecver has them in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from operator import ge, gt, le, lt
from typing import Any, Literal

from pydantic import BaseModel, Field

import vecver
from vecver.errors import InvalidInputError
from vecver_service.ui import graph
from vecver_service.ui.measured import history_of, question_set

Json = dict[str, Any]
Names = Mapping[str, Sequence[tuple[str, str]]]  # commit -> (kind, name) of the refs that stand there
PAGE = 100  # versions
LOOKED = 10_000  # versions that one request looks through for a text
_ID_DIGITS = 4  # of an id, that a revision must have too
SIZES = ("documents", "chunks")  # may be sorted and filtered by as measures are
_CONDITION = re.compile(r"\s*(\S+?)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?)\s*")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {">=": ge, "<=": le, ">": gt, "<": lt}


class Asked(BaseModel):
    """What the address asks for."""

    ref: str = Field("", max_length=300)  # a branch; "": all
    after: str = Field("", max_length=6500)  # up to a hundred commit ids, from which to go on
    q: str = Field("", max_length=300)  # message, author, ref or id
    questions: str = Field("", max_length=300)  # by which relevance is shown
    where: str = Field("", max_length=300)  # "nDCG@10 >= 0.6"
    sort: str = Field("", max_length=300)  # a measure, "documents" or "chunks"; "": newest first
    order: Literal["down", "up"] = "down"
    among: int = Field(1000, ge=1, le=100_000)  # versions that are sorted
    page: int = Field(1, ge=1, le=100_000)

    @property
    def is_sorted(self) -> bool:
        """Does it ask by a measure?"""
        return bool(self.sort or self.where.strip())

    def query(self, **other: Any) -> Json:
        """As the query of an address, from the first page on."""
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        kept = {name: value for name, value in self.model_dump().items() if value != defaults[name]}
        return {**kept, "after": "", "page": None, **other}


@dataclass(frozen=True)
class Condition:
    """A filter by a measure."""

    name: str
    compare: Callable[[float, float], bool]
    value: float

    def holds(self, measured: float | None) -> bool:
        """Of a version with this value; never of one that was not measured."""
        return measured is not None and self.compare(measured, self.value)


@dataclass(frozen=True)
class Row:
    """A version in the table."""

    commit: vecver.Commit
    refs: Sequence[tuple[str, str]] = ()  # (kind, name)
    measures: Mapping[str, vecver.StoredMeasure] = field(default_factory=dict)
    lines: graph.GraphRow | None = None  # None: the table is not in the order of time

    @property
    def changes(self) -> Json:
        """Documents added, changed and removed; empty where the version does not say."""
        return _counts(self.commit, "documents")

    @property
    def chunks(self) -> Json:
        """Chunks embedded and reused; empty where the version does not say."""
        return _counts(self.commit, "chunks")

    @property
    def failures(self) -> int:
        """Documents that could not be read."""
        return len(self.commit.operation.get("failures", ()))


@dataclass(frozen=True)
class Listing:
    """A page of versions."""

    rows: list[Row]
    history: vecver.MeasureHistory | None  # of a page of versions, for the drawings; None: there is no version
    looked: int  # versions that were looked at
    matching: int | None = None  # of these, how many match; None: not counted
    after: str = ""  # commits from which older versions go on
    has_next: bool = False


def newest_first(docs: vecver.Dataset, asked: Asked, heads: Iterable[str], head: str, names: Names) -> Listing:
    """Versions by time, with the lines between them; drawn are the measures of those that led to the commit `head`.

    Raises NotFoundError (`after`).
    """
    commits = graph.NewestFirst(asked.after.split(",") if asked.after else heads, docs.log)
    page: list[vecver.Commit] = []
    looked = 0
    for looked, commit in enumerate(commits, 1):
        if _mentions(commit, names.get(commit.id, ()), asked.q):
            page.append(commit)
        if len(page) == PAGE or looked == LOOKED:
            break
    after = ",".join(commits.heads) if len(page) == PAGE or looked == LOOKED else ""
    histories = _histories(docs, sorted(page, key=lambda each: each.id != head), question_set(docs, asked.questions))
    measured = {each.commit: each.measures for history in histories for each in history}
    lines = iter(() if asked.q else graph.rows({commit.id: commit.parents for commit in page}, trunk=head))
    rows = [Row(each, names.get(each.id, ()), measured.get(each.id, {}), next(lines, None)) for each in page]
    return Listing(rows, next(iter(histories), None), looked, after=after)


def by_measure(docs: vecver.Dataset, asked: Asked, at: str, names: Names) -> Listing:
    """The newest versions that led to one, in the order of a measure; those that were not measured come last.

    Raises InvalidInputError (an unknown measure, a condition that is none), NotFoundError.
    """
    condition = _condition(asked.where)
    history = _with_measures(docs, at, asked, [asked.sort, *([condition.name] if condition else [])])
    commits = islice(docs.log(at), asked.among)
    rows = [Row(commit, names.get(commit.id, ()), each.measures) for commit, each in zip(commits, history, strict=True)]
    kept = [row for row in rows if _mentions(row.commit, row.refs, asked.q)]
    kept = [row for row in kept if condition is None or condition.holds(value_of(row, condition.name))]
    ordered = _ordered(kept, asked.sort, asked.order) if asked.sort else kept
    first = (asked.page - 1) * PAGE
    has_next = first + PAGE < len(ordered)
    drawn = replace(history, versions=history.versions[:PAGE])
    return Listing(ordered[first : first + PAGE], drawn, len(rows), len(ordered), has_next=has_next)


def value_of(row: Row, name: str) -> float | None:
    """A measure of a version, or how many documents or chunks it has; None where it was not measured."""
    if name in SIZES:
        return float(row.commit.counts[name])
    return row.measures[name].mean if name in row.measures else None


def _ordered(rows: list[Row], name: str, order: str) -> list[Row]:
    measured = [row for row in rows if value_of(row, name) is not None]
    measured.sort(key=lambda row: value_of(row, name) or 0.0, reverse=order == "down")
    return measured + [row for row in rows if value_of(row, name) is None]


def _with_measures(docs: vecver.Dataset, at: str, asked: Asked, wanted: Sequence[str]) -> vecver.MeasureHistory:
    """The history, with these measures beside those that are shown anyway."""
    questions = question_set(docs, asked.questions)
    names = history_of(docs, at, questions, 1).names
    more = [name for name in wanted if name and name not in (*names, *SIZES)]
    return history_of(docs, at, questions, asked.among, [*names, *dict.fromkeys(more)] if more else None)


def _histories(docs: vecver.Dataset, page: Sequence[vecver.Commit], questions: str) -> list[vecver.MeasureHistory]:
    """The measures of these versions: those along the first parents of the first one, then those of what is left."""
    left = {commit.id: None for commit in page}
    histories = []
    while left:
        histories.append(history_of(docs, next(iter(left)), questions, PAGE))
        for each in histories[-1]:
            left.pop(each.commit, None)
    return histories


def _condition(text: str) -> Condition | None:
    if not text.strip():
        return None
    if not (parts := _CONDITION.fullmatch(text)):
        raise InvalidInputError(
            f"{text!r} is no condition on a measure", code="invalid_filter", hint="write it as nDCG@10 >= 0.6"
        )
    name, operator, number = parts.groups()
    return Condition(name, _COMPARE[operator], float(number))


def _mentions(commit: vecver.Commit, refs: Iterable[tuple[str, str]], text: str) -> bool:
    """Does the message, the author, a ref or the id of a version hold a text?"""
    wanted = text.strip().casefold()
    if not wanted or (len(wanted) >= _ID_DIGITS and commit.id.startswith(wanted)):
        return True
    return wanted in "\n".join((commit.message, commit.author, *(name for _, name in refs))).casefold()


def _counts(commit: vecver.Commit, unit: str) -> Json:
    counts = commit.operation.get(unit)
    return counts if isinstance(counts, dict) else {}
