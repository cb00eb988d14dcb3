"""Screens of values that take a server or long measuring to make: Milvus, recall, gc, check, replay, keys."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta

import pytest

import vecver
from vecver.cli.screens import measures, published, upkeep
from vecver.cli.terminal.console import Screen
from vecver.model import Problem

PUBLICATION = vecver.Publication(
    uri="http://localhost:19530",
    database="",
    collection="handbook_1",
    alias="",
    ordinal=3,
    filter="born <= 3 and died > 3",
    metric="IP",
    index="HNSW",
    dim=384,
    fields=("id", "vector", "text"),
    dataset="handbook",
    commit="7c1e0a9" + "0" * 57,
    chunks=2347,
    written=1200,
)
AT = vecver.RecallAt(10, 0.9784, "ivf", 1.25, 2.5, 4.75, 812.4, 0.7, 0.02)
RECALL = vecver.Recall(
    dataset="handbook",
    commit="7c1e0a9" + "0" * 57,
    at=(replace(AT, k=1, ann_recall=1.0), AT, replace(AT, k=100, ann_recall=0.8)),
    queries={"source": "given", "count": 120},
    index={"chunks": 2_347_000, "indexed": 2_340_000},
    environment={},
    time="2026-11-26T12:00:00.000000+00:00",
)


def screen(width: int = 80, *, terminal: bool = True) -> Screen:
    return Screen(io.StringIO(), terminal, width, 24, styled=False, colour=False, unicode=True)


def shown(on: Screen) -> list[str]:
    return [line.rstrip() for line in on.stream.getvalue().splitlines()]  # type: ignore[union-attr]


def test_a_published_version_is_shown_with_the_next_commands() -> None:
    on = screen()
    published.show_published(on, [PUBLICATION])
    assert shown(on) == [
        "handbook 7c1e0a9 is searchable in http://localhost:19530: 1,200 rows written.",
        "  collection handbook_1, ordinal 3, 2,347 chunks",
        'Next: vecver search handbook@7c1e0a9 "…" --engine milvus',
        "For other clients: vecver publication handbook@7c1e0a9",
    ]
    plain = screen(terminal=False)
    published.show_published(plain, [replace(PUBLICATION, written=0)])
    assert shown(plain) == [
        "handbook 7c1e0a900000 -> handbook_1 at ordinal 3 in http://localhost:19530: was there already"
    ]


def test_unpublished_versions() -> None:
    on = screen()
    published.show_unpublished(on, "handbook", [PUBLICATION.commit])
    published.show_unpublished(on, "handbook", [])
    assert shown(on) == [
        "handbook 7c1e0a9 is not published any more; the repository keeps it.",
        "Nothing to do: no such version is published there.",
    ]


def test_recall_is_a_table() -> None:
    on = screen()
    measures.show_recall(on, "handbook@main", RECALL)
    assert shown(on) == [
        "handbook@main  7c1e0a9",
        "2,340,000 of 2,347,000 chunks under an index · 120 given queries, each against",
        "exact search",
        "",
        "  k  recall  worst  below 0.8      p50      p95      p99  queries/s  engine",
        "  1   1.000  0.700       2.0%  1.25 ms  2.50 ms  4.75 ms        812  ivf",
        " 10   0.978  0.700       2.0%  1.25 ms  2.50 ms  4.75 ms        812  ivf",
        "100   0.800  0.700       2.0%  1.25 ms  2.50 ms  4.75 ms        812  ivf",
    ]


def test_garbage_is_shown_with_sizes() -> None:
    on = screen()
    segment = "segments/" + "8dad1412d1a2" * 5 + "8dad"
    garbage = vecver.Garbage(("c" * 64,), {segment: 1_234_567_890}, {"layouts/x": 812}, 5)
    upkeep.show_garbage(on, garbage, False, timedelta(days=1), "vecver gc --keep-last 1 --apply")
    assert shown(on) == [
        "5 versions kept, 1 version would be forgotten.",
        "  forgotten  ccccccc",
        "  to delete  1.2 GB in 1:",
        "       1.2 GB  segments/8dad1412d1a2…",
        "  waiting    812 bytes in 1:",
        "    812 bytes  layouts/x",
        "What waits goes once it has waited 1 day: run gc again then.",
        "Rows that only forgotten versions had, in segments that others need, go with",
        "vecver optimize DATASET.",
        "Nothing was changed. Next: vecver gc --keep-last 1 --apply",
    ]


def test_problems_and_what_to_do() -> None:
    on = screen()
    upkeep.show_check(on, vecver.Check(1400, 2_500_000, (Problem("segments/ab", "two bytes differ"),)), rows=False)
    assert shown(on) == [
        "✗ segments/ab: two bytes differ",
        "1 problem in 1,400 objects, 2.5 MB.",
        "Next: vecver check --repair makes again what is derived.",
    ]


def test_an_answer_that_differs() -> None:
    on = screen()
    upkeep.show_replay(on, vecver.Replay(False, ("hit 2 is another chunk",), 0.9, ("the index was rebuilt",)))
    assert shown(on) == [
        "✗ The answer differs from its receipt:",
        "  - hit 2 is another chunk",
        "  note: the index was rebuilt",
        "  It found 90.0% of what an exact search finds.",
    ]


@pytest.mark.parametrize("width", [10, 20, 33, 60])
def test_narrow_terminals_lose_nothing_that_matters(width: int) -> None:
    on = screen(width)
    measures.show_recall(on, "handbook@main", RECALL)
    published.show_published(on, [PUBLICATION])
    published.show_publication(on, PUBLICATION)
    assert max(map(len, shown(on))) <= width
    assert "0.978" in "".join(shown(on)) or width < 20
