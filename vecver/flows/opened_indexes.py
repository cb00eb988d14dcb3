"""Opened indexes: each segment's FAISS index, opened once a process, and each version's view of it under its mask.

An entry lives as long as the opened segment or version that it belongs to, as do the codes of a segment's rows.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from vecver import index
from vecver.model import Part

if TYPE_CHECKING:
    from vecver.repo import SearchPart, Segment, Snapshot

_INDEXES: WeakKeyDictionary[Segment, index.faiss.Index] = WeakKeyDictionary()
_VIEWS: WeakKeyDictionary[Snapshot, dict[int, index.faiss.View]] = WeakKeyDictionary()  # by segment number
_PARTS: WeakKeyDictionary[Snapshot, tuple[int, tuple[Part, ...]]] = WeakKeyDictionary()  # and as of which change
_changes = count()
_change = next(_changes)  # which indexes are open: another number after every opening and closing


def index_of(segment: Segment) -> index.faiss.Index | None:
    """The segment's index, if it was opened."""
    return _INDEXES.get(segment)


def keep(segment: Segment, opened: index.faiss.Index) -> None:
    """Search this segment through an index from now on."""
    global _change
    _INDEXES[segment] = opened
    _change = next(_changes)


def forget(segment: Segment) -> None:
    """Scan this segment until its index is opened again."""
    global _change
    _INDEXES.pop(segment, None)
    _change = next(_changes)


def parts_of(snapshot: Snapshot) -> tuple[Part, ...]:
    """The version's parts with the indexes opened so far; made anew only after one was opened or closed."""
    change, parts = _PARTS.get(snapshot, (None, ()))
    if change != _change:
        change = _change  # read first: an index that is opened meanwhile makes the next call look again
        parts = tuple(_opened(snapshot, place) for place in snapshot.parts)
        _PARTS[snapshot] = change, parts
    return parts


def _opened(snapshot: Snapshot, place: SearchPart) -> Part:
    """A part with its segment's index and codes; gathered rows have none."""
    if place.segment < 0:
        return place.part
    view = view_of(snapshot, place.segment, place.part)
    return replace(place.part, index=view, codes=codes_of(snapshot, place.segment))


def view_of(snapshot: Snapshot, number: int, part: Part) -> index.faiss.View | None:
    """How a version sees the index of its segment `number`; `part`: that segment under the version's own mask."""
    opened = index_of(snapshot.segments[number])
    if opened is None:
        return None
    views = _VIEWS.setdefault(snapshot, {})
    view = views.get(number)
    if view is None or view.index is not opened:
        views[number] = view = index.faiss.View(opened, part.live, part.live_count)
    return view


def codes_of(snapshot: Snapshot, number: int) -> index.SegmentCodes:
    """Where the codes of a version's segment `number` are kept; the segment's other versions share them."""
    segment = snapshot.segments[number]
    codes: index.SegmentCodes = segment.row_codes or segment.keep_row_codes(index.SegmentCodes(snapshot.has_room))
    return codes


def index_bytes(segment: Segment) -> int:
    """Memory that the segment's index holds."""
    opened = index_of(segment)
    return opened.nbytes if opened else 0
