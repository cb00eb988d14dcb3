"""The stored objects of a dataset, from which `vecver clone`, `fetch` and `pull` copy it. They are read, never written.

`DatasetObjects` decides what belongs to the dataset. An object that does not is answered as one that is not there.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from itertools import dropwhile, islice
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response, StreamingResponse
from starlette.exceptions import HTTPException

from vecver.errors import NotFoundError, VecverError
from vecver_service.deps import Deps, Readable
from vecver_service.http.replies import Reply, json_bytes, problem_responses
from vecver_service.routes.datasets import existing
from vecver_service.schemas import content, requests

router = APIRouter(prefix="/v1/datasets/{dataset}", tags=["objects"], responses=problem_responses(403, 404))
_PIECE = 1 << 20  # bytes in memory of an object that is sent
_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{0,15})")
_BYTES = "application/octet-stream"
_CONTENT: dict[str, Any] = {_BYTES: {"schema": {"type": "string", "format": "binary"}}}
_LINES = {
    "description": "An object a line, in UTF-8.",
    "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bytes, as they are stored.", "content": _CONTENT},
    206: {"description": "The bytes of the range.", "content": _CONTENT},
    **problem_responses(416),
}

Commit = Annotated[
    str | None, Query(max_length=64, description="For a segment: the full id of a commit whose layout names it.")
]


@router.get("/objects", response_model=content.ObjectNames)
def objects(
    docs: Readable,
    deps: Deps,
    prefix: Annotated[str, Query(max_length=1000, description="A folder, with its slash.")],
    commit: Commit = None,
    after: Annotated[str | None, Query(max_length=1000, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Response:
    """The names of stored objects of a dataset that begin with a folder, sorted."""
    existing(docs)
    names = deps.repository.objects_of(docs.name).names(prefix, commit)
    if after is not None:
        names = dropwhile(lambda name: name <= after, names)
    page = list(islice(names, limit + 1))
    return Reply({"objects": page[:limit], "next": page[limit - 1] if len(page) > limit else None})


@router.post(
    "/objects/read",
    response_model=None,
    response_class=StreamingResponse,
    responses={200: _LINES, **problem_responses(400)},
)
def read_objects(body: requests.ReadObjects, docs: Readable, deps: Deps) -> Response:
    """Many small objects of a dataset at once: a line of JSON each, in the order of their names.

    `bytes` is null where there is no such object, and `data` its bytes in base64. `code` says why one cannot be read:
    `/object` then tells more. Segments are read one by one.
    """
    existing(docs)
    stored = deps.repository.objects_of(docs.name)
    return StreamingResponse(_lines(stored, body), media_type="application/x-ndjson")


@router.get("/object", response_model=None, response_class=StreamingResponse, responses=_ANSWERS)
def read_object(
    docs: Readable,
    deps: Deps,
    name: Annotated[str, Query(max_length=1000, description="As `/objects` lists it.")],
    commit: Commit = None,
    range: Annotated[str | None, Header(max_length=100, description="`bytes=FIRST-` or `bytes=FIRST-LAST`.")] = None,
) -> Response:
    """A stored object of a dataset: its bytes, whose digest is its name or stands in the object that names it."""
    stored = deps.repository.objects_of(docs.name).map(name, commit)
    found = _RANGE.fullmatch(range or "")
    if not found:  # another form of range is answered with all, as HTTP allows
        return _streamed(stored, 0, len(stored), 200)
    start, end = int(found[1]), min(int(found[2]) + 1, len(stored)) if found[2] else len(stored)
    if start >= len(stored) or end <= start:
        raise HTTPException(416, f"the object has {len(stored)} bytes, and the range begins after them")
    return _streamed(stored, start, end, 206)


def _lines(stored: Any, body: requests.ReadObjects) -> Iterator[bytes]:
    for name in body.names:
        line: dict[str, Any] = {"name": name, "bytes": None}
        try:
            content = stored.map(name)
            line["bytes"] = len(content)
            if body.content:
                line["data"] = base64.b64encode(content).decode()
        except NotFoundError:
            pass
        except VecverError as error:
            line["code"] = error.code
        yield json_bytes(line) + b"\n"


def _streamed(stored: memoryview, start: int, end: int, status: int) -> Response:
    headers = {"accept-ranges": "bytes", "content-length": str(end - start)}
    if status == 206:
        headers["content-range"] = f"bytes {start}-{end - 1}/{len(stored)}"
    return StreamingResponse(_pieces(stored, start, end), status, headers, _BYTES)


def _pieces(stored: memoryview, start: int, end: int) -> Iterator[bytes]:
    for begin in range(start, end, _PIECE):
        yield bytes(stored[begin : min(begin + _PIECE, end)])
