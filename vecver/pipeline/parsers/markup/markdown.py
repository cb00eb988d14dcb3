"""Writes the Markdown that readers need (headings, code blocks, tables), and finds the title of any Markdown text.

Decisions
1. A text without a `#` heading takes its title from the first deeper heading within `NEAR_THE_TOP` lines. Further down
   it titles a section, not the document.
2. Table cells are not padded, and short rows stay short: one longer cell must not rewrite every row of the next
   version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from vecver.pipeline.parsers.markup.front_matter import MATTER

NEAR_THE_TOP: Final = 20  # lines within which a deeper heading is the title of a text without a `#` heading

_RUNS_OF_BACKTICKS: Final = re.compile(r"`{3,}")
_HEAD: Final = 100_000  # characters in which a title is looked for


def fence(code: str, language: str = "") -> str:
    """A Markdown code block with `code`, fenced by more backticks than the code contains in a row."""
    runs = _RUNS_OF_BACKTICKS.findall(code) if "```" in code else ()
    ticks = "`" * max(3, 1 + max(map(len, runs), default=0))
    return f"{ticks}{language}\n{code.strip(chr(10))}\n{ticks}"


def heading(level: int, title: str) -> str:
    return f"{'#' * max(1, min(level, 6))} {' '.join(title.split())}"


def table(rows: Iterable[list[str]]) -> str:
    """Rows of cells as a Markdown table with the first as its header; rows may be ragged."""
    kept = [row for row in rows if any(cell.strip() for cell in row)]
    if not kept:
        return ""
    width = max(map(len, kept))
    header = kept[0] + [""] * (width - len(kept[0]))
    return "\n".join([_row(header), "|" + " --- |" * width, *map(_row, kept[1:])]) + "\n"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def joined(pieces: list[str]) -> str:
    """Lines and blocks as one text, without consecutive blank lines."""
    return "\n".join(
        piece for before, piece in zip(["", *pieces], pieces, strict=False) if before.strip() or piece.strip()
    )


def unclosed(title: str, mark: str) -> str:
    """A heading's text without the closing marks that spaces part from it."""
    title = title.rstrip(" \t")
    before = title.rstrip(mark)
    return before.rstrip(" \t") if before != title and before.endswith((" ", "\t")) else title


# -- the title -----------------------------------------------------------------------

_FRONT_TITLE: Final = re.compile(r"^title[ \t]*+[:=](.+)", re.M | re.I)
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING_OR_FENCE: Final = re.compile(
    r"\n {0,3}(?:(`{3,}|~{3,})|#[ \t](.+)|<h1\b[^<>\n]*>(.+)|(=)=*[ \t]*(?=\n|\Z))", re.I
)
_DEEPER: Final = re.compile(r" {0,3}#{2,6}[ \t](.+)")
_DEEPER_UNDERLINE: Final = re.compile(r" {0,3}-{3,}[ \t]*$")
_INLINE: Final = (
    (re.compile(r"\{:?[ \t]*[#.][^{}]*\}"), ""),  # {#anchor .class}
    (re.compile(r"<[^<>]*>"), ""),
    (re.compile(r"!?\[([^\[\]]*)\](?:\([^()]*\)|\[[^\[\]]*\])"), r"\1"),
    (re.compile(r"(\*\*|__|`+|(?<!\w)[*_]|[*_](?!\w))"), ""),
    (re.compile(r"\\([!-/:-@\[-`{-~])"), r"\1"),
)


def title_of(text: str, deeper: bool = False) -> str:
    """The title of a Markdown document: of its front matter, else its first `#` heading, else "".

    With `deeper`, a heading of another level near the top will do where there is none of these.
    """
    head = text[:_HEAD]
    matter = MATTER.match(head)
    if matter and (named := _FRONT_TITLE.search(matter[2])):
        return named[1].strip(" \t").strip("\"'").strip()
    head = head[matter.end() :] if matter else head
    heading = _first_heading(head)
    return _without_marks(_second_heading(head) if heading is None and deeper else heading or "")


def _first_heading(text: str) -> str | None:
    """The first heading of the first level."""
    text, at = f"\n{text}", 0
    while match := _HEADING_OR_FENCE.search(text, at):
        fence, atx, html, underline = match.groups()
        if fence:
            closes = re.compile(rf"\n[^\S\n]*+{re.escape(fence)}").search(text, match.end())
            if not closes:
                return None
            at = _end_of_line(text, closes.end())
        elif atx:
            return unclosed(atx.lstrip(" \t"), "#")
        elif html:
            return html.partition("</h")[0]
        else:
            before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()] if match.start() else ""
            if underline and before.strip():
                return before
            at = match.end()
    return None


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _second_heading(text: str) -> str:
    """The first heading below the first level near the top."""
    closing = before = ""
    for line in text.split("\n", NEAR_THE_TOP)[:NEAR_THE_TOP]:
        if closing:
            closing = "" if line.strip().startswith(closing) else closing
        elif opened := _FENCE.match(line):
            closing = opened[1]
        elif title := _deeper(before, line):
            return title
        before = line
    return ""


def _deeper(before: str, line: str) -> str:
    """The text of a heading below the first level at this line, or ""."""
    if atx := _DEEPER.match(line):
        return unclosed(atx[1].lstrip(" \t"), "#")
    lined = _DEEPER_UNDERLINE.match(line) and before.strip() and before.lstrip()[0] not in "-*+>|#<"
    return before if lined else ""


def _without_marks(title: str) -> str:
    for mark, plain in _INLINE:
        title = mark.sub(plain, title)
    return " ".join(title.split())
