"""The compiled sums of roots: the same bits as hashlib for every length, number of rows and width, or unused."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecver.repo.rows import roots
from vecver.repo.rows.kernel import loading
from vecver.repo.rows.kernel.loading import LANES, hashed, joined, load

SOURCE = loading.LIBRARY.with_name("lanes.c")
FLAGS = ("-O1", "-std=c11", "-fPIC", "-shared", "-I", str(SOURCE.parent), "-x", "c")


def compiled(folder: Path, source: str) -> Path:
    """A library from C text."""
    compiler = shutil.which("cc") or pytest.skip("there is no C compiler")
    library = folder / "lanes.so"
    command = [str(compiler), *FLAGS, "-", "-o", str(library)]
    subprocess.run(command, input=source.encode(), check=True, capture_output=True)
    return library


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("kernel"), SOURCE.read_text())


def rows_of(sizes: list[int]) -> list[bytes]:
    rng = np.random.default_rng(0)
    return [rng.bytes(size) for size in sizes]


def test_every_length_around_a_block_is_padded_right(library: Path) -> None:
    add = load(library)
    assert add
    for size in [*range(20), *range(160, 180), *range(328, 345), 1559, 5000]:
        rows = rows_of([size] * 3)
        assert np.array_equal(add(*joined(rows)), hashed(rows)), size


def test_every_width_and_number_of_rows_gives_the_same_sum(library: Path) -> None:
    opened = ctypes.CDLL(str(library))
    widths = [width for width in (2, 4, 8) if width <= opened.vecver_lanes_width()]
    for width in widths:
        add = loading._bound(opened, width)
        for count in (*range(1, 18), 100):
            rows = rows_of([(37 * i * i) % 700 for i in range(count)])
            assert np.array_equal(add(*joined(rows)), hashed(rows)), (width, count)


@given(sizes=st.lists(st.integers(0, 600), max_size=20))
def test_rows_of_any_lengths(library: Path, sizes: list[int]) -> None:
    add, rows = load(library), rows_of(sizes)
    assert add and np.array_equal(add(*joined(rows)), hashed(rows))


def test_roots_are_the_same_with_and_without(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of([(i * 131) % 900 for i in range(2500)])
    matrix = np.frombuffer(b"".join(rows_of([40] * 50)), np.uint8).reshape(50, 40)
    sums = []
    for add in (load(library), None):
        monkeypatch.setattr(roots, "load", lambda add=add: add)
        sums.append((roots.lanes_of(rows), roots.lanes_of_matrix(matrix), roots.lanes_of([])))
    assert all(np.array_equal(*pair) for pair in zip(*sums, strict=True))


def test_a_library_that_is_missing_or_damaged_is_not_used(tmp_path: Path) -> None:
    assert load(tmp_path / "nothing.so") is None
    (tmp_path / "text.so").write_text("no library")
    assert load(tmp_path / "text.so") is None


@pytest.mark.parametrize(
    "change",
    [
        ("#define LANES_VERSION 1", "#define LANES_VERSION 2"),  # another version
        ("0x1f", "0x06"),  # SHA3's padding instead of SHAKE's
        ("int32_t vecver_lanes_width(", "int32_t other_name("),  # a function is missing
    ],
)
def test_a_library_with_other_bits_is_not_used(tmp_path: Path, change: tuple[str, str]) -> None:
    source = SOURCE.read_text()
    assert change[0] in source
    assert load(compiled(tmp_path, source.replace(*change))) is None


def test_hashlib_gives_as_many_lanes_as_there_are() -> None:
    assert hashed([b"one"]).shape == (LANES,)
