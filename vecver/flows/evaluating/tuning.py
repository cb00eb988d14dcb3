"""Tuning: which weight of the vectors in hybrid search answers a question set best. See `Dataset.tune_weight`.

questions -> embed once -> search with each weight -> the mean of a measure by weight -> a choice; by folds, its worth

Decisions
1. The worth of a weight is not read where it was chosen: each question is counted with the weight that the questions of
   the other folds chose. The folds follow from the questions' digests, so they are the same everywhere.
2. The better side alone, weight 0 or 1, unless the best mixture gains more than one standard error of its gain over the
   questions: the one-standard-error rule (Breiman, Friedman, Olshen and Stone, 1984), paired. Where one side is worth
   nothing (an English model on Arabic) the best of the curve is a mixture by chance.
   On twelve collections (docs/benchmarks.md) this choice, cross-validated, is above both sides on seven, equal to the
   better on four and below it by .0025 on one; the best of the curve is above on seven and below on five. A test at 5%
   of a gain that was picked among 19 (max-T) is above on four: a gain that is missed costs as much as one that is not
   there.
   Of mixtures that are equally good the one next to the default is taken; of equal sides the vectors.
3. The weight goes into the recipe of a new commit on a branch, with the same rows. It changes no fingerprint, so
   nothing is embedded again, and the next ingest keeps it. Tags and aliases never move by this.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from vecver import repo
from vecver.errors import InvalidInputError
from vecver.flows.embedding import OpenEmbedder
from vecver.flows.evaluating.measures import Measure, parsed, values_of
from vecver.flows.evaluating.relevance import check_documents, check_judged, measure
from vecver.flows.evaluating.runs import Engine, rankings_of
from vecver.flows.evaluating.statistics import Values
from vecver.flows.maintaining.postings import open_postings
from vecver.flows.searching.hybrid import DEFAULT_WEIGHT
from vecver.flows.searching.queries import vectors_of
from vecver.model import JudgedQuestion, QuestionSet, Recipe, Tuning
from vecver.progress import Progress
from vecver.repo import Versions

WEIGHTS = tuple(step / 20 for step in range(21))
FOLDS = 5


class _Choice(NamedTuple):
    row: int  # of WEIGHTS
    gain: float  # of the best mixture on the better side, as a mean; above 0 is better, whatever the measure
    error: float  # its standard error


def tune_weight(
    versions: Versions,
    dataset: str,
    questions: QuestionSet,
    open_embedder: OpenEmbedder,
    *,
    at: str,
    name: str = "nDCG@10",
    exact: bool = False,
    branch: str | None = None,
    progress: Progress | None = None,
) -> Tuning:
    """Find the weight; with `branch`, commit it there. See `Dataset.tune_weight`.

    Raises InvalidInputError (fewer judged questions than folds, a measure, a branch that `at` does not name).
    """
    check_judged(questions)
    wanted, snapshot = parsed(name), versions.snapshot(versions.resolve(dataset, at))
    check_documents([snapshot], dataset, questions)
    open_postings(versions, snapshot)
    sides = [
        measure(versions, dataset, snapshot, questions, [wanted], Engine(mode=mode, exact=exact), open_embedder)
        for mode in ("dense", "keyword")
    ]
    dense, keyword = (side.values[wanted.name] for side in sides)
    there = np.flatnonzero(~np.isnan(dense))
    if len(there) < FOLDS:
        raise InvalidInputError(
            f"{len(there)} judged questions cannot be parted into {FOLDS} folds",
            code="too_few_questions",
            hint="add questions with judgments; 50 are a beginning",
        )
    asked = _embedded(questions.questions, snapshot.commit.recipe, open_embedder)
    values = np.empty((len(WEIGHTS), len(asked)))
    for row, weight in enumerate(WEIGHTS):
        engine = Engine(mode="hybrid", weight=weight, exact=exact)
        rankings = rankings_of(versions, dataset, snapshot.commit.id, asked, wanted.depth, engine, open_embedder, None)
        values[row] = values_of([wanted], asked, rankings)[wanted.name]
        if progress:
            progress("weights", 1)
    values, judged = values[:, there], [asked[place] for place in there.tolist()]
    best = _best(values, wanted)
    tuning = Tuning(
        dataset=dataset,
        commit=snapshot.commit.id,
        questions=questions.summary(),
        measure=wanted.name,
        curve=tuple(zip(WEIGHTS, values.mean(axis=1).tolist(), strict=True)),
        weight=WEIGHTS[best.row],
        folds=FOLDS,
        cross_validated=_cross_validated(values, judged, wanted),
        dense=float(dense[there].mean()),
        keyword=float(keyword[there].mean()),
        gain=best.gain,
        gain_error=best.error,
    )
    if branch is None:
        return tuning
    facts = {"measure": wanted.name, "questions": questions.digest, "cross_validated": tuning.cross_validated}
    return replace(tuning, applied=repo.recipes.set_weight(versions, dataset, branch, snapshot, tuning.weight, facts))


def _embedded(questions: Sequence[JudgedQuestion], recipe: Recipe, open_embedder: OpenEmbedder) -> list[JudgedQuestion]:
    """The questions with their vectors, so that they are embedded once."""
    rows = [row for row, question in enumerate(questions) if question.vector is None]
    vectors = vectors_of([str(questions[row].query) for row in rows], recipe, open_embedder) if rows else ()
    embedded = list(questions)
    for row, vector in zip(rows, vectors, strict=True):
        embedded[row] = replace(questions[row], vector=tuple(vector.tolist()))
    return embedded


def _best(values: Values, wanted: Measure) -> _Choice:
    """The weight to take. `values`: `(weights, questions)`."""
    goods = -values if wanted.lower_is_better else values
    means, last = goods.mean(axis=1), len(WEIGHTS) - 1
    side = last if means[last] >= means[0] else 0
    equal = np.flatnonzero(means == means[1:last].max()).tolist()
    mixture = min(set(equal) - {0, last}, key=lambda row: (abs(WEIGHTS[row] - DEFAULT_WEIGHT), row))
    gains = goods[mixture] - goods[side]
    gain, error = float(gains.mean()), float(gains.std(ddof=1)) / math.sqrt(len(gains))
    return _Choice(mixture if gain > error else side, gain, error)


def _cross_validated(values: Values, questions: Sequence[JudgedQuestion], wanted: Measure) -> float:
    """The mean where each question has the weight that the other folds chose."""
    names = [hashlib.sha256(f"{question.query}\0{question.id}".encode()).digest() for question in questions]
    fold = np.empty(len(names), np.int64)
    fold[sorted(range(len(names)), key=lambda row: names[row])] = np.arange(len(names)) % FOLDS
    picked = np.empty(len(names))
    for number in range(FOLDS):
        inside = fold == number
        picked[inside] = values[_best(values[:, ~inside], wanted).row][inside]
    return float(picked.mean())
