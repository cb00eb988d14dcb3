"""Postings and keyword scores: round trips, BM25 by its formula, and the same bits from the kernel and from numpy."""

from __future__ import annotations

import math
import random
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vecver
from vecver import index
from vecver.index.keywords import KeywordPart, KeywordVersion, Postings, Terms, build, load, ranking, scoring
from vecver.index.keywords import kernel as room
from vecver.index.keywords import postings as lists
from vecver.index.keywords.postings import _decoded, _encoded

Rows = list[list[str]]


def postings(rows: Rows, block: int = 1000) -> Postings:
    return build(numbered(rows[start : start + block]) for start in range(0, len(rows), block))


def numbered(rows: Rows) -> tuple[list[str], list[int], list[int]]:
    numbers: dict[str, int] = {}
    ids = [numbers.setdefault(term, len(numbers)) for row in rows for term in row]
    return list(numbers), ids, [len(row) for row in rows]


def keys(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 16), np.uint8)


def bits(flags: list[bool]) -> np.ndarray:
    return np.packbits(np.array(flags, bool), bitorder="little")


def version(segments: list[tuple[Rows, list[bool]]]) -> KeywordVersion:
    parts = [
        KeywordPart(postings(rows), None if all(live) else bits(live), sum(live), keys(len(rows), number))
        for number, (rows, live) in enumerate(segments)
    ]
    return KeywordVersion(parts)


