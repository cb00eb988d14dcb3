"""Shows recall and latency of an index as a table, and the recall to expect of a version as a phrase."""

from __future__ import annotations

from typing import TYPE_CHECKING

import vecver
from vecver.cli.screens import wording
from vecver.cli.terminal import console
from vecver.cli.terminal.console import BAD, COMMAND, FAINT, GOOD, HEAD, ID, WARNING, Part, Screen

if TYPE_CHECKING:
    from rich.table import Table

_GOOD, _FAIR = 0.95, 0.85  # ann_recall, from which it is drawn green, amber
_NARROW = 70  # columns, below which only the mean and the median are shown


def show_recall(screen: Screen, title: str, measured: vecver.Recall) -> None:
    """The index of a version against exact search, a line for each k."""
    if not screen.terminal:
        _lines(screen, title, measured)
        return
    index, queries = measured.index, measured.queries
    origin = "sampled" if queries["source"] == "sample" else "given"
    screen.say((title, HEAD), "  ", (wording.short_id(measured.commit), ID))
    under = f"{index['indexed']:,} of {wording.count(index['chunks'], 'chunk')} under an index"
    screen.say((f"{under} · {queries['count']:,} {origin} queries, each against exact search", FAINT))
    screen.say()
    screen.draw(_table(screen, measured))
    if all(at.engine == "exact" for at in measured.at):
        screen.say()
        screen.say("So few chunks are scanned one by one: nothing is missed, and no index is needed.")


def expected_parts(expected: vecver.ExpectedRecall, dataset: str) -> list[Part]:
    """What recall to expect of a version, in its colour; where it is unknown, the command that measures it."""
    if expected.recall is None:
        return [("unknown", WARNING), (". Measure it: ", FAINT), (f"vecver optimize {dataset}", COMMAND)]
    if expected.basis == "exact":
        return [str(expected)]
    value, _, details = str(expected).partition(" ")
    return [(value, _style(expected.recall)), f" {details}"]


def _style(recall: float) -> str:
    return GOOD if recall >= _GOOD else WARNING if recall >= _FAIR else BAD


def _table(screen: Screen, measured: vecver.Recall) -> Table:
    from rich.table import Table

    wide = screen.width >= _NARROW
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=FAINT, pad_edge=False)
    names = ["k", "recall", "worst", "below 0.8", "p50", "p95", "p99", "queries/s", "engine"]
    shown = names if wide else ["k", "recall", "p50"]
    for name in shown:
        table.add_column(name, justify="left" if name == "engine" else "right", no_wrap=True)
    for at in measured.at:
        cells: dict[str, Part] = {
            "k": f"{at.k:,}",
            "recall": (f"{at.ann_recall:.3f}", _style(at.ann_recall)),
            "worst": "" if at.worst is None else f"{at.worst:.3f}",
            "below 0.8": "" if at.below_0_8 is None else f"{at.below_0_8:.1%}",
            **{name: f"{getattr(at, f'{name}_ms'):.2f} ms" for name in ("p50", "p95", "p99")},
            "queries/s": f"{at.queries_per_second:,.0f}",
            "engine": at.engine,
        }
        table.add_row(*(console.text(cells[name]) for name in shown))
    return table


def _lines(screen: Screen, title: str, measured: vecver.Recall) -> None:
    index, queries = measured.index, measured.queries
    origin = "sampled" if queries["source"] == "sample" else "given"
    screen.say(f"{title}  commit {measured.commit[:12]}")
    screen.say(f"  {index['chunks']} chunks, {index['indexed']} under an index; {queries['count']} {origin} queries")
    screen.say("      k  ann_recall   worst  below 0.8    p50 ms    p95 ms    p99 ms  queries/s  engine")
    for at in measured.at:
        times = "".join(f"{ms:10.2f}" for ms in (at.p50_ms, at.p95_ms, at.p99_ms))
        low = f"{at.worst or 0:8.3f}{at.below_0_8 or 0:11.1%}"
        screen.say(f"  {at.k:5d}  {at.ann_recall:10.4f}{low}{times}{at.queries_per_second:11.0f}  {at.engine}")
