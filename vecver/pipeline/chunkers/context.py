"""Adds to each chunk its headings, table header, page, sheet and line, and puts context in front of the embedded text.

It moves no cut. Used from version 2 of the recipe on.

Decisions
1. A chunk's text has its own token limit, apart from its context, so that another title or heading moves no cut. The
   context is shortened to its share: headings between the outermost and the last are dropped first, from the outside
   in, then the outermost, then words from the end.
2. `headings` includes the headings that the chunk begins with, so that a filter on a section matches all of it. What is
   embedded does not repeat them. Definitions in source code work the same way.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any, Final

from vecver.model import Chunk, Parsed
from vecver.pipeline.chunkers.blocks import is_markdown
from vecver.pipeline.chunkers.normalise import normalise
from vecver.pipeline.chunkers.pieces import Row

CountAll = Callable[[Iterable[str]], dict[str, int]]

_MARKS: Final = re.compile(r"^ {0,3}(#{1,6})(?=\s|$)", re.MULTILINE)
_RULE: Final = re.compile(r"[ \t>]*[|+:]?(?=[ \t|+:=-]*-)(?=[ \t+:=-]*\|)[ \t|+:=-]+")
_HEADER_WITHIN: Final = 8  # lines of a table


def place(document: Parsed, title: str, row: Row, chunks: Sequence[Chunk]) -> list[Chunk]:
    """`chunks`, made of the pieces of `row`, with their headings, header, page, sheet and line.

    The first line of `title` is the document's title, which is not among the headings.
    """
    name = title.partition("\n")[0]
    placed: list[Chunk] = []
    path: list[tuple[int, str]] = []  # level and text of the current headings
    header, last = "", 0
    for chunk in chunks:
        first = last
        while last < len(row) and row[last].start < chunk.end:
            last += 1
        if not (row[first].kind == "rows" and row[first].inside):
            header = ""
        opening = _opening(row, first, last)
        _enter(path, row[first:opening], document.text)
        over = tuple(text for _, text in path) or _definitions(row[first:last])
        placed.append(replace(chunk, headings=over[1:] if over[:1] == (name,) else over, header=header))
        _enter(path, row[opening:last], document.text)
        header = _header_after(row[first:last], document.text) or header
    return _located(document, placed)


def _located(document: Parsed, chunks: list[Chunk]) -> list[Chunk]:
    """`chunks` with the page, sheet and line of their first character that is not white space."""
    begins = [chunk.start + len(chunk.text) - len(chunk.text.lstrip()) for chunk in chunks]
    pages = _marked(document, "page", begins)
    sheets = _marked(document, "sheet", begins)
    lines = _lines(document, begins)
    return [
        replace(chunk, page=page, sheet=sheet, line=line)
        for chunk, page, sheet, line in zip(chunks, pages, sheets, lines, strict=True)
    ]


def _marked(document: Parsed, field: str, places: list[int]) -> list[Any]:
    marks = [mark for mark in document.marks if mark.field == field]
    starts = [mark.start for mark in marks]
    before = [bisect_right(starts, at) for at in places]
    return [marks[n - 1].value if n else None for n in before]


def _lines(document: Parsed, places: list[int]) -> list[int] | list[None]:
    if is_markdown(document.media_type):
        return [None] * len(places)
    new = (document.text.count("\n", start, end) for start, end in pairwise([0, *places]))
    return list(accumulate(new, initial=1))[1:]


def _opening(row: Row, first: int, last: int) -> int:
    """The index of a chunk's first piece that is not a heading."""
    while first < last and row[first].kind == "heading":
        first += 1
    return first


def _definitions(pieces: Row) -> tuple[str, ...]:
    """The definitions around the first of `pieces` that has any."""
    return next((piece.names for piece in pieces if piece.names), ())


def _enter(path: list[tuple[int, str]], pieces: Row, text: str) -> None:
    """Add the headings among `pieces` to `path`; each replaces those of its level and deeper."""
    for piece in pieces:
        if piece.kind != "heading" or piece.inside:
            continue
        raw = text[piece.start : piece.end]
        marks = _MARKS.search(raw)
        level = len(marks[1]) if marks else 1 if raw.rstrip().endswith("=") else 2
        while path and path[-1][0] >= level:
            path.pop()
        path.append((level, piece.text.strip()))


def _header_after(pieces: Row, text: str) -> str:
    """The header row of the table that `pieces` end in, if it begins among them, otherwise ""."""
    begins = [piece.start for piece in pieces if piece.kind == "rows" and not piece.inside]
    return _header_row(text[begins[-1] : pieces[-1].end]) if begins and pieces[-1].kind == "rows" else ""


def _header_row(table: str) -> str:
    """The row above the rule of a Markdown table, unchanged; "" without a rule."""
    lines = table.lstrip().split("\n", _HEADER_WITHIN)[:_HEADER_WITHIN]
    for before, line in pairwise(lines):
        if "|" in before and _RULE.fullmatch(line.rstrip()):
            return before.strip()
    return ""


# -- what is embedded -----------------------------------------------------------------------------


def put_in_front(
    rows: list[list[Chunk]], titles: list[str], pieces: list[Row], most: int, count: CountAll
) -> list[list[Chunk]]:
    """The chunks of each document with title, headings and header in front, of at most `most` tokens.

    A title of "" is not put in front. `pieces` are those that the chunks were made of: a chunk that begins with a
    definition contains its name already.
    """
    definition_starts = [
        {piece.start for piece in row if piece.kind == "definition" and not piece.inside} for row in pieces
    ]
    contexts = [
        [_context(title, chunk, chunk.start in starts) for chunk in row]
        for title, row, starts in zip(titles, rows, definition_starts, strict=True)
    ]
    short = _shortened({context for row in contexts for context in row}, most, count)
    return [
        [
            replace(chunk, embedded=_joined(short[context]) + chunk.embedded)
            for chunk, context in zip(*both, strict=True)
        ]
        for both in zip(rows, contexts, strict=True)
    ]


def _context(title: str, chunk: Chunk, tells_last: bool) -> tuple[str, ...]:
    """The context in front of a chunk's text, without headings that the text begins with."""
    header = normalise(chunk.header, "rows", 2) if chunk.header else ""
    headings = chunk.headings[: -1 if tells_last else None]
    over = list(dict.fromkeys(text for text in (title, *headings) if text))
    first_lines = chunk.embedded.split("\n")[: len(over) + 1]
    over = [text for text in over if text not in first_lines]
    return tuple(text for text in (*over, header) if text)


def _shortened(contexts: set[tuple[str, ...]], most: int, count: CountAll) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Each context, shortened to at most `most` tokens."""
    short = {context: context for context in contexts}
    while True:
        tokens = count(_joined(context) for context in short.values() if context)
        long = [full for full, context in short.items() if context and tokens[_joined(context)] > most]
        if not long:
            return short
        short |= {full: _shorter(short[full]) for full in long}


def _shorter(context: tuple[str, ...]) -> tuple[str, ...]:
    if len(context) > 2:
        return (context[0], *context[2:])
    if len(context) == 2:
        return context[1:]
    words = context[0].split()
    return (" ".join(words[: len(words) * 2 // 3]),) if len(words) > 1 else ()


def _joined(context: tuple[str, ...]) -> str:
    return "".join(f"{text}\n" for text in context)
