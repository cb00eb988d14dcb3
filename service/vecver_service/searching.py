"""Runs the searches of all routes: checks the service's limits, computes, measures, and writes answers as JSON.

Decisions
1. Short searches compute one at a time in a process. Numpy releases the interpreter lock at every step, and threads
   that compute together wait for it at every step: on two quiet cores, eight callers of 64 vectors reached 0.50 of the
   rate in process when eight computed at once, and 0.83 one at a time (72 and 38 ms of CPU). More cores are used by
   more workers. A search that may take long does not take the lock, and none waits for it longer than
   `_LOCK_TIMEOUT_S`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from fastapi.responses import Response
from opentelemetry import trace
from starlette.types import Scope

import vecver
from vecver.errors import InvalidInputError
from vecver.near import near
from vecver_service.deps import Dependencies
from vecver_service.http.replies import PreparedReply, json_bytes, vector_text
from vecver_service.schemas import requests
from vecver_service.short_searches import Stopwatch

Json = dict[str, Any]
_LOCK_TIMEOUT_S = 0.5  # after which a search computes without the lock
_LOOP_DEPTH = 100  # hits, with those before them, that a search on the event loop may ask for
_TRACER = trace.get_tracer("vecver")


@dataclass(frozen=True)
class LoopSearch:
    """A search that waits for its turn on the event loop."""

    docs: vecver.Dataset
    scope: Scope
    body: requests.Search
    query: Any  # a vector `(dim,)`
    if_none_match: str

    @property
    def alike(self) -> tuple[str, ...]:
        """The same for searches that one call of `Dataset.search` can answer; a receipt tells -0.0 from 0.0."""
        return self.docs.name, self.body.ref, repr(self.body.options())


def fits_loop(deps: Dependencies, docs: vecver.Dataset, body: requests.Search) -> bool:
    """Whether a search may run on the event loop: one vector, few hits, no other work, and the last ones were short."""
    work = (
        body.exact
        or body.filter is not None
        or body.per_document
        or body.diversity
        or body.context
        or body.engine == "milvus"
        or body.reranker
        or body.mode != "dense"
    )
    depth = body.k + body.offset
    if (
        body.vector is None
        or body.query is not None
        or body.engine == "milvus"
        or work
        or depth > min(_LOOP_DEPTH, deps.settings.max_k)
    ):
        return False
    return deps.short_searches.allows(docs, body.ref)


def search_on_loop(deps: Dependencies, searches: Sequence[LoopSearch]) -> list[Response | Exception | None]:
    """The answers to searches that are `alike`, or their errors; None for those that must not run here now.

    An error of one of them is no other's: after an error each is searched alone.
    """
    if not deps.search_lock.acquire(blocking=False):
        return [None] * len(searches)
    try:
        return list(_answer_together(deps, searches))
    except Exception as error:
        if len(searches) == 1:
            return [error]
    finally:
        deps.search_lock.release()
    return [answer for search in searches for answer in search_on_loop(deps, [search])]


def _answer_together(deps: Dependencies, searches: Sequence[LoopSearch]) -> list[Response]:
    """One call for all: eight searches together take a third less than eight calls. Raises what the search raises."""
    docs, body, phases = searches[0].docs, searches[0].body, Phases()
    took = Stopwatch()
    with vecver.listening(phases.add):
        answers = docs.search([search.query for search in searches], at=body.ref, engine=body.engine, **body.options())
    deps.short_searches.record(docs, body.ref, answers[0].commit, short=took.short(len(searches)))
    share = {phase: seconds / len(searches) for phase, seconds in phases.seconds.items()}
    for search, answer in zip(searches, answers, strict=True):
        _note(deps, search.scope, docs.name, body.engine, answer.commit, 1, share)
    return [
        _cacheable(
            _answer_json(answer, receipt=search.body.receipt, vectors=search.body.hit_vectors),
            answer.commit,
            search.if_none_match,
        )
        for search, answer in zip(searches, answers, strict=True)
    ]


class Phases:
    """Seconds by phase of a search, in all its threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._lock = Lock()

    def add(self, phase: str, seconds: float) -> None:
        """Count a phase that ended."""
        with self._lock:
            self.seconds[phase] += seconds


def _note(
    deps: Dependencies, scope: Scope, dataset: str, engine: str, commit: str, count: int, phases: dict[str, float]
) -> Json:
    """Count a search in the metrics, and give its request's log line what it did; also returns that."""
    if commit:  # else callers could make a metric for every name of a dataset that does not exist
        deps.metrics.search(dataset, engine, count, phases)
    phases_ms = {phase: round(seconds * 1000, 2) for phase, seconds in phases.items()}
    fields = {"dataset": dataset, "commit": commit, "queries": count, "phases_ms": phases_ms}
    scope["vecver.log_fields"] = fields
    return fields


def search_response(
    deps: Dependencies,
    docs: vecver.Dataset,
    scope: Scope,
    body: requests.Search,
    if_none_match: str | None,
) -> Response:
    """The answer to a search, or 304 where the caller has it already. Raises what the search raises."""
    queries, single = body.queries_of()
    answers = search(deps, docs, scope, queries, at=body.ref, engine=body.engine, **body.options())
    values = [_answer_json(answer, receipt=body.receipt, vectors=body.hit_vectors) for answer in answers]
    first = answers[0]
    batch = {"dataset": first.dataset, "revision": first.revision, "commit": first.commit, "answers": values}
    return _cacheable(values[0] if single else batch, first.commit, if_none_match)


