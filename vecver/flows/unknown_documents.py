"""The error for documents that a version does not have. It names those whose ids are like the ones given."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from vecver.errors import NotFoundError, say
from vecver.near import near
from vecver.repo import DocumentOrder, Snapshot

_NAMED = 5  # unknown documents that the error names
_NEIGHBOURS = 50  # ids on either side in the order that are compared first


def unknown_documents(snapshot: Snapshot, unknown: list[str]) -> NotFoundError:
    """The error for ids that no document of this version has, and what else they may mean."""
    commit = snapshot.commit
    listed = ", ".join(f"{id!r:.200}" for id in unknown[:_NAMED])
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    likely = chain.from_iterable(near(id, _candidates(snapshot.order, id)) for id in unknown[:_NAMED])
    return NotFoundError(
        f"{snapshot.dataset} at {commit.id[:12]} has no document {listed}{more}",
        code="document_not_found",
        hint=say(
            "docs.documents(at) lists those there are",
            cli=f"`vecver ls {snapshot.dataset}@{commit.id[:12]}` lists those there are",
            http=f"GET /v1/datasets/{snapshot.dataset}/documents?ref={commit.id[:12]} lists those there are",
        ),
        did_you_mean=list(dict.fromkeys(likely)),
        documents=unknown,
        commit=commit.id,
    )


def _candidates(order: DocumentOrder, id: str) -> Iterable[str]:
    """The ids next to an unknown one in the order, then all of them from the first on; a generator."""
    place = order.after(id)
    yield from order.ids(slice(max(0, place - _NEIGHBOURS), place + _NEIGHBOURS))
    yield from (name for start in range(0, len(order), 1000) for name in order.ids(slice(start, start + 1000)))
