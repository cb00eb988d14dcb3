"""Normalises a piece of Markdown to the text that is worth embedding.

A vector should change only if the meaning may have changed: a new URL, a wider table or a re-wrapped paragraph writes a
new row but embeds nothing. What is stored and returned stays the raw text.

Decisions
1. Regular expressions are used instead of a Markdown renderer: they see one block, cannot fail, and cost less than
   counting tokens. Each is linear: no part of it may run past the character that could begin another match (possessive
   quantifiers ensure the rest).
2. Inline code is kept as it is, with brackets. Indented code counts as prose: in practice it is more often the body of
   an admonition or a list item than code.
3. Code is not changed, but fence lines are not code: they carry highlighted line numbers and language names that come
   and go. Without them 2-4% fewer chunks are embedded again.
4. A heading's level and its `#` marks are not embedded: moving a section one level down does not change its meaning (no
   difference on real histories, where it is rare).
5. Version 2 of the recipe also leaves out `<https://...>`, the URL of an HTML image (its alternative text stays),
   links of footnotes such as `[[1]](#cite)`, and the line under a table's header row.
"""

from __future__ import annotations

import re
from typing import Final, Literal

# "rows": a table, from version 2 on
# "definition": source code from where one begins
Kind = Literal["front", "heading", "code", "definition", "list", "table", "rows", "plain", "text"]

_FENCE_LINE: Final = re.compile(r"^(?:[ \t>]|[-*+] )*+(?:`{3,}|~{3,})[^\n]*\n?", re.MULTILINE)
_HIDDEN: Final = re.compile(
    r"(`[^`]*+`)"  # not hidden: inline code, whatever it contains
    r"|<!--(?:(?!<!--).)*?-->"
    r"|</?a\b[^<>]*+>"
    r"|(?<!\{)\{:?\s*[#.][^{}]*+\}(?!\})",  # {#id}, { #id }, {: .class}
    re.DOTALL | re.IGNORECASE,
)
_DEFINITION: Final = re.compile(
    r"^ {0,3}\[(?!\^)[^\[\]]++\]:\s*+\S++(?:[^\S\n]++[\"'(][^\n]*+)?[^\S\n]*+$", re.MULTILINE
)
_CODE_OR_LINK: Final = re.compile(
    r"(`[^`]*+`)"
    r"|!?\[((?:[^\[\]]++|\[[^\[\]]*+\])*+)\]"  # the text, brackets in it one deep
    r"(?:\([^()]*+(?:\([^()]*+\)[^()]*+)*+\)|\[[^\[\]]*+\])"  # its target, or the name of one
)
_HEADING_MARKS: Final = re.compile(r"^#{1,6}(?=\s|$)|\s#+$|\s(?:=+|-+)$")
_FOOTNOTE: Final = re.compile(r"\[\[[\w*†‡]{1,4}\]\]\([^()\s]*+\)")
_ADDRESS: Final = re.compile(r"(`[^`]*+`)|<(?:https?|ftps?|mailto|tel|file):[^<>\s]*+>|<img\b([^<>]*+)>", re.IGNORECASE)
_ALTERNATIVE: Final = re.compile(r"""\balt\s*+=\s*+(?:"([^"]*+)"|'([^']*+)')""", re.IGNORECASE)
_TABLE_RULE: Final = re.compile(r"^[ \t>]*+[|+:]?(?=[ \t|+:=-]*-)[ \t|+:=-]++$", re.MULTILINE)
_RULE: Final = re.compile(r"(?:[-*_]\s*){3,}")
_DASHES: Final = re.compile(r"-{3,}")


def normalise(raw: str, kind: Kind, version: int = 1) -> str:
    """The text to embed for a block or a part of one; "" if it holds no words.

    `version`: of the chunker's recipe.
    """
    if kind in ("code", "definition"):
        return _FENCE_LINE.sub("", raw).rstrip().lstrip("\r\n")
    if kind == "text":
        return fold(raw)
    if version > 1:
        raw = _without_addresses(raw)
    text = fold(_visible(_TABLE_RULE.sub("", raw) if kind == "rows" else raw))
    if kind == "heading":
        return _HEADING_MARKS.sub("", text).strip()
    if kind == "rows":
        text = fold(text.replace("|", " | "))
        return text if text.strip("| ") else ""
    if kind == "table":
        return fold(_DASHES.sub("---", text.replace("|", " | ")))
    return "" if _RULE.fullmatch(text) else text


def fold(text: str) -> str:
    """Every run of white space as one space, none at the ends."""
    return " ".join(text.split())


def _visible(raw: str) -> str:
    """Markdown without what a reader of the page does not see: targets, definitions, anchors, ids, comments."""
    if "<" in raw or "{" in raw:
        raw = _HIDDEN.sub(r"\1", raw)
    if "]:" in raw:
        raw = _DEFINITION.sub("", raw)
    for _ in range(2):  # twice: an image may be the text of a link
        if "](" in raw or "][" in raw:
            raw = _CODE_OR_LINK.sub(_text_of, raw)
    return raw


def _without_addresses(raw: str) -> str:
    if "<" in raw:
        raw = _ADDRESS.sub(_kept_of_address, raw)
    return _FOOTNOTE.sub("", raw) if "[[" in raw else raw


def _kept_of_address(match: re.Match[str]) -> str:
    alternative = _ALTERNATIVE.search(match[2] or "")
    return match[1] or (f" {alternative[1] or alternative[2] or ''} " if alternative else "")


def _text_of(match: re.Match[str]) -> str:
    return match[1] or match[2]
