"""OpenAI's vector stores: a store is a version, `DATASET@REVISION`, and a search of it is pinned to that version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

import vecver
from vecver.errors import InvalidInputError
from vecver_service import searching
from vecver_service.deps import CurrentCaller, Dependencies, Deps, Name, all_readable, check_allowed
from vecver_service.http.replies import Reply, problem_responses
from vecver_service.routes.datasets import DAMAGED
from vecver_service.routes.search import COMMIT
from vecver_service.schemas import openai, requests
from vecver_service.state.keys import Caller
from vecver_service.warmup import version_of

router = APIRouter(prefix="/v1/vector_stores", tags=["openai"], responses=problem_responses(403, 404))
Json = dict[str, Any]


@router.get("", response_model=openai.VectorStores)
def stores(
    deps: Deps,
    caller: CurrentCaller,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=700)] = None,
    order: Literal["asc", "desc"] = "desc",
) -> Json:
    """Every version with a name that the caller may read: branches, tags and aliases, by time."""
    stores = [store for docs in all_readable(deps, caller) for store in _stores(docs)]
    stores.sort(key=lambda store: (store["created_at"], store["id"]), reverse=order == "desc")
    ids = [store["id"] for store in stores]
    if after is not None and after not in ids:
        raise InvalidInputError(
            f"{after!r} is no store", code="invalid_cursor", hint="take `last_id` of the page before"
        )
    start = ids.index(after) + 1 if after else 0
    page = stores[start : start + limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": start + limit < len(stores),
    }


@router.get("/{id}", response_model=openai.VectorStore)
def store(id: Name, deps: Deps, caller: CurrentCaller) -> Json:
    """A version."""
    return _store(*_version(deps, caller, id))


@router.post(
    "/{id}/search",
    response_model=None,
    responses={200: {"model": openai.Results, "headers": COMMIT}, **problem_responses(400)},
)
def search(id: Name, body: openai.VectorStoreSearch, deps: Deps, caller: CurrentCaller, request: Request) -> Response:
    """The best chunks of a version; of several queries, the best of all."""
    docs, revision = _version(deps, caller, id)
    queries = [body.query] if isinstance(body.query, str) else body.query
    filter = _filter(body.filters) if body.filters else None
    requests.check_filter(filter)
    how: Json = {"k": body.max_num_results, "filter": filter, **requests.mixing(body)}
    answers = searching.search(deps, docs, request.scope, list(queries), at=revision, **how)
    ranking = body.ranking_options
    hits = _best(answers, body.max_num_results, ranking.score_threshold if ranking else None)
    page = {
        "object": "vector_store.search_results.page",
        "search_query": queries,
        "data": [_result(hit) for hit in hits],
        "has_more": False,
        "next_page": None,
        "commit": answers[0].commit,
    }
    return Reply(page, headers={"Vecver-Commit": answers[0].commit})


def _version(deps: Dependencies, caller: Caller, id: str) -> tuple[vecver.Dataset, str]:
    name, revision = version_of(id)
    check_allowed(caller, "read", name)
    return deps.repository.dataset(name), revision


def _stores(docs: vecver.Dataset) -> Iterator[Json]:
    """The stores of a dataset: its branches, tags and aliases. Damaged ones are left out: `vecver check` finds them."""
    with suppress(*DAMAGED):
        for name in (*docs.branches(), *docs.tags(), *docs.aliases()):
            with suppress(*DAMAGED):
                yield _store(docs, name)


def _store(docs: vecver.Dataset, revision: str) -> Json:
    commit = docs.show(revision)
    time, count = int(datetime.fromisoformat(commit.time).timestamp()), commit.counts["documents"]
    return {
        "id": f"{docs.name}@{revision}",
        "object": "vector_store",
        "name": f"{docs.name}@{revision}",
        "created_at": time,
        "last_active_at": time,
        "status": "completed",
        "usage_bytes": commit.counts["chunks"] * commit.recipe.space.dim * 4,  # of its vectors
        "file_counts": {"in_progress": 0, "completed": count, "failed": 0, "cancelled": 0, "total": count},
        "metadata": {"dataset": docs.name, "revision": revision, "commit": commit.id},
    }


def _filter(condition: openai.Comparison | openai.Compound) -> Json:
    if isinstance(condition, openai.Compound):
        return {f"${condition.type}": [_filter(part) for part in condition.filters]}
    return {condition.key: {f"${condition.type}": condition.value}}


def _best(answers: list[vecver.Answer], limit: int, min_score: float | None) -> list[vecver.Hit]:
    """The best hits of all answers, each chunk once, by score and then key, as in every answer."""
    best: dict[str, vecver.Hit] = {}
    for hit in (hit for answer in answers for hit in answer):
        if hit.key not in best or hit.score > best[hit.key].score:
            best[hit.key] = hit
    hits = sorted(best.values(), key=lambda hit: (-hit.score, hit.key))
    return [hit for hit in hits if min_score is None or hit.score >= min_score][:limit]


def _result(hit: vecver.Hit) -> Json:
    return {
        "file_id": hit.document,
        "filename": hit.document,
        "score": hit.score,
        "attributes": {name: _attribute(value) for name, value in _fields(hit).items() if value is not None},
        "content": [{"type": "text", "text": hit.text}],
    }


def _fields(hit: vecver.Hit) -> Json:
    """The fields that filters may name: the chunk's position, and its document's metadata, which take precedence."""
    position = {"page": hit.page, "sheet": hit.sheet, "line": hit.line, "headings": list(hit.headings) or None}
    metadata = {name: value for name, value in hit.metadata.items() if value is not None}
    return {**position, **metadata}


def _attribute(value: Any) -> str | float | bool:
    return value if isinstance(value, str | int | float | bool) else json.dumps(value, default=str)
