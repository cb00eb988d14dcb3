"""Plans which refs a transfer moves: rules on values, no I/O but the reading of commits.

Decisions
1. A branch moves forward only: to a commit that the receiver's commit leads to. One that has gone another way is
   refused, because the receiver's versions would be lost; one that is behind is left alone.
2. A tag never moves. An alias moves if the receiver's one still stands where both sides last agreed, as `promote` with
   `expected`; otherwise somebody moved it meanwhile, and is not overwritten.
3. An alias is sent only if it is named: moving `prod` at a remote is a deployment, not a backup. One that has a policy
   there is moved by `promote` there alone, which runs its gates. A pull follows the remote, whose gates were run.
4. What the receiver deleted is not made again, unless it is named; a tag never.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from vecver.errors import NotFoundError
from vecver.model import Commit, RefState
from vecver.repo.refs.refs import KINDS
from vecver.repo.refs.tracking import Place
from vecver.repo.sync.absent import Newest
from vecver.repo.sync.heads import Head, Heads

Read = Callable[[str], Commit]
ALL = "*"  # among refs that were named: all others too, as if none were


@dataclass(frozen=True)
class Step:
    """What becomes of one ref of the receiver."""

    place: Place
    state: RefState
    before: str | None
    head: Head  # of the sender
    reason: str = ""


@dataclass(frozen=True)
class Sides:
    """The refs of one dataset. `agreed`: where aliases stood on both sides.

    `with_policy`: names that the receiver keeps for aliases with a policy. `promoted`: the sender ran its own gates.
    `at`: where the receiver is, as the caller sees it: "there" of a push, "here" of a pull.
    """

    sender: Heads
    receiver: Heads
    agreed: Mapping[str, str] = field(default_factory=dict)
    moves_behind: Callable[[str], Collection[str]] = lambda move: ()  # a move and those before it, of either side
    with_policy: Collection[str] = ()
    promoted: bool = False
    named: Collection[str] = ()  # refs that the caller named; none: all
    with_aliases: bool = False  # also where the caller named none
    at: Literal["there", "here"] = "there"


def plan(sides: Sides, read: Read) -> list[Step]:
    """A step for every ref of the sender that was asked for: branches, tags, aliases, each sorted by name."""
    places = sorted(sides.sender, key=lambda place: (KINDS.index(place[0]), place[1]))
    return [_step(sides, place, read) for place in places if _is_wanted(sides, place)]


def _is_wanted(sides: Sides, place: Place) -> bool:
    kind, name = place
    if sides.sender[place].commit is None:
        return False
    if name in sides.named:
        return True
    return (not sides.named or ALL in sides.named) and (kind != "alias" or sides.with_aliases)


def _step(sides: Sides, place: Place, read: Read) -> Step:
    kind, name = place
    head, there = sides.sender[place], sides.receiver.get(place)
    before = there.commit if there else None
    if before == head.commit:
        return Step(place, "current", before, head)
    if before is None:
        state, reason = _new(sides, place, there)
    elif kind == "tag":
        state, reason = "refused", f"the tag is {before[:12]} {sides.at}, and tags never move"
    elif kind == "branch":
        state, reason = _forward(sides, before, str(head.commit), read)
    else:
        state, reason = _followed(sides, place)
    if name in sides.with_policy and state in ("new", "moved"):
        if kind != "alias" and state == "new":
            state, reason = "refused", "the name is kept for an alias that has a policy"
        elif kind == "alias" and not sides.promoted:
            state, reason = "refused", "the alias has a policy there: promote it there, which runs its gates"
    return Step(place, state, before, head, reason)


def _new(sides: Sides, place: Place, there: Head | None) -> tuple[RefState, str]:
    """A ref that the receiver does not have, or deleted."""
    kind, name = place
    others = [other for other in KINDS if other != kind and (head := sides.receiver.get((other, name))) and head.commit]
    if others:
        return "refused", f"the name is that of a {others[0]} {sides.at}"
    if there and kind == "tag" and name in sides.named:
        return "refused", f"the tag was deleted {sides.at}, and a tag's name is never used again"
    if there and name not in sides.named:
        return "deleted", f"it was deleted {sides.at}"
    return "new", ""


def _forward(sides: Sides, before: str, after: str, read: Read) -> tuple[RefState, str]:
    if leads_to(after, before, read):
        return "moved", ""
    if leads_to(before, after, read):
        return "behind", ""
    other = "here" if sides.at == "there" else "there"
    return "refused", f"the branch has versions {sides.at} that are not {other}, and they would be lost"


def _followed(sides: Sides, place: Place) -> tuple[RefState, str]:
    """An alias that stands elsewhere: who moved it since both sides agreed? Their logs say so where they never did."""
    ours, theirs, agreed = sides.sender[place], sides.receiver[place], sides.agreed.get(place[1])
    if theirs.commit == agreed or (agreed is None and theirs.move in sides.moves_behind(ours.move)):
        return "moved", ""
    if ours.commit == agreed or (agreed is None and ours.move in sides.moves_behind(theirs.move)):
        return "behind", ""
    return "refused", f"the alias was moved {sides.at} meanwhile, to {str(theirs.commit)[:12]}"


def leads_to(head: str, ancestor: str, read: Read) -> bool:
    """Is `ancestor` the head, or behind it? What cannot be read leads nowhere. The newest are looked at first."""
    numbers, reached = count(), {head}
    queue = [(Newest(""), next(numbers), head)]
    while queue:
        _, _, id = heapq.heappop(queue)
        if id == ancestor:
            return True
        try:
            commit = read(id)
        except NotFoundError:
            continue
        for parent in commit.parents:
            if parent not in reached:
                reached.add(parent)
                heapq.heappush(queue, (Newest(commit.time), next(numbers), parent))
    return False
