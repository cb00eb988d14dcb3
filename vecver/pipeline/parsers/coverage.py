"""Measures how much of a document its Markdown holds: compares the words its library saw with those that were kept.

Beside its Markdown, a reader gives the plain text of each part: a page, a sheet, a part of a mail. Every word of a part
must occur in the Markdown as often as in the part, or it is missing and a note names the part. Text that the reader
left out on purpose (running headers, navigation) is counted separately. Order is not compared.

Decisions
1. Words are compared as multisets, since readers may move text (columns, footnotes, captions) and a longest common
   subsequence is quadratic. Most words match as they stand between white space, so only the few others are folded and
   split finely. Counting costs less than a tenth of any reader.
2. The cheapest proof is tried first: every line occurs in the Markdown literally and in order, by `str.find`.
3. The next proof is that all words occur in order. Each search continues in the same iterator, at 30 ns a word: 2 ms
   for 100 kB of HTML, where counting words takes 7.
4. A word with a link attached to it is two words in Markdown and one in the plain text. If words are missing, the words
   of the Markdown without link syntax count too. Splitting the plain text at links instead fails, since some links are
   dropped.
5. Scripts without spaces are compared by character, since line breaks may fall anywhere in them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import contains
from typing import Any, Final

from vecver.model import Coverage, Mark

ENOUGH: Final = 0.995  # share of a document's words below which the parts that lack words are named
ENOUGH_OF_A_PART: Final = 0.98  # the same of one part, in a document that is whole otherwise
NAMED_PARTS: Final = 5
NAMED_WORDS: Final = 5

_SPACELESS: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD: Final = re.compile(f"[{_SPACELESS}]|[^\\W_{_SPACELESS}]+")
_UNSEEN: Final = dict.fromkeys(
    map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff")
)  # within words; libraries drop some of them
_LINK: Final = re.compile(r"\[((?:[^\[\]\\]|\\.)*+)\]\([^()\s]*+\)")
_TRIES: Final = 64
_WITHIN_WORDS: Final = "*\\"
_BESIDE_WORDS: Final = "#|[]()<>`"
_ASCII_MARKS: Final = {code: " " for code in range(128) if not chr(code).isalnum()}

Words = Counter[str]


@dataclass(frozen=True)
class Part:
    """A part of a document, as plain text from its reader's library."""

    name: str  # for messages: "page 3", "the sheet 'Prices'"; "" for the whole document
    text: str  # all text of the part, plain, in any order
    furniture: str = ""  # the text of it that the reader left out on purpose; adjacent text on one line


@dataclass(frozen=True)
class Content:
    """A reader's result for a document."""

    text: str  # Markdown
    title: str = ""  # used if the Markdown has no title
    parts: Sequence[Part] = ()  # what the text must hold; none if the text is the document itself
    marks: Sequence[Mark] = ()  # where pages and sheets begin in the text, in order
    notes: Sequence[str] = ()  # what is missing as far as the reader knows, a sentence each: "Page 3 holds no text ..."
    metadata: Mapping[str, Any] = field(default_factory=dict)  # the file's own metadata, not cleaned yet


def coverage_of(content: Content) -> Coverage | None:
    """How many words of `content.parts` the text holds; None without parts and notes."""
    if not content.parts:
        return Coverage(0, 0, 0, tuple(content.notes)) if content.notes else None
    if _stands_in_order(content):
        seen = sum(_size(part) for part in content.parts)
        return Coverage(seen, seen, 0, tuple(content.notes))
    if (furniture_seen := _words_in_order(content)) is not None:
        seen = sum(_size(part) for part in content.parts)
        return Coverage(seen, seen - furniture_seen, furniture_seen, tuple(content.notes))
    held = _UnclaimedWords(content.text)
    coarse = [_without(part.text.split(), part.furniture.split()) for part in content.parts]
    coarse = [(held.take(view), left_out) for view, left_out in coarse]
    held.split_finely()
    seen = furniture = 0
    missing = []
    for part, (view, left_out) in zip(content.parts, coarse, strict=True):
        fine, _ = _without(words(" ".join(view)), words(" ".join(left_out)))
        missing.append(Counter(held.take(fine)))
        seen += _size(part)
        furniture += _count(part.furniture)
    if any(missing):
        held.left = glued(content.text)
        missing = [Counter(held.take(lost_words.elements())) for lost_words in missing]
    return _measured(content, seen, furniture, missing)


def words(text: str) -> list[str]:
    """The words of a text, case-folded; single characters for scripts without spaces between words."""
    text = text.replace("\\*", "").replace("*", "")  # Markdown's emphasis may begin within a word
    if text.isascii():
        return text.lower().translate(_ASCII_MARKS).split()
    return _WORD.findall(unicodedata.normalize("NFKC", text.translate(_UNSEEN)).casefold())


