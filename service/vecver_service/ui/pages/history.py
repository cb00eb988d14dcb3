"""The history of a dataset: its versions, the lines between them, refs and their moves, measures, what each changed."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

import vecver
from vecver_service.deps import Readable
from vecver_service.routes.datasets import existing
from vecver_service.ui import listings, measured
from vecver_service.ui.rendering import render

router = APIRouter(include_in_schema=False)
PLOTS, COLUMNS = 3, 4  # measures that are drawn, and in the table


@router.get("/datasets/{dataset}")
def history(request: Request, docs: Readable, asked: Annotated[listings.Asked, Query()]) -> Response:
    """The versions of a branch, or of all; by time, or by a measure."""
    existing(docs)
    branches, aliases, tags = docs.branches(), docs.aliases(), docs.tags()
    names: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for kind, refs in (("alias", aliases), ("branch", branches), ("tag", tags)):
        for name, commit in refs.items():
            names[commit].append((kind, name))
    heads = [docs.resolve(asked.ref)] if asked.ref else list(dict.fromkeys(branches.values()))
    head = asked.ref or branches.get("main") or heads[0]
    listing = (
        listings.by_measure(docs, asked, head, names)
        if asked.is_sorted
        else listings.newest_first(docs, asked, heads, docs.resolve(head), names)
    )
    known = listing.history
    return render(
        request,
        "history.html",
        docs=docs,
        asked=asked,
        branches=branches,
        sets=docs.question_sets(),
        aliases={name: docs.show(commit) for name, commit in aliases.items()},
        head=docs.show(head),
        listing=listing,
        columns=_columns(listing, asked.sort),
        moves=_moves(docs, aliases),
        questions=known.questions["name"] if known and known.questions else "",
        plots=measured.plots(known)[:PLOTS] if known else [],
        newest=measured.newest(docs, known, aliases.get("prod")) if known and not asked.after else [],
    )


def _columns(listing: listings.Listing, sort: str) -> list[str]:
    """The measures in the table: those that versions of this page have, the one that sorts among them."""
    names = listing.history.names if listing.history else ()
    shown = [name for name in names if any(name in row.measures for row in listing.rows)]
    relevance, recall = ([name for name in shown if (name == measured.RECALL) is it] for it in (False, True))
    chosen = [*relevance[: COLUMNS - len(recall)], *recall]
    return chosen if sort in (*chosen, *listings.SIZES, "") else [*chosen[: COLUMNS - 1], sort]


def _moves(docs: vecver.Dataset, aliases: dict[str, str]) -> dict[str, list[vecver.Move]]:
    """commit -> the moves of aliases that brought one there, or took one away; newest first."""
    moves: dict[str, list[vecver.Move]] = defaultdict(list)
    for alias in aliases:
        for move in docs.moves("alias", alias):
            for commit in dict.fromkeys((move.after, move.before)):
                if commit:
                    moves[commit].append(move)
    return moves
