"""Cleans what a file says about itself (author, subject, date, tags) into metadata: typed and bounded, with notes.

Readers find the fields where their format keeps them. This module opens nothing: it turns their values into values
that a filter can compare and Milvus can hold.

Decisions
1. Values keep the type they have in the file, and two files may disagree: a field has a column for each type
   (`repo.rows.schema`), as with records. So `date: 2024` beside `date: soon` fails no ingest. A filter compares numbers
   with numbers and strings with strings.
2. A date field holds the day, even if the file has a time; the time goes to `FIELD_time`. Filters refuse to compare a
   day with a time in a zone, so one mail beside one note would make `date` useless.
3. A name that already has another meaning gets a "_": `page: 3` in a file becomes `page_`, since `page` is a chunk's
   page. A `title` equal to the document's title is left out.
4. Names that begin with "$" are left out, since filters read them as operators.
5. The bounds are far above what people write, and below the 65,536 bytes of metadata a row that Milvus holds.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from vecver.digest import canonical_json

REVISION: Final = "file-metadata 1"  # raise it when the same file gives other metadata: documents are then read again
MOST_FIELDS: Final = 64
LONGEST_NAME: Final = 100  # characters
LONGEST_TEXT: Final = 4_000  # characters; a longer one is cut
MOST_ITEMS: Final = 256  # of a list; a longer one is cut
MOST_VALUES: Final = 1_000  # in one field, however nested
DEEPEST: Final = 8
MOST_BYTES: Final = 32_000  # of all fields as JSON

_RESERVED: Final = frozenset(
    ("id", "_id", "text", "title", "vector", "page", "sheet", "line", "headings", "path", "folder")
)
_NAMED: Final = 5  # fields named in a note

Fields = Mapping[str, Any]
T = TypeVar("T")


class Unsound(str):
    """The reason why a field has no value; completes "left out: "."""

    __slots__ = ()


class _LeftOut(Exception):
    """This value cannot be kept; the message completes "left out: "."""


def attempted(read: Callable[[T], Fields], source: T) -> Fields:
    """The result of `read`. If it fails, a note says so, since a broken property must not cost the document."""
    try:
        return read(source)
    except Exception as error:
        return {"": Unsound(f"they could not be read ({type(error).__name__})")}


def cleaned(fields: Fields, title: str) -> tuple[dict[str, Any], list[str]]:
    """A document's metadata as JSON can hold it, and notes on what was left out or cut."""
    metadata: dict[str, Any] = {}
    left: dict[str, list[str]] = {}
    cut: list[str] = []
    size = 2
    for field, value in fields.items():
        if value is None or (field == "title" and _same(value, title)):
            continue
        try:
            name = _name(field)
            new = {key: item for key, item in _dated(name, _plain(value, cut, field)).items() if key not in metadata}
            more = len(canonical_json(new))
            if len(metadata) + len(new) > MOST_FIELDS:
                raise _LeftOut(f"there are more than {MOST_FIELDS}")
            if size + more > MOST_BYTES:
                raise _LeftOut(f"together they have more than {MOST_BYTES:,} bytes")
        except _LeftOut as reason:
            left.setdefault(str(reason), []).append(field)
        else:
            metadata |= new
            size += more
    return metadata, [*_notes(left), *_cut_notes(cut)]


def _notes(left: Mapping[str, list[str]]) -> list[str]:
    notes = []
    for reason, names in left.items():
        which = f" ({_listed(names)})" if any(names) else ""
        count = "Fields" if not all(names) else "A field" if len(names) == 1 else f"{len(names):,} fields"
        notes.append(f"{count} of its metadata{which} left out: {reason}.")
    return notes


def _cut_notes(cut: list[str]) -> list[str]:
    names = list(dict.fromkeys(cut))
    limits = f"{LONGEST_TEXT:,} characters and lists to {MOST_ITEMS} items"
    return [f"Long texts of its metadata ({_listed(names)}) were cut to {limits}."] if names else []


