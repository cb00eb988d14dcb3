"""Runtimes: torch and OpenVINO give the same vectors, the same bits in any batch, and bfloat16 only where supported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_embedders import needs_minilm, one_by_one, texts_of

import vecver
from vecver import pipeline
from vecver.errors import InvalidInputError
from vecver.model import Embedder
from vecver.pipeline.embedders import model_files, runtimes
from vecver.pipeline.embedders import open as opening
from vecver.pipeline.embedders.batching import Together
from vecver.pipeline.embedders.open import open_embedder
from vecver.pipeline.embedders.sentence_transformers import SentenceTransformerEmbedder

pytestmark = needs_minilm
FAST = runtimes.openvino_installed()
needs_fast = pytest.mark.skipif(not FAST, reason="needs the extra: pip install 'vecver[fast]'")
BOLD = FAST and runtimes.has_bfloat16("cpu")
needs_bfloat16 = pytest.mark.skipif(not BOLD, reason="needs the extra `fast` and a CPU with AVX512_BF16 or AMX_BF16")


@pytest.fixture(scope="module")
def plain() -> Embedder:
    return SentenceTransformerEmbedder("minilm", fast=False)


@pytest.fixture(
    scope="module",
    params=["light", "torch", pytest.param("fast", marks=needs_fast), pytest.param("bf16", marks=needs_bfloat16)],
)
def any_runtime(request: pytest.FixtureRequest) -> Callable[[], Embedder]:
    opening: dict[str, Callable[[], Embedder]] = {
        "torch": lambda: SentenceTransformerEmbedder("minilm", fast=False),
        "fast": lambda: SentenceTransformerEmbedder("minilm"),
        "light": lambda: open_embedder("minilm"),
        "bf16": lambda: open_embedder("minilm:bf16"),
    }
    return opening[request.param]


@pytest.fixture
def torch_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "openvino_installed", lambda: False)


@contextmanager
def threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# -- the same bits -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [24, pytest.param(250, marks=pytest.mark.deep)])
def test_bits_do_not_depend_on_the_batch_or_threads(any_runtime: Callable[[], Embedder], count: int) -> None:
    import torch

    ours, texts = any_runtime(), texts_of(count)
    vectors, queries = ours.embed(texts), one_by_one(ours, texts[:12])
    order = np.random.default_rng(1).permutation(count)
    assert np.array_equal(ours.embed([texts[i] for i in order]), vectors[order])
    for size in (1, 3):
        parts = [ours.embed(texts[start : start + size]) for start in range(0, 6, size)]
        assert np.array_equal(np.concatenate(parts), vectors[:6])
    if "torch" in ours.environment["runtime"] and torch.backends.cpu.get_cpu_capability() != "AVX512":
        return  # there torch's bits depend on its threads, see the Decisions of sentence_transformers
    for number in (1, 2):
        with threads(number):
            for opened in (ours, any_runtime()):  # one that meets other threads, one that begins with them
                assert np.array_equal(opened.embed(texts), vectors)
                assert np.array_equal(opened.embed_queries(texts[:12]), queries)


@pytest.mark.parametrize(("most", "sizes"), [(15, (4, 13, 40)), pytest.param(90, range(2, 41), marks=pytest.mark.deep)])
def test_a_query_has_the_same_bits_in_any_batch(
    any_runtime: Callable[[], Embedder], most: int, sizes: Sequence[int]
) -> None:
    """Before a shape of batch is trusted and after; from one thread and from sixteen."""
    ours = Together(any_runtime())
    texts = [text for longest in (3, 8, 14, most) for text in texts_of(10, longest)]  # 16 padded tokens and more
    alone = one_by_one(ours, texts)
    for number in (1, 2):
        with threads(number):
            for size in sizes:
                parts = [ours.embed_queries(texts[start : start + size]) for start in range(0, 40, size)]
                assert_same_bits(ours, np.concatenate(parts), alone)
            with ThreadPoolExecutor(16) as pool:
                found = list(pool.map(lambda text: ours.embed_queries([text])[0], texts))
            assert_same_bits(ours, np.stack(found), alone)


def assert_same_bits(ours: Embedder, found: np.ndarray, alone: np.ndarray) -> None:
    """Equal to the bit where torch's threads do not divide sums of this size (AVX-512), else to 1e-6."""
    import torch

    if "torch" not in ours.environment["runtime"] or torch.backends.cpu.get_cpu_capability() == "AVX512":
        assert np.array_equal(found, alone)
    assert np.abs(found - alone).max() < 1e-6


