"""Approvals: what waits to be approved before an alias moves, and what was decided of it. Knows no gates.

approvals/<dataset>/<alias>   the newest requests, each once when it was asked and once when it was decided; see
                              `repo.entries`

Decisions
1. The log of the alias says that a request was approved, since the request's id lies beside its move (`gatings/`). What
   is kept here follows: after a kill between the two, the log is right.
2. A request keeps no version from gc: whoever forgets one would keep its rows for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from vecver.digest import digest_json
from vecver.errors import ConflictError
from vecver.model import Approval, Move
from vecver.repo import entries
from vecver.repo.refs.refs import Refs, with_gating
from vecver.store import Store

FOLDER = "approvals"
_WHAT = "alias"
_KEPT = 20  # newest entries of an alias
_SECONDS = 10.0  # to wait while another decides: the move of a ref


def load(store: Store, refs: Refs, alias: str) -> Approval | None:
    """The newest request for an alias, as it stands. Raises IntegrityError."""
    value = entries.read(store, _WHAT, FOLDER, refs.key, alias).newest
    return settled(store, refs, Approval.from_json(value)) if value else None


def all_of(store: Store, refs: Refs) -> dict[str, Approval]:
    """alias -> its newest request, sorted by name. Raises IntegrityError."""
    requests = ((alias, load(store, refs, alias)) for alias in entries.names(store, FOLDER, refs.key))
    return {alias: request for alias, request in requests if request}


def save(store: Store, refs: Refs, request: Approval, *, instead_of: Approval | None) -> None:
    """Keep a request, or what was decided of it. Raises ConflictError unless the newest one is `instead_of` still."""
    kept = entries.read(store, _WHAT, FOLDER, refs.key, request.alias)
    newest = settled(store, refs, Approval.from_json(kept.newest)) if kept.newest else None
    if newest != instead_of:
        raise moved(request.alias)
    kept.append(request.to_json(), kept=_KEPT)


def settled(store: Store, refs: Refs, request: Approval) -> Approval:
    """The request; as approved if the alias's log has its move, though nobody could record that here."""
    move = move_of(store, refs, request) if request.state == "waiting" else None
    if move is None or move.gating is None:
        return request
    approval = move.gating["approval"]
    by = {"decided_by": approval["approved_by"], "decided_key": approval["approved_key"], "decided": move.time}
    return replace(request, state="approved", **by)


def move_of(store: Store, refs: Refs, request: Approval) -> Move | None:
    """The move by which an alias followed an approval; None if it has not moved so."""
    for move in refs.log("alias", request.alias):
        if request.last_move is not None and move.id == request.last_move:
            return None
        gated = with_gating(store, move)
        if gated.gating and gated.gating.get("approval", {}).get("request") == request.id:
            return gated
    return None


@contextmanager
def deciding(store: Store, refs: Refs, alias: str) -> Iterator[None]:
    """Decide alone: of two who decide at once, the second looks after the first. Raises ConflictError (locked)."""
    with store.lock(f"approve-{digest_json([refs.key, alias])[:32]}", _SECONDS):
        yield


def moved(alias: str) -> ConflictError:
    """The error for a request that somebody else changed or decided at this moment."""
    return ConflictError(
        f"what waits for {alias} was changed by somebody else at this moment",
        code="approval_moved",
        hint="look at what waits now, and decide again; nothing was moved",
        name=alias,
    )
