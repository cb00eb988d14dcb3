"""Masks: rows of selected documents, live rows of lists, Arrow's flags; the same with the kernel and with numpy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernel import compiled, use

from vecver import index
from vecver.index.filters import evaluate
from vecver.index.kernel import Kernel
from vecver.index.masks import list_sizes

__all__ = ["compiled"]


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(0, 100), documents=st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_the_rows_of_selected_documents(compiled: Kernel, seed: int, rows: int, documents: int) -> None:
    rng = np.random.default_rng(seed)
    chosen = rng.random(documents) < 0.5
    numbers = rng.integers(-1, documents, 30, dtype=np.int32) if documents else np.full(30, -1, np.int32)
    codes = rng.integers(0, 30, rows, dtype=np.int32)
    live = rng.random(rows) < 0.7
    true = np.array(
        [bool(live[row] and numbers[code] >= 0 and chosen[numbers[code]]) for row, code in enumerate(codes)]
    )
    for kernel in (compiled, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vecver.index.masks.kernel", lambda kernel=kernel: kernel)
            bits, count = index.selected(chosen, numbers, codes, np.packbits(live, bitorder="little"))
        assert index.flags_of(bits, rows).tolist() == true.tolist() and count == true.sum()
        assert len(bits) == -(-rows // 8), "no bit beyond the last row is set"
        assert np.bitwise_count(bits).sum() == count


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(0, 100))
@settings(max_examples=100, deadline=None)
def test_the_live_rows_of_each_list(compiled: Kernel, seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    lists, live = rng.integers(0, 5, rows, dtype=np.uint16), rng.random(rows) < 0.6
    true = [int((live & (lists == number)).sum()) for number in range(7)]
    for kernel in (compiled, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vecver.index.masks.kernel", lambda kernel=kernel: kernel)
            assert list_sizes(lists, np.packbits(live, bitorder="little"), 7).tolist() == true


def test_numbers_that_are_not_there_are_never_read(compiled: Kernel) -> None:
    chosen, live = np.ones(3, bool), np.full(1, 255, np.uint8)
    good, bad = np.array([0, 2], np.int32), np.array([0, 3], np.int32)
    assert compiled.selected(chosen, good, np.array([0, 1], np.int32), live)[1] == 2
    for numbers, codes in ((bad, [0, 1]), (good, [0, 2]), (good, [-1, 0])):
        with pytest.raises(IndexError):
            compiled.selected(chosen, numbers, np.array(codes, np.int32), live)
    with pytest.raises(IndexError):
        compiled.list_sizes(np.array([0, 4], np.uint16), live, 4)


@pytest.mark.parametrize("first", [0, 1, 7, 8, 13])
def test_flags_of_sliced_and_chunked_columns_with_nulls(first: int) -> None:
    values = [None if number % 5 == 0 else number % 3 for number in range(40)]
    column = pa.chunked_array([pa.array(values[:17], pa.int64()), pa.array(values[17:], pa.int64())]).slice(first)
    flags = [bool(value == 1) for value in values[first:]]
    assert evaluate({"field": 1}, lambda _: {"int": column}, len(flags)).tolist() == flags
    empty = pa.chunked_array([], pa.int64())
    assert evaluate({"field": 1}, lambda _: {"int": empty}, 0).tolist() == []
    bools = pa.chunked_array([pa.array([value == 1 if value is not None else None for value in values]).slice(first)])
    assert evaluate({"field": True}, lambda _: {"bool": bools}, len(flags)).tolist() == flags


def test_a_search_without_the_kernel_selects_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, None)
    bits, count = index.selected(
        np.array([True]), np.zeros(1, np.int32), np.zeros(9, np.int32), np.array([255, 1], np.uint8)
    )
    assert (bits.tolist(), count) == ([255, 1], 9)
