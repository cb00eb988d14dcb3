"""Formats values for `repr` and notebooks: lines of at most 80 columns, and escaped HTML tables.

A text from a document is folded to one line, cut, and shown without control characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final
from unicodedata import combining, east_asian_width

COLUMNS: Final = 80
ROWS: Final = 10  # of a list that are shown
ROWS_HTML: Final = 50
_CELL: Final = 200  # characters of a text in a cell of a table in HTML
_HIDDEN: Final = "\ufffd"  # in place of characters that cannot be printed
_LOOKED_AT: Final = 4000  # characters of a text from which a line is made


def folded(text: str) -> str:
    """A text on one line: each run of white space as one space, what cannot be printed as U+FFFD."""
    line = " ".join(text[:_LOOKED_AT].split())
    return line if line.isprintable() else "".join(c if c.isprintable() else _HIDDEN for c in line)


def width_of(text: str) -> int:
    """The columns that a folded text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def clipped(text: str, columns: int) -> str:
    """A text on one line of at most `columns` columns; it ends with "…" if it was cut."""
    return cut(folded(text) + ("…" if len(text) > _LOOKED_AT else ""), columns)


def cut(line: str, columns: int) -> str:
    """At most `columns` columns of a line; it ends with "…" if it was cut."""
    if width_of(line) <= columns:
        return line
    kept, left = "", max(columns - 1, 0)
    for character in line:
        left -= width_of(character)
        if left < 0:
            break
        kept += character
    return f"{kept}…" if columns > 0 else ""


def padded(text: str, columns: int) -> str:
    """A text on one line of exactly `columns` columns."""
    line = clipped(text, columns)
    return line + " " * (columns - width_of(line))


def counted(number: int, name: str) -> str:
    """`1 chunk`, `1,200 chunks`."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def described(kind: str, what: str) -> str:
    """`<Kind text>` in at most 80 columns."""
    return f"<{kind} {clipped(what, COLUMNS - len(kind) - 3)}>"


def listed(head: str, lines: Sequence[str], total: int | None = None, *, more: bool = False) -> str:
    """A head and at most 10 lines below it, each of at most 80 columns, then how many are not shown.

    `total`: the number of lines; `more`: there are more than these, and their number is unknown.
    """
    shown = [cut(line, COLUMNS) for line in lines[:ROWS]]
    left = (len(lines) if total is None else total) - len(shown)
    rest = [f"  … and {left} more"] if left > 0 else ["  …"] if more else []
    return "\n".join([head, *shown, *rest])


def span_text(span: tuple[int, int]) -> str:
    """A span as `[0:120]`, or `[title]`."""
    return f"[{span[0]}:{span[1]}]" if span[1] else "[title]"


def place_text(page: int | None, sheet: str | None, line: int | None, headings: Sequence[str]) -> str:
    """Where a chunk stands in its document, such as `p. 3 · Heating > Pressure`; "" if unknown."""
    parts = (None if page is None else f"p. {page}", sheet, None if line is None else f"line {line}")
    return " · ".join(part for part in (*parts, " > ".join(headings)) if part)


def html_table(caption: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in which every text is escaped and cut."""
    from html import escape

    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>" for row in rows)
    return f"<table><caption>{_cell(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    from html import escape

    return "" if value is None else escape(clipped(str(value), _CELL))
