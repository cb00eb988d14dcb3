"""Brings the whole log of a ref to a repository that never had that ref.

Decisions
1. A ref that is new at the receiver brings its log, with what was measured for its moves: a clone can say where `prod`
   stood in June, and roll back. Afterwards each side logs its own moves ("push", "pull"): a log says what happened to
   this ref at this place, by whom and when.
2. The ref is reserved before the first move of the log is written, and `refs.lost` knows that no move of a reserved ref
   took place. So a log that was cut off midway looks neither lost nor moved. What is left of it is deleted before the
   ref is made in another way, since then its moves would look like lost ones, and gc would refuse to go on. One process
   at a time brings a log, so that none deletes what another is writing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from vecver.errors import ConflictError, IntegrityError
from vecver.model import Move
from vecver.repo import objects
from vecver.repo.maintain import trash
from vecver.repo.refs.refs import Refs, gating_path, move_path, parse_move
from vecver.repo.refs.tracking import Place
from vecver.repo.sync.parallel import each, present
from vecver.store import Store

Get = Callable[[str], bytes]


@dataclass(frozen=True)
class RefLog:
    """The moves of a ref, newest first, and as they are stored: a later vecver may have written more into them."""

    moves: tuple[Move, ...]
    stored: tuple[bytes, ...]

    @property
    def commits(self) -> set[str]:
        """Every commit that the ref names or named: the log is of no use without them."""
        return {commit for move in self.moves for commit in (move.before, move.after) if commit}


def read_log(get: Get, key: str, place: Place, newest: str) -> RefLog:
    """The log of a ref from its newest move back. Raises IntegrityError, NotFoundError."""
    moves, stored = list[Move](), list[bytes]()
    id: str | None = newest
    while id:
        body = get(move_path(id))
        move = parse_move(id, body)
        if (move.dataset, (move.kind, move.name)) != (key, place):
            raise objects.misplaced(move_path(id))
        moves.append(move)
        stored.append(body)
        id = move.previous
    return RefLog(tuple(moves), tuple(stored))


def all_moves(store: Store) -> Get:
    """Reads moves from memory, after one listing and requests in parallel: a log itself can only be read one by one."""
    names = list(store.list("moves/"))
    bodies = dict(zip(names, store.get_all(names), strict=True))
    return lambda name: bodies.get(name) or store.get(name)


def write_log(source: Store, target: Store, log: RefLog) -> None:
    """Make the ref that has this log, whose commits are there. Raises ConflictError (its name is taken)."""
    newest = log.moves[0]
    refs = Refs(target, newest.dataset)
    with refs.bringing_log():
        refs.reserve(newest.kind, newest.name)
        _write(source, target, log)
        try:
            refs.adopt(newest)
        except ConflictError:  # somebody else made the ref: its log holds some of these moves, or none
            logged = set(refs.move_names(newest.kind, newest.name))
            written = {move_path(move.id) for move in log.moves if move.previous}
            target.delete(*(written - logged))
            raise


def _write(source: Store, target: Store, log: RefLog) -> None:
    """Write the moves of a log, after what was measured for them."""
    trash.claim(target, [name(move.id) for move in log.moves for name in (move_path, gating_path)])
    gated = present(source, [gating_path(move.id) for move in log.moves], "gatings")
    each(partial(_send_gating, source, target), sorted(gated))
    each(lambda move: target.put(move_path(move[0].id), move[1]), zip(log.moves, log.stored, strict=True))


def _send_gating(source: Store, target: Store, name: str) -> None:
    body = source.get(name)
    if objects.parse_sealed(name, body).get("move") != name.partition("/")[2]:
        raise IntegrityError(f"{name} is that of another move", code="misplaced", hint="check the sender", name=name)
    target.put(name, body)