def test_queries_are_batched_once_a_shape_proved_equal_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, texts = SentenceTransformerEmbedder("minilm", fast=False), texts_of(32, 5)
    runtime = ours._path._runtime  # type: ignore[attr-defined]
    rows, run = list[int](), runtime.run
    runtime.run = lambda tokens, mask: rows.append(len(tokens)) or run(tokens, mask)
    with threads(1):
        first, seen = ours.embed_queries(texts), len(rows)
        assert rows.count(1) == 32 and rows.count(8) == 4
        again = ours.embed_queries(texts)
    assert np.array_equal(first, again)
    if ours._path._unequal:  # type: ignore[attr-defined]
        assert set(rows[seen:]) == {1}, "a CPU on which torch sums in other orders"
    else:
        assert rows[seen:] == [8] * 4


def test_a_model_serves_two_calls_at_once(plain: Embedder) -> None:
    """However many threads torch has: of two callers who come at the same time neither waits for the other."""
    with threads(2):
        assert plain.at_once == 2
    with threads(1):
        assert plain.at_once >= 2


def test_a_shape_that_changes_a_bit_is_not_used(plain: Embedder) -> None:
    """A runtime whose last bits depend on the rows of a batch, of some texts only."""
    ours, texts = SentenceTransformerEmbedder("minilm", fast=False), texts_of(32, 5)
    runtime = ours._path._runtime  # type: ignore[attr-defined]
    run = runtime.run

    def other_bits(tokens: Any, mask: Any) -> Any:
        vectors = run(tokens, mask)
        vectors[5:, 0] = np.nextafter(vectors[5:, 0], 1)
        return vectors

    runtime.run = other_bits
    with threads(1):
        alone = one_by_one(ours, texts)
        for _ in range(3):
            assert np.array_equal(ours.embed_queries(texts), alone)
    assert ours._path._unequal == {(8, 16, False)}  # type: ignore[attr-defined]


def test_a_receipt_made_by_torch_replays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as by_torch:
        torch = SentenceTransformerEmbedder("minilm", fast=False)
        by_torch.setattr(pipeline, "open_embedder", lambda *_, **__: torch)
        docs = vecver.create(str(tmp_path / "kb")).dataset("d")
        docs.ingest([{"id": "a", "text": "bleed the valve"}, {"id": "b", "text": "open the pump"}])
        receipt = docs.search("how is a valve bled?", exact=True).receipt
    assert next(docs.log()).environment["runtime"].startswith("torch ")
    replayed = vecver.replay(vecver.open(str(tmp_path / "kb")), receipt)
    assert replayed.identical and replayed.notes == (
        "this machine embeds the query's text with other last bits (cosine 1.0000000)",
    )


@needs_fast
class TestOpenVINO:
    def test_it_gives_the_vectors_of_torch_in_the_same_space(self, plain: Embedder) -> None:
        fast, texts = SentenceTransformerEmbedder("minilm"), texts_of(20)
        assert fast.environment["runtime"].startswith("openvino 20") and "openvino" not in fast.environment
        assert fast.environment["path"] == "fixed shapes"
        assert (fast.recipe, fast.fingerprint, fast.name) == (plain.recipe, plain.fingerprint, plain.name)
        assert np.abs(fast.embed(texts) - plain.embed(texts)).max() < 1e-6
        assert np.abs(fast.embed_queries(texts) - plain.embed_queries(texts)).max() < 1e-6

    def test_a_broken_openvino_is_not_used_and_the_commit_records_why(
        self, monkeypatch: pytest.MonkeyPatch, plain: Embedder
    ) -> None:
        def broken(*_: Any) -> None:
            raise ImportError("libopenvino.so: cannot open shared object file\nand more")

        monkeypatch.setattr(runtimes, "_import_openvino", broken)
        ours = SentenceTransformerEmbedder("minilm")
        assert ours.environment["openvino"] == "was not used: libopenvino.so: cannot open shared object file"
        assert ours.environment["runtime"].startswith("torch ")
        assert np.array_equal(ours.embed(["valve"]), plain.embed(["valve"]))

    def test_openvino_is_not_used_if_its_vectors_differ(self, monkeypatch: pytest.MonkeyPatch) -> None:
        run = runtimes.OpenVINORuntime.run
        monkeypatch.setattr(runtimes.OpenVINORuntime, "run", lambda *given: run(*given) + 0.01)
        ours = SentenceTransformerEmbedder("minilm")
        assert "not those of the model's own encode" in ours.environment["openvino"]
        assert ours.environment["runtime"].startswith("torch ")

    def test_it_prints_nothing_and_sends_no_telemetry(self, tmp_path: Path) -> None:
        """OpenVINO's telemetry writes its client id below the home folder before it sends anything."""
        program = (
            "from vecver.pipeline.embedders.sentence_transformers import SentenceTransformerEmbedder as Opened;"
            "print(Opened('minilm').environment['runtime'])"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            env={**os.environ, "HOME": str(tmp_path)},
            check=True,
        )
        assert done.stdout.startswith("openvino 20") and done.stdout.count("\n") == 1
        assert done.stderr == ""
        assert list(tmp_path.iterdir()) == []


