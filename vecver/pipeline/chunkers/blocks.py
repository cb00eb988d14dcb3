"""Splits a document's text into blocks that tile it: front matter, headings, code, lists, tables, prose.

It knows Markdown and character offsets, not tokens or chunks.

Decisions
1. markdown-it-py finds headings, fences and raw HTML (a `#` inside a fence is no heading). Everything between them is
   cut at blank lines. Its table, reference and inline rules stay off: they are not needed, and the reference rule is
   quadratic in a paragraph of definitions. The other rules are linear on 100,000 headings, deep quotes and lists, and a
   line of 5 MB.
2. markdown-it sees one window of text at a time: 4 MB of nothing but headings made 0.5 GB of tokens. Top-level blocks
   follow each other, so all but the last block of a window are complete.
3. Front matter is matched by one regular expression for `---` and `+++`, and only if it holds `key: value` pairs, so
   that a page that begins with a thematic break keeps its text. PyYAML's Python loader reads it: the C loader is ten
   times faster and crashes on 10,000 nested brackets.
4. Plain text and source code have no headings and no markup: blocks end at blank lines. `code` cuts source code at its
   definitions, if the recipe says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vecver.pipeline.chunkers.normalise import Kind, fold, normalise
from vecver.pipeline.parsers.detection.media_types import SOURCE_CODE, TEXT

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

WINDOW: Final = 200_000  # characters that markdown-it parses at once; it takes 120 times their size in memory
DEEPEST: Final = 100  # levels of nested lists and quotes that are parsed

_FRONT_MATTER: Final = re.compile(r"(---|\+\+\+)[ \t]*\r?\n(.*?)^\1[ \t]*\r?$\s*", re.DOTALL | re.MULTILINE)
_LONGEST_FRONT_MATTER: Final = 1 << 14  # characters
_FIELD: Final = re.compile(r"^([A-Za-z][\w-]*)\s*[:=]\s*(.*)$", re.MULTILINE)
_EMBEDDED_FIELDS: Final = ("title", "description", "summary")  # what of the front matter is embedded

_LINE_END: Final = re.compile(r"\r\n?|\n")  # as markdown-it counts lines
_BLANK_LINES: Final = re.compile(r"\n(?:[^\S\n]*\n)+")
_LIST: Final = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])\s")
_TABLE: Final = re.compile(r"\s*\||[^\n]*\n\s*:?-+:?\s*\|")


class Block(NamedTuple):
    """`[start, end)` of the document's text, including the white space after it."""

    start: int
    end: int
    kind: Kind
    text: str  # normalised, never empty
    names: tuple[str, ...] = ()  # definitions around source code, outermost first


def blocks(text: str, media_type: str, version: int = 1) -> list[Block]:
    """The blocks of `text`, in order and without gaps, for a version of the recipe.

    Empty if there is nothing to embed.
    """
    if is_markdown(media_type):
        return join_empty(_markdown(text, version))
    kind: Kind = "text" if media_type == TEXT else "code"
    spans = paragraphs(text, 0, len(text))
    return join_empty(Block(start, end, kind, normalise(text[start:end], kind)) for start, end in spans)


def is_markdown(media_type: str) -> bool:
    """Whether the parsers give a document of this type as Markdown: every one but plain text and source code."""
    return media_type != TEXT and media_type not in SOURCE_CODE


def front_matter(text: str) -> tuple[int, dict[str, str]]:
    """The offset at which front matter ends (0 without any), and its title, description and summary."""
    match = _FRONT_MATTER.match(text[:_LONGEST_FRONT_MATTER])
    if not match:
        return 0, {}
    fields = _toml(match[2]) if match[1] == "+++" else _yaml(match[2])
    if fields is None:
        return 0, {}
    texts = {str(name).lower(): fold(value) for name, value in fields.items() if isinstance(value, str)}
    return match.end(), {name: texts[name] for name in _EMBEDDED_FIELDS if texts.get(name)}


def join_empty(row: Iterator[Block]) -> list[Block]:
    """`row` with blocks of empty text joined to the next block, or at the end to the previous one."""
    full: list[Block] = []
    start = -1
    for block in row:
        start = block.start if start < 0 else start
        if block.text:
            full.append(block._replace(start=start))
            start = -1
    if full and start >= 0:
        full[-1] = full[-1]._replace(end=block.end)
    return full


def _markdown(text: str, version: int) -> Iterator[Block]:
    body, fields = front_matter(text)
    if body:
        yield Block(0, body, "front", "\n".join(fields.values()))
    at = body
    for start, end, kind in _landmarks(text, body):
        yield from _prose(text, at, start, version)
        yield Block(start, end, kind, normalise(text[start:end], kind, version))
        at = end
    yield from _prose(text, at, len(text), version)


def _landmarks(text: str, body: int) -> Iterator[tuple[int, int, Kind]]:
    """Headings, fences and blocks of raw HTML from offset `body` on. They end where a line ends.

    One window at a time. The last block of a window may be cut off, so the next window begins with that block,
    and is twice as long if one block fills the whole window.
    """
    at, length = body, WINDOW
    while at < len(text):
        end = _line_after(text, at + length)
        lines = [at, *(newline.end() for newline in _LINE_END.finditer(text, at, end)), end]
        tokens = [token for token in _parser().parse(text[at:end]) if token.map]
        last = max((lines[token.map[0]] for token in tokens if token.level == 0 and token.map), default=end)
        stop = end if end == len(text) else last
        for token in tokens:
            start, after = (lines[line] for line in token.map or ())
            if start < stop and (kind := _kind(token)):
                yield start, after, kind
        if stop == at:
            length *= 2
        else:
            at, length = stop, WINDOW


def _line_after(text: str, at: int) -> int:
    """The start of the first line at or after `at`."""
    newline = text.find("\n", at - 1) if at < len(text) else -1
    return newline + 1 if newline >= 0 else len(text)


def _kind(token: Token) -> Kind | None:
    if token.type == "heading_open" and token.level == 0:
        return "heading"
    return {"fence": "code", "html_block": "plain"}.get(token.type)  # type: ignore[return-value]


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    rules = ["blockquote", "code", "fence", "heading", "hr", "html_block", "lheading", "list"]
    return MarkdownIt("zero", {"maxNesting": DEEPEST}).enable(rules).disable("inline")


def _prose(text: str, start: int, end: int, version: int) -> Iterator[Block]:
    for first, last in paragraphs(text, start, end):
        raw = text[first:last]
        table: Kind = "rows" if version > 1 else "table"
        kind: Kind = table if _TABLE.match(raw) else "list" if _LIST.match(raw) else "plain"
        yield Block(first, last, kind, normalise(raw, kind, version))


def paragraphs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    cuts = [start, *(blank.end() for blank in _BLANK_LINES.finditer(text, start, end)), end]
    yield from ((first, last) for first, last in pairwise(cuts) if first < last)


@lru_cache(maxsize=1024)  # it is read for the blocks and for the title, and hardly changes between versions
def _yaml(text: str) -> dict[Any, Any] | None:
    import yaml

    try:
        fields = yaml.load(text, yaml.BaseLoader)  # every scalar a string: no tag, date or number to fail on
    except (yaml.YAMLError, RecursionError):
        return _fields_by_line(text)
    return fields if isinstance(fields, dict) else None


def _toml(text: str) -> dict[str, Any] | None:
    import tomllib

    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return _fields_by_line(text)


def _fields_by_line(text: str) -> dict[str, Any] | None:
    """The `key: value` lines of broken front matter; None without any."""
    return {name: value.strip("\"' \t\r") for name, value in _FIELD.findall(text)} or None
