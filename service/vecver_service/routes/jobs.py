"""Jobs: their state, as a value or as a stream of events, and cancelling them. Publishing is a job."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import islice
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from vecver.errors import BackendError
from vecver_service.deps import CurrentCaller, Deps, Name, Writable, check_allowed
from vecver_service.http.replies import problem_responses
from vecver_service.schemas import answers, requests
from vecver_service.state.audit import Entry
from vecver_service.state.database import Connection
from vecver_service.state.jobs import FINAL, Job, missing

router = APIRouter(prefix="/v1", tags=["jobs"])
_MISSING, _CHANGED = problem_responses(404), problem_responses(403, 404, 409)
Json = dict[str, Any]
_POLL_SECONDS = 0.3


def visible(id: Name, deps: Deps, caller: CurrentCaller) -> Job:
    """A job of a dataset that the caller may read. Raises NotFoundError for any other job."""
    job = deps.jobs.get(id)
    if not caller.may("read", job.dataset):
        raise missing(id)
    return job


Visible = Annotated[Job, Depends(visible)]


@router.post(
    "/datasets/{dataset}/publish",
    status_code=202,
    response_model=answers.Job,
    responses={**_CHANGED, **problem_responses(400)},
)
def publish(body: requests.Publish, writer: Writable) -> Response:
    """Make a version searchable in the service's Milvus: a job."""
    jobs, caller = writer.deps.jobs, writer.caller

    def write(entry: Entry) -> tuple[int, Json]:
        what = {
            **body.model_dump(),
            "ref": writer.docs.resolve(body.ref),
        }  # resolved now: the ref may move before the job runs

        def record(connection: Connection, job: Job) -> None:
            entry.update(job=job.id, to=what["ref"])
            entry.write_done(connection)

        job = jobs.add(jobs.scratch(), writer.docs.name, "publish", caller.name, caller.id, what, record)
        return 202, job.to_json()

    return writer.do("publish", body.model_dump(), write)


@router.get("/jobs", response_model=answers.JobList)
def jobs(
    deps: Deps,
    caller: CurrentCaller,
    dataset: Annotated[str | None, Query(max_length=300)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Json:
    """Jobs of the datasets that the caller may read, newest first."""
    readable = (job for job in deps.jobs.all() if dataset in (None, job.dataset) and caller.may("read", job.dataset))
    return {"jobs": [job.to_json() for job in islice(readable, limit)]}


@router.get("/jobs/{id}", response_model=answers.Job, responses=_MISSING)
def job(job: Visible) -> Json:
    """How a job stands."""
    return job.to_json()


def streamed(job: Visible, deps: Deps, caller: CurrentCaller) -> Job:
    """A job that the caller may watch. Raises BackendError (`too_many_streams`) at the limit of the key."""
    if deps.streams[caller.id] >= deps.settings.max_streams:
        raise BackendError(
            f"this key holds {deps.settings.max_streams} streams open",
            code="too_many_streams",
            hint="close some, or ask GET /v1/jobs/{id} now and then",
            retryable=True,
            retry_after=5,
        )
    return job


@router.get("/jobs/{id}/events", response_class=EventSourceResponse, responses=_MISSING)
async def events(
    job: Annotated[Job, Depends(streamed)], deps: Deps, caller: CurrentCaller
) -> AsyncIterator[ServerSentEvent]:
    """How a job stands, whenever that changes, until it has ended: the event is its state, the data the job."""
    sent: Json | None = None
    deps.streams[caller.id] += 1
    try:
        while sent is None or sent["state"] not in FINAL:
            state = (await run_in_threadpool(deps.jobs.get, job.id)).to_json()
            if state == sent:
                await anyio.sleep(_POLL_SECONDS)
                continue
            sent = state
            yield ServerSentEvent(event=state["state"], data=state)
    finally:
        deps.streams[caller.id] -= 1


@router.post("/jobs/{id}/cancel", response_model=answers.Job, responses=_CHANGED)
def cancel(job: Visible, deps: Deps, caller: CurrentCaller, request: Request) -> Json:
    """Let a job end soon. What it has not committed by then does not happen."""
    with deps.audit.entry(caller, request.scope["vecver.request"], "cancel", job.dataset, job=job.id):
        check_allowed(caller, "write", job.dataset)
        return deps.jobs.cancel(job.id).to_json()
