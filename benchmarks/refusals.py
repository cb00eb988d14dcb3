"""How surely gates refuse a broken version, and how often they refuse a sound one.

    python benchmarks/relevance.py adi cranfield mbpp xquad-en --chunker whole --embedder minilm:bf16
    python benchmarks/refusals.py adi cranfield mbpp xquad-en [--seeds 20] [--prompts xquad-en]

Takes the vectors of collections that `relevance.py` has embedded, one a document, and makes versions of them:

shuffled   5% of the documents have each other's vectors
dropped    5% of the documents are gone: those nearest to some document, as a folder of one topic would be
prompt     every document was embedded behind a text that the questions do not have
noise      sound: every vector embedded anew, 0.002 apart (more than another machine or bfloat16 makes of it)
grown      sound: a hundredth of new documents, each between two that are there
pruned     sound: 5% of the documents are gone, none of which any question asks for

Each is promoted with gates that compare with `prod`, the sound version; the table says which share is refused by a
gate with that margin, such as "nDCG@10 >= prod - 0.01", and how little the least harmful version of the kind lost.
"interval" is a stricter reader than the gates are: it refuses where the interval of the difference of nDCG@10 lies
wholly below zero.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import vecver
from vecver.errors import GateError
from vecver.model import Vectors

HERE = Path(__file__).parent
GATES = ("nDCG@10 >= prod", "R@10 >= prod", "nDCG@10 > 1")  # the last never holds, so that `prod` stays
COLUMNS = (*(("nDCG@10", margin) for margin in (0, 0.005, 0.01, 0.02)), *(("R@10", margin) for margin in (0, 0.01)))
PROMPTS = (
    "query: ",
    "passage: ",
    "Represent this sentence for searching relevant passages: ",
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: ",
)
SHARE = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="+")
    parser.add_argument("--kb", type=Path, default=HERE / "out/relevance/kb")
    parser.add_argument("--embedder", default="minilm:bf16")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--prompts", nargs="*", default=[], help="collections whose documents are embedded anew")
    parser.add_argument("--out", type=Path, default=HERE / "out/refusals.json")
    args = parser.parse_args()
    embedded = vecver.open(args.kb).dataset(f"whole.{args.embedder.replace(':', '-')}")
    print(
        f"{'':<38}"
        + "".join(f"{f'{measure} - {margin}':>16}" for measure, margin in COLUMNS)
        + f"{'interval':>10}{'worst':>9}"
    )
    results = {}
    for name in args.collections:
        bench = Bench(embedded, name, args.embedder)
        versions = [*bench.broken(args.seeds), *bench.sound(args.seeds)]
        versions += bench.prompted() if name in args.prompts else []
        results[name] = tried = bench.try_all(versions)
        for fault, rows in tried.items():
            _show(f"{name} ({len(bench.ids):,} documents, {len(bench.questions)})"[:27], fault, rows)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1), "utf-8")


def _show(name: str, fault: str, rows: list[dict[str, Any]]) -> None:
    shares = "".join(
        f"{np.mean([row[measure] < -margin - 1e-12 for row in rows]):>16.0%}" for measure, margin in COLUMNS
    )
    surely = np.mean([row["high"] < 0 for row in rows])
    print(f"{name:<28}{fault:<10}{shares}{surely:>10.0%}{max(row['nDCG@10'] for row in rows):>+9.4f}", flush=True)


Records = list[dict[str, Any]]


class Bench:
    """A collection's documents with their vectors as one sound version, its questions, and versions made of it."""

    def __init__(self, embedded: vecver.Dataset, name: str, embedder: str) -> None:
        self.name, self._embedder = name, embedder
        count = embedded.show(name).counts["documents"]
        answer = embedded.search("any", at=name, k=count, exact=True, vectors=True, per_document=1)
        hits = sorted(answer, key=lambda hit: hit.document)
        self.ids, self._texts = [hit.document for hit in hits], [hit.text for hit in hits]
        self._vectors = np.array([hit.vector for hit in hits], np.float32)
        asked = embedded.questions(name).questions
        vectors = self._embed([str(each.query) for each in asked])
        self.questions = [
            vecver.JudgedQuestion(each.id, each.query, tuple(vector.tolist()), each.documents)
            for each, vector in zip(asked, vectors, strict=True)
        ]
        self._docs = vecver.open(vecver.MemoryStore(), create=True).dataset("gated")
        self._ingest(self._records(self._vectors))
        self._docs.promote("prod", "main")
        self._docs.add_questions("judged", self.questions)

    def broken(self, seeds: int) -> Iterator[tuple[str, Records]]:
        few = max(2, round(SHARE * len(self.ids)))
        for seed in range(seeds):
            draw = np.random.default_rng(seed)
            some, shuffled = draw.choice(len(self.ids), few, replace=False), self._vectors.copy()
            shuffled[some] = self._vectors[np.roll(some, 1)]
            yield "shuffled", self._records(shuffled)
            near = self._vectors @ self._vectors[draw.integers(len(self.ids))]
            yield "dropped", self._records(self._vectors, without=set(np.argsort(-near)[:few].tolist()))

    def sound(self, seeds: int) -> Iterator[tuple[str, Records]]:
        asked = {document for question in self.questions for document in question.documents}
        free = [row for row, id in enumerate(self.ids) if id not in asked]
        few = max(2, round(SHARE * len(self.ids)))
        for seed in range(seeds):
            draw = np.random.default_rng(seed)
            noise = draw.standard_normal(self._vectors.shape).astype(np.float32)
            noise *= 0.002 / np.linalg.norm(noise, axis=1, keepdims=True)
            yield "noise", self._records(self._vectors + noise)
            pairs = draw.integers(len(self.ids), size=(max(1, len(self.ids) // 100), 2))
            between = self._vectors[pairs].sum(axis=1)
            new = [{"id": f"new{n}", "text": f"new {n}", "vector": vector} for n, vector in enumerate(between)]
            yield "grown", [*self._records(self._vectors), *new]
            if len(free) >= few:
                gone = set(draw.choice(free, few, replace=False).tolist())
                yield "pruned", self._records(self._vectors, without=gone)

    def prompted(self) -> Iterator[tuple[str, Records]]:
        for prompt in PROMPTS:
            yield f"{prompt[:9]!s}", self._records(self._embed([prompt + text for text in self._texts]))

    def try_all(self, versions: list[tuple[str, Records]]) -> dict[str, list[dict[str, Any]]]:
        """fault -> for each version the differences from `prod`, with the upper end of the interval of nDCG@10."""
        tried = defaultdict[str, list[dict[str, Any]]](list)
        for fault, records in versions:
            self._ingest(records)
            results = self._gates()
            differences = {gate["gate"].split()[0]: gate["value"] - gate["bound"] for gate in results[:2]}
            assert all(gate["passed"] == (gate["value"] >= gate["bound"] - 1e-12) for gate in results[:2])
            tried[fault].append({**differences, "high": results[0]["high"]})
        return tried

    def _gates(self) -> list[dict[str, Any]]:
        """What every gate says of `main`."""
        stood = self._docs.aliases()
        try:
            self._docs.promote("prod", "main", gates=GATES, questions="judged")
        except GateError as error:
            assert self._docs.aliases() == stood
            return list(error.context["gates"])
        raise AssertionError("a gate that cannot hold was passed")

    def _ingest(self, records: Records) -> None:
        self._docs.ingest(records, space="given", metric="cosine", label="rows", allow_removals=True)

    def _records(self, vectors: Vectors, without: set[int] | frozenset[int] = frozenset()) -> Records:
        rows = zip(self.ids, self._texts, vectors, strict=True)
        kept = (row for number, row in enumerate(rows) if number not in without)
        return [{"id": id, "text": text or "-", "vector": vector} for id, text, vector in kept]

    def _embed(self, texts: list[str]) -> Vectors:
        side = vecver.open(vecver.MemoryStore(), create=True).dataset("texts")
        records = [{"id": f"{number:06}", "text": text or "-"} for number, text in enumerate(texts)]
        side.ingest(records, label="texts", embedder=self._embedder, chunker="whole")
        hits = side.search("any", k=len(texts), exact=True, vectors=True, per_document=1)
        return np.array([hit.vector for hit in sorted(hits, key=lambda hit: hit.document)], np.float32)


if __name__ == "__main__":
    main()
