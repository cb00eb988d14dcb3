"""Ingest: queues a job for uploaded files, records, or a folder of the server."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from vecver.errors import AccessError, InvalidInputError
from vecver_service.deps import DatasetWriter, Writable, check_allowed
from vecver_service.http import multipart, uploads
from vecver_service.http.replies import problem_responses
from vecver_service.schemas import answers, requests
from vecver_service.state.audit import Entry
from vecver_service.state.database import Connection
from vecver_service.state.jobs import Job

router = APIRouter(prefix="/v1/datasets/{dataset}", tags=["jobs"], responses=problem_responses(400, 403, 409))
Json = dict[str, Any]
GIT = {"git_commit", "git_branch", "git_dirty"}
_PLACE = "^(default )?(-|[0-9a-f]{32}(-[0-9a-f]{32})?)( [0-9a-f]{32}(,[0-9a-f]{32})*)?$"
FORM: Json = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["files"],
            "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
        }
    }
}
_BODY: Json = {
    "required": True,
    "content": {
        **FORM,
        "application/x-ndjson": {"schema": {"type": "string"}},
        "application/json": {"schema": requests.Documents.model_json_schema()},
    },
}


@router.post("/ingest", status_code=202, response_model=answers.Job, openapi_extra={"requestBody": _BODY})
async def ingest(
    request: Request,
    writer: Writable,
    options: Annotated[requests.IngestOptions, Query()],
    vecver_place: Annotated[
        str | None, Header(pattern=_PLACE, max_length=8000, description="Where an upload lies: vecver's client says it")
    ] = None,
) -> Response:
    """Make a source the truth for the documents that came from it, as a new commit: a job.

    The body: `files` of a form, each part's filename the document's path; or a line of JSON a record; or JSON with
    `documents` or the `folder` of the server, or in a bucket (`s3://…`) that it allows. `label` names the source: its
    documents that are not in the body are removed in the new version, unless `keep_missing`. If these are all
    documents of the source, or more than a fifth and more than ten, the job fails unless `allow_removals`. An upload
    of one file that the source has already updates that document alone.
    """
    check_embedder(writer, options.embedder)
    scratch = await run_in_threadpool(writer.deps.jobs.scratch)
    job_ids: list[str] = []
    try:
        source, digest = await _source(request, writer, options, scratch / "input")
        what = {**options.model_dump(exclude_none=True, exclude=GIT), **source, **origin_of(options)}
        if vecver_place is not None:
            what["place"] = _place(vecver_place, options.prefix)
        return await run_in_threadpool(queued, writer, scratch, "ingest", what, digest, job_ids)
    finally:
        if not job_ids:  # else the folder is the job's, even if the answer could not be sent
            shutil.rmtree(scratch, ignore_errors=True)


def queued(writer: DatasetWriter, scratch: Path, kind: str, what: Json, digest: str, job_ids: list[str]) -> Response:
    """Queue a job and answer with it. A repeated Idempotency-Key queues nothing, and `job_ids` stays empty then."""
    jobs, caller = writer.deps.jobs, writer.caller

    def write(entry: Entry) -> tuple[int, Json]:
        def record(connection: Connection, job: Job) -> None:
            place = {"branch": what["branch"], "label": what.get("label"), "folder": what.get("folder")}
            entry.update(job=job.id, **place)
            entry.write_done(connection)

        job = jobs.add(scratch, writer.docs.name, kind, caller.name, caller.id, what, record)
        job_ids.append(job.id)
        return 202, job.to_json()

    return writer.do(kind, digest, write)


async def _source(
    request: Request, writer: DatasetWriter, options: requests.IngestOptions, into: Path
) -> tuple[Json, str]:
    """(the job's `input` or `folder`, a digest of it); the input is written under `into`.

    Raises InvalidInputError (the body), AccessError (the folder).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return await _documents(await read_json_body(request, writer.deps.settings.max_body), writer, options, into)
    _check_label(options)
    if kind == "multipart/form-data":
        form, most = request.headers["content-type"], writer.deps.settings.max_files
        return {"input": uploads.FILES}, await multipart.write_files(form, request.stream(), into / uploads.FILES, most)
    if kind in ("application/x-ndjson", "application/jsonl"):
        most = writer.deps.settings.max_body
        return {"input": uploads.RECORDS}, await uploads.lines(request.stream(), into, most)
    raise InvalidInputError(
        f"a body of {kind or 'no type'} cannot be ingested",
        code="unsupported_media_type",
        hint="send multipart/form-data, application/x-ndjson or application/json",
    )


async def read_json_body(request: Request, max_bytes: int) -> bytes:
    """A body of JSON. Parsing takes many times its size in memory, so its limit is lower than that of an upload."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > max_bytes:
            raise InvalidInputError(
                f"JSON is taken up to {max_bytes} bytes",
                code="too_large",
                hint="send a line of JSON a record, as application/x-ndjson; or let its operator raise VECVER_MAX_BODY",
            )
    return bytes(data)


async def _documents(
    data: bytes, writer: DatasetWriter, options: requests.IngestOptions, into: Path
) -> tuple[Json, str]:
    try:
        body = await run_in_threadpool(requests.Documents.model_validate_json, data)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from error
    if body.documents is not None:
        _check_label(options)
        return {"input": uploads.RECORDS}, await run_in_threadpool(uploads.records, body.documents, into)
    check_allowed(writer.caller, "admin", writer.docs.name)
    folder = uploads.permitted(body.folder or "", writer.deps.settings.folders)
    return {"folder": folder}, folder


def origin_of(options: requests.UpsertOptions) -> Json:
    """The Git commit of the caller's source as the job takes it, so that the revision `git:...` names the version."""
    if options.git_commit is None:
        return {}
    commit = {"commit": options.git_commit, "branch": options.git_branch, "dirty": options.git_dirty}
    return {"origin": {"kind": "git", **commit}}


def _place(header: str, prefix: str) -> Json:
    """The header `Vecver-Place`, as the `place` of `Dataset.ingest`: digests of where the caller's source lies.

    `above`: the places around it. `default`: the caller gave no label.
    """
    default = header.startswith("default ")
    digests, _, above = header.removeprefix("default ").partition(" ")
    place: Json = dict(zip(("path", "git"), digests.split("-") if digests != "-" else (), strict=False))
    place |= {"prefix": prefix} if prefix and place else {}
    return {**place, "default": default, "above": above.split(",")} if default or above else place


def check_embedder(writer: DatasetWriter, embedder: str | None) -> None:
    """Raises AccessError unless the operator allows the embedder: an embedder is code and an address."""
    allowed = writer.deps.settings.embedders
    if embedder is not None and embedder not in allowed:
        raise AccessError(
            "this embedder is not on the service's allow-list",
            code="embedder_not_allowed",
            hint=f"choose one of: {', '.join(allowed)}; VECVER_EMBEDDERS names them",
        )


def _check_label(options: requests.IngestOptions) -> None:
    """Raises InvalidInputError without a label: documents missing from the body are removed from that source."""
    if not options.label:
        raise InvalidInputError(
            "the source has no name",
            code="no_label",
            hint="add ?label=NAME: documents of that source that are not sent are removed, unless ?keep_missing=true",
        )
