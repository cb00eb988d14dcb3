"""The first page: every dataset that the visitor may read, with what a person wants to know of it at a glance."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

import vecver
from vecver.errors import VecverError
from vecver_service.deps import CurrentCaller, Deps, all_readable
from vecver_service.routes.datasets import DAMAGED
from vecver_service.ui.rendering import render

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Card:
    """A dataset on the first page."""

    name: str
    head: vecver.Commit | None  # None: no branch `main`
    aliases: dict[str, str]
    failures: int = 0  # documents that the last ingest could not read
    error: VecverError | None = None  # it cannot be read


@router.get("/")
def start(request: Request, deps: Deps, caller: CurrentCaller) -> Response:
    """Every dataset."""
    return render(request, "start.html", datasets=[_card(docs) for docs in all_readable(deps, caller)])


def _card(docs: vecver.Dataset) -> Card:
    try:
        branches = docs.branches()
        head = docs.show(branches["main"]) if "main" in branches else None
        failures = len(head.operation.get("failures", ())) if head else 0
        return Card(docs.name, head, docs.aliases(), failures)
    except DAMAGED as error:
        return Card(docs.name, None, {}, error=error)
