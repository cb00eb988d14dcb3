"""Whole datasets: rename them, show what a deletion would remove, delete them.

Decisions
1. DELETE of a dataset needs its name once more (`confirm`). HTTP clients and browsers shorten
   `/v1/datasets/d/tags/..` to `/v1/datasets/d` before they send it: with an admin's key that deleted the dataset.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

import vecver
from vecver.errors import InvalidInputError
from vecver_service.deps import Administrable, Dependencies, check_allowed
from vecver_service.http.replies import Reply, problem_responses
from vecver_service.routes.datasets import existing
from vecver_service.schemas import answers, requests

router = APIRouter(prefix="/v1/datasets/{dataset}", tags=["datasets"], responses=problem_responses(403, 404))
Json = dict[str, Any]


@router.post("/rename", response_model=answers.Renamed, responses=problem_responses(400, 409))
def rename(body: requests.Rename, writer: Administrable) -> Response:
    """Let a dataset have another name. Its versions, refs and receipts stay; keys for the old name do not follow."""

    def write(entry: Json) -> tuple[int, Json]:
        entry["to"] = body.to
        check_allowed(writer.caller, "admin", body.to)
        renamed = writer.docs.repository.rename_dataset(writer.docs.name, body.to)
        return 200, {"name": renamed.name, "was": writer.docs.name}

    return writer.do("rename dataset", body.model_dump(), write)


@router.get("/removal", response_model=answers.DatasetRemoval)
def removal(writer: Administrable) -> Response:
    """What `DELETE` would delete: versions, refs, documents, and the bytes that gc would free."""
    return Reply(_plan_json(writer.deps, writer.docs.repository.delete_dataset(writer.docs.name)))


@router.delete("", response_model=answers.DatasetRemoval, responses=problem_responses(400, 409))
def delete(
    writer: Administrable,
    confirm: Annotated[str, Query(max_length=300, description="The dataset's name once more.")] = "",
    dry_run: Annotated[bool, Query(description="Only say what would go, as GET .../removal does.")] = False,
) -> Response:
    """Delete a dataset with all its versions and refs; gc frees the bytes once its grace age has passed."""

    def write(entry: Json) -> tuple[int, Json]:
        if not dry_run:
            _check_confirmed(writer, confirm)
        done = writer.docs.repository.delete_dataset(writer.docs.name, apply=not dry_run)
        entry |= {"versions": done.versions, "applied": done.applied}
        return 200, _plan_json(writer.deps, done)

    return writer.do("delete dataset", dry_run, write)


def _check_confirmed(writer: Administrable, confirm: str) -> None:
    """Raises NotFoundError (no such dataset), InvalidInputError (`confirm` is not its name)."""
    name = writer.docs.name
    existing(writer.docs)
    if confirm != name:
        raise InvalidInputError(
            f"deleting the dataset {name!r} was not confirmed; nothing was deleted",
            code="not_confirmed",
            hint=f"GET .../{name}/removal shows what would go; DELETE .../{name}?confirm={name} deletes it",
        )


def _plan_json(deps: Dependencies, plan: vecver.DatasetRemoval) -> Json:
    """A plan as JSON, with the path of the embedded Milvus masked."""
    return deps.mask(plan.to_json())
