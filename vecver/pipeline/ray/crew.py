"""Gives pieces of work to a crew of actors that may die; each piece goes to the seat that it belongs to.

    add        a piece waits at its seat
    start      seats whose actor has room get their next call
    finish     the outcome of a seat's oldest call
    is_full    too much waits: the caller should finish calls before it adds more

An actor has methods that take `(chosen, *pieces)`. What `write` does it may hold in memory until `hand_over()`, which
makes that durable and returns what it made; what another method does is durable when the call ends. If an actor dies, a
new one takes its seat and gets again every piece that is not durable. So a crew promises that each piece is handed over
once.

Decisions
1. The pieces lie in Ray's object store until they are handed over, which spills them to disk where memory is short.
   KEPT_ROWS and KEPT_BYTES bound them a seat.
2. Two calls at once keep an actor busy while the caller reacts. A call takes CALL_ROWS, or one piece if that has more.
3. An actor asks Ray for no CPU. A model in it uses the cores of its node as it does elsewhere, and one that waits for
   an endpoint uses none. The tasks that feed the crew ask for one each, so as many run as there are cores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from vecver.errors import BackendError
from vecver.pipeline.ray.cluster import kill, translated

WRITE: Final = "write"
CALL_ROWS: Final = 512
LEAST_ROWS: Final = 64  # that an idle actor gets, unless nothing more comes
CALLS: Final = 2  # of an actor at once
BACKLOG_ROWS: Final = 4 * CALL_ROWS  # that wait at a seat
KEPT_ROWS: Final = 1 << 18  # a seat writes before they are handed over
KEPT_BYTES: Final = 256 << 20
LOSSES: Final = 5  # actors that a seat may lose without finishing a new piece


@dataclass(eq=False)
class Piece:
    """Work that lies in Ray's object store. `chosen`: which rows of it; `owner`: whatever the caller knows it by."""

    ref: Any
    rows: int
    size: int  # bytes
    chosen: Any
    owner: Any
    method: str = WRITE  # of the actor
    is_done: bool = False

    def goes_with(self, other: Piece) -> bool:
        """True if one call may take both: what is done again after a loss must not be counted again."""
        return (self.method, self.is_done) == (other.method, other.is_done)


@dataclass(frozen=True)
class Done:
    """A call that ended. `pieces`: of the call, none if an actor that was lost had done them before; `result`: its."""

    pieces: Sequence[Piece]
    result: Any
    handed_over: bool


@dataclass(eq=False)
class _Call:
    ref: Any
    pieces: list[Piece]
    hands_over: bool = False


@dataclass(eq=False)
class _Seat:
    """The place of one actor. Every piece is in exactly one of the three until it is handed over."""

    actor: Any
    waiting: deque[Piece] = field(default_factory=deque)
    calls: deque[_Call] = field(default_factory=deque)
    unsaved: list[Piece] = field(default_factory=list)
    losses: int = 0

    @property
    def waiting_rows(self) -> int:
        return sum(piece.rows for piece in self.waiting)

    @property
    def kept_too_much(self) -> bool:
        """True if what it wrote should be handed over now."""
        rows, size = (sum(getattr(piece, name) for piece in self.unsaved) for name in ("rows", "size"))
        return rows >= KEPT_ROWS or size >= KEPT_BYTES

    def may_begin(self, is_last: bool) -> bool:
        """True if a call should begin with what waits."""
        if not self.waiting or len(self.calls) >= CALLS:
            return False
        return is_last or self.waiting_rows >= (CALL_ROWS if self.calls else LEAST_ROWS)


class Crew:
    """Actors, one at each seat. `make` starts one, and says what refers to its first call; it is called again for each
    actor that is lost."""

    def __init__(self, make: Callable[[int], tuple[Any, Any]], seats: int) -> None:
        self._make = make
        self._seats = [self._seat(number) for number in range(seats)]

    def _seat(self, number: int) -> _Seat:
        actor, first = self._make(number)
        return _Seat(actor, calls=deque([_Call(first, [])]))

    @property
    def actors(self) -> list[Any]:
        """The actors at present."""
        return [seat.actor for seat in self._seats]

    def add(self, seat: int, piece: Piece) -> None:
        """Let a piece wait at a seat."""
        self._seats[seat].waiting.append(piece)

    @property
    def is_full(self) -> bool:
        """True if a seat has so much to do that nothing should be added."""
        return any(seat.waiting_rows >= BACKLOG_ROWS for seat in self._seats)

    def start(self, *, is_last: bool, ends: bool) -> list[Any]:
        """Begin the calls for which there is room; the references to wait for.

        `is_last`: nothing is added but for pieces that end; `ends`: nothing at all is added.
        """
        for seat in self._seats:
            self._begin_calls(seat, is_last, ends)
        return [seat.calls[0].ref for seat in self._seats if seat.calls]

    def _begin_calls(self, seat: _Seat, is_last: bool, ends: bool) -> None:
        while seat.may_begin(is_last):
            pieces = _taken(seat.waiting)
            method = getattr(seat.actor, pieces[0].method)
            seat.calls.append(_Call(method.remote([p.chosen for p in pieces], *(p.ref for p in pieces)), pieces))
        is_through = ends and not seat.calls and seat.unsaved
        if is_through or (seat.kept_too_much and not any(call.hands_over for call in seat.calls)):
            seat.calls.append(_Call(seat.actor.hand_over.remote(), [], hands_over=True))

    def finish(self, ref: Any) -> Done | None:
        """What came of a call that `start` named; None if its actor was lost.

        Raises what the actor raised, BackendError (a seat lost too many actors).
        """
        import ray

        number = next(n for n, seat in enumerate(self._seats) if seat.calls and seat.calls[0].ref == ref)
        seat = self._seats[number]
        try:
            result = ray.get(ref)
        except ray.exceptions.RayActorError as error:
            self._replace(number, error)
            return None
        except ray.exceptions.RayError as error:
            raise translated(error) from error
        call = seat.calls.popleft()
        new = [piece for piece in call.pieces if not piece.is_done]
        for piece in new:
            piece.is_done = True
        seat.losses = 0 if new else seat.losses
        written = [piece for piece in call.pieces if piece.method == WRITE]
        seat.unsaved = [] if call.hands_over else seat.unsaved + written
        return Done(new, result, call.hands_over)

    def _replace(self, number: int, error: Exception) -> None:
        """Put a new actor in a seat, and give it what the old one had not handed over."""
        seat = self._seats[number]
        seat.losses += 1
        if seat.losses > LOSSES:
            raise BackendError(
                f"{seat.losses} workers that embed were lost one after the other",
                code="workers_lost",
                hint="look at Ray's logs; each may need more memory than its node has. What was embedded is kept",
                retryable=True,
            ) from error
        kill(seat.actor)
        again = [*seat.unsaved, *(piece for call in seat.calls for piece in call.pieces)]
        seat.waiting.extendleft(reversed(again))
        new = self._seat(number)
        seat.actor, seat.calls, seat.unsaved = new.actor, new.calls, []

    def close(self) -> None:
        """End the actors."""
        for seat in self._seats:
            kill(seat.actor)


def _taken(waiting: deque[Piece]) -> list[Piece]:
    """The first pieces, as many as one call takes; at least one."""
    pieces = [waiting.popleft()]
    rows = pieces[0].rows
    while waiting and rows + waiting[0].rows <= CALL_ROWS and pieces[0].goes_with(waiting[0]):
        rows += waiting[0].rows
        pieces.append(waiting.popleft())
    return pieces
