"""The calls of `Dataset` that search a version, measure how well it answers, and export it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Unpack, overload

from vecver import flows, repo
from vecver.arguments import (
    Asking,
    Engine,
    Mixing,
    OneQuery,
    Queries,
    Revision,
    absolute,
    check_options,
    engine_of,
    is_batch,
    like_question_of,
    question_of,
    text_of,
)
from vecver.local.handle import Handle

if TYPE_CHECKING:
    from vecver.flows import Progress
    from vecver.model import Answer, ExpectedRecall, Export, Hit, Json, Recall, Reranker


class Searching(Handle):
    """Searching, measuring and exporting versions."""

    @overload
    def search(self, query: OneQuery, **how: Unpack[Asking]) -> Answer: ...

    @overload
    def search(self, query: Queries, **how: Unpack[Asking]) -> list[Answer]: ...

    def search(
        self,
        query: Any,
        *,
        at: Revision = "main",
        k: int = 10,
        exact: bool = False,
        filter: Json | None = None,
        context: int = 0,
        space: str | None = None,
        engine: Engine = "faiss",
        vectors: bool = False,
        diversity: float | None = None,
        per_document: int | None = None,
        min_score: float | None = None,
        offset: int = 0,
        missing: flows.Missing = "error",
        mode: flows.Mode = "dense",
        weight: float | None = None,
        fusion: flows.Fusion | None = None,
        reranker: str | Reranker | None = None,
        rerank_top: int | None = None,
    ) -> Answer | list[Answer]:
        """The best `k` chunks of the version `at`, best first, fewer only if it holds fewer.

        `query`: a text, a vector `(dim,)`, both (`{"text": ..., "vector": ...}`, where a version's vectors were given),
        or a list of these (then a list of answers). `exact`: the
        true top k, for certain; otherwise large segments answer through their index. `filter`:
        conditions on metadata, `{"year": {"$gte": 2024}, "groups": {"$in": [7, 8]}}`: a list matches by any of
        its items, times with an offset from UTC compare as instants, decimals exactly, and a value of another
        type than the field has is refused. Beside those operators there are `$and`, `$or`, `$nor`, `$not`, `$all`,
        `$exists`, and `$contains` (a string has this piece, a list this item). `page`, `sheet`, `line` and `headings`
        ask where each chunk stands, unless its document has metadata of that name; `$document`, `$source`,
        `$media_type` and `$title` are known of every document, and `{"$path": "guides/"}` is one whose id begins so.
        `context`: add to each hit
        the text of so many neighbouring chunks on either side. `space` says in which space a query
        vector lies, and is checked. `engine`: who proposes the candidates; the scores are the same from either.
        Through "milvus" an exact answer that its index cannot give is scanned here; the receipt tells.

        A title of a document is no hit of its own where the version's recipe says so (as new ones do): it ranks the
        best passage of its document, and `hit.by` is "title" then.

        What part of the ranking is the answer, in the order in which these apply; the receipt records them:

        - `min_score`: only hits with at least this score.
        - `per_document`: at most so many hits of one document.
        - `diversity`, 0 to 1: after the best hit each further one is the one with the highest
          `(1 - diversity) * score - diversity * (its highest score with a hit before it)`, among the first 4 i of the
          ranking for the i-th hit (40 at least). `rank` is the place in the answer; scores need not fall then.
        - `offset`: the hits `offset` to `offset + k`; ranks go on counting. Pages join to one ranking, exact ones and
          those through a FLAT collection always. An index looks further where it has to give more rows (up to 10, 40,
          160 and 640; two a hit where titles rank passages), and may find one then that belonged on a page before.

        `mode`: by what chunks are ranked. "dense": their vectors; "keyword": their words (BM25 with the statistics of
        this version); "hybrid": both, and `hit.dense` and `hit.keyword` say what it owes to either. `fusion`: "convex"
        (the default) adds the two scores, each from 0 for the 100th best to 1 for the best, with the `weight` of the
        vectors, 0 to 1, by default what the version's recipe says; "rrf" adds 1 / (60 + rank) of each side's first 100.

        `reranker`: a model that reads the first `rerank_top` hits (50) of the ranking beside the query's text and puts
        them first in its own order: a CrossEncoder of sentence-transformers by folder or name, an endpoint such as
        `tei:http://localhost:8080/rerank`, or a `vecver.Reranker` with its key, timeout and what to do if it fails.
        `hit.reranked` has its score; `hit.score` stays that of the search.

        `vectors`: each hit brings its stored vector, float32. `missing="empty"`: where there is no such dataset or
        revision, the answer has no hits instead of an error, and a field that no document has is one without values;
        `answer.missing` says which.

        Raises NotFoundError (dataset or revision), InvalidInputError (k, filter, vector, engine and other options),
        SpaceMismatchError (the query lies in another space than the version); and through Milvus
        NotPublishedError (`publish` it), BackendError, IntegrityError (somebody else changed what was published);
        BackendError of a reranker too.
        """
        question = question_of(
            query,
            at=at,
            k=k,
            exact=exact,
            filter=filter,
            context=context,
            space=space,
            engine=engine,
            vectors=vectors,
            diversity=diversity,
            per_document=per_document,
            min_score=min_score,
            offset=offset,
            missing=missing,
            mode=mode,
            weight=weight,
            fusion=fusion,
            reranker=reranker,
            rerank_top=rerank_top,
        )
        answers = self._answers(question)
        return answers if is_batch(query) else answers[0]

    def more_like(self, document: str | Hit, **how: Unpack[Asking]) -> Answer:
        """The chunks that are nearest to a stored document or chunk, without its own. Options and errors as `search`.

        `document`: a document's id (asked with the mean of its chunks' vectors), the key of a chunk, or a hit (its
        chunk). It must be in the version that is asked. Raises NotFoundError (no such document or chunk) too.
        """
        return self._answers(like_question_of(document, **how))[0]

    def _answers(self, question: flows.Question) -> list[Answer]:
        open_milvus = partial(self._session.milvus.open, self.name) if question.engine == "milvus" else None
        embedders = self._session.embedders.open
        wait = partial(self._session.upkeep.wait, self.name)
        return flows.search(self._versions, self.name, question, embedders, open_milvus=open_milvus, wait=wait)

    def snapshot(self, at: Revision, folder: str | PathLike[str], *, progress: Progress | None = None) -> Export:
        """Export a version to a new folder: its rows, an index on them, checksums, and how to read them.

        Whoever has the folder searches it with `vecver.open_snapshot`, or with faiss, numpy and pyarrow
        alone. It appears whole or not at all. What is read of the repository is verified on the way.

        Raises NotFoundError (revision), InvalidInputError (`folder` is not empty, a file or a link),
        IntegrityError (rows of the repository are damaged), BackendError (disk full).
        """
        return flows.export(self._versions, self.name, absolute(folder), at=text_of(at), progress=progress)

    def recall(
        self,
        at: Revision = "main",
        *,
        k: Sequence[int] | None = None,
        queries: Sequence[flows.Query] | None = None,
        sample: int | None = None,
        apply: bool = False,
        progress: Progress | None = None,
        **how: Unpack[Mixing],
    ) -> Recall:
        """Measure the index of a version against exact search on the same version, and how fast it answers.

        Gives for each `k` (default: those of 1, 10 and 100 that the version can fill) the ann_recall@k,
        the worst query's and the share of queries below 0.8, and the latency of single warm queries, asked
        as `search` asks a vector. `queries`: texts or vectors; else `sample` of them are made of the version's
        own chunks (default 100, or all if it has fewer), the same whatever the layout and about as hard
        as real questions. The result is kept beside the commit, in place of the one before (`measures`);
        the commit's id does not change. What was measured of `queries` at k = 10 also stands beside the indexes, for
        `expected_recall` of every version that shares them. Where it cannot be kept (a read-only repository),
        `not_kept` says why.

        `apply`: indexes that do not look far enough for the given queries do so from now on, for every
        version; never less far than before. It is stored beside the index, and holds until `optimize` writes those
        rows anew; a process that has the index open goes on as it was.

        `mode`, `weight`, `fusion` as for `search`: in keyword and hybrid mode the hits are compared with those of an
        exact search in that mode, by `queries` with texts; keyword search is exact, so its recall is 1. The result is
        kept beside that of other modes.

        Raises InvalidInputError (k, sample, queries, an empty version), NotFoundError, SpaceMismatchError.
        """
        check_options("recall", Mixing, how)
        engine = engine_of(how)
        self._session.upkeep.wait(self.name)  # so that indexes are measured, not the scan
        return flows.recall(
            self._versions,
            self.name,
            self._session.embedders.open,
            at=text_of(at),
            k=k,
            queries=queries,
            sample=sample,
            apply=apply,
            engine=engine,
            progress=progress,
        )

    def expected_recall(self, at: Revision = "main") -> ExpectedRecall:
        """What share of its true best 10 hits a search of a version is expected to find, before it is promoted.

        Read from what the indexes of the version recorded, within milliseconds: what each found of question-like
        vectors when it was built, or, after `recall` with `queries`, of those. The segments' values are weighted with
        the version's live chunks in each; the share of questions below 0.8 is an upper bound. A version without an
        index is "exact": every row is scanned. Of an index that an older vecver built, and of a version whose rows gc
        deleted, the recall is None ("unknown"); `optimize` measures such an index. It holds for vecver's index, not
        for a Milvus. Raises NotFoundError (revision).
        """
        return flows.expected_recall(self._versions, self.resolve(at))

    def measures(self, at: Revision = "main") -> dict[str, Json]:
        """What was measured of a version, the newest by kind ("recall": `Recall.to_json()`).

        Of one that is damaged only `{"damaged": why}`; measuring again replaces it.
        """
        measures = repo.measures.load_all(self._versions.store, self.resolve(at))
        hidden = (flows.SHORTFALLS, flows.RUNS)
        return {kind: value for kind, value in measures.items() if not kind.startswith(hidden)}
