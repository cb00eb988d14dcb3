"""A version: what it holds, how it was made, what was measured of it, and where it stands."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

import vecver
from vecver.errors import NotFoundError, NotPublishedError
from vecver_service.deps import Deps, Name, Readable
from vecver_service.ui.rendering import render

router = APIRouter(include_in_schema=False)
Json = dict[str, Any]
_PLAIN = ("kind", "documents", "chunks", "failures", "names", "places", "seconds")  # shown in words, or not at all
_LABELS = {"longer": "longer than the model reads", "tokens": "tokens embedded"}


@router.get("/datasets/{dataset}/versions/{revision}")
def version(request: Request, docs: Readable, deps: Deps, revision: Name) -> Response:
    """All that is recorded of a version."""
    commit = docs.show(revision)
    operation = deps.mask(commit.operation)
    return render(
        request,
        "version.html",
        docs=docs,
        revision=revision,
        commit=commit,
        refs=_refs(docs, commit.id),
        operation={name: value for name, value in operation.items() if name not in _PLAIN and value not in (None, {})},
        labels=_LABELS,
        failures=operation.get("failures", ()),
        counts=operation.get("documents") if isinstance(operation.get("documents"), dict) else {},
        partial=docs.partial_reads(commit.id),
        expected=docs.expected_recall(commit.id),
        measured=docs.measures(commit.id).get("recall"),
        publication=_publication(docs, commit.id, deps),
    )


def _refs(docs: vecver.Dataset, commit: str) -> list[tuple[str, str]]:
    """(kind, name) of every ref that stands at a version."""
    kinds = (("alias", docs.aliases()), ("branch", docs.branches()), ("tag", docs.tags()))
    return [(kind, name) for kind, refs in kinds for name, at in refs.items() if at == commit]


def _publication(docs: vecver.Dataset, commit: str, deps: Deps) -> Json | None:
    with suppress(NotPublishedError, NotFoundError):
        return deps.mask(docs.publication(commit).to_json())
    return None
