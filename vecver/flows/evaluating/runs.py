"""Runs: the rankings that a version gives to the questions of a set; searched once, then kept beside the commit.

    measures/<commit>/eval-<digest>   {questions: {name, digest}, engine, depth, rankings, time, seconds}

Decisions
1. What is kept is what was found, not what it is worth: every measure, and every comparison of two versions, is
   computed from it later.
2. `<digest>` is that of the question set and of the engine with its indexes. So a measure is never mixed with one of
   other questions, and a version whose indexes were built or calibrated anew is searched again.
3. A version all of whose rows are scanned has one run, whether `exact` was asked for or not.
4. A run with a reranker is stored under its fingerprint. One in which it failed for a question, and left the order
   before as it was told to, is not stored: the next one may be whole.
5. A question that judges documents and forbids texts needs two rankings: of documents, and of the hits among which a
   forbidden text may stand. Of the second one the place of the first forbidden hit is kept. A stored run without it,
   from an older vecver that ranked hits for such a question, is searched again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

from vecver import index, pipeline, repo
from vecver.digest import canonical_json, digest_json
from vecver.errors import BackendError, IntegrityError, NotFoundError
from vecver.flows.embedding import OpenEmbedder
from vecver.flows.evaluating.measures import first_forbidden
from vecver.flows.publishing.publications import find_published
from vecver.flows.searching import hybrid
from vecver.flows.searching.modes import RERANK_TOP, Fusion, Mode
from vecver.flows.searching.queries import Query
from vecver.flows.searching.questions import Question
from vecver.flows.searching.reranking import NOT_RERANKED
from vecver.flows.searching.search import OpenMilvus, search
from vecver.model import Answer, Hit, Json, JudgedQuestion, QuestionSet, RankedDocument, Recipe, Reranker
from vecver.model.display import counted
from vecver.progress import Progress
from vecver.repo import Snapshot, Versions

PREFIX = "eval-"  # of the names of stored runs
MEANS = "-means"  # at the end of the name of a run: its means, see `histories`
_BATCH = 256  # questions that are searched at once

Rankings = tuple[tuple[RankedDocument, ...], ...]


@dataclass(frozen=True)
class Engine:
    """How the questions are searched."""

    name: str = "faiss"
    exact: bool = False
    open_milvus: Callable[[], OpenMilvus] | None = None
    mode: Mode = "dense"
    weight: float | None = None  # as `Question`
    fusion: Fusion | None = None
    reranker: Reranker | None = None
    rerank_top: int | None = None

    @property
    def how(self) -> Json:
        """How questions are asked, as options of `Dataset.promote`."""
        return {
            "engine": self.name,
            "exact": self.exact,
            "mode": self.mode,
            "weight": self.weight,
            "fusion": self.fusion,
        }

    def asked(self, question: JudgedQuestion) -> Query:
        """What is searched for: what this mode reads of a question."""
        reads_words = self.mode != "dense" or self.reranker is not None
        if not reads_words or question.query is None:
            return question.asked
        if self.mode != "keyword" and question.vector is not None:
            return {"text": question.query, "vector": list(question.vector)}
        return question.query


@dataclass(frozen=True)
class Run:
    """The rankings of a set's questions, in their order, each best first and as deep as `depth`."""

    commit: str
    questions: Json  # {"name", "digest"}
    engine: Json
    depth: int
    rankings: Rankings
    time: str
    seconds: float  # that embedding and searching took
    reused: bool = False
    not_kept: str | None = None
    forbidden: Mapping[int, int | None] = field(default_factory=dict)  # row -> place of its first forbidden hit

    @property
    def kind(self) -> str:
        """The name under which it is kept beside the commit."""
        return kind_of(self.questions["digest"], self.engine)

    def to_json(self) -> Json:
        """What is stored."""
        names = ("questions", "engine", "depth", "time", "seconds")
        rankings = [[_packed(each) for each in ranking] for ranking in self.rankings]
        places = {str(row): place for row, place in self.forbidden.items()}
        value = {**{name: getattr(self, name) for name in names}, "rankings": rankings}
        return value | ({"forbidden": places} if places else {})

    @classmethod
    def from_json(cls, value: Json) -> Run:
        """The run that a stored measure holds."""
        names = ("commit", "questions", "engine", "depth", "time", "seconds")
        rankings = tuple(tuple(_unpacked(each) for each in ranking) for ranking in value["rankings"])
        forbidden = {int(row): place for row, place in value.get("forbidden", {}).items()}
        fields = {name: value[name] for name in names}
        return cls(**fields, rankings=rankings, reused=True, forbidden=forbidden)


