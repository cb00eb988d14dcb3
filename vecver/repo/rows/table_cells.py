"""Cells of tables that pyarrow has read, as `arrow_file.Column` gives those of a mapped file."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecver.repo.rows.schema import integers, items, keys_array, whole


def table_columns(table: pa.Table) -> dict[str, TableColumn]:
    """The columns of a table by name."""
    return {name: TableColumn(table.column(name)) for name in table.column_names}


class TableColumn:
    """One column: `column[row]` is the value there."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._column = column

    def __getitem__(self, row: int) -> Any:
        return self._column[row].as_py()

    def is_valid(self, row: int) -> bool:
        """False where there is a null."""
        return bool(self._column[row].is_valid)

    def items(self, row: int) -> tuple[TableItems, int, int]:
        """Of a list: its items, and which of them it has, `[first, last)`."""
        values = self._column[row].values
        return TableItems(values), 0, len(values)

    def lists(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[Any]]:
        """Of lists without nulls: where each begins, `(n + 1,)`, and the values of all their items."""
        lists = whole(self._column)
        offsets = integers(lists.offsets)
        return offsets - offsets[:1], TableItems(items(lists)).values

    def whole(self) -> npt.NDArray[np.uint8]:
        """All values of a column of keys, `(n, 16)`."""
        return keys_array(self._column)


class TableItems:
    """The items of one list."""

    def __init__(self, items: pa.Array) -> None:
        self._items = items

    def __getitem__(self, place: int) -> Any:
        return self._items[place].as_py()

    @property
    def values(self) -> npt.NDArray[Any]:
        """Keys `(n, 16)`, or numbers `(n,)`."""
        return integers(self._items) if pa.types.is_integer(self._items.type) else keys_array(self._items)
