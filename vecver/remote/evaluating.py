"""Question sets and measures over HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import TYPE_CHECKING, Unpack

from vecver import flows
from vecver.arguments import Engine, Measuring, Mixing, Revision, check_engine
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
from vecver.remote.handle import RemoteHandle, query_json, revision_text
from vecver.remote.http import AS_JOB, read

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
        body = {"ref": revision_text(at), "per_question": True, **self._measuring(**how)}
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
        body = {"from": revision_text(before), "to": revision_text(after), **self._measuring(**how)}
        return read(self._wire.ask(self._path("compare"), body), Comparison.from_json)

    def measure_history(
        self,
        at: Revision = "main",
        *,
        measures: Iterable[str] | str | None = None,
        questions: Questions | None = None,
        qrels: str | PathLike[str] | None = None,
        exact: bool = False,
        engine: Engine = "faiss",
        limit: int | None = None,
    ) -> MeasureHistory:
        """As `Dataset.measure_history`. A name is that of a set in the service, or else of a file here."""
        check_engine(engine)
        flows.check_page(limit=limit)
        body: Json = {"ref": revision_text(at), "exact": exact, "engine": engine, "limit": limit, **_named(measures)}
        body |= {} if questions is None else {"questions": self._questions_json(questions, qrels)}
        return read(self._wire.ask(self._path("measures"), body), MeasureHistory.from_json)

    def bisect(
        self,
        good: Revision,
        bad: Revision = "main",
        *,
        query: flows.Query | None = None,
        expect: str | None = None,
        contains: str | None = None,
        k: int = 10,
        filter: Json | None = None,
        questions: Questions | None = None,
        gate: str | None = None,
        exact: bool = False,
        progress: Progress | None = None,
    ) -> Bisection:
        """As `Dataset.bisect`, by a job of the service, which this call waits for; an interrupt cancels it."""
        body: Json = {"good": revision_text(good), "bad": revision_text(bad), "expect": expect, "contains": contains}
        body |= {"k": k, "filter": filter, "gate": gate, "exact": exact}
        body |= {"query": query} if query is None or isinstance(query, str) else query_json(query)
        body |= {"questions": None if questions is None else self._questions_json(questions)}
        answer = self._wire.write("POST", self._path("bisect"), body, AS_JOB)
        return read(self._wire.outcome(answer, progress), Bisection.from_json)

    def drift(self, before: Revision = "prod", after: Revision = "main") -> Drift:
        """As `Dataset.drift`."""
        body = self._wire.get(self._path("drift"), **{"from": revision_text(before), "to": revision_text(after)})
        return read(body, Drift.from_json)

    def sketch(self, at: Revision = "main") -> SketchSummary | None:
        """As `Dataset.sketch`."""
        body = self._wire.get(self._path("sketch"), ref=revision_text(at))
        return read(body, lambda it: SketchSummary.from_json(it["sketch"]) if it["sketch"] else None)

    def _measuring(
        self,
        questions: Questions,
        measures: Iterable[str] | str | None = None,
        exact: bool = False,
        engine: Engine = "faiss",
        qrels: str | PathLike[str] | None = None,
        progress: Progress | None = None,
        **how: Unpack[Mixing],
    ) -> Json:
        """These options as the service takes them; those that are left out are not sent, for older services."""
        check_engine(engine)
        body: Json = {"questions": self._questions_json(questions, qrels), "exact": exact, "engine": engine}
        body |= {name: value for name, value in how.items() if value not in (None, "dense")}
        return body | _named(measures)


def _named(measures: Iterable[str] | str | None) -> Json:
    names = measures.split(",") if isinstance(measures, str) else measures
    return {} if names is None else {"measures": list(names)}
