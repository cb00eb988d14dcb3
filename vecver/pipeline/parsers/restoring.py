"""Appends paragraphs that a library lost to the end of the document's text.

Decisions
1. Paragraphs are first searched for literally, then by words as they stand, and only if one seems to be missing by
   folded words: a .docx of 120,000 words is read in 73 ms instead of 160.
2. A paragraph is restored if most of its words are missing. If fewer are, the text holds it in another form (a formula,
   for example), and the coverage report counts them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vecver.pipeline.parsers.coverage import Part, glued, words

_SPECIAL: Final = re.compile(r"([\\`*\[\]<#|~])")


@dataclass(frozen=True)
class View:
    """The plain text of a part of a document, by paragraphs."""

    name: str  # as in `Part.name`
    heading: str  # heading for its missing paragraphs; "" restores none
    paragraphs: Sequence[str]
    apart: bool = (
        False  # the library leaves all of it out, so all paragraphs are restored, even if the text has their words
    )

    def part(self) -> Part:
        return Part(self.name, "\n".join(self.paragraphs))


def restored(text: str, views: Sequence[View]) -> str:
    """`text`, followed by the paragraphs of the views that it lacks, under their headings."""
    views = [view for view in views if view.heading and view.paragraphs]
    if not views:
        return text
    added: dict[str, list[str]] = {}
    suspects = _suspects(text, [view for view in views if not view.apart])
    held = Counter(words(text)) + glued(text) if suspects else Counter()
    for view in views:
        for paragraph in view.paragraphs if view.apart or suspects else ():
            if view.apart or _is_missing(held, words(paragraph)):
                added.setdefault(view.heading, []).append(_SPECIAL.sub(r"\\\1", " ".join(paragraph.split())))
    sections = (f"## {heading}\n\n" + "\n\n".join(lines) + "\n" for heading, lines in added.items())
    return "\n".join(filter(None, (text, *sections)))


def _suspects(text: str, views: Sequence[View]) -> list[View]:
    """All views if a paragraph of any seems to be missing, compared by unfolded words; otherwise none."""
    if all(_in_order(text, view.paragraphs) for view in views):
        return []
    held = Counter(text.split())
    for view in views:
        wanted = Counter("\n".join(view.paragraphs).split())
        lacking = {word for word, count in wanted.items() if held.get(word, 0) < count}
        held.subtract(wanted)
        for paragraph in view.paragraphs if lacking else ():
            parts = paragraph.split()
            if sum(word in lacking for word in parts) * 2 > len(parts):
                return list(views)
    return []


def _in_order(text: str, paragraphs: Sequence[str]) -> bool:
    """Whether the text holds these paragraphs literally and in order."""
    at = 0
    for paragraph in paragraphs:
        wanted = paragraph.strip()
        position = text.find(wanted, at)
        if position < 0:
            return False
        at = position + len(wanted)
    return True


def _is_missing(held: Counter[str], wanted: list[str]) -> bool:
    """Whether most of these words are missing. If not, the words that are present are claimed."""
    counts = Counter(wanted)
    available = {word: min(count, held.get(word, 0)) for word, count in counts.items()}
    if sum(available.values()) * 2 < len(wanted):
        return True
    held.subtract(available)
    return False
