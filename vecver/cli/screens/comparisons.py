"""Shows what two versions answer to the same questions, and why it differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import vecver
from vecver.cli.screens import wording
from vecver.cli.terminal import console
from vecver.cli.terminal.console import (
    ADDED,
    BAD,
    CHANGED,
    COMMAND,
    FAINT,
    GOOD,
    HEAD,
    ID,
    REMOVED,
    STRONG,
    Part,
    Screen,
)

if TYPE_CHECKING:
    from rich.table import Table

_SHOWN = 5  # of the questions that changed most
_WIDE, _NARROW = 76, 56  # columns of the terminal that all columns take, and those without the interval
_SURE = 0.05  # p below which a difference is drawn in colour
_SIGNS = {"entered": ("+", ADDED), "left": ("-", REMOVED), "moved": ("~", CHANGED)}


def show_comparison(screen: Screen, compared: vecver.Comparison, names: tuple[str, str], *, every: bool) -> None:
    """Measures side by side, then the questions that changed most, or every one that changed."""
    if not screen.terminal:
        _lines(screen, compared, names)
        return
    commits = [wording.short_id(commit) for commit in (compared.before, compared.after)]
    screen.say(
        (f"{compared.dataset}@{names[0]}", HEAD), " ", (commits[0], ID), " → ", (names[1], HEAD), " ", (commits[1], ID)
    )
    changed = _changed(compared)
    count = wording.count(len(compared.per_question), "question")
    screen.say((f"{count}, {len(changed):,} with other answers · overlap {compared.rbo:.3f}{_whys(compared)}", FAINT))
    if compared.measures:
        screen.say()
        screen.draw(_table(compared, screen.width))
    for each in changed if every else changed[:_SHOWN]:
        screen.say()
        _question(screen, each)
    if not every and len(changed) > _SHOWN:
        screen.say()
        screen.say((f"… and {len(changed) - _SHOWN:,} more: ", FAINT), ("--per-question", COMMAND))


def _changed(compared: vecver.Comparison) -> list[vecver.Compared]:
    """The questions whose documents, ranks or measures changed, those with the least overlap first."""
    changed = [each for each in compared.per_question if each.changes or any(a != b for a, b in each.measures.values())]
    return sorted(changed, key=lambda each: each.rbo)


def _whys(compared: vecver.Comparison) -> str:
    parts = [f"{reason} {number:,}" for reason, number in compared.reasons.items()]
    return f" · {', '.join(parts)}" if parts else ""


def _table(compared: vecver.Comparison, width: int) -> Table:
    """A line a measure; on a narrow terminal without the interval and p, then without the counts."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style=FAINT, pad_edge=False)
    shown = [0, 1, 2, 3, *((4, 5) if width >= _WIDE else ()), *((6, 7, 8) if width >= _NARROW else ())]
    names = ("", "from", "to", "change", "95%", "p", "better", "same", "worse")
    for name in (names[column] for column in shown):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for name, delta in compared.measures.items():
        style = (GOOD if delta.wins > delta.losses else BAD) if delta.p < _SURE and delta.delta else FAINT
        cells: list[Part] = [
            name,
            f"{delta.before:.3f}",
            (f"{delta.after:.3f}", STRONG),
            (f"{delta.delta:+.3f}", style),
        ]
        cells += [f"{delta.low:+.3f} … {delta.high:+.3f}", f"{delta.p:.3f}"]
        cells += [f"{delta.wins:,}", f"{delta.ties:,}", f"{delta.losses:,}"]
        table.add_row(*(console.text(cells[column]) for column in shown))
    return table


def _question(screen: Screen, each: vecver.Compared) -> None:
    name, (old, new) = next(iter(each.measures.items()), ("", (0.0, 0.0)))
    values = f"  {name} {old:.3f} → {new:.3f}" if name else ""
    screen.say((wording.folded(each.query or each.id), STRONG), (values, FAINT))
    for kind, change in _changes(each):
        sign, style = _SIGNS[kind]
        rank = f"{change.before} → {change.after}" if kind == "moved" else f"{change.rank}"
        line = console.text(
            (f"  {sign} ", style), f"{rank:>7}  ", change.document, (f"  {change.reason}", FAINT), wrap=False
        )
        screen.draw(line)


def _changes(each: vecver.Compared) -> Iterator[tuple[str, vecver.Change]]:
    for kind in _SIGNS:
        for change in getattr(each, kind):
            yield kind, change


def _lines(screen: Screen, compared: vecver.Comparison, names: tuple[str, str]) -> None:
    commits = [f"{name} {commit[:12]}" for name, commit in zip(names, (compared.before, compared.after), strict=True)]
    screen.say(f"{compared.dataset}  {'  '.join(commits)}  rbo {compared.rbo:.4f}")
    for name, delta in compared.measures.items():
        values = f"{delta.before:.4f}  {delta.after:.4f}  {delta.delta:+.4f}  p {delta.p:.4f}"
        screen.say(f"  {name:<12}  {values}  {delta.wins} wins  {delta.ties} ties  {delta.losses} losses")
    for each in _changed(compared):
        screen.say(f"  {each.id}  rbo {each.rbo:.4f}  {wording.folded(each.query or '')}")
        for kind, change in _changes(each):
            rank = f"{change.before}>{change.after}" if kind == "moved" else f"{change.rank}"
            screen.say(f"    {_SIGNS[kind][0]} {rank}  {change.document}  {change.why}")
