"""Reads records from files and from memory. A record brings its id and text, and may bring a vector.

A record is an object with `id` (or `_id`) and `text`. `title` and `vector` are optional, and every other field becomes
metadata. A record that cannot be used yields a `Failure` under its id, or under `LABEL:NUMBER` if it has no id.

Decisions
1. If the first 100 records of a source are all malformed (not JSON, not an object, no `id`, no `text`), the source
   does not hold records. That is one `InvalidInputError` instead of a million failures.
2. The first usable record sets whether the source brings vectors, and their dimension. Records that differ fail:
   vectors of two kinds would be two spaces in one commit.
3. Arrow files are memory-mapped, since a stored batch may be larger than memory. Truncating such a file during an
   ingest crashes the process; replacing it by a rename is safe.
"""

from __future__ import annotations

import codecs
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, islice
from pathlib import PurePath
from typing import Any, Final

import numpy as np

from vecver.digest import canonical_json, digest, text_key
from vecver.errors import InvalidInputError, say
from vecver.model import Failure, Original, Vectors
from vecver.pipeline.sources.fields import Unusable, added_row, metadata_of, vector_of
from vecver.pipeline.sources.origin import check_id, shown

Rows = Iterable[tuple[int, Any]]  # number from 1, and the value there: a mapping, if it is valid

_ALWAYS: Final = frozenset({".jsonl", ".ndjson", ".parquet", ".arrow", ".feather", ".ipc"})
_DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
_HEAD: Final = 100  # records at the head of a source: if all are malformed, the source is refused
_BATCH_ROWS: Final = 8192  # 12 MB of vectors at 384 dimensions


# -- the door -----------------------------------------------------------------------------------


def may_hold_records(path: str) -> bool:
    """Whether a file passed as a source could hold records, by its suffix alone."""
    return PurePath(path).suffix.lower() in _ALWAYS | _DELIMITERS.keys()


def is_records(path: str) -> bool:
    """Whether a file passed as a source holds records: by its suffix, and for CSV by its header.

    Raises InvalidInputError (`unreadable`: a CSV file cannot be opened).
    """
    suffix = PurePath(path).suffix.lower()
    if suffix in _DELIMITERS:
        header = set(_header(path, _DELIMITERS[suffix]))
        return "text" in header and not header.isdisjoint({"id", "_id"})
    return suffix in _ALWAYS


def read_file(path: str, *, label: str, prefix: str = "", added: bool = False) -> Iterator[Original | Failure]:
    """The records of a JSONL, CSV, TSV, Parquet or Arrow file, by its suffix (JSONL for other suffixes and for "-").

    One batch of rows is in memory at a time. With `added`, rows pass through `fields.added_row` and ids may repeat.

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
    return _checked_head(_originals(_translated(rows, label), unit, label, prefix, added=added), label)


def file_rows(path: str) -> int | None:
    """The rows of a Parquet file or the lines of a JSONL file; None for other formats and for a broken file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    suffix = PurePath(path).suffix.lower()
    with suppress(OSError, pa.ArrowException):
        if suffix == ".parquet":
            return int(pq.read_metadata(path).num_rows)
        if suffix in (".jsonl", ".ndjson"):
            return sum(1 for _ in _lines(path))
    return None


def read_values(values: Any, *, label: str, prefix: str = "", added: bool = False) -> Iterator[Original | Failure]:
    """The records of a table or reader (anything with Arrow's stream interface), or an iterable of dicts or batches.

    `added`: as `read_file`. Raises
        InvalidInputError: `not_records`, `duplicate_document`.
    """
    import pyarrow as pa

    unit = "record"
    if hasattr(values, "__arrow_c_stream__"):
        unit, values = "row", pa.RecordBatchReader.from_stream(values)
    elif isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise _not_records(label, f"it is one {type(values).__name__}")
    return _checked_head(_originals(_table_rows(values), unit, label, prefix, added=added), label)


# -- from rows to originals ---------------------------------------------------------------------


def _originals(rows: Rows, unit: str, label: str, prefix: str, *, added: bool) -> Iterator[Original | Failure]:
    """One result a row. To find repeated ids it holds 16 bytes and a number of each id, nothing else."""
    seen: dict[bytes, int] = {}
    width: int | None = None
    for number, value in rows:
        document = unknown = f"{label}:{number}"
        try:
            value = added_row(value) if added else value
            document = _document(value, prefix)
            first = seen.setdefault(text_key(document), number)
            if first != number and not added:
                raise InvalidInputError(
                    f"{label} holds the document {document!r} twice: {unit} {first} and {unit} {number}.",
                    code="duplicate_document",
                    hint="Give every record an id of its own.",
                    document=document,
                )
            original = _original(document, value, label)
            width = _same_width(width, original.vector)
            yield original
        except Unusable as problem:
            reason = f"{unit.capitalize()} {number} {problem.reason}."
            yield Failure(document, problem.code, reason, hides=document == unknown)  # it may be any document
        except RecursionError:
            reason = f"{unit.capitalize()} {number} is nested too deep."
            yield Failure(document, "malformed", reason, hides=document == unknown)


