"""What is stored of the measures of versions, as pages show it: by which questions, and drawn. Measures nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import vecver
from vecver.errors import VecverError
from vecver.reports import Plot, against_latency, over_versions
from vecver_service.ui.addresses import address

RECALL = "ann_recall@10"
_LATE = 20  # versions


@dataclass(frozen=True)
class Newest:
    """A measure of the newest version that has it, and of `prod`."""

    name: str
    commit: str
    value: vecver.StoredMeasure
    served: vecver.StoredMeasure | None  # of the version that prod serves, if that is another one and was measured

    @property
    def difference(self) -> float | None:
        """Of the newest one from that of prod."""
        return self.value.mean - self.served.mean if self.served else None


def question_set(docs: vecver.Dataset, name: str = "") -> str:
    """By which questions relevance is shown: the set of this name, else that of prod's policy, else the one by which
    most of the newest versions were measured, the first by name among equals. "" where the dataset has none.
    """
    if name:
        return name
    sets, policy = docs.question_sets(), docs.policy("prod")
    if policy and policy.questions in sets:
        return str(policy.questions)
    return max(sets, key=lambda each: _measured_of_late(docs, each), default="") if len(sets) > 1 else "".join(sets)


def _measured_of_late(docs: vecver.Dataset, questions: str) -> int:
    if "main" not in docs.branches():
        return 0
    return sum(any(map(is_relevance, version.measures)) for version in history_of(docs, "main", questions, _LATE))


def is_relevance(name: str) -> bool:
    """Is this a measure of answers, and not of the index?"""
    return not name.startswith("ann_recall")


def history_of(
    docs: vecver.Dataset, at: str, questions: str, limit: int, measures: Sequence[str] | None = None
) -> vecver.MeasureHistory:
    """The measures of the versions that led to one, newest first. Raises NotFoundError (revision, question set).

    `questions`: the name of a stored set, never read as a path of this machine.
    """
    if questions:
        return docs.measure_history(at, questions=docs.questions(questions), measures=measures, limit=limit)
    return docs.measure_history(at, measures=measures or RECALL, limit=limit)


def plots(history: vecver.MeasureHistory) -> list[Plot]:
    """Each measure over the versions, oldest on the left; each point leads to its version."""
    return _linked(history, over_versions(history.to_json()))


def latencies(history: vecver.MeasureHistory) -> list[Plot]:
    """The recall of indexes over the time of a query, a drawing for each k."""
    return _linked(history, against_latency(history.to_json()))


def newest(docs: vecver.Dataset, history: vecver.MeasureHistory, prod: str | None) -> list[Newest]:
    """The first measure of answers and the recall of the index, each of the newest version that has it, beside that of
    the version that prod serves.
    """
    values: dict[str, tuple[str, vecver.StoredMeasure]] = {}
    for version in history:
        for name, value in version.measures.items():
            values.setdefault(name, (version.commit, value))
    relevance = [name for name in history.names if name in values and is_relevance(name)]
    shown = [*relevance[:1], *([RECALL] if RECALL in values else [])]
    served = _measures_of(docs, history, prod) if prod and shown else {}
    return [
        Newest(name, commit, value, None if commit == prod else served.get(name))
        for name, (commit, value) in ((name, values[name]) for name in shown)
    ]


def _measures_of(docs: vecver.Dataset, history: vecver.MeasureHistory, commit: str) -> dict[str, vecver.StoredMeasure]:
    listed = next((version for version in history if version.commit == commit), None)
    if listed is None:
        questions = history.questions["name"] if history.questions else ""
        try:
            listed = next(iter(history_of(docs, commit, questions, 1, history.names)))
        except VecverError:  # prod is damaged: its own page says so
            return {}
    return dict(listed.measures)


def _linked(history: vecver.MeasureHistory, drawn: Iterable[Plot]) -> list[Plot]:
    """The drawings, with links to the pages of versions."""
    pages = {
        f"#v-{each.commit[:12]}": address("datasets", history.dataset, "versions", each.commit) for each in history
    }
    return [replace(plot, dots=tuple(replace(dot, href=pages[dot.href]) for dot in plot.dots)) for plot in drawn]
