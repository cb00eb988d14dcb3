"""Reads records, which bring their id and text and may bring a vector, from files and from memory.

A record is an object with `id` (or `_id`) and `text`; `title` and `vector` are optional, every other
field becomes metadata. It knows nothing of folders, and nothing of what a text says. A record that
cannot be used is a `Failure`, known by its id, or by `LABEL:NUMBER` where it has none.

Decisions
- 2026-11-21 A source whose first 100 records are all malformed (no JSON, no object, no `id`, no `text`)
  is no source of records: one `InvalidInputError`, not a million failures.
- 2026-11-21 The first usable record says whether a source brings vectors, and how long they are; the
  others agree or fail. Some vectors given and some made would be two spaces in one commit.
- 2026-11-21 Metadata is what JSON can say: dates become ISO 8601 strings (nanoseconds cut to micro),
  durations seconds, decimals floats, since a filter compares numbers. NaN is refused: it equals
  nothing, so no filter could find it. An empty CSV cell is an absent field.
- 2026-11-26 A decimal that a float would change becomes an integer or `{"$decimal": "..."}`, which JSON lines may
  hold too: two account numbers of 18 digits were one float. Numbers in JSON lines stay floats, as JSON readers
  make them.
- 2026-11-21 Arrow files are memory-mapped, since one stored batch may be larger than memory. Whoever
  truncates such a file during an ingest ends it; replacing the file by a rename is safe.
"""

from __future__ import annotations

import codecs
import csv
import datetime
import decimal
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, islice
from pathlib import PurePath
from typing import Any, Final

import numpy as np

from vecver.decimals import json_number, tagged_decimal
from vecver.digest import canonical_json, digest, text_key
from vecver.errors import InvalidInputError
from vecver.model import Failure, Original, Vectors
from vecver.pipeline.origin import check_id, shown

Rows = Iterable[tuple[int, Any]]  # number from 1, and what stands there: a mapping, if all is well

_FIELDS: Final = frozenset({"id", "text", "title", "vector"})
_ALWAYS: Final = frozenset({".jsonl", ".ndjson", ".parquet", ".arrow", ".feather", ".ipc"})
_DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
_PATIENCE: Final = 100  # malformed records at the head of a source before it is given up
_BATCH_ROWS: Final = 8192  # 12 MB of vectors at 384 dimensions


class _Unusable(Exception):
    """This record cannot be used. `reason` goes on from "Line 3 "."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


# -- the door -----------------------------------------------------------------------------------


def may_hold_records(path: str) -> bool:
    """Whether a file that is given directly could hold records, by its suffix alone."""
    return PurePath(path).suffix.lower() in _ALWAYS | _DELIMITERS.keys()


def is_records(path: str) -> bool:
    """Whether a file that is given directly holds records: by its suffix, and for CSV by its header.

    Raises `InvalidInputError` (`unreadable`) where it must look inside and cannot.
    """
    suffix = PurePath(path).suffix.lower()
    if suffix in _DELIMITERS:
        header = set(_header(path, _DELIMITERS[suffix]))
        return "text" in header and not header.isdisjoint({"id", "_id"})
    return suffix in _ALWAYS


def read_file(path: str, *, label: str, prefix: str = "") -> Iterator[Original | Failure]:
    """The records of a JSONL, CSV, TSV, Parquet or Arrow file, told by its suffix (JSONL for others and for "-").

    One batch of rows is in memory at a time.

    Raises
        InvalidInputError: `not_records`, `unreadable` (the file), `duplicate_document`.
    """
    suffix = PurePath(path).suffix.lower()
    if suffix == ".parquet":
        unit, rows = "row", _table_rows(_parquet_batches(path))
    elif suffix in (".arrow", ".feather", ".ipc"):
        unit, rows = "row", _table_rows(_arrow_batches(path))
    elif suffix in _DELIMITERS:
        unit, rows = "line", _csv_rows(path, _DELIMITERS[suffix])
    else:
        unit, rows = "line", _json_rows(_lines(path))
    return _believed(_originals(_guarded(rows, label), unit, label, prefix), label)


def file_rows(path: str) -> int | None:
    """The rows of a Parquet file or the lines of a JSONL file; None for a kind that does not tell, or a broken file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    suffix = PurePath(path).suffix.lower()
    with suppress(OSError, pa.ArrowException):
        if suffix == ".parquet":
            return int(pq.read_metadata(path).num_rows)
        if suffix in (".jsonl", ".ndjson"):
            return sum(1 for _ in _lines(path))
    return None


