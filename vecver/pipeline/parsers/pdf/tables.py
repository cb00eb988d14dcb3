"""Rebuilds table rows from the positions of words on a page, where liteparse tears a table into columns.

Decisions
1. A table of liteparse's is rebuilt if a line of prose close to it became a cell of its last row.
2. Lines become rows if at least two neighbouring lines have cells in the same columns, and the cells are short (`SHORT`
   words) or one column holds numbers; prose in columns has long lines. liteparse's headings and long tables are good,
   so its layout is kept for the rest of the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from liteparse import LayoutBlock

SHORT: Final = 2.5  # mean words a cell at most, in a table without numbers
LONGER: Final = 5.0  # the same if a column holds numbers
PROSE: Final = 6  # words of a gapless line above which it is prose if it spans two columns
LONGEST_CELL: Final = 3  # words in a cell of a table beside prose at most
MOST_BESIDE: Final = 20  # tables beside prose on a page at most
MOST_BLOCKS: Final = 400  # blocks of a page whose items are assigned; without a limit this is quadratic

_NUMBER: Final = re.compile(r"[-+(]?[$\u20ac\u00a3\u00a5]?\s?\d[\d.,:/ %-]*\)?(?: ?[A-Za-z\u20ac$%\u00b0]{1,4})?")


class Item(NamedTuple):
    """A stretch of text on one line, in points from the page's top left corner."""

    text: str
    x: float
    y: float
    width: float
    height: float
    rotation: float  # degrees, clockwise


@dataclass(frozen=True)
class Sheet:
    """The text of a page in one direction: upright lines, with the blocks that liteparse made of them."""

    items: Sequence[Item]
    blocks: Sequence[LayoutBlock]


@dataclass(frozen=True)
class Cell:
    """Words of a line without a wide gap between them; `items` are indices of the sheet's items."""

    items: tuple[int, ...]
    left: float  # points from the page's left edge
    right: float
    text: str


