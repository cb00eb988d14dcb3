"""Turns liteparse's view of one page into Markdown pieces in reading order: paragraphs, headings, tables, turned lines.

The layout is liteparse's, with four repairs: a table torn into columns gets its rows back, a word broken at a line end
is joined, a sentence cut between two columns continues, and words that the layout lost are put in.

Decisions
1. A broken word loses its hyphen only on evidence: the document has it in one piece elsewhere, or one of its halves is
   a syllable and no word ("informa-tion"). Otherwise the hyphen stays: "high-dimensional" may look odd, but
   "highdimensional" would match no search.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from vecver.pipeline.parsers.coverage import words
from vecver.pipeline.parsers.pdf.tables import (
    Cell,
    Item,
    Sheet,
    beside_prose,
    grid_of,
    lines_of,
    owners_of,
    table,
    tables_of,
)

if TYPE_CHECKING:
    from liteparse import LayoutBlock

LOOK_AHEAD: Final = 80  # items after a broken word among which its second half is searched
SAME_LINE: Final = 4.0  # points between the middles of two words in a slanted line at most
COLUMN_ENDS: Final = 20  # broken words of a page whose second half is searched in the next column

_BROKEN: Final = re.compile(r"([^\W\d_](?:[\w-]*\w)?)[-\u2010\u00ad]\s*\Z")
_FIRST: Final = re.compile(r"[^\W\d_][\w-]*+")
_TOKEN: Final = re.compile(r"\w[\w-]*+")
_NO_END: Final = re.compile(r"[\w,-]\Z")
_SYLLABLES: Final = re.compile(  # second halves that are no words
    r"(?:(?:[mzlcdfgpvkb]|[a-z]?i[zf]|ul|fic|liz)?a)?[st]ions?|[st]ional(?:ly)?|[a-z]?ment(?:s|al|ally)?"
    r"|[bcdfgklmnprstvz]{0,2}ing|[bcdfgklmnprstvz]?[ae]nces?|[bcdfgklmnprstvz]?[ai]bly|[bcdfgklmnprstvz]ible|ously"
    r"|t?ively|tives?|tors?|tures?|tured|ical(?:ly)?|[a-z]?ity|[a-z]ities|ness(?:es)?|plete(?:ly|d)?|trolled|troller"
    r"|[bdt]ers?|lar|lat(?:ed|ing)|ular|cal(?:ly)?|t?ary|tory|eral|nal|ated|iz(?:es?|ed|ation)",
)
_PREFIXES: Final = frozenset(["con", "com", "dis", "ob", "ac", "af", "ef", "im", "ir"])


@dataclass(frozen=True)
class Piece:
    """A block of a page as Markdown."""

    kind: str  # "heading", "table", "turned" or one of liteparse's
    text: str
    top: float = 0.0  # points from the top of the page
    height: float = 0.0
    level: int = 0  # of a heading

    @property
    def markdown(self) -> str:
        return f"{'#' * self.level} {self.text}" if self.kind == "heading" else self.text


@dataclass(frozen=True)
class Break:
    """A word broken at a line end: `first` ends one item, `second` begins another."""

    at: int
    after: int
    first: str
    second: str


def pieces_of(sheet: Sheet, breaks: Sequence[Break], vocabulary: Counter[str]) -> list[Piece]:
    """The page's pieces in this direction, with all words of its items."""
    kept = {f"{word_break.first}{word_break.second}": whole(word_break, vocabulary) for word_break in breaks}
    kept |= {f"{word_break.first}-{word_break.second}": whole(word_break, vocabulary) for word_break in breaks}
    pieces = _with_rows(sheet)
    if kept:
        pieces = [replace(piece, text=_TOKEN.sub(lambda m: kept.get(m[0], m[0]), piece.text)) for piece in pieces]
    pieces = list(_continued(pieces, kept))
    return pieces + lost(view_of(sheet, breaks, vocabulary), pieces)


def view_of(sheet: Sheet, breaks: Sequence[Break], vocabulary: Counter[str]) -> list[str]:
    """The items' texts with broken words joined."""
    texts = [item.text for item in sheet.items]
    for word_break in breaks:
        first, second = texts[word_break.at].rstrip(), texts[word_break.after]
        if not first.endswith(word_break.first, 0, len(first) - 1) or not second.lstrip().startswith(word_break.second):
            continue  # the item is part of two broken words, and the other was joined already
        texts[word_break.at] = first[: len(first) - 1 - len(word_break.first)] + whole(word_break, vocabulary)
        texts[word_break.after] = second.lstrip()[len(word_break.second) :]
    return texts


