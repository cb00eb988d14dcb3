"""Relevance: how well a version answers the questions of a set.

questions -> their run, stored or searched -> values of the measures a question -> means with intervals, by tag
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vecver.errors import InvalidInputError, say
from vecver.flows.embedding import OpenEmbedder
from vecver.flows.evaluating.means import Means, keep_means
from vecver.flows.evaluating.measures import Measure, measures_of, values_of
from vecver.flows.evaluating.runs import Engine, Run, run_of
from vecver.flows.evaluating.statistics import Values, interval
from vecver.model import Evaluated, Evaluation, Json, Mean, QuestionSet
from vecver.model.display import counted
from vecver.progress import Progress
from vecver.repo import Snapshot, Versions


@dataclass(frozen=True)
class Measured:
    """A run, and the value of each measure for each question: `(n,)`, NaN where it has no such judgment."""

    run: Run
    questions: QuestionSet
    values: dict[str, Values]


def evaluate(
    versions: Versions,
    dataset: str,
    questions: QuestionSet,
    open_embedder: OpenEmbedder,
    *,
    at: str,
    measures: Iterable[str] | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a version by a set, and keep its rankings beside the commit. See `Dataset.eval`.

    Raises InvalidInputError (a measure, an empty version, a set without judgments, or none of whose documents exist).
    """
    check_judged(questions)
    wanted = measures_of(measures, questions)
    snapshot = versions.snapshot(versions.resolve(dataset, at))
    check_documents([snapshot], dataset, questions)
    measured = measure(
        versions, dataset, snapshot, questions, wanted, engine or Engine(), open_embedder, progress=progress
    )
    means = {name: mean_of(values) for name, values in measured.values.items() if not np.isnan(values).all()}
    if not measured.run.reused and not measured.run.not_kept:
        keep_means(versions, snapshot.commit.id, measured.run.kind, Means.of(measured.run, means))
    return Evaluation(
        dataset=dataset,
        commit=snapshot.commit.id,
        questions=questions.summary(),
        engine=measured.run.engine,
        measures=means,
        per_question=tuple(_each(measured)),
        tags=_by_tag(measured),
        skipped=skipped_in(snapshot, questions),
        time=measured.run.time,
        reused=measured.run.reused,
        not_kept=measured.run.not_kept,
    )


def measure(
    versions: Versions,
    dataset: str,
    snapshot: Snapshot,
    questions: QuestionSet,
    measures: Sequence[Measure],
    engine: Engine,
    open_embedder: OpenEmbedder,
    *,
    depth: int | None = None,
    progress: Progress | None = None,
) -> Measured:
    """The values of measures for each question of a set in one version; `depth`: places, by default what they look at.

    Raises InvalidInputError (an empty version).
    """
    if not snapshot.layout.chunk_count:
        raise _empty(snapshot, dataset)
    depth = max(each.depth for each in measures) if depth is None else depth
    run = run_of(versions, dataset, snapshot, questions, depth, engine, open_embedder, progress)
    return Measured(run, questions, values_of(measures, questions.questions, run.rankings, run.forbidden))


def mean_of(values: Values) -> Mean:
    """The mean of the values that are there, and its interval."""
    there = _there(values)
    return Mean(float(there.mean()), *interval(there))


def means_of(values: Mapping[str, Values]) -> dict[str, float]:
    """The mean of each measure that has a value for some question."""
    return {name: float(_there(each).mean()) for name, each in values.items() if len(_there(each))}


def _there(values: Values) -> Values:
    return values[~np.isnan(values)]


def check_judged(questions: QuestionSet) -> None:
    """Raises InvalidInputError if no question says what must, or must not, come back."""
    if not any(question.is_measured for question in questions.questions):
        raise InvalidInputError(
            f"no question of {questions.name or 'these'} says what must come back, so nothing can be measured",
            code="no_judgments",
            hint='add "documents" or "contains" to the questions, or give their judgments with --qrels; '
            "a comparison of two versions needs none",
        )


def check_documents(snapshots: Sequence[Snapshot], dataset: str, questions: QuestionSet) -> None:
    """Raises InvalidInputError if no version has any document that is judged relevant: the ids are probably others."""
    named = _relevant(questions)
    if not named or any(_known(snapshot, named) for snapshot in snapshots):
        return
    example, commits = min(named), " and ".join(snapshot.commit.id[:12] for snapshot in snapshots)
    more = f", nor any other of the {counted(len(named), 'document')} that the questions name" if len(named) > 1 else ""
    raise InvalidInputError(
        f"{dataset} {commits} does not have {example!r}{more or ', the only document that the questions name'}",
        code="unknown_documents",
        hint=say(
            "judge documents by their ids, as docs.documents(at) lists them",
            cli=f"judge documents by their ids, as `vecver ls {dataset}` lists them",
            http=f"judge documents by their ids, as GET /v1/datasets/{dataset}/documents lists them",
        ),
        document=example,
    )


def skipped_in(snapshot: Snapshot, questions: QuestionSet) -> dict[str, int]:
    """What of a set cannot count in a version, by reason."""
    named = _relevant(questions)
    forbidden = {name for each in questions.questions for name in each.not_documents}
    counts = {
        **questions.skipped,
        "unknown_documents": len(named - _known(snapshot, named)),
        "unknown_not_documents": len(forbidden - _known(snapshot, forbidden)),
        "unjudged_questions": sum(not each.is_measured for each in questions.questions),
    }
    return {reason: count for reason, count in counts.items() if count}


def _relevant(questions: QuestionSet) -> set[str]:
    return {name for each in questions.questions for name, grade in each.documents.items() if grade > 0}


def _known(snapshot: Snapshot, documents: set[str]) -> set[str]:
    return set(snapshot.ordered(sorted(documents)).ids(slice(None))) if documents else set()


def _each(measured: Measured) -> Iterable[Evaluated]:
    for row, (question, ranking) in enumerate(zip(measured.questions.questions, measured.run.rankings, strict=True)):
        values = {name: float(values[row]) for name, values in measured.values.items() if not np.isnan(values[row])}
        yield Evaluated(question, values, ranking)


def _by_tag(measured: Measured) -> dict[str, Json]:
    """tag -> how many questions have it, and the means of their measures."""
    rows: dict[str, list[int]] = {}
    for row, question in enumerate(measured.questions.questions):
        if question.is_measured:
            for tag in question.tags:
                rows.setdefault(tag, []).append(row)
    return {tag: {"count": len(of), "measures": _means(measured, of)} for tag, of in sorted(rows.items())}


def _means(measured: Measured, rows: list[int]) -> dict[str, float]:
    return means_of({name: values[rows] for name, values in measured.values.items()})


def _empty(snapshot: Snapshot, dataset: str) -> InvalidInputError:
    return InvalidInputError(
        f"the version {snapshot.commit.id[:12]} is empty: no question can be answered from it",
        code="empty_version",
        hint=say(
            "docs.log() lists the versions and what they hold",
            cli=f"`vecver log {dataset}` lists the versions and what they hold",
        ),
    )
