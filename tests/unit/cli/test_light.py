"""Embedding without torch: the same space and vectors as sentence-transformers, and never a model that is not known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecver
from vecver.errors import InvalidInputError
from vecver.model import Embedder
from vecver.pipeline.embedders import light, model_files
from vecver.pipeline.embedders.light import LightEmbedder, read_safetensors
from vecver.pipeline.embedders.model_files import Unfit
from vecver.pipeline.embedders.open import fingerprint, open_embedder
from vecver.pipeline.embedders.sentence_transformers import SentenceTransformerEmbedder

if find_spec("sentence_transformers") is None:  # importing it takes 9 s, also of those that run other tests
    pytest.skip("needs the extra: pip install 'vecver[models]'", allow_module_level=True)

TEXTS = ["valve", "", "Überdruck é\u0301 ﬁ 圧力 𝔘", "[SEP] a [CLS]", "bleed the valve " * 9, "one two three " * 40]
HEAVY = {"torch", "sentence_transformers", "transformers", "sklearn", "scipy", "pandas", "huggingface_hub"}
SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "num_attention_heads": 4}


@pytest.fixture(scope="module")
def minilm() -> tuple[Embedder, Embedder]:
    """Without torch, and by sentence-transformers."""
    return LightEmbedder("minilm"), SentenceTransformerEmbedder("minilm", fast=False)


def test_the_bundled_model_is_in_the_same_space(minilm: tuple[Embedder, Embedder]) -> None:
    ours, theirs = minilm
    for field in ("recipe", "fingerprint", "name", "dim", "metric", "max_tokens"):
        assert getattr(ours, field) == getattr(theirs, field)
    assert ours.environment["runtime"].startswith("onnxruntime ")


def test_vectors_and_token_counts_are_those_of_sentence_transformers(minilm: tuple[Embedder, Embedder]) -> None:
    ours, theirs = minilm
    assert np.abs(ours.embed(TEXTS) - theirs.embed(TEXTS)).max() < 1e-6
    assert np.abs(ours.embed_queries(TEXTS) - theirs.embed_queries(TEXTS)).max() < 1e-6
    for mine, true in zip(*(vars(one.token_counts(TEXTS)).values() for one in minilm), strict=True):
        assert np.array_equal(mine, true)


def test_it_imports_nothing_heavy() -> None:
    program = (
        "import sys; from vecver import pipeline; e = pipeline.open_embedder('minilm'); e.embed_queries(['valve']);"
        "e.embed(['valve', 'pump']); print(*{m.partition('.')[0] for m in sys.modules})"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(vecver.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert set(done.stdout.split()) & HEAVY == set() and done.stderr == ""


# -- other models --------------------------------------------------------------------------------

Build = Callable[..., Path]


@pytest.fixture
def toy(tmp_path: Path) -> Build:
    """Builds a model of two layers with random weights and MiniLM's vocabulary, and saves it."""
    import torch
    import transformers
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

    def build(kind: str = "Bert", pooling: str = "mean", dense: bool = False, prompts: Any = None, **more: Any) -> Path:
        torch.manual_seed(3)
        own = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64} if kind == "DistilBert" else SIZES
        config = getattr(transformers, f"{kind}Config")(
            vocab_size=30522, pad_token_id=0, max_position_embeddings=64, **own, **more
        )
        network = getattr(transformers, f"{kind}Model")(config)
        for name, value in network.named_parameters():  # so that no bias is 0 and no scale 1
            torch.nn.init.normal_(value, 1.0 if "LayerNorm.weight" in name or "layer_norm.weight" in name else 0.0, 0.2)
        folder = tmp_path / "transformer"
        network.save_pretrained(folder)
        transformers.AutoTokenizer.from_pretrained(model_files.minilm_folder()).save_pretrained(folder)
        modules = [Transformer(str(folder), max_seq_length=40), Pooling(32, pooling)]
        modules += [Dense(32, 16)] if dense else [Normalize()]
        model = SentenceTransformer(modules=modules, prompts=prompts, device="cpu")
        model.save(str(tmp_path / "toy"), create_model_card=False)
        return tmp_path / "toy"

    return build


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [("Bert", "cls"), ("Roberta", "mean"), ("XLMRoberta", "mean"), ("MPNet", "mean"), ("DistilBert", "mean")],
)
def test_networks_of_berts_kind_are_run(toy: Build, kind: str, pooling: str) -> None:
    folder = toy(kind, pooling, prompts={"query": "question: ", "document": "text: "})
    ours = open_embedder(f"sentence-transformers:{folder}")
    theirs = SentenceTransformerEmbedder(str(folder), fast=False)
    assert isinstance(ours, LightEmbedder), ours.environment
    assert (ours.fingerprint, ours.max_tokens, ours.dim) == (theirs.fingerprint, theirs.max_tokens, theirs.dim)
    assert np.abs(ours.embed(TEXTS) - theirs.embed(TEXTS)).max() < 1e-5
    assert np.abs(ours.embed_queries(TEXTS) - theirs.embed_queries(TEXTS)).max() < 1e-5
    assert np.abs(theirs.embed(TEXTS)[0] - theirs.embed(TEXTS)[4]).max() > 0.01, "texts are told apart"


