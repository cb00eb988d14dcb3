"""The compiled kernel: the same bits, order and errors as numpy, and left alone where it cannot be trusted."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_exact import part

from vecver.index import kernel as room
from vecver.index import normalised, scores, search
from vecver.index.kernel import Codes, Kernel, Query, Rows, load
from vecver.index.row_codes import centre_of, query_of
from vecver.index.scoring import METRICS, ranked
from vecver.model import Metric, Vectors

ROOT = Path(__file__).resolve().parents[3]
TINY, HUGE = float(np.float32(1e-45)), float(np.finfo(np.float32).max)
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
edges = st.sampled_from([0.0, -0.0, TINY, -TINY, 1e-38, -HUGE, HUGE, 1.0, -1.0])


def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    if spec is None or spec.loader is None or not (ROOT / "hatch_build.py").exists():
        pytest.skip("hatch_build.py is not there: this is no source tree")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=[None, (), ("-mavx2", "-mfma")], ids=["chosen by the CPU", "any CPU", "avx2"])
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    """The kernel as it is built, and what its loader chooses on other CPUs."""
    folder, module = tmp_path_factory.mktemp("kernel"), builder()
    file, reason = module.build(folder)
    if file is None:
        pytest.skip(f"the kernel was not compiled: {reason}")
    if request.param is not None:
        if request.param and "avx2" not in Path("/proc/cpuinfo").read_text():
            pytest.skip("this CPU has no AVX2")
        source = re.sub("__attribute__..target_clones.*", "", (room.FILE.parent / "kernel.c").read_text())
        assert "target_clones" not in source
        file = built(folder / "other", (*module.FLAGS, *request.param), source)
    opened = load(file)
    assert opened is not None, "what compiles here is loaded and has the rule's bits"
    return opened


@pytest.fixture
def numpy_only(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, None)


def use(patch: pytest.MonkeyPatch, kernel: Kernel | None) -> None:
    """Search with this kernel, or with numpy."""
    for name in ("vecver.index.scoring.kernel", "vecver.index.masks.kernel", "vecver.index.kernel.kernel"):
        patch.setattr(name, lambda: kernel)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Vectors, Vectors]:
    """A query and some rows, of numbers at all ends of float32."""
    dim, count = draw(st.integers(1, 40)), draw(st.integers(1, 8))
    elements = draw(st.sampled_from([numbers, st.floats(-1, 1, width=32), edges]))
    return draw(arrays(np.float32, dim, elements=elements)), draw(arrays(np.float32, (count, dim), elements=elements))


@given(table=tables(), metric=st.sampled_from(METRICS))
@settings(max_examples=300, deadline=None)
def test_the_same_score_bits(compiled: Kernel, table: tuple[Vectors, Vectors], metric: Metric) -> None:
    query, rows = table
    order = np.arange(len(rows))[::-1].copy()
    with pytest.MonkeyPatch.context() as patch:
        use(patch, None)
        expected = scores(query, rows, metric)
        unit = normalised(rows, "cosine")
    assert compiled.scores(query, rows, None, is_l2=metric == "l2").tobytes() == expected.tobytes()
    assert compiled.scores(query, rows, order, is_l2=metric == "l2").tobytes() == expected[::-1].tobytes()
    assert compiled.normalised(rows).tobytes() == unit.tobytes()


@pytest.mark.parametrize("dim", [1, 15, 16, 17, 384, 1023, 1024, 2048])
@pytest.mark.parametrize("scale", [1e-38, 1.0, 1e30])
def test_the_same_bits_for_every_length(compiled: Kernel, numpy_only: None, dim: int, scale: float) -> None:
    rng = np.random.default_rng(dim)
    rows = (rng.standard_normal((50, dim)) * np.exp(rng.uniform(-4, 4, (50, 1))) * scale).astype(np.float32)
    query = rng.standard_normal(dim).astype(np.float32)
    for metric in METRICS:
        expected = scores(query, rows, metric)
        assert compiled.scores(query, rows, None, is_l2=metric == "l2").tobytes() == expected.tobytes()
    assert compiled.normalised(rows).tobytes() == normalised(rows, "cosine").tobytes()


@given(
    values=st.lists(st.sampled_from([-1.5, -0.0, 0.0, TINY, 2.0]), min_size=1, max_size=60),
    k=st.integers(1, 70),
    seed=st.integers(0, 2**32 - 1),
    slack=st.sampled_from([0.0, 1e-6, 1.0, 1e31]),
)
@settings(max_examples=200, deadline=None)
def test_the_same_order_of_equal_scores(compiled: Kernel, values: list[float], k: int, seed: int, slack: float) -> None:
    """Score, then key, then position; keys differ in their last bytes, in bytes above 127, or not at all."""
    rng, vectors = np.random.default_rng(seed), np.array(values, np.float32)[:, None]
    keys = rng.integers(0, 256, (len(values), 16), dtype=np.uint8)
    keys[:, :15] &= 128
    keys[::3] = keys[0]
    rows, query = rng.permutation(len(values)), np.ones(1, np.float32)
    with pytest.MonkeyPatch.context() as patch:
        use(patch, None)
        expected = scores(query, vectors, "ip", rows)
    order = ranked(expected, keys[rows], k)
    best, found = compiled.best(query, vectors, keys, rows, k, slack)
    assert best == rows[order].tolist() and np.array(found).tobytes() == expected[order].tobytes()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("count", [1, 9, 500])
@pytest.mark.parametrize("k", [1, 10, 100, 1000])
def test_the_same_answers(
    compiled: Kernel, monkeypatch: pytest.MonkeyPatch, metric: Metric, count: int, k: int
) -> None:
    rng = np.random.default_rng(count)
    rows = normalised(np.repeat(rng.standard_normal((count, 48)).astype(np.float32), 2, axis=0), metric)
    one, queries = part(rows), normalised(rng.standard_normal((5, 48)).astype(np.float32), metric)
    use(monkeypatch, None)
    expected = search([one, one], queries, k, metric, exact=True)
    use(monkeypatch, compiled)
    assert search([one, one], queries, k, metric, exact=True) == expected


@pytest.mark.parametrize("row", [-1, 3, 2**40])
def test_a_row_that_is_not_there_is_never_read(compiled: Kernel, row: int) -> None:
    query, rows, keys = np.ones(4, np.float32), np.ones((3, 4), np.float32), np.zeros((3, 16), np.uint8)
    with pytest.raises(IndexError):
        compiled.scores(query, rows, np.array([0, row]), is_l2=False)
    with pytest.raises(IndexError):
        compiled.best(query, rows, keys, np.array([0, row]), 1, 0.0)


def test_arrays_that_lie_otherwise_go_to_numpy(compiled: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, compiled)
    rng = np.random.default_rng(1)
    rows, query = rng.standard_normal((20, 6)).astype(np.float32), rng.standard_normal(6).astype(np.float32)
    expected = scores(query, rows, "ip").tobytes()
    assert scores(query, np.asfortranarray(rows), "ip").tobytes() == expected
    assert scores(query, rows.astype(np.float64), "ip").tobytes() == expected
    assert scores(query, rows, "ip", np.arange(20, dtype=np.int32)).tobytes() == expected
    assert scores(np.repeat(query, 2)[::2], rows, "ip").tobytes() == expected


# -- codes of rows --------------------------------------------------------------------------------


def possible_by_numpy(query: Query, codes: Codes, live: Rows, k: int) -> list[int]:
    """The rows that `Kernel.scan` keeps, by the same operations."""
    integers = codes.codes[live].astype(np.int64) @ query.integers.astype(np.int64)
    assert (np.abs(codes.codes[live].astype(np.int64)) @ np.abs(query.integers.astype(np.int64))).max() < 2**31
    with np.errstate(all="ignore"):
        near = integers * codes.scales[live].astype(np.float64) * query.unit
        apart = query.norm * codes.errors[live].astype(np.float64) + query.slack
        if codes.squares is not None:
            squares = codes.squares[live].astype(np.float64)
            near, apart = 2 * near - squares, apart + (query.norm * codes.errors[live] + squares * 2.0**-23)
        lows = np.nextafter((near - apart).astype(np.float32), np.float32(-np.inf))
        lows = np.sort(np.where(np.isnan(lows), -np.inf, lows))
        return live[~(near + apart < lows[-k])].tolist()


@given(table=tables(), metric=st.sampled_from(METRICS), data=st.data())
@settings(max_examples=300, deadline=None)
def test_codes_and_the_rows_they_leave(
    compiled: Kernel, table: tuple[Vectors, Vectors], metric: Metric, data: Any
) -> None:
    """Every row lies no farther from its codes than its error, and a scan keeps the rows that numpy keeps."""
    query, rows = table
    centre = data.draw(st.sampled_from([np.zeros_like(query), centre_of(rows)]))
    codes = compiled.encode(rows, centre, is_l2=metric == "l2")
    coded = codes.scales.astype(np.longdouble)[:, None] * codes.codes
    errors = np.sqrt(np.square(rows.astype(np.longdouble) - centre - coded).sum(axis=1))
    assert (errors <= codes.errors).all() and (np.abs(codes.codes.astype(int)) <= 127).all()
    assert ((codes.scales == 0) | (codes.scales >= np.finfo(np.float32).tiny)).all()
    lengths = [np.sqrt(np.square(each.astype(np.longdouble)).sum(axis=1)) for each in (rows, coded)]
    assert max(each.max() for each in lengths) <= codes.longest
    mask = data.draw(arrays(np.bool_, len(rows)))
    live = np.flatnonzero(mask)
    if len(live) < 2:
        return
    k, converted = data.draw(st.integers(1, len(live) - 1)), query_of(query, codes.longest, metric)
    possible = compiled.scan(converted, codes, np.packbits(mask, bitorder="little"), len(live), k)
    assert possible.tolist() == possible_by_numpy(converted, codes, live, k)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("count", [63, 64, 65, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("share", [None, 0.02, 0.7])
def test_a_scan_of_many_rows(compiled: Kernel, metric: Metric, count: int, share: float | None) -> None:
    """Whole words of the mask and parts of one, bits behind the last row, rows of every length."""
    rng = np.random.default_rng(count)
    rows = (rng.standard_normal((count, 33)) * np.exp(rng.uniform(-3, 3, (count, 1)))).astype(np.float32)
    codes = compiled.encode(rows, centre_of(rows), is_l2=metric == "l2")
    query = query_of(rows[7], codes.longest, metric)
    live = np.arange(count) if share is None else np.union1d(np.flatnonzero(rng.random(count) < share), [0, count - 1])
    mask = np.isin(np.arange(count + 200), live)
    mask[count:] = True
    bits = None if share is None else np.packbits(mask, bitorder="little")
    for k in (1, min(10, len(live) - 1), len(live) - 1):
        assert compiled.scan(query, codes, bits, len(live), k).tolist() == possible_by_numpy(query, codes, live, k)


@pytest.mark.parametrize("dim", [516, 517, 4096, 16384])
def test_the_largest_sum_of_codes_has_32_bits(compiled: Kernel, dim: int) -> None:
    rows = np.full((3, dim), -3e38, np.float32)
    rows[1] *= -1
    codes = compiled.encode(rows, np.zeros(dim, np.float32), is_l2=False)
    query = query_of(rows[0], codes.longest, "ip")
    assert int(query.integers.min()) * 127 * dim >= -(2**31) and codes.codes.max() == 127
    assert compiled.scan(query, codes, None, 3, 1).tolist() == [0, 2]
    assert compiled.scan(query_of(rows[1], codes.longest, "ip"), codes, None, 3, 1).tolist() == [1]


def test_a_mask_that_does_not_fit_is_refused(compiled: Kernel) -> None:
    codes = compiled.encode(np.ones((20, 4), np.float32), np.zeros(4, np.float32), is_l2=False)
    query, bits = query_of(np.ones(4, np.float32), 2.0, "ip"), np.full(3, 255, np.uint8)
    for live, live_count, k in [(bits[:2], 16, 1), (bits, 19, 1), (None, 20, 20), (None, 20, 0)]:
        with pytest.raises(IndexError):
            compiled.scan(query, codes, live, live_count, k)


# -- kernels that are not used --------------------------------------------------------------------


def test_what_cannot_be_trusted_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: Any) -> None:
    assert load(tmp_path / "missing.so") is None
    (tmp_path / "text.so").write_text("no library")
    assert load(tmp_path / "text.so") is None
    monkeypatch.setattr(room, "VERSION", room.VERSION + 1)
    assert load(built(tmp_path / "old", builder().FLAGS)) is None, "a kernel of another version"


def test_a_kernel_with_other_bits_is_not_loaded(tmp_path: Path, compiled: Kernel) -> None:
    """A changed rule stands for compilers that do not keep to the standard."""
    source = (room.FILE.parent / "kernel.c").read_text().replace("llrint(terms[i] * scale)", "(terms[i] * scale)")
    assert load(built(tmp_path, builder().FLAGS, source)) is None


def built(folder: Path, flags: tuple[str, ...], source: str | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "kernel.c").write_text(source or (room.FILE.parent / "kernel.c").read_text())
    compiler = shutil.which("cc") or "cc"
    command = [compiler, *flags, "-I", str(room.FILE.parent), str(folder / "kernel.c"), "-o", str(folder / "k.so")]
    subprocess.run([*command, "-lm"], check=True)
    return folder / "k.so"


def test_without_a_compiler_nothing_is_built_and_the_reason_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = builder()
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert module.build(tmp_path) == (None, "there is no C compiler") and list(tmp_path.iterdir()) == []


def test_a_failed_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: Kernel) -> None:
    module = builder()
    monkeypatch.setattr(module, "FLAGS", ("-no-such-flag",))
    file, reason = module.build(tmp_path)
    assert file is None and "no-such-flag" in reason and list(tmp_path.iterdir()) == []
