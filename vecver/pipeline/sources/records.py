"""Reads records from files and from memory. A record brings its id and text, and may bring a vector.

A record is an object with `id` (or `_id`) and `text`. `title` and `vector` are optional, and every other field becomes
metadata. A record that cannot be used yields a `Failure` under its id, or under `LABEL:NUMBER` if it has no id.

Decisions
1. If the first 100 records of a source are all malformed (not JSON, not an object, no `id`, no `text`), the source
   does not hold records. That is one `InvalidInputError` instead of a million failures.
2. The first usable record sets whether the source brings vectors, and their dimension. Records that differ fail:
   vectors of two kinds would be two spaces in one commit.
3. Up to FEW rows are read one by one: importing `pyarrow.compute` takes 0.03 s.
"""

from __future__ import annotations

import codecs
import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from vecver.digest import canonical_json, digest, text_key
from vecver.errors import InvalidInputError, say
from vecver.key_log import KeyLog
from vecver.model import Failure, Original, Records, Vectors
from vecver.pipeline.sources.fields import Unusable, added_row, metadata_of, vector_of
from vecver.pipeline.sources.ids import check_id, shown

if TYPE_CHECKING:
    from vecver.pipeline.sources.record_blocks import Block, Rows

T = TypeVar("T")
Item = Original | Failure | Records

_ALWAYS: Final = frozenset({".jsonl", ".ndjson", ".parquet", ".arrow", ".feather", ".ipc"})
_DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
_HEAD: Final = 100  # records at the head of a source: if all are malformed, the source is refused
FEW: Final = 64  # rows that are read one by one rather than halved again


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


def read_file(path: str, *, label: str, prefix: str = "", added: bool = False) -> Iterator[Item]:
    """The records of a JSONL, CSV, TSV, Parquet or Arrow file, by its suffix (JSONL for other suffixes and for "-").

    One batch of rows is in memory at a time. Where all rows of a block are usable, they come together as `Records`.
    With `added`, rows pass through `fields.added_row` and ids may repeat.

    Raises
        InvalidInputError: `not_records`, `unreadable` (the file), `duplicate_document`.
    """
    from vecver.pipeline.sources.record_blocks import arrow_batches, blocks_of, blocks_of_rows, parquet_batches

    suffix = PurePath(path).suffix.lower()
    if suffix == ".parquet":
        unit, blocks = "row", blocks_of(parquet_batches(path))
    elif suffix in (".arrow", ".feather", ".ipc"):
        unit, blocks = "row", blocks_of(arrow_batches(path))
    elif suffix in _DELIMITERS:
        unit, blocks = "line", blocks_of_rows(_csv_rows(path, _DELIMITERS[suffix]))
    else:
        unit, blocks = "line", blocks_of_rows(_json_rows(_lines(path)))
    translated = partial(_translated, label=label)
    return _checked_head(_Reading(unit, label, prefix, added, translated).items(translated(blocks)), label)


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


def read_values(values: Any, *, label: str, prefix: str = "", added: bool = False) -> Iterator[Item]:
    """The records of a table or reader (anything with Arrow's stream interface), or an iterable of dicts or batches.

    `added`: as `read_file`. Raises
        InvalidInputError: `not_records`, `duplicate_document`.
    """
    import pyarrow as pa

    from vecver.pipeline.sources.record_blocks import blocks_of

    unit = "record"
    if hasattr(values, "__arrow_c_stream__"):
        unit, values = "row", pa.RecordBatchReader.from_stream(values)
    elif isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise _not_records(label, f"it is one {type(values).__name__}")
    return _checked_head(_Reading(unit, label, prefix, added).items(blocks_of(values)), label)


# -- from rows to originals ---------------------------------------------------------------------


@dataclass
class _Reading:
    """One pass over a source. To find repeated ids it holds 32 bytes of each id, nothing else."""

    unit: str  # what a row is called in messages
    label: str
    prefix: str
    added: bool
    translated: Callable[[Rows], Rows] = iter  # adds the translation of a library's errors
    seen: KeyLog = field(default_factory=KeyLog)
    width: int | None = None  # the dimension of the vectors, 0 for none; None before the first usable record

    def items(self, blocks: Iterable[Block]) -> Iterator[Item]:
        """The records of each block as columns; one result a row where a row needs a closer look.

        A block that holds such a row is halved, so that the rows around it stay in columns.
        """
        for block in blocks:
            if len(block) <= FEW:
                yield from self._one_by_one(block)
            elif records := self._columns(block):
                yield records
            else:
                yield from self.items(block.halves())

    def _columns(self, block: Block) -> Records | None:
        """The records of a block, if all of them are usable and their ids are new."""
        from vecver.pipeline.sources.record_columns import records_of

        records = records_of(block.values, self.label, self.prefix, added=self.added)
        if records is None or self.width not in (None, records.dim) or (self.seen.numbers_of(records.keys) >= 0).any():
            return None
        self.seen.add_all(records.keys, np.asarray(block.numbers, np.int64))
        self.width = records.dim
        return records

    def _one_by_one(self, block: Block) -> Iterator[Original | Failure]:
        unit, label = self.unit, self.label
        for number, value in self.translated(block.rows()):
            document = unknown = f"{label}:{number}"
            try:
                value = added_row(value) if self.added else value
                document = _document(value, self.prefix)
                first = self.seen.add(text_key(document), number)
                if first != number and not self.added:
                    raise _twice(label, document, f"{unit} {first} and {unit} {number}")
                original = _original(document, value, label)
                self.width = _same_width(self.width, original.vector)
                yield original
            except Unusable as problem:
                reason = f"{unit.capitalize()} {number} {problem.reason}."
                yield Failure(document, problem.code, reason, hides=document == unknown)  # it may be any document
            except RecursionError:
                reason = f"{unit.capitalize()} {number} is nested too deep."
                yield Failure(document, "malformed", reason, hides=document == unknown)


def _twice(label: str, document: str, rows: str) -> InvalidInputError:
    return InvalidInputError(
        f"{label} holds the document {document!r} twice: {rows}.",
        code="duplicate_document",
        hint="Give every record an id of its own.",
        document=document,
    )


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


def _checked_head(results: Iterator[Item], label: str) -> Iterator[Item]:
    head: list[Item] = []
    for result in islice(results, _HEAD):
        head.append(result)
        if not (isinstance(result, Failure) and result.code == "malformed"):
            break
    else:
        if head:
            reason = next(result.reason for result in head if isinstance(result, Failure))
            raise _not_records(label, reason[0].lower() + reason[1:])
    yield from chain(head, results)


def _translated(rows: Iterable[T], label: str) -> Iterator[T]:
    """What is read of a file, with the libraries' errors translated to InvalidInputError."""
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