def test_a_recipe_proves_the_model_without_sentence_transformers(toy: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = toy()
    first = open_embedder(f"sentence-transformers:{folder}")
    assert fingerprint(first.recipe) == first.fingerprint and "probe" in first.recipe
    monkeypatch.setattr(LightEmbedder, "_reference_probes", lambda *_: pytest.fail("sentence-transformers was asked"))
    again = open_embedder(json.loads(json.dumps(first.recipe)))
    assert isinstance(again, LightEmbedder) and again.recipe == first.recipe
    assert np.array_equal(again.embed(TEXTS), first.embed(TEXTS))


def test_a_recipe_from_before_opens_as_well(toy: Build) -> None:
    old = SentenceTransformerEmbedder(str(toy()), fast=False)
    assert "probe" not in old.recipe
    again = open_embedder(old.recipe)
    assert isinstance(again, LightEmbedder) and again.fingerprint == old.fingerprint


def test_vectors_that_differ_from_the_probe_are_not_used(toy: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    graph_of = light.graph_of
    monkeypatch.setattr(light, "graph_of", lambda *a, **k: graph_of({**a[0], "hidden_act": "relu"}, *a[1:], **k))
    for spec in ("minilm", f"sentence-transformers:{toy()}"):
        ours = open_embedder(spec)
        assert isinstance(ours, SentenceTransformerEmbedder)
        assert "not those of the model's own encode" in ours.environment["light"]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"pooling": "max"}, "it pools by max"),
        ({"dense": True}, "its modules are Transformer, Pooling, Dense"),
        ({"kind": "Electra"}, "its network is of the kind 'electra'"),
        ({"hidden_act": "gelu_new"}, "its activation is 'gelu_new'"),
    ],
)
def test_what_is_not_known_is_left_to_sentence_transformers(toy: Build, how: dict[str, Any], why: str) -> None:
    ours = open_embedder(f"sentence-transformers:{toy(**how)}")
    assert isinstance(ours, SentenceTransformerEmbedder)
    assert ours.environment["light"] == f"was not used: {why}"


def test_a_weight_too_many_is_seen(toy: Build) -> None:
    from safetensors.numpy import save_file

    folder = toy()
    weights = read_safetensors(folder / "model.safetensors")
    save_file({**weights, "encoder.layer.0.adapter.weight": np.zeros(3, np.float32)}, folder / "model.safetensors")
    with pytest.raises(Unfit, match="weights that are not known here"):
        LightEmbedder(str(folder))


# -- what is not installed -------------------------------------------------------------------------


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("sentence_transformers", "transformers", "torch"):
        monkeypatch.setitem(sys.modules, package, None)
    find = light.util.find_spec
    monkeypatch.setattr(light.util, "find_spec", lambda name: None if name == "sentence_transformers" else find(name))


def test_without_sentence_transformers_the_error_says_why_it_is_needed(toy: Build, request: Any) -> None:
    folder = toy(pooling="max")
    request.getfixturevalue("no_torch")
    with pytest.raises(InvalidInputError, match=r"needs the package \w+: it pools by max") as error:
        open_embedder(f"sentence-transformers:{folder}")
    assert error.value.hint == "pip install 'vecver[models]'"


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers"])
def test_without_a_light_runtime_the_error_names_the_extra(
    package: str, no_torch: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InvalidInputError, match=package) as error:
        open_embedder("minilm")
    assert error.value.hint == "pip install 'vecver[embed]'"


def test_a_known_kind_needs_no_sentence_transformers(toy: Build, request: Any) -> None:
    folder = toy()
    truth = SentenceTransformerEmbedder(str(folder), fast=False).embed(TEXTS)
    request.getfixturevalue("no_torch")
    ours = open_embedder(f"sentence-transformers:{folder}")
    assert np.abs(ours.embed(TEXTS) - truth).max() < 1e-5


def test_a_gpu_embeds_the_documents(monkeypatch: pytest.MonkeyPatch, minilm: tuple[Embedder, Embedder]) -> None:
    class OnGpu(SentenceTransformerEmbedder):
        def __init__(self, location: str) -> None:
            super().__init__(location, fast=False)
            self.environment["device"] = "cuda"

    monkeypatch.setattr(light, "has_gpu", lambda: True)
    monkeypatch.setattr("vecver.pipeline.embedders.sentence_transformers.SentenceTransformerEmbedder", OnGpu)
    ours = LightEmbedder("minilm")
    queries = ours.embed_queries(["valve"])
    assert ours.environment["device"] == "cpu" and np.array_equal(queries, minilm[0].embed_queries(["valve"]))
    assert np.array_equal(ours.embed(TEXTS), minilm[1].embed(TEXTS))
    assert ours.environment["device"] == "cuda"
