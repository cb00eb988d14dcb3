"""Shows the difference between two versions: changed documents with counts, or one document word by word.

Decisions
1. Texts are compared only where chunks differ, sentence by sentence and then word by word, so a book with one edited
   line costs two chunks.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Literal

import vecver
from vecver.cli.screens import wording
from vecver.cli.terminal import console
from vecver.cli.terminal.console import ADDED, CHANGED, COMMAND, FAINT, HEAD, REMOVED, STRONG, Part, Screen

if TYPE_CHECKING:
    from vecver.model import ChunkCounts, ChunkDiff

Side = Literal["before", "after"]

SIGNS = {"added": ("+", ADDED), "changed": ("~", CHANGED), "removed": ("-", REMOVED)}
WIDE = 100  # columns, from which two texts stand side by side
_SENTENCE = re.compile(r"[^\n]*?[.!?…。！？][\"'”’)\]]*(?:\s+|$)|[^\n]*\n\s*|[^\n]+$")
_WORD = re.compile(r"\d+(?:[.,]\d+)+|\w+|\s+|[^\w\s]")
_COMPARED = 2_000  # sentences of one place, past which they are shown as they are
_ALIKE = 0.4  # share of the words that two sentences have in common, from which one is the other, changed
_BAR = 20  # signs of the longest bar of --stat


@dataclass(frozen=True)
class Pair:
    """A sentence before and after; "" where there is none."""

    before: str
    after: str


# -- versions -----------------------------------------------------------------------------------------


def show_diff(screen: Screen, diff: vecver.Diff, next_command: str, *, stat: bool = False, most: int = 0) -> None:
    """The documents that differ, at most so many (0: all), then the sum; `next_command` shows one of them."""
    lines = list(_documents(diff))
    shown = lines[:most] if most and screen.terminal else lines
    longest = max((chunk_counts.added + chunk_counts.removed for chunk_counts in diff.chunks_of.values()), default=0)
    width = max((len(name) for _, name in shown), default=0)
    width = min(width, screen.width // 2) if screen.terminal else width
    for change, name in shown:
        sign, style = SIGNS[change]
        counts = diff.chunks_of.get(name)
        parts: list[Part] = [(f"{sign} ", style), name.ljust(width)]
        if counts is not None:
            parts += _bar(counts, longest) if stat else [(f"  {_amount(change, counts)}", FAINT)]
        screen.say(*parts)
    if len(shown) < len(lines):
        screen.say((f"… and {len(lines) - len(shown):,} more: ", FAINT), (next_command, COMMAND))
    if screen.terminal and shown:
        screen.say()
    screen.say(*_sum(diff))
    if screen.terminal and diff.changed and len(shown) == len(lines):
        screen.say(("Next: ", FAINT), (f"{next_command} {_quoted(diff.changed[0])}", COMMAND))


def _documents(diff: vecver.Diff) -> Iterator[tuple[str, str]]:
    """(change, document) of all that differ, by name."""
    of = {name: change for change in ("added", "changed", "removed") for name in getattr(diff, change)}
    return ((of[name], name) for name in sorted(of))


def _amount(change: str, counts: ChunkCounts) -> str:
    """`4 chunks`, `2 of 31 chunks`."""
    if change != "changed":
        return wording.count(counts.after if change == "added" else counts.before, "chunk")
    if counts.added:
        return f"{counts.added:,} of {wording.count(counts.after, 'chunk')}"
    if counts.removed:
        return f"{wording.count(counts.removed, 'chunk')} gone, {counts.after:,} left"
    return "no chunk: metadata or blanks"


def _bar(counts: ChunkCounts, longest: int) -> list[Part]:
    """`12 ++++---`, as `git diff --stat`."""
    total = counts.added + counts.removed
    scale = min(1.0, _BAR / max(longest, 1))
    added, removed = (max(round(number * scale), 1 if number else 0) for number in (counts.added, counts.removed))
    return [f"  {total:>5,} ", ("+" * added, ADDED), ("-" * removed, REMOVED)]


def _sum(diff: vecver.Diff) -> list[Part]:
    number = len(diff.added) + len(diff.changed) + len(diff.removed)
    if not number:
        return ["The two versions hold the same documents."]
    counts = f"{wording.count(number, 'document')}: {len(diff.added):,} added, {len(diff.changed):,} changed, "
    counts += f"{len(diff.removed):,} removed"
    return [(counts, STRONG), f" · {wording.count(diff.chunks_added, 'chunk')} added, {diff.chunks_removed:,} removed"]


def _quoted(name: str) -> str:
    return shlex.quote(name)


# -- one document ---------------------------------------------------------------------------------------


def show_document(screen: Screen, diff: vecver.DocumentDiff) -> None:
    """The sentences that differ: side by side where there is room, else one below the other."""
    verbs = {"added": "is new", "removed": "is gone", "changed": "changed", "unchanged": "is the same in both versions"}
    screen.say((diff.document, HEAD), f" {verbs[diff.change]}")
    for name, (before, after) in diff.fields.items():
        screen.say(("~ ", CHANGED), f"{name}: ", (_value(before), REMOVED), " → ", (_value(after), ADDED))
    for place, removed, added in _places(diff.chunks):
        pairs = list(compared(removed, added))
        if not pairs:
            continue
        screen.say()
        if place:
            screen.say((place, FAINT))
        if screen.terminal and screen.width >= WIDE and removed and added:
            _side_by_side(screen, pairs)
        else:
            for pair in pairs:
                _below_each_other(screen, pair)
    if diff.change != "unchanged":
        screen.say()
        kept = f"{len(diff.kept):,} kept"
        screen.say((f"{wording.count(len(diff.added), 'chunk')} added, {len(diff.removed):,} removed, {kept}", STRONG))


def compared(before: str, after: str) -> Iterator[Pair]:
    """(before, after) of each sentence that differs; a rewritten sentence is paired with what it became."""
    old, new = (_SENTENCE.findall(text) for text in (before, after))
    if max(len(old), len(new)) > _COMPARED:
        yield Pair(before.strip(), after.strip())
        return
    keys = [[" ".join(sentence.split()) for sentence in side] for side in (old, new)]
    for change, a, b, c, d in SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_opcodes():
        if change != "equal":
            yield from _paired([key for key in keys[0][a:b] if key], [key for key in keys[1][c:d] if key])


def words(pair: Pair, side: Side) -> list[tuple[str, bool]]:
    """The pieces of one side of a pair, and whether the other side lacks each."""
    old, new = _WORD.findall(pair.before), _WORD.findall(pair.after)
    if not old or not new:
        return [(getattr(pair, side), True)] if getattr(pair, side) else []
    pieces: list[tuple[str, bool]] = []
    for change, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        piece = "".join(old[a:b] if side == "before" else new[c:d])
        if piece:
            pieces.append((piece, change != "equal"))
    return pieces


def _paired(old: Sequence[str], new: Sequence[str]) -> Iterator[Pair]:
    """Pairs each sentence with the most similar new one, in order; a sentence without one is alone."""
    reached = 0
    for sentence in old:
        alike = next((at for at in range(reached, len(new)) if _share(sentence, new[at]) >= _ALIKE), None)
        if alike is None:
            yield Pair(sentence, "")
            continue
        yield from (Pair("", one) for one in new[reached:alike])
        yield Pair(sentence, new[alike])
        reached = alike + 1
    yield from (Pair("", one) for one in new[reached:])


def _share(first: str, other: str) -> float:
    """The share of words that two sentences have in common."""
    a, b = (set(re.findall(r"\w+", text.casefold())) for text in (first, other))
    return len(a & b) / max(len(a | b), 1)


def _places(chunks: Iterable[ChunkDiff]) -> Iterator[tuple[str, str, str]]:
    """(where it is, the text that is gone, the text that is new) for each run of chunks that differ."""
    run: list[ChunkDiff] = []
    chunks = list(chunks)
    texts_only = [chunk for chunk in chunks if chunk.span[1]] or chunks  # the title is told among the fields
    for chunk in [*texts_only, None]:
        if chunk is not None and chunk.change != "kept":
            run.append(chunk)
        elif run:
            texts = [
                "\n".join(piece.text for piece in run if piece.change == change) for change in ("removed", "added")
            ]
            yield _place(run), texts[0], texts[1]
            run = []


def _place(run: Sequence[ChunkDiff]) -> str:
    """`p.12 · Heating › Pressure`, of the first chunk that stands anywhere."""
    position = next((one.position for one in run if one.position.__dict__ and one.change == "added"), run[0].position)
    page = f"p.{position.page}" if position.page is not None else ""
    line = f"line {position.line}" if position.line is not None else ""
    return " · ".join(one for one in (page, position.sheet or "", line, " › ".join(position.headings)) if one)


def _below_each_other(screen: Screen, pair: Pair) -> None:
    for side, sign, style in (("before", "-", REMOVED), ("after", "+", ADDED)):
        pieces = words(pair, side)  # type: ignore[arg-type]
        if not pieces:
            continue
        if not screen.terminal:
            screen.say(f"{sign} {getattr(pair, side)}")
            continue
        hanging = screen.indented(console.text(*_parts(pieces, style)), 2)
        screen.draw(console.text((f"{sign} ", style)) + hanging[2:])


def _side_by_side(screen: Screen, pairs: Sequence[Pair]) -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(ratio=1)
    table.add_column(ratio=1)
    for pair in pairs:
        table.add_row(
            console.text(*_parts(words(pair, "before"), REMOVED)), console.text(*_parts(words(pair, "after"), ADDED))
        )
    screen.draw(table)


def _parts(pieces: Sequence[tuple[str, bool]], style: str) -> list[Part]:
    """What differs in its colour, and underlined where the rest is the same."""
    all_differ = all(differs for _, differs in pieces)
    return [(piece, (style if all_differ else f"bold {style}") if differs else "") for piece, differs in pieces]


def _value(value: object) -> str:
    return "nothing" if value in (None, "") else str(value)