def _document(value: Any, prefix: str) -> str:
    if isinstance(value, Unusable):
        raise value
    if not isinstance(value, Mapping):
        raise Unusable("malformed", f"is no object but a {type(value).__name__}")
    if "id" not in value and "_id" not in value:
        raise Unusable("malformed", f"has no field 'id' but {list(value)[:8]}")
    record_id = value["id"] if "id" in value else value["_id"]
    if isinstance(record_id, int | np.integer) and not isinstance(record_id, bool):
        record_id = str(record_id)
    if not isinstance(record_id, str):
        raise Unusable("invalid_id", "has an id that is neither a string nor an integer")
    if reason := check_id(record_id) or (check_id(prefix + record_id) if prefix else None):
        raise Unusable("invalid_id", f"cannot be named {shown(record_id)!r}: {reason}")
    return prefix + record_id


def _original(document: str, fields: Mapping[str, Any], label: str) -> Original:
    if "text" not in fields:
        raise Unusable("malformed", f"has no field 'text' but {list(fields)[:8]}")
    text, title = fields["text"], fields.get("title")
    title = "" if title is None else title
    if text is None:
        raise Unusable("no_text", "has null for its text")
    if not isinstance(text, str) or not isinstance(title, str):
        raise Unusable("malformed", "has a text or a title that is not a string")
    metadata, vector = metadata_of(fields), vector_of(fields.get("vector"))
    canonical = canonical_json({"id": document, "text": text, "title": title, "metadata": metadata})
    try:
        canonical.decode()
    except UnicodeDecodeError:
        raise Unusable("malformed", "holds half of a surrogate pair, which is no character") from None
    return Original(document, label, digest(canonical), None, text, title, metadata, vector)


def _same_width(width: int | None, vector: Vectors | None) -> int:
    """The dimension of a source's vectors, 0 if it brings none."""
    vector_width = 0 if vector is None else len(vector)
    if width is None or width == vector_width:
        return vector_width
    descriptions = [f"a vector of {n} dimensions" if n else "no vector" for n in (vector_width, width)]
    raise Unusable("invalid_vector", f"has {descriptions[0]}, but the first record has {descriptions[1]}")


def _checked_head(results: Iterator[Original | Failure], label: str) -> Iterator[Original | Failure]:
    head = list(islice(results, _HEAD))
    reasons = [result.reason for result in head if isinstance(result, Failure) and result.code == "malformed"]
    if head and len(reasons) == len(head):
        raise _not_records(label, reasons[0][0].lower() + reasons[0][1:])
    yield from chain(head, results)


def _translated(rows: Rows, label: str) -> Rows:
    """The rows of a file, with the libraries' errors translated to InvalidInputError."""
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
        hint=say(
            "A record has the fields 'id' and 'text'. To ingest a file as one document: records=False.",
            cli="a record has the fields 'id' and 'text'; to ingest the file as one document: --no-records",
        ),
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
        return Unusable("malformed", f"is no JSON ({error})")


def _header(path: str, delimiter: str) -> list[str]:
    """The first line's column names; bytes further down that are not UTF-8 do not change what the file is."""
    try:
        with open(path, "rb") as file:
            line = file.readline(1 << 20).decode("utf-8-sig")
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError:
        return []
    return [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]


def _csv_rows(path: str, delimiter: str) -> Rows:
    """Rows numbered by their first line. Strict, since in a lax reader one open quote swallows the following rows."""
    csv.field_size_limit(2**31 - 1)  # set for the process; the default, 131,072, is less than one long text
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
                yield number, Unusable("malformed", f"is no CSV ({error})")
                continue
            if cells:
                yield number, _csv_record(header, cells)


def _csv_record(header: list[str], cells: list[str]) -> Any:
    if len(cells) != len(header):
        return Unusable("malformed", f"has {len(cells)} cells, but the header has {len(header)}")
    return {name: cell for name, cell in zip(header, cells, strict=True) if cell or name in ("id", "_id", "text")}


# -- rows of tables -----------------------------------------------------------------------------


def _parquet_batches(path: str) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False) as file:  # pre-buffering keeps whole row groups in memory
        yield from file.iter_batches(batch_size=_BATCH_ROWS)


def _arrow_batches(path: str) -> Iterator[Any]:
    """The batches of an IPC file (which includes Feather 2) or an IPC stream."""
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
    """The rows of batches. A value that is not a batch is already a row."""
    import pyarrow as pa

    rows = (_batch_rows(value) if isinstance(value, pa.RecordBatch) else (value,) for value in values)
    return enumerate(chain.from_iterable(rows), 1)


def _batch_rows(batch: Any) -> Iterator[dict[str, Any]]:
    """A batch's rows as dicts; vectors are views of one float32 array for each 8,192 rows."""
    import pyarrow as pa

    for start in range(0, batch.num_rows, _BATCH_ROWS):
        part = batch.slice(start, _BATCH_ROWS)
        columns = dict(zip(part.schema.names, map(_in_microseconds, part.columns), strict=True))
        views = _row_views(columns["vector"]) if "vector" in columns else None
        if views is not None:
            columns["vector"] = pa.nulls(len(part))
        rows = pa.RecordBatch.from_pydict(columns).to_pylist()
        for row, view in zip(rows, views or (), strict=False):
            row["vector"] = view
        yield from rows


def _row_views(column: Any) -> list[Vectors | None] | None:
    """Each row's vector, a view of the column's values as float32; `None` if the column holds no lists of numbers."""
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


def _in_microseconds(column: Any) -> Any:
    """`column` with nanoseconds cut to microseconds, the resolution of Python's datetime."""
    import pyarrow as pa

    kind = column.type
    if getattr(kind, "unit", None) != "ns":
        return column
    zone = pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) else None
    return column.cast(zone or (pa.time64("us") if pa.types.is_time(kind) else pa.duration("us")), safe=False)
