"""Reads the tables of reStructuredText (grid, simple, `list-table`, `csv-table`) as rows of cells.

Decisions
1. Cells are cut at the columns that the borders mark. A cell that spans columns leaves the others empty. Of a cell that
   spans rows, each row gets the lines beside it, so no text is lost or repeated.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from typing import Final

_GRID: Final = re.compile(r"\s*+\+(?:[-=]{2,}+\+)++\s*+$")
_SIMPLE: Final = re.compile(r"\s*+=++(?:[ ]++=++)++\s*+$")
_RULE: Final = re.compile(r"[-=+|\s]++$")
_SPAN_RULE: Final = re.compile(r"\s*+-[- ]*+$")
_ROW: Final = re.compile(r"[*+-]\s++([*+-])(?:\s++(.*))?$")
_FILLER: Final = "\0"  # takes the second column of a wide character

Rows = list[list[str]]


def grid_table(lines: Sequence[str], i: int) -> tuple[Rows, int] | None:
    """(rows, the line after) of the grid table that begins at line i; None if none does."""
    if not _GRID.match(lines[i]):
        return None
    margin = len(lines[i]) - len(lines[i].lstrip())
    after = i
    while after < len(lines) and lines[after][margin : margin + 1] in ("+", "|") and not lines[after][:margin].strip():
        after += 1
    block = [_widened(line) for line in lines[i:after]]
    if len(block) < 3:
        return None
    bounds = sorted({at for line in block if _GRID.match(line) for at, char in enumerate(line) if char == "+"})
    rows: Rows = []
    row: dict[int, list[str]] = {}
    for line in block:
        cells = _between(line, bounds)
        if any(_is_rule(text) for text in cells.values()):  # at least one cell ends here
            rows.append(_row(row))
            row = {}
        for column, text in cells.items():
            if not _is_rule(text):
                row.setdefault(column, []).append(text)
    return [*rows, _row(row)], after


def _between(line: str, bounds: list[int]) -> dict[int, str]:
    """The texts between the bounds that a line marks, by starting column."""
    cells: dict[int, str] = {}
    if line[bounds[-1] : bounds[-1] + 1] not in ("|", "+") and line.count("|") == len(bounds):  # badly drawn
        return dict(enumerate(line.strip().strip("|").split("|")))
    start = 0
    for column in range(1, len(bounds)):
        if bounds[column] >= len(line):
            break
        if line[bounds[column]] in "|+":
            cells[start] = line[bounds[start] + 1 : bounds[column]]
            start = column
    last_cell = line[bounds[start] + 1 :] if start < len(bounds) - 1 or len(line.rstrip()) > bounds[-1] + 1 else ""
    if last_cell.strip():
        cells[start] = last_cell
    return cells


def _is_rule(text: str) -> bool:
    return len(text) > 1 and text[0] in "-=" and _RULE.match(text) is not None and not text.strip("-=+")


def _row(cells: dict[int, list[str]]) -> list[str]:
    width = max((column for column, texts in cells.items() if any(text.strip() for text in texts)), default=-1) + 1
    return [" ".join(" ".join(cells.get(column, ())).replace(_FILLER, "").split()) for column in range(width)]


def opens_simple_table(line: str) -> bool:
    """Whether a line is a border `====  ====` of a simple table."""
    return _SIMPLE.match(line) is not None


def closes_simple_table(lines: Sequence[str], i: int) -> bool:
    return opens_simple_table(lines[i]) and (i + 1 == len(lines) or not lines[i + 1].strip())


def simple_table(lines: Sequence[str], i: int) -> tuple[Rows, int] | None:
    """(rows, the line after) of the simple table that begins at line i; None where it does not end."""
    after = next((n for n in range(i + 1, len(lines)) if closes_simple_table(lines, n)), 0)
    if not after:
        return None
    starts = [match.start() for match in re.finditer("=+", lines[i])]
    rows: list[dict[int, list[str]]] = []
    for line in lines[i + 1 : after]:
        if not line.strip() or opens_simple_table(line) or _SPAN_RULE.match(line):
            continue
        cells = _columns(_widened(line), starts)
        if rows and not cells.get(0, "").strip():  # an empty first cell: the line continues the row above
            for column, text in cells.items():
                rows[-1].setdefault(column, []).append(text)
        else:
            rows.append({column: [text] for column, text in cells.items()})
    return [["" if cell == "\\" else cell for cell in _row(row)] for row in rows], after + 1


def _columns(line: str, starts: list[int]) -> dict[int, str]:
    """The texts of a line by starting column; a text continues over a gap that is not blank."""
    cells: dict[int, str] = {}
    begin = 0
    for column in range(1, len(starts)):
        if starts[column] >= len(line):
            break
        if line[starts[column] - 1] == " ":
            cells[begin] = line[starts[begin] : starts[column]]
            begin = column
    cells[begin] = line[starts[begin] :] if begin else line
    return cells if begin else {0: line}


def _widened(line: str) -> str:
    """The line with a filler after each character that takes two columns."""
    if line.isascii():
        return line
    return "".join(char + _FILLER if unicodedata.east_asian_width(char) in "WF" else char for char in line)


def list_table(body: str) -> Rows:
    """The rows of a `list-table`: items of items."""
    rows: list[list[list[str]]] = []
    depth = 0
    for line in body.split("\n"):
        if begun := _ROW.match(line):
            depth = begun.start(1)
            rows.append([[begun[2] or ""]])
        elif rows and line[:depth].isspace() and line[depth : depth + 2].rstrip() in ("-", "*", "+"):
            rows[-1].append([line[depth + 2 :]])
        elif rows:
            rows[-1][-1].append(line)
        elif line.strip():
            rows.append([[line]])
            depth = 0
    return [[" ".join(" ".join(cell).split()) for cell in row] for row in rows]


def csv_table(header: str, body: str, delimiter: str) -> Rows:
    """The rows of a `csv-table`."""
    text = f"{header}\n{body}" if header else body
    separator = {"tab": "\t", "space": " "}.get(delimiter, delimiter or ",")
    separator = separator if len(separator) == 1 and separator not in '"\n\r' else ","
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True))
    except csv.Error:
        return [line.split(separator) for line in text.split("\n")]
