"""Search and replay. Most searches are answered by `raw_search.py`, with the same functions and in the same form."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response

from vecver_service.deps import CurrentCaller, Deps, Readable, check_allowed
from vecver_service.http.replies import Reply, problem_responses
from vecver_service.schemas import answers, content, requests
from vecver_service.searching import check_limits, search_response

router = APIRouter(tags=["search"], responses=problem_responses(400, 403, 404))
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
    return search_response(deps, docs, request.scope, body, if_none_match)


@router.post("/v1/replay", response_model=answers.Replayed)
def replay(body: requests.Receipt, deps: Deps, caller: CurrentCaller) -> Response:
    """Recompute an answer from its receipt, and say what differs."""
    dataset, hits, k = deps.repository.dataset_of(body.receipt), *(body.receipt.get(name) for name in ("hits", "k"))
    check_allowed(caller, "read", dataset if isinstance(dataset, str) else "")
    options = body.receipt.get("options")
    options = options if isinstance(options, dict) else {}
    depth = sum(size for size in (k, options.get("offset")) if isinstance(size, int))
    read = body.receipt.get("reranked")
    count = max(len(each) if isinstance(each, list) else 0 for each in (hits, read))
    rerank = options.get("rerank")
    top = rerank.get("top") if isinstance(rerank, dict) else 0
    depth = max(depth, top if isinstance(top, int) else 0)
    check_limits(deps, 1, max(count, depth), 0, diverse="diversity" in options)
    requests.check_filter(body.receipt.get("filter"))
    return Reply(deps.repository.replay(body.receipt).to_json())