def search(
    deps: Dependencies,
    docs: vecver.Dataset,
    scope: Scope,
    queries: list[Any] | str,
    **options: Any,
) -> list[vecver.Answer]:
    """One answer per query, within the service's limits. Its phases go to the metrics, the trace and the log line.

    `queries`: texts and vectors, or the id of a document or key of a chunk that hits are to be like.
    """
    count = 1 if isinstance(queries, str) else len(queries)
    depth = max(options["k"] + options.get("offset", 0), options.get("rerank_top", 0))
    if "reranker" in options:
        options["reranker"] = reranker_of(deps, options["reranker"])
    check_limits(deps, count, depth, options.get("context", 0), diverse=bool(options.get("diversity")))
    phases = Phases()
    with _TRACER.start_as_current_span("vecver.search") as span, vecver.listening(phases.add):
        short = _may_be_short(queries, options)
        with _search_lock(deps) if short else nullcontext():
            took = Stopwatch()
            answers = _answers(docs, queries, options)
        if short and count == 1 and answers[0].commit:
            deps.short_searches.record(docs, options["at"], answers[0].commit, short=took.short(1))
        engine, commit = options.get("engine", "faiss"), answers[0].commit
        fields = _note(deps, scope, docs.name, engine, commit, count, phases.seconds)
        if span.is_recording():
            facts = {name: value for name, value in fields.items() if name != "phases_ms"}
            span.set_attributes({f"vecver.{name}": value for name, value in facts.items()})
            span.set_attributes({f"vecver.{phase}_ms": ms for phase, ms in fields["phases_ms"].items()})
    return answers


def reranking(deps: Dependencies, body: Any) -> Json:
    """The reranker of a body as far as it names one, within the service's limits. Raises InvalidInputError."""
    values = {"rerank_top": body.rerank_top} if body.rerank_top is not None else {}
    check_limits(deps, 1, body.rerank_top or 0, 0, diverse=False)
    return values if body.reranker is None else {**values, "reranker": reranker_of(deps, body.reranker)}


def reranker_of(deps: Dependencies, name: str) -> vecver.Reranker:
    """One of the rerankers that the service's operator set up. Raises InvalidInputError: no caller may name a URL."""
    if name not in deps.rerankers:
        raise InvalidInputError(
            f"this service has no reranker {name!r}",
            code="unknown_reranker",
            hint=f"name one of: {', '.join(deps.rerankers)}"
            if deps.rerankers
            else "leave it out; the operator of the service can set one up with VECVER_RERANKERS",
            did_you_mean=near(name, list(deps.rerankers)),
        )
    return deps.rerankers[name]


def _answers(docs: vecver.Dataset, queries: list[Any] | str, options: Json) -> list[vecver.Answer]:
    return [docs.more_like(queries, **options)] if isinstance(queries, str) else docs.search(queries, **options)


def check_limits(deps: Dependencies, queries: int, depth: int, context: int, *, diverse: bool) -> None:
    """Raises InvalidInputError for more than this service takes at once. `depth`: k, with the `offset` before it."""
    limits = deps.settings
    requests.check_limit("queries", queries, limits.max_queries)
    requests.check_limit("k", depth, limits.max_k)
    requests.check_limit("context", context, limits.max_context)
    if diverse:
        requests.check_limit("k + offset with diversity", depth, limits.max_diverse, "diverse")
    if not queries:
        raise InvalidInputError("there is no query", code="empty_query", hint="ask something")


def _may_be_short(queries: list[Any] | str, options: Json) -> bool:
    """Whether a search asks for nothing that may take long: vectors through an index, and no other work on the hits."""
    if isinstance(queries[0], str | dict) or options.get("engine") == "milvus":
        return False
    return not any(options.get(name) for name in ("exact", "filter", "per_document", "diversity"))


@contextmanager
def _search_lock(deps: Dependencies) -> Iterator[None]:
    """Holds the search lock: no other short search computes meanwhile."""
    locked = deps.search_lock.acquire(timeout=_LOCK_TIMEOUT_S)
    try:
        yield
    finally:
        if locked:
            deps.search_lock.release()


def _cacheable(value: Any, commit: str, if_none_match: str | None) -> Response:
    """A JSON value with its digest as ETag, or 304 if `if_none_match` names that ETag."""
    body = json_bytes(value)
    etag = b'"%s"' % hashlib.sha256(body).hexdigest()[:32].encode()
    headers = [(b"etag", etag), (b"cache-control", b"private, no-cache")]
    if commit:
        headers.append((b"vecver-commit", commit.encode()))
    if if_none_match and _names(if_none_match, etag.decode()):
        return PreparedReply(304, headers)
    content = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    return PreparedReply(200, headers + content, body)


def _names(if_none_match: str, etag: str) -> bool:
    known_etags = [name.strip().removeprefix("W/") for name in if_none_match.split(",")]
    return etag in known_etags or "*" in known_etags


def _answer_json(answer: vecver.Answer, *, receipt: bool, vectors: str | None) -> Json:
    """An answer as JSON. `vectors`: "base64" or "list", the form of each hit's vector; None: the hits have none."""
    if vectors != "base64":
        value = answer.to_json()
    else:
        value = replace(answer, hits=tuple(replace(hit, vector=None) for hit in answer)).to_json()
        for hit, hit_json in zip(answer, value["hits"], strict=True):
            hit_json["vector"] = vector_text(hit.vector)
    if not receipt:
        del value["receipt"]
    return value
