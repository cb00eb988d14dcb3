"""Recall: the index of a version against exact search on the same version, and how long a query takes.

queries -> exact, in batches -> for each k: the index, in one batch -> one by one, timed -> a measure beside the commit
With `apply`, indexes that do not look far enough for the queries learn to do so first. What was measured of given
queries is kept beside the indexes too, as what to expect of every version that shares them (`expectations`).

Decisions
1. A sampled query is a chunk's vector moved by once or twice the difference of two others. Points a third of the way
   between two chunks are too easy: with one effort for all queries they gave 0.95 on 36,000 passages, where real
   questions of eight kinds gave 0.87; these give 0.91. With an effort for each query real questions give 0.991 and
   these 0.987 (benchmarks/recall.py). `queries` measures an application's questions.
2. The sample is the chunks with the smallest keys. Keys are digests, so this is a random draw that depends only on the
   version's content, not on its layout or a generator; versions that differ in 1% of their chunks have nearly the same
   queries.
3. Every k is searched by itself, because the index looks further for a larger k. One exact search serves all k, since
   its top k are prefixes.
4. An explicit k or sample larger than the version is an error; the defaults shrink to the version. Otherwise a recall
   of 1 could mean that there was nothing to miss.
5. Hits are compared, as `search` returns them, not rows: where titles lift passages, k hits are made of 2 k rows, and
   a missed title row matters only if it would have lifted a passage.
6. A measurement that cannot be stored (a read-only repository, a full disk) is still returned.
7. In keyword and hybrid mode the hits of `search` are compared with those of an exact one in the same mode. A sample
   has no words, so the queries are given. The measure has a kind of its own for each mode, weight and fusion.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from vecver import index, repo
from vecver.digest import digest_json
from vecver.errors import BackendError, InvalidInputError, say
from vecver.flows import opened_indexes
from vecver.flows.embedding import OpenEmbedder
from vecver.flows.evaluating import expectations
from vecver.flows.evaluating.runs import Engine, mode_facts
from vecver.flows.maintaining.indexing import open_indexes
from vecver.flows.searching.filtering import filtered
from vecver.flows.searching.queries import Query, vectors_of
from vecver.flows.searching.questions import Question, Shape
from vecver.flows.searching.ranking import rank
from vecver.flows.searching.receipts import ENGINES, version
from vecver.flows.searching.search import asking_here, engine_of, search
from vecver.model import Answer, Json, Part, Recall, RecallAt, Recipe, Vectors
from vecver.progress import Progress
from vecver.repo import Snapshot, Versions

KIND = "recall"
DEFAULT_K = (1, 10, 100)
DEFAULT_SAMPLE = 100
_BATCH = 256  # queries whose answers are held at once
LOW = 0.8  # a query that finds less of its true top k is counted
DRAWN = "each a chunk's vector moved by once or twice the difference of two others; the chunks with the smallest keys"
_MOVED = (1.0, 2.0)  # in turn
_WARM = 10  # queries before the clock runs

Places = npt.NDArray[np.int64]
Ask: TypeAlias = "Callable[[Any, int], object]"


def recall(
    versions: Versions,
    dataset: str,
    open_embedder: OpenEmbedder,
    *,
    at: str,
    k: Sequence[int] | None = None,
    queries: Sequence[Query] | None = None,
    sample: int | None = None,
    apply: bool = False,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Recall:
    """Measure a version and keep the measure beside its commit. See `Dataset.recall`.

    Raises InvalidInputError (`apply` without `queries` or in another mode; no queries in a mode that reads words).
    """
    engine = engine or Engine()
    _check_queries(queries, apply, engine.mode)
    snapshot = versions.snapshot(versions.resolve(dataset, at))
    commit = snapshot.commit.id
    sizes = _sizes(k, _live(snapshot))
    if engine.mode != "dense":
        asked = _asked(queries or (), sample, snapshot, engine.mode, open_embedder)
        return _by_words(versions, dataset, snapshot, asked, sizes, engine, open_embedder, progress)
    vectors = _vectors(snapshot, queries, sample, open_embedder)
    open_indexes(versions, snapshot)
    raised = _raise_effort(versions, snapshot, vectors) if apply else None
    parts = filtered(snapshot, None)
    lifts = snapshot.commit.recipe.title_lifts_passage
    true = _answers(snapshot, parts, vectors, Shape(max(sizes), title_lifts_passage=lifts), exact=True)

    def ask(vector: Vectors, size: int) -> object:
        return search(versions, dataset, Question.of([vector], at=commit, k=size), open_embedder)

    measured, answers = [], dict[int, Places]()
    for size in sizes:
        shape = Shape(size, title_lifts_passage=lifts)
        name = str(engine_of(parts, shape.asked, exact=False)["name"])
        exact = name == ENGINES[0]
        hits = true[:, :size] if exact else _answers(snapshot, parts, vectors, shape, exact=False)
        if not exact:
            answers[size] = hits
        shares = _shares(true[:, :size], hits)
        how = {"worst": float(shares.min()), "below_0_8": float((shares < LOW).mean())}
        speed = _speed(ask, vectors, size, progress)
        measured.append(RecallAt(size, float(shares.mean()), name, **speed, **how))
    about: Json = {"source": "given", "count": len(vectors), "digest": _digest(vectors)}
    if queries is None:
        about |= {"source": "sample", "drawn": DRAWN}
    facts, time = _facts(snapshot, parts), versions.time()
    measure = Recall(dataset, commit, tuple(measured), about, facts, _environment(), time, raised)
    measured_hits = None if queries is None else answers.get(expectations.K)
    return _kept(versions, snapshot, measure, true[:, : expectations.K], measured_hits)


def kind_of(recipe: Recipe, engine: Engine) -> str:
    """The kind of a measure of this mode, for a version with this recipe: recall, recall-hybrid-convex-0.6 ..."""
    facts = mode_facts(recipe, engine)
    return "-".join([KIND, *(str(facts[name]) for name in ("mode", "fusion", "weight") if name in facts)])


def _check_queries(queries: Sequence[Query] | None, apply: bool, mode: str) -> None:
    """Raises InvalidInputError where queries are missing that `apply` or the mode needs."""
    hint = say(
        "give the questions that your application has: queries=[...]",
        cli="give the questions that your application has: --queries FILE",
    )
    if apply and mode != "dense":
        raise InvalidInputError(
            "indexes learn from vectors to look farther, so apply is for dense search",
            code="conflicting_options",
            hint="leave out the mode",
        )
    if queries is None and mode != "dense":
        message = f"{mode} search reads words, and a sample of the version's chunks has no question's words"
        raise InvalidInputError(message, code="needs_text", hint=hint)
    if apply and queries is None:
        raise InvalidInputError(
            "only queries that are given can raise an index's effort, not a sample",
            code="conflicting_options",
            hint=hint,
        )


def _asked(
    queries: Sequence[Query], sample: int | None, snapshot: Snapshot, mode: str, open_embedder: OpenEmbedder
) -> list[Query]:
    """The queries of a mode that reads words, with their vectors where it reads those: texts are embedded untimed."""
    _check_given(queries, sample)
    Question.of(queries, mode=mode)  # each has a text
    if mode == "keyword":
        return list(queries)
    vectors = vectors_of(queries, snapshot.commit.recipe, open_embedder)
    texts = [query["text"] if isinstance(query, dict) else str(query) for query in queries]
    return [{"text": text, "vector": vector} for text, vector in zip(texts, vectors, strict=True)]


def _by_words(
    versions: Versions,
    dataset: str,
    snapshot: Snapshot,
    queries: Sequence[Query],
    sizes: Sequence[int],
    engine: Engine,
    open_embedder: OpenEmbedder,
    progress: Progress | None,
) -> Recall:
    """The hits of `search` in keyword or hybrid mode against those of an exact one, and how long a query takes."""
    facts = mode_facts(snapshot.commit.recipe, engine)
    how = {"at": snapshot.commit.id, **facts}

    def ask(query: Query, size: int) -> list[Answer]:
        return search(versions, dataset, Question.of([query], k=size, **how), open_embedder)

    def hits(size: int, *, exact: bool) -> tuple[list[list[str]], set[str]]:
        keys, engines = [], set[str]()
        for start in range(0, len(queries), _BATCH):
            some = Question.of(queries[start : start + _BATCH], k=size, exact=exact, **how)
            answers = search(versions, dataset, some, open_embedder)
            keys += [[hit.key for hit in answer] for answer in answers]
            engines |= {str(answer.receipt["engine"]["name"]) for answer in answers}
        return keys, engines

    true, _ = hits(max(sizes), exact=True)
    measured = []
    for size in sizes:
        found, engines = hits(size, exact=False)
        shares = np.array([_share(wanted[:size], keys) for wanted, keys in zip(true, found, strict=True)])
        name = next(iter(engines - {ENGINES[0]}), ENGINES[0])
        speed = _speed(ask, queries, size, progress)
        how_low = {"worst": float(shares.min()), "below_0_8": float((shares < LOW).mean())}
        measured.append(RecallAt(size, float(shares.mean()), name, **speed, **how_low))
    about: Json = {"source": "given", "count": len(queries), "digest": digest_json(_texts(queries))}
    parts = filtered(snapshot, None)
    measure = Recall(
        dataset,
        snapshot.commit.id,
        tuple(measured),
        about,
        _facts(snapshot, parts),
        _environment(),
        versions.time(),
        **facts,
    )
    return _stored(versions, measure, kind_of(snapshot.commit.recipe, engine))


def _share(wanted: Sequence[str], found: Sequence[str]) -> float:
    """The share of the true hits that were found; 1 where there are none."""
    return len(set(wanted) & set(found)) / len(wanted) if wanted else 1.0


def _texts(queries: Sequence[Query]) -> list[str]:
    return [str(query["text"]) if isinstance(query, dict) else str(query) for query in queries]


def _stored(versions: Versions, measure: Recall, kind: str) -> Recall:
    """Store a measure beside its commit, or note why not."""
    try:
        repo.measures.save(versions.store, measure.commit, kind, measure.to_json())
    except BackendError as error:
        return replace(measure, not_kept=error.message)
    return measure


def _kept(versions: Versions, snapshot: Snapshot, measure: Recall, true: Places, hits: Places | None) -> Recall:
    """Store a measure beside its commit, and beside the indexes what they found of given queries, or note why not."""
    try:
        repo.measures.save(versions.store, measure.commit, KIND, measure.to_json())
        if hits is not None:
            expectations.keep_measured(versions, snapshot, true, hits)
    except BackendError as error:
        return replace(measure, not_kept=error.message)
    return measure


def _raise_effort(versions: Versions, snapshot: Snapshot, queries: Vectors) -> int:
    """Let every index look as far as these queries need, for all versions; returns how many did not before."""
    raised, metric = 0, snapshot.commit.recipe.space.metric
    for place, part in zip(snapshot.parts, filtered(snapshot, None), strict=True):
        if part.index is None or part.live_count <= max(DEFAULT_K):
            continue
        segment = snapshot.segments[place.segment]
        if (facts := index.faiss.raised(part.index.index, part, metric, queries)) is not None:
            versions.put_derived_facts(segment, index.faiss.SPEC, facts)
            opened_indexes.forget(segment)
            raised += 1
    open_indexes(versions, snapshot)
    return raised


# -- the queries ------------------------------------------------------------------------------


def _live(snapshot: Snapshot) -> int:
    """The number of chunks of the version. Raises InvalidInputError if it is empty."""
    if not (live := snapshot.layout.chunk_count):
        raise InvalidInputError(
            f"the version {snapshot.commit.id[:12]} is empty: there is nothing to find in it",
            code="empty_version",
            hint=say(
                "docs.log() lists the versions and what they hold",
                cli=f"`vecver log {snapshot.dataset}` lists the versions and what they hold",
            ),
        )
    return live


def _sizes(wanted: Sequence[int] | None, live: int) -> list[int]:
    """The k to measure: those given, or those of DEFAULT_K that the version can fill."""
    if wanted is None:
        return [k for k in DEFAULT_K if k <= live]
    sizes = list(wanted) if isinstance(wanted, Sequence | np.ndarray) and not isinstance(wanted, str) else []
    whole = all(isinstance(k, int | np.integer) and not isinstance(k, bool) for k in sizes)
    if not sizes or not whole or len(set(sizes)) < len(sizes) or not all(1 <= k <= live for k in sizes):
        raise InvalidInputError(
            f"k are different numbers from 1 to the version's {live} chunks, not {wanted!r}",
            code="invalid_k",
            hint=f"use {', '.join(str(k) for k in _sizes(None, live))}",
        )
    return [int(k) for k in sizes]


def _vectors(
    snapshot: Snapshot, queries: Sequence[Query] | None, sample: int | None, open_embedder: OpenEmbedder
) -> Vectors:
    """The queries' vectors, `(n, dim)`, normalised as the space's metric wants; texts are embedded here, untimed."""
    if queries is None:
        return _sample(snapshot, sample)
    _check_given(queries, sample)
    return vectors_of(queries, snapshot.commit.recipe, open_embedder)


def _check_given(queries: Sequence[Query], sample: int | None) -> None:
    """Raises InvalidInputError for no list of queries, or one beside a sample."""
    if sample is not None:
        raise InvalidInputError(
            "queries are given or sampled, not both", code="conflicting_options", hint="leave out one of them"
        )
    if isinstance(queries, str) or not len(queries):
        raise InvalidInputError("there is no list of queries", code="empty_query", hint="give texts or vectors")


def _sample(snapshot: Snapshot, count: int | None) -> Vectors:
    """Each of the `count` chunks with the smallest keys, moved by the difference of the next two of them, in a ring."""
    live = snapshot.layout.chunk_count
    if count is None:
        count = min(DEFAULT_SAMPLE, live)
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 1 <= count <= live:
        raise InvalidInputError(
            f"a sample is 1 to all {live} chunks of the version, not {count!r}",
            code="invalid_sample",
            hint=f"use a sample of {min(DEFAULT_SAMPLE, live)}",
        )
    pieces = zip(*(_smallest(snapshot, part, int(count)) for part in snapshot.parts), strict=True)
    words, vectors = (np.concatenate(piece) for piece in pieces)
    chosen = vectors[np.lexsort((words[:, 1], words[:, 0]))[:count]].astype(np.float64)
    apart = (np.roll(chosen, -1, axis=0) - np.roll(chosen, -2, axis=0)) / np.sqrt(2)
    moved = (chosen + np.resize(_MOVED, len(chosen))[:, None] * apart).astype(np.float32)
    return index.normalised(moved, snapshot.commit.recipe.space.metric)


def _smallest(snapshot: Snapshot, part: repo.SearchPart, count: int) -> tuple[npt.NDArray[np.uint64], Vectors]:
    """A part's live rows with the `count` smallest keys (more where words are equal): keys as `(n, 2)`, vectors."""
    words = np.ascontiguousarray(part.part.keys).view(">u8").reshape(-1, 2)
    rows = np.flatnonzero(snapshot.live_rows(part))
    if len(rows) > count:
        first = words[rows, 0].astype(np.uint64)
        rows = rows[first <= np.partition(first, count - 1)[count - 1]]
    return words[rows].astype(np.uint64), part.part.vectors[rows]