Row = Sequence[Cell]


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; its first row is the header."""
    width = max(map(len, rows))
    lines = ["| " + " | ".join(_cell(cell) for cell in [*row, *[""] * (width - len(row))]) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * width, *lines[1:]])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("\\|", "|").replace("|", "\\|")


def owners_of(sheet: Sheet) -> dict[int, int]:
    """For each item, the smallest block that contains it."""
    boxes = sorted((b.bbox.width * b.bbox.height, n) for n, b in enumerate(sheet.blocks) if b.bbox)
    owner: dict[int, int] = {}
    for _, number in boxes[:MOST_BLOCKS]:
        box = sheet.blocks[number].bbox
        if box is None:
            continue
        for n, item in enumerate(sheet.items):
            x, y = item.x + item.width / 2, item.y + item.height / 2
            if n not in owner and box.x - 1 <= x <= box.x + box.width + 1 and box.y - 1 <= y <= box.y + box.height + 1:
                owner[n] = number
    return owner


def lines_of(items: Sequence[Item]) -> list[list[Cell]]:
    """The lines of a page from its top, each with the cells that wide gaps part."""
    order = sorted((n for n, item in enumerate(items) if item.text.strip()), key=lambda n: items[n].y + items[n].height)
    lines: list[list[int]] = []
    for n in order:
        last = lines[-1][0] if lines else None
        bottom = items[n].y + items[n].height
        if last is not None and bottom - items[last].y - items[last].height < 0.35 * items[n].height:
            lines[-1].append(n)
        else:
            lines.append([n])
    return [_cells(items, sorted(line, key=lambda n: items[n].x)) for line in lines]


def _cells(items: Sequence[Item], line: Sequence[int]) -> list[Cell]:
    cells: list[Cell] = []
    for n in line:
        item = items[n]
        last = cells[-1] if cells else None
        if last and item.x - last.right < 0.45 * item.height:
            right = max(last.right, item.x + item.width)
            cells[-1] = Cell((*last.items, n), last.left, right, f"{last.text} {item.text.strip()}")
        else:
            cells.append(Cell((n,), item.x, item.x + item.width, item.text.strip()))
    return cells


def tables_of(sheet: Sheet, lines: Sequence[list[Cell]]) -> Iterator[list[list[Cell]]]:
    """Runs of lines that are rows of a table, where liteparse saw none."""
    tables = [
        b.bbox
        for b in sheet.blocks
        if b.bbox
        and (
            b.kind in ("grid_fallback", "code")
            or (b.kind == "table" and not _holds_prose(sheet, b.bbox.y, b.bbox.y + b.bbox.height, lines))
        )
    ]
    run: list[list[Cell]] = []
    columns: list[tuple[float, float]] = []
    bottom = 0.0
    for line in [*lines, []]:
        item = sheet.items[line[0].items[0]] if line else None
        middle = item.y + item.height / 2 if item else 0.0
        fits = len(line) > 1 and not any(box.y <= middle <= box.y + box.height for box in tables)
        merged = _merged(columns, line) if fits else []
        near = item is not None and item.y - bottom < 2.2 * item.height
        if not run or not fits or not near or not _parts_cells(merged, run[0], line):
            if _is_table(run):
                yield run
            run, columns = ([line], _merged([], line)) if fits else ([], [])
        else:
            run.append(line)
            columns = merged
        bottom = item.y + item.height if item else 0.0


def beside_prose(sheet: Sheet) -> Iterator[list[list[Cell]]]:
    """Rows of tables beside a paragraph: its lines go on above and below them, or stand at other heights."""
    prose = [item for item in sheet.items if len(item.text.split()) > LONGEST_CELL]
    lefts = {round(item.x) for item in prose}
    places = [
        n
        for n, item in enumerate(sheet.items)
        if len(item.text.split()) <= LONGEST_CELL and round(item.x) not in lefts and item.text.strip()
    ]
    items = [sheet.items[n] for n in places]
    if len(prose) < 3 or len(items) < 4:
        return
    for rows in list(tables_of(Sheet(items, ()), lines_of(items)))[:MOST_BESIDE]:
        if _is_beside(prose, items, rows):
            yield [[replace(cell, items=tuple(places[n] for n in cell.items)) for cell in row] for row in rows]


def _is_beside(prose: Sequence[Item], items: Sequence[Item], rows: Sequence[Sequence[Cell]]) -> bool:
    left, right = min(row[0].left for row in rows), max(row[-1].right for row in rows)
    ends = [items[row[0].items[0]].y + items[row[0].items[0]].height for row in rows]
    height = items[rows[0][0].items[0]].height
    near = sorted(
        (item.y + item.height, item.x, item.x + item.width)
        for item in prose
        if ends[0] - 2.5 * height <= item.y + item.height <= ends[-1] + 2.5 * height
    )
    if len(near) < 3 or any(start < right and left < end for _, start, end in near):
        return False
    gaps = [after[0] - before[0] for before, after in pairwise(near)]
    if max(gaps) > 1.1 * min(gaps):
        return False
    if near[0][0] < ends[0] - 0.5 * height and near[-1][0] > ends[-1] + 0.5 * height:
        return True
    return any(all(abs(bottom - end) > 0.3 * height for bottom, _, _ in near) for end in ends)


def _holds_prose(sheet: Sheet, top: float, bottom: float, lines: Sequence[list[Cell]]) -> bool:
    """Whether liteparse put a line of prose into the first or last row of a table."""
    inside = []
    for line in lines:
        item = sheet.items[line[0].items[0]]
        if top <= item.y + item.height / 2 <= bottom:
            inside.append(line)
    if len(inside) < 3:
        return False
    prose = [
        n
        for n, beside in ((0, 1), (-1, -2))
        if len(inside[n]) == 1 < len(inside[beside]) and len(inside[n][0].text.split()) >= PROSE
        if inside[n][0].right > inside[beside][1].right
    ]
    rows = inside[1 if 0 in prose else 0 : -1 if -1 in prose else None]
    return bool(prose) and all(len(row) > 1 for row in rows) and _is_table(rows)


def _merged(columns: Sequence[tuple[float, float]], line: Sequence[Cell]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for left, right in sorted([*columns, *((cell.left, cell.right) for cell in line)]):
        if merged and left <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(right, merged[-1][1]))
        else:
            merged.append((left, right))
    return merged


def _parts_cells(columns: Sequence[tuple[float, float]], *rows: Sequence[Cell]) -> bool:
    """Whether the cells of each row lie in different columns."""
    if not 2 <= len(columns) <= 30:
        return False
    return all(len({_column(columns, cell) for cell in row}) == len(row) for row in rows)


def _column(columns: Sequence[tuple[float, float]], cell: Cell) -> int:
    return next((n for n, (left, right) in enumerate(columns) if left <= cell.left <= right), -1)


def grid_of(rows: Sequence[Sequence[Cell]]) -> list[list[str]]:
    columns: list[tuple[float, float]] = []
    for row in rows:
        columns = _merged(columns, row)
    grid = []
    for row in rows:
        cells = [""] * len(columns)
        for cell in row:
            at = _column(columns, cell)
            cells[at] = f"{cells[at]} {cell.text}".strip()
        grid.append(cells)
    return grid


def _is_table(rows: Sequence[Sequence[Cell]]) -> bool:
    if len(rows) < 2:
        return False
    grid = grid_of(rows)
    cells = [cell for row in grid for cell in row if cell]
    mean = sum(len(cell.split()) for cell in cells) / len(cells)
    if mean <= SHORT:
        return True
    numeric = max(sum(bool(_NUMBER.fullmatch(row[n])) for row in grid) for n in range(len(grid[0])))
    if mean <= LONGER and numeric >= 0.5 * len(rows):
        return True
    columns = [[row[n] for row in grid] for n in range(len(grid[0]))]
    *names, longest = sorted(columns, key=lambda column: sum(map(len, column)))
    short = all(cell and len(cell.split()) <= SHORT for column in names for cell in column)
    return short and not any(cell[:1].islower() for cell in longest)  # a comment beside each name
