"""Keyword search of one version beside bm25s and tantivy on just that version's chunks; and what keywords cost.

    python benchmarks/keywords.py [--chunks 100000] [--commits 50] [--questions 200] [--data ../shared/data]
    python benchmarks/keywords.py --relevance [COLLECTION ...]

The first takes that many passages, makes versions of 1% churn, optimizes, and times questions (of the `ir`
collections) at the head and at the oldest version: CPU of the thread, the least of five interleaved turns a question,
then the median over questions. The peers are built on just that version, with an English stemmer and stop words, and
each takes the text of a question and gives the ids and scores of ten chunks. Peers: `pip install bm25s tantivy`.

The second ingests whole documents, title and text, and compares nDCG@10 with that of bm25s (notes/bm25s_dev.json).
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

import vecver
from vecver.flows.maintaining.postings import build_postings, open_postings
from vecver.flows.opened_postings import make, tokenizer_recipe_of
from vecver.flows.searching.keywords import keyword_rows

HERE = Path(__file__).parent
DIM, VECTOR_BYTES = 8, 384 * 4  # of the vectors here, which nothing asks for; of those that postings are compared with
K, TURNS = 10, 5
LANGUAGES = {"arcd": "arabic", "xquad-ar": "arabic", "xquad-de": "german"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="*")
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--commits", type=int, default=50)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--relevance", action="store_true")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared/data")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.relevance:
            _relevance(args.data, args.collections, Path(folder))
        else:
            _latency(args.data, args.chunks, args.commits, args.questions, Path(folder))


# -- latency and costs ------------------------------------------------------------------------------


def _latency(data: Path, chunks: int, commits: int, count: int, folder: Path) -> None:
    table = pq.read_table(data / "passages/passages_dev.parquet", columns=["lang", "text"])
    english = [text for lang, text in zip(*table.to_pydict().values(), strict=True) if lang.startswith("en")]
    texts, fresh = english[:chunks], english[chunks:]
    repository = vecver.open(folder / "kb", create=True)
    docs = repository.dataset("passages")
    _timed("ingest, indexes, postings", lambda: _ingest(docs, texts, "first"))
    churn, versions = max(1, chunks // 100), [docs.show("main").id]
    for number in range(1, commits):
        rows = {(number * churn + i) % chunks: fresh[(number * churn + i) % len(fresh)] for i in range(churn)}
        docs.upsert([{"id": f"p{i}", "text": t, "vector": _vector(i + number)} for i, t in rows.items()], label="all")
        versions.append(docs.show("main").id)
    _timed("optimize", docs.optimize)
    _costs(docs, len(texts))
    questions = _questions(data / "ir", count)
    for name, id in (("head", versions[-1]), ("oldest", versions[0])):
        _compare(docs, name, id, questions)


def _ingest(docs: vecver.Dataset, texts: list[str], message: str) -> None:
    rows = ({"id": f"p{i}", "text": text, "vector": _vector(i)} for i, text in enumerate(texts))
    docs.ingest(rows, space="given", label="all", message=message)
    docs._session.upkeep.settle()


def _vector(number: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(number).standard_normal(DIM).astype(np.float32)


def _costs(docs: vecver.Dataset, chunks: int) -> None:
    """Postings' bytes, and how long they take to build, to open, and to make in memory for a small segment."""
    versions = docs._session.versions
    snapshot = versions.snapshot(versions.resolve(docs.name, "main"))
    tokenizer = tokenizer_recipe_of(snapshot.commit.recipe)
    segment = max(snapshot.segments, key=lambda each: each.chunk_count)
    content = len(make(segment, tokenizer).to_bytes())
    share = content / (segment.chunk_count * VECTOR_BYTES)
    print(f"postings of {segment.chunk_count:,} rows: {content / 1e6:.1f} MB, {share:.1%} of 384-d float32 vectors")
    seconds = _timed("postings built", lambda: build_postings(versions, segment, tokenizer, replace=True))
    print(f"  {segment.chunk_count / seconds:,.0f} chunks a second of CPU")
    _timed(
        "postings opened, first question", lambda: (open_postings(versions, snapshot), _ask(snapshot, "a red valve"))
    )


