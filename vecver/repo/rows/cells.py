"""Cells: what single rows of a segment's tables say, read from its mapped columns without pyarrow (`arrow_file`).

Which columns there are is told in `schema` and `positions`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from vecver.digest import text_key
from vecver.model import Position

if TYPE_CHECKING:
    from vecver.model import Json
    from vecver.repo.rows.sorted_keys import Keys

METADATA: Final = "metadata."  # what names of metadata columns begin with
ORIGIN: Final = "origin."  # likewise, of columns that say of which object of a bucket a document was read
POSITION: Final = "position."

_NUMBERS: Final = ("page", "line")
# where the strings of a field stand
NAMES: Final = {
    "sheet": "sheets",
    "header": "headers",
    "headings": "paths",
    "part": "parts",
}


class Items(Protocol):
    """The items of lists; `values`: keys `(n, 16)`, or numbers `(n,)`."""

    @property
    def values(self) -> npt.NDArray[Any]: ...
    def __getitem__(self, place: int, /) -> Any: ...


class Cells(Protocol):
    """A column of a mapped file (`arrow_file`) or of a table (`table_cells`); `cells[row]` is the value there."""

    def __getitem__(self, row: int, /) -> Any: ...
    def is_valid(self, row: int, /) -> bool: ...
    def items(self, row: int, /) -> tuple[Items, int, int]: ...
    def lists(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[Any]]: ...
    def whole(self) -> Keys: ...


def document_id(document: str) -> bytes:
    """The 16 bytes by which a document is looked up."""
    return text_key(document)


def with_prefix(columns: Mapping[str, Cells], prefix: str) -> dict[str, Cells]:
    """The columns whose names begin with a prefix, by the rest of their names, sorted."""
    names = sorted(name for name in columns if name.startswith(prefix))
    return {name.removeprefix(prefix): columns[name] for name in names}


def metadata_at(columns: Mapping[str, Cells], row: int) -> Json:
    """The metadata of one document, exactly as given. `columns`: by name, without the prefix."""
    metadata: Json = {}
    for name, column in columns.items():
        value = column[row]
        if value is not None:
            kind, field = name.split(".", 1)
            metadata[field] = json.loads(value) if kind == "json" else value
    return dict(sorted(metadata.items()))


def position_at(columns: Mapping[str, Cells], row: int, number: int) -> Position:
    """The position of the `number`-th chunk of the document in this row, as far as it is known.

    `columns`: by name, without the prefix.
    """
    fields = {field: item(columns[field], row, number) for field in (*_NUMBERS, *NAMES) if field in columns}
    for field, names in NAMES.items():
        if fields.get(field) is not None:
            fields[field] = item(columns[names], row, fields[field])
    known = {field: value for field, value in fields.items() if value is not None}
    if "headings" in known:
        known["headings"] = tuple(known["headings"])
    return Position(**known)


def item(lists: Cells, row: int, number: int) -> Any:
    """The `number`-th item of the list in a row; None where there is no list."""
    if not lists.is_valid(row):
        return None
    items, first, last = lists.items(row)
    if not first <= first + number < last:
        raise IndexError(f"item {number} of {last - first}")
    return items[first + number]


class Spans:
    """The chunks that each document row lists, in order: their keys, and where each begins and ends in characters."""

    def __init__(self, columns: Mapping[str, Cells]) -> None:
        self._keys, self._starts, self._ends = (columns[name] for name in ("chunks", "starts", "ends"))

    def number(self, row: int, key: bytes) -> int:
        """Which of the chunks of a document row has this key."""
        keys, first, last = self._keys.items(row)
        return 0 if last - first == 1 else int((names(keys.values[first:last]) == np.void(key)).argmax())

    def span(self, row: int, number: int) -> tuple[int, int]:
        """The characters `[start, end)` of a document row's `number`-th chunk."""
        starts, first, _ = self._starts.items(row)
        ends, other_first, _ = self._ends.items(row)
        return int(starts.values[first + number]), int(ends.values[other_first + number])

    def keys(self, row: int) -> tuple[Keys, Keys]:
        """The keys of a document row's chunks in order, `(n, 16)` each: those of its title, those of its text."""
        keys, first, last = self._keys.items(row)
        ends, first_end, last_end = self._ends.items(row)
        of_title = ends.values[first_end:last_end] == 0
        return keys.values[first:last][of_title], keys.values[first:last][~of_title]


def names(keys: Keys) -> npt.NDArray[np.void]:
    """Keys `(n, 16)` as one value each, `(n,)`, so that they can be compared."""
    return np.ascontiguousarray(keys).view("V16").reshape(-1)
