"""Keyword and hybrid search of one version beside bm25s and tantivy on just that version; and what keywords cost.

    python benchmarks/keywords.py [--chunks 100000] [--commits 50] [--questions 200] [--turns 5] [--kb FOLDER]
    python benchmarks/keywords.py --relevance [COLLECTION ...]

The first takes that many passages and their 384-d vectors (those of 36,000 are MiniLM's, the others mixtures of two of
them), makes versions of 1% churn, optimizes, and times questions (of the `ir` collections) at the head and at the
oldest version: CPU of the thread and wall time, the least of some interleaved turns a question, then the median. The
peers are built on just that version, with an English stemmer and stop words, and each takes the text of a question and
gives the ids and scores of ten chunks. Hybrid gets the vector too; `vectors` is its other side alone, for the hundred
rows that hybrid asks of it. With --kb the repository is kept there, and used if it is there. Peers:
`pip install bm25s tantivy`.

The second ingests whole documents, title and text, and compares nDCG@10 with that of bm25s (notes/bm25s_dev.json).
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import vectors

import vecver
from vecver.flows.maintaining.indexing import open_indexes
from vecver.flows.maintaining.postings import build_postings, open_postings
from vecver.flows.opened_postings import make, tokenizer_recipe_of
from vecver.flows.searching import hybrid
from vecver.flows.searching.filtering import filtered
from vecver.flows.searching.fusion import DEPTH
from vecver.flows.searching.keywords import keyword_rows
from vecver.flows.searching.questions import Shape
from vecver.flows.searching.search import asking_here
from vecver.pipeline import open_embedder

HERE = Path(__file__).parent
DIM = 384
K = 10
LANGUAGES = {"arcd": "arabic", "xquad-ar": "arabic", "xquad-de": "german"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="*")
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--commits", type=int, default=50)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--kb", type=Path)
    parser.add_argument("--relevance", action="store_true")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared/data")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.relevance:
            _relevance(args.data, args.collections, Path(folder))
        else:
            place = args.kb or Path(folder) / "kb"
            if not place.exists():
                _make(args.data, args.chunks, args.commits, place)
            docs = vecver.open(place).dataset("passages")
            ids = [commit.id for commit in docs.log()]
            _costs(docs)
            questions = _questions(args.data / "ir", args.questions)
            for name, id in (("head", ids[0]), ("oldest", ids[-1])):
                _compare(docs, name, id, questions, args.turns)


# -- latency and costs ------------------------------------------------------------------------------


def _make(data: Path, chunks: int, commits: int, place: Path) -> None:
    texts, vectors = _passages(data)
    docs = vecver.open(place, create=True).dataset("passages")
    order = np.random.default_rng(1).permutation(len(texts))
    first, fresh = order[:chunks], order[chunks:]

    def rows(pairs: Iterable[tuple[int, int]]) -> Iterable[dict[str, Any]]:
        return ({"id": f"p{slot}", "text": texts[row], "vector": vectors[row]} for slot, row in pairs)

    _timed("ingest, indexes, postings", lambda: _ingest(docs, rows(enumerate(first.tolist()))))
    churn = max(1, chunks // 100)
    for number in range(1, commits):
        places = range(number * churn, (number + 1) * churn)
        docs.upsert(rows([(i % chunks, int(fresh[i % len(fresh)])) for i in places]), label="all")
    _timed("optimize", docs.optimize)


def _passages(data: Path) -> tuple[list[str], Any]:
    """English passages, and a vector of each, `(n, 384)`: first those whose vectors are their own."""
    table = pq.read_table(data / "passages/passages_dev.parquet", columns=["id", "lang", "text"]).to_pydict()
    english = {
        id: text
        for id, lang, text in zip(*(table[name] for name in ("id", "lang", "text")), strict=True)
        if lang[:2] == "en"
    }
    embedded = np.load(data / "ann/passages36k_minilm_f16.npz")["ids"].tolist()
    texts = [english.pop(id) for id in embedded] + list(english.values())
    return texts, vectors.mixtures(len(texts), DIM)


def _ingest(docs: vecver.Dataset, rows: Any) -> None:
    docs.ingest(rows, space="given", label="all", message="first")
    docs._session.upkeep.settle()


def _costs(docs: vecver.Dataset) -> None:
    """Postings' bytes, and how long they take to build, to open, and to make in memory for a small segment."""
    versions = docs._session.versions
    snapshot = versions.snapshot(versions.resolve(docs.name, "main"))
    tokenizer = tokenizer_recipe_of(snapshot.commit.recipe)
    segment = max(snapshot.segments, key=lambda each: each.chunk_count)
    content = len(make(segment, tokenizer).to_bytes())
    share = content / segment.vectors.nbytes
    print(f"postings of {segment.chunk_count:,} rows: {content / 1e6:.1f} MB, {share:.1%} of their vectors")
    seconds = _timed("postings built", lambda: build_postings(versions, segment, tokenizer, replace=True))
    print(f"  {segment.chunk_count / seconds:,.0f} chunks a second of CPU")
    _timed(
        "postings opened, first question", lambda: (open_postings(versions, snapshot), _ask(snapshot, "a red valve"))
    )