def _questions(ir: Path, count: int) -> list[str]:
    names = ("scifact", "xquad-en", "mbpp", "cranfield")
    every = [
        [json.loads(line)["text"] for line in (ir / name / "queries.jsonl").open(encoding="utf-8")] for name in names
    ]
    return [texts[i * len(texts) // count] for i in range(count // len(names)) for texts in every]


def _compare(docs: vecver.Dataset, name: str, id: str, questions: list[str]) -> None:
    versions = docs._session.versions
    snapshot = versions.snapshot(id)
    open_postings(versions, snapshot)
    texts = [
        text
        for segment, live in zip(snapshot.segments, snapshot.layout.segments, strict=True)
        for row, text in enumerate(segment.texts())
        if row in live.chunks
    ]
    engines: dict[str, Callable[[str], Any]] = {"vecver": lambda text: _ask(snapshot, text)}
    for peer, build in (("bm25s", _bm25s), ("tantivy", _tantivy)):
        engines[peer] = build(texts)
    spent = {engine: [float("inf")] * len(questions) for engine in engines}
    for _ in range(TURNS):
        for number, question in enumerate(questions):
            for engine, ask in engines.items():
                since = time.thread_time()
                ask(question)
                spent[engine][number] = min(spent[engine][number], time.thread_time() - since)
    p50 = {engine: float(np.median(times)) for engine, times in spent.items()}
    p99 = {engine: float(np.quantile(times, 0.99)) for engine, times in spent.items()}
    facts = ", ".join(f"{engine} {p50[engine] * 1e6:,.0f} us (p99 {p99[engine] * 1e6:,.0f})" for engine in engines)
    peers = min(p50[engine] for engine in engines if engine != "vecver")
    print(f"{name} ({len(texts):,} chunks): {facts}; {p50['vecver'] / peers:.2f} x the faster peer", flush=True)


def _ask(snapshot: Any, text: str) -> Any:
    return keyword_rows(snapshot, None, [text], K)


def _bm25s(texts: list[str]) -> Callable[[str], Any]:
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    words = {"stopwords": "en", "stemmer": stemmer, "show_progress": False}
    retriever = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    retriever.index(bm25s.tokenize(texts, **words), show_progress=False)

    def ask(text: str) -> Any:
        tokens = bm25s.tokenize([text], return_ids=False, **words)
        return retriever.retrieve(tokens, k=K, show_progress=False)

    return ask


def _tantivy(texts: list[str]) -> Callable[[str], Any]:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("id", stored=True)
    builder.add_text_field("body", stored=False, tokenizer_name="en_stem")
    index = tantivy.Index(builder.build())
    writer = index.writer(heap_size=500_000_000, num_threads=1)
    for number, text in enumerate(texts):
        writer.add_document(tantivy.Document(id=number, body=text))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher, no_words = index.searcher(), re.compile(r"[^\w\s]")

    def ask(text: str) -> Any:
        query = index.parse_query(no_words.sub(" ", text).lower(), ["body"])
        return searcher.search(query, K).hits

    return ask


def _timed(what: str, work: Callable[[], Any]) -> float:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    seconds = time.process_time() - cpu
    print(f"{what}: {seconds:.2f} s of CPU, {time.perf_counter() - wall:.2f} s", flush=True)
    return seconds


# -- relevance --------------------------------------------------------------------------------------


def _relevance(data: Path, collections: Iterable[str], folder: Path) -> None:
    import ir_measures
    from ir_measures import nDCG

    published = json.loads((data / "notes/bm25s_dev.json").read_text("utf-8"))
    repository = vecver.open(folder / "kb", create=True)
    for name in list(collections) or sorted(published):
        for language in dict.fromkeys(["english", LANGUAGES.get(name, "english")]):
            docs = repository.dataset(f"{name}.{language}")
            rows = [json.loads(line) for line in (data / "ir" / name / "corpus.jsonl").open(encoding="utf-8")]
            texts = [f"{row.get('title', '')} {row['text']}".strip() for row in rows]
            records = [
                {"id": row["_id"], "text": text, "vector": _vector(i)}
                for i, (row, text) in enumerate(zip(rows, texts, strict=True))
                if text
            ]
            docs.ingest(records, space="given", label=name, language=language)
            docs._session.upkeep.settle()
            qrels = list(ir_measures.read_trec_qrels(_qrels(data / "ir" / name)))
            run = _run(docs, data / "ir" / name, {qrel.query_id for qrel in qrels if qrel.relevance > 0})
            judged = [qrel for qrel in qrels if qrel.query_id in run]
            flat = [ir_measures.ScoredDoc(q, d, -place) for q, ds in run.items() for place, d in enumerate(ds)]
            ours = ir_measures.calc_aggregate([nDCG @ 10], judged, flat)[nDCG @ 10]
            theirs = published[name]["ndcg10"]
            print(f"{name:<14}{language:<9}{ours:.4f}  bm25s {theirs:.4f}  {ours - theirs:+.4f}", flush=True)


def _qrels(folder: Path) -> str:
    lines = (folder / "qrels.tsv").read_text("utf-8").splitlines()[1:]
    return "\n".join(f"{query} 0 {document} {grade}" for query, document, grade in (line.split("\t") for line in lines))


def _run(docs: vecver.Dataset, folder: Path, judged: set[str]) -> dict[str, list[str]]:
    versions = docs._session.versions
    snapshot = versions.snapshot(versions.resolve(docs.name, "main"))
    open_postings(versions, snapshot)
    queries = [json.loads(line) for line in (folder / "queries.jsonl").open(encoding="utf-8")]
    queries = [query for query in queries if query["_id"] in judged]
    found = keyword_rows(snapshot, None, [query["text"] for query in queries], K)
    return {
        query["_id"]: [snapshot.segments[number].owner(row) for (number, row), _ in rows]
        for query, rows in zip(queries, found, strict=True)
    }


if __name__ == "__main__":
    main()