def read_values(values: Any, *, label: str, prefix: str = "") -> Iterator[Original | Failure]:
    """The records of a table, a reader of batches (whatever offers Arrow's stream), or an iterable of dicts or batches.

    Raises
        InvalidInputError: `not_records`, `duplicate_document`.
    """
    import pyarrow as pa

    unit = "record"
    if hasattr(values, "__arrow_c_stream__"):
        unit, values = "row", pa.RecordBatchReader.from_stream(values)
    elif isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise _not_records(label, f"it is one {type(values).__name__}")
    return _believed(_originals(_table_rows(values), unit, label, prefix), label)


# -- from rows to originals ---------------------------------------------------------------------


def _originals(rows: Rows, unit: str, label: str, prefix: str) -> Iterator[Original | Failure]:
    """One result a row. Holds 16 bytes and a number of each id, nothing else, to find the second of its name."""
    seen: dict[bytes, int] = {}
    width: int | None = None
    for number, value in rows:
        document = unknown = f"{label}:{number}"
        try:
            document = _document(value, prefix)
            first = seen.setdefault(text_key(document), number)
            if first != number:
                raise InvalidInputError(
                    f"{label} holds the document {document!r} twice: {unit} {first} and {unit} {number}.",
                    code="duplicate_document",
                    hint="Give every record an id of its own.",
                    document=document,
                )
            original = _original(document, value, label)
            width = _same_width(width, original.vector)
            yield original
        except _Unusable as problem:
            reason = f"{unit.capitalize()} {number} {problem.reason}."
            yield Failure(document, problem.code, reason, hides=document == unknown)  # it may be any document
        except RecursionError:
            reason = f"{unit.capitalize()} {number} is nested too deep."
            yield Failure(document, "malformed", reason, hides=document == unknown)


def _document(value: Any, prefix: str) -> str:
    if isinstance(value, _Unusable):
        raise value
    if not isinstance(value, Mapping):
        raise _Unusable("malformed", f"is no object but a {type(value).__name__}")
    if "id" not in value and "_id" not in value:
        raise _Unusable("malformed", f"has no field 'id' but {list(value)[:8]}")
    given = value["id"] if "id" in value else value["_id"]
    if isinstance(given, int | np.integer) and not isinstance(given, bool):
        given = str(given)
    if not isinstance(given, str):
        raise _Unusable("invalid_id", "has an id that is neither a string nor an integer")
    if reason := check_id(given) or (check_id(prefix + given) if prefix else None):
        raise _Unusable("invalid_id", f"cannot be named {shown(given)!r}: {reason}")
    return prefix + given


def _original(document: str, fields: Mapping[str, Any], label: str) -> Original:
    if "text" not in fields:
        raise _Unusable("malformed", f"has no field 'text' but {list(fields)[:8]}")
    text, title = fields["text"], fields.get("title")
    title = "" if title is None else title
    if text is None:
        raise _Unusable("no_text", "has null for its text")
    if not isinstance(text, str) or not isinstance(title, str):
        raise _Unusable("malformed", "has a text or a title that is not a string")
    metadata, vector = _metadata(fields), _vector(fields.get("vector"))
    canonical = canonical_json({"id": document, "text": text, "title": title, "metadata": metadata})
    try:
        canonical.decode()
    except UnicodeDecodeError:
        raise _Unusable("malformed", "holds half of a surrogate pair, which is no character") from None
    return Original(document, label, digest(canonical), None, text, title, metadata, vector)