def _questions(ir: Path, count: int) -> list[tuple[str, Any]]:
    """Questions and their vectors."""
    names = ("scifact", "xquad-en", "mbpp", "cranfield")
    every = [
        [json.loads(line)["text"] for line in (ir / name / "queries.jsonl").open(encoding="utf-8")] for name in names
    ]
    texts = [texts[i * len(texts) // count] for i in range(count // len(names)) for texts in every]
    return list(zip(texts, open_embedder("minilm").embed(texts), strict=True))


def _compare(docs: vecver.Dataset, name: str, id: str, questions: list[tuple[str, Any]], turns: int) -> None:
    versions = docs._session.versions
    snapshot = versions.snapshot(id)
    open_postings(versions, snapshot)
    open_indexes(versions, snapshot)
    texts = [
        text
        for segment, live in zip(snapshot.segments, snapshot.layout.segments, strict=True)
        for row, text in enumerate(segment.texts())
        if row in live.chunks
    ]
    engines: dict[str, Callable[[str, Any], Any]] = {
        "keyword": lambda text, _: _ask(snapshot, text),
        "hybrid": lambda text, vector: _ask_both(snapshot, text, vector),
        "vectors": lambda _, vector: _dense(snapshot, ())(vector[None, :], DEPTH),
    }
    for peer, ask_peer in (("bm25s", _bm25s(texts)), ("tantivy", _tantivy(texts))):
        engines[peer] = partial(_ask_peer, ask_peer)
    spent = {engine: np.full((2, len(questions)), np.inf) for engine in engines}
    for _ in range(turns):
        for number, question in enumerate(questions):
            for engine, ask in engines.items():
                cpu, wall = time.thread_time(), time.perf_counter()
                ask(*question)
                took = time.thread_time() - cpu, time.perf_counter() - wall
                spent[engine][:, number] = np.minimum(spent[engine][:, number], took)
    p50 = {engine: np.median(times, axis=1) * 1e6 for engine, times in spent.items()}
    peers = np.minimum(p50["bm25s"], p50["tantivy"])
    print(f"{name} ({len(texts):,} chunks), p50 in us of CPU, of wall; x the faster peer")
    for engine, (cpu, wall) in p50.items():
        print(f"  {engine:<9}{cpu:>8,.0f}{wall:>8,.0f}{cpu / peers[0]:>7.2f}{wall / peers[1]:>7.2f}", flush=True)


def _ask(snapshot: Any, text: str) -> Any:
    return keyword_rows(snapshot, None, [text], K)


def _ask_peer(ask: Callable[[str], Any], text: str, _: Any) -> Any:
    return ask(text)


def _ask_both(snapshot: Any, text: str, vector: Any) -> Any:
    weight = hybrid.weight_of(snapshot.commit.recipe, None)
    ranker = hybrid.ranker_of(
        snapshot, None, "hybrid", [text], vector[None, :], weight, lambda documents: _dense(snapshot, documents)
    )
    return hybrid.ranked(snapshot, None, ranker, Shape(K), 1)


def _dense(snapshot: Any, documents: Any) -> Any:
    assert not documents
    return asking_here(snapshot, filtered(snapshot, None), exact=False)


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
                {"id": row["_id"], "text": text, "vector": [1.0, i]}
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
