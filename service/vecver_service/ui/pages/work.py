"""Work: jobs with their progress, ingesting files, and the audit log."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from vecver.errors import InvalidInputError
from vecver_service.deps import CurrentCaller, Deps, Name, Readable, Writable, check_allowed
from vecver_service.http import multipart, uploads
from vecver_service.routes.ingest import queued
from vecver_service.state.jobs import FINAL, missing
from vecver_service.state.keys import ALL
from vecver_service.ui.addresses import address
from vecver_service.ui.forms import FROM_HERE, FROM_HERE_BY_ADDRESS
from vecver_service.ui.rendering import HEADERS, render

router = APIRouter(include_in_schema=False)
SHOWN, EXPORTED = 100, 1_000_000  # jobs and audit entries
Json = dict[str, Any]
Text = Annotated[str, Query(max_length=300)]


@router.get("/work")
def all_work(request: Request, deps: Deps, caller: CurrentCaller) -> Response:
    """The jobs of every dataset that the visitor may read."""
    jobs = (job for job in deps.jobs.all() if caller.may("read", job.dataset))
    return render(request, "jobs.html", jobs=list(islice(jobs, SHOWN)), audited=caller.may("admin", ALL))


@router.get("/datasets/{dataset}/work")
def work(
    request: Request,
    docs: Readable,
    deps: Deps,
    caller: CurrentCaller,
    source: Text = "",
    message: Text = "",
    branch: Text = "main",
) -> Response:
    """The jobs of a dataset; who may write ingests files here, into `source`."""
    jobs = (job for job in deps.jobs.all() if job.dataset == docs.name)
    return render(
        request,
        "work.html",
        docs=docs,
        jobs=list(islice(jobs, SHOWN)),
        may_write=caller.may("write", docs.name),
        source=source.strip(),
        message=message,
        branch=branch,
        branches=list(docs.branches()) or ["main"],
    )


@router.post("/datasets/{dataset}/work/ingest", dependencies=FROM_HERE_BY_ADDRESS)
async def ingest(
    request: Request, writer: Writable, source: Text, branch: Text = "main", message: Text = ""
) -> Response:
    """Ingest the files of the form as documents of `source`; documents of it that are not sent stay."""
    if not source.strip():
        raise InvalidInputError("the source has no name", code="no_label", hint="name it, for example handbook")
    scratch = await run_in_threadpool(writer.deps.jobs.scratch)
    job_ids: list[str] = []
    try:
        form, most = request.headers.get("content-type", ""), writer.deps.settings.max_files
        folder = scratch / "input" / uploads.FILES
        digest = await multipart.write_files(form, request.stream(), folder, most)
        what = {"branch": branch, "label": source.strip(), "message": message, "keep_missing": True}
        await run_in_threadpool(queued, writer, scratch, "ingest", {**what, "input": uploads.FILES}, digest, job_ids)
    finally:
        if not job_ids:
            shutil.rmtree(scratch, ignore_errors=True)
    return RedirectResponse(address("datasets", writer.docs.name, "work", job_ids[0]), 303, headers=HEADERS)


@router.get("/datasets/{dataset}/work/{id}")
def job(request: Request, docs: Readable, deps: Deps, caller: CurrentCaller, id: Name) -> Response:
    """How a job stands; the page follows it until it has ended."""
    job = deps.jobs.get(id)
    if job.dataset != docs.name:
        raise missing(id)
    return render(
        request, "job.html", docs=docs, job=job, ended=job.state in FINAL, may_write=caller.may("write", docs.name)
    )


@router.post("/datasets/{dataset}/work/{id}/cancel", dependencies=FROM_HERE)
def cancel(request: Request, writer: Writable, id: Name) -> Response:
    """Let a job end soon."""
    deps, docs = writer.deps, writer.docs
    if deps.jobs.get(id).dataset != docs.name:
        raise missing(id)
    with deps.audit.entry(writer.caller, request.scope["vecver.request"], "cancel", docs.name, job=id):
        deps.jobs.cancel(id)
    return RedirectResponse(address("datasets", docs.name, "work", id), 303, headers=HEADERS)


@router.get("/work/audit")
def audit(request: Request, deps: Deps, caller: CurrentCaller) -> Response:
    """What was written or refused, newest first."""
    check_allowed(caller, "admin", ALL)
    return render(request, "audit.html", entries=deps.audit.newest(SHOWN))


@router.get("/work/audit.jsonl")
def exported(deps: Deps, caller: CurrentCaller) -> Response:
    """The audit log, an entry a line, newest first."""
    check_allowed(caller, "admin", ALL)
    headers = {**HEADERS, "Content-Disposition": 'attachment; filename="audit.jsonl"'}
    return StreamingResponse(_lines(deps), media_type="application/x-ndjson", headers=headers)


def _lines(deps: Any) -> Iterator[str]:
    for entry in deps.audit.newest(EXPORTED):
        yield json.dumps(entry) + "\n"
