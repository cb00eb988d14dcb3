"""Large parts are searched in several threads, and every answer is the one of a single thread."""

from __future__ import annotations

import threading
from threading import Event

import numpy as np
import pytest
from generated import part

from vecver.index import search, side_by_side
from vecver.index.side_by_side import each
from vecver.model import Part
from vecver.progress import listening, phase


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Four cores, on which every part of ten rows is large."""
    monkeypatch.setattr(side_by_side, "_LARGE", 10)
    monkeypatch.setattr(side_by_side, "usable_cores", lambda: 4)
    return monkeypatch


def parts(*counts: int) -> list[Part]:
    rng = np.random.default_rng(7)
    return [part(rng.standard_normal((count, 8)).astype(np.float32), None, count) for count in counts]


@pytest.mark.parametrize("counts", [(40, 30), (5, 40, 3, 30, 20, 60, 10), (40,), (3, 4), ()])
@pytest.mark.parametrize("exact", [True, False])
def test_answers_do_not_depend_on_threads(cores: pytest.MonkeyPatch, counts: tuple[int, ...], exact: bool) -> None:
    queries = np.random.default_rng(3).standard_normal((5, 8)).astype(np.float32)
    in_threads = search(parts(*counts), queries, 12, "ip", exact=exact)
    cores.setattr(side_by_side, "usable_cores", lambda: 1)
    assert in_threads == search(parts(*counts), queries, 12, "ip", exact=exact)


def test_large_parts_are_read_at_the_same_time(cores: pytest.MonkeyPatch) -> None:
    """Each of three waits until all three have begun; small ones stay with the caller."""
    together, seen = threading.Barrier(3, timeout=10), dict[int, str]()

    def work(one: Part) -> int:
        seen[one.live_count] = threading.current_thread().name
        if one.live_count >= 10:
            together.wait()
        return one.live_count

    assert each(parts(3, 20, 30, 4, 40), work) == [3, 20, 30, 4, 40]
    assert len({seen[20], seen[30], seen[40]}) == 3 and seen[3] == seen[4] == seen[20]


@pytest.mark.parametrize(("there", "threads"), [(2, 1), (3, 1), (6, 3), (64, 3)])
def test_searches_share_the_cores(cores: pytest.MonkeyPatch, there: int, threads: int) -> None:
    """While one search is held, another of three large parts has half of the cores."""
    begun, ended, together, names = Event(), Event(), threading.Barrier(threads, timeout=10), set[str]()

    def hold(one: Part) -> None:
        begun.set()
        ended.wait(10)

    def work(one: Part) -> None:
        together.wait()
        names.add(threading.current_thread().name)

    cores.setattr(side_by_side, "usable_cores", lambda: there)
    first = threading.Thread(target=each, args=(parts(20, 30), hold))
    first.start()
    begun.wait(10)
    each(parts(20, 30, 40), work)
    ended.set()
    first.join()
    assert len(names) == threads


def test_an_error_is_the_callers_and_the_next_search_has_threads_again(cores: pytest.MonkeyPatch) -> None:
    def fail(one: Part) -> None:
        if one.live_count == 30:
            raise ValueError("as it was raised")

    with pytest.raises(ValueError, match="as it was raised"):
        each(parts(20, 30, 40), fail)
    test_large_parts_are_read_at_the_same_time(cores)


def test_phases_of_all_threads_are_told(cores: pytest.MonkeyPatch) -> None:
    heard: list[str] = []

    def work(one: Part) -> None:
        with phase(f"part of {one.live_count}"):
            pass

    with listening(lambda name, _: heard.append(name)):
        each(parts(20, 30, 40), work)
    assert sorted(heard) == ["part of 20", "part of 30", "part of 40"]
