"""What an evaluation costs beside its searches: 1,000 questions on 100,000 chunks, CPU and wall, in one run.

    python benchmarks/evaluation_cost.py [--rows 100000] [--questions 1000] [--data ../shared/data/ann] [--turns 5]

The chunks have real MiniLM vectors of passages and mixtures of two of them; the questions are real ones. An embedder
that looks vectors up stands in for the model, so that no embedding hides what an evaluation adds. In turns: the
searches alone (`docs.search` in batches of 256, the ids and scores of hits read), an evaluation with nothing stored
(other question ids each time), and one that reads what is stored.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import vecver
from vecver.model import Vectors

HERE = Path(__file__).parent
BATCH = 256


class Known:
    """Embeds texts whose vectors are known."""

    def __init__(self, vectors: dict[str, Vectors]) -> None:
        self.vectors, self._other = vectors, next(iter(vectors.values()))

    def embed(self, texts: list[str]) -> Vectors:
        return np.stack([self.vectors.get(text, self._other) for text in texts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared/data/ann")
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    vectors = _mixed(_unit(np.load(args.data / "passages36k_minilm_f16.npz")["vectors"]), args.rows)
    asked = _questions(args.data / "questions_minilm.npz", args.questions)
    known = Known({f"passage {n}": vector for n, vector in enumerate(vectors)})
    known.vectors |= {f"question {n}": vector for n, vector in enumerate(asked)}
    embedder = vecver.embedder(known, fingerprint="known")
    docs = vecver.open(vecver.MemoryStore(), create=True, embedders=[embedder]).dataset("passages")
    records = ({"id": f"d{row:06}", "text": f"passage {row}"} for row in range(len(vectors)))
    docs.ingest(records, label="passages", embedder=embedder, chunker="whole")
    docs.optimize()
    texts = [f"question {n}" for n in range(len(asked))]
    documents = [answer[0].document for answer in docs.search(texts, k=1, exact=True)]
    spent: dict[str, list[tuple[float, float]]] = {"searches": [], "evaluation": [], "stored": []}
    for turn in range(args.turns):
        some = [
            vecver.JudgedQuestion(f"{turn}-{n}", text, None, {document: 1})
            for n, (text, document) in enumerate(zip(texts, documents, strict=True))
        ]
        questions = vecver.QuestionSet("", tuple(some))
        spent["searches"].append(_timed(lambda: _search(docs, texts)))
        for name in ("evaluation", "stored"):
            spent[name].append(_timed(lambda asked=questions: docs.eval(questions=asked)))  # type: ignore[misc]
    print(f"{len(asked):,} questions, {args.rows:,} chunks, engine {docs.eval(questions=questions).engine['name']}")
    for name, times in spent.items():
        cpu, wall = (sorted(each)[0] for each in zip(*times, strict=True))
        base_cpu, base_wall = (sorted(each)[0] for each in zip(*spent["searches"], strict=True))
        print(f"{name:<12} CPU {cpu:7.3f} s, {cpu / base_cpu:5.2f} x   wall {wall:7.3f} s, {wall / base_wall:5.2f} x")


def _search(docs: vecver.Dataset, texts: list[str]) -> None:
    for start in range(0, len(texts), BATCH):
        for answer in docs.search(texts[start : start + BATCH], k=10, per_document=1):
            _ = [(hit.document, hit.score) for hit in answer]


def _timed(verb: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    verb()
    return time.process_time() - cpu, time.perf_counter() - wall


def _questions(file: Path, count: int) -> Vectors:
    data = np.load(file)
    every = np.concatenate([data[name] for name in data.files if data[name].ndim == 2 and data[name].dtype.kind == "f"])
    return _unit(np.random.default_rng(1).permutation(every)[:count])


def _mixed(vectors: Vectors, rows: int) -> Vectors:
    draw = np.random.default_rng(2)
    pairs = draw.integers(len(vectors), size=(max(0, rows - len(vectors)), 2))
    return np.concatenate([vectors, _unit(vectors[pairs[:, 0]] + 0.5 * vectors[pairs[:, 1]])])[:rows]


def _unit(vectors: Vectors) -> Vectors:
    vectors = vectors.astype(np.float32)
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


if __name__ == "__main__":
    main()
