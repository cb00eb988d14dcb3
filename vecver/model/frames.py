"""Rows as a pandas DataFrame or an Arrow table. Both libraries are imported on first use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from vecver.errors import missing_package

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Row = Mapping[str, Any]
METADATA: Final = "metadata."  # before the name of a field of metadata, as a column
_MOST, _LEAST = 2**63 - 1, -(2**63)


def data_frame(rows: Sequence[Row], columns: Sequence[str] = ()) -> pd.DataFrame:
    """A DataFrame with a row for each of `rows`; `columns` come first, even without rows.

    Integers stay integers where some rows have none (pandas' Int64). Raises InvalidInputError without pandas.
    """
    try:
        import pandas as pd
    except ImportError as missing:
        raise missing_package("to_pandas() needs", "pandas", "pandas") from missing
    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    return pd.DataFrame({name: _series(pd, [row.get(name) for row in rows]) for name in names}, columns=names)


def _series(pd: Any, values: list[Any]) -> Any:
    present = [value for value in values if value is not None]
    integers = all(isinstance(value, int) and not isinstance(value, bool) for value in present)
    if present and integers and len(present) < len(values) and all(_LEAST <= value <= _MOST for value in present):
        return pd.Series(values, dtype="Int64")
    simple = {type(value) for value in present} in ({int}, {float}, {bool}, {str})
    return pd.Series(values) if simple else pd.Series(values, dtype=object)


def arrow_table(rows: Sequence[Row], types: Mapping[str, pa.DataType]) -> pa.Table:
    """A table with the columns of `types`, and one for each other name, of the type that its values have.

    A name whose values have several types has a column for each: `metadata.year (int)`, `metadata.year (str)`. Values
    that are neither booleans, 64-bit integers, floats, strings nor lists of strings are there as JSON.
    """
    import pyarrow as pa

    columns = {name: pa.array([row.get(name) for row in rows], type) for name, type in types.items()}
    for name in dict.fromkeys(name for row in rows for name in row if name not in types):
        values = [row.get(name) for row in rows]
        kinds = [None if value is None else _kind(value) for value in values]
        several = sorted({kind for kind in kinds if kind})
        for kind in several:
            mine = [value if value_kind == kind else None for value, value_kind in zip(values, kinds, strict=True)]
            columns[name if len(several) == 1 else f"{name} ({kind})"] = _column(pa, kind, mine)
    return pa.table(columns)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int) and _LEAST <= value <= _MOST:
        return "int"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "str"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "strs"
    return "json"


def _column(pa: Any, kind: str, values: list[Any]) -> Any:
    if kind == "json":
        return pa.array(
            [None if value is None else json.dumps(value, ensure_ascii=False) for value in values], pa.string()
        )
    types = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string()}
    return pa.array(values, types[kind] if kind in types else pa.list_(pa.string()))
