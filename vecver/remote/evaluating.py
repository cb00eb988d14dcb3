"""Question sets and measures over HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Unpack

from vecver import flows
from vecver.arguments import BisectOptions, HistoryOptions, Measuring, Revision, check_options, engine_of
from vecver.model import (
    Bisection,
    Comparison,
    Drift,
    Evaluation,
    Json,
    MeasureHistory,
    QuestionSet,
    SketchSummary,
    Tuning,
)
from vecver.model.gates import without_dense
from vecver.remote.handle import RemoteHandle, query_json, reranker_name, revision_text
from vecver.wire import AS_JOB, read

if TYPE_CHECKING:
    from vecver.flows import Progress, Questions


class RemoteEvaluating(RemoteHandle):
    """The calls that keep question sets and measure versions, as `Dataset` has them."""

    def add_questions(
        self, name: str, questions: Questions, *, qrels: str | PathLike[str] | None = None
    ) -> QuestionSet:
        """As `Dataset.add_questions`; files are read here."""
        asked = flows.read_questions(questions, name=name, qrels=qrels)
        self._wire.write("PUT", self._path("questions", name), {"questions": asked.content()["questions"]})
        return asked

    def question_sets(self) -> dict[str, str]:
        """As `Dataset.question_sets`."""
        return self._question_sets()

    def questions(self, name: str) -> QuestionSet:
        """As `Dataset.questions`."""
        return read(self._wire.get(self._path("questions", name)), QuestionSet.from_json)

    def remove_questions(self, name: str) -> str:
        """As `Dataset.remove_questions`."""
        return read(self._wire.write("DELETE", self._path("questions", name)), lambda it: str(it["digest"]))

    def eval(self, at: Revision = "main", **how: Unpack[Measuring]) -> Evaluation:
        """As `Dataset.eval`. A name is that of a set in the service, or else of a file here; progress is not sent."""
        body = {"ref": revision_text(at), "per_question": True, **self._measuring("eval", how)}
        return read(self._wire.ask(self._path("eval"), body), Evaluation.from_json)

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
        """As `Dataset.tune_weight`. A name is that of a set in the service, or else of a file here."""
        body: Json = {"ref": revision_text(at), "questions": self._questions_json(questions, qrels)}
        body |= {"measure": measure, "exact": exact, "apply": apply}
        return read(self._wire.write("POST", self._path("tune"), body), Tuning.from_json)

    def compare(self, before: Revision, after: Revision = "main", **how: Unpack[Measuring]) -> Comparison:
        """As `Dataset.compare`. A name is that of a set in the service, or else of a file here."""
        body = {"from": revision_text(before), "to": revision_text(after), **self._measuring("compare", how)}
        return read(self._wire.ask(self._path("compare"), body), Comparison.from_json)

    def measure_history(self, at: Revision = "main", **how: Unpack[HistoryOptions]) -> MeasureHistory:
        """As `Dataset.measure_history`. A name is that of a set in the service, or else of a file here."""
        check_options("measure_history", HistoryOptions, how)
        flows.check_page(limit=how.get("limit"))
        body: Json = {"ref": revision_text(at), "limit": how.get("limit"), **through_json(how)}
        body |= _named(how.get("measures")) | self._asked(how.get("questions"), how.get("qrels"))
        return read(self._wire.ask(self._path("measures"), body), MeasureHistory.from_json)

    def bisect(self, good: Revision, bad: Revision = "main", **how: Unpack[BisectOptions]) -> Bisection:
        """As `Dataset.bisect`, by a job of the service, which this call waits for; an interrupt cancels it."""
        check_options("bisect", BisectOptions, how)
        asked = through_json(how)
        del asked["engine"]
        query, questions = how.get("query"), how.get("questions")
        body: Json = {"good": revision_text(good), "bad": revision_text(bad), "k": how.get("k", 10), **asked}
        body |= {name: how.get(name) for name in ("expect", "contains", "filter", "gate")}
        body |= {"query": query} if query is None or isinstance(query, str) else query_json(query)
        body |= {"questions": None} | self._asked(questions, None)
        answer = self._wire.write("POST", self._path("bisect"), body, AS_JOB)
        return read(self._wire.outcome(answer, how.get("progress")), Bisection.from_json)

    def measures(self, at: Revision = "main") -> dict[str, Json]:
        """As `Dataset.measures`."""
        body = self._wire.get(self._path("measures"), ref=revision_text(at))
        return read(body, lambda it: dict(it["measures"]))

    def drift(self, before: Revision = "prod", after: Revision = "main") -> Drift:
        """As `Dataset.drift`."""
        body = self._wire.get(self._path("drift"), **{"from": revision_text(before), "to": revision_text(after)})
        return read(body, Drift.from_json)

    def sketch(self, at: Revision = "main") -> SketchSummary | None:
        """As `Dataset.sketch`."""
        body = self._wire.get(self._path("sketch"), ref=revision_text(at))
        return read(body, lambda it: SketchSummary.from_json(it["sketch"]) if it["sketch"] else None)

    def _measuring(self, call: str, how: Measuring) -> Json:
        """These options as the service takes them."""
        check_options(call, Measuring, how)
        body = {"questions": self._questions_json(how["questions"], how.get("qrels")), **through_json(how)}
        return body | _named(how.get("measures"))

    def _asked(self, questions: Questions | None, qrels: str | PathLike[str] | None) -> Json:
        return {} if questions is None else {"questions": self._questions_json(questions, qrels)}


def through_json(given: Mapping[str, Any]) -> Json:
    """How questions are asked, as the service takes it; what is left out is not sent, for older services.

    Raises InvalidInputError for an option that is wrong, or a reranker that the service cannot be told.
    """
    engine = engine_of(given)
    body = without_dense(engine.how)
    body |= {} if engine.reranker is None else {"reranker": reranker_name(engine.reranker)}
    return body | ({} if engine.rerank_top is None else {"rerank_top": engine.rerank_top})


def _named(measures: Iterable[str] | str | None) -> Json:
    names = measures.split(",") if isinstance(measures, str) else measures
    return {} if names is None else {"measures": list(names)}