def glued(markdown: str) -> Words:
    """Words that appear only once link syntax is removed: "preset" in "pre[set](https://a.b)"."""
    if "](" not in markdown:
        return Counter()
    return Counter(words(_LINK.sub(r"\1", markdown))) - Counter(words(markdown))


def _stands_in_order(content: Content) -> bool:
    """Whether the text holds every line of all parts literally and in order; the cheapest proof."""
    text, at = f" {content.text} ", 1
    for part in content.parts:
        if part.furniture:
            return False
        for line in part.text.split("\n"):
            wanted = line.strip()
            position = text.find(wanted, at)
            end = position + len(wanted)
            if position < 0 or (wanted and (text[position - 1].isalnum() or text[end].isalnum())):
                return False
            at = end
    return True


def _words_in_order(content: Content) -> int | None:
    """The number of words left out on purpose if the text holds all others in order; None if that is not certain."""
    text: Any = iter(_rough(content.text))
    furniture = 0
    for part in content.parts:
        view = _rough(part.text)
        lines = part.furniture.split("\n") if part.furniture else []
        for line in lines:
            wanted = _rough(line)
            begin = _position_of(view, wanted) if len(lines) <= _TRIES else -1
            if begin < 0:
                return None
            del view[begin : begin + len(wanted)]
            furniture += _count(line)
        if not all(map(contains, repeat(text), view)):  # each search continues where the last one ended
            return None
    return furniture


def _rough(text: str) -> list[str]:
    """The words between white space and Markdown syntax."""
    for mark in _WITHIN_WORDS:
        text = text.replace(mark, "")
    for mark in _BESIDE_WORDS:
        text = text.replace(mark, " ")
    return text.split()


def _position_of(view: list[str], wanted: list[str]) -> int:
    """The index of the run `wanted` in `view`; -1 if it is missing, or follows `_TRIES` places that begin alike."""
    if not wanted:
        return 0
    at = 0
    for _ in range(_TRIES):
        try:
            at = view.index(wanted[0], at)
        except ValueError:
            break
        if view[at : at + len(wanted)] == wanted:
            return at
        at += 1
    return -1


def _without(view: Iterable[str], furniture: Iterable[str]) -> tuple[Iterable[str], list[str]]:
    """The words of a part without its furniture, and the words of the furniture that do not match literally."""
    left_out = Counter(furniture)
    if not left_out:
        return view, []
    counted = Counter(view)
    return (counted - left_out).elements(), list((left_out - counted).elements())


class _UnclaimedWords:
    """The words of the text that no part has claimed so far."""

    def __init__(self, text: str) -> None:
        self.left: Words = Counter(text.split())

    def take(self, wanted: Iterable[str]) -> list[str]:
        """Claim each of these words; returns those that are missing, with repetitions."""
        lacking = []
        left = self.left
        for word, count in Counter(wanted).items():
            available = min(count, left.get(word, 0))
            if available:
                left[word] -= available
            if available < count:
                lacking += [word] * (count - available)
        return lacking

    def split_finely(self) -> None:
        self.left = Counter(words(" ".join(self.left.elements())))


def _measured(content: Content, seen: int, furniture: int, missing: Sequence[Words]) -> Coverage:
    lost = sum(lost_words.total() for lost_words in missing)
    is_complete = lost <= (1 - ENOUGH) * (seen - furniture)
    lacking = [(part, lost_words) for part, lost_words in zip(content.parts, missing, strict=True) if lost_words]
    if is_complete:
        lacking = [
            (part, lost_words)
            for part, lost_words in lacking
            if lost_words.total() > (1 - ENOUGH_OF_A_PART) * _size(part)
        ]
    lacking.sort(key=lambda pair: -pair[1].total())
    notes = [_note(part, lost_words) for part, lost_words in lacking[:NAMED_PARTS]]
    if len(lacking) > NAMED_PARTS:
        more_words = sum(lost_words.total() for _, lost_words in lacking[NAMED_PARTS:])
        notes.append(f"{more_words:,} more words are missing from {len(lacking) - NAMED_PARTS} more parts.")
    return Coverage(seen, seen - furniture - lost, furniture, (*content.notes, *notes))


def _size(part: Part) -> int:
    return _count(part.text)


def _count(text: str) -> int:
    if text.isascii():
        return len(text.translate(_ASCII_MARKS).split())
    return len(_WORD.findall(text))


def _note(part: Part, lost: Words) -> str:
    place = f" of {part.name}" if part.name else ""
    some = ", ".join(f"'{word}'" for word in list(lost)[:NAMED_WORDS]) + (" ..." if len(lost) > NAMED_WORDS else "")
    return f"{lost.total():,} of {_size(part):,} words{place} could not be kept: {some}."
