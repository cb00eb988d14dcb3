"""Measures how well chunks of each size find their documents: nDCG@10, a document scored by its best chunk.

    python benchmarks/chunk_quality.py xquad-de arcd scifact [--data ../shared/data/ir] [--tokens 80 160]

The default chunker cuts each collection at each size. A fifth of a chunk is for the title in front of the embedded text
("path"); "plain" embeds the title separately instead, and "whole" makes one vector a document, of as much as the model
reads. Scores are exact, gains linear (`ir_measures`). Vectors are kept in `--cache` by the digest of their text, so a
second run embeds nothing. `chunk_stability.py` measures what an edit costs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
from ir_measures import nDCG

from vecver.model import Embedder, Parsed, Vectors
from vecver.pipeline import open_embedder
from vecver.pipeline.chunkers.chunk import chunk, chunker_recipe

HERE = Path(__file__).parent
SIZES = (80, 120, 160, 208, 254)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="+")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared/data/ir")
    parser.add_argument("--tokens", type=int, nargs="+", default=SIZES, help="the most a chunk may have")
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--cache", type=Path, default=HERE / "out/chunk_quality/vectors")
    parser.add_argument("--out", type=Path, default=HERE / "out/chunk_quality")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.cache.mkdir(parents=True, exist_ok=True)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    embedder = open_embedder(args.embedder)
    for name in args.collections:
        rows = measure(args.data / name, embedder, args.tokens, Cache(embedder, args.cache / f"{name}.npz"))
        report = {"embedder": embedder.recipe, "commit": commit, "rows": rows}
        (args.out / f"{name}.json").write_text(json.dumps(report, indent=1), "utf-8")


def measure(data: Path, embedder: Embedder, sizes: Sequence[int], cache: Cache) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (data / "corpus.jsonl").open(encoding="utf-8")]
    documents = [Parsed(item["text"], item.get("title") or "", "text/plain", "record") for item in records]
    collection = Collection(data, [item["_id"] for item in records], embedder)
    rows = []
    for tokens, kind in [(0, "whole"), *((tokens, kind) for tokens in sizes for kind in ("plain", "path"))]:
        made = chunk(documents, recipe_of(tokens, kind, embedder), embedder.count_tokens)
        texts = [[item.embedded for item in chunks] for chunks in made]
        score = collection.score(texts, cache)
        rows.append({"kind": kind, "tokens": tokens, "chunks": sum(map(len, texts)), "nDCG@10": score})
        print(f"{data.name:12s} {kind:5s} {tokens:4d}  {rows[-1]['chunks']:6d} chunks  nDCG@10 {score:.4f}", flush=True)
        cache.save()
    return rows


def recipe_of(tokens: int, kind: str, embedder: Embedder) -> dict[str, Any]:
    """The chunker's recipe for a kind; "plain" chunks have texts as long as "path" ones, without context in front."""
    if kind == "whole":
        return chunker_recipe("whole", max_tokens=embedder.max_tokens)
    recipe = chunker_recipe(tokens=tokens, max_tokens=embedder.max_tokens)
    text_tokens = recipe["max_tokens"] - recipe["context_tokens"]
    return recipe if kind == "path" else recipe | {"max_tokens": text_tokens, "context_tokens": 0}


class Collection:
    """The judged queries of one collection, their vectors, and the judgements."""

    def __init__(self, data: Path, ids: list[str], embedder: Embedder) -> None:
        lines = (data / "qrels.tsv").read_text("utf-8").splitlines()[1:]
        judged = [line.split("\t") for line in lines if line.strip()]
        qrels = [ir_measures.Qrel(query, document, int(float(grade))) for query, document, grade in judged]
        answered = {qrel.query_id for qrel in qrels if qrel.relevance > 0}
        queries = [json.loads(line) for line in (data / "queries.jsonl").open(encoding="utf-8")]
        self.ids = ids
        self.queries = [record["_id"] for record in queries if record["_id"] in answered]
        self.qrels = [qrel for qrel in qrels if qrel.query_id in answered]
        self.vectors = embedder.embed_queries([record["text"] for record in queries if record["_id"] in answered])

    def score(self, texts: list[list[str]], cache: Cache) -> float:
        """nDCG@10 of documents, each scored by its best text."""
        kept = [n for n, row in enumerate(texts) if row]
        starts = np.cumsum([0, *(len(texts[n]) for n in kept)])[:-1]
        scores = self.vectors @ cache.vectors([text for n in kept for text in texts[n]]).T
        best = np.maximum.reduceat(scores, starts, axis=1)
        run = [
            ir_measures.ScoredDoc(query, self.ids[kept[place]], float(row[place]))
            for query, row in zip(self.queries, best, strict=True)
            for place in np.argsort(-row, kind="stable")[:11]
            if self.ids[kept[place]] != query  # as in MTEB: a query that is also a document is not its own hit
        ]
        return float(ir_measures.calc_aggregate([nDCG @ 10], self.qrels, run)[nDCG @ 10])


class Cache:
    """Vectors by the digest of their text, in one file."""

    def __init__(self, embedder: Embedder, file: Path) -> None:
        self._embedder, self._file = embedder, file
        self._rows: dict[str, Vectors] = {}
        if file.exists():
            with np.load(file, allow_pickle=False) as stored:
                self._rows = dict(zip(stored["digests"].tolist(), stored["vectors"], strict=True))

    def vectors(self, texts: list[str]) -> Vectors:
        digests = [sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts]
        new = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in self._rows}
        if new:
            self._rows.update(zip(new, self._embedder.embed(list(new.values())), strict=True))
        return np.stack([self._rows[digest] for digest in digests])

    def save(self) -> None:
        np.savez(self._file, digests=np.array(list(self._rows)), vectors=np.stack(list(self._rows.values())))


if __name__ == "__main__":
    main()
