"""The first page: every dataset that the visitor may read, with what a person wants to know of it at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from fastapi import APIRouter, Request
from fastapi.responses import Response

import vecver
from vecver.errors import VecverError
from vecver_service.deps import CurrentCaller, Deps, all_readable
from vecver_service.routes.datasets import DAMAGED
from vecver_service.ui import drifts, measured
from vecver_service.ui.rendering import render

router = APIRouter(include_in_schema=False)
RECENT = 20  # versions in which the last ingest and the newest measures are looked for
DRIFTS = 8  # pairs of versions that one request compares anew; the next one goes on
_WRITES = ("ingest", "upsert")


@dataclass(frozen=True)
class Card:
    """A dataset on the first page."""

    name: str
    head: vecver.Commit | None = None  # None: no branch `main`
    aliases: dict[str, str] = field(default_factory=dict)
    last_ingest: vecver.Commit | None = None  # of the newest versions
    questions: str = ""  # by which relevance is measured
    measures: Sequence[measured.Newest] = ()
    drift: drifts.Drifted | None = None  # of prod and main; None: it is the same version, or not compared yet
    error: VecverError | None = None  # it cannot be read

    @property
    def failures(self) -> int:
        """Documents that the last ingest could not read."""
        return len(self.last_ingest.operation.get("failures", ())) if self.last_ingest else 0

    @property
    def is_served(self) -> bool:
        """Does `prod` serve the newest version?"""
        return self.head is not None and self.aliases.get("prod") == self.head.id


@router.get("/")
def start(request: Request, deps: Deps, caller: CurrentCaller) -> Response:
    """Every dataset."""
    left, cards = DRIFTS, []
    for docs in all_readable(deps, caller):
        card = _card(docs)
        if card.head and "prod" in card.aliases and not card.is_served:
            is_kept = drifts.kept(docs, card.aliases["prod"], card.head.id) is not None
            if is_kept or left > 0:
                card = replace(card, drift=drifts.between(docs, "prod", card.aliases["prod"], card.head.id))
            left -= not is_kept
        cards.append(card)
    return render(request, "start.html", datasets=cards)


def _card(docs: vecver.Dataset) -> Card:
    try:
        branches, aliases = docs.branches(), docs.aliases()
        if "main" not in branches:
            return Card(docs.name, aliases=aliases)
        head = docs.show(branches["main"])
        recent = list(islice(docs.log("main"), RECENT))
        ingest = next((each for each in recent if each.operation.get("kind") in _WRITES), None)
        questions = measured.question_set(docs)
        history = measured.history_of(docs, "main", questions, RECENT)
        newest = measured.newest(docs, history, aliases.get("prod"))
        return Card(docs.name, head, aliases, ingest, questions, newest)
    except DAMAGED as error:
        return Card(docs.name, error=error)
