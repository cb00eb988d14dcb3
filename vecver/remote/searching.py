"""Searches over HTTP, and publishing a version in the service's Milvus."""

from __future__ import annotations

from typing import Any, Unpack, overload

from vecver import flows
from vecver.arguments import Asking, OneQuery, Queries, Revision, is_batch, like_question_of, question_of
from vecver.errors import InvalidInputError
from vecver.flows import Progress
from vecver.model import Answer, Hit, Json, Publication
from vecver.remote.handle import RemoteHandle, query_json, reranker_name, revision_text, vector_text
from vecver.wire import read


class RemoteSearching(RemoteHandle):
    """The calls that answer from a version, and publish it, as `Dataset` has them."""

    @overload
    def search(self, query: OneQuery, **how: Unpack[Asking]) -> Answer: ...
    @overload
    def search(self, query: Queries, **how: Unpack[Asking]) -> list[Answer]: ...
    def search(self, query: Any, **how: Unpack[Asking]) -> Answer | list[Answer]:
        """As `Dataset.search`: the same hits, score bits and receipt."""
        body = self._post_search(question_of(query, **how), _query_json(query))
        if "answers" in body:
            return read(body, lambda it: [Answer.from_json(value) for value in it["answers"]])
        return read(body, Answer.from_json)

    def more_like(self, document: str | Hit, **how: Unpack[Asking]) -> Answer:
        """As `Dataset.more_like`."""
        question = like_question_of(document, **how)
        return read(self._post_search(question, {"like": question.like}), Answer.from_json)

    def _post_search(self, question: flows.Question, query: Json) -> Json:
        """The service's answer. Options at their default are not sent, so that an older service also answers."""
        names = ("k", "exact", "filter", "context", "space", "engine")
        body = query if question.reranker is None else {**query, "reranker": reranker_name(question.reranker)}
        body = {**body, "ref": revision_text(question.at), **{name: getattr(question, name) for name in names}}
        body |= {name: value for name, value in question.options().items() if name != "vectors"}
        return self._wire.ask(self._path("search"), body | ({"hit_vectors": "base64"} if question.vectors else {}))

    def publish(
        self,
        at: Revision = "main",
        *,
        to: None = None,
        dedicated: bool = False,
        flat: bool = False,
        progress: Progress | None = None,
    ) -> Publication:
        """As `Dataset.publish`, into the service's own Milvus, by a job that this call waits for."""
        _check_no_address(to)
        body = {"ref": revision_text(at), "dedicated": dedicated, "flat": flat}
        job = self._wire.write("POST", self._path("publish"), body)
        return read(self._wire.result_of(job, progress), Publication.from_json)

    def publication(self, at: Revision = "main", *, to: None = None) -> Publication:
        """What any Milvus client needs to search a version, in the service's Milvus. Raises NotPublishedError."""
        _check_no_address(to)
        return read(self._wire.get(self._path("publication"), ref=revision_text(at)), Publication.from_json)


def _query_json(query: Any) -> Json:
    """The query's part of the body. Vectors are sent as their float32 bytes, so that no bit is lost."""
    if isinstance(query, str | dict) or not is_batch(query):
        return query_json(query)
    if all(isinstance(item, dict) for item in query):
        vectors = [vector_text(item["vector"]) for item in query]
        return {"queries": [item["text"] for item in query], "vectors": vectors}
    texts = sum(isinstance(item, str | dict) for item in query)
    if texts == len(query) and not any(isinstance(item, dict) for item in query):
        return {"queries": list(query)}
    if texts:
        raise InvalidInputError(
            "queries of several kinds cannot be asked in one call",
            code="invalid_query",
            hint="ask them one after the other",
        )
    return {"vectors": [vector_text(item) for item in query]}


def _check_no_address(to: Any) -> None:
    if to is not None:
        raise InvalidInputError(
            "a service publishes to its own Milvus", code="not_over_http", hint="leave out `to`; its operator names it"
        )
