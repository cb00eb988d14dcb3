"""Rerankers score texts beside a query: each API's form, a model on this machine, and every bad answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rerank_server

from vecver.errors import BackendError, InvalidInputError
from vecver.model import Reranker
from vecver.pipeline import open_reranker

TEXTS = ["four", "a", "three"]
SCORES = [1 / 5, 1 / 2, 1 / 6]


@pytest.fixture
def server() -> Iterator[rerank_server.Server]:
    with rerank_server.running() as server:
        yield server


def named(server: rerank_server.Server, api: str = "cohere") -> str:
    return f"tei:{server.url}" if api == "tei" else f"{api}:m@{server.url}"


@pytest.mark.parametrize("api", ["cohere", "jina", "vllm"])
def test_cohere_jina_and_vllm_get_documents_and_a_model(server: rerank_server.Server, api: str) -> None:
    opened = open_reranker(Reranker(named(server, api), api_key="secret"))
    assert opened.scores("q", TEXTS, 5) == SCORES
    (body,) = server.requests
    assert (body["model"], body["query"], body["documents"], body["top_n"]) == ("m", "q", TEXTS, 3)
    assert server.keys == ["Bearer secret"]
    assert "secret" not in opened.name + opened.fingerprint + repr(Reranker("m", api_key="secret"))


def test_tei_gets_texts_in_groups_of_32(server: rerank_server.Server) -> None:
    opened = open_reranker(Reranker(named(server, "tei")))
    texts = ["x" * (i + 1) for i in range(70)]
    assert opened.scores("q", texts, 5) == [1 / (2 + i) for i in range(70)]
    assert [len(body["texts"]) for body in server.requests] == [32, 32, 6]
    assert all(body["truncate"] is True and "model" not in body for body in server.requests)
    assert server.keys == [None] * 3


def test_no_text_is_no_request(server: rerank_server.Server) -> None:
    assert open_reranker(Reranker(named(server))).scores("q", [], 5) == [] == server.requests


def test_a_huge_text_is_cut(server: rerank_server.Server) -> None:
    open_reranker(Reranker(named(server))).scores("q" * 100_000, ["ü" * 1_000_000], 5)
    assert len(server.requests[0]["documents"][0]) == len(server.requests[0]["query"]) == 32_768


def results(*pairs: tuple[Any, Any]) -> dict[str, Any]:
    return {"results": [{"index": index, "relevance_score": score} for index, score in pairs]}


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((200, results((0, 0.1), (1, 0.2))), "reranker_bad_answer"),  # too few
        ((200, results((0, 0.1), (1, 0.2), (2, 0.3), (3, 0.4))), "reranker_bad_answer"),
        ((200, results((0, 0.1), (1, 0.2), (1, 0.3))), "reranker_bad_answer"),
        ((200, results((0, 0.1), (1, 0.2), (3, 0.3))), "reranker_bad_answer"),
        ((200, results((0, 0.1), (1, 0.2), (-1, 0.3))), "reranker_bad_answer"),
        ((200, results((0, 0.1), (1, 0.2), (True, 0.3))), "reranker_bad_answer"),
        ((200, results((0, 0.1), (1, 0.2), (2, float("nan")))), "reranker_bad_answer"),
        ((200, results((0, 0.1), (1, 0.2), (2, float("inf")))), "reranker_bad_answer"),
        ((200, results((0, 0.1), (1, 0.2), (2, 10**400))), "reranker_bad_answer"),
        ((200, results((0, 0.1), (1, 0.2), (2, "0.3"))), "reranker_bad_answer"),
        ((200, {"results": None}), "reranker_bad_answer"),
        ((200, {"data": []}), "reranker_bad_answer"),
        ((200, [1, 2, 3]), "reranker_bad_answer"),
        ((200, "no json"), "reranker_bad_answer"),
        ((200, "[" * 100_000), "reranker_bad_answer"),
        ((200, '"' + "x" * (17 << 20) + '"'), "reranker_bad_answer"),
        ((500, {"error": "the key secret is bad"}), "reranker_refused"),
        ((401, {"error": "no"}), "reranker_refused"),
        ((307, {}), "reranker_refused"),
    ],
)
def test_a_bad_answer_is_an_error_that_names_the_endpoint(
    server: rerank_server.Server, answer: tuple[int, Any], code: str
) -> None:
    server.script.append(answer)
    with pytest.raises(BackendError) as caught:
        open_reranker(Reranker(named(server), api_key="secret")).scores("q", TEXTS, 5)
    assert caught.value.code == code and server.url in caught.value.message and caught.value.hint
    assert "secret" not in str(caught.value) and len(server.requests) == 1
    assert caught.value.__cause__ is None and caught.value.context.get("retryable", False) == (answer[0] == 500)


def test_a_slow_endpoint_has_one_deadline_even_if_it_drips(server: rerank_server.Server) -> None:
    server.script.append(0.05)  # some 200 bytes
    start = time.monotonic()
    with pytest.raises(BackendError) as caught:
        open_reranker(Reranker(named(server))).scores("q", TEXTS, 0.3)
    assert caught.value.code == "reranker_timeout" and time.monotonic() - start < 5


def test_no_endpoint_is_an_error() -> None:
    with rerank_server.running() as server:
        gone = named(server)
    with pytest.raises(BackendError) as caught:
        open_reranker(Reranker(gone)).scores("q", TEXTS, 5)
    assert caught.value.code == "reranker_unreachable"


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("", "unknown_reranker"),
        ("http://127.0.0.1:1/rerank", "unknown_reranker"),
        ("vllm:m", "bad_reranker_url"),
        ("cohere:m@gpu1:8000/rerank", "bad_reranker_url"),  # with the key it would be asked at api.cohere.com
        ("jina:m@localhost", "bad_reranker_url"),
        ("tei:ftp://h/rerank", "bad_reranker_url"),
        ("tei:http://user:secret@h/rerank", "bad_reranker_url"),
        ("tei:http://h/rerank?key=secret", "bad_reranker_url"),
        ("cohere:", "unknown_reranker"),
        ("coher:m", "unknown_reranker"),
        ("./no/such/folder", "no_model_folder"),
    ],
)
def test_a_name_that_opens_nothing_is_an_error(model: str, code: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        open_reranker(Reranker(model))
    assert caught.value.code == code and caught.value.hint and "secret" not in str(caught.value)


def test_a_key_may_end_in_a_line_break_and_must_fit_into_a_header(server: rerank_server.Server) -> None:
    open_reranker(Reranker(named(server), api_key="secret\r\n")).scores("question", ["text"], 5)
    for key in ("secr\u00e9t", "my\nsecret"):
        with pytest.raises(InvalidInputError) as caught:
            open_reranker(Reranker(named(server), api_key=key))
        assert caught.value.code == "bad_api_key" and "secr" not in f"{caught.value} {caught.value.hint}"


def test_the_fingerprint_is_that_of_endpoint_and_model(server: rerank_server.Server) -> None:
    one, other = open_reranker(Reranker(named(server))), open_reranker(Reranker(named(server), api_key="k", timeout=3))
    assert one.fingerprint == other.fingerprint != open_reranker(Reranker(named(server, "jina"))).fingerprint


# -- a model on this machine -----------------------------------------------------------------------

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdexyz")]


def tiny_cross_encoder(folder: Path, labels: int = 1) -> str:
    """The smallest BERT, with fixed weights, as `CrossEncoder.save_pretrained` writes it; no hub is asked."""
    import torch
    import transformers

    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(7)
    make: Any = transformers.BertConfig
    config = make(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=64,
        num_labels=labels,
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer: Any = transformers.BertTokenizerFast  # type: ignore[attr-defined,unused-ignore]
    tokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return str(folder)


def test_a_cross_encoder_scores_each_pair_as_it_does_alone(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import CrossEncoder

    folder = tiny_cross_encoder(tmp_path / "model")
    opened = open_reranker(Reranker(folder))
    texts = ["a b c", "x y", "z z z z"] * 7
    scores = opened.scores("a x", texts, 60)
    alone = CrossEncoder(folder).predict([("a x", text) for text in texts[:3]])
    assert scores[:3] == pytest.approx(alone.tolist(), abs=1e-5) and len(scores) == 21
    assert len(set(scores[:3])) == 3 and opened.name == "cross-encoder:model" and len(opened.fingerprint) == 32
    with pytest.raises(BackendError) as caught:
        opened.scores("a", ["b"], -1)
    assert caught.value.code == "reranker_timeout"
    with pytest.raises(InvalidInputError, match="gives 3 scores"):
        open_reranker(Reranker(tiny_cross_encoder(tmp_path / "classes", labels=3)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError) as bad:
        open_reranker(Reranker(str(tmp_path / "empty")))
    assert bad.value.code == "bad_model_folder"
