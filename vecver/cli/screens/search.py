"""Shows answers: the version, then each hit with its best passage; why an answer is empty; ignored query words."""

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
class AnswerView:
    """An answer with what its screen shows beside it."""

    answer: vecver.Answer
    query: str | None  # None: a vector, which has no words
    seconds: float | None  # None: it was answered together with others
    commit: vecver.Commit
    nothing: str = ""  # why there is no hit
    full: bool = False  # show whole chunks
    several: bool = False  # the same command answered other queries


def show(screen: Screen, shown: AnswerView) -> None:
    """One answer."""
    if not screen.terminal:
        for line in _lines(shown):
            screen.say(line)
        return
    screen.say(*_title(shown))
    if shown.several:
        screen.say(f"“{shown.query}”" if shown.query is not None else "a vector")
    if shown.nothing:
        screen.say(shown.nothing)
    query = Query.over(shown.query, (hit.text for hit in shown.answer))
    rank = len(str(shown.answer[-1].rank)) if len(shown.answer) else 1
    for hit in shown.answer:
        screen.draw("", *_hit(hit, query, screen, rank, shown.full))
    screen.draw("")


def notes(answer: vecver.Answer) -> Iterator[str]:
    """One sentence for each part of the query that the model cannot read, and for what was not done as asked."""
    yield from answer.notes
    query = answer.query or {"tokens": 0, "unknown": 0, "cut": 0}
    tokens = wording.count(query["tokens"], "token")
    if query["cut"]:
        yield f"the model does not read the last {query['cut']:,} of the query's {tokens}: ask shorter"
    if query["unknown"]:
        unknown = f"the model does not know {query['unknown']:,} of the query's {tokens}"
        yield f"{unknown}: ask in other words, or ingest with a multilingual --embedder"


def why_nothing(commit: vecver.Commit, version: str, *, filtered: bool, narrowed: Sequence[str] = ()) -> str:
    """Why an answer of `version` (DATASET@REV) has no hits; `narrowed`: other options that leave hits out."""
    documents, chunks = commit.counts["documents"], commit.counts["chunks"]
    if not documents:
        return f"No hits: {version} holds no documents."
    if not chunks:
        return f"No hits: the {wording.count(documents, 'document')} of {version} hold no text."
    if filtered:
        reason = f"No hits: the filter matched 0 of {wording.count(documents, 'document')}"
        return reason + (f" (or {' and '.join(narrowed)} left none)." if narrowed else ".")
    if narrowed:
        return f"No hits: {' and '.join(narrowed)} left none of {wording.count(chunks, 'chunk')}."
    return "No hits."


def place(hit: vecver.Hit, line: int | None = None) -> str:
    """`heating.txt:14`, `boiler.pdf p.12`: as editors and readers take it."""
    location = hit.document if line is None else f"{hit.document}:{line}"
    if hit.page is not None:
        location += f" p.{hit.page}"
    return f"{location} {hit.sheet}" if hit.sheet else location


def origins(hit: vecver.Hit) -> str:
    """What put a hit there: `vector 0.516 #1 · words 1.146 #14 · reranker 0.930 (was 7)`; "" in plain search."""
    sides = (("vector", hit.dense), ("words", hit.keyword))
    parts = [f"{name} {side.score:.3f}{_rank(side.rank)}" for name, side in sides if side is not None]
    if hit.reranked is not None:
        parts.append(f"reranker {hit.reranked.score:.3f} (was {hit.reranked.before})")
    return " · ".join(parts)


def _rank(rank: int | None) -> str:
    return "" if rank is None else f" #{rank}"


def path(hit: vecver.Hit) -> str:
    """The document's title and the headings over the chunk: `Heating › Bleeding radiators`."""
    parts = [*([hit.title] if hit.title and hit.title not in hit.headings[:1] else []), *hit.headings]
    return " › ".join(wording.folded(part) for part in parts)


def _title(shown: AnswerView) -> list[Part]:
    answer, now = shown.answer, console.now()
    name = answer.revision if shown.commit.id != answer.revision else ""
    parts: list[Part] = [(f"{answer.dataset}{'@' if name else ''}{name}", HEAD), "  "]
    parts += [(wording.short_id(answer.commit), ID), (f" ({wording.old(shown.commit.time, now)})", FAINT)]
    if shown.seconds is not None:
        parts.append((f"   {wording.duration(shown.seconds)}", FAINT))
    return parts


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
    if why := origins(hit):
        header += [(f"  {why}", FAINT)]
    if where := path(hit):
        header += ["  ", *marked(Passage(where, query.marks(where), 0), FAINT)]
    body = [console.text((wording.folded(hit.header), FAINT))] if hit.header else []
    hit_starts = _own(hit)
    body += [
        console.text(*marked(one, FAINT if hit.context and one.start not in hit_starts else "")) for one in passages
    ]
    return [console.text(*header), *(screen.indented(one, rank + 2, _READABLE) for one in body)]


def _own(hit: vecver.Hit) -> range:
    """The characters of its context that are the hit's text; all of them if the text is not found in it."""
    context = hit.context or ""
    start = context.find(hit.text.strip())
    return range(len(context) + 1) if start < 0 else range(start, start + len(hit.text.strip()))


def marked(passage: Passage, style: str = "") -> list[Part]:
    """A passage with its marks; the rest in this style."""
    parts: list[Part] = []
    reached = 0
    for start, end in passage.marks:
        parts += [(passage.text[reached:start], style), (passage.text[start:end], MATCH)]
        reached = end
    return [*parts, (passage.text[reached:], style)]


def _lines(shown: AnswerView) -> Iterator[str]:
    """The lines for programs: two a hit, nothing cut."""
    answer = shown.answer
    yield f"{answer.dataset}@{answer.revision}  commit {wording.short_id(answer.commit, False)}"
    if shown.nothing:
        yield shown.nothing
    for hit in answer:
        where = f"[{hit.span[0]}:{hit.span[1]}]" if hit.span[1] else "[title]"
        standing = _standing(hit)
        yield f"{hit.rank:3d}  {hit.score:.4f}  {hit.document} {where}{'  ' if standing else ''}{standing}"
        if why := origins(hit):
            yield f"     {why}"
        if hit.header:
            yield f"     {wording.folded(hit.header)}"
        yield f"     {wording.folded(hit.context or hit.text)}"


def _standing(hit: vecver.Hit) -> str:
    """Where a chunk stands in its document; "" if nothing is known of it."""
    page = None if hit.page is None else f"p. {hit.page}"
    line = None if hit.line is None else f"line {hit.line}"
    headings = " > ".join(wording.folded(heading) for heading in hit.headings)
    return " · ".join(part for part in (page, hit.sheet, line, headings) if part)
