"""Promotions: at once, as a job, and with an approval by a second key."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import Response

import vecver
from vecver.errors import ConflictError
from vecver_service.deps import Asking, DatasetWriter, Readable, Writable, check_allowed
from vecver_service.http.replies import Reply, Responses, problem_responses
from vecver_service.routes.evaluating import question_set
from vecver_service.schemas import answers, evaluating, requests
from vecver_service.schemas.requests import check_filter, decoded_vector, mixing
from vecver_service.state.audit import Entry
from vecver_service.state.database import Connection
from vecver_service.state.jobs import Job
from vecver_service.warmup import warm

router = APIRouter(prefix="/v1/datasets/{dataset}", tags=["refs"], responses=problem_responses(403, 404))
Json = dict[str, Any]
Prefer = Annotated[
    str | None,
    Header(max_length=300, description="`respond-async`: answer with a job where something is to be measured."),
]
LATER: Responses = {
    202: {
        "model": evaluating.Waiting | answers.Job,
        "description": "The alias has not moved yet: another key must approve, or the job that was asked for runs.",
    }
}
_MOVED: Responses = {
    200: {"model": answers.Move},
    201: {"model": answers.Move, "description": "New."},
    **problem_responses(400, 409),
}
_JOB: Responses = {202: {"model": answers.Job, "description": "The job, if it was asked for."}}


@router.post("/promote", response_model=None, responses={**_MOVED, **LATER})
def promote(body: requests.Promote, writer: Writable, prefer: Prefer = None) -> Response:
    """Let an alias name a version; searches at the alias follow at once, those in flight finish where they began."""
    return promotion(writer, "promote", body.alias, body, prefer)


@router.get("/approvals", response_model=evaluating.Approvals)
def approvals(docs: Readable) -> Response:
    """The newest promotion of each alias that another key must approve, or did: its `state` says which."""
    return Reply({"approvals": [request.to_dict() for request in docs.approvals().values()]})


@router.post("/approve", response_model=None, responses=_MOVED)
def approve(body: requests.Approve, writer: Writable) -> Response:
    """Let an alias move as another key asked. The key that asked cannot, and it must still exist.

    If what the gates measured does not hold any more, they are measured again first.
    """

    def move() -> vecver.Move:
        if request := writer.docs.approvals().get(body.alias):
            _check_asker(writer, request)
            warm(writer.docs, request.commit)
        return writer.docs.approve(body.alias, body.ref, expected=writer.expected)

    return writer.move("approve", body.model_dump(), move)


@router.post("/reject", response_model=evaluating.Approval, responses=problem_responses(400, 409))
def reject(body: requests.Reject, writer: Writable) -> Response:
    """Let what waits for an alias move nothing. The key that asked may do so too."""

    def write(entry: Json) -> tuple[int, Json]:
        rejected = writer.docs.reject(body.alias, body.reason)
        entry |= {"kind": "alias", "name": body.alias, "rejected": rejected.id, "why": rejected.reason}
        return 200, rejected.to_dict()

    return writer.do("reject", body.model_dump(), write)


@router.post(
    "/bisect",
    response_model=evaluating.Bisection,
    responses={**_JOB, **problem_responses(400, 409)},
    tags=["relevance"],
)
def bisect(body: evaluating.Bisect, asker: Asking, prefer: Prefer = None) -> Response:
    """The version between two that broke an answer or a measure, and what it changed."""
    check_filter(body.filter)
    questions = None if body.questions is None else question_set(asker.deps, asker.docs, body.questions)
    options = body.model_dump(exclude={"questions", "vector"})
    if body.vector is not None:
        vector = list(map(float, decoded_vector(body.vector)))
        options["query"] = vector if body.query is None else {"text": body.query, "vector": vector}
    if _is_async(prefer):
        ends = {end: asker.docs.resolve(options[end]) for end in ("good", "bad")}
        return queued(asker, "bisect", body.asked(), {**options, **ends}, body.questions)
    return Reply(asker.docs.bisect(options.pop("good"), options.pop("bad"), questions=questions, **options).to_json())


def promotion(
    writer: DatasetWriter, action: str, alias: str, body: requests.Put | requests.Promote, prefer: str | None
) -> Response:
    """Move an alias; or queue that, if the caller prefers so and there are gates to be measured."""
    if body.override is None and _is_async(prefer) and _has_gates(writer, alias, body):
        if body.questions is not None:
            question_set(writer.deps, writer.docs, body.questions)  # raises
        what: Json = {"alias": alias, "ref": writer.docs.resolve(body.ref), "expected": writer.expected}
        if body.gates or body.questions is not None:
            what |= {"gates": body.gates, "exact": body.exact, "engine": body.engine}
        what |= mixing(body)
        return queued(writer, "promote", body.asked(), what, body.questions)
    return writer.move(action, body.asked(), lambda: _promoted(writer, alias, body))


def _promoted(writer: DatasetWriter, alias: str, body: requests.Put | requests.Promote) -> vecver.Move:
    """Open the version, then move the alias: the first search at the alias does not wait for the index to load."""
    commit = writer.docs.resolve(body.ref)
    warm(writer.docs, commit)
    options: Json = {"override": body.override, **mixing(body)}
    if body.override is not None:
        check_allowed(writer.caller, "admin", writer.docs.name)
    if body.gates or body.questions is not None:
        questions = None if body.questions is None else question_set(writer.deps, writer.docs, body.questions)
        options |= {"gates": body.gates, "questions": questions, "exact": body.exact, "engine": body.engine}
    return writer.docs.promote(alias, commit, expected=writer.expected, **options)


def _is_async(prefer: str | None) -> bool:
    """Does the caller take a job for an answer (RFC 7240)?"""
    return any(part.strip().lower() == "respond-async" for part in (prefer or "").split(","))


def _has_gates(writer: DatasetWriter, alias: str, body: requests.Gated) -> bool:
    policy = writer.docs.policy(alias)
    return bool(body.gates or (policy and policy.gates))


def queued(writer: DatasetWriter, kind: str, asked: Json, what: Json, questions: Any) -> Response:
    """Queue a job that writes no version, and answer with it. Questions that were sent lie beside it."""
    jobs, caller = writer.deps.jobs, writer.caller

    def write(entry: Entry) -> tuple[int, Json]:
        folder, options = jobs.scratch(), {**what, "questions": questions}
        if isinstance(questions, list):
            (folder / "input" / "questions.json").write_text(json.dumps(questions), "utf-8")
            options = {**what, "input": "questions.json"}

        def record(connection: Connection, job: Job) -> None:
            entry.update(job=job.id, **({"name": what["alias"], "for": what["ref"]} if kind == "promote" else {}))
            entry.write_done(connection)

        return 202, jobs.add(folder, writer.docs.name, kind, caller.name, caller.id, options, record).to_json()

    return writer.do(kind, asked, write)


def _check_asker(writer: DatasetWriter, request: vecver.Approval) -> None:
    """Raises ConflictError if the key that asked may not promote any more: what it asked for is not trusted then."""
    if request.state == "waiting" and request.key and not writer.deps.keys.may(request.key, "write", writer.docs.name):
        raise ConflictError(
            f"the key of {request.author!r}, which asked for this promotion, was revoked or may not promote any more",
            code="asker_revoked",
            hint=f"reject it (POST /v1/datasets/{writer.docs.name}/reject), or promote again with a key that may",
            name=request.alias,
        )