def run_of(
    versions: Versions,
    dataset: str,
    snapshot: Snapshot,
    questions: QuestionSet,
    depth: int,
    engine: Engine,
    open_embedder: OpenEmbedder,
    progress: Progress | None = None,
) -> Run:
    """The stored run of these questions if it is deep enough, else a new one, which is stored beside the commit.

    That of a single question without a judgment, as a person asks it, is not stored: to search costs no more.
    `depth`: documents (of a question with `contains`: hits) that are ranked; fewer where the version has no more.
    """
    commit, facts = snapshot.commit.id, engine_facts(versions, snapshot, depth, engine)
    stored = stored_run(versions, commit, questions.digest, facts)
    both = [row for row, each in enumerate(questions.questions) if each.forbids_texts_beside_documents]
    if stored is not None and stored.depth >= depth and stored.forbidden.keys() >= set(both):
        return stored
    start, how, notes = perf_counter(), (depth, engine, open_embedder), list[str]()
    rankings = rankings_of(versions, dataset, commit, questions.questions, *how, progress, notes)
    of_hits = [replace(questions.questions[row], documents={}) for row in both]
    hits = dict(
        zip(both, rankings_of(versions, dataset, commit, of_hits, *how, None, notes) if both else (), strict=True)
    )
    rankings = tuple(_marked(each, hits.get(row, ())) for row, each in enumerate(rankings))
    forbidden = {row: first_forbidden(each) for row, each in hits.items()}
    named = {"name": questions.name, "digest": questions.digest}
    run = Run(commit, named, facts, depth, rankings, versions.time(), perf_counter() - start, forbidden=forbidden)
    if notes:
        return replace(run, not_kept=f"{notes[0]} (of {counted(len(notes), 'question')})")
    if _is_passing(questions):
        return run
    try:
        repo.measures.save(versions.store, commit, run.kind, run.to_json())
        repo.measures.forget(versions.store, commit, run.kind + MEANS)  # those of a run that was less deep
    except BackendError as error:
        return replace(run, not_kept=error.message)
    return run


def _is_passing(questions: QuestionSet) -> bool:
    return not questions.name and len(questions.questions) == 1 and not questions.questions[0].is_measured


def stored_run(versions: Versions, commit: str, questions: str, engine: Json) -> Run | None:
    """The run that is stored for these questions (their digest) and this engine; None also for a damaged one."""
    try:
        return Run.from_json(repo.measures.load(versions.store, commit, kind_of(questions, engine)))
    except (NotFoundError, IntegrityError):
        return None


def kind_of(questions: str, engine: Json) -> str:
    """The name under which a run is stored beside its commit."""
    return PREFIX + digest_json({"questions": questions, "engine": engine})[:32]


def engine_facts(versions: Versions, snapshot: Snapshot, depth: int, engine: Engine) -> Json:
    """What decides the rankings beside the version and the questions.

    Of a search by vectors they are what they were before there were modes, so stored runs keep their names.
    """
    facts = {"name": "bm25"} if engine.mode == "keyword" else _dense_facts(versions, snapshot, engine)
    if engine.mode != "dense":
        facts |= {"keywords": hybrid.tokenizer_facts(snapshot), **mode_facts(snapshot.commit.recipe, engine)}
    return facts | rerank_facts(engine)


def mode_facts(recipe: Recipe, engine: Engine) -> Json:
    """By what chunks of a version with this recipe are ranked: mode, fusion and weight; of vectors alone nothing."""
    if engine.mode != "hybrid":
        return {} if engine.mode == "dense" else {"mode": engine.mode}
    fusion = engine.fusion or "convex"
    weight = {} if fusion == "rrf" else {"weight": hybrid.weight_of(recipe, engine.weight)}
    return {"mode": "hybrid", "fusion": fusion, **weight}


def rerank_facts(engine: Engine) -> Json:
    """Which reranker orders the hits, as receipts name it; nothing without one. Raises as `open_reranker`."""
    if engine.reranker is None:
        return {}
    opened = pipeline.open_reranker(engine.reranker)
    top = engine.rerank_top or RERANK_TOP
    return {"rerank": {"top": top, "model": opened.name, "fingerprint": opened.fingerprint}}