@pytest.fixture(params=["compiled", "numpy"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "numpy":
        monkeypatch.setattr(ranking, "kernel", lambda: None)
    elif room.kernel() is None:
        pytest.skip("the kernel was not compiled")
    return str(request.param)


def random_segments(seed: int, rows: int = 300, vocabulary: int = 60) -> list[tuple[Rows, list[bool]]]:
    rng = random.Random(seed)
    words = [f"w{i}" for i in range(vocabulary)] + ["x"]
    texts = [[words[int(rng.paretovariate(0.7)) % len(words)] for _ in range(rng.randrange(30))] for _ in range(rows)]
    cuts = sorted(rng.sample(range(rows), 3))
    slices = [texts[first:last] for first, last in zip([0, *cuts], [*cuts, rows], strict=True)]
    return [(some, [rng.random() < 0.7 for _ in some]) for some in slices]


# -- postings -------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.sampled_from(["aa", "bb", "cc", "dd", "x", "語"]), max_size=12), max_size=40))
@settings(deadline=None)
def test_postings_say_which_rows_have_a_term_and_how_often(rows: Rows) -> None:
    made = load(memoryview(postings(rows).to_bytes()))
    assert made.row_count == len(rows) and made.nbytes == 0
    assert made.lengths.tolist() == [sum(len(term) > 1 for term in row) for row in rows]
    assert made.total_length == sum(made.lengths.tolist())
    terms = ["aa", "bb", "cc", "dd", "x", "語", "absent"]
    for term, place in zip(terms, made.find(index.keywords.term_numbers(terms)).tolist(), strict=True):
        expected = {row: counted[term] for row, counted in enumerate(map(Counter, rows)) if counted[term]}
        found = {} if place < 0 else dict(zip(*(column.tolist() for column in made.rows(place)), strict=True))
        assert found == expected
        assert place < 0 or made.counts[place] == len(expected)


@given(st.lists(st.integers(0, 2**40)))
def test_numbers_survive_leb128(values: list[int]) -> None:
    content, offsets = _encoded(np.array(values, np.uint64))
    assert _decoded(content).tolist() == values and offsets[-1] == len(content)


@given(st.lists(st.lists(st.sampled_from(["aa", "bb", "cc", "x"]), max_size=5), max_size=300), st.integers(1, 90))
@settings(deadline=None)
def test_blocks_of_rows_give_the_bytes_of_all_at_once(rows: Rows, block: int) -> None:
    assert postings(rows, block).to_bytes() == postings(rows).to_bytes()


@pytest.mark.skipif(room.kernel() is None, reason="the kernel was not compiled")
@given(st.lists(st.lists(st.sampled_from(["aa", "bb", "cc", "x"]), max_size=9), max_size=60), st.integers(1, 300))
@settings(deadline=None, max_examples=40)
def test_the_kernel_writes_the_lists_that_numpy_writes(rows: Rows, block: int) -> None:
    rows = [*rows, *[["aa"]] * 200, ["cc"] * 200]
    compiled = postings(rows, block).to_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists, "kernel", lambda: None)
        assert postings(rows, block).to_bytes() == compiled


@pytest.mark.skipif(room.kernel() is None, reason="the kernel was not compiled")
def test_the_kernel_writes_long_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gaps of one to three bytes, within a block and from one to the next."""
    rows: Rows = [[] for _ in range(200_000)]
    for row in (0, 1, 63, 64, 65, 200, 8_300, 8_400, 60_001, 199_999):
        rows[row] = ["aa", "aa", "bb"] if row % 2 else ["bb"]
    made = postings(rows, 70_000).to_bytes()
    monkeypatch.setattr(lists, "kernel", lambda: None)
    assert postings(rows, 70_000).to_bytes() == made


def test_the_bytes_of_a_file() -> None:
    """Rows 0 (once) and 2 (three times), so 0, then 2 * (2 - 0 - 1) + 1 = 3 and 3 - 2 = 1."""
    made = postings([["aa"], ["x"], ["aa", "aa", "aa"]])
    place = int(made.find(index.keywords.term_numbers(["aa"]))[0])
    assert made.lists[int(made.starts[place]) : int(made.starts[place + 1])].tolist() == [0, 3, 1]
    assert made.to_bytes()[:12] == b"vecverKW\1\0\0\0"


def test_damaged_files_are_refused() -> None:
    content = postings([["aa"], ["bb"]]).to_bytes()
    for damaged in (b"", content[:20], content[:-16], b"other" + content[5:], content[:8] + b"\2" + content[9:]):
        with pytest.raises(vecver.IntegrityError):
            load(memoryview(damaged))


# -- scores ---------------------------------------------------------------------------------------


def test_weights_are_logarithms_rounded_correctly() -> None:
    for number in (2, 3, 10, 101, 2**31 + 1):
        assert scoring._ln(number) == pytest.approx(math.log(number), rel=1e-15)
    assert scoring.idf(3, [2, 0])[0] == pytest.approx(math.log(1 + 1.5 / 2.5), rel=1e-14)
    assert scoring.idf(3, [2, 0])[1] == 0


def test_scores_are_sums_of_rounded_parts(engine: str) -> None:
    """With exact fractions between the logarithm and the rounding, at most one unit off for each term."""
    segments = random_segments(1)
    made = version(segments)
    live = [row for rows, alive in segments for row, lives in zip(rows, alive, strict=True) if lives]
    mean = Fraction(sum(len([t for t in row if len(t) > 1]) for row in live), len(live))
    query = ["w1", "w2", "w2", "x", "w59", "absent"]
    for part, row, score in made.best(Terms.of(query), 1000):
        text = segments[part][0][row]
        expected = Fraction(0)
        for term in query:
            times, count = text.count(term), sum(term in other for other in live)
            length = Fraction(len([t for t in text if len(t) > 1]))
            weight = Fraction(scoring.idf(len(live), [count])[0])
            expected += weight * times / (times + Fraction(3, 2) * (Fraction(1, 4) + Fraction(3, 4) * length / mean))
        assert abs(Fraction(score) - expected) <= len(query) * Fraction(1, 2**36)


def test_a_version_answers_as_an_index_of_just_its_rows(engine: str) -> None:
    for seed in range(5):
        segments = random_segments(seed)
        made = version(segments)
        alive = [(n, r) for n, (_, live) in enumerate(segments) for r, lives in enumerate(live) if lives]
        fresh_keys = np.stack([keys(len(segments[n][0]), n)[r] for n, r in alive])
        fresh = KeywordVersion(
            [KeywordPart(postings([segments[n][0][r] for n, r in alive]), None, len(alive), fresh_keys)]
        )
        for query in (["w1"], ["w1", "w5", "w5"], ["x", "w40"], [f"w{i}" for i in range(60)], ["absent"]):
            expected = [(*alive[row], score) for _, row, score in fresh.best(Terms.of(query), 20)]
            assert made.best(Terms.of(query), 20) == expected


def table(places: list[tuple[int, int]]) -> np.ndarray:
    """The parts of rows, and their rows there, `(2, n)`."""
    return np.array(places, np.int64).reshape(-1, 2).T


def test_rows_are_scored_in_passing(engine: str) -> None:
    made = version(random_segments(2))
    query, places = Terms.of(["w1", "w5", "x"]), [(0, 3), (1, 0), (0, 3), (0, 1)]
    found, given = made.best_and_given(query, 5, None, *table(places))
    assert given.tolist() == made.scores(query, places)
    assert list(zip(*map(list, found), strict=True)) == made.best(query, 5)
    for nothing in (Terms.of([]), Terms.of(["absent"])):
        found, given = made.best_and_given(nothing, 5, None, *table(places))
        assert given.tolist() == [0.0] * 4 and not len(found.rows)


@pytest.mark.skipif(room.kernel() is None, reason="the kernel was not compiled")
def test_the_kernel_computes_the_same_as_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(7)
    for seed in range(6):
        segments = random_segments(seed, rows=rng.choice([5, 300, 9000]))
        masks: list[np.ndarray | None] = [
            bits([lives and rng.random() < 0.5 for lives in live]) for _, live in segments
        ]
        query = Terms.of([f"w{rng.randrange(70)}" for _ in range(rng.choice([1, 4, 40]))] + ["x"])
        answers = []
        for compiled in (room.kernel(), None):
            monkeypatch.setattr(ranking, "kernel", lambda compiled=compiled: compiled)
            made = version(segments)
            best = [made.best(query, n, selected) for n in (0, 1, 10, 10_000) for selected in (None, masks)]
            places = [(n, r) for n, (_, live) in enumerate(segments) for r, lives in enumerate(live) if lives][::3]
            scores = made.scores(query, [*places, *places[::-1]])
            in_passing = [made.best_and_given(query, n, masks, *table(places[::-1])) for n in (1, 10)]
            assert all(given.tolist() == scores[len(places) :] for _, given in in_passing)
            answers.append((best, scores, [list(map(list, found)) for found, _ in in_passing]))
        assert answers[0] == answers[1]


def test_equal_scores_are_ordered_by_key(engine: str) -> None:
    made = version([([["aa"]] * 50, [True] * 50), ([["aa"]] * 50, [True] * 50)])
    found = made.best(Terms.of(["aa"]), 30)
    order = [made.parts[part].keys[row].tobytes() for part, row, _ in made.best(Terms.of(["aa"]), 100)]
    assert order == sorted(order) and len({score for *_, score in found}) == 1
    assert found == made.best(Terms.of(["aa"]), 100)[:30]


def test_long_rows_and_large_tables(engine: str) -> None:
    """A row of 70,000 terms needs four bytes for its length; 5,000 rows need two blocks."""
    rows = [["aa"] * 70_000, *[["aa", "bb"]] * 5_000, ["cc"]]
    made = version([(rows, [True] * len(rows))])
    assert made.parts[0].postings.lengths.itemsize == 4
    assert [row for _, row, _ in made.best(Terms.of(["cc"]), 5)] == [5001]
    assert len(made.best(Terms.of(["bb"]), 10_000)) == 5_000
    assert made.best(Terms.of(["aa"]), 10_000)[0][1] == 0 or len(made.best(Terms.of(["aa"]), 10_000)) == 5_001


def test_an_empty_version_has_no_rows(engine: str) -> None:
    assert KeywordVersion([]).best(Terms.of(["aa"]), 5) == []
    assert KeywordVersion([]).best(Terms.of([]), 5) == []
    assert version([([[]], [True])]).best(Terms.of(["aa"]), 5) == []


# -- kernels that are not used --------------------------------------------------------------------


def test_a_file_that_is_no_kernel_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "k.so").write_bytes(b"no library")
    assert room.load(tmp_path / "k.so") is None and room.load(tmp_path / "absent.so") is None