# -- broken words ------------------------------------------------------------------------------


def breaks_of(items: Sequence[Item]) -> list[Break]:
    """The words broken at line ends, in order; the second half begins the next line or a column."""
    ends = {n: match[1] for n, item in enumerate(items) if (match := _broken(item.text))}
    if not ends:
        return []
    order = sorted(range(len(items)), key=lambda n: items[n].y)
    place = {n: at for at, n in enumerate(order)}
    breaks, open_ends = [], 0
    for n, first in ends.items():
        after = _below(items, n, order[place[n] + 1 : place[n] + 1 + LOOK_AHEAD])
        if after is None and open_ends < COLUMN_ENDS:
            open_ends += 1
            right = items[n].x + items[n].width
            after = next((m for m in order if items[m].x > right and m != n), None)
        begins = None if after is None else _FIRST.match(items[after].text.lstrip())
        if after is not None and begins and begins[0][0].islower():
            breaks.append(Break(n, after, first, begins[0].rstrip("-")))
    return breaks


def _broken(text: str) -> re.Match[str] | None:
    if not text.rstrip().endswith(("-", "\u2010", "\u00ad")):
        return None
    return _BROKEN.search(text, max(0, len(text) - 60))


def _below(items: Sequence[Item], n: int, candidates: Iterable[int]) -> int | None:
    end = items[n]
    for m in candidates:
        item = items[m]
        below = item.y > end.y + 0.5 * end.height
        if below and item.x < end.x + end.width and end.x < item.x + item.width:
            return m if item.y < end.y + 3.5 * end.height else None
    return None


def vocabulary_of(texts: Iterable[str]) -> Counter[str]:
    """The unbroken words of a document, case-folded, with counts; "a-b" is one word."""
    return Counter(match[0].casefold() for text in texts for match in _TOKEN.finditer(text))


def whole(broken: Break, vocabulary: Counter[str]) -> str:
    """The joined word, with its hyphen unless there is evidence that it has none."""
    first, second = broken.first, broken.second
    hyphened, joined = f"{first}-{second}", f"{first}{second}"
    if vocabulary[hyphened.casefold()] > 0:
        return hyphened
    if vocabulary[joined.casefold()] > 0:
        return joined
    last = first.rpartition("-")[2].casefold()
    syllable = last in _PREFIXES or (_SYLLABLES.fullmatch(second) and vocabulary[second.casefold()] <= 0)
    return joined if syllable else hyphened


# -- blocks to pieces --------------------------------------------------------------------------


def _piece(block: LayoutBlock) -> Piece | None:
    top, height = (block.bbox.y, block.bbox.height) if block.bbox else (0.0, 0.0)
    text = (block.text or "").strip()
    if block.kind == "table":
        rows = [[cell.text for cell in row] for row in ([block.header] if block.header else []) + (block.rows or [])]
        return Piece("table", table(rows), top, height) if rows else None
    if block.kind in ("code", "grid_fallback"):
        lines = "\n".join(block.lines or [])
        return Piece("code", f"```\n{lines}\n```", top, height) if lines.strip() else None
    if not text:
        return None
    if block.kind == "heading":
        return Piece("heading", text, top, height, max(1, min(6, block.level or 1)))
    if block.kind == "list_item":
        marker = (block.marker or "-") if block.ordered else "-"
        return Piece("list_item", f"{'  ' * (block.level or 0)}{marker} {text}", top, height)
    return Piece("paragraph", text, top, height)


def _continued(pieces: Sequence[Piece], broken: dict[str, str]) -> Iterator[Piece]:
    """Join paragraphs that continue in the next column."""
    last: Piece | None = None
    for piece in pieces:
        goes_on = last and last.kind == piece.kind == "paragraph" and piece.top + piece.height < last.top + last.height
        if last and goes_on and _NO_END.search(last.text) and piece.text[:1].islower():
            last = replace(last, text=_joined(last.text, piece.text, broken), height=0.0)
            continue
        if last:
            yield last
        last = piece
    if last:
        yield last


def _joined(first: str, second: str, broken: dict[str, str]) -> str:
    end, begins = _broken(first), _FIRST.match(second)
    if end and begins and (joined_word := broken.get(f"{end[1]}{begins[0]}")):
        return f"{first[: end.start()]}{joined_word}{second[begins.end() :]}"
    return f"{first} {second}"


