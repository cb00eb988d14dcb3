"""Vectors, words and both on test collections: nDCG@10, with the weight of hybrid search cross-validated.

    python benchmarks/relevance.py --chunker whole      # makes the repository: a branch and a question set a collection
    python benchmarks/hybrid.py KB DATASET [COLLECTION ...] [--data ../shared/data/ir] [--limit 300]

hybrid   each question is counted with the weight that the questions of the other four folds chose
0.6      the weight where no recipe says one; best: the best weight on all questions, which is an upper bound
rrf      reciprocal ranks
p50      milliseconds of a warm hybrid search of one question whose vector is known, and of one by vectors alone
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import vecver

HERE = Path(__file__).parent
LANGUAGES = {
    "xquad-de": "german",
    "xquad-ar": "arabic",
    "arcd": "arabic",
}  # of words; the others are English, or cut in pairs
COLUMNS = {"collection": -14, "questions": 10, "dense": 9, "words": 9, "hybrid": 9, "0.6": 9, "best": 9, "at": 6}
COLUMNS |= {"rrf": 9, "p50": 8, "alone": 8}
HEAD = "".join(f"{name:{'<' if width < 0 else '>'}{abs(width)}}" for name, width in COLUMNS.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kb", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("collections", nargs="*", help="all that are there, unless named")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared/data/ir")
    parser.add_argument("--limit", type=int, default=300, help="questions of a collection, the first by their digest")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    docs = vecver.open(args.kb).dataset(args.dataset)
    print(HEAD, flush=True)
    results = []
    for name in args.collections or sorted(docs.question_sets()):
        _name_language(docs, name, args.data / name)
        results.append(_measure(docs, name, args.limit))
        if args.out:
            args.out.write_text(json.dumps(results, indent=1), "utf-8")
    won = sum(each["hybrid"] > max(each["dense"], each["words"]) for each in results)
    kept = sum(each["hybrid"] >= max(each["dense"], each["words"]) for each in results)
    print(f"hybrid is at least the better side on {kept} of {len(results)}, and above both on {won}")


def _name_language(docs: vecver.Dataset, name: str, data: Path) -> None:
    """A version whose words are of the collection's language; its rows are the same."""
    language = LANGUAGES.get(name)
    if language is None or (docs.show(name).recipe.keywords or {}).get("language") == language:
        return
    rows = [json.loads(line) for line in (data / "corpus.jsonl").open(encoding="utf-8")]
    records = [{"id": f"{name}/{row['_id']}", "title": row.get("title", ""), "text": row["text"]} for row in rows]
    docs.ingest(records, label=name, branch=name, language=language)


def _measure(docs: vecver.Dataset, name: str, limit: int) -> dict[str, Any]:
    asked: Any = sorted(docs.questions(name).questions, key=lambda each: hash_of(each.id))[:limit]
    tuning = docs.tune_weight(name, questions=asked)
    rrf = docs.eval(name, questions=asked, mode="hybrid", fusion="rrf")["nDCG@10"]
    curve = dict(tuning.curve)
    both, alone = _latency(docs, name, [each.query for each in asked[:50]])
    values = {"collection": name, "questions": len(asked), "dense": tuning.dense, "words": tuning.keyword}
    values |= {"hybrid": tuning.cross_validated, "0.6": curve[0.6], "best": curve[tuning.weight], "at": tuning.weight}
    values |= {"rrf": rrf, "p50_ms": both, "dense_p50_ms": alone, "curve": tuning.curve}
    scores = "".join(f"{values[column]:>9.4f}" for column in ("dense", "words", "hybrid", "0.6", "best"))
    print(f"{name:<14}{len(asked):>10,}{scores}{tuning.weight:>6.2f}{rrf:>9.4f}{both:>8.2f}{alone:>8.2f}", flush=True)
    return values


def hash_of(text: str) -> bytes:
    """An order of questions that is the same everywhere."""
    import hashlib

    return hashlib.sha256(text.encode()).digest()


def _latency(docs: vecver.Dataset, name: str, texts: list[str]) -> tuple[float, float]:
    """p50 in ms of hybrid and of dense search, of vectors that are known."""
    vectors = [hit for text in texts for hit in [docs.search(text, at=name, k=1).receipt["query"]["vector"]]]
    import base64

    import numpy as np

    queries = [np.frombuffer(base64.b64decode(vector), "<f4") for vector in vectors]
    times: dict[str, list[float]] = {"hybrid": [], "dense": []}
    for _ in range(2):
        for text, vector in zip(texts, queries, strict=True):
            pair: Any = {"text": text, "vector": vector}
            for mode, query in (("hybrid", pair), ("dense", vector)):
                began = time.perf_counter()
                docs.search(query, at=name, mode=mode)  # type: ignore[call-overload]
                times[mode].append(1000 * (time.perf_counter() - began))
    return statistics.median(times["hybrid"]), statistics.median(times["dense"])


if __name__ == "__main__":
    main()