# -- bfloat16 ------------------------------------------------------------------------------------


@needs_bfloat16
def test_bfloat16_is_a_separate_space_near_float32(plain: Embedder) -> None:
    ours, texts = open_embedder("minilm:bf16"), texts_of(40)
    assert ours.name == "minilm:bf16" and ours.recipe == {**plain.recipe, "precision": "bfloat16"}
    assert ours.fingerprint == opening.fingerprint(ours.recipe) != plain.fingerprint
    assert ours.environment["runtime"].endswith(" bfloat16")
    vectors, truth = ours.embed(texts), plain.embed(texts)
    cosines = np.einsum("ij,ij->i", vectors, truth)
    assert 0.9995 < cosines.min() < 0.999_999, "near, and really computed in bfloat16"
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-6)
    again = open_embedder(json.loads(json.dumps(ours.recipe)))
    assert np.array_equal(again.embed(texts[:3]), vectors[:3])


@needs_bfloat16
def test_a_dataset_in_bfloat16_is_searched_in_bfloat16(tmp_path: Path) -> None:
    docs = vecver.create(str(tmp_path)).dataset("d")
    docs.ingest([{"id": "a", "text": "bleed the valve"}, {"id": "b", "text": "open the pump"}], embedder="minilm:bf16")
    assert docs.search("bleed the valve", exact=True)[0].document == "a"
    assert next(docs.log()).recipe.embedder["precision"] == "bfloat16"


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16"])
def test_the_flags_of_the_cpu_decide(monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True, flag: True, "cpu_name": "unheard of"})
    assert runtimes.has_bfloat16("cpu") and not runtimes.has_bfloat16("mps")
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True, flag: False})
    assert not runtimes.has_bfloat16("cpu")


def test_a_dataset_in_bfloat16_on_a_cpu_without_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, plain: Embedder
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True})
    for asked in ("minilm:bf16", {**plain.recipe, "precision": "bfloat16"}):
        with pytest.raises(InvalidInputError, match="neither AVX512_BF16 nor AMX_BF16") as error:
            open_embedder(asked)
        assert error.value.code == "no_bfloat16" and "without ':bf16'" in error.value.hint


def test_bfloat16_on_a_cpu_needs_the_extra(monkeypatch: pytest.MonkeyPatch, torch_only: None) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"amx_bf16": True})
    with pytest.raises(InvalidInputError, match="which is not installed") as error:
        open_embedder("minilm:bf16")
    assert (error.value.code, error.value.hint) == ("no_bfloat16", "pip install 'vecver[fast]'")


def test_on_a_gpu_torch_computes_in_bfloat16_and_pools_in_float32(plain: Embedder) -> None:
    """No GPU is needed to see the numbers: the runtime is the same on each device."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(model_files.minilm_folder(), device="cpu", local_files_only=True)
    runtime = runtimes.TorchRuntime(model, "bfloat16")
    ids = np.array([[101, 7000, 8000, 102, 0, 0, 0, 0]])
    mask = (ids > 0).astype(np.int64)
    ours, truth = runtime.run(ids, mask), plain._path._runtime.run(ids, mask)  # type: ignore[attr-defined]
    assert ours.dtype == np.float32 and np.linalg.norm(ours) == pytest.approx(1.0, abs=1e-6)
    assert 0.999 < float(ours[0] @ truth[0]) < 0.999_999


# -- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["minilm:int8", "minilm:fp16", "sentence-transformers:acme/model:float16"])
def test_an_unknown_precision_is_refused(spec: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        open_embedder(spec)
    assert error.value.code == "unknown_precision" and "bf16" in error.value.hint


def test_a_recipe_with_an_unknown_precision_is_refused(plain: Embedder) -> None:
    with pytest.raises(InvalidInputError) as error:
        open_embedder({**plain.recipe, "precision": "float8"})
    assert error.value.code == "unknown_precision"


@pytest.mark.parametrize(
    ("spec", "split"),
    [
        ("minilm", ("minilm", "float32")),
        ("minilm:bf16", ("minilm", "bfloat16")),
        ("sentence-transformers:acme/model:bf16", ("sentence-transformers:acme/model", "bfloat16")),
        ("sentence-transformers:./model:bf16/", ("sentence-transformers:./model:bf16/", "float32")),
        ("sentence-transformers:C:\\models\\m", ("sentence-transformers:C:\\models\\m", "float32")),
        ("sentence-transformers:./model:v2", ("sentence-transformers:./model:v2", "float32")),
    ],
)
def test_the_end_of_a_spec_is_a_precision_or_part_of_a_path(spec: str, split: tuple[str, str]) -> None:
    assert opening._split(spec) == split
