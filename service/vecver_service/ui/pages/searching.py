"""Search: a question to a version, its hits and receipt; or to two versions side by side; and replaying a receipt."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

import vecver
from vecver.errors import InvalidInputError
from vecver_service.deps import Deps, Readable
from vecver_service.http.replies import json_bytes
from vecver_service.schemas import requests
from vecver_service.searching import check_limits, reranker_of
from vecver_service.ui.forms import FROM_HERE
from vecver_service.ui.rendering import HEADERS, render

router = APIRouter(include_in_schema=False)
Json = dict[str, Any]
Mode = Literal["dense", "keyword", "hybrid"]
Text = Annotated[str, Query(max_length=1000)]
Question = Annotated[str, Query(max_length=10_000)]
Number = Annotated[int, Query(ge=1, le=1000)]
_MARKED = 3  # characters of the shortest word that is marked in a passage


@dataclass(frozen=True)
class Asked:
    """What the address asks for."""

    q: str
    at: str
    against: str
    k: int
    exact: bool
    filter: str
    mode: Mode = "dense"
    reranker: str = ""  # the name of one of the service's; "": none

    def options(self, deps: Deps) -> Json:
        """As `Dataset.search` takes them. Raises InvalidInputError."""
        filter = _filter(self.filter)
        check_limits(deps, 1, self.k, 1, diverse=False)
        requests.check_filter(filter)
        return {
            "k": self.k,
            "exact": self.exact,
            "filter": filter,
            "context": 1,
            "mode": self.mode,
            **self.reranking(deps),
        }

    def reranking(self, deps: Deps) -> Json:
        """What orders the hits at last. Raises InvalidInputError."""
        return {"reranker": reranker_of(deps, self.reranker)} if self.reranker else {}

    def query(self, **other: Any) -> Json:
        """As the query of an address."""
        return {**self.__dict__, **other}


@router.get("/datasets/{dataset}/search")
def search(
    request: Request,
    docs: Readable,
    deps: Deps,
    q: Question = "",
    at: Text = "",
    against: Text = "",
    k: Number = 5,
    exact: bool = False,
    filter: Annotated[str, Query(max_length=10_000)] = "",
    mode: Mode = "dense",
    reranker: Text = "",
) -> Response:
    """The answer of a version, or of two."""
    aliases = docs.aliases()
    at = at or ("prod" if "prod" in aliases else next(iter(aliases), "main"))
    asked = Asked(q, at, against, k, exact, filter, mode, reranker)
    refs = [*aliases, *docs.branches(), *docs.tags()]
    shared: Json = {"docs": docs, "asked": asked, "refs": refs, "rerankers": list(deps.rerankers)}
    if not q.strip():
        return render(request, "search.html", **shared, answers=[], milliseconds=0, links=[], compared=None, reasons={})
    start = perf_counter()
    sides = [docs.search(q, at=revision, **asked.options(deps)) for revision in (at, against) if revision]
    milliseconds = 1000 * (perf_counter() - start)
    words = _pattern(q)
    answers = [[(hit, _marked(hit.text, words)) for hit in answer] for answer in sides]
    compared = _compared(docs, asked, deps) if len(sides) == 2 else None
    return render(
        request,
        "search.html",
        **shared,
        answers=list(zip(sides, answers, strict=True)),
        milliseconds=milliseconds,
        links=_links(*sides) if compared else [],
        compared=compared,
        reasons={change.document: (change.reason, change.before, change.after) for change in compared.changes}
        if compared
        else {},
    )


@router.get("/datasets/{dataset}/receipt")
def receipt(
    docs: Readable,
    deps: Deps,
    q: Question,
    at: Text,
    k: Number = 5,
    exact: bool = False,
    filter: Annotated[str, Query(max_length=10_000)] = "",
    mode: Mode = "dense",
    reranker: Text = "",
) -> Response:
    """The receipt of an answer, to keep."""
    asked = Asked(q, at, "", k, exact, filter, mode, reranker)
    answer = docs.search(q, at=at, **{**asked.options(deps), "context": 0})
    name = f"receipt-{answer.receipt['digest'][:12]}.json"
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(json_bytes(answer.receipt), media_type="application/json", headers=headers)


@router.post("/datasets/{dataset}/replay", dependencies=FROM_HERE)
def replay(request: Request, docs: Readable, deps: Deps, receipt: Annotated[str, Form()]) -> Response:
    """Recompute a receipt, and say whether the answer is the same. Raises InvalidInputError (it is no receipt)."""
    try:
        value = json.loads(receipt)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(
            "this is no receipt: it is not JSON", code="invalid_receipt", hint="paste the whole file"
        ) from error
    if not isinstance(value, dict) or deps.repository.dataset_of(value) != docs.name:
        raise InvalidInputError(
            f"this receipt is not of {docs.name}", code="invalid_receipt", hint="open the dataset that it names"
        )
    outcome = deps.repository.replay(value)
    return render(request, "replay.html", docs=docs, receipt=value, outcome=outcome)


def _filter(text: str) -> Json | None:
    if not text.strip():
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"the filter is no JSON: {error}", code="invalid_filter", hint='write it as {"year": {"$gte": 2024}}'
        ) from error
    if not isinstance(value, dict):
        raise InvalidInputError(
            "the filter is no JSON object", code="invalid_filter", hint='write it as {"year": {"$gte": 2024}}'
        )
    return value


def _pattern(query: str) -> re.Pattern[str] | None:
    """Finds the query's words, of those that are long enough to mean something."""
    words = {word for word in re.findall(r"\w+", query) if len(word) >= _MARKED}
    return re.compile(rf"\b({'|'.join(map(re.escape, sorted(words)))})", re.IGNORECASE) if words else None


def _marked(text: str, words: re.Pattern[str] | None) -> list[tuple[bool, str]]:
    """A passage in runs: (is it a word of the query?, text)."""
    if words is None:
        return [(False, text)]
    return [(number % 2 == 1, run) for number, run in enumerate(words.split(text)) if run]


def _compared(docs: vecver.Dataset, asked: Asked, deps: Deps) -> vecver.Compared:
    """What entered, left and moved among the first documents of the two answers, and why."""
    question: Json = {"query": asked.q, **({"filter": _filter(asked.filter)} if asked.filter.strip() else {})}
    how: Json = {"exact": asked.exact, "mode": asked.mode, **asked.reranking(deps)}
    comparison = docs.compare(asked.at, asked.against, questions=[question], **how)
    return comparison.per_question[0]


def _links(before: Sequence[vecver.Hit], after: Sequence[vecver.Hit]) -> list[tuple[int, int]]:
    """The places, from 0, of documents that both answers have, by the best passage of each."""
    places = _first_places(after)
    return [(place, places[document]) for document, place in _first_places(before).items() if document in places]


def _first_places(hits: Sequence[vecver.Hit]) -> dict[str, int]:
    places: dict[str, int] = {}
    for place, hit in enumerate(hits):
        places.setdefault(hit.document, place)
    return places
