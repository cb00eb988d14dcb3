"""Chooses the passage of a chunk to show: around the sentence that holds most of the query's words.

It compares words and uses no model. It changes only what is shown, not the order of hits.

Decisions
1. Words match when they share their beginning ("bleed", "bleeding", "radiators"), at least four letters of it and all
   but three: a stemmer would have to know the language of every document.
2. A word counts less the more of the answer's sentences have it, so that "the" and "wie" decide nothing. The short list
   of English words that are never marked is only for answers of one or two sentences.
3. Chinese, Japanese and Korean have no blanks: pairs of neighbouring characters stand for words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_PAIRED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
# A sentence ends behind its full stop, at a blank line, and before a line that begins a list item, row or heading.
_END = re.compile(
    r"""(?<=[.!?…])["'”’)\]]*\s+(?=[^\W\da-z_]|[\d"'“‘(*_`])"""
    r"|(?<=[。！？])|\n\s*\n|\n(?=\s*(?:[-*+|#>]|\d+[.)]))"
)
_PROSE = re.compile(r"[^\W\d_]|[\"'“‘(]")  # how a line begins that goes on with its paragraph
_FENCE = re.compile(r"\s*(?:```|~~~)")
_HEADING = re.compile(r"#{1,6}\s")
_ENGLISH = (
    "a an and are as at be by can could did do does for from had has have how i if in into is it its may me my no not "
    "of on or our should so than that the their them then there these they this to us was we were what when where "
    "which who why will with would you your let get until out"
)
_COMMON = frozenset(re.findall(r"\w+", _ENGLISH))
_LINES = 3  # of a terminal, that a passage may fill
_CODE_LINES = 4  # of a piece of code
_CODE_SHARE = 0.5  # of the lines of code, at least, look like it
_SENTENCES = 10_000  # of one chunk, that are looked at


@dataclass(frozen=True)
class Passage:
    """A piece of a chunk's text, and the words in it that the query has."""

    text: str  # on one line, with "…" where it was cut
    marks: tuple[tuple[int, int], ...]  # characters of `text`, in order
    start: int  # where it begins in the chunk's text


@dataclass(frozen=True)
class Query:
    """The words of a query, with what each is worth."""

    weights: dict[str, float]

    @classmethod
    def over(cls, query: str | None, texts: Iterable[str]) -> Query:
        """The words that are worth looking for; each counts less the more sentences of the texts have it."""
        words = list(dict.fromkeys(word for _, _, word in _words(query or "")))
        telling = [word for word in words if word not in _COMMON] or words
        if not telling:
            return cls({})
        sentences = [sentence for text in texts for _, sentence in _sentences(text)]
        seen = Counter(word for sentence in sentences for word in _held(telling, sentence))
        return cls({word: 1.0 / (1 + seen[word]) for word in telling})

    def marks(self, text: str) -> tuple[tuple[int, int], ...]:
        """The characters of a text that stand for a word of the query; what touches is one mark."""
        spans: list[tuple[int, int]] = []
        for start, end, word in _words(text):
            if any(_same(word, wanted) for wanted in self.weights):
                if spans and start <= spans[-1][1]:
                    spans[-1] = (spans[-1][0], end)
                else:
                    spans.append((start, end))
        return tuple(spans)

    def worth(self, sentence: str) -> float:
        """What the query's words in a sentence are worth together."""
        return sum(self.weights[word] for word in _held(list(self.weights), sentence))


def passage(text: str, query: Query, width: int, lines: int = _LINES) -> Passage:
    """The piece of a text around its best sentence that fills at most so many lines of a terminal."""
    sentences = list(_sentences(text))
    if not sentences:
        return Passage("", (), 0)
    # The headings are shown beside the passage.
    sentences = [one for one in sentences if not _HEADING.match(one[1])] or sentences
    room = max(width * lines - 2, 8)
    best = max(range(len(sentences)), key=lambda number: (query.worth(sentences[number][1]), -number))
    if len(_fold(sentences[best][1])) > room:
        return _window(*sentences[best], query, room, first=best == 0, last=best == len(sentences) - 1)
    first, last = _grown([len(_fold(sentence)) for _, sentence in sentences], best, room)
    shown = _fold(" ".join(sentence for _, sentence in sentences[first : last + 1]))
    start, behind = sentences[first][0], last < len(sentences) - 1
    return _marked(shown, query, start, before=first > 0, behind=behind)