# -- the answers ------------------------------------------------------------------------------


def _answers(snapshot: Snapshot, parts: Sequence[Part], vectors: Vectors, shape: Shape, *, exact: bool) -> Places:
    """The hits of each query, best first, `(n, k)`, as `search` gives them; -1 where there are fewer."""
    places, ask = np.full((len(vectors), shape.k), -1, np.int64), asking_here(snapshot, parts, exact=exact)
    for start in range(0, len(vectors), _BATCH):
        answers = rank(snapshot, None, vectors[start : start + _BATCH], shape, ask)
        for number, (rows, _) in enumerate(answers, start):
            places[number, : len(rows)] = [row.place[0] << expectations.ROW_BITS | row.place[1] for row in rows]
    return places


def _shares(true: Places, got: Places) -> npt.NDArray[np.float64]:
    """The share of its true hits that each query got, `(n,)`; 1 where there are none. `true`, `got`: `(n, k)`."""
    exist = true >= 0
    hits = np.array([np.isin(rows, answer) for rows, answer in zip(true, got, strict=True)]) & exist
    counts = exist.sum(axis=1)
    return np.where(counts == 0, 1.0, hits.sum(axis=1) / np.maximum(counts, 1))


def _speed(ask: Ask, queries: Sequence[Any] | Vectors, k: int, progress: Progress | None) -> dict[str, float]:
    """How long single queries take, one after the other: percentiles by nearest rank, so that each was measured."""
    for query in queries[:_WARM]:
        ask(query, k)
    seconds = []
    for query in queries:
        start = perf_counter()
        ask(query, k)
        seconds.append(perf_counter() - start)
        if progress:
            progress("queries", 1)
    shares = {"p50_ms": 50, "p95_ms": 95, "p99_ms": 99}
    ranks = np.percentile(seconds, list(shares.values()), method="inverted_cdf") * 1000
    return {**dict(zip(shares, ranks.tolist(), strict=True)), "queries_per_second": len(seconds) / sum(seconds)}


# -- the facts of a measurement --------------------------------------------------------------------


def _digest(vectors: Vectors) -> str:
    return hashlib.sha256(vectors.astype("<f4").tobytes()).hexdigest()


def _facts(snapshot: Snapshot, parts: Sequence[Part]) -> Json:
    return {
        "chunks": snapshot.layout.chunk_count,
        "indexed": sum(part.live_count for part in parts if part.index is not None),
        "rows": sum(len(part.vectors) for part in parts),
        "segments": len(snapshot.segments),
    }


def _environment() -> Json:
    return {
        "vecver": version(),
        "faiss": index.faiss.version(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }
