"""What of a piece of Markdown is worth embedding; knows the kinds of blocks, not where they stand.

A vector should move only when the meaning may have: a changed URL, a wider table or a re-wrapped
paragraph writes a new row but embeds nothing. What is stored and returned stays the raw text.

Decisions
- 2026-11-21 Regular expressions, not a Markdown renderer: they see one block, cannot fail, and run at
  a speed at which counting tokens stays the bottleneck. Each is linear: no part of it may run past
  the character that could begin another match (possessive quantifiers see to the rest).
- 2026-11-21 Inline code is kept as it is, brackets and all. Indented code counts as prose: in the
  wild it is more often the body of an admonition or a list item than code.
- 2026-11-21 A heading's level and its `#` marks are not embedded: moving a section one level down
  leaves its meaning alone.
"""

from __future__ import annotations

import re
from typing import Final, Literal

Kind = Literal["front", "heading", "code", "list", "table", "plain", "text"]

_COMMENT: Final = re.compile(r"<!--(?:(?!<!--).)*?-->", re.DOTALL)
_ANCHOR: Final = re.compile(r"</?a\b[^<>]*+>", re.IGNORECASE)
_ATTRIBUTES: Final = re.compile(r"\{:?\s*[#.][^{}]*+\}")  # {#id}, { #id }, {: .class}
_DEFINITION: Final = re.compile(
    r"^ {0,3}\[(?!\^)[^\[\]]++\]:\s*+\S++(?:[^\S\n]++[\"'(][^\n]*+)?[^\S\n]*+$", re.MULTILINE
)
_CODE_OR_LINK: Final = re.compile(
    r"(`[^`]*+`)"
    r"|!?\[((?:[^\[\]]++|\[[^\[\]]*+\])*+)\]"  # the text, brackets in it one deep
    r"(?:\([^()]*+(?:\([^()]*+\)[^()]*+)*+\)|\[[^\[\]]*+\])"  # its target, or the name of one
)
_HEADING_MARKS: Final = re.compile(r"^#{1,6}(?=\s|$)|\s#+$|\s(?:=+|-+)$")
_RULE: Final = re.compile(r"(?:[-*_]\s*){3,}")
_CELL_EDGE: Final = re.compile(r"[^\S\n]*\|[^\S\n]*")
_DASHES: Final = re.compile(r"-{3,}")


def normalise(raw: str, kind: Kind) -> str:
    """The text of one block, or of a part of one, to embed; "" where nothing of it says anything."""
    if kind == "code":
        return raw.rstrip().lstrip("\r\n")
    if kind == "text":
        return fold(raw)
    text = fold(_visible(raw))
    if kind == "heading":
        return _HEADING_MARKS.sub("", text).strip()
    if kind == "table":
        return _DASHES.sub("---", _CELL_EDGE.sub(" | ", text)).strip()
    return "" if _RULE.fullmatch(text) else text


def fold(text: str) -> str:
    """Every run of white space as one space, none at the ends."""
    return " ".join(text.split())


def _visible(raw: str) -> str:
    """Markdown without what a reader of the page does not see: targets, definitions, anchors, ids, comments."""
    if "<" in raw:
        raw = _ANCHOR.sub("", _COMMENT.sub("", raw))
    if "]:" in raw:
        raw = _DEFINITION.sub("", raw)
    if "{" in raw:
        raw = _ATTRIBUTES.sub("", raw)
    for _ in range(2):  # twice: an image may be the text of a link
        if "](" in raw or "][" in raw:
            raw = _CODE_OR_LINK.sub(_text_of, raw)
    return raw


def _text_of(match: re.Match[str]) -> str:
    return match[1] or match[2]
