"""A version: what it holds and what that is like, how it was made, what was measured of it, and where it stands."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

import vecver
from vecver.errors import NotFoundError, NotPublishedError
from vecver_service.deps import Deps, Name, Readable
from vecver_service.ui import drifts, measured
from vecver_service.ui.rendering import render

router = APIRouter(include_in_schema=False)
Json = dict[str, Any]
_PLAIN = ("kind", "documents", "chunks", "failures", "names", "places", "seconds")  # shown in words, or not at all
_LABELS = {"longer": "longer than the model reads", "tokens": "tokens embedded"}
_MERGE = {"bases": "parted at", "revision": "merged", "branch": "into", "settled": "kept in a conflict"}


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
        operation={
            name: _in_words(name, value)
            for name, value in operation.items()
            if name not in _PLAIN and value not in (None, {}, [])
        },
        labels=_MERGE if operation.get("kind") == "merge" else _LABELS,
        failures=operation.get("failures", ()),
        counts=operation.get("documents") if isinstance(operation.get("documents"), dict) else {},
        partial=docs.partial_reads(commit.id),
        expected=docs.expected_recall(commit.id),
        recall=docs.measures(commit.id).get("recall"),
        questions=(questions := measured.question_set(docs)),
        measured=next(iter(measured.history_of(docs, commit.id, questions, 1))),
        sketch=docs.sketch(commit.id),
        drifted=_drifted(docs, commit),
        moves=_moves(docs, commit.id),
        publication=_publication(docs, commit.id, deps),
    )


def _in_words(name: str, value: Any) -> Any:
    """A value of an operation as a page shows it: of a merge, the ids short and the conflicts one after the other."""
    if name == "bases":
        return ", ".join(id[:7] for id in value)
    if name == "settled":
        return ", ".join(f"{document}: {side}" for document, side in value.items())
    return value


def _refs(docs: vecver.Dataset, commit: str) -> list[tuple[str, str]]:
    """(kind, name) of every ref that stands at a version."""
    kinds = (("alias", docs.aliases()), ("branch", docs.branches()), ("tag", docs.tags()))
    return [(kind, name) for kind, refs in kinds for name, at in refs.items() if at == commit]


def _drifted(docs: vecver.Dataset, commit: vecver.Commit) -> list[drifts.Drifted]:
    """What moved since its parents and since prod, as far as those are other versions."""
    served = docs.aliases().get("prod")
    others = [*(("its parent", parent) for parent in commit.parents), *([("prod", served)] if served else [])]
    return [drifts.between(docs, title, other, commit.id) for title, other in others if other != commit.id]


def _moves(docs: vecver.Dataset, commit: str) -> list[vecver.Move]:
    """The moves that brought an alias to a version or took it away, newest first."""
    moves = (move for alias in docs.aliases() for move in docs.moves("alias", alias))
    return sorted((move for move in moves if commit in (move.before, move.after)), key=lambda move: move.time)[::-1]


def _publication(docs: vecver.Dataset, commit: str, deps: Deps) -> Json | None:
    with suppress(NotPublishedError, NotFoundError):
        return deps.mask(docs.publication(commit).to_json())
    return None
