"""Cuts documents into chunks that keep their boundaries when the text around them changes.

It decides where a chunk begins and ends and how many tokens it may have. The caller passes the token counter; `pieces`
knows the markup.

A chunk is a run of *pieces*: blocks of the document, or parts of a block that is too long to embed. Sections begin at
headings. A long section is cut at the block end with the lowest (class, digest of the block before it) among those that
leave chunks of `min_tokens` to `max_tokens`. The choice depends only on the text near it, so an edit moves the cuts
near it and no others (min-hash, as in content-defined chunking).

Decisions
1. Version 4 cuts plain text (records, too) into chunks of up to 128 tokens, each with the title in front, and does not
   embed these titles separately. nDCG@10 folded to documents (`benchmarks/chunk_quality.py`), by tokens of a chunk's
   own text:
                                      64     96     128    170    254   one vector a document
    cranfield, title in front        0.422         0.436                0.427
    cranfield, title on its own      0.379         0.409  0.404  0.403
    cranfield, both                  0.416         0.423
    cisi, title in front             0.415  0.411  0.423                0.421
    cisi, both                       0.398         0.406
    xquad-de (no titles)             0.788         0.748  0.749  0.720  0.703
   Chosen on these three. On others, 128 tokens and one vector a document have: xquad-en 0.953, 0.944; xquad-zh 0.405,
   0.242; xquad-ar 0.130, 0.038; arcd 0.063, 0.028; scifact 0.677, 0.645. (Partly in bfloat16: xquad-en's documents have
   0.9439 so, 0.9436 in float32.) Rejected: keeping a document that the model can read in one go as one chunk (xquad-de
   0.683 at 64, 0.700 at 128: the many short chunks of longer documents outrank it), and one more vector for the
   document's beginning (cisi +0.006, cranfield +0.003 at 128). A title that does not fit in front completely keeps its
   vector, so that no word of it is lost.
2. Markdown and source code keep version 2's sizes, 64 tokens of own text. On otel-docs and tldr-en the share that is
   embedded again is 1.07 and 1.25 times the ideal at 64, 1.11 and 1.31 at 80, 1.20 and 1.39 at 128.
3. Titles of Markdown keep their own vector. Without it, and with the title in front of every chunk or of the first, R@1
   of otel-docs' pinned questions was 0.83 (60 tokens) and 0.75 (96) instead of 0.86, R@10 0.93 instead of 0.97.
   Version 3, never released and no longer supported, treated Markdown without headings as plain text: R@10 of the last
   otel-docs was 0.939 instead of 0.957, R@1 0.828 instead of 0.871.
4. Version 1's sizes of 32-112 tokens and the order of classes were chosen on the histories of four projects'
   documentation; `benchmarks/chunk_stability.py` measures them again.
5. A block that ends in a colon stays with whatever follows, not only with code, lists and tables. It is simpler, and on
   pages of one-line blocks 2% fewer chunks are embedded again.
6. A title and its description are chunked like any text, so a title too long for one chunk becomes several chunks
   instead of being cut off. All of them have the span `[0, 0)`.
7. A piece is counted with the white space that follows it in the chunk, so the tokens of a chunk are at most the sum
   over its pieces, for every tokenizer that breaks at white space. Chunks that join pieces inside a word are counted
   again as a whole.
8. "whole" takes any text as it is, as the published MTEB scores did. It promises no limit: the embedder truncates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import accumulate, chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vecver.errors import InvalidInputError
from vecver.model import Chunk, Json, Parsed
from vecver.near import near
from vecver.pipeline.chunkers.code import installed
from vecver.pipeline.chunkers.context import place, put_in_front
from vecver.pipeline.chunkers.pieces import (
    LONGEST_PER_TOKEN,
    RUNGS,
    Piece,
    Row,
    body_limit,
    pieces_of,
    split,
)
from vecver.pipeline.parsers.detection.media_types import TEXT

CountTokens = Callable[[Sequence[str]], npt.NDArray[np.int64]]
DEFAULT: Final = "structure"
NAMES: Final = (DEFAULT, "whole")
VERSIONS: Final = {"structure": (1, 2, 4), "whole": (1,)}  # supported versions; new datasets get the last
MOST_TOKENS: Final = 160  # default maximum of a chunk
CONTEXT_SHARE: Final = 5  # one in this many tokens is reserved for the context in front of a chunk's text
TITLE: Final = "passage"  # a title chunk lifts its passage (`Recipe.title_lifts_passage`); with True it is a hit itself
FEWEST_TOKENS: Final = 8  # least maximum of a chunk, since one character may be several tokens

_COUNTED_AT_ONCE: Final = 2048  # texts; bounds a tokenizer's memory


def chunker_recipe(
    name: str = "structure", *, tokens: int | None = None, max_tokens: int, grammars: Json | None = None
) -> Json:
    """The chunker `name` with all its parameters, as JSON.

    `tokens`: the most a chunk may have (None: 160, or the embedder's limit where that is lower). A fifth of
    them, `context_tokens`, is kept for the title, headings and table header in front of its own text. In Markdown
    and source code that text has at most half of the rest (`structured`). Its least is 2/7 of its most.
    `max_tokens`: what the embedder reads. `grammars`: what source code is cut with, as `code.installed` says it
    (None: that; {}: source code is cut at blank lines).
    Raises InvalidInputError for an unknown name, and for tokens that the chunker or the embedder cannot honour.
    """
    if name not in NAMES:
        raise _invalid(
            f"There is no chunker {name!r}.",
            f"use one of: {', '.join(NAMES)}",
            name=name,
            did_you_mean=near(name, NAMES),
        )
    if name == "whole":
        if tokens is not None:
            raise _invalid("The chunker 'whole' has no chunk size.", "leave the chunk size out, or use 'structure'")
        return {"name": name, "version": VERSIONS[name][-1]}
    most = min(MOST_TOKENS, max_tokens) if tokens is None else tokens
    if not FEWEST_TOKENS <= most <= max_tokens:
        raise _invalid(
            f"Chunks of {most} tokens cannot be made: the embedder reads at most {max_tokens}.",
            f"choose from {FEWEST_TOKENS} to {max_tokens} tokens",
            tokens=most,
        )
    context = most // CONTEXT_SHARE
    plain_text = most - context  # tokens
    structured_text = max(plain_text // 2, min(plain_text, FEWEST_TOKENS))
    grammars = installed() if grammars is None else grammars
    return {
        "name": name,
        "version": VERSIONS[name][-1],
        "min_tokens": round(plain_text * 2 / 7),
        "max_tokens": most,
        "context_tokens": context,
        "structured": {"min_tokens": round(structured_text * 2 / 7), "max_tokens": structured_text + context},
        "title": TITLE,
        **({"code": grammars} if grammars else {}),
    }


def chunk(parsed: Sequence[Parsed], recipe: Json, count_tokens: CountTokens) -> list[list[Chunk]]:
    """The chunks of each document, in order.

    `recipe` is what `chunker_recipe` gave; `count_tokens` the embedder's. With "structure" the spans
    tile the text (white space belongs to the chunk before it) and no `embedded` is above `max_tokens`.
    Chunks of the title, `[0, 0)`, come first. A document with nothing to embed has no chunks.
    Deterministic; token counts are batched over `parsed`, so give many documents at once.
    Raises InvalidInputError for a recipe that this version does not know, or whose grammars are not installed.
    """
    if recipe.get("version") not in VERSIONS.get(recipe.get("name", ""), ()):
        raise _invalid("This chunker is not known here.", "use the vecver that wrote this recipe", recipe=recipe)
    if recipe["name"] == "whole":
        return [_whole(document) for document in parsed]
    return _in_two_sizes(parsed, recipe, count_tokens)


def _in_two_sizes(parsed: Sequence[Parsed], recipe: Json, count_tokens: CountTokens) -> list[list[Chunk]]:
    """The chunks of each document; from version 4 on, Markdown and source code use the recipe's `structured` sizes."""
    chunks: list[list[Chunk]] = [[] for _ in parsed]
    for structured, sizes in ((False, recipe), (True, {**recipe, **recipe.get("structured", {})})):
        places = [n for n, document in enumerate(parsed) if (document.media_type != TEXT) == structured]
        counts = _Counts(count_tokens, body_limit(sizes))
        titled = not structured and recipe["version"] > 2
        for n, row in zip(places, _structure([parsed[n] for n in places], sizes, counts, titled), strict=True):
            chunks[n] = row
    return chunks


def _invalid(message: str, hint: str, **context: Any) -> InvalidInputError:
    return InvalidInputError(message, code="invalid_chunker", hint=hint, **context)


def _whole(document: Parsed) -> list[Chunk]:
    text = document.text
    if not text.strip():
        return []
    embedded = f"{document.title} {text}" if document.title else text
    return [Chunk(0, len(text), text, embedded.strip())]


def _structure(parsed: Sequence[Parsed], recipe: Json, counts: _Counts, titled: bool) -> list[list[Chunk]]:
    """The chunks of documents with the same limits; `titled`: put the title in front of each chunk."""
    pieces = [pieces_of(document, recipe) for document in parsed]
    texts = [*(title for title, _, _ in pieces), *(document.text for document in parsed)]
    rows = _fitted([*(row for _, row, _ in pieces), *(row for _, _, row in pieces)], texts, counts, recipe["version"])
    runs = _checked([_runs(row, counts, recipe["min_tokens"]) for row in rows], rows, counts)
    made = [list(_chunks(*document_parts)) for document_parts in zip(texts, rows, runs, strict=True)]
    titles = [[Chunk(0, 0, part.embedded, part.embedded) for part in title] for title in made[: len(parsed)]]
    bodies = made[len(parsed) :]
    if recipe["version"] > 1:
        placed = [
            place(*document_parts)
            for document_parts in zip(parsed, texts[: len(parsed)], rows[len(parsed) :], bodies, strict=True)
        ]
        names = [title.partition("\n")[0] if titled else "" for title, _, _ in pieces]
        bodies = put_in_front(placed, names, rows[len(parsed) :], recipe["context_tokens"], counts.learned)
        titles = _titles_not_in_front(titles, names, bodies, recipe["context_tokens"], counts)
    return [[*title, *body] for title, body in zip(titles, bodies, strict=True)]


def _titles_not_in_front(
    titles: list[list[Chunk]], names: list[str], bodies: list[list[Chunk]], most: int, counts: _Counts
) -> list[list[Chunk]]:
    """The title chunks of each document, or none if its title (at most `most` tokens) is in front of its chunks."""
    tokens = counts.learned(f"{name}\n" for name in names)
    return [
        [] if name and body and tokens[f"{name}\n"] <= most else title
        for title, name, body in zip(titles, names, bodies, strict=True)
    ]


def _chunks(text: str, row: Row, runs: list[Run]) -> Iterator[Chunk]:
    for first, last in runs:
        start, end = row[first].start, row[last - 1].end
        yield Chunk(start, end, text[start:end], _embedded(row, (first, last)))


# -- pieces that fit ----------------------------------------------------------------------------


class _Counts:
    """Token counts of texts, each computed once, in large batches."""

    def __init__(self, count_tokens: CountTokens, limit: int) -> None:
        self.limit = limit
        self._count = count_tokens
        self._known: dict[str, int] = {}

    def learn(self, texts: Iterable[str]) -> None:
        """Count the texts that are new and not too long to be counted."""
        longest = self.limit * LONGEST_PER_TOKEN
        new = [text for text in dict.fromkeys(texts) if len(text) <= longest and text not in self._known]
        for start in range(0, len(new), _COUNTED_AT_ONCE):
            some = new[start : start + _COUNTED_AT_ONCE]
            self._known.update(zip(some, self._count(some).tolist(), strict=True))

    def learned(self, texts: Iterable[str]) -> dict[str, int]:
        """Tokens of each text, all counted at once."""
        texts = list(dict.fromkeys(texts))
        self.learn(texts)
        return {text: self[text] for text in texts}

    def __getitem__(self, text: str) -> int:
        """Tokens of a text, at least 1; for a text too long to count, a number above the limit."""
        return max(1, self._known.get(text, self.limit + 1))


def _fitted(rows: list[Row], texts: list[str], counts: _Counts, version: int) -> list[Row]:
    """`rows` with every piece above the limit split repeatedly, until all fit."""
    pending = list(range(len(rows)))
    while pending:
        counts.learn(piece.text for n in pending for piece in rows[n])
        pending = [n for n in pending if any(_too_long(piece, counts) for piece in rows[n])]
        for n in pending:
            parts = (
                split(piece, texts[n], counts.limit, version) if _too_long(piece, counts) else [piece]
                for piece in rows[n]
            )
            rows[n] = list(chain.from_iterable(parts))
    return rows


def _too_long(piece: Piece, counts: _Counts) -> bool:
    return piece.rung < RUNGS and counts[piece.text] > counts.limit


# -- runs of pieces -----------------------------------------------------------------------------

Run = tuple[int, int]  # the pieces of one chunk, as [first, last) of a row


def _runs(row: Row, counts: _Counts, fewest: int) -> list[Run]:
    """The pieces of each chunk of one document."""
    tokens = [0, *accumulate(counts[piece.text] for piece in row)]
    sections = _sections(row, tokens, fewest)
    return [run for section in sections for run in _cut(row, section, tokens, fewest, counts.limit)]


def _sections(row: Row, tokens: list[int], fewest: int) -> list[Run]:
    """Sections begin at headings and definitions; one below `fewest` tokens joins the next, the last the previous."""
    starts = [n for n in range(1, len(row)) if _begins_section(row[n - 1], row[n])]
    sections: list[Run] = []
    first = 0
    for last in [*starts, len(row)]:
        if tokens[last] - tokens[first] >= fewest:
            sections.append((first, last))
            first = last
    if first < len(row):
        first = sections.pop()[0] if sections else first
        sections.append((first, len(row)))
    return sections


def _is_heading(piece: Piece) -> bool:
    return piece.kind == "heading" and not piece.inside


def _begins_section(before: Piece, after: Piece) -> bool:
    if after.inside:
        return False
    return after.kind == "definition" or after.names != before.names or (_is_heading(after) and not _is_heading(before))


def _cut(row: Row, section: Run, tokens: list[int], fewest: int, most: int) -> Iterator[Run]:
    first, last = section
    while tokens[last] - tokens[first] > most and last - first > 1:
        end = _best_end(row, (first, last), tokens, fewest, most)
        yield first, end
        first = end
    yield first, last


def _best_end(row: Row, section: Run, tokens: list[int], fewest: int, most: int) -> int:
    """The end of a section's first chunk: the lowest rank in reach, or as far as `most` tokens allow."""
    first, last = section
    end = furthest = first + 1
    lowest: tuple[int, bytes] | None = None
    for n in range(first + 1, last):
        size = tokens[n] - tokens[first]
        if size > most:
            break
        furthest = n
        if size >= fewest and tokens[last] - tokens[n] >= fewest:
            rank = _rank(row[n - 1], row[n])
            if lowest is None or rank < lowest:
                lowest, end = rank, n
    return end if lowest else furthest


def _rank(before: Piece, after: Piece) -> tuple[int, bytes]:
    """The rank of a cut here, lower is better; equal classes are ordered by the digest of the text before."""
    return _class(before, after), blake2b(before.text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _class(before: Piece, after: Piece) -> int:
    if _is_heading(before) and not after.inside:
        return 4
    if after.inside:
        return 4 if before.kind == "rows" and not before.inside else 3  # a table's header row belongs to its rows
    if _is_heading(after) or _begins_section(before, after):
        return 0
    return 2 if before.text.rstrip().endswith(":") else 1  # text that ends in a colon introduces the next block


def _embedded(row: Row, run: Run) -> str:
    return "".join(piece.text for piece in row[slice(*run)]).strip()


def _checked(runs: list[list[Run]], rows: list[Row], counts: _Counts) -> list[list[Run]]:
    """`runs`, halved if they exceed the limit because pieces that meet inside a word have more tokens together."""
    while True:
        doubtful = {
            (n, run): _embedded(row, run) for n, row in enumerate(rows) for run in runs[n] if _meets_in_word(row, run)
        }
        counts.learn(doubtful.values())
        over = {place for place, embedded in doubtful.items() if counts[embedded] > counts.limit}
        if not over:
            return runs
        runs = [
            [half for run in row for half in (_halves(run) if (n, run) in over else (run,))]
            for n, row in enumerate(runs)
        ]


def _meets_in_word(row: Row, run: Run) -> bool:
    return any(not piece.text[-1].isspace() for piece in row[run[0] : run[1] - 1])


def _halves(run: Run) -> tuple[Run, Run]:
    middle = (run[0] + run[1]) // 2
    return (run[0], middle), (middle, run[1])
