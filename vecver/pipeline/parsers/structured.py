"""Converts CSV, TSV, JSON, JSON Lines, notebooks and captions (VTT, SRT) to Markdown.

Decisions
1. A file that is not what its name says (broken JSON, unreadable CSV) is kept as plain text, so that it can still be
   searched. Only a notebook without cells is an error.
2. Numbers and repeated keys stay as written (`1.10`, `1e5`, `NaN`). The standard library's encoder would write 1.1 and
   keep only the last of two equal keys, so a few lines here lay the values out.
3. JSON is laid out again, one value a line, with escapes resolved and key order kept. JSON Lines keep one record a
   line. Outputs in a notebook are left out: they are results, often huge, and not the document.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from vecver.pipeline.parsers.markup.markdown import fence, table

_quoted: Final = json.encoder.encode_basestring  # `json.dumps` makes an encoder for each string: 1.5 us instead of 0.1

LAID_OUT: Final = 5_000_000  # characters of JSON that are laid out again at most; longer texts are kept as they are
_NAMED_DELIMITER: Final = re.compile(r'"?sep=([^\w\s"]|\t)"?[,;\t ]*+\n', re.I)
_DELIMITERS: Final = ",;\t|"


def delimited(text: str) -> str:
    """CSV, TSV and the like; the delimiter is named by Excel's line `sep=;`, or guessed from the first lines."""
    named = _NAMED_DELIMITER.match(text)
    text = text[named.end() :] if named else text
    try:
        return table(csv.reader(io.StringIO(text, newline=""), delimiter=named[1] if named else _delimiter(text)))
    except csv.Error:
        return text


def _delimiter(text: str) -> str:
    """The candidate that splits most of the first rows into the same number (> 1) of cells."""
    lines = text[:20_000].split("\n")[:20]

    def regularity(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        common = max((n for n in widths if n > 1), key=widths.count, default=0)
        return widths.count(common) if common else 0, common

    return max(_DELIMITERS, key=regularity)


def json_text(text: str) -> str:
    if len(text) > LAID_OUT:
        return fence(text, "json")
    try:
        return fence("".join(_laid_out(_loaded(text))), "json")
    except (ValueError, RecursionError):
        return fence(text, "json")


class _Number(str):
    """A number in its original notation."""

    __slots__ = ()


class _Pairs(list[tuple[str, Any]]):
    """An object's keys and values, repeated keys too."""


def _loaded(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_Pairs, parse_float=_Number, parse_int=_Number, parse_constant=_Number)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return str(value) if isinstance(value, _Number) else _quoted(value)
    return "null" if value is None else "true" if value else "false"


def _laid_out(value: Any, margin: str = "\n") -> Iterator[str]:
    """As `json.dumps` with an indent of 1. Raises RecursionError (deep nesting)."""
    if not isinstance(value, list) or not value:
        yield "{}" if isinstance(value, _Pairs) else "[]" if isinstance(value, list) else _scalar(value)
        return
    keyed = isinstance(value, _Pairs)
    before, deeper = "{" if keyed else "[", margin + " "
    for item in value:
        yield before + deeper + (f"{_quoted(item[0])}: " if keyed else "")
        inner = item[1] if keyed else item
        if isinstance(inner, list) and inner:
            yield from _laid_out(inner, deeper)
        else:
            yield "{}" if isinstance(inner, _Pairs) else "[]" if isinstance(inner, list) else _scalar(inner)
        before = ","
    yield margin + ("}" if keyed else "]")


def _in_a_line(value: Any) -> Iterator[str]:
    """As `json.dumps` without an indent. Raises RecursionError (deep nesting)."""
    if not isinstance(value, list):
        yield _scalar(value)
        return
    keyed = isinstance(value, _Pairs)
    yield "{" if keyed else "["
    for n, item in enumerate(value):
        yield (", " if n else "") + (f"{_quoted(item[0])}: " if keyed else "")
        yield from _in_a_line(item[1] if keyed else item)
    yield "}" if keyed else "]"


def json_lines(text: str) -> str:
    lines = [_json_line(line) for line in text.split("\n") if line.strip()]
    return fence("\n".join(lines), "json") if lines else ""


def _json_line(line: str) -> str:
    """The record with its escapes resolved, or the line as it is."""
    try:
        return "".join(_in_a_line(_loaded(line))) if "\\u" in line else line
    except (ValueError, RecursionError):
        return line


# -- notebooks ---------------------------------------------------------------------------------


def notebook(text: str) -> str:
    """The Markdown and code cells of a Jupyter notebook. Raises ValueError if it is none."""
    book = json.loads(text)
    cells = list(_cells(book)) if isinstance(book, dict) else []
    if not cells:
        raise ValueError("the notebook has no cells")
    about = book.get("metadata") or {}
    language = (about.get("kernelspec") or {}).get("language") or (about.get("language_info") or {}).get("name") or ""
    return "\n\n".join(filter(None, (_cell(cell, str(language)) for cell in cells))) + "\n"


def _cells(book: dict[str, Any]) -> Iterator[dict[str, Any]]:
    sheets = book.get("worksheets") or [book]  # the third notebook format had sheets
    for sheet in sheets:
        yield from sheet.get("cells") or []


def _cell(cell: dict[str, Any], language: str) -> str:
    source = cell.get("source", cell.get("input", ""))
    content = ("".join(source) if isinstance(source, list) else str(source)).strip("\n")
    return fence(content, language) if content.strip() and cell.get("cell_type") == "code" else content


# -- captions ----------------------------------------------------------------------------------

_TIMES: Final = re.compile(r"\s*(?:\d+:)?\d{1,2}:\d{2}[.,]\d{3}\s*-->")
_VOICE: Final = re.compile(r"<v(?:\.[\w.]++)?+[ \t]([^<>]++)>")
_SPACES: Final = " \t"
_TAG: Final = re.compile(r"</?[^<>]*>")


def captions(text: str) -> str:
    """The text of WebVTT or SubRip captions, one cue a line, without times, numbers and notes."""
    cues = []
    for block in re.split(r"\n(?:[ \t]*\n)+", text):
        lines = block.strip("\n").split("\n")
        at = next((n for n, line in enumerate(lines) if _TIMES.match(line)), None)
        if at is not None:
            cues.append(" ".join(filter(None, (_spoken(line) for line in lines[at + 1 :]))))
    return "\n".join(filter(None, cues)) + "\n"


def _spoken(line: str) -> str:
    return _TAG.sub("", _VOICE.sub(lambda m: f"{m[1].lstrip(_SPACES) or m[1][-1:]}: ", line)).strip()
