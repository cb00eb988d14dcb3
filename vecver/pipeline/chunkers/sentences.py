"""Finds where sentences end in a paragraph, for version 2 of the chunker's recipe.

Decisions
1. A stop, closing marks after it, and white space end a sentence, in every script whose stops are listed here. For a
   full stop, the word before it counts (after an abbreviation or an initial the sentence continues) and so does the
   letter after it (a small letter continues the sentence). The libraries pysbd and syntok rewrite the text or are slow.
2. A line break ends a sentence unless the next line begins with a small letter: wrapped paragraphs stay together, lines
   of a log do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_CLOSERS: Final = r"[\"'”’»›)\]}*_」』）】〉》]{0,8}+(?:\[\[?[\w*†‡^]{1,4}\]?\](?:\([^()\s]{0,2000}+\))?+){0,8}+"
_ENDS: Final = re.compile(
    rf"(?P<full>[.])(?:{_CLOSERS})\s+"
    rf"|[!?…؟۔।॥]++(?:{_CLOSERS})\s+"
    rf"|[。！？｡]++(?:{_CLOSERS})\s*+"
    r"|(?P<line>\n)\s*+"
)
_LAST_WORD: Final = re.compile(r"[\w.]{1,12}\Z")
_ABBREVIATIONS: Final = frozenset(
    """al approx bd bzw ca cf ch chap dept dr ed eds e.g eg eq eqs fig figs gen gov hon i.e ie inc jan feb mar apr jun
    jul aug sep sept oct nov dec jr lt ltd mme mr mrs ms mt nr op p pp par prof ref refs rep rev sec sen sgt sr st str
    tab usw u.a vgl viz vol vols vs z.b d.h""".split()  # noqa: SIM905
)
_NUMBERED: Final = frozenset(["no", "nos", "art"])  # abbreviations before a number, words elsewhere


def sentence_ends(text: str) -> Iterator[int]:
    """Offsets just after the sentences of `text` and the white space that follows them, in order."""
    for stop in _ENDS.finditer(text):
        after = text[stop.end() : stop.end() + 1]
        if stop["full"] and not _ends(
            text[max(0, stop.start() - 12) : stop.start()], "\n" if "\n" in stop[0] else after
        ):
            continue
        if stop["line"] and after.islower():
            continue
        yield stop.end()


def _ends(before: str, after: str) -> bool:
    """Whether a full stop between these ends a sentence."""
    if after.islower():
        return False
    last = _LAST_WORD.search(before)
    word = last[0].rpartition(" ")[2] if last else ""
    if word.lower() in _NUMBERED and after.isdigit():
        return False
    initial = (len(word) == 1 and word.isupper()) or re.fullmatch(r"(?:[A-Z]\.)+[A-Z]", word) is not None
    return not initial and word.lower() not in _ABBREVIATIONS
