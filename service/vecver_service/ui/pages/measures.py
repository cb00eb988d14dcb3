"""The measures of the versions: drawn and as tables, which questions got worse, and a job that measures a version.

Looking measures nothing anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

import vecver
from vecver.errors import InvalidInputError
from vecver.reports import is_better
from vecver_service.deps import CurrentCaller, Readable, Writable
from vecver_service.routes.datasets import existing
from vecver_service.routes.promoting import queued
from vecver_service.ui import measured
from vecver_service.ui.addresses import address
from vecver_service.ui.forms import FROM_HERE
from vecver_service.ui.rendering import HEADERS, render

router = APIRouter(include_in_schema=False)
LIMIT = 200  # versions
QUESTIONS = 100  # that got worse
Text = Annotated[str, Query(max_length=300)]
Field = Annotated[str, Form(max_length=300)]
_DRAWING = {**HEADERS, "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


@dataclass(frozen=True)
class Sides:
    """Two versions that the page compares, as the address names them; either may not be measured yet."""

    before: str
    after: str
    by: str  # the measure in whose order questions are listed
    comparison: vecver.Comparison | None = None  # None: one of them was not measured by these questions
    unmeasured: Sequence[str] = ()

    @property
    def worse(self) -> list[tuple[vecver.Compared, float]]:
        """The questions that got worse by the measure, and by how much; those that lost most first."""
        listed = self.comparison.per_question if self.comparison else ()
        pairs = ((each, each.measures[self.by]) for each in listed if self.by in each.measures)
        deltas = ((each, after - before) for each, (before, after) in pairs)
        lost = [(each, delta) for each, delta in deltas if is_better(self.by, delta) == "worse"]
        return sorted(lost, key=lambda pair: -abs(pair[1]))


@router.get("/datasets/{dataset}/measures")
def measures(
    request: Request,
    docs: Readable,
    caller: CurrentCaller,
    questions: Text = "",
    at: Text = "main",
    from_: Annotated[str, Query(alias="from", max_length=300)] = "",
    to: Text = "",
    by: Text = "",
) -> Response:
    """What was measured of the versions that led to `at`; `from`, `to`: whose questions are compared."""
    existing(docs)
    chosen = measured.question_set(docs, questions)
    history = measured.history_of(docs, at, chosen, LIMIT)
    recall = docs.measure_history(at, measures="ann_recall", limit=LIMIT)
    return render(
        request,
        "measures.html",
        docs=docs,
        at=at,
        sets=docs.question_sets(),
        questions=chosen,
        history=history,
        measured=[version for version in history if version.measures],
        plots=measured.plots(history),
        recall=[version for version in recall if version.measures],
        latencies=measured.latencies(recall),
        sides=_sides(docs, chosen, history, from_, to or at, by) if chosen else None,
        refs=[*docs.aliases(), *docs.branches(), *docs.tags()],
        shown=QUESTIONS,
        may_write=caller.may("write", docs.name),
    )


@router.get("/datasets/{dataset}/measures.svg")
def drawing(docs: Readable, questions: Text = "", at: Text = "main") -> Response:
    """The measures over the versions as one drawing, to keep."""
    svg = measured.history_of(docs, at, measured.question_set(docs, questions), LIMIT).to_svg()
    return Response(svg, media_type="image/svg+xml", headers=_DRAWING)


@router.post("/datasets/{dataset}/measures/measure", dependencies=FROM_HERE)
def measure(
    writer: Writable, what: Annotated[Literal["eval", "recall"], Form()], at: Field = "main", questions: Field = ""
) -> Response:
    """Queue the measuring of a version: its answers by a question set, or its index; go on to the job."""
    options: dict[str, Any] = {"ref": writer.docs.resolve(at)}
    if what == "eval":
        options["questions"] = writer.docs.questions(questions).name
    answer = queued(writer, what, options, options, options.get("questions"))
    id = json.loads(bytes(answer.body))["id"]
    return RedirectResponse(address("datasets", writer.docs.name, "work", id), 303, headers=HEADERS)


def _sides(
    docs: vecver.Dataset, questions: str, history: vecver.MeasureHistory, from_: str, to: str, by: str
) -> Sides | None:
    """The comparison that the address asks for; without one that of prod with `to`, if that is another version.

    Raises NotFoundError (a revision), InvalidInputError (`by` is no measure that both have).
    """
    served = docs.aliases().get("prod")
    if not from_ and (served is None or served == docs.resolve(to)):
        return None
    before = from_ or "prod"
    unmeasured = [name for name in (before, to) if not _has_relevance(docs, questions, history, docs.resolve(name))]
    if unmeasured:
        return Sides(before, to, by, unmeasured=unmeasured)
    comparison = docs.compare(before, to, questions=docs.questions(questions))
    if by and by not in comparison.measures:
        raise InvalidInputError(
            f"{by!r} was not measured of both versions",
            code="unknown_measure",
            hint=f"take one of {', '.join(comparison.measures)}",
            measure=by,
        )
    return Sides(before, to, by or next(iter(comparison.measures), ""), comparison)


def _has_relevance(docs: vecver.Dataset, questions: str, history: vecver.MeasureHistory, commit: str) -> bool:
    """Are rankings of a version by the questions stored?"""
    listed = next((each for each in history if each.commit == commit), None)
    version = listed or next(iter(measured.history_of(docs, commit, questions, 1)))
    return any(map(measured.is_relevance, version.measures))
