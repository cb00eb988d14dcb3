"""Measures: what the rankings of a question set are worth, by the names and the code of the library `ir_measures`.

Decisions
1. One measure is ours, because no library has it: `Forbidden@k`, 1 for a question that brings back, among its first k,
   what it must not, and 0 for one that does not. Lower is better.
2. Documents that a version does not have still count as not found. Otherwise a version that lost a family of documents
   would look better than the one before.
3. `ir_measures` orders a ranking by score, so places are given to it as falling scores, without ties. Items are
   numbered for it: some of its measures write files in which a name with a space would be two columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vecver.errors import InvalidInputError, missing_package
from vecver.model import JudgedQuestion, QuestionSet, RankedDocument
from vecver.near import near

if TYPE_CHECKING:
    from vecver.flows.evaluating.statistics import Values

DEFAULT = ("nDCG@10", "R@10", "RR@10", "Success@5")
FORBIDDEN = "Forbidden@10"
WHOLE = 1000  # places that a measure without a cutoff looks at, as in TREC
_FORBIDDEN = re.compile(r"Forbidden@([1-9]\d{0,2})")
_LONGEST = 100  # characters of a measure's name
_LOWER_IS_BETTER = ("Forbidden",)

Ranking = Sequence[RankedDocument]


@dataclass(frozen=True)
class Measure:
    """A measure by its canonical name."""

    name: str
    depth: int  # places that it looks at
    library: Any = None  # the measure of `ir_measures`; None for `Forbidden@k`

    @property
    def lower_is_better(self) -> bool:
        """True where a smaller value is the better one."""
        return self.name.startswith(_LOWER_IS_BETTER)


def measures_of(names: Iterable[str] | None, questions: QuestionSet) -> list[Measure]:
    """The measures of these names, each once; None: the usual ones, and `Forbidden@10` where something is forbidden.

    Raises InvalidInputError (no such measure, none at all, `ir_measures` is missing).
    """
    if names is None:
        judged = any(question.is_judged for question in questions.questions)
        forbids = any(question.forbids for question in questions.questions)
        names = [*(DEFAULT if judged else ()), *((FORBIDDEN,) if forbids else ())]
    elif isinstance(names, str):
        names = names.split(",")
    elif not isinstance(names, Iterable):
        raise _invalid(f"measures are a list of names, not {names!r}", f"name some, for example {','.join(DEFAULT)}")
    measures = {measure.name: measure for measure in map(parsed, names)}
    if not measures:
        raise _invalid("there is no measure to compute", f"name some, for example {','.join(DEFAULT)}")
    return list(measures.values())


def parsed(name: str) -> Measure:
    """The measure of a name. Raises InvalidInputError."""
    text = name.strip() if isinstance(name, str) and len(name) <= _LONGEST else ""
    if found := _FORBIDDEN.fullmatch(text):
        return Measure(text, int(found[1]))
    library = _library()
    try:
        measure = library.parse_measure(text)
        supported = library.DefaultPipeline.supports(measure)
    except Exception as error:  # it evaluates the text, and may raise anything
        raise _unknown(text or repr(name)) from error
    if not supported:
        raise _unknown(text)
    cutoff = measure.params.get("cutoff")
    if cutoff is not None and (not isinstance(cutoff, int) or not 1 <= cutoff <= WHOLE):
        raise _invalid(f"{text} looks at {cutoff} places", f"measures look at 1 to {WHOLE:,} places")
    return Measure(str(measure), cutoff or WHOLE, measure)


def values_of(
    measures: Sequence[Measure],
    questions: Sequence[JudgedQuestion],
    rankings: Sequence[Ranking],
    forbidden: Mapping[int, int | None] | None = None,
) -> dict[str, Values]:
    """For each measure a value a question, `(n,)` float64 in their order; NaN for a question without such judgments.

    `forbidden`: row -> place (from 1) of the first forbidden hit, None if there is none; of rows whose rankings are of
    documents, while texts are forbidden. For other rows the ranking says it.
    """
    values = {measure.name: np.full(len(questions), np.nan) for measure in measures}
    for measure in measures:
        if measure.library is None:
            for row, (question, ranking) in enumerate(zip(questions, rankings, strict=True)):
                if question.forbids:
                    place = forbidden[row] if forbidden and row in forbidden else first_forbidden(ranking)
                    values[measure.name][row] = place is not None and place <= measure.depth
    if ours := [measure for measure in measures if measure.library is not None]:
        rows = {str(row): row for row, question in enumerate(questions) if question.is_judged}
        qrels, run = dict[str, dict[str, int]](), dict[str, dict[str, float]]()
        for id, row in rows.items():
            qrels[id], scored = _numbered(questions[row].judgments(), questions[row].items(rankings[row]))
            if scored:
                run[id] = scored
        names = {measure.library: measure.name for measure in ours}
        for name in names.values():
            values[name][list(rows.values())] = 0.0  # a question that brings back nothing is not in the run
        for result in _computed(list(names), qrels, run) if rows else ():
            values[names[result.measure]][rows[result.query_id]] = result.value
    return values


def first_forbidden(ranking: Ranking) -> int | None:
    """The place, from 1, of the first item that must not come back; None if there is none."""
    return next((place for place, each in enumerate(ranking, 1) if each.is_forbidden), None)


def _numbered(grades: Mapping[str, int], ranking: Sequence[str]) -> tuple[dict[str, int], dict[str, float]]:
    """(judgments, scores) of a question, by numbers in place of the items' names."""
    numbers = {name: str(number) for number, name in enumerate({**grades, **dict.fromkeys(ranking)})}
    scores = {numbers[name]: float(len(ranking) - place) for place, name in enumerate(ranking)}
    return {numbers[name]: grade for name, grade in grades.items()}, scores


# -- the library -------------------------------------------------------------------------------------


def _library() -> Any:
    try:
        import ir_measures
    except ImportError as missing:
        raise missing_package("measuring relevance needs", "ir-measures", "vecver[eval]") from missing
    return ir_measures


def _computed(measures: list[Any], qrels: Any, run: Any) -> list[Any]:
    try:
        return list(_library().iter_calc(measures, qrels, run))
    except Exception as error:  # a provider that needs another program, for example
        names = ", ".join(map(str, measures))
        raise _invalid(f"{names} cannot be computed here: {error}", "choose measures such as nDCG@10, R@10") from error


def _unknown(name: str) -> InvalidInputError:
    known = list(_library().measures.registry)
    stem, _, cutoff = name.partition("@")
    meant = [f"{each}@{cutoff}" if cutoff else each for each in near(stem, [*known, "Forbidden"])]
    return _invalid(f"there is no measure {name!r}", f"use names of ir_measures: {', '.join(DEFAULT)}, P@5, AP", meant)


def _invalid(message: str, hint: str, meant: Sequence[str] = ()) -> InvalidInputError:
    context = {"did_you_mean": list(meant)} if meant else {}
    return InvalidInputError(message, code="unknown_measure", hint=hint, **context)
