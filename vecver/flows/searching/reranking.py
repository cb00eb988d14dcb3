"""Reranking: a model reads the best hits of a ranking beside the query, and puts these first in its own order.

ranking -> the first `top` rows -> a score for each -> by that score, rows of equal score as before -> the other rows

Decisions
1. How many rows are read does not depend on `k` and `offset`, so pages join to one ranking.
2. `Hit.score` stays that of the search, whose bits a replay proves. A receipt also holds all rows that the reranker
   read with its scores, so the order can be computed again without the reranker.
3. With `on_failure="keep"` the answer and its receipt are those of a search without a reranker, and a note says so. The
   other queries of the call are then not sent to a reranker that has just failed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from vecver import index, pipeline
from vecver.errors import BackendError
from vecver.flows.searching.hits import read_hits
from vecver.flows.searching.receipts import signature
from vecver.flows.searching.titles import Row
from vecver.model import Json, Reranked
from vecver.progress import phase

if TYPE_CHECKING:
    from vecver.flows.searching.questions import Question, Shape
    from vecver.model import OpenedReranker
    from vecver.repo import Snapshot

NOT_RERANKED = "the hits were not reranked"  # how a note of that begins
Ranked = list[tuple[list[Row], Json]]  # for each query its rows, and the engine that proposed them


class Reordered(NamedTuple):
    """The rows of an answer after reranking, what its receipt says of that, and why it was not done."""

    rows: list[Row]
    engine: Json
    in_receipt: Json | None = None  # {"options": {"rerank": ...}, "reranked": [...]}
    notes: tuple[str, ...] = ()


def widened(shape: Shape, question: Question) -> Shape:
    """The part of the ranking that is needed where a reranker orders it: from the first row on."""
    return replace(shape, k=max(question.reranked, shape.end), offset=0) if question.reranked else shape


def reordered(snapshot: Snapshot, question: Question, shape: Shape, ranked: Ranked) -> list[Reordered]:
    """The answers to a question with a reranker; `ranked`: what its `widened` shape gives.

    Raises InvalidInputError (no such reranker), BackendError (it failed, unless `on_failure` is "keep").
    """
    assert question.reranker is not None
    opened, failure = pipeline.open_reranker(question.reranker), ""
    answers = []
    for number, (rows, engine) in enumerate(ranked):
        if not failure:
            try:
                with phase("re-rank"):
                    answers.append(_reordered(snapshot, question, shape, opened, number, rows, engine))
                continue
            except BackendError as error:
                if question.reranker.on_failure == "error":
                    raise
                failure = error.message
        note = f"{NOT_RERANKED}: {failure}"
        answers.append(Reordered(rows[shape.offset : shape.end], engine, notes=(note,)))
    return answers


def _reordered(
    snapshot: Snapshot,
    question: Question,
    shape: Shape,
    opened: OpenedReranker,
    number: int,
    rows: list[Row],
    engine: Json,
) -> Reordered:
    assert question.reranker is not None
    top, text = rows[: question.reranked], question.text(number)
    before = read_hits(snapshot, top)
    texts = [hit.text for hit in before]
    scores = opened.scores(text or "", texts, question.reranker.timeout) if top else []
    _check(scores, len(top), opened.name)
    said = [
        row._replace(said={**(row.said or {}), "reranked": Reranked(score, rank)})
        for rank, (row, score) in enumerate(zip(top, scores, strict=True), 1)
    ]
    ordered = chain((said[place] for place in order_of(scores)), rows[len(top) :])
    options = {"rerank": {"top": question.reranked, "model": opened.name, "fingerprint": opened.fingerprint}}
    read = [[*claim, index.bits(score)] for claim, score in zip(signature(before), scores, strict=True)]
    page = list(ordered)[shape.offset : shape.end]
    return Reordered(page, engine, {"options": options, "reranked": read})


# -- replay ---------------------------------------------------------------------------------------


def before_reranking(receipt: Json) -> list[list[str]]:
    """The hits that a receipt's reranker read, and those of the answer that it did not, in the order before."""
    read, offset = receipt["reranked"], receipt["options"].get("offset", 0)
    return [entry[:-1] for entry in read] + receipt["hits"][max(0, len(read) - offset) :]


def wrong_order(receipt: Json) -> str | None:
    """What is wrong if a receipt's hits are not what its reranker read, in the order of its scores, and the rest."""
    read, hits, top = receipt["reranked"], receipt["hits"], receipt["options"]["rerank"]["top"]
    start = receipt["options"].get("offset", 0)
    end = start + receipt["k"]
    ordered = [read[place][:-1] for place in order_of([index.from_bits(entry[-1]) for entry in read])]
    page = ordered[start:end]
    has_others = len(hits) > len(page)  # that the reranker did not read
    if len(read) > top or (len(read) < top and has_others):
        return f"the receipt says that the reranker read {top} hits, and holds {len(read)}"
    if page != hits[: len(page)] or (has_others and end <= len(read)):
        return "the reranker's scores in the receipt do not give the order of its hits"
    return None


def order_of(scores: Sequence[float]) -> list[int]:
    """The places of these scores, best first; equal ones in their order."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])


def _check(scores: Sequence[float], count: int, name: str) -> None:
    if len(scores) != count or not all(map(math.isfinite, scores)):
        raise BackendError(
            f"{name} gave {len(scores)} scores for {count} hits, or one that is no finite number",
            code="reranker_bad_answer",
            hint="check the reranker",
        )
