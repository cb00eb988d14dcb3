"""Reads AsciiDoc tables as rows of cells, whatever lines the cells stand on.

Decisions
1. A cell begins at a `|` and ends at the next, so its further lines, lists and blocks belong to it. The number of
   columns comes from `cols=` or, as in Asciidoctor, from the first line. If that line holds one cell and there is no
   `cols=`, the lines before the first blank line are one row, as many authors write it.
"""

from __future__ import annotations

import csv
import io
import re
from typing import Final

LARGEST_SPAN: Final = 100  # columns or copies that a cell may ask for

_DELIMITER: Final = re.compile(r"([|,:!])={3,}+\s*+$")
_CELL: Final = re.compile(
    r"(?<!\\)(?:(?:(?<=\s)|^)(?:(\d{1,3})?(?:\.(\d{1,3}))?([+*]))?+(?:[<^>](?:\.[<^>])?|\.[<^>])?[adehlmsv]?)?\|", re.M
)
_COLS: Final = re.compile(r"""cols\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^,\]]++))""")
_FORMAT: Final = re.compile(r"""(format|separator)\s*+=\s*+["']?([^\s"',\]]++|,)""")


def opens_table(line: str) -> bool:
    return _DELIMITER.match(line) is not None


def table_rows(delimiter: str, attributes: str, body: str) -> list[list[str]]:
    """The rows of the table between two lines `delimiter`; `attributes` is the `[...]` line before it, or ""."""
    options = {match[1]: match[2] for match in _FORMAT.finditer(attributes)}
    plain = {",": "csv", ":": "dsv"}.get(delimiter[0], options.get("format", "psv")).lower()
    if plain in ("csv", "tsv", "dsv"):
        separator = options.get("separator", {"csv": ",", "tsv": "\t", "dsv": ":"}[plain]).replace("\\t", "\t")
        return _separated(body, separator if len(separator) == 1 else ",")
    cells = _cells(body)
    width = _width(attributes) or _width_of_first_line(body)
    return _rows(cells, width)


def _separated(body: str, separator: str) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(body, newline=""), delimiter=separator, skipinitialspace=True))
    except csv.Error:
        return [line.split(separator) for line in body.split("\n")]


def _cells(body: str) -> list[tuple[str, int, int, int]]:
    """(text, columns, rows, copies) of each cell."""
    starts = list(_CELL.finditer(body))
    ends = [start.start() for start in starts[1:]] + [len(body)]
    if not starts:
        return [(line.strip(), 1, 1, 1) for line in body.split("\n") if line.strip()]
    before = body[: starts[0].start()].strip()
    cells = [(before, 1, 1, 1)] if before else []
    for start, end in zip(starts, ends, strict=True):
        text = body[start.end() : end].strip().replace("\\|", "|")
        across = min(int(start[1] or 1) or 1, LARGEST_SPAN)
        down = min(int(start[2] or 1) or 1, LARGEST_SPAN)
        cells.append((text, 1, 1, across) if start[3] == "*" else (text, across, down, 1))
    return cells


def _width(attributes: str) -> int:
    """The number of columns that `cols=` names; 0 where it is not there."""
    match = _COLS.search(attributes)
    if not match:
        return 0
    width = 0
    for column in re.split("[,;]", match[1] or match[2] or match[3] or ""):
        copies = re.match(r"\s*(\d{1,3})\*", column)
        width += min(int(copies[1]), LARGEST_SPAN) if copies else 1
    return width


def _width_of_first_line(body: str) -> int:
    lines = body.strip("\n").split("\n")
    first = sum(across * copies for _, across, _, copies in _cells(lines[0]))
    if first > 1:
        return first
    blank = next((n for n, line in enumerate(lines) if not line.strip()), len(lines))
    return max(1, len(_cells("\n".join(lines[:blank]))))


def _rows(cells: list[tuple[str, int, int, int]], width: int) -> list[list[str]]:
    """Cells in rows of `width` columns; a cell that spans several leaves the others empty."""
    rows: list[list[str]] = []
    row: list[str] = []
    taken: dict[int, int] = {}  # column -> rows that a cell from above still takes
    for text, across, down, copies in cells:
        for _ in range(copies):
            row = _filled(row, width, taken)
            if len(row) >= width:
                rows.append(row)
                row = _filled([], width, taken)
            if down > 1:
                for column in range(len(row), min(width, len(row) + across)):
                    taken[column] = down - 1
            row += [text, *[""] * (across - 1)]
    return [*rows, row] if row else rows


def _filled(row: list[str], width: int, taken: dict[int, int]) -> list[str]:
    """The row with an empty cell in each next column that a cell from above takes."""
    while len(row) < width and taken.get(len(row), 0):
        taken[len(row)] -= 1
        row.append("")
    return row
