"""The values of one field, as filters compare them: by type, those in lists item by item.

Columns of scalars are read where they lie. What must be worked out (the items of lists, which strings are
instants) is kept as long as this object is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecver.decimals import json_number, tagged_decimal
from vecver.index.instants import Instants, Rows, instants_in, local_times_in

Mask = npt.NDArray[np.bool_]

_INTEGERS = r"^\[-?\d{1,18}(,-?\d{1,18})*\]$"  # a list of them, all of 64 bits
_ARROW = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string()}


class Items(NamedTuple):
    """Values of one type. Value i stands in document `rows[i]`."""

    values: Any  # an Arrow array, which may hold nulls; of decimals a list
    rows: Rows | None = None  # None: value i is that of document i, and no list
    instants: Instants | None = None  # those among strings
    locals: Rows | None = None  # which strings are dates, or times without an offset
    are_paths: bool = False  # a string equals those that begin with it

    def mark(self, flags: Mask, mask: Mask) -> None:
        """Set `mask` for the documents in which a flagged value stands."""
        if self.rows is None:
            mask |= flags
        else:
            mask[self.rows[flags]] = True


class FieldTypes(NamedTuple):
    """The types that a field's values have: bool, int, float, decimal, text, local, instant.

    `text` is every string but dates and times: those are `local` without an offset from UTC, `instant` with one.
    """

    scalars: frozenset[str] = frozenset()
    items: frozenset[str] = frozenset()  # those in lists
    decimals: tuple[Decimal, ...] = ()
    has_empty_lists: bool = False  # or lists that hold nothing but null
    has_objects: bool = False
    has_comparable_json: bool = False  # lists that are not of strings only, or decimals

    @property
    def all(self) -> frozenset[str]:
        return self.scalars | self.items

    @staticmethod
    def union(parts: Iterable[FieldTypes]) -> FieldTypes:
        """The types that a field has in several tables."""
        all = list(parts)
        return FieldTypes(
            frozenset().union(*(part.scalars for part in all)),
            frozenset().union(*(part.items for part in all)),
            tuple(decimal for part in all for decimal in part.decimals),
            any(part.has_empty_lists for part in all),
            any(part.has_objects for part in all),
            any(part.has_comparable_json for part in all),
        )


class FieldValues:
    """A field's values in one table of documents. `columns`: by the type under which they are stored.

    `are_names`: strings compare by their characters, none as an instant. `are_paths`: names that a string equals if
    they begin with it.
    """

    def __init__(
        self, columns: Mapping[str, pa.ChunkedArray], *, are_names: bool = False, are_paths: bool = False
    ) -> None:
        self._columns = columns
        self._are_names, self._are_paths = are_names or are_paths, are_paths

    def exists(self, count: int) -> Mask:
        """Which of `count` documents have a value, `(count,)`."""
        mask = np.zeros(count, bool)
        for column in self._columns.values():
            mask |= np.asarray(column.is_valid())
        return mask

    def of_type(self, name: str) -> list[Items]:
        """The values of a type: bool, int, float, decimal or str."""
        return self._items.get(name, [])

    @cached_property
    def items_of_lists(self) -> FieldValues:
        """Only what stands in lists."""
        found = FieldValues({})
        found.__dict__["_items"] = {
            name: [_in_lists(group, self._json.alone) for group in groups if group.rows is not None]
            for name, groups in self._items.items()
        }
        return found

    def types(self, live: Mask) -> FieldTypes:
        """The types of the values in these documents, `(documents of the table,)` bool."""
        if not self._columns:
            return FieldTypes()
        scalars, items = set[str](), set[str]()
        for name, groups in self._items.items():
            for group in groups:
                found = items if group.rows is not None and name != "decimal" else scalars
                found |= {own for own, flags in _flags_by_type(name, group) if self._any(group, flags, live)}
        decimals = [
            value
            for group in self.of_type("decimal")
            for value, row in zip(group.values, group.rows if group.rows is not None else (), strict=True)
            if live[row]
        ]
        return FieldTypes(
            frozenset(scalars),
            frozenset(items),
            tuple(decimals),
            bool(live[self._json.empty].any()),
            bool(live[self._json.objects].any()),
            any(live[group.rows].any() for groups in self._json.items.values() for group in groups),
        )

    @staticmethod
    def _any(group: Items, flags: Mask, live: Mask) -> bool:
        return bool((flags & (live if group.rows is None else live[group.rows])).any())

    @cached_property
    def _items(self) -> dict[str, list[Items]]:
        found: dict[str, list[Items]] = {}
        for name, column in self._columns.items():
            if name in _ARROW:
                found.setdefault(name, []).append(Items(column))
        if "strs" in self._columns:
            found.setdefault("str", []).extend(_list_items(self._columns["strs"]))
        for name, groups in self._json.items.items():
            found.setdefault(name, []).extend(groups)
        if self._are_names and "str" in found:
            found["str"] = [items._replace(are_paths=self._are_paths) for items in found["str"]]
        elif "str" in found:
            found["str"] = [
                items._replace(instants=instants_in(items.values), locals=local_times_in(items.values))
                for items in found["str"]
            ]
        return found

    @cached_property
    def _json(self) -> _Json:
        return _read_json(self._columns["json"] if "json" in self._columns else pa.chunked_array([], pa.string()))


class Held(NamedTuple):
    """Values that rows share: row i has value `of[i]` of `values`, of which there are `size`; -1: none."""

    values: FieldValues
    size: int
    of: Rows

    def rows(self, flags: Mask) -> Mask:
        """Which rows have a flagged value, `(rows,)`; `flags` is `(size,)`."""
        return np.append(flags, False)[self.of]

    def used(self, rows: Mask) -> Mask:
        """Which values these rows have, `(size,)`."""
        found = np.zeros(self.size, bool)
        of = self.of[rows]
        found[of[of >= 0]] = True
        return found


class SharedValues:
    """A field's values in one table of chunks: those of its document, or those where it stands. A row has one or none.

    What many chunks share, their documents' values and the headings above them, is compared once.
    """

    def __init__(self, held: Sequence[Held]) -> None:
        self.held = tuple(held)

    def types(self, live: Mask) -> FieldTypes:
        """The types of the values in these chunks, `(chunks of the table,)` bool."""
        return FieldTypes.union(held.values.types(held.used(live)) for held in self.held)


def _flags_by_type(name: str, group: Items) -> Iterator[tuple[str, Mask]]:
    """Which values of a group have which type."""
    if name == "decimal":
        yield name, np.ones(len(group.values), bool)
        return
    valid = np.asarray(group.values.is_valid())
    if group.instants is None:
        yield name, valid
        return
    instant, local = np.zeros((2, len(valid)), bool)
    instant[group.instants.places], local[group.locals] = True, True
    yield from (("instant", instant), ("local", local), ("text", valid & ~instant & ~local))


def _list_items(column: pa.ChunkedArray) -> Iterator[Items]:
    """The items of a column of lists of strings, chunk by chunk."""
    import pyarrow.compute as pc

    start = 0
    for chunk in column.chunks:
        rows = np.asarray(pc.list_parent_indices(chunk)).astype(np.int64) + start
        yield Items(pc.list_flatten(chunk), rows)
        start += len(chunk)


class _Json(NamedTuple):
    """What a column of JSON holds: lists that are not of strings only, objects, decimals."""

    items: dict[str, list[Items]]
    empty: Rows  # documents whose list has no item, or null items only
    objects: Rows  # documents with an object, or a list that holds one or another list
    alone: Rows  # documents with a decimal that stands in no list


def _read_json(column: pa.ChunkedArray) -> _Json:
    import pyarrow.compute as pc

    found: dict[str, tuple[list[int], list[Any]]] = {}
    empty, objects, alone = list[int](), list[int](), list[int]()
    whole = np.asarray(pc.fill_null(pc.match_substring_regex(column, _INTEGERS), False), dtype=bool)
    others = np.flatnonzero(np.asarray(column.is_valid()) & ~whole)
    for row, text in zip(others.tolist(), column.take(pa.array(others)).to_pylist(), strict=True):
        value = json.loads(text)
        items = [item for item in value if item is not None] if isinstance(value, list) else [value]
        alone += [] if isinstance(value, list) else [row]
        if not items:
            empty.append(row)
        for item in items:
            name, comparable = _typed(item)
            if name == "object":
                objects.append(row)
            else:
                rows, values = found.setdefault(name, ([], []))
                rows.append(row)
                values.append(comparable)
    groups = {
        name: [Items(pa.array(values, _ARROW[name]) if name in _ARROW else values, np.array(rows, np.int64))]
        for name, (rows, values) in found.items()
    }
    if whole.any():
        groups.setdefault("int", []).append(_integers(column, np.flatnonzero(whole)))
    return _Json(groups, *(np.array(rows, np.int64) for rows in (empty, objects, alone)))


def _in_lists(group: Items, alone: Rows) -> Items:
    """Without the values of documents where they stand alone; only decimals do among these."""
    if not isinstance(group.values, list) or group.rows is None:
        return group
    kept = np.flatnonzero(~np.isin(group.rows, alone))
    return Items([group.values[i] for i in kept], group.rows[kept])


def _integers(column: pa.ChunkedArray, places: Rows) -> Items:
    """The items of lists of integers, without a step of Python for each: half a second for 100,000 lists otherwise."""
    import pyarrow.compute as pc

    texts = pc.utf8_trim(column.take(pa.array(places)).combine_chunks(), "[]")
    lists = pc.split_pattern(texts, ",")
    return Items(pc.list_flatten(lists).cast(pa.int64()), places[np.asarray(pc.list_parent_indices(lists))])


def _typed(item: Any) -> tuple[str, Any]:
    """A JSON value's type, and the value as it is compared."""
    if isinstance(item, bool | float | str):
        return type(item).__name__, item
    if isinstance(item, int):
        return ("int", item) if -(2**63) <= item < 2**63 else ("decimal", Decimal(item))
    decimal = tagged_decimal(item)
    if decimal is None or not isinstance(json_number(decimal), dict):  # no record is stored as the latter
        return "object", None
    return "decimal", decimal
