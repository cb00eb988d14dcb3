"""The calls of `Dataset` that keep question sets and measure versions by them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Unpack

from vecver import flows
from vecver.arguments import (
    BisectOptions,
    Measuring,
    Revision,
    check_options,
    engine_of,
    question_of,
    text_of,
)
from vecver.errors import InvalidInputError, say
from vecver.local.handle import Handle

if TYPE_CHECKING:
    from vecver.flows import Progress, Questions
    from vecver.model import Answer, Bisection, Comparison, Drift, Evaluation, QuestionSet, SketchSummary, Tuning


class Evaluating(Handle):
    """Question sets, and the relevance of versions."""

    def add_questions(
        self, name: str, questions: Questions, *, qrels: str | PathLike[str] | None = None
    ) -> QuestionSet:
        """Store questions with their judgments beside the dataset, in place of what the name meant before.

        `questions`: a file of JSON lines, a folder of BEIR's form, or a list of texts, dicts and `JudgedQuestion`s;
        a dict has "query" (or "vector"), and any of "documents" (relevant ids, or id -> grade), "contains" (texts that
        a hit must hold), "not_documents", "not_contains", "filter", "tags" and "id". `qrels`: a file of judgments in
        BEIR's or TREC's columns. What was left out is counted in `skipped`.

        The set is stored under its digest; one that is replaced stays readable for the measures that name it.
        Raises NotFoundError (dataset, file), InvalidInputError (name, a line, repeated ids, negative grades),
        ConflictError (another process changed the name at this moment).
        """
        read = flows.read_questions(questions, name=name, qrels=qrels)
        self._versions.save_questions(self.name, read)
        return read

    def question_sets(self) -> dict[str, str]:
        """name -> digest of every stored set, sorted by name. Raises NotFoundError (the dataset)."""
        return self._versions.question_sets(self.name)

    def questions(self, name: str) -> QuestionSet:
        """A stored set. Raises NotFoundError, IntegrityError."""
        return self._versions.questions(self.name, name)

    def remove_questions(self, name: str) -> str:
        """Remove a set; gives its digest. Measures that were made with it stay. Raises NotFoundError, ConflictError."""
        return self._versions.remove_questions(self.name, name)

    def eval(self, at: Revision = "main", **how: Unpack[Measuring]) -> Evaluation:
        """Measure how well the version `at` answers questions: means, intervals, and every question.

        `questions`: the name of a stored set, or what `add_questions` takes, with its `qrels`. `measures`: names as
        `ir_measures` has them, by default nDCG@10, R@10, RR@10 and Success@5; `Forbidden@k` is the share of questions
        that bring back, among the first k, what they must not. Chunks are folded to documents by their best score.
        `exact`, `engine`, `mode`, `weight`, `fusion`, `reranker` and `rerank_top` as for `search`. `progress` counts
        "questions".

        The rankings are kept beside the commit, whose id does not change, under the digest of the set and of the engine
        with its indexes, its mode and its reranker; the same call later reads them (`reused`), and other measures are
        computed from them. Where a reranker fails and is to keep the order before, they are not kept (`not_kept`).

        Raises NotFoundError (revision, set, file), InvalidInputError (a measure, a set without judgments, or whose
        documents the version does not have), SpaceMismatchError, ConflictError (the lists of words are not built),
        BackendError (the reranker failed); through Milvus as `search`.
        """
        return flows.evaluate(**self._measuring("eval", how), at=text_of(at))

    def tune_weight(
        self,
        at: Revision = "main",
        *,
        questions: Questions,
        measure: str = "nDCG@10",
        exact: bool = False,
        apply: bool = False,
        qrels: str | PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> Tuning:
        """Find the weight of the vectors in hybrid search with which a version answers questions best.

        Searches with the weights 0, 0.05 ... 1. The weight is that of the better side alone, 0 or 1, unless the best
        mixture gains more than one standard error of its gain. The curve and the weight are those of all questions;
        `cross_validated` is what the choice is worth: each question is counted with the weight that the other questions
        chose (five folds, the same everywhere), beside vectors alone and words alone.

        `apply`: `at` must name a branch. A new commit on it says the weight in its recipe, from which every hybrid
        search of that version takes it, and the versions after it. Its rows are the same, and nothing is embedded.

        Raises as `eval`; InvalidInputError (fewer than five judged questions, `apply` where `at` is no branch).
        """
        self._session.upkeep.wait(self.name)
        revision = text_of(at)
        return flows.tune_weight(
            self._versions,
            self.name,
            self._question_set(questions, qrels),
            self._session.embedders.open,
            at=revision,
            name=measure,
            exact=exact,
            branch=revision if apply else None,
            progress=progress,
        )

    def compare(self, before: Revision, after: Revision = "main", **how: Unpack[Measuring]) -> Comparison:
        """Ask two versions the same questions: for each what entered, left and moved among the first ten, and why.

        `questions`: as for `eval`, also without judgments. With judgments the measures of both versions stand side by
        side, with wins, ties and losses, and the p of a paired randomisation test. The rankings are kept as those of
        `eval` are. See `Change` for the reasons.

        Raises as `eval`; questions without judgments are no error unless `measures` are named.
        """
        return flows.compare(**self._measuring("compare", how), before=text_of(before), after=text_of(after))

    def _measuring(self, call: str, how: Measuring) -> dict[str, Any]:
        """What `flows.evaluate` and `flows.compare` take of these options."""
        check_options(call, Measuring, how)
        engine = self._engine(how)
        self._wait_for_words(engine.mode)
        return {
            "versions": self._versions,
            "dataset": self.name,
            "questions": self._question_set(how["questions"], how.get("qrels")),
            "open_embedder": self._session.embedders.open,
            "measures": how.get("measures"),
            "engine": engine,
            "progress": how.get("progress"),
        }

    def drift(self, before: Revision = "prod", after: Revision = "main") -> Drift:
        """What moved from one version to another beyond chance, with example chunks: its `moved` statistics.

        Compared are the number of documents and chunks, their lengths, languages, how texts end, repeated texts, the
        norms of vectors and where they lie, and the space. Each has a threshold that grows with the documents that
        differ. Reads the sketches that the ingests made, and of the rows only those that differ, for the examples.

        Raises NotFoundError (a revision; code version_forgotten where gc let its rows go), IntegrityError.
        """
        return flows.drift(self._versions, self.name, text_of(before), text_of(after))

    def sketch(self, at: Revision = "main") -> SketchSummary | None:
        """What a version's chunks are like: lengths, languages, repeated texts. Reads no row.

        None where no sketch was made, because an older vecver wrote the version, or where gc let its rows go.
        Raises NotFoundError (the revision).
        """
        return flows.sketch_summary(self._versions, self.resolve(at))

    def bisect(self, good: Revision, bad: Revision = "main", **how: Unpack[BisectOptions]) -> Bisection:
        """The version between `good` and `bad` that broke an answer or a measure, and what it changed.

        Either `query` with `expect` (the id of a document) or `contains` (a text that a hit must hold): they must be
        among the first `k` (10); or `gate` with `questions`, as `promote` takes them. `exact`, `filter`, `mode`,
        `weight` and `fusion` as for `search`. Halves the history, so 140 versions take up to 8 evaluations; the
        versions from `bad` back along first parents are tried.

        Raises InvalidInputError (neither or both were asked, `good` is not before `bad`, `bad` passes, `good` fails),
        NotFoundError, and as `search` and `eval`.
        """
        check_options("bisect", BisectOptions, how)
        query, gate, expect, contains = how.get("query"), how.get("gate"), how.get("expect"), how.get("contains")
        if (query is None) == (gate is None) or (query is not None) != (expect is not None or contains is not None):
            raise InvalidInputError(
                "a bisection follows a query, with what it must find, or a gate",
                code="conflicting_options",
                hint=say(
                    "give query= with expect= or contains=; or gate= with questions=",
                    cli="give --query with --expect or --contains; or --gate with --questions",
                ),
            )
        bench = self._bench(how.get("questions"), how.get("progress"), **how)
        asked = {**bench.engine.how, "k": how.get("k", 10), "filter": how.get("filter")}

        def find(commit: str) -> tuple[bool, float | None]:
            rank = flows.rank_of(self._answer(query, commit, **asked), expect, contains)
            return rank is not None, rank

        attempt = find if gate is None else flows.attempt_of(bench, gate, text_of(good))
        return flows.bisect(self._versions, self.name, text_of(good), text_of(bad), attempt)

    def _answer(self, query: Any, commit: str, **how: Any) -> Answer:
        question = question_of(query, at=commit, **how)
        (answer,) = flows.search(self._versions, self.name, question, self._session.embedders.open)
        return answer

    def _bench(self, asked: Questions | None, progress: Progress | None, /, **how: Any) -> flows.Bench:
        """What gates are measured with. `how`: options, of which those of `Through` count."""
        engine = self._engine(how)
        questions = None if asked is None else self._question_set(asked)
        self._wait_for_words(engine.mode)
        return flows.Bench(self._versions, self.name, questions, engine, self._session.embedders.open, progress)

    def _wait_for_words(self, mode: str) -> None:
        """Until the lists of words are built that this mode reads."""
        if mode != "dense":
            self._session.upkeep.wait(self.name)

    def _engine(self, how: Mapping[str, Any]) -> flows.EvalEngine:
        return engine_of(how, partial(self._session.milvus.open, self.name))

    def _question_set(self, questions: Questions, qrels: str | PathLike[str] | None = None) -> QuestionSet:
        """A stored set by its name; else what a file, a folder or Python values hold."""
        return flows.find_questions(self._versions, self.name, questions, qrels)
