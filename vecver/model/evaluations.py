"""Evaluations: how well a version answers the questions of a set, by the measures that `ir_measures` defines."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vecver.model.display import counted, described, html_table, listed
from vecver.model.frames import data_frame
from vecver.model.question_sets import JudgedQuestion, RankedDocument
from vecver.model.spaces import Json

if TYPE_CHECKING:
    import pandas as pd

    from vecver.model.measure_histories import MeasureHistory

_FLOAT32 = 3.4028234663852886e38  # the largest float32


@dataclass(frozen=True)
class Mean:
    """The mean of a measure over questions, and its interval at 95% by the bootstrap."""

    mean: float
    low: float
    high: float

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, value: Json) -> Mean:
        """The value whose `to_json` this is."""
        return cls(value["mean"], value["low"], value["high"])


@dataclass(frozen=True)
class Evaluated:
    """One question of an evaluation."""

    question: JudgedQuestion
    measures: Mapping[str, float]  # empty for a question without judgments
    ranking: tuple[RankedDocument, ...]  # best first, as deep as the measures look

    @property
    def id(self) -> str:
        """The question's id."""
        return self.question.id

    @property
    def query(self) -> str | None:
        """The question's text."""
        return self.question.query

    def to_json(self) -> Json:
        """The question's fields, its measures and its ranking."""
        ranking = [each.to_json() for each in self.ranking]
        return {**self.question.to_json(), "measures": dict(self.measures), "ranking": ranking}

    @classmethod
    def from_json(cls, value: Json) -> Evaluated:
        """The value whose `to_json` this is."""
        ranking = tuple(RankedDocument.from_json(each) for each in value["ranking"])
        return cls(JudgedQuestion.from_json(value), value["measures"], ranking)


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The relevance of a version: means over the questions of a set, and every question."""

    dataset: str
    commit: str  # full id
    questions: Json  # {"name", "digest", "count", "judged", "forbidding"}
    engine: Json  # {"name": "exact" | "faiss" | "milvus"}, and what names its index
    measures: Mapping[str, Mean]  # by name, as `ir_measures` writes it
    per_question: tuple[Evaluated, ...]
    tags: Mapping[str, Json] = field(default_factory=dict)  # tag -> {"count", "measures": {name: mean}}
    skipped: Mapping[str, int] = field(default_factory=dict)  # what could not count, by reason
    time: str = ""  # of the searches; ISO 8601, UTC, microseconds
    reused: bool = False  # the rankings were stored before; nothing was searched
    not_kept: str | None = None  # why the rankings were not stored beside the commit, if so

    def __getitem__(self, measure: str) -> float:
        """The mean of a measure. Raises KeyError."""
        return self.measures[measure].mean

    def to_json(self, *, per_question: bool = True) -> Json:
        """All fields as JSON values; `per_question=False` leaves the single questions out."""
        value: Json = {
            "dataset": self.dataset,
            "commit": self.commit,
            "questions": self.questions,
            "engine": self.engine,
            "measures": {name: mean.to_json() for name, mean in self.measures.items()},
            "tags": dict(self.tags),
            "skipped": dict(self.skipped),
            "time": self.time,
            "reused": self.reused,
        }
        value |= {"not_kept": self.not_kept} if self.not_kept else {}
        return {**value, "per_question": [each.to_json() for each in self.per_question]} if per_question else value

    @classmethod
    def from_json(cls, value: Json) -> Evaluation:
        """The value whose `to_json` this is."""
        fields = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        measures = {name: Mean.from_json(mean) for name, mean in value["measures"].items()}
        questions = tuple(Evaluated.from_json(each) for each in value.get("per_question", ()))
        return cls(**{**fields, "measures": measures, "per_question": questions})

    def to_dict(self) -> Json:
        """The same as `to_json`."""
        return self.to_json()

    def to_html(self, history: MeasureHistory | None = None, *, name: str | None = None) -> str:
        """A page that opens anywhere, without a network: means, every question, and what it brings back.

        `history`: what `docs.measure_history(…)` gives for the same questions; it adds the measures over versions, and
        recall against latency. `name`: what the version is called, for example "prod".
        Raises InvalidInputError without jinja2.
        """
        from vecver import reports

        return reports.evaluation_page(self.to_json(), history.to_json() if history else None, name)

    def run_text(self) -> str:
        """The rankings as a run of TREC: `question Q0 item rank score vecver`, a line an item.

        Scores are made to fall strictly in float32, as `trec_eval` reads them, so that ties keep their order. White
        space in names is percent-encoded, here and in `qrels_text`.
        """
        return "".join(line for each in self.per_question for line in _run_lines(each))

    def qrels_text(self) -> str:
        """The judgments in TREC's columns: `question 0 item grade`, a line a judgment."""
        judged = [each.question for each in self.per_question if each.question.is_judged]
        rows = ((each.id, item, grade) for each in judged for item, grade in each.judgments().items())
        return "".join(f"{_encoded(id)} 0 {_encoded(item)} {grade}\n" for id, item, grade in rows)

    def to_pandas(self) -> pd.DataFrame:
        """A row a question: its id, query and measures. Raises InvalidInputError without pandas."""
        rows = [{"id": each.id, "query": each.query, **each.measures} for each in self.per_question]
        return data_frame(rows, ("id", "query", *self.measures))

    def __repr__(self) -> str:
        name = self.questions["name"] or "questions"
        head = f"{self.dataset} {self.commit[:12]} by {name}: {counted(self.questions['judged'], 'judged question')}"
        lines = [
            f"  {name}  {mean.mean:.4f}  {mean.low:.4f} to {mean.high:.4f}" for name, mean in self.measures.items()
        ]
        return listed(described("Evaluation", head), lines, len(lines))

    def _repr_html_(self) -> str:
        rows = [(name, *(f"{x:.4f}" for x in (each.mean, each.low, each.high))) for name, each in self._rows()]
        return html_table(f"{self.dataset} {self.commit[:12]}", ("measure", "mean", "low", "high"), rows)

    def _rows(self) -> Sequence[tuple[str, Mean]]:
        return list(self.measures.items())


def _run_lines(evaluated: Evaluated) -> Iterator[str]:
    question, ranking = evaluated.question, evaluated.ranking
    scores = {each.document: each.score for each in reversed(ranking)}
    last = math.inf
    for rank, item in enumerate(question.items(ranking), 1):
        score = float(-rank) if question.judges_texts else _float32(scores[item])
        last = score if score < last else _next_below(last)
        yield f"{_encoded(evaluated.id)} Q0 {_encoded(item)} {rank} {last!r} vecver\n"


def _float32(score: float) -> float:
    """The nearest float32."""
    return float(struct.unpack("f", struct.pack("f", min(max(score, -_FLOAT32), _FLOAT32)))[0])


def _next_below(score: float) -> float:
    """The next smaller float32."""
    (bits,) = struct.unpack("i", struct.pack("f", score))
    bits = bits - 1 if score > 0 else -(2**31) + 1 if score == 0 else bits + 1
    return float(struct.unpack("f", struct.pack("i", bits))[0])


def _encoded(name: str) -> str:
    """A name without white space, which separates the columns of TREC's files; a name that has none stays as it is."""
    if name.split() == [name]:
        return name
    return "".join(f"%{ord(c):02X}" if c == "%" or c.isspace() else c for c in name)