def _metadata(fields: Mapping[str, Any]) -> dict[str, Any]:
    used = _FIELDS if "id" in fields else _FIELDS | {"_id"}
    given = fields.items()
    return {_name(name): _plain(name, value) for name, value in given if value is not None and name not in used}


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise _Unusable("invalid_metadata", f"has a field whose name is not a string, {name!r}")
    return name


def _plain(field: str, value: Any) -> Any:
    """`value` as JSON can say it."""
    match value:
        case str() | bool() | None:
            return value
        case int():
            if not -(2**63) <= value < 2**63:
                raise _Unusable("invalid_metadata", f"has an integer beyond 64 bits in {field!r}")
            return int(value)
        case float():
            if not np.isfinite(value):
                raise _Unusable("invalid_metadata", f"has {value} in {field!r}; leave the field out, or make it null")
            return float(value)
        case list() | tuple():
            return [_plain(field, item) for item in value]
        case Mapping():
            if (exact := tagged_decimal(value)) is not None:
                return json_number(exact)
            return {_name(name): _plain(field, item) for name, item in value.items()}
        case datetime.date() | datetime.time():
            return value.isoformat()
        case datetime.timedelta():
            return value.total_seconds()
        case decimal.Decimal():
            if not value.is_finite():
                raise _Unusable("invalid_metadata", f"has {value} in {field!r}; leave the field out, or make it null")
            return json_number(value)
        case np.generic() | np.ndarray():
            return _plain(field, value.tolist())
    raise _Unusable("invalid_metadata", f"has a value that JSON cannot say in {field!r}, a {type(value).__name__}")


def _vector(value: Any) -> Vectors | None:
    """`(dim,)` float32, C-contiguous, finite; not copied where it is that already."""
    if value is None:
        return None
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.ndim != 1 or array.dtype.kind not in "fiu" or not len(array):
        raise _Unusable("invalid_vector", "has a vector that is no list of numbers")
    if array.dtype != np.float32:
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise _Unusable("invalid_vector", "has a vector with NaN, infinity, or a number beyond float32")
    return np.ascontiguousarray(array)


def _same_width(width: int | None, vector: Vectors | None) -> int:
    """The number of dimensions that a source's vectors have, 0 where it brings none."""
    own = 0 if vector is None else len(vector)
    if width is None or width == own:
        return own
    told = [f"a vector of {n} dimensions" if n else "no vector" for n in (own, width)]
    raise _Unusable("invalid_vector", f"has {told[0]}, but the first record has {told[1]}")


def _believed(results: Iterator[Original | Failure], label: str) -> Iterator[Original | Failure]:
    head = list(islice(results, _PATIENCE))
    reasons = [result.reason for result in head if isinstance(result, Failure) and result.code == "malformed"]
    if head and len(reasons) == len(head):
        raise _not_records(label, reasons[0][0].lower() + reasons[0][1:])
    yield from chain(head, results)


def _guarded(rows: Rows, label: str) -> Rows:
    """`rows` of a file, with what the libraries raise translated."""
    import pyarrow as pa

    steps = iter(rows)
    while True:
        try:
            row = next(steps)
        except StopIteration:
            return
        except OSError as error:
            raise _unreadable(label, error) from error
        except (pa.ArrowException, csv.Error, ValueError, OverflowError) as error:
            raise _not_records(label, str(error)) from error
        yield row


def _not_records(label: str, reason: str) -> InvalidInputError:
    return InvalidInputError(
        f"{label} is no source of records: {reason.rstrip('.')}.",
        code="not_records",
        hint="A record has the fields 'id' and 'text'. To ingest a file as one document: records=False (--no-records).",
    )


def _unreadable(label: str, error: OSError) -> InvalidInputError:
    reason = error.strerror or str(error)
    return InvalidInputError(f"{label} cannot be read: {reason}.", code="unreadable", hint="Check its permissions.")


# -- rows of text files -------------------------------------------------------------------------


def _lines(path: str) -> Iterator[bytes]:
    if path == "-":
        yield from sys.stdin.buffer
    else:
        with open(path, "rb") as file:
            yield from file