def excerpt(text: str, query: Query) -> list[Passage]:
    """The lines of a piece of code with most of the query's words, without the indentation that all of them have."""
    lines = text.expandtabs(4).split("\n")
    worth = [query.worth(line) for line in lines]
    places = range(max(len(lines) - _CODE_LINES, 0) + 1)
    best = max(places, key=lambda at: (sum(worth[at : at + _CODE_LINES]), worth[at], -at))
    best = next((at for at in range(best, best + _CODE_LINES) if "".join(lines[at : at + 1]).strip()), best)
    shown = lines[best : best + _CODE_LINES]
    while len(shown) > 1 and not shown[-1].strip():
        shown.pop()
    margin = min((len(line) - len(line.lstrip()) for line in shown if line.strip()), default=0)
    starts = [sum(len(line) + 1 for line in text.split("\n")[: best + number]) for number in range(len(shown))]
    cut = [line[margin:].rstrip() for line in shown]
    return [Passage(line, query.marks(line), start) for line, start in zip(cut, starts, strict=True)]


def is_code(text: str) -> bool:
    """Whether a text reads as code: many of its lines are indented, or end as statements do."""
    lines = [line for line in text.split("\n") if line.strip()]
    telling = [line for line in lines if line[0] in " \t" or line.rstrip()[-1] in "{}();[]:=\\"]
    return len(lines) > 1 and len(telling) >= _CODE_SHARE * len(lines)


def whole(text: str, query: Query, *, reflow: bool = False) -> list[Passage]:
    """A text line by line, its words marked; blank lines at its ends are left out.

    `reflow`: the lines of a paragraph become one, as in a text whose line ends mean nothing.
    """
    stripped = text.strip("\n")
    start = text.find(stripped) if stripped else 0
    lines = []
    for line in _reflowed(stripped) if reflow else stripped.split("\n"):
        lines.append(Passage(line, query.marks(line), start))
        start += len(line) + 1
    return lines


def _reflowed(text: str) -> list[str]:
    """The lines of a Markdown text, those of a paragraph joined; headings, lists, tables and code stay."""
    lines: list[str] = []
    code = False
    for line in text.split("\n"):
        code ^= bool(_FENCE.match(line))
        if lines and not code and _PROSE.match(line) and _PROSE.match(lines[-1]):
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    return lines


def _grown(lengths: Sequence[int], best: int, room: int) -> tuple[int, int]:
    """The first and last sentence that fit with the best one: what follows it first, then what leads to it."""
    first = last = best
    taken = lengths[best]
    while last + 1 < len(lengths) and taken + 1 + lengths[last + 1] <= room:
        last += 1
        taken += 1 + lengths[last]
    while first > 0 and taken + 1 + lengths[first - 1] <= room:
        first -= 1
        taken += 1 + lengths[first]
    return first, last


def _window(start: int, sentence: str, query: Query, room: int, *, first: bool, last: bool) -> Passage:
    """The piece of a sentence that is too long with the most marked words in it; it begins at a word."""
    shown = _fold(sentence)
    marks = query.marks(shown)
    begins = [max(0, begin - room // 4) for begin, _ in marks] or [0]
    begin = max(begins, key=lambda at: (sum(at <= a and b <= at + room for a, b in marks), -at))
    if begin:
        begin = shown.find(" ", begin) + 1 or begin
    end = len(shown) if begin + room >= len(shown) else shown.rfind(" ", begin + room // 2, begin + room)
    end = begin + room if end < 0 else end
    before, behind = begin > 0 or not first, end < len(shown) or not last
    return _marked(shown[begin:end], query, start + begin, before=before, behind=behind)


def _marked(shown: str, query: Query, start: int, *, before: bool, behind: bool) -> Passage:
    shown = f"{'… ' if before else ''}{shown}{' …' if behind else ''}"
    return Passage(shown, query.marks(shown), start)


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """Where each sentence begins, and what it says, without blanks at its ends."""
    begin = 0
    ends = [match.end() for _, match in zip(range(_SENTENCES), _END.finditer(text), strict=False)]
    for end in [*ends, len(text)]:
        piece = text[begin:end]
        if stripped := piece.strip():
            yield begin + piece.find(stripped), stripped
        begin = end


def _words(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and folded form of each word."""
    for match in _WORD.finditer(text):
        start, end = match.span()
        if _PAIRED.match(match[0]) and end - start > 1:
            yield from ((at, at + 2, text[at : at + 2]) for at in range(start, end - 1))
        else:
            yield start, end, match[0].casefold()


def _held(words: Sequence[str], sentence: str) -> list[str]:
    """Those of the words that a sentence has."""
    here = {word for _, _, word in _words(sentence)}
    return [word for word in words if word in here or any(_same(word, other) for other in here)]


def _same(one: str, other: str) -> bool:
    """Whether two words are one, but for their endings."""
    if one == other:
        return True
    short = min(len(one), len(other))
    shared = next((at for at in range(short) if one[at] != other[at]), short)
    return shared >= 4 and max(len(one), len(other)) - shared <= 3 and short - shared <= 2


def _fold(text: str) -> str:
    return " ".join(text.split())
