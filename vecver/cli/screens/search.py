"""Answers: the version, then each hit with the passage to read first; what a query was not answered by, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import vecver
from vecver.cli.screens import wording
from vecver.cli.screens.passages import Passage, Query, excerpt, is_code, passage, whole
from vecver.cli.terminal import console
from vecver.cli.terminal.console import FAINT, HEAD, ID, MATCH, Part, Screen

if TYPE_CHECKING:
    from rich.console import RenderableType

_READABLE = 100  # columns, past which lines are hard to read


@dataclass(frozen=True)
class Asked:
    """An answer, and what a reader wants to know beside it."""

    answer: vecver.Answer
    query: str | None  # None: a vector, which has no words
    seconds: float | None  # None: it was answered together with others
    commit: vecver.Commit
    nothing: str = ""  # why there is no hit
    full: bool = False  # show whole chunks
    several: bool = False  # other queries were asked with it


def show(screen: Screen, asked: Asked) -> None:
    """One answer."""
    if not screen.terminal:
        for line in _lines(asked):
            screen.say(line)
        return
    screen.say(*_title(asked))
    if asked.several:
        screen.say(f"“{asked.query}”" if asked.query is not None else "a vector")
    if asked.nothing:
        screen.say(asked.nothing)
    query = Query.over(asked.query, (hit.text for hit in asked.answer))
    rank = len(str(asked.answer[-1].rank)) if len(asked.answer) else 1
    for hit in asked.answer:
        screen.draw("", *_hit(hit, query, screen, rank, asked.full))
    screen.draw("")


def notes(answer: vecver.Answer) -> Iterator[str]:
    """What of the query was not searched for, one sentence each."""
    query = answer.query or {"tokens": 0, "unknown": 0, "cut": 0}
    tokens = wording.count(query["tokens"], "token")
    if query["cut"]:
        yield f"the model does not read the last {query['cut']:,} of the query's {tokens}: ask shorter"
    if query["unknown"]:
        told = f"the model does not know {query['unknown']:,} of the query's {tokens}"
        yield f"{told}: ask in other words, or ingest with a multilingual --embedder"


def why_nothing(commit: vecver.Commit, version: str, *, filtered: bool, narrowed: Sequence[str] = ()) -> str:
    """Why an answer of `version` (DATASET@REV) has no hits; `narrowed`: other options that leave hits out."""
    documents, chunks = commit.counts["documents"], commit.counts["chunks"]
    if not documents:
        return f"No hits: {version} holds no documents."
    if not chunks:
        return f"No hits: the {wording.count(documents, 'document')} of {version} hold no text."
    if filtered:
        told = f"No hits: the filter matched 0 of {wording.count(documents, 'document')}"
        return told + (f" (or {' and '.join(narrowed)} left none)." if narrowed else ".")
    if narrowed:
        return f"No hits: {' and '.join(narrowed)} left none of {wording.count(chunks, 'chunk')}."
    return "No hits."


def place(hit: vecver.Hit, line: int | None = None) -> str:
    """`heating.txt:14`, `boiler.pdf p.12`: as editors and readers take it."""
    found = hit.document if line is None else f"{hit.document}:{line}"
    if hit.page is not None:
        found += f" p.{hit.page}"
    return f"{found} {hit.sheet}" if hit.sheet else found


def path(hit: vecver.Hit) -> str:
    """The document's title and the headings over the chunk: `Heating › Bleeding radiators`."""
    parts = [*([hit.title] if hit.title and hit.title not in hit.headings[:1] else []), *hit.headings]
    return " › ".join(wording.folded(part) for part in parts)


def _title(asked: Asked) -> list[Part]:
    answer, now = asked.answer, console.now()
    name = answer.revision if asked.commit.id != answer.revision else ""
    found: list[Part] = [(f"{answer.dataset}{'@' if name else ''}{name}", HEAD), "  "]
    found += [(wording.short_id(answer.commit), ID), (f" ({wording.old(asked.commit.time, now)})", FAINT)]
    if asked.seconds is not None:
        found.append((f"   {wording.duration(asked.seconds)}", FAINT))
    return found


def _hit(hit: vecver.Hit, query: Query, screen: Screen, rank: int, full: bool) -> list[RenderableType]:
    """One hit: where it stands, and what it says, indented."""
    if full or hit.context is not None:
        passages = whole(hit.text if hit.context is None else hit.context, query, reflow=hit.line is None)
        skipped = 0
    else:
        code = hit.line is not None and is_code(hit.text)
        width = min(screen.width - rank - 2, _READABLE)
        passages = excerpt(hit.text, query) if code else [passage(hit.text, query, width)]
        skipped = hit.text.count("\n", 0, passages[0].start)
    line = None if hit.line is None else hit.line + skipped
    header: list[Part] = [f"{hit.rank:>{rank}}  ", (f"{hit.score:.3f}", FAINT), "  ", (place(hit, line), HEAD)]
    if where := path(hit):
        header += ["  ", *marked(Passage(where, query.marks(where), 0), FAINT)]
    body = [console.text((wording.folded(hit.header), FAINT))] if hit.header else []
    own = _own(hit)
    body += [console.text(*marked(one, FAINT if hit.context and one.start not in own else "")) for one in passages]
    return [console.text(*header), *(screen.indented(one, rank + 2, _READABLE) for one in body)]


def _own(hit: vecver.Hit) -> range:
    """Where in its context the text of a hit stands; all of it, if that cannot be said."""
    context = hit.context or ""
    start = context.find(hit.text.strip())
    return range(len(context) + 1) if start < 0 else range(start, start + len(hit.text.strip()))


def marked(one: Passage, style: str = "") -> list[Part]:
    """A passage with its marks; the rest in this style."""
    found: list[Part] = []
    reached = 0
    for start, end in one.marks:
        found += [(one.text[reached:start], style), (one.text[start:end], MATCH)]
        reached = end
    return [*found, (one.text[reached:], style)]


def _lines(asked: Asked) -> Iterator[str]:
    """For programs: two lines a hit, nothing cut off."""
    answer = asked.answer
    yield f"{answer.dataset}@{answer.revision}  commit {wording.short_id(answer.commit, False)}"
    if asked.nothing:
        yield asked.nothing
    for hit in answer:
        where = f"[{hit.span[0]}:{hit.span[1]}]" if hit.span[1] else "[title]"
        standing = _standing(hit)
        yield f"{hit.rank:3d}  {hit.score:.4f}  {hit.document} {where}{'  ' if standing else ''}{standing}"
        if hit.header:
            yield f"     {wording.folded(hit.header)}"
        yield f"     {wording.folded(hit.context or hit.text)}"


def _standing(hit: vecver.Hit) -> str:
    """Where a chunk stands in its document; "" if nothing is known of it."""
    page = None if hit.page is None else f"p. {hit.page}"
    line = None if hit.line is None else f"line {hit.line}"
    headings = " > ".join(wording.folded(heading) for heading in hit.headings)
    return " · ".join(part for part in (page, hit.sheet, line, headings) if part)
