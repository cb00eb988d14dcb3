"""Headers of .npy files: what numpy writes is read, by ours and by numpy alike, from many threads at once."""

from __future__ import annotations

import ast
import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from vecver.repo.rows.npy_file import HEADER_BYTES, array_of, header

ARRAYS = [
    np.arange(6, dtype="<f4").reshape(2, 3),
    np.zeros((0, 384), "<f4"),
    np.arange(5, dtype="<u4"),
    np.zeros(0, "<u4"),
    np.arange(70_000, dtype="<i8").reshape(-1, 7),
]


def written(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: str(array.shape))
def test_what_numpy_writes_is_read_without_it(array: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    body = written(array)
    monkeypatch.setattr(np.lib.format, "read_array_header_1_0", lambda *_: pytest.fail("numpy was asked"))
    read = array_of(memoryview(body))
    assert read.dtype == array.dtype and read.shape == array.shape and (read == array).all()
    kind = array.dtype.str
    assert header(array.shape, kind) == body[:HEADER_BYTES] and header(array.shape, kind) + array.tobytes() == body


def test_what_numpy_reads_too_is_left_to_it() -> None:
    for array in (np.arange(24, dtype=">f8").reshape(2, 3, 4), np.array(3.0)):
        assert (array_of(memoryview(written(array))) == array).all()


@pytest.mark.parametrize("body", [b"", b"nonsense", written(ARRAYS[0])[:-1], b"\x93NUMPY\x01\x00\xff\xff{}"])
def test_what_is_no_array_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        array_of(memoryview(body))


def test_many_threads_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ast.parse` is what Python 3.11 fails in where threads call it at once."""
    monkeypatch.setattr(ast, "parse", lambda *_, **__: pytest.fail("ast was asked"))
    body = memoryview(written(ARRAYS[0]))
    with ThreadPoolExecutor(8) as pool:
        assert {array.shape for array in pool.map(lambda _: array_of(body), range(200))} == {(2, 3)}