def _json_rows(lines: Iterable[bytes]) -> Rows:
    for number, line in enumerate(lines, 1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if line.strip():
            yield number, _json(line)


def _json(line: bytes) -> Any:
    try:
        return json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        return _Unusable("malformed", f"is no JSON ({error})")


def _header(path: str, delimiter: str) -> list[str]:
    """Of the first line alone, so that bytes that are not UTF-8 further down do not decide what the file is."""
    try:
        with open(path, "rb") as file:
            line = file.readline(1 << 20).decode("utf-8-sig")
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError:
        return []
    return [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]


def _csv_rows(path: str, delimiter: str) -> Rows:
    """Numbered by the line on which they begin. Strict, since a lax reader lets one open quote eat the rest."""
    csv.field_size_limit(2**31 - 1)  # of the whole process; the default, 131,072, is one long text
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        header = [name.strip() for name in next(reader, [])]
        while True:
            number = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield number, _Unusable("malformed", f"is no CSV ({error})")
                continue
            if cells:
                yield number, _csv_record(header, cells)


def _csv_record(header: list[str], cells: list[str]) -> Any:
    if len(cells) != len(header):
        return _Unusable("malformed", f"has {len(cells)} cells, but the header has {len(header)}")
    return {name: cell for name, cell in zip(header, cells, strict=True) if cell or name in ("id", "_id", "text")}


# -- rows of tables -----------------------------------------------------------------------------


def _parquet_batches(path: str) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False) as file:  # pre-buffering keeps whole row groups in memory
        yield from file.iter_batches(batch_size=_BATCH_ROWS)


def _arrow_batches(path: str) -> Iterator[Any]:
    """Of an IPC file (which Feather 2 is) or an IPC stream."""
    import pyarrow as pa

    with open(path, "rb") as file:
        is_file = file.read(6) == b"ARROW1"
    with pa.memory_map(path) as mapped:
        if is_file:
            reader = pa.ipc.open_file(mapped)
            yield from map(reader.get_batch, range(reader.num_record_batches))
        else:
            yield from pa.ipc.open_stream(mapped)


def _table_rows(values: Iterable[Any]) -> Rows:
    """The rows of batches; a value that is no batch is a row already."""
    import pyarrow as pa

    rows = (_batch_rows(value) if isinstance(value, pa.RecordBatch) else (value,) for value in values)
    return enumerate(chain.from_iterable(rows), 1)


def _batch_rows(batch: Any) -> Iterator[dict[str, Any]]:
    """A batch's rows as dicts; their vectors are views of one float32 array for every 8192 rows."""
    import pyarrow as pa

    for start in range(0, batch.num_rows, _BATCH_ROWS):
        part = batch.slice(start, _BATCH_ROWS)
        columns = dict(zip(part.schema.names, map(_micro, part.columns), strict=True))
        views = _row_views(columns["vector"]) if "vector" in columns else None
        if views is not None:
            columns["vector"] = pa.nulls(len(part))
        rows = pa.RecordBatch.from_pydict(columns).to_pylist()
        for row, view in zip(rows, views or (), strict=False):
            row["vector"] = view
        yield from rows


def _row_views(column: Any) -> list[Vectors | None] | None:
    """Each row's vector, a view of the column's values as float32; `None` for a column of anything else."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = getattr(column, "storage", column)  # of an extension type, such as a fixed-shape tensor
    kind, types = column.type, pa.types
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return None
    if not (types.is_floating(kind.value_type) or types.is_integer(kind.value_type)):
        return None
    with np.errstate(over="ignore"):
        values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths).tolist()
    spans = zip([0, *ends], ends, column.is_valid().to_pylist(), strict=False)
    return [values[start:end] if present else None for start, end, present in spans]


def _micro(column: Any) -> Any:
    """`column`, with nanoseconds cut to the microseconds that Python's clock has."""
    import pyarrow as pa

    kind = column.type
    if getattr(kind, "unit", None) != "ns":
        return column
    zone = pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) else None
    return column.cast(zone or (pa.time64("us") if pa.types.is_time(kind) else pa.duration("us")), safe=False)
