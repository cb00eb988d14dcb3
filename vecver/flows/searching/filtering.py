"""Filters on a version: which of its live chunks match, as masks, and the expression that selects them in a Milvus.

    check the filter against the fields and types that the version has
    evaluate it over document rows -> a mask over documents -> through one integer column -> masks over chunk rows

A filter that names only metadata is evaluated over documents. One that names where a chunk stands (`page`, `sheet`,
`line`, `headings`), or metadata of a part of its document (a mail of a mailbox), is evaluated over the chunks that
the documents list, entry by entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vecver import index, repo
from vecver.flows.opened_indexes import codes_of, index_of, parts_of
from vecver.flows.searching import filter_fields, selections
from vecver.flows.searching.selections import CACHE, Keys, Mask, Selection

if TYPE_CHECKING:
    from vecver.model import Json, Part
    from vecver.repo import SearchPart, Snapshot


@dataclass(frozen=True)
class Match:
    """What matches a filter: whole documents, or single chunks by their keys; the other is None."""

    documents: Mask | None = None  # by document number, live ones alone
    keys: Keys | None = None  # (n, 16)

    def names(self, snapshot: Snapshot) -> list[str]:
        """The ids of the documents that match, where they match as wholes."""
        import pyarrow as pa

        names: list[str] = []
        for number, rows in snapshot.document_rows():
            column = snapshot.segments[number].documents.column("document")
            names += column.take(pa.array(rows[self._of_segment(snapshot, number)[rows]])).to_pylist()
        return names

    def _of_segment(self, snapshot: Snapshot, number: int) -> Mask:
        assert self.documents is not None
        first, last = snapshot.row_documents.firsts[number : number + 2]
        return self.documents[first:last]


def match(snapshot: Snapshot, filter: Json | None, *, refuse: bool = True, allow_unknown: bool = False) -> Match | None:
    """The live documents or chunks that match; None for no filter. See `matching`."""
    if filter is None or filter == {}:
        return None
    unknown = set(unknown_fields(snapshot, filter)) if allow_unknown else set[str]()
    types = filter_fields.types_in(snapshot, unknown)
    index.check_filter(filter, filter_fields.fields_for(snapshot, filter) | unknown, types if refuse else None)
    resolved = index.resolved(filter, types)
    if filter_fields.place_fields(snapshot).isdisjoint(index.fields_of(filter)):
        return Match(documents=_matching_documents(snapshot, resolved))
    return Match(keys=_matching_chunks(snapshot, resolved))


def matching(
    snapshot: Snapshot, filter: Json | None, *, refuse: bool = True, allow_unknown: bool = False
) -> Selection | None:
    """The live chunks that match; None for no filter. Cached for each open version.

    `refuse`: a value that cannot be compared with those of its field is an error; else it equals none of them.
    `allow_unknown`: a field that no document has is a field without values; else it is an error.
    Raises InvalidInputError.
    """
    name = None if filter is None else selections.name_of(filter, refuse, allow_unknown)
    cached = None if name is None else CACHE.get(snapshot, name)
    if cached is not None:
        return cached
    found = match(snapshot, filter, refuse=refuse, allow_unknown=allow_unknown)
    if found is None:
        return None
    if found.keys is not None:
        selection = selections.of_keys(snapshot, found.keys)
    else:
        assert found.documents is not None
        selection = selections.of_documents(snapshot, found.documents)
    if name is not None:
        CACHE.put(snapshot, name, selection)
    return selection


def leaving_out(snapshot: Snapshot, selection: Selection | None, documents: Sequence[str]) -> Selection | None:
    """A selection (None: all chunks) without the chunks of some documents."""
    return selections.without_documents(snapshot, selection, documents)


def unknown_fields(snapshot: Snapshot, filter: Json | None) -> list[str]:
    """The fields of a filter that no document of the version has, sorted. Raises InvalidInputError (its form)."""
    return sorted(index.fields_of(filter) - filter_fields.fields_for(snapshot, filter)) if filter else []


def filtered(snapshot: Snapshot, selection: Selection | None) -> Sequence[Part]:
    """The snapshot's parts with the indexes opened so far, and only the rows of a selection; None: all."""
    if selection is None:
        return parts_of(snapshot)
    return [
        _narrowed(snapshot, place, selection, *selection.parts[number]) for number, place in enumerate(snapshot.parts)
    ]


def milvus_expression(snapshot: Snapshot, filter: Json | None) -> str:
    """What selects the rows that match in a Milvus, and perhaps more; "": all. The filter was checked."""
    if not filter:
        return ""
    types = filter_fields.types_in(snapshot, ())
    return index.expression(index.resolved(filter, types), filter_fields.kinds_in(snapshot))


# -- parts ---------------------------------------------------------------------------------------


def _narrowed(
    snapshot: Snapshot, place: SearchPart, selection: Selection, live: npt.NDArray[np.uint8], count: int
) -> Part:
    """A part with only its selected rows, and its segment's index under their mask."""
    part = replace(place.part, live=live, live_count=count, index=None)
    if place.segment < 0:
        return part
    part = replace(part, codes=codes_of(snapshot, place.segment))
    opened = index_of(snapshot.segments[place.segment])
    if opened is None:
        return part
    view = selection.views.get(place.segment)
    if view is None or view.index is not opened:
        selection.views[place.segment] = view = index.faiss.View(opened, live, count)
    return replace(part, index=view)


# -- evaluating ----------------------------------------------------------------------------------


def _matching_documents(snapshot: Snapshot, filter: Json) -> Mask:
    """The live documents that match, by document number."""
    firsts = snapshot.row_documents.firsts
    documents = np.zeros(firsts[-1], bool)
    for number, live in snapshot.live_documents.items():
        segment, of_segment = snapshot.segments[number], slice(firsts[number], firsts[number + 1])
        matches = index.evaluate(filter, partial(filter_fields.document_values, segment), segment.document_count)
        documents[of_segment] = matches & index.flags_of(live, segment.document_count)
    return documents


def _matching_chunks(snapshot: Snapshot, filter: Json) -> Keys:
    """The keys of the live chunks that match, `(n, 16)`."""
    places = filter_fields.place_fields(snapshot)
    keys = [np.zeros((0, 16), np.uint8)]
    for number, rows in snapshot.document_rows():
        segment = snapshot.segments[number]
        listed = filter_fields.listed_by(segment, rows)
        matches = index.evaluate(filter, partial(filter_fields.chunk_values, segment, places), len(listed))
        keys.append(repo.listed_keys(segment.documents)[matches & listed])
    return np.concatenate(keys)
