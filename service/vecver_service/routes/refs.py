"""Branches, tags and aliases: seen, moved from where they were seen, and taken back."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from fastapi.responses import Response
from starlette.convertors import StringConvertor, register_url_convertor

import vecver
from vecver.errors import ConflictError, NotFoundError
from vecver_service.deps import Name, Owned, Readable, Writable, Writing
from vecver_service.http.replies import Reply, Responses, problem_responses
from vecver_service.routes.datasets import existing
from vecver_service.schemas import answers, requests
from vecver_service.warmup import warm

router = APIRouter(prefix="/v1/datasets/{dataset}", tags=["refs"], responses=problem_responses(403, 404))
Json = dict[str, Any]
Kinds = Annotated[Literal["branches", "tags", "aliases"], Path()]


class _Kinds(StringConvertor):
    """What may stand for `{kinds}` in a path: else it would take those of other routes."""

    regex = "branches|tags|aliases"


register_url_convertor("kinds", _Kinds())
_KIND: dict[str, Literal["branch", "tag", "alias"]] = {"branches": "branch", "tags": "tag", "aliases": "alias"}
_WRITTEN = problem_responses(400, 409)
_MOVED: Responses = {200: {"model": answers.Move}, 201: {"model": answers.Move, "description": "New."}, **_WRITTEN}


@router.post("/promote", response_model=None, responses=_MOVED)
def promote(body: requests.Promote, writing: Writable) -> Response:
    """Let an alias name a version; searches at the alias follow at once, those in flight finish where they began."""
    return writing.move("promote", body.model_dump(), lambda: _promoted(writing, body.alias, body.ref))


@router.post("/rollback", response_model=None, responses=_MOVED)
def rollback(body: requests.Rollback, writing: Writable) -> Response:
    """Take an alias back to where it was, or give a branch a commit with its old content."""
    docs = writing.docs
    return writing.move(
        "rollback", body.model_dump(), lambda: docs.rollback(body.ref, body.to, expected=writing.expected)
    )


@router.get("/{kinds:kinds}", response_model=dict[str, dict[str, str]])
def refs(docs: Readable, kinds: Kinds) -> Json:
    """Every ref of a kind: name -> commit."""
    existing(docs)
    return {kinds: _all(docs, kinds)}


@router.get("/{kinds:kinds}/{name}", response_model=answers.Ref)
def ref(docs: Readable, kinds: Kinds, name: Name) -> Response:
    """Where a ref stands; its ETag is what If-Match takes."""
    existing(docs)
    found = _all(docs, kinds).get(name)
    if found is None:
        raise NotFoundError(
            f"{docs.name} has no {_KIND[kinds]} {name!r}",
            code=f"{_KIND[kinds]}_not_found",
            hint=f"GET /v1/datasets/{docs.name}/{kinds} lists them",
        )
    return Reply({"kind": _KIND[kinds], "name": name, "commit": found}, headers={"ETag": f'"{found}"'})


@router.get("/{kinds:kinds}/{name}/moves", response_model=answers.Moves)
def moves(docs: Readable, kinds: Kinds, name: Name) -> Json:
    """Every move of a ref, newest first."""
    return {"moves": [move.to_json() for move in docs.moves(_KIND[kinds], name)]}


@router.put("/{kinds:kinds}/{name}", response_model=None, responses=_MOVED)
def put(body: requests.Put, writing: Writable, kinds: Kinds, name: Name) -> Response:
    """Let a ref stand on a version: from where If-Match says, where it is given. Tags are made, and never move."""
    return writing.move(f"put {_KIND[kinds]}", body.model_dump(), lambda: _put(writing, kinds, name, body.ref))


@router.delete("/{kinds:kinds}/{name}", response_model=answers.Move, responses=problem_responses(409))
def delete(writing: Owned, kinds: Kinds, name: Name) -> Response:
    """Remove a ref; no version is lost by it, and its log stays."""
    docs = writing.docs
    remove = {"branches": docs.delete_branch, "tags": docs.delete_tag, "aliases": docs.delete_alias}[kinds]
    return writing.move(f"delete {_KIND[kinds]}", None, lambda: remove(name, expected=writing.expected))


def _put(writing: Writing, kinds: str, name: str, at: str) -> vecver.Move:
    docs, expected = writing.docs, writing.expected
    if kinds == "aliases":
        return _promoted(writing, name, at)
    if kinds == "branches":
        return docs.branch(name, at, expected=expected)
    if expected not in (None, "absent"):
        raise ConflictError(
            f"the tag {name!r} is fixed",
            code="tag_fixed",
            hint="use an alias for a name that moves",
            found=docs.tags().get(name),
        )
    return docs.tag(name, at)


def _promoted(writing: Writing, alias: str, at: str) -> vecver.Move:
    """An alias moved to a version that was opened before, so that nobody waits for it afterwards."""
    commit = writing.docs.resolve(at)
    warm(writing.docs, commit)
    return writing.docs.promote(alias, commit, expected=writing.expected)


def _all(docs: vecver.Dataset, kinds: str) -> dict[str, str]:
    return {"branches": docs.branches, "tags": docs.tags, "aliases": docs.aliases}[kinds]()
