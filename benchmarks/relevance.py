"""Relevance of the default recipe on test collections, beside published numbers; and what an evaluation costs.

    python benchmarks/relevance.py adi cranfield xquad-de scifact [--data ../shared/data/ir] [--embedder minilm]

Each collection becomes a dataset, and its queries and judgments a question set; `docs.eval` measures it exactly and
through the index. Beside it stands the nDCG@10 that was published for one vector a document of the same model, where
the collection's notes say that the data are equal; ours cuts documents into chunks. The last columns are the CPU of an
evaluation with nothing stored, over that of the same searches alone (`docs.search` in the same batches, hits read).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import vecver

HERE = Path(__file__).parent
MODELS = {"minilm": "sentence-transformers/all-MiniLM-L6-v2"}
BATCH = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="+")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared/data/ir")
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--out", type=Path, default=HERE / "out/relevance")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    repository = vecver.open(args.out / "kb", create=True)
    published = _published(args.data.parent / "notes/published_mteb_dev.json", MODELS.get(args.embedder, ""))
    print(
        f"{'collection':<14}{'questions':>10}{'exact':>8}{'95%':>16}{'index':>8}{'R@10':>8}{'published':>11}{'cost':>7}"
    )
    for name in args.collections:
        docs, questions = _dataset(repository, name, args.data / name, args.embedder)
        exact = docs.eval(questions=questions.name, exact=True)
        through = docs.eval(questions=questions.name)
        mean, ours = exact.measures["nDCG@10"], through["nDCG@10"]
        interval = f"{mean.low:.3f} … {mean.high:.3f}"
        theirs = f"{published[name]:.4f}" if name in published else "-"
        judged = exact.questions["judged"]
        row = f"{name:<14}{judged:>10,}{mean.mean:>8.4f}{interval:>16}{ours:>8.4f}{exact['R@10']:>8.4f}{theirs:>11}"
        print(f"{row}{_cost(docs, questions):>7.2f}", flush=True)
        (args.out / f"{name}.json").write_text(json.dumps(exact.to_json(), indent=1), "utf-8")


def _dataset(
    repository: vecver.Repository, name: str, data: Path, embedder: str
) -> tuple[vecver.Dataset, vecver.QuestionSet]:
    docs = repository.dataset(f"{name}.{embedder.replace(':', '-')}")
    rows = [json.loads(line) for line in (data / "corpus.jsonl").open(encoding="utf-8")]
    records = [{"id": row["_id"], "title": row.get("title", ""), "text": row["text"]} for row in rows]
    docs.ingest(records, label=name, embedder=embedder)
    return docs, docs.add_questions("judged", data)


def _cost(docs: vecver.Dataset, questions: vecver.QuestionSet) -> float:
    """CPU of an evaluation ÷ CPU of its searches, least of three; texts are embedded before, by both alike."""
    texts = [str(question.query) for question in questions.questions]
    spent: dict[str, list[float]] = {"eval": [], "search": []}
    for turn in range(3):
        salted = [vecver.JudgedQuestion(f"{turn}-{q.id}", q.query, None, q.documents) for q in questions.questions]
        began = time.process_time()
        for start in range(0, len(texts), BATCH):
            for answer in docs.search(texts[start : start + BATCH], k=10, per_document=1):
                _ = answer.hits
        spent["search"].append(time.process_time() - began)
        began = time.process_time()
        docs.eval(questions=vecver.QuestionSet("", tuple(salted)))  # other ids: nothing stored fits
        spent["eval"].append(time.process_time() - began)
    return min(spent["eval"]) / min(spent["search"])


def _published(file: Path, model: str) -> dict[str, float]:
    rows = json.loads(file.read_text("utf-8")) if file.exists() else []
    return {row["collection"]: row["ndcg_at_10"] for row in rows if row["model"] == model}


if __name__ == "__main__":
    main()
