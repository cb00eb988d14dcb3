"""Cuts a document's text into pieces: blocks, or parts of a block that is too long to embed.

It decides where a piece begins and ends and how a longer one is split, without counting tokens. A piece too long for
any tokenizer is split by its length alone, so most of this runs in the process that parsed the document. The pieces
then travel in parts of a bounded size.

Decisions
1. A text longer than 32 characters per allowed token is split without being counted, so no tokenizer sees more than a
   few thousand characters at once. (WordPiece calls a base64 line of 10,000 characters one unknown token; it is split
   all the same.)
2. Pieces travel as `marshal` writes plain tuples, 4,096 at a time: reading a part holds the interpreter's lock for two
   milliseconds, whatever the document, and takes a third of pickle's time.
"""

from __future__ import annotations

import marshal
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Final, NamedTuple

from vecver.model import Json, Parsed
from vecver.pipeline.chunkers.blocks import Block, blocks, front_matter, is_markdown, join_empty
from vecver.pipeline.chunkers.code import code_blocks
from vecver.pipeline.chunkers.normalise import Kind, fold, normalise
from vecver.pipeline.chunkers.sentences import sentence_ends
from vecver.pipeline.parsers.detection.media_types import TEXT

LONGEST_PER_TOKEN: Final = 32  # characters per allowed token up to which a text is counted
RUNGS: Final = 4  # levels of splitting: lines or sentences, words, punctuation, characters
_PART: Final = 4096  # pieces that travel together

_LINED: Final = (
    "front",
    "code",
    "definition",
    "list",
    "table",
    "rows",
)  # kinds that are split at lines, others at sentences
_LINES: Final = re.compile(r"\n")
_SENTENCES: Final = re.compile(r"(?<=[.!?])[\"')\]*_]*\s+|(?<=[。！？])|\n\s*")
_WORDS: Final = re.compile(r"\s+")
_WORDS_AND_LINKS: Final = re.compile(r"!?\[[^\[\]\n]{0,400}+\]\([^()\s]{0,2000}+\)|(\s+)")  # a link is not cut
_MARKS: Final = re.compile(r"[^\w\s]+")


class Piece(NamedTuple):
    start: int  # characters
    end: int
    kind: Kind
    text: str  # normalised, with the white space before the next piece
    rung: int = 0  # the level of splitting that made it
    inside: bool = False  # whether it starts after the beginning of its block
    names: tuple[str, ...] = ()  # definitions around it, outermost first


Row = list[Piece]  # a document's pieces


def with_pieces(document: Parsed, recipe: Json) -> Parsed:
    """`document` with the pieces that `pieces_of` reads, for a chunker's recipe; unchanged for "whole".

    Raises InvalidInputError (the recipe cuts source code with a grammar that is not installed).
    """
    if recipe["name"] != "structure":
        return document
    version, limit = recipe["version"], body_limit(recipe)
    title = title_of(document) if recipe["title"] else ""
    made = code_blocks(document.text, document.media_type, recipe["code"]) if "code" in recipe else None
    if made is None:
        made = blocks(document.text, document.media_type, version)
    rows = [
        _pieces(*source, limit, version) for source in ((title, blocks(title, TEXT, version)), (document.text, made))
    ]
    return replace(document, pieces=tuple(_packed(title, *rows)))


def pieces_of(document: Parsed, recipe: Json) -> tuple[str, Row, Row]:
    """The title to chunk, its pieces, and the pieces of the text; none is too long to be counted."""
    parts = document.pieces or with_pieces(document, recipe).pieces
    title, count = marshal.loads(parts[0])
    row = [Piece._make(piece) for part in parts[1:] for piece in marshal.loads(part)]
    return title, row[:count], row[count:]


def _packed(title: str, title_row: Row, row: Row) -> Iterator[bytes]:
    yield marshal.dumps((title, len(title_row)))
    pieces = [*title_row, *row]
    for start in range(0, len(pieces), _PART):
        yield marshal.dumps([tuple(piece) for piece in pieces[start : start + _PART]])


def title_of(document: Parsed) -> str:
    """What of a document is chunked as its title: that, and a description in its front matter; or ""."""
    fields = front_matter(document.text)[1] if is_markdown(document.media_type) else {}
    title = document.title or fields.get("title", "")
    return f"{title}\n{fields.get('description', '')}" if title else ""


def body_limit(recipe: Json) -> int:
    """Tokens that a chunk's own text may have, without what is put in front of it."""
    return int(recipe["max_tokens"] - recipe.get("context_tokens", 0))


def _pieces(text: str, made: list[Block], limit: int, version: int) -> Row:
    row = [Piece(block.start, block.end, block.kind, block.text + "\n", names=block.names) for block in made]
    return list(_countable(row, text, limit, version))


def _countable(row: Row, text: str, limit: int, version: int) -> Iterator[Piece]:
    """`row` with every piece that is too long to be counted split, again and again, in order."""
    waiting = row[::-1]
    while waiting:
        piece = waiting.pop()
        if piece.rung < RUNGS and len(piece.text) > limit * LONGEST_PER_TOKEN:
            waiting += reversed(split(piece, text, limit, version))
        else:
            yield piece


def split(piece: Piece, text: str, limit: int, version: int) -> Row:
    """`piece` in two or more parts at the coarsest rung that parts it; itself, on the last rung, where none does."""
    raw = text[piece.start : piece.end]
    for rung in range(piece.rung, RUNGS):
        cuts = sorted({0, *_cuts(raw, piece.kind, rung, limit, version), len(raw)})
        parts = join_empty(_part(piece, raw, start, end, rung, version) for start, end in pairwise(cuts))
        if len(parts) > 1:
            return list(_linked(piece, text, parts, rung))
    return [piece._replace(rung=RUNGS)]


def _cuts(raw: str, kind: Kind, rung: int, limit: int, version: int) -> Iterable[int]:
    if rung == RUNGS - 1:
        first, length = len(raw) - len(raw.lstrip()), len(raw.strip())
        return range(first, first + length, min(limit, (length + 1) // 2))
    if version > 1 and rung == 0 and kind not in _LINED:
        return sentence_ends(raw)
    if version > 1 and rung == 1 and kind not in ("code", "definition"):
        return (match.end() for match in _WORDS_AND_LINKS.finditer(raw) if match[1])
    coarse = _LINES if kind in _LINED else _SENTENCES
    return (match.end() for match in (coarse, _WORDS, _MARKS)[rung].finditer(raw))


def _part(piece: Piece, raw: str, start: int, end: int, rung: int, version: int) -> Block:
    part = raw[start:end]
    text = normalise(part, piece.kind, version) if rung < 2 else fold(part)  # no markup is left inside a word
    return Block(piece.start + start, piece.start + end, piece.kind, text)


def _linked(piece: Piece, text: str, parts: list[Block], rung: int) -> Iterator[Piece]:
    """`parts` as pieces, each with the white space that parts it from the next one."""
    finer = min(rung + 1, RUNGS - 1)
    for part in parts[:-1]:
        space = "" if not text[part.end - 1].isspace() else "\n" if rung == 0 and part.kind in _LINED else " "
        inside = piece.inside or part is not parts[0]
        yield Piece(part.start, part.end, part.kind, part.text + space, finer, inside, piece.names)
    last = parts[-1]
    space = piece.text[len(piece.text.rstrip()) :]
    yield Piece(last.start, last.end, last.kind, last.text + space, finer, True, piece.names)