def _dense_facts(versions: Versions, snapshot: Snapshot, engine: Engine) -> Json:
    if engine.name == "milvus" and engine.open_milvus and not engine.exact:
        collection, state = find_published(engine.open_milvus().book, snapshot.commit)
        return {"name": "milvus", "collection": collection.name, "index": collection.index, "state": state.ordinal}
    indexes = {} if engine.exact else _indexes(versions, snapshot)
    return {"name": "faiss", "indexes": digest_json(indexes)} if indexes else {"name": "exact"}


def _indexes(versions: Versions, snapshot: Snapshot) -> Json:
    """segment -> the digest of its index and of how far it looks, for those that have one."""
    spec = index.faiss.SPEC
    facts = {segment.id: versions.derived_facts(segment.id, spec) for segment in snapshot.segments}
    return {segment: digest_json(each) for segment, each in facts.items() if each is not None}


# -- searching -----------------------------------------------------------------------------------------


def rankings_of(
    versions: Versions,
    dataset: str,
    commit: str,
    questions: Sequence[JudgedQuestion],
    depth: int,
    engine: Engine,
    open_embedder: OpenEmbedder,
    progress: Progress | None = None,
    failures: list[str] | None = None,
) -> Rankings:
    """What each question finds, as deep as `depth`. `failures` gets, for each that was not reranked, why."""
    groups = defaultdict[tuple[bytes, bool], list[int]](list)
    for row, question in enumerate(questions):
        groups[canonical_json(question.filter), question.judges_texts].append(row)
    rankings: list[tuple[RankedDocument, ...]] = [()] * len(questions)
    reranking: Json = {"reranker": engine.reranker, "rerank_top": engine.rerank_top} if engine.reranker else {}
    for (_, by_text), rows in groups.items():
        for start in range(0, len(rows), _BATCH):
            some = rows[start : start + _BATCH]
            asked = Question.of(
                [engine.asked(questions[row]) for row in some],
                at=commit,
                k=depth,
                exact=engine.exact,
                filter=questions[some[0]].filter,
                engine=engine.name,
                per_document=None if by_text else 1,
                mode=engine.mode,
                weight=engine.weight,
                fusion=engine.fusion,
                **reranking,
            )
            milvus = engine.open_milvus if engine.name == "milvus" else None
            answers = search(versions, dataset, asked, open_embedder, open_milvus=milvus)
            for row, answer in zip(some, answers, strict=True):
                rankings[row] = _ranking(questions[row], answer)
                if failures is not None:
                    failures += [note for note in answer.notes if note.startswith(NOT_RERANKED)]
            if progress:
                progress("questions", len(some))
    return tuple(rankings)


def _ranking(question: JudgedQuestion, answer: Answer) -> tuple[RankedDocument, ...]:
    wanted = [(number, _folded(text)) for number, text in enumerate(question.contains)]
    unwanted, not_documents = [_folded(text) for text in question.not_contains], set(question.not_documents)

    def ranked(hit: Hit) -> RankedDocument:
        text = _folded(hit.text) if wanted or unwanted else ""
        contains = tuple(number for number, part in wanted if part in text)
        is_forbidden = hit.document in not_documents or any(part in text for part in unwanted)
        return RankedDocument(hit.document, hit.key, hit.score_bits, contains, is_forbidden)

    return tuple(map(ranked, answer.hits))


def _marked(documents: Sequence[RankedDocument], hits: Sequence[RankedDocument]) -> tuple[RankedDocument, ...]:
    """A ranking of documents in which those are forbidden of which any hit is."""
    forbidden = {each.document for each in hits if each.is_forbidden}
    if not forbidden:
        return tuple(documents)
    return tuple(replace(each, is_forbidden=each.is_forbidden or each.document in forbidden) for each in documents)


def rank_of(answer: Answer, document: str | None, text: str | None) -> int | None:
    """The rank of the first hit of this document, or that holds this text; None if there is none."""
    part = None if text is None else _folded(text)
    for hit in answer:
        if hit.document == document or (part is not None and part in _folded(hit.text)):
            return hit.rank
    return None


def _folded(text: str) -> str:
    """A text as texts are compared: white space as single spaces, without regard to case."""
    return " ".join(text.split()).casefold()


def _packed(ranked: RankedDocument) -> list[object]:
    values: list[object] = [ranked.document, ranked.key, ranked.score_bits]
    return [*values, list(ranked.contains), ranked.is_forbidden] if ranked.contains or ranked.is_forbidden else values


def _unpacked(values: Sequence[Any]) -> RankedDocument:
    document, key, bits, *rest = values
    return RankedDocument(document, key, bits, tuple(rest[0]) if rest else (), bool(rest and rest[1]))
