"""Every write step of every verb is cut once, torn and reordered: the state is old or new, and later verbs work."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from disk import MODES, Cut, cuts, laid_out, recorded, unsynced
from tallies import Begin, Tally
from verbs import KINDS, READERS, VERBS, Verb, assert_goes_on, copied, kind_of, seen, small, store_of

SHALLOW = (  # one verb of each kind, in the ordinary suite
    *("init", "ingest, the first", "ingest", "ingest that embeds much", "ingest that folds", "rollback of a branch"),
    "ingest that folds in the thread",
    *("promote", "approve", "tag", "optimize", "gc with a retention", "recall", "snapshot"),
    *("upsert", "delete documents", "merge", "rename a dataset", "delete a dataset"),
    *("push", "pull", "clone"),
)


def try_cuts(verb: Verb, place: Path, line: Tally, choose: Callable[[list[Cut]], list[Cut]]) -> None:
    """Record a verb, and try what its cuts leave."""
    (place / "made").mkdir()
    verb.before(place / "made")
    work = copied(place / "made", place / "work")
    before = seen(work)
    with recorded(work) as recording:
        verb.act(work)
    after, found = seen(work), cuts(recording)
    if (work / "kb").exists():
        assert {kind_of(name) for name in store_of(work).list("")} <= set(KINDS), "test_damage must damage it"
    counts = Counter(mode for cut in found for mode in cut.ways)
    line.what += f" ({len(recording.steps)} steps: {', '.join(f'{mode} {counts[mode]}' for mode in MODES)})"
    assert all(counts[mode] >= verb.cuts for mode in MODES) and found[-1].returned
    with unsynced():
        for cut in choose(found):
            left = laid_out(cut.disk, place / "left")
            goes_on = partial(assert_goes_on, left, verb, before, after, returned=cut.returned)
            line.attempt(f"{line.what}: {cut}", goes_on)
            shutil.rmtree(left)


def some(found: list[Cut]) -> list[Cut]:
    """Two that are others whenever there are more or fewer, and one that had returned."""
    return [*random.Random(len(found)).sample(found, 2), found[-1]]


@pytest.mark.parametrize("name", SHALLOW)
def test_some_cuts(name: str, place: Path, tally: Begin) -> None:
    try_cuts(VERBS[name], place, tally(f"{name}, cut off"), some)


@pytest.mark.deep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", VERBS)
def test_every_cut(name: str, place: Path, tally: Begin) -> None:
    try_cuts(VERBS[name], place, tally(f"{name}, cut off"), lambda found: found)


@pytest.mark.parametrize("name", READERS)
def test_reading_writes_nothing(name: str, place: Path) -> None:
    small(place)
    with recorded(place) as recording:
        READERS[name](place)
    first, last = recording.steps[0], recording.steps[-1]
    assert first.files.keys() == last.files.keys() and len(recording.steps) == 1