def _listed(names: list[str]) -> str:
    shown = [f"'{''.join(c if c.isprintable() else '?' for c in name[:40])}'" for name in names[:_NAMED]]
    return ", ".join(shown) + (" ..." if len(names) > _NAMED else "")


def _same(value: Any, title: str) -> bool:
    return not isinstance(value, Unsound) and " ".join(str(value).split()) in (title, "")


def _name(raw_name: str) -> str:
    name = _characters(raw_name).strip()
    if not name and raw_name == "":
        return name
    if not name or not name.isprintable():
        raise _LeftOut("the name holds what cannot be written")
    if name.startswith("$"):
        raise _LeftOut("a name may not begin with $, which filters take for an operator")
    if len(name) > LONGEST_NAME:
        raise _LeftOut(f"the name has more than {LONGEST_NAME} characters")
    return f"{name}_" if name in _RESERVED else name


def _dated(name: str, value: Any) -> dict[str, Any]:
    """The field; a moment becomes its day, and the moment itself under `NAME_time`."""
    if isinstance(value, datetime.datetime):
        return {name: value.date().isoformat(), f"{name}_time": value.isoformat()}
    return {name: value}


def _plain(value: Any, cut: list[str], name: str) -> Any:
    """`value` as JSON can hold it; a top-level moment stays a datetime."""
    if isinstance(value, datetime.datetime):
        return value
    return _json(value, [MOST_VALUES], DEEPEST, lambda: cut.append(name))


def _json(value: Any, budget: list[int], depth: int, cut: Callable[[], None]) -> Any:
    """`budget`: a one-item list with the number of values still allowed."""
    budget[0] -= 1
    if budget[0] < 0:
        raise _LeftOut(f"it has more than {MOST_VALUES:,} values")
    match value:
        case Unsound():
            raise _LeftOut(str(value))
        case str():
            text = _characters(value)
            if len(text) > LONGEST_TEXT:
                cut()
            return text[:LONGEST_TEXT]
        case bool() | None:
            return value
        case int():
            return value if -(2**63) <= value < 2**63 else _digits(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case datetime.date() | datetime.time():
            return value.isoformat()
    if depth == 0:
        raise _LeftOut(f"it is nested more than {DEEPEST} deep")
    if isinstance(value, list | tuple):
        if len(value) > MOST_ITEMS:
            cut()
        return [_json(item, budget, depth - 1, cut) for item in value[:MOST_ITEMS]]
    if isinstance(value, Mapping):
        return {_characters(str(key)): _json(item, budget, depth - 1, cut) for key, item in value.items()}
    raise _LeftOut(f"it is a {type(value).__name__}")


def _digits(number: int) -> str:
    """An integer beyond 64 bits as text."""
    if number.bit_length() > 4 * LONGEST_TEXT:
        raise _LeftOut("it is a number of thousands of digits")
    return str(number)


def _characters(text: str) -> str:
    """Text without lone surrogates and terminal control characters."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" or c.isspace() else "\ufffd" for c in text)


# -- shared by several formats -------------------------------------------------------------------


def keywords(text: str) -> list[str] | None:
    """Keywords as programs write them in one line."""
    items = [item.strip() for item in text.replace(";", ",").replace("\n", ",").split(",")]
    items = [item for item in items if item]
    return items or None


def people(text: str) -> str | list[str] | None:
    """Authors as Word joins them, by semicolons."""
    names = [name.strip() for name in text.split(";") if name.strip()]
    return None if not names else names[0] if len(names) == 1 else names


def moment(text: str) -> datetime.datetime | datetime.date | str | None:
    """An ISO 8601 day or time; any other text as it is."""
    text = text.strip()
    try:
        if len(text) == 10:
            return datetime.date.fromisoformat(text)
        return datetime.datetime.fromisoformat(text) if len(text) > 10 else text or None
    except ValueError:
        return text or None
