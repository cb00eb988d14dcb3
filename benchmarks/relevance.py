"""Relevance on test collections, exact and through the index, beside published numbers.

    python benchmarks/relevance.py adi cranfield xquad-de scifact [--data ../shared/data/ir] [--embedder minilm]
                                   [--chunker whole]

Each collection becomes documents of one dataset, with its queries and judgments as a question set. A branch holds each
collection alone, so that `docs.eval` measures it as it is published; `main` holds all of them, which is enough rows for
an index. So a collection has four values of nDCG@10:

alone: exact      every row is scanned
alone: searched   as `search` does by default; "scan" says that no row of this version lies under an index
all: exact        among the documents of all collections that were named, which are more rivals
all: index        the same, through the index; `ann_recall@10` says what share of the exact answer it finds

`--chunker whole` embeds each document as one vector, as the published numbers of the same model did. They apply where
the collection's notes say that the data are equal; "apart" is the first column less the published number.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import vecver

HERE = Path(__file__).parent
MODELS = {
    "minilm": "sentence-transformers/all-MiniLM-L6-v2",
    "minilm:bf16": "sentence-transformers/all-MiniLM-L6-v2",
}
HEAD = {  # column -> width
    **{"collection": -14, "questions": 10, "published": 11, "alone: exact": 14, "95%": 16, "apart": 9},
    **{"searched": 14, "R@10": 8, "all: exact": 12, "all: index": 12, "ann_recall": 12},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="*", help="all that are there, unless named")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared/data/ir")
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--chunker", default="structure", choices=["structure", "whole"])
    parser.add_argument("--out", type=Path, default=HERE / "out/relevance")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    name = f"{args.chunker}.{args.embedder.replace(':', '-')}"
    docs = vecver.open(args.out / "kb", create=True).dataset(name)
    collections = args.collections or sorted(folder.name for folder in args.data.iterdir() if folder.is_dir())
    for collection in collections:
        _ingest(docs, collection, args.data / collection, args.embedder, args.chunker)
    docs.optimize()
    published = _published(args.data.parent / "notes/published_mteb_dev.json", MODELS.get(args.embedder, ""))
    print(f"{name}: {docs.show().counts['chunks']:,} chunks of {len(collections)} collections")
    print("".join(f"{name:{'<' if width < 0 else '>'}{abs(width)}}" for name, width in HEAD.items()))
    results = [_measure(docs, collection, published) for collection in collections]
    (args.out / f"{name}.json").write_text(json.dumps(results, indent=1), "utf-8")


def _ingest(docs: vecver.Dataset, name: str, data: Path, embedder: str, chunker: str) -> None:
    """Add a collection to `main`, make a branch that holds it alone, and store its questions; what is there is kept."""
    if name in docs.branches():
        return
    rows = [json.loads(line) for line in (data / "corpus.jsonl").open(encoding="utf-8")]
    records = [{"id": f"{name}/{row['_id']}", "title": row.get("title", ""), "text": row["text"]} for row in rows]
    began = time.perf_counter()
    report = docs.ingest(records, label=name, embedder=embedder, chunker=chunker)
    print(f"# {name}: {report.chunks['embedded']:,} chunks in {time.perf_counter() - began:.0f} s", flush=True)
    others = [id for id in docs.documents() if not id.startswith(f"{name}/")]
    docs.add_questions(name, _questions(name, data))
    docs.branch(name)
    if others:
        docs.delete(others, branch=name)


def _questions(name: str, data: Path) -> list[vecver.JudgedQuestion]:
    """The questions of a collection that are judged, with the ids that the documents have in the dataset."""
    lines = (data / "qrels.tsv").read_text("utf-8").splitlines()[1:]
    grades: dict[str, dict[str, int]] = {}
    for query, document, grade in (line.split("\t") for line in lines if line.strip()):
        grades.setdefault(query, {})[f"{name}/{document}"] = int(grade)
    rows = [json.loads(line) for line in (data / "queries.jsonl").open(encoding="utf-8")]
    return [
        vecver.JudgedQuestion(row["_id"], row["text"], None, grades[row["_id"]]) for row in rows if row["_id"] in grades
    ]


def _measure(docs: vecver.Dataset, name: str, published: dict[str, float]) -> dict[str, Any]:
    questions = docs.questions(name)
    alone, searched = docs.eval(name, questions=name, exact=True), docs.eval(name, questions=name)
    among, through = docs.eval(questions=name, exact=True), docs.eval(questions=name)
    mean = alone.measures["nDCG@10"]
    recall = docs.recall(queries=[question.asked for question in questions.questions], k=[10])[10].ann_recall
    values: dict[str, Any] = {
        "collection": name,
        "questions": alone.questions["judged"],
        "published": published.get(name),
        "alone": {"exact": mean.mean, "low": mean.low, "high": mean.high, "searched": searched["nDCG@10"]},
        "alone_engine": searched.engine["name"],
        "R@10": alone["R@10"],
        "all": {"exact": among["nDCG@10"], "index": through["nDCG@10"], "engine": through.engine["name"]},
        "ann_recall@10": recall,
        "skipped": dict(alone.skipped),
    }
    theirs = f"{published[name]:>11.4f}" if name in published else f"{'-':>11}"
    apart = f"{mean.mean - published[name]:>+9.4f}" if name in published else f"{'':>9}"
    how = "scan" if searched.engine["name"] == "exact" else "index"
    print(
        f"{name:<14}{values['questions']:>10,}{theirs}{mean.mean:>14.4f}{f'{mean.low:.3f} … {mean.high:.3f}':>16}"
        f"{apart}{searched['nDCG@10']:>8.4f} {how:<5}{alone['R@10']:>8.4f}{among['nDCG@10']:>12.4f}"
        f"{through['nDCG@10']:>12.4f}{recall:>12.4f}",
        flush=True,
    )
    return values


def _published(file: Path, model: str) -> dict[str, float]:
    rows = json.loads(file.read_text("utf-8")) if file.exists() else []
    return {row["collection"]: row["ndcg_at_10"] for row in rows if row["model"] == model}


if __name__ == "__main__":
    main()
