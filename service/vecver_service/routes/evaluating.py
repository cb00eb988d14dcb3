"""Question sets, and the relevance of versions."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

import vecver
from vecver_service.deps import (
    Administrable,
    DatasetWriter,
    Dependencies,
    Deps,
    Name,
    Readable,
    Writable,
    check_allowed,
)
from vecver_service.http.replies import Reply, problem_responses
from vecver_service.routes.datasets import Ref
from vecver_service.schemas import evaluating
from vecver_service.schemas.requests import NeedsApproval, Policy, check_filter, check_limit, mixing
from vecver_service.searching import reranking

router = APIRouter(prefix="/v1/datasets/{dataset}", tags=["relevance"], responses=problem_responses(403, 404))
Json = dict[str, Any]


@router.get("/questions", response_model=evaluating.QuestionSummaries)
def question_sets(docs: Readable) -> Response:
    """The question sets of a dataset, by name."""
    return Reply({"questions": [docs.questions(name).summary() for name in docs.question_sets()]})


@router.get("/questions/{name}", response_model=evaluating.QuestionSet)
def questions(docs: Readable, name: Name) -> Response:
    """A set and its questions."""
    return Reply(docs.questions(name).to_json())


@router.put("/questions/{name}", response_model=evaluating.QuestionSummary, responses=problem_responses(400, 409))
def put_questions(body: evaluating.Questions, writer: Writable, name: Name) -> Response:
    """Store a set under a name, in place of what it meant before; what was measured with that stays.

    A set by which a policy measures takes a key with `admin`, as the policy does.
    """
    _check(writer.deps, body.questions)

    def write(entry: Json) -> tuple[int, Json]:
        _check_policies(writer, name)
        added = writer.docs.add_questions(name, body.questions)
        entry |= {"name": name, "to": added.digest}
        return 200, added.summary()

    return writer.do("put questions", body.model_dump(), write)


@router.delete("/questions/{name}", response_model=evaluating.RemovedQuestions, responses=problem_responses(409))
def delete_questions(writer: Writable, name: Name) -> Response:
    """Remove a set; what was measured with it stays. One by which a policy measures takes a key with `admin`."""

    def write(entry: Json) -> tuple[int, Json]:
        _check_policies(writer, name)
        digest = writer.docs.remove_questions(name)
        entry |= {"name": name, "from": digest}
        return 200, {"name": name, "digest": digest}

    return writer.do("delete questions", None, write)


@router.post("/eval", response_model=evaluating.Evaluation, responses=problem_responses(400, 409))
def evaluate(body: evaluating.Eval, docs: Readable, deps: Deps) -> Response:
    """How well a version answers questions. What was searched is kept beside the version, and read the next time.

    A request that ends at the service's deadline goes on working; sent again later, it finds what was kept.
    """
    measured = docs.eval(
        body.ref,
        questions=question_set(deps, docs, body.questions),
        measures=body.measures,
        exact=body.exact,
        engine=body.engine,
        **mixing(body),
        **reranking(deps, body),
    )
    return Reply(measured.to_json(per_question=body.per_question), headers={"Vecver-Commit": measured.commit})


@router.post("/compare", response_model=evaluating.VersionComparison, responses=problem_responses(400, 409))
def compare(body: evaluating.Compare, docs: Readable, deps: Deps) -> Response:
    """What two versions answer to the same questions: for each what entered, left and moved, and why."""
    compared = docs.compare(
        body.before,
        body.after,
        questions=question_set(deps, docs, body.questions),
        measures=body.measures,
        exact=body.exact,
        engine=body.engine,
        **mixing(body),
        **reranking(deps, body),
    )
    return Reply(compared.to_json())


@router.post("/measures", response_model=evaluating.MeasureHistory, responses=problem_responses(400))
def measure_history(body: evaluating.MeasureHistoryOf, docs: Readable, deps: Deps) -> Response:
    """What is stored of the measures of the versions that led to one, newest first; nothing is measured anew."""
    history = docs.measure_history(
        body.ref,
        measures=body.measures,
        questions=None if body.questions is None else question_set(deps, docs, body.questions),
        exact=body.exact,
        engine=body.engine,
        limit=body.limit,
        **mixing(body),
        **reranking(deps, body),
    )
    return Reply(history.to_json())


@router.get("/measures", response_model=evaluating.Measures)
def measures(docs: Readable, ref: Ref = "main") -> Response:
    """What was measured of a version, the newest by kind: the recall of its indexes, in each mode."""
    commit = docs.resolve(ref)
    return Reply({"commit": commit, "measures": docs.measures(commit)}, headers={"Vecver-Commit": commit})


@router.get("/policies", response_model=evaluating.Policies)
def policies(docs: Readable) -> Response:
    """The gates that are fastened to aliases, by alias."""
    return Reply({"policies": {alias: kept.to_json() for alias, kept in docs.policies().items()}})


@router.post("/tune", response_model=evaluating.Tuned, responses=problem_responses(400, 409))
def tune(body: evaluating.Tune, writer: Writable) -> Response:
    """Which weight of the vectors in hybrid search answers questions best; with `apply`, commit it on a branch."""
    questions = question_set(writer.deps, writer.docs, body.questions)

    def write(entry: Json) -> tuple[int, Json]:
        how: Json = {"measure": body.measure, "exact": body.exact, "apply": body.apply}
        tuning = writer.docs.tune_weight(body.ref, questions=questions, **how)
        entry |= {"weight": tuning.weight, "to": tuning.applied}
        return 200, tuning.to_json()

    return writer.do("tune", body.model_dump(), write)


@router.get("/policies/{alias}", response_model=evaluating.AliasPolicy)
def policy(docs: Readable, alias: Name) -> Response:
    """The gates that are fastened to an alias; null where there are none."""
    kept = docs.policy(alias)
    return Reply({"alias": alias, "policy": kept.to_json() if kept else None})


@router.put("/policies/{alias}", response_model=evaluating.AliasPolicy, responses=problem_responses(400, 409))
def put_policy(body: Policy, writer: Administrable, alias: Name) -> Response:
    """Fasten gates to an alias: from now on every promotion of it runs them."""

    def write(entry: Json) -> tuple[int, Json]:
        how: Json = {"questions": body.questions, "exact": body.exact, "engine": body.engine}
        how |= {"approval": body.approval, "mode": body.mode, "weight": body.weight, "fusion": body.fusion}
        kept = writer.docs.set_policy(alias, body.gates, **how)
        entry |= {"name": alias, "gates": list(kept.gates), **({"approval": True} if kept.approval else {})}
        entry |= {"mode": kept.mode} if kept.mode != "dense" else {}
        return 200, {"alias": alias, "policy": kept.to_json()}

    return writer.do("put policy", body.asked(), write)


@router.put("/policies/{alias}/approval", response_model=evaluating.AliasPolicy, responses=problem_responses(400, 409))
def put_approval(body: NeedsApproval, writer: Administrable, alias: Name) -> Response:
    """Say if another key must approve each promotion of an alias; its gates stay as they are."""

    def write(entry: Json) -> tuple[int, Json]:
        kept = writer.docs.set_policy(alias, approval=body.approval)
        entry |= {"name": alias, "approval": kept.approval}
        return 200, {"alias": alias, "policy": kept.to_json()}

    return writer.do("put approval", body.model_dump(), write)


@router.delete("/policies/{alias}", response_model=evaluating.AliasPolicy, responses=problem_responses(409))
def delete_policy(writer: Administrable, alias: Name) -> Response:
    """Promote an alias without gates from now on."""

    def write(entry: Json) -> tuple[int, Json]:
        writer.docs.remove_policy(alias)
        entry |= {"name": alias}
        return 200, {"alias": alias, "policy": None}

    return writer.do("delete policy", None, write)


def question_set(deps: Dependencies, docs: vecver.Dataset, questions: Any) -> Any:
    """A stored set by its name; a name is never read as a path of this machine."""
    if isinstance(questions, str):
        return docs.questions(questions)
    _check(deps, questions)
    return questions


def _check_policies(writer: DatasetWriter, name: str) -> None:
    """Raises AccessError if a policy measures by this set and the caller is no admin: a weaker set opens the gates."""
    docs = writer.docs
    if any(each.questions == name for each in docs.policies().values()):
        check_allowed(writer.caller, "admin", docs.name)


def _check(deps: Dependencies, questions: list[Any]) -> None:
    """Raises InvalidInputError for more questions, or larger filters, than the service takes."""
    check_limit("questions", len(questions), deps.settings.max_questions)
    for question in questions:
        check_filter(question.get("filter") if isinstance(question, dict) else None)
