"""Health, readiness, metrics, the service's identity, and the audit log."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from vecver.errors import BackendError
from vecver_service.deps import CurrentCaller, Deps, check_allowed
from vecver_service.http.replies import problem_responses
from vecver_service.schemas import answers
from vecver_service.state.keys import ALL

router = APIRouter(tags=["operations"])
Json = dict[str, Any]


@router.get("/healthz", response_model=answers.Health, response_model_exclude_none=True)
async def healthz() -> Json:
    """Does the process answer?"""
    return {"status": "ok"}


@router.get("/readyz", response_model=answers.Health, response_model_exclude_none=True)
async def readyz(request: Request) -> Json:
    """Are the versions that it serves open? No again once it was told to end.

    A shared database that is away does not make it unready: searches go on, and every replica has the same database.
    """
    if request.app.state.draining:
        raise BackendError("the service is ending", code="draining", hint="ask another replica", retryable=True)
    if not request.app.state.ready:
        raise BackendError("the service is starting", code="starting", hint="ask again soon", retryable=True)
    reachable = request.app.state.deps.database.reachable()
    return {"status": "ready", **({} if reachable else {"database": "away"})}


@router.get(
    "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **problem_responses(403)}
)
def metrics(deps: Deps, caller: CurrentCaller) -> Response:
    """What Prometheus reads."""
    check_allowed(caller, "admin", ALL)
    body, kind = deps.metrics.text()
    return Response(body, media_type=kind)


@router.get("/v1", response_model=answers.Service)
def service(deps: Deps, caller: CurrentCaller) -> Json:
    """What answers here."""
    return {"repository": deps.repository.id, "vecver": metadata.version("vecver"), "engines": ["faiss", "milvus"]}


@router.get("/v1/audit", response_model=answers.AuditEntries, responses=problem_responses(403))
def audit(deps: Deps, caller: CurrentCaller, limit: Annotated[int, Query(ge=1, le=10_000)] = 100) -> Json:
    """What was written or refused, newest first."""
    check_allowed(caller, "admin", ALL)
    return {"entries": deps.audit.newest(limit)}
