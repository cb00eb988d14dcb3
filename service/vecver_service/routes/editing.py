"""Single documents: a job adds uploaded files and rows; documents are deleted at once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from vecver.errors import InvalidInputError
from vecver_service.deps import DatasetWriter, Writable
from vecver_service.http import multipart, uploads
from vecver_service.http.replies import problem_responses
from vecver_service.routes.ingest import FORM, GIT, check_embedder, origin_of, queued, read_json_body
from vecver_service.schemas import answers, requests

router = APIRouter(prefix="/v1/datasets/{dataset}", tags=["documents"], responses=problem_responses(400, 403, 409))
Json = dict[str, Any]
_BODY: Json = {
    "required": True,
    "content": {
        **FORM,
        "application/x-ndjson": {"schema": {"type": "string"}},
        "application/json": {"schema": requests.Rows.model_json_schema()},
    },
}


@router.post("/upsert", status_code=202, response_model=answers.Job, openapi_extra={"requestBody": _BODY})
async def upsert(request: Request, writer: Writable, options: Annotated[requests.UpsertOptions, Query()]) -> Response:
    """Add documents, or replace those that are there; nothing is removed: a job, whose result is the report.

    The body: JSON with `documents`, each an object with id and text or a text; or a line of JSON each; or `files` of a
    form, each part's filename the document's path. The last of a repeated id wins. A document that is there stays with
    its source; new ones belong to the source `label`, by default "added". If-Match: the commit that it is written on.
    """
    check_embedder(writer, options.embedder)
    scratch = await run_in_threadpool(writer.deps.jobs.scratch)
    job_ids: list[str] = []
    try:
        source, digest = await _source(request, writer, scratch / "input")
        what = {**options.model_dump(exclude_none=True, exclude=GIT), **source, **origin_of(options)}
        if writer.expected is not None:
            what["expected"] = writer.expected
        return await run_in_threadpool(queued, writer, scratch, "upsert", what, digest, job_ids)
    finally:
        if not job_ids:
            shutil.rmtree(scratch, ignore_errors=True)


@router.post("/delete", response_model=answers.Report, responses=problem_responses(404))
def delete(body: requests.Delete, writer: Writable) -> Response:
    """Remove documents by their ids, or all that match a filter, as a new commit; earlier versions keep them.

    Ids that name no document are in `unknown`; where nothing is left to remove no commit is made. If-Match: the commit
    on which the branch must stand.
    """

    def write(entry: Json) -> tuple[int, Json]:
        options: Json = {"branch": body.branch, "message": body.message, "dry_run": body.dry_run}
        report = writer.docs.delete(body.ids, where=body.where, expected=writer.expected, **options)
        entry |= {"branch": body.branch, "to": report.commit, "documents": report.documents["removed"]}
        names = {kind: list(ids) for kind, ids in report.names.items()}
        return 200, {**writer.deps.mask(report.to_json()), "names": names, "unknown": list(report.unknown)}

    return writer.do("delete documents", body.model_dump(), write)


async def _source(request: Request, writer: DatasetWriter, into: Path) -> tuple[Json, str]:
    """(the job's `input`, a digest of it); the input is written under `into`. Raises InvalidInputError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    settings = writer.deps.settings
    if kind == "application/json":
        data = await read_json_body(request, settings.max_body)
        try:
            body = await run_in_threadpool(requests.Rows.model_validate_json, data)
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False, include_input=False)) from error
        return {"input": uploads.RECORDS}, await run_in_threadpool(uploads.records, body.documents, into, empty=True)
    if kind == "multipart/form-data":
        form = request.headers["content-type"]
        digest = await multipart.write_files(form, request.stream(), into / uploads.FILES, settings.max_files)
        return {"input": uploads.FILES}, digest
    if kind in ("application/x-ndjson", "application/jsonl"):
        return {"input": uploads.RECORDS}, await uploads.lines(request.stream(), into, settings.max_body, empty=True)
    raise InvalidInputError(
        f"a body of {kind or 'no type'} cannot be added",
        code="unsupported_media_type",
        hint="send application/json, application/x-ndjson or multipart/form-data",
    )
