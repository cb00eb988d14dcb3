"""Real quality: test collections through the public face, against the published scores of the same model.

    python benchmarks/quality.py scifact xquad-en mbpp [--data ../shared/data/ir]

Each collection is ingested one chunk a document (`chunker="whole"`), asked in exact mode, and measured by
`ir_measures` (nDCG@10, linear gains). The golden query vectors in `ann/` are compared as well. Runs in TREC
form and the scores go to `--out` (benchmarks/out/quality).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
from ir_measures import R, nDCG

import vecver
from vecver.model import Vectors

HERE = Path(__file__).parent
PUBLISHED = {
    "scifact": 0.6451,
    "xquad-en": 0.9436,
    "mbpp": 0.7460,
    "xquad-de": 0.7032,
    "xquad-zh": 0.2422,
    "xquad-ar": 0.0380,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="+")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared/data")
    parser.add_argument("--out", type=Path, default=HERE / "out/quality")
    parser.add_argument("--embedder", default="minilm")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    golden(args.data / "ann/scifact_queries_minilm384_golden.npz", args.embedder)
    for name in args.collections:
        result = measure(args.data / "ir" / name, args.embedder, args.out)
        published = PUBLISHED.get(name)
        apart = "" if published is None else f"   published {published:.4f}, apart {result['nDCG@10'] - published:+.4f}"
        print(f"{name:10s} nDCG@10 {result['nDCG@10']:.4f}{apart}   R@100 {result['R@100']:.4f}   {result['told']}")
        (args.out / f"{name}.json").write_text(json.dumps(result, indent=1), "utf-8")


def measure(data: Path, embedder: str, out: Path) -> dict[str, Any]:
    docs = vecver.open(vecver.MemoryStore(), create=True).dataset(data.name)
    began = time.perf_counter()
    report = docs.ingest(data / "corpus.jsonl", chunker="whole", embedder=embedder)
    ingested = time.perf_counter() - began
    qrels = list(ir_measures.read_trec_qrels(_trec(data / "qrels.tsv")))
    judged = {qrel.query_id for qrel in qrels if qrel.relevance > 0}
    queries = [q for q in map(json.loads, (data / "queries.jsonl").open(encoding="utf-8")) if q["_id"] in judged]
    began = time.perf_counter()
    answers = docs.search([q["text"] for q in queries], k=100, exact=True)
    asked = time.perf_counter() - began
    run = [
        ir_measures.ScoredDoc(query["_id"], hit.document, hit.score)
        for query, answer in zip(queries, answers, strict=True)
        for hit in answer
        if hit.document != query["_id"]  # as MTEB: a query that is a document does not find itself
    ]
    with open(out / f"{data.name}.run", "w", encoding="utf-8") as file:
        file.writelines(f"{r.query_id} Q0 {r.doc_id} 0 {r.score!r} vecver\n" for r in run)
    found = ir_measures.calc_aggregate([nDCG @ 10, R @ 100], [q for q in qrels if q.query_id in judged], run)
    return {
        "nDCG@10": found[nDCG @ 10],
        "R@100": found[R @ 100],
        "told": f"{report.documents['added']} documents, {report.longer} longer than the model reads, "
        f"ingested in {ingested:.0f} s, {len(queries)} queries in {asked:.0f} s",
    }


def golden(file: Path, embedder: str) -> None:
    """Our query vectors against those that two unrelated projects published."""
    data = np.load(file, allow_pickle=False)
    names = {name: data[name].shape for name in data.files}
    texts = next(data[name] for name in data.files if data[name].dtype.kind in "UO" and "text" in name)
    vectors = next(data[name] for name in data.files if data[name].ndim == 2)
    docs = vecver.open(vecver.MemoryStore(), create=True).dataset("golden")
    docs.ingest([{"id": str(i), "text": str(text)} for i, text in enumerate(texts)], chunker="whole", embedder=embedder)
    cosines = [docs.search(vector, k=1, exact=True)[0].score for vector in vectors[:100]]
    ours = _vectors(docs, len(texts))
    print(
        f"golden     {len(texts)} texts {names}: largest difference {np.abs(ours - vectors).max():.2e}, "
        f"smallest best cosine {min(cosines):.7f}"
    )


def _vectors(docs: vecver.Dataset, count: int) -> np.ndarray[Any, Any]:
    """The stored vectors in the order of the ids, read back through one-hot queries: score = coordinate."""
    found = np.zeros((count, 384), np.float64)
    units: list[Vectors] = list(np.eye(384, dtype=np.float32))
    for axis, answer in enumerate(docs.search(units, k=count, exact=True)):
        for hit in answer:
            found[int(hit.document), axis] = hit.score
    return found


def _trec(file: Path) -> str:
    """A qrels.tsv with a header line in TREC's form."""
    rows = [line.split("\t") for line in file.read_text("utf-8").splitlines()[1:] if line.strip()]
    return "\n".join(f"{query} 0 {document} {int(score)}" for query, document, score in rows)


if __name__ == "__main__":
    main()
