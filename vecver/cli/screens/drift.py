"""Shows what moved between two versions: each statistic with its classes, and chunks as examples."""

from __future__ import annotations

from collections.abc import Iterable

import vecver
from vecver.cli.screens import wording
from vecver.cli.terminal import console
from vecver.cli.terminal.console import ADDED, COMMAND, FAINT, GOOD, HEAD, ID, REMOVED, STRONG, WARNING, Screen
from vecver.cli.terminal.output import one_line

_LEAST = 20  # columns of an example's text


def show_drift(screen: Screen, drift: vecver.Drift, names: tuple[str, str], *, every: bool) -> None:
    """The statistics that moved, the farthest first; with `every` the others too."""
    if not screen.terminal:
        _lines(screen, drift, names, every)
        return
    commits = [wording.short_id(commit) for commit in (drift.before, drift.after)]
    screen.say(
        (f"{drift.dataset}@{names[0]}", HEAD), " ", (commits[0], ID), " → ", (names[1], HEAD), " ", (commits[1], ID)
    )
    counts = [
        f"{name} {old:,} → {new:,}" for name, (old, new) in (("documents", drift.documents), ("chunks", drift.chunks))
    ]
    differ = wording.count(drift.changed, "document differs", "documents differ")
    screen.say((f"{' · '.join(counts)} · {differ}", FAINT))
    for each in drift.moved:
        screen.say()
        screen.say((_title(each), WARNING), "  ", (_numbers(each), FAINT))
        for share in each.shares:
            screen.say(f"  {share.name}  ", f"{share.before:.1%} → ", (f"{share.after:.1%}", STRONG))
        if not each.shares:
            screen.say(f"  {each.text}")
        _examples(screen, "+", ADDED, each.examples)
        _examples(screen, "-", REMOVED, each.gone)
    screen.say()
    if drift.drifted:
        command = f"vecver diff {drift.dataset} {names[0]} {names[1]}"
        screen.say(f"{wording.count(len(drift.moved), 'statistic')} moved.  ", (command, COMMAND))
    else:
        screen.say(("Nothing moved.", GOOD))
    if every:
        for each in drift.statistics:
            if not each.moved:
                screen.say((f"  {_title(each):<16} {_numbers(each)}  {each.text}", FAINT))


def _title(each: vecver.Statistic) -> str:
    return each.name.replace("_", " ")


def _numbers(each: vecver.Statistic) -> str:
    return f"{each.distance:.3f}, threshold {each.threshold:.3f}"


def _examples(screen: Screen, sign: str, style: str, examples: Iterable[vecver.Example]) -> None:
    for each in examples:
        width = max(screen.width - len(each.document) - 6, _LEAST)
        line = console.text((f"  {sign} ", style), each.document, "  ", (one_line(each.text, width), FAINT), wrap=False)
        screen.draw(line)


def _lines(screen: Screen, drift: vecver.Drift, names: tuple[str, str], every: bool) -> None:
    commits = [f"{name} {commit[:12]}" for name, commit in zip(names, (drift.before, drift.after), strict=True)]
    moved = wording.count(len(drift.moved), "statistic")
    screen.say(f"{drift.dataset}  {'  '.join(commits)}  {moved} moved")
    for each in drift.statistics if every else drift.moved:
        state = "moved" if each.moved else "stayed"
        screen.say(f"  {each.name:<15}  {state}  {each.distance:.4f}  {each.threshold:.4f}  {each.text}")
        for sign, examples in (("+", each.examples), ("-", each.gone)):
            for example in examples:
                screen.say(f"    {sign} {example.document}  {example.key}  {wording.folded(example.text)}")
