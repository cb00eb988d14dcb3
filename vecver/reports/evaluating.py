"""Evaluations as pages: how good a version is, which questions it answers badly, and what those bring back."""

from __future__ import annotations

from typing import Any

from vecver.reports.histories import parts_of
from vecver.reports.pages import rendered
from vecver.reports.plots import Plot
from vecver.reports.questions import Value, counted, text_of, values

Json = dict[str, Any]
_MOST = 300  # bars of a drawing
_PLACES = 10  # of a ranking that are listed


def evaluation_page(evaluation: Json, history: Json | None = None, name: str | None = None) -> str:
    """A page of `Evaluation.to_json()`, with the drawings of `MeasureHistory.to_json()` where it is given.

    `name`: what the version is called. Raises InvalidInputError without jinja2.
    """
    commit = evaluation["commit"]
    questions = [{**each, "number": number} for number, each in enumerate(evaluation["per_question"], 1)]
    judged = sorted((each for each in questions if each["measures"]), key=_order)
    return rendered(
        "evaluation.html",
        {"evaluation": evaluation, "history": history},
        evaluation=evaluation,
        history=history,
        name=name or commit[:7],
        judged=judged,
        others=[each for each in questions if not each["measures"]],
        rows={each["number"]: _ranking(each) for each in questions},
        bars=[plot for measure in evaluation["measures"] if (plot := _bars(measure, judged))],
        version=next((each for each in (history or {}).get("versions", ()) if each["commit"] == commit), None),
        parts=parts_of(history, {commit: ("to", name or commit[:7])}) if history else None,
    )


def _order(question: Json) -> tuple[float, int]:
    """The worst first, by the first measure."""
    name, value = next(iter(question["measures"].items()))
    return (-value if name.startswith("Forbidden") else value, question["number"])


def _bars(measure: str, judged: list[Json]) -> Plot | None:
    rows = sorted((each for each in judged if measure in each["measures"]), key=lambda each: each["measures"][measure])
    if not rows:
        return None
    zeros = sum(each["measures"][measure] == 0 for each in rows)
    said = f"{measure} of {counted(len(rows))}, {zeros:,} of them 0"
    if len(rows) > _MOST:
        said += f"; the {_MOST:,} with the smallest values are drawn"
    bars = [
        Value(value := each["measures"][measure], "plain", f"{text_of(each)} · {measure} {value:.3f}", each["number"])
        for each in rows[:_MOST]
    ]
    return values(measure, said, bars)


def _ranking(question: Json) -> list[Json]:
    """The first places: document, grade (None where it is not judged), and whether it must not come back."""
    documents, rows = question.get("documents", {}), dict[str, Json]()
    for each in question["ranking"]:
        item = each["key"] if question.get("contains") else each["document"]
        marks = {"held": bool(each.get("contains")), "forbidden": each.get("forbidden", False)}
        rows.setdefault(item, {"document": each["document"], "grade": documents.get(each["document"]), **marks})
    return list(rows.values())[:_PLACES]
