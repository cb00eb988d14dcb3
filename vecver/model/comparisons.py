"""Comparisons: what two versions answer to the same questions, what changed for each, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, get_args

from vecver.model.display import counted, described, html_table, listed
from vecver.model.spaces import Json
from vecver.reports.reasons import REASONS

if TYPE_CHECKING:
    from vecver.model.measure_histories import MeasureHistory

Why = Literal["edited", "added", "removed", "rechunked", "embedder", "approximation", "rival"]
WHYS: Final[tuple[Why, ...]] = get_args(Why)


@dataclass(frozen=True)
class Change:
    """A document that entered, left or moved, and why.

    `edited`: its source changed. `added`, `removed`: the other version does not have it. `embedder`: the versions lie
    in different spaces. `rechunked`: the same source was cut otherwise. `rival`: it is the same, and others took or
    left the places above it. `approximation`: its score would have placed it in both; an index did not look far enough.
    """

    document: str
    key: str  # of its best chunk: in the later version, or in the earlier one of what left
    before: int | None  # rank, from 1; None: not among the first
    after: int | None
    why: Why

    @property
    def reason(self) -> str:
        """`why` in words, as reports and the terminal show it."""
        return REASONS[self.why]

    @property
    def rank(self) -> int:
        """The rank in the later version; of what left, in the earlier one."""
        return self.after or self.before or 0

    def to_json(self) -> Json:
        """The fields as JSON values, with `rank`."""
        values: Json = {"document": self.document, "key": self.key, "rank": self.rank, "why": self.why}
        return {**values, "from": self.before, "to": self.after} if self.before and self.after else values


@dataclass(frozen=True)
class Compared:
    """One question of a comparison."""

    id: str
    query: str | None
    rbo: float  # rank-biased overlap of the two rankings of documents, p = 0.9; 1: the same
    measures: Mapping[str, tuple[float, float]]  # name -> (earlier, later); empty without judgments
    entered: tuple[Change, ...]
    left: tuple[Change, ...]
    moved: tuple[Change, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        """All that changed."""
        return (*self.entered, *self.left, *self.moved)

    def to_json(self) -> Json:
        """The fields as JSON values."""
        kinds = ("entered", "left", "moved")
        return {
            "id": self.id,
            "query": self.query,
            "rbo": self.rbo,
            "measures": {name: {"from": old, "to": new} for name, (old, new) in self.measures.items()},
            **{kind: [change.to_json() for change in getattr(self, kind)] for kind in kinds},
        }

    @classmethod
    def from_json(cls, value: Json) -> Compared:
        """The value whose `to_json` this is."""
        changes = {
            "entered": tuple(_change(each, None, each["rank"]) for each in value["entered"]),
            "left": tuple(_change(each, each["rank"], None) for each in value["left"]),
            "moved": tuple(_change(each, each["from"], each["to"]) for each in value["moved"]),
        }
        measures = {name: (each["from"], each["to"]) for name, each in value["measures"].items()}
        return cls(value["id"], value["query"], value["rbo"], measures, **changes)


@dataclass(frozen=True)
class Delta:
    """A measure in two versions, over the same questions."""

    before: float
    after: float
    low: float  # of the difference of the means at 95%, by the paired bootstrap
    high: float
    p: float  # that chance alone makes such a difference: a paired randomisation test
    wins: int  # questions that are better in the later version
    ties: int
    losses: int

    @property
    def delta(self) -> float:
        """Later minus earlier."""
        return self.after - self.before

    def to_json(self) -> Json:
        """The fields as JSON values, with `delta`; `from` and `to` are the two means."""
        values = {name: getattr(self, name) for name in ("delta", "low", "high", "p", "wins", "ties", "losses")}
        return {"from": self.before, "to": self.after, **values}

    @classmethod
    def from_json(cls, value: Json) -> Delta:
        """The value whose `to_json` this is."""
        names = ("low", "high", "p", "wins", "ties", "losses")
        return cls(value["from"], value["to"], **{name: value[name] for name in names})


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two versions by the same questions: measures side by side, and for each question what changed and why."""

    dataset: str
    before: str  # full commit ids
    after: str
    questions: Json  # {"name", "digest", "count", ...}
    depth: int  # documents that were compared, from the first on
    measures: Mapping[str, Delta]
    per_question: tuple[Compared, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def rbo(self) -> float:
        """The mean overlap of the rankings."""
        return sum(each.rbo for each in self.per_question) / len(self.per_question) if self.per_question else 1.0

    @property
    def whys(self) -> dict[str, int]:
        """How many changes have each reason, the most frequent first."""
        return dict(Counter(change.why for each in self.per_question for change in each.changes).most_common())

    @property
    def reasons(self) -> dict[str, int]:
        """`whys` in words."""
        return {REASONS[why]: count for why, count in self.whys.items()}

    def to_json(self, *, per_question: bool = True) -> Json:
        """All fields as JSON values."""
        value: Json = {
            "dataset": self.dataset,
            "from": self.before,
            "to": self.after,
            "questions": self.questions,
            "depth": self.depth,
            "measures": {name: delta.to_json() for name, delta in self.measures.items()},
            "rbo": self.rbo,
            "whys": self.whys,
            "skipped": dict(self.skipped),
        }
        return {**value, "per_question": [each.to_json() for each in self.per_question]} if per_question else value

    @classmethod
    def from_json(cls, value: Json) -> Comparison:
        """The value whose `to_json` this is."""
        measures = {name: Delta.from_json(delta) for name, delta in value["measures"].items()}
        questions = tuple(Compared.from_json(each) for each in value.get("per_question", ()))
        return cls(
            value["dataset"],
            value["from"],
            value["to"],
            value["questions"],
            value["depth"],
            measures,
            questions,
            value["skipped"],
        )

    def to_dict(self) -> Json:
        """The same as `to_json`."""
        return self.to_json()

    def to_html(self, history: MeasureHistory | None = None, *, names: Sequence[str] | None = None) -> str:
        """A page that opens anywhere, without a network: measures, questions, and why their answers differ.

        `history`: what `docs.measure_history(…)` gives for the same questions; it adds the measures over versions, and
        recall against latency. `names`: what the two versions are called, for example ("prod", "main").
        Raises InvalidInputError without jinja2.
        """
        from vecver import reports

        return reports.comparison_page(self.to_json(), history.to_json() if history else None, names)

    def __repr__(self) -> str:
        head = f"{self.dataset} {self.before[:12]} to {self.after[:12]}: {counted(len(self.per_question), 'question')}"
        lines = [f"  {name}  {d.before:.4f} to {d.after:.4f}  p {d.p:.3f}" for name, d in self.measures.items()]
        return listed(described("Comparison", f"{head}, overlap {self.rbo:.3f}"), lines, len(lines))

    def _repr_html_(self) -> str:
        rows = [
            (name, *(f"{x:.4f}" for x in (d.before, d.after, d.delta, d.p)), d.wins, d.ties, d.losses)
            for name, d in self.measures.items()
        ]
        columns = ("measure", "from", "to", "delta", "p", "wins", "ties", "losses")
        return html_table(f"{self.dataset} {self.before[:12]} to {self.after[:12]}", columns, rows)


def _change(value: Json, before: int | None, after: int | None) -> Change:
    return Change(value["document"], value["key"], before, after, value["why"])
