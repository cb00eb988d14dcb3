"""Trash: what no version names any more, and since when, so that nothing is deleted under a reader or a writer.

    retired     one sealed object: the units that wait to be deleted, and those that are being deleted

A unit is a whole segment (`segments/<id>`) or any other object by its name. A process that sees that nothing names a
unit *retires* it; one that is about to name it again *claims* it back. After the grace age gc *condemns* the unit,
deletes its objects and *buries* it. Each step is one swap, so a writer either gets its rows back or learns in time
that they are deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import sleep

from vecver.digest import digest
from vecver.errors import BackendError, ConflictError, IntegrityError, say
from vecver.repo import objects
from vecver.repo.refs.turns import pauses, turn
from vecver.repo.rows.segment_files import FILES
from vecver.store import Store, get_or_none

NAME = "retired"


@dataclass(frozen=True)
class Retired:
    """The units that will be deleted."""

    waiting: dict[str, str] = field(default_factory=dict)  # unit -> since when, ISO 8601, UTC
    condemned: frozenset[str] = frozenset()  # being deleted; a crash may have left them half there


def read(store: Store) -> Retired:
    """The trash as it is now. Raises IntegrityError."""
    return _parse(_body(store))


def retire(store: Store, units: Iterable[str], time: str) -> None:
    """Let units wait from `time` on; those that wait already begin anew, since they were named until now."""
    begun = dict.fromkeys(units, time)
    _change(store, lambda old: Retired({**old.waiting, **begun}, old.condemned))


def renew(store: Store, units: Iterable[str], time: str) -> None:
    """Let those of these units that wait already begin anew, since they were named until now."""
    named = set(units)

    def renewed(old: Retired) -> Retired:
        return Retired({**old.waiting, **dict.fromkeys(named & old.waiting.keys(), time)}, old.condemned)

    _change(store, renewed)


def claim(store: Store, units: Iterable[str]) -> None:
    """Take back units that a new version names. Raises ConflictError if one is being deleted."""
    named = set(units)

    def claimed(old: Retired) -> Retired:
        if lost := named & old.condemned:
            raise objects.collected(sorted(lost))
        return _without(old, named)

    if mentions(store, named):
        _change(store, claimed)


def mentions(store: Store, units: Iterable[str]) -> bool:
    """May any of these units be in the trash? Sometimes True where none is. Raises IntegrityError.

    Every commit calls this, and after `optimize` so many units wait that decoding the list would take 10 ms.
    """
    body = _body(store)
    if body is None:
        return False
    sealed_by, _, value = body.partition(b"\n")
    if digest(value).encode() != sealed_by:
        _parse(body)  # raises
    return any(unit.encode() in value for unit in units)


def hold(store: Store, units: Iterable[str]) -> None:
    """Claim units and check that all exist. Raises ConflictError if gc has deleted some of them.

    They are looked for after the claim. What is there before it may be deleted and buried until the claim, which then
    meets nothing in the trash.
    """
    units = list(units)
    claim(store, units)
    check_there(store, units)


def check_there(store: Store, units: Iterable[str]) -> None:
    """Raises ConflictError unless all of these units exist, which were claimed before."""
    if lost := lacking(store, units):
        raise objects.collected(lost)


def lacking(store: Store, units: Iterable[str]) -> list[str]:
    """The units of which an object is not there.

    Every file of a segment is looked for: gc may have been deleting the old ones while they were written again.
    """
    units = list(units)
    segments = [unit for unit in units if _is_segment(unit)]
    others = [unit for unit in units if not _is_segment(unit)]
    listed = zip(segments, store.list_all([f"{unit}/" for unit in segments]), strict=True)
    lost = {unit for unit, names in listed if not _files_of(unit) <= {*names}}
    lost |= {unit for unit, is_there in zip(others, store.has_all(others), strict=True) if not is_there}
    return [unit for unit in units if unit in lost]


def condemn(store: Store, units: Mapping[str, str]) -> set[str]:
    """Condemn the units that have waited since the given time: from now on no writer can claim them. Gives these."""
    condemned: set[str] = set()

    def change(old: Retired) -> Retired:
        condemned.clear()
        condemned.update(unit for unit, since in units.items() if old.waiting.get(unit) == since)
        return Retired(_without(old, condemned).waiting, old.condemned | condemned)

    _change(store, change)
    return condemned


def bury(store: Store, units: Iterable[str]) -> None:
    """Remove units from the trash whose objects are deleted."""
    deleted = frozenset(units)
    _change(store, lambda old: Retired(old.waiting, old.condemned - deleted))


def _is_segment(unit: str) -> bool:
    return unit.startswith("segments/") and unit.count("/") == 1


def _files_of(segment: str) -> set[str]:
    """The objects that the unit of a segment must have."""
    return {f"{segment}/{file}" for file in ("segment.json", *FILES)}


def _body(store: Store) -> bytes | None:
    return get_or_none(store, NAME)


def _parse(body: bytes | None) -> Retired:
    if body is None:
        return Retired()
    try:
        value = objects.parse_sealed(NAME, body)
        return Retired(dict(value["waiting"]), frozenset(value["condemned"]))
    except (ValueError, KeyError, TypeError, IntegrityError) as error:
        raise IntegrityError(
            f"{NAME} is damaged",
            code="digest_mismatch",
            hint=say(
                "run repo.check(repair=True): what waits to be deleted then begins to wait anew",
                cli="run `vecver check --repair`: what waits to be deleted then begins to wait anew",
            ),
            name=NAME,
        ) from error


def _without(old: Retired, units: set[str]) -> Retired:
    return Retired({unit: since for unit, since in old.waiting.items() if unit not in units}, old.condemned)


def _change(store: Store, change: Callable[[Retired], Retired]) -> None:
    """Swap the object, again if another process was faster; neither writes nor waits where nothing changes."""
    old = _parse(_body(store))
    if change(old) == old:
        return
    with turn(store, NAME, lambda: _body(store)):
        for seconds in pauses():
            body = _body(store)
            old = _parse(body)
            new = change(old)
            if new == old:
                return
            value = {"waiting": new.waiting, "condemned": sorted(new.condemned)}
            try:
                return store.swap(NAME, body, objects.sealed(value))
            except ConflictError:
                sleep(seconds)
    raise BackendError(
        f"{NAME} is changed by others all the time", code="store_busy", hint="try again later", retryable=True
    )
