"""Search and replay.

Decisions
1. Short searches compute one at a time in a process. Numpy releases the interpreter lock at every step, and threads
   that compute together wait for it at every step: on two quiet cores, eight callers of 64 vectors reached 0.50 of the
   rate in process when eight computed at once, and 0.83 one at a time (72 and 38 ms of CPU). More cores are used by
   more workers. A search that may take long does not take the lock, and none waits for it longer than
   `_LOCK_TIMEOUT_S`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response
from opentelemetry import trace

import vecver
from vecver.errors import InvalidInputError
from vecver_service.deps import CurrentCaller, Dependencies, Deps, Readable, check_allowed
from vecver_service.http.replies import Reply, json_bytes, problem_responses, vector_text
from vecver_service.schemas import answers, content, requests

router = APIRouter(tags=["search"], responses=problem_responses(400, 403, 404))
_LOCK_TIMEOUT_S = 0.5  # after which a search computes without the lock
_TRACER = trace.get_tracer("vecver")
COMMIT = {"Vecver-Commit": {"schema": answers.COMMIT, "description": "The commit that answered.", "required": True}}
_ANSWERED = "The commit that answered; absent where `missing` is empty and there is no such version."
_CACHED = {
    "Vecver-Commit": {"schema": answers.COMMIT, "description": _ANSWERED},
    "ETag": {"schema": {"type": "string"}, "description": "For If-None-Match.", "required": True},
}


@router.post(
    "/v1/datasets/{dataset}/search",
    response_model=None,
    responses={
        200: {"model": content.Answer | content.Answers, "headers": _CACHED},
        304: {"description": "As it was.", "headers": _CACHED},
        **problem_responses(409),
    },
)
def search(
    body: requests.Search,
    docs: Readable,
    deps: Deps,
    request: Request,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The best chunks of exactly the version that `ref` names, with a receipt that proves them."""
    asked, alone = body.asked() if body.like is None else (body.like, True)
    given = ask(deps, docs, request, asked, at=body.ref, engine=body.engine, **body.options())
    bodies = [_answer_json(answer, receipt=body.receipt, vectors=body.hit_vectors) for answer in given]
    first = given[0]
    several = {"dataset": first.dataset, "revision": first.revision, "commit": first.commit, "answers": bodies}
    return _cacheable(bodies[0] if alone else several, first.commit, if_none_match)


@router.post("/v1/replay", response_model=answers.Replayed)
def replay(body: requests.Receipt, deps: Deps, caller: CurrentCaller) -> Response:
    """Recompute an answer from its receipt, and say what differs."""
    dataset, hits, k = deps.repository.dataset_of(body.receipt), *(body.receipt.get(name) for name in ("hits", "k"))
    check_allowed(caller, "read", dataset if isinstance(dataset, str) else "")
    options = body.receipt.get("options")
    options = options if isinstance(options, dict) else {}
    wanted = sum(size for size in (k, options.get("offset")) if isinstance(size, int))
    _check(deps, 1, max(len(hits) if isinstance(hits, list) else 0, wanted), 0, diverse="diversity" in options)
    requests.check_filter(body.receipt.get("filter"))
    return Reply(deps.repository.replay(body.receipt).to_json())


def ask(
    deps: Dependencies, docs: vecver.Dataset, request: Request, asked: list[Any] | str, **how: Any
) -> list[vecver.Answer]:
    """The answers, one a question, within the service's limits; their phases are measured.

    `asked`: queries, or the name of a document or chunk that hits are to be like.
    """
    queries = 1 if isinstance(asked, str) else len(asked)
    _check(deps, queries, how["k"] + how.get("offset", 0), how.get("context", 0), diverse=bool(how.get("diversity")))
    phases: dict[str, float] = defaultdict(float)

    def told(phase: str, seconds: float) -> None:
        phases[phase] += seconds

    with _TRACER.start_as_current_span("vecver.search") as span, vecver.listening(told):
        with _search_lock(deps, asked, how):
            given = [docs.more_like(asked, **how)] if isinstance(asked, str) else docs.search(asked, **how)
        facts = {"dataset": docs.name, "commit": given[0].commit, "queries": queries}
        spent = {phase: round(seconds * 1000, 2) for phase, seconds in phases.items()}
        span.set_attributes({f"vecver.{name}": value for name, value in facts.items()})
        span.set_attributes({f"vecver.{phase}_ms": ms for phase, ms in spent.items()})
    if given[0].commit:  # else anybody could name datasets that are not there, and each would be counted by itself
        deps.metrics.search(docs.name, how.get("engine", "faiss"), queries, phases)
    request.scope["vecver.log_fields"] = {**facts, "phases_ms": spent}
    return given


@contextmanager
def _search_lock(deps: Dependencies, asked: list[Any] | str, how: dict[str, Any]) -> Iterator[None]:
    """Holds the search lock for a short search: no other short search computes meanwhile."""
    long = isinstance(asked[0], str) or how.get("engine") == "milvus"
    long = long or any(how.get(name) for name in ("exact", "filter", "per_document", "diversity"))
    held = not long and deps.search_lock.acquire(timeout=_LOCK_TIMEOUT_S)
    try:
        yield
    finally:
        if held:
            deps.search_lock.release()


def _cacheable(value: Any, commit: str, if_none_match: str | None) -> Response:
    """A value of JSON under its digest; nothing but that where the caller has it already."""
    body = json_bytes(value)
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", **({"Vecver-Commit": commit} if commit else {})}
    seen = [one.strip().removeprefix("W/") for one in (if_none_match or "").split(",")]
    if etag in seen or "*" in seen:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _answer_json(answer: vecver.Answer, *, receipt: bool, vectors: str | None) -> dict[str, Any]:
    """An answer as it travels, each hit's vector in the form that `vectors` names."""
    if vectors != "base64":
        value = answer.to_json()
    else:
        value = replace(answer, hits=tuple(replace(hit, vector=None) for hit in answer)).to_json()
        for hit, hit_json in zip(answer, value["hits"], strict=True):
            hit_json["vector"] = vector_text(hit.vector)
    if not receipt:
        del value["receipt"]
    return value


def _check(deps: Dependencies, queries: int, k: int, context: int, *, diverse: bool) -> None:
    """Raises InvalidInputError for more than this service takes at once. `k`: with the `offset` before it."""
    limits = deps.settings
    asked = (
        ("queries", queries, limits.max_queries),
        ("k", k, limits.max_k),
        ("context", context, limits.max_context),
    )
    for name, found, most in asked:
        requests.check_limit(name, found, most)
    if diverse:
        requests.check_limit("k + offset with diversity", k, limits.max_diverse, "diverse")
    if not queries:
        raise InvalidInputError("there is no query", code="empty_query", hint="ask something")