def lost(view: Sequence[str], pieces: Sequence[Piece]) -> list[Piece]:
    """A paragraph of the lines whose words the layout lost."""
    held = Counter(" ".join(piece.text for piece in pieces).split())
    missing = Counter(" ".join(view).split()) - held
    if not missing:
        return []
    spare = held - Counter(" ".join(view).split())
    folded = Counter(words(" ".join(missing.elements()))) - Counter(words(" ".join(spare.elements())))
    if not folded:
        return []
    written = " ".join(" ".join(piece.text for piece in pieces).split())
    lines = []
    for whole_ones in (False, True):  # first the lines that do not occur there literally
        for text in view:
            lacking = Counter(words(text)) & folded
            if lacking and (" ".join(text.split()) in written) == whole_ones:
                folded -= lacking
                lines.append(text.strip())
    return [Piece("paragraph", "\n".join(lines))] if lines else []


# -- rows --------------------------------------------------------------------------------------


def _with_rows(sheet: Sheet) -> list[Piece]:
    """liteparse's blocks; those that tear rows apart are replaced by tables."""
    if not any(block.kind != "table" for block in sheet.blocks):
        return [piece for block in sheet.blocks if (piece := _piece(block))]
    lines = lines_of(sheet.items)
    tables = list(beside_prose(sheet)) or list(tables_of(sheet, lines))
    if not tables:
        return [piece for block in sheet.blocks if (piece := _piece(block))]
    owner = owners_of(sheet)
    table_of = {n: number for number, rows in enumerate(tables) for row in rows for cell in row for n in cell.items}
    pieces: list[Piece] = []
    written: set[int] = set()
    members: dict[int, list[int]] = {}
    for n, block in owner.items():
        members.setdefault(block, []).append(n)
    for number, block in enumerate(sheet.blocks):
        inside = members.get(number, [])
        if not any(n in table_of for n in inside):
            piece = _piece(block)
            pieces += [piece] if piece else []
            continue
        pieces += _rebuilt(sheet, inside, table_of, tables, written)
    unwritten = [rows for number, rows in enumerate(tables) if number not in written]
    return pieces + [Piece("table", table(grid_of(rows))) for rows in unwritten]


def _rebuilt(
    sheet: Sheet,
    inside: Sequence[int],
    table_of: dict[int, int],
    tables: Sequence[Sequence[Sequence[Cell]]],
    written: set[int],
) -> Iterator[Piece]:
    """A block's lines in order; the lines of a table are replaced by the table, once."""
    run: list[str] = []
    top = 0.0
    for n in sorted(inside, key=lambda n: (round(sheet.items[n].y), sheet.items[n].x)):
        number = table_of.get(n)
        if number is None:
            top = top if run else sheet.items[n].y
            run.append(sheet.items[n].text.strip())
            continue
        if run:
            yield Piece("paragraph", " ".join(run), top)
            run = []
        if number not in written:
            written.add(number)
            rows = tables[number]
            yield Piece("table", table(grid_of(rows)), sheet.items[rows[0][0].items[0]].y)
    if run:
        yield Piece("paragraph", " ".join(run), top)


# -- turned lines ------------------------------------------------------------------------------


def direction(item: Item) -> int | None:
    """The item's rotation, clockwise: 0, 90, 180 or 270 degrees; None if it is slanted."""
    nearest = round(item.rotation / 90) * 90
    return nearest % 360 if abs(item.rotation - nearest) < 3 else None


def aslant(items: Sequence[Item]) -> list[str]:
    """The slanted lines, grouped by direction, each group from its top."""
    places = sorted((_place(item), n) for n, item in enumerate(items))
    lines: list[list[tuple[float, int]]] = []
    last = (0, 0.0)
    for (angle, down, along), n in places:
        if not lines or angle != last[0] or down - last[1] > SAME_LINE:
            lines.append([])
            last = (angle, down)
        lines[-1].append((along, n))
    return [" ".join(items[n].text.strip() for _, n in sorted(line)) for line in lines]


def _place(item: Item) -> tuple[int, float, float]:
    """The item's rotation in degrees, and its distance down and along in that direction."""
    angle = math.radians(item.rotation)
    x, y = item.x + item.width / 2, item.y + item.height / 2
    down, along = y * math.cos(angle) - x * math.sin(angle), x * math.cos(angle) + y * math.sin(angle)
    return round(item.rotation), down, along
