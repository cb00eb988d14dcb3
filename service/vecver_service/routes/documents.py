"""What a version holds: documents, chunks, counts. Routes that take a filter are POST, because filters may be long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response, StreamingResponse

import vecver
from vecver.errors import InvalidInputError
from vecver_service.deps import Deps, Readable
from vecver_service.http.replies import Reply, json_bytes, problem_responses, vector_text
from vecver_service.routes.datasets import Cursor, Ref
from vecver_service.routes.paths import CHUNK_KEY
from vecver_service.schemas import answers, content, requests

router = APIRouter(prefix="/v1/datasets/{dataset}", tags=["documents"], responses=problem_responses(403, 404))
Json = dict[str, Any]
_BATCH = 256  # lines that are sent at once
_HEADERS = {"Vecver-Commit": {"schema": answers.COMMIT, "description": "The version that was read.", "required": True}}
_LINES = {
    "description": "A chunk a line, in UTF-8. As many as were asked for, or the last page.",
    "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
    "headers": _HEADERS,
}


@router.get("/documents", response_model=content.DocumentIds)
def documents(
    docs: Readable,
    ref: Ref = "main",
    prefix: Annotated[str, Query(max_length=1000, description="Only ids that begin so.")] = "",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    cursor: Cursor = None,
) -> Response:
    """The ids of the documents of a version, sorted. All pages are of one version, should `ref` move meanwhile."""
    commit, after = _start(docs, ref, cursor)
    return _ids(docs, commit, limit, prefix=prefix, after=after)


@router.post("/documents/list", response_model=content.DocumentIds, responses=problem_responses(400))
def list_documents(body: requests.ListDocuments, docs: Readable) -> Response:
    """The ids of the documents that match a filter, sorted, from the one after `after` on, or from `cursor` on."""
    commit, after = _start(docs, body.ref, body.cursor)
    after = body.after if after is None else after
    return _ids(docs, commit, body.limit, where=body.where, prefix=body.prefix, after=after)


@router.post("/documents/get", response_model=content.Documents, responses=problem_responses(400))
def get(body: requests.GetDocuments, docs: Readable, deps: Deps) -> Response:
    """Whole documents by their ids, in the order asked. Several may have `VECVER_MAX_TEXT` characters together."""
    commit = docs.resolve(body.ref)
    documents = docs.get(body.ids, at=commit, missing=body.missing)
    if len(documents) > 1:
        characters = sum(len(document.text) for document in documents)
        requests.check_limit("the text of these documents", characters, deps.settings.max_text, "text")
    return Reply({"commit": commit, "documents": [document.to_json() for document in documents]})


@router.post(
    "/chunks/list",
    response_model=None,
    response_class=StreamingResponse,
    responses={200: _LINES, **problem_responses(400)},
)
def list_chunks(body: requests.ListChunks, docs: Readable) -> Response:
    """The chunks that match a filter, from the one after `after` on: a line of JSON each (`StoredChunk`).

    They come by document id and then as the text is read. A vector is base64 of its little-endian float32 bytes.
    """
    chunks = docs.chunks(body.ref, where=body.where, vectors=body.vectors, limit=body.limit, after=body.after)
    headers = {"Vecver-Commit": chunks.commit}
    return StreamingResponse(_lines(chunks), media_type="application/x-ndjson", headers=headers)


@router.get(f"/chunks/{CHUNK_KEY}", response_model=content.StoredChunk, response_model_exclude_unset=True)
def chunk(
    docs: Readable,
    deps: Deps,
    key: Annotated[str, Path(max_length=300, examples=["9e6d5873bd604c8984c1cf88474186fa"])],
    ref: Ref = "main",
    context: Annotated[int, Query(ge=0, description="With the text of so many neighbours on either side.")] = 1,
) -> Response:
    """One chunk of a version by its key."""
    requests.check_limit("context", context, deps.settings.max_context)
    return Reply(docs.chunk(key, ref, context=context).to_json())


@router.post("/count", response_model=answers.Count, responses=problem_responses(400))
def count(body: requests.Count, docs: Readable) -> Response:
    """How many documents and chunks match a filter; without one, how many there are."""
    commit = docs.resolve(body.ref)
    return Reply({"commit": commit, **docs.count(commit, where=body.where).to_json()})


@router.get("/fields", response_model=content.Fields)
def fields(docs: Readable, ref: Ref = "main") -> Response:
    """What filters may name in a version: types, how many documents have it, and examples."""
    commit = docs.resolve(ref)
    return Reply({"commit": commit, **docs.fields(commit).to_json()})


def _start(docs: vecver.Dataset, ref: str, cursor: str | None) -> tuple[str, str | None]:
    """(commit that is listed, id after which the page begins). Raises InvalidInputError (bad cursor)."""
    if not cursor:
        return docs.resolve(ref), None
    commit, _, after = cursor.partition(":")
    if docs.resolve(commit or ref) != commit:
        raise InvalidInputError("this is no cursor", code="invalid_cursor", hint="take `next` of the page before")
    return commit, after


def _ids(docs: vecver.Dataset, commit: str, limit: int, **selection: Any) -> Response:
    """A page of ids. One id more is read, which tells whether there is another page."""
    ids = docs.documents(commit, limit=limit + 1, **selection)
    page = ids[:limit]
    return Reply({"commit": commit, "documents": page, "next": f"{commit}:{page[-1]}" if len(ids) > limit else None})


def _lines(chunks: vecver.Chunks) -> Iterator[bytes]:
    """Batches of lines, each line a chunk as JSON."""
    lines: list[bytes] = []
    for chunk in chunks:
        lines.append(json_bytes(_chunk_json(chunk)) + b"\n")
        if len(lines) == _BATCH:
            yield b"".join(lines)
            lines.clear()
    yield b"".join(lines)


def _chunk_json(chunk: vecver.StoredChunk) -> Json:
    """A chunk as JSON, its vector as base64."""
    if chunk.vector is None:
        return chunk.to_json()
    return {**replace(chunk, vector=None).to_json(), "vector": vector_text(chunk.vector)}
