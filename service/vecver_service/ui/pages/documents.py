"""The documents of a version, and one document with its chunks marked, its metadata and its own history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

import vecver
from vecver.errors import NotFoundError
from vecver_service.deps import Readable
from vecver_service.ui.rendering import render

router = APIRouter(include_in_schema=False)
PAGE = 100  # documents
LOOKED_AT = 100  # versions that a page searches for changes of a document
SHOWN = 400_000  # characters of a document that a page shows
Text = Annotated[str, Query(max_length=1000)]


@dataclass(frozen=True)
class Piece:
    """A run of a document's text."""

    text: str
    chunk: vecver.StoredChunk | None  # None: between chunks
    number: int = 0


@dataclass(frozen=True)
class History:
    """A part of the history of a document."""

    changes: tuple[vecver.Commit, ...]
    older: str | None  # the version where the next part begins


@router.get("/datasets/{dataset}/documents")
def documents(request: Request, docs: Readable, at: Text = "main", q: Text = "", after: Text = "") -> Response:
    """The ids of the documents of a version that begin with `q`."""
    commit = docs.resolve(at)
    ids = docs.documents(commit, prefix=q, limit=PAGE + 1, after=after or None)
    following = ids[PAGE - 1] if len(ids) > PAGE else None
    return render(
        request,
        "documents.html",
        docs=docs,
        at=at,
        commit=commit,
        q=q,
        count=docs.show(commit).counts["documents"],
        ids=ids[:PAGE],
        after=following,
    )


@router.get("/datasets/{dataset}/document")
def document(
    request: Request, docs: Readable, id: Text, at: Text = "main", chunk: Text = "", history: Text = ""
) -> Response:
    """A document of a version; `chunk`: the key of the chunk that the reader came for; `history`: the version from
    which on it is told which ones changed the document.
    """
    commit = docs.resolve(at)
    document = docs.get(id, at=commit)
    return render(
        request,
        "document.html",
        docs=docs,
        at=at,
        commit=commit,
        document=document,
        pieces=list(_pieces(document)),
        cut=len(document.text) > SHOWN,
        chunk=chunk,
        looked_at=LOOKED_AT,
        history=_history(docs, history or commit, id),
    )


def _pieces(document: vecver.Document) -> Iterator[Piece]:
    """The text in order, cut where chunks begin and end. Where two overlap, the later one begins the next piece."""
    at, text = 0, document.text[:SHOWN]
    chunks = [chunk for chunk in document.chunks if chunk.span != (0, 0)]
    for number, chunk in enumerate(chunks, 1):
        start, end = chunk.span
        if start >= len(text):
            break
        if start > at:
            yield Piece(text[at:start], None)
        following = chunks[number].span[0] if number < len(chunks) else end
        stop = min(end, max(following, start))
        yield Piece(text[max(at, start) : stop], chunk, number)
        at = max(at, stop)
    if at < len(text):
        yield Piece(text[at:], None)


def _history(docs: vecver.Dataset, start: str, id: str) -> History:
    """The versions among the next few from `start` on that changed the document, and where the others begin."""
    following = list(islice(docs.log(start), LOOKED_AT + 1))[LOOKED_AT:]
    since = following[0].id if following else None
    changes: tuple[vecver.Commit, ...] = ()
    with suppress(NotFoundError):  # no version among these has it
        changes = tuple(docs.log(start, document=id, since=since))
    return History(changes, since)
