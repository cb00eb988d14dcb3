"""The measures of the versions by a question set: a drawing, and the table behind it. Nothing is measured anew."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

import vecver
from vecver_service.deps import Readable
from vecver_service.routes.datasets import existing
from vecver_service.ui.rendering import HEADERS, render

router = APIRouter(include_in_schema=False)
LIMIT = 200  # versions
Text = Annotated[str, Query(max_length=300)]
_DRAWING = {**HEADERS, "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


@router.get("/datasets/{dataset}/measures")
def measures(request: Request, docs: Readable, questions: Text = "", at: Text = "main") -> Response:
    """What was measured of the versions that led to `at`."""
    existing(docs)
    sets = docs.question_sets()
    questions = questions or next(iter(sets), "")
    history = _history(docs, questions, at)
    measured = [version for version in history if version.measures]
    return render(
        request,
        "measures.html",
        docs=docs,
        at=at,
        sets=sets,
        questions=questions,
        history=history,
        measured=measured,
    )


@router.get("/datasets/{dataset}/measures.svg")
def drawing(docs: Readable, questions: Text = "", at: Text = "main") -> Response:
    """The drawing of the page."""
    svg = _history(docs, questions, at).to_svg()
    return Response(svg, media_type="image/svg+xml", headers=_DRAWING)


def _history(docs: vecver.Dataset, questions: str, at: str) -> vecver.MeasureHistory:
    if questions:
        return docs.measure_history(at, questions=questions, limit=LIMIT)
    return docs.measure_history(at, measures="ann_recall@10", limit=LIMIT)
