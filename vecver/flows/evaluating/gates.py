"""Gates: conditions on measures that a version must meet before an alias moves to it.

    nDCG@10 >= 0.60            a measure against a number
    R@10 >= prod - 0.01        against another version's value of the same measure, by the same questions
    ann_recall@10 >= 0.95      what the index finds of the exact answer; by the questions, else by a sample

Decisions
1. A gate is what it says: the mean is compared, not an end of its interval. Whoever wants to be surer asks for more.
   The interval stands beside the result.
2. What a gate compares with is measured now, or read if it was stored for the same questions, engine and indexes.
3. The gates hold of where the alias stood when they were measured: if it moved meanwhile, it is not moved again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vecver.errors import GateError, InvalidInputError, NotFoundError, VecverError, say
from vecver.flows.embedding import OpenEmbedder
from vecver.flows.evaluating.comparing import delta_of
from vecver.flows.evaluating.index_recall import recall
from vecver.flows.evaluating.measures import Measure, parsed
from vecver.flows.evaluating.relevance import Measured, check_documents, check_judged, mean_of, means_of, measure
from vecver.flows.evaluating.runs import Engine
from vecver.model import GateResult, Gating, Json, QuestionSet
from vecver.model.gates import without_dense
from vecver.progress import Progress
from vecver.repo import Versions

_SAME = 1e-12  # values that differ by less are the same
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda value, bound: value >= bound - _SAME,
    "<=": lambda value, bound: value <= bound + _SAME,
    ">": lambda value, bound: value > bound + _SAME,
    "<": lambda value, bound: value < bound - _SAME,
}
_GATE = re.compile(r"(.*?[^\s<>=])\s*(>=|<=|>|<)\s*(.+)")
_MARGIN = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NAME = r"[\w@][^\s<>=]*"  # of a revision
_BOUND = re.compile(rf"(?P<number>[+-]?{_MARGIN})|(?P<name>{_NAME})(?:\s*(?P<sign>[+-])\s*(?P<margin>{_MARGIN}))?")
_JOINED = re.compile(rf"(?P<name>.+?)(?P<sign>[+-])(?P<margin>{_MARGIN})")
_RECALL = re.compile(r"ann_recall@([1-9]\d{0,3})")
_WORSE = 10  # questions that are named
_EXAMPLE = "nDCG@10 >= 0.60, R@10 >= prod - 0.01, ann_recall@10 >= 0.95"


@dataclass(frozen=True)
class Gate:
    """A condition, read."""

    text: str
    measure: Measure | None  # None: ann_recall
    k: int  # of ann_recall
    holds: Callable[[float, float], bool]
    against: str | None  # a revision
    number: float  # the bound, or what is added to the revision's value

    @classmethod
    def of(cls, text: str) -> Gate:
        """The gate that a text writes. Raises InvalidInputError."""
        match = _GATE.fullmatch(text.strip()) if isinstance(text, str) else None
        bound = _BOUND.fullmatch(match[3].strip()) if match else None
        if match is None or bound is None:
            raise InvalidInputError(
                f"{text!r} is no gate", code="invalid_gate", hint=f"write a measure, >= or <=, and a bound: {_EXAMPLE}"
            )
        name = match[1].strip()
        recall = _RECALL.fullmatch(name)
        margin = float(f"{bound['sign']}{bound['margin']}") if bound["margin"] else 0.0
        return cls(
            text.strip(),
            None if recall else parsed(name),
            int(recall[1]) if recall else 0,
            _OPERATORS[match[2]],
            bound["name"],
            float(bound["number"]) if bound["number"] else margin,
        )


@dataclass(frozen=True)
class Bench:
    """What versions are measured with."""

    versions: Versions
    dataset: str
    questions: QuestionSet | None
    engine: Engine
    open_embedder: OpenEmbedder
    progress: Progress | None = None


def check_gates(bench: Bench, alias: str, commit: str, texts: Sequence[str]) -> Gating:
    """Measure a version for a promotion; the gating if every gate holds.

    Raises GateError (a gate fails), InvalidInputError (no gate, or one that needs questions), NotFoundError (a gate
    compares with a revision that does not exist).
    """
    gates = [Gate.of(text) for text in read_gates(texts)]
    check_questions(bench.questions, gates)
    check_engine_of(bench.engine.name, bench.engine.mode, gates)
    before = bench.versions.refs(bench.dataset).get("alias", alias)  # first: a gate may compare with where it stands
    references = {gate.against: _reference(bench, alias, gate) for gate in gates if gate.against}
    measured = _Measured(bench, gates, [commit, *references.values(), *([before] if before else [])])
    results = tuple(measured.result(gate, commit, references.get(gate.against or "")) for gate in gates)
    failed = [gate for gate, result in zip(gates, results, strict=True) if not result.passed]
    gating = Gating(
        commit,
        before,
        results,
        bench.questions.summary() if bench.questions else None,
        _engine_json(bench.engine),
        measured.means(commit),
        measured.worse(before, commit, failed),
    )
    if not gating.passed:
        raise _failed(bench.dataset, alias, gating)
    return gating


def read_gates(texts: str | Sequence[str]) -> tuple[str, ...]:
    """The gates as they are kept. Raises InvalidInputError (one that cannot be read, none)."""
    gates = [Gate.of(text).text for text in ([texts] if isinstance(texts, str) else texts)]
    if not gates:
        raise InvalidInputError("there is no gate", code="invalid_gate", hint=f"write some: {_EXAMPLE}")
    return tuple(dict.fromkeys(gates))


def attempt_of(bench: Bench, text: str, good: str) -> Callable[[str], tuple[bool, float]]:
    """A function from a commit to whether a gate holds there, and the value. Raises as `check_gates`.

    `good`: a revision that has documents of the questions; later ones may have lost all of them.
    """
    gate = Gate.of(text)
    check_questions(bench.questions, [gate])
    check_engine_of(bench.engine.name, bench.engine.mode, [gate])
    against = _reference(bench, "", gate) if gate.against else None
    measured = _Measured(bench, [gate], [bench.versions.resolve(bench.dataset, good)])

    def attempt(commit: str) -> tuple[bool, float]:
        result = measured.result(gate, commit, against)
        return result.passed, result.value

    return attempt


def _engine_json(engine: Engine) -> Json:
    how = without_dense(engine.how)
    return {"name": how.pop("engine"), **how}


def check_engine_of(engine: str, mode: str, gates: Sequence[Gate]) -> None:
    """Raises InvalidInputError if a gate is about the FAISS index, and the questions are not asked of it."""
    about = [gate for gate in gates if gate.measure is None]
    if about and mode == "keyword":
        raise InvalidInputError(
            f"the gate {about[0].text!r} is about the index of vectors, and keyword search reads none",
            code="gate_engine",
            hint="leave that gate out, or the mode; hybrid search reads the index",
            gate=about[0].text,
        )
    if about and engine == "milvus":
        raise InvalidInputError(
            f"the gate {about[0].text!r} is about the index of the repository, and the engine is milvus",
            code="gate_engine",
            hint="leave that gate out, or the engine; R@k and nDCG@k are measured through Milvus",
            gate=about[0].text,
        )


def check_names(versions: Versions, dataset: str, gates: Sequence[Gate]) -> None:
    """Raises InvalidInputError for `prod-0.01` where no revision has that name: `prod - 0.01` was meant."""
    for gate in gates:
        meant = _JOINED.fullmatch(gate.against) if gate.against else None
        if meant and not _exists(versions, dataset, str(gate.against)):
            raise InvalidInputError(
                f"{dataset} has no revision {gate.against!r}, with which the gate {gate.text!r} compares",
                code="invalid_gate",
                hint=f"write spaces, if that is what you mean: {meant['name']} {meant['sign']} {meant['margin']}",
                gate=gate.text,
            )


def _exists(versions: Versions, dataset: str, revision: str) -> bool:
    try:
        versions.resolve(dataset, revision)
    except VecverError:
        return False
    return True


def check_questions(questions: QuestionSet | None, gates: Sequence[Gate]) -> None:
    """Raises InvalidInputError if there are no questions, and a gate needs some."""
    if questions is None and (needing := [gate for gate in gates if gate.measure]):
        raise InvalidInputError(
            f"the gate {needing[0].text!r} needs questions to measure by",
            code="no_questions",
            hint=say("add questions=NAME", cli="add --questions NAME", http="add `questions`: the name of a set"),
        )


def _reference(bench: Bench, alias: str, gate: Gate) -> str:
    try:
        return bench.versions.resolve(bench.dataset, str(gate.against))
    except NotFoundError as error:
        check_names(bench.versions, bench.dataset, [gate])
        raise NotFoundError(
            f"the gate {gate.text!r} compares with {gate.against!r}, which {bench.dataset} does not have",
            code="gate_reference_not_found",
            hint=f"promote {alias} the first time without this gate"
            if gate.against == alias
            else "name an alias, a tag or another revision that exists; write spaces around + and -",
            gate=gate.text,
            did_you_mean=error.context.get("did_you_mean", []),
        ) from error


class _Measured:
    """The measures of the versions that gates name, each measured once.

    `others`: commits with which a version is compared. One that lost all judged documents which one of them has is
    worth 0; if none has any, the questions are wrong.
    """

    def __init__(self, bench: Bench, gates: Sequence[Gate], others: Sequence[str]) -> None:
        self._bench, self._others = bench, list(dict.fromkeys(others))
        self._measures = list({gate.measure.name: gate.measure for gate in gates if gate.measure}.values())
        self._runs: dict[str, Measured] = {}
        self._recalls: dict[tuple[str, int], float] = {}

    def result(self, gate: Gate, commit: str, against: str | None) -> GateResult:
        value = self._value(gate, commit)
        bound = gate.number if against is None else self._value(gate, against) + gate.number
        passed = gate.holds(value, bound)
        interval = self._interval(gate, commit, against)
        return GateResult(gate.text, value, bound, passed, against, *interval, mode=self._mode(gate))

    def _mode(self, gate: Gate) -> str | None:
        mode = self._bench.engine.mode
        return None if mode == "dense" or gate.measure is None else mode

    def means(self, commit: str) -> dict[str, float]:
        means = means_of(self._run(commit).values) if self._measures else {}
        return means | {f"ann_recall@{k}": value for (of, k), value in self._recalls.items() if of == commit}

    def worse(self, before: str | None, commit: str, failed: Sequence[Gate]) -> tuple[Json, ...]:
        """The questions that lost most, against where the alias stands, by the measures of failed gates."""
        measures = {gate.measure.name: gate.measure for gate in failed if gate.measure}
        if before in (None, commit) or not measures:
            return ()
        try:
            old = self._run(str(before))
        except VecverError:  # it has none of these documents, no rows, or needs a model that is not here
            return ()
        new = self._run(commit)
        losses: list[tuple[float, Json]] = []
        for name, each in measures.items():
            sign = -1 if each.lower_is_better else 1
            lost = sign * (old.values[name] - new.values[name])
            for row in np.flatnonzero(lost > _SAME):
                question = new.questions.questions[row]
                loss: Json = {"id": question.id, "query": question.query, "measure": name}
                loss |= {"from": float(old.values[name][row]), "to": float(new.values[name][row])}
                losses.append((float(lost[row]), loss))
        return tuple(loss for _, loss in sorted(losses, key=lambda each: -each[0])[:_WORSE])

    def _value(self, gate: Gate, commit: str) -> float:
        if gate.measure is None:
            return self._recall(commit, gate.k)
        mean = means_of(self._run(commit).values).get(gate.measure.name)
        if mean is None:
            raise InvalidInputError(
                f"no question can be measured by {gate.measure.name}",
                code="no_judgments",
                hint="the questions need judgments of that kind",
                gate=gate.text,
            )
        return mean

    def _interval(self, gate: Gate, commit: str, against: str | None) -> tuple[float | None, float | None]:
        if gate.measure is None:
            return None, None
        if against is None:
            mean = mean_of(self._run(commit).values[gate.measure.name])
            return mean.low, mean.high
        delta = delta_of(gate.measure, self._run(against), self._run(commit))
        return delta.low, delta.high

    def _run(self, commit: str) -> Measured:
        if commit not in self._runs:
            bench, questions = self._bench, self._bench.questions
            assert questions is not None, "gates on relevance were checked to have questions"
            check_judged(questions)
            snapshot = bench.versions.snapshot(commit)
            others = (bench.versions.snapshot(each) for each in self._others if each != commit)
            check_documents([snapshot, *others], bench.dataset, questions)
            self._runs[commit] = measure(
                bench.versions,
                bench.dataset,
                snapshot,
                questions,
                self._measures,
                bench.engine,
                bench.open_embedder,
                progress=bench.progress,
            )
        return self._runs[commit]

    def _recall(self, commit: str, k: int) -> float:
        if (commit, k) not in self._recalls:
            bench = self._bench
            queries = None if bench.questions is None else [each.asked for each in bench.questions.questions]
            measured = recall(bench.versions, bench.dataset, bench.open_embedder, at=commit, k=[k], queries=queries)
            self._recalls[commit, k] = measured[k].ann_recall
        return self._recalls[commit, k]


def _failed(dataset: str, alias: str, gating: Gating) -> GateError:
    failed = [gate for gate in gating.gates if not gate.passed]
    first = failed[0]
    more = f", and {len(failed) - 1} more failed" if len(failed) > 1 else ""
    how = {name: gating.engine[name] for name in ("mode", "weight", "fusion") if name in gating.engine}
    python = "".join(f", {name}={value!r}" for name, value in how.items())
    cli = "".join(f" --{name} {value}" for name, value in how.items())
    worse = f"; most lost: {gating.worse[0]['query'] or gating.worse[0]['id']!r}" if gating.worse else ""
    command = f"vecver compare {dataset} {alias} {gating.commit[:12]} --questions ...{cli}"
    compared = f"{alias!r}, {gating.commit[:12]!r}, questions=...{python}"
    return GateError(
        f"{alias} was not moved: {first.gate} does not hold, the value is {first.value:.4f}{more}{worse}",
        code="gate_failed",
        hint=say(
            f"docs.compare({compared}) says which questions changed, and why",
            cli=f"`{command}` says what changed, and why",
            http=f"POST /v1/datasets/{dataset}/compare says which questions changed, and why",
        ),
        gates=[gate.to_json() for gate in gating.gates],
        worse=list(gating.worse),
        commit=gating.commit,
        alias=alias,
    )
