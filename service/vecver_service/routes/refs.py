"""Branches, tags and aliases: list, read, create, move on a condition, roll back, delete."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from fastapi.responses import Response

import vecver
from vecver.errors import ConflictError, InvalidInputError, NotFoundError
from vecver_service.deps import Administrable, DatasetWriter, Name, Readable, Writable
from vecver_service.http.replies import Reply, Responses, problem_responses
from vecver_service.routes.datasets import existing
from vecver_service.routes.paths import REF_KINDS
from vecver_service.routes.promoting import LATER, Prefer, promotion
from vecver_service.schemas import answers, requests

router = APIRouter(prefix="/v1/datasets/{dataset}", tags=["refs"], responses=problem_responses(403, 404))
Json = dict[str, Any]
Kinds = Annotated[Literal["branches", "tags", "aliases"], Path()]
_KIND: dict[str, Literal["branch", "tag", "alias"]] = {"branches": "branch", "tags": "tag", "aliases": "alias"}
_WRITTEN = problem_responses(400, 409)
_MOVED: Responses = {200: {"model": answers.Move}, 201: {"model": answers.Move, "description": "New."}, **_WRITTEN}


@router.post("/rollback", response_model=None, responses=_MOVED)
def rollback(body: requests.Rollback, writer: Writable) -> Response:
    """Take an alias back to where it was, or give a branch a commit with its old content."""
    docs = writer.docs
    return writer.move(
        "rollback", body.model_dump(), lambda: docs.rollback(body.ref, body.to, expected=writer.expected)
    )


@router.post("/merge", response_model=answers.Merge, responses=_WRITTEN)
def merge(body: requests.Merge, writer: Writable) -> Response:
    """Bring what a version changed since it parted from a branch into that branch; nothing is embedded.

    A document that both changed is a conflict: 409 with the code `merge_conflicts`, and all of them in the context's
    `conflicts`, until `ours` or `theirs` says whose holds. If-Match: the commit on which the branch must stand.
    """
    options = body.model_dump(exclude={"ref"})

    def write(entry: Json) -> tuple[int, Json]:
        outcome = writer.docs.merge(body.ref, expected=writer.expected, **options)
        entry |= {"branch": outcome.branch, "from": outcome.ours, "to": outcome.commit, "merged": outcome.theirs}
        return 200, writer.deps.mask(outcome.to_json())

    return writer.do("merge", body.model_dump(), write)


@router.get(f"/{REF_KINDS}", response_model=dict[str, dict[str, str]])
def refs(docs: Readable, kinds: Kinds) -> Json:
    """Every ref of a kind: name -> commit."""
    existing(docs)
    return {kinds: _all(docs, kinds)}


@router.get(f"/{REF_KINDS}/{{name}}", response_model=answers.Ref)
def ref(docs: Readable, kinds: Kinds, name: Name) -> Response:
    """Where a ref stands; its ETag is what If-Match takes."""
    existing(docs)
    commit = _all(docs, kinds).get(name)
    if commit is None:
        raise NotFoundError(
            f"{docs.name} has no {_KIND[kinds]} {name!r}",
            code=f"{_KIND[kinds]}_not_found",
            hint=f"GET /v1/datasets/{docs.name}/{kinds} lists them",
        )
    return Reply({"kind": _KIND[kinds], "name": name, "commit": commit}, headers={"ETag": f'"{commit}"'})


@router.get(f"/{REF_KINDS}/{{name}}/moves", response_model=answers.Moves, response_model_exclude_unset=True)
def moves(docs: Readable, kinds: Kinds, name: Name) -> Json:
    """Every move of a ref, newest first."""
    return {"moves": [move.to_dict() for move in docs.moves(_KIND[kinds], name)]}


@router.put(f"/{REF_KINDS}/{{name}}", response_model=None, responses={**_MOVED, **LATER})
def put(body: requests.Put, writer: Writable, kinds: Kinds, name: Name, prefer: Prefer = None) -> Response:
    """Let a ref stand on a version: from where If-Match says, where it is given. Tags are made, and never move."""
    if kinds == "aliases":
        return promotion(writer, "put alias", name, body, prefer)
    return writer.move(f"put {_KIND[kinds]}", body.asked(), lambda: _put(writer, kinds, name, body))


@router.delete(f"/{REF_KINDS}/{{name}}", response_model=answers.Move, responses=problem_responses(409))
def delete(writer: Administrable, kinds: Kinds, name: Name) -> Response:
    """Remove a ref; no version is lost by it, and its log stays."""
    docs = writer.docs
    remove = {"branches": docs.delete_branch, "tags": docs.delete_tag, "aliases": docs.delete_alias}[kinds]
    return writer.move(f"delete {_KIND[kinds]}", None, lambda: remove(name, expected=writer.expected))


def _put(writer: DatasetWriter, kinds: str, name: str, body: requests.Put) -> vecver.Move:
    docs, expected, at = writer.docs, writer.expected, body.ref
    if body.gates or body.override:
        raise InvalidInputError(
            f"gates are for aliases, not for {kinds}", code="conflicting_options", hint="leave the gates out"
        )
    if kinds == "branches":
        return docs.branch(name, at, expected=expected)
    if expected not in (None, "absent"):
        raise ConflictError(
            f"the tag {name!r} is fixed",
            code="tag_fixed",
            hint="use an alias for a name that moves",
            found=docs.tags().get(name),  # in the problem's `context`
        )
    return docs.tag(name, at)


def _all(docs: vecver.Dataset, kinds: str) -> dict[str, str]:
    return {"branches": docs.branches, "tags": docs.tags, "aliases": docs.aliases}[kinds]()
