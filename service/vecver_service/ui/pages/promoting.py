"""Promote and roll back: what each alias serves, its policy, what waits for a second person, and every move."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Form, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, ValidationError

import vecver
from vecver_service.deps import CurrentCaller, DatasetWriter, Readable, Writable
from vecver_service.routes import promoting
from vecver_service.routes.datasets import existing
from vecver_service.schemas import requests
from vecver_service.ui import measured
from vecver_service.ui.addresses import address
from vecver_service.ui.forms import FROM_HERE
from vecver_service.ui.rendering import HEADERS, render

router = APIRouter(include_in_schema=False)
MOVES = 50
LATE = 200  # versions of main
FEW = 8  # versions that are looked up one by one
Body = TypeVar("Body", bound=BaseModel)
Text = Annotated[str, Query(max_length=300)]
Field = Annotated[str, Form(max_length=1000)]


@dataclass(frozen=True)
class Alias:
    """An alias, as the page shows it."""

    name: str
    commit: vecver.Commit | None  # None: it does not stand anywhere yet
    policy: vecver.Policy | None
    approval: vecver.Approval | None  # the newest that was asked for
    moves: list[vecver.Move]  # newest first

    @property
    def waits(self) -> bool:
        """Does a promotion wait for a second person?"""
        return self.approval is not None and self.approval.state == "waiting"


@router.get("/datasets/{dataset}/refs")
def refs(request: Request, docs: Readable, caller: CurrentCaller, alias: Text = "", to: Text = "") -> Response:
    """Every alias; `alias` and `to` fill the form of a promotion."""
    existing(docs)
    aliases = _aliases(docs)
    return render(
        request,
        "refs.html",
        docs=docs,
        aliases=aliases,
        alias=alias or "prod",
        to=to or "main",
        versions=[*docs.branches(), *docs.tags()],
        measured=_measured(docs, aliases),
        may_write=caller.may("write", docs.name),
        may_override=caller.may("admin", docs.name),
    )


@router.post("/datasets/{dataset}/refs/promote", dependencies=FROM_HERE)
def promote(
    writer: Writable,
    alias: Field,
    to: Field,
    seen: Annotated[list[str] | None, Form(max_length=1000)] = None,
    gates: Field = "",
    questions: Field = "",
    override: Field = "",
) -> Response:
    """Let an alias name a version. Where gates are to be measured this is a job.

    `seen`: where each alias stood on the visitor's page, as "NAME COMMIT"; one that moved since is not moved.
    """
    listed = [gate.strip() for gate in gates.splitlines() if gate.strip()]
    asked: dict[str, Any] = {"alias": alias, "ref": to, "gates": listed, "questions": questions, "override": override}
    body = _body(requests.Promote, {name: value for name, value in asked.items() if value})
    stood = dict(pair.split(" ", 1) for pair in seen or () if " " in pair)
    writer = replace(writer, expected=stood.get(alias, "absent") if seen else None)
    answer = promoting.promotion(writer, "promote", alias, body, "respond-async")
    return _on(writer, answer)


@router.post("/datasets/{dataset}/refs/rollback", dependencies=FROM_HERE)
def rollback(writer: Writable, alias: Field, expected: Field = "") -> Response:
    """Take an alias back to where it was."""
    docs = writer.docs
    move = {"ref": alias, "to": None}
    return _on(writer, writer.move("rollback", move, lambda: docs.rollback(alias, expected=expected or None)))


@router.post("/datasets/{dataset}/refs/approve", dependencies=FROM_HERE)
def approve(writer: Writable, alias: Field, commit: Field) -> Response:
    """Let an alias move as another key asked."""
    return _on(writer, promoting.approve(_body(requests.Approve, {"alias": alias, "ref": commit}), writer))


@router.post("/datasets/{dataset}/refs/reject", dependencies=FROM_HERE)
def reject(writer: Writable, alias: Field, reason: Field) -> Response:
    """Let what waits for an alias move nothing."""
    return _on(writer, promoting.reject(_body(requests.Reject, {"alias": alias, "reason": reason}), writer))


def _aliases(docs: vecver.Dataset) -> list[Alias]:
    standing, policies, approvals = docs.aliases(), docs.policies(), docs.approvals()
    return [
        Alias(
            name,
            docs.show(standing[name]) if name in standing else None,
            policies.get(name),
            approvals.get(name),
            list(docs.moves("alias", name))[:MOVES] if name in standing else [],
        )
        for name in sorted({*standing, *policies, *approvals})
    ]


def _measured(docs: vecver.Dataset, aliases: list[Alias]) -> dict[str, dict[str, vecver.StoredMeasure]]:
    """commit -> what is stored of the measures of the versions that aliases moved to without gates.

    Of the newest versions of main in one call, and of a few others: each call lists the refs anew.
    """
    moved = dict.fromkeys(move.after for alias in aliases for move in alias.moves if move.after and not move.gating)
    if not moved:
        return {}
    questions = measured.question_set(docs)
    late = measured.history_of(docs, "main", questions, LATE) if "main" in docs.branches() else ()
    known = {version.commit: dict(version.measures) for version in late}
    for commit in [each for each in moved if each not in known][:FEW]:
        known |= {each.commit: dict(each.measures) for each in measured.history_of(docs, commit, questions, 1)}
    return known


def _body(form: type[Body], fields: dict[str, Any]) -> Body:
    """The body of the route that a form stands for. Raises RequestValidationError."""
    try:
        return form(**fields)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


def _on(writer: DatasetWriter, answer: Response) -> Response:
    """Go on to the job that was queued, else to the aliases."""
    value: Any = json.loads(bytes(answer.body))
    parts = ("work", value["id"]) if "kind" in value and "progress" in value else ("refs",)
    return RedirectResponse(address("datasets", writer.docs.name, *parts), 303, headers=HEADERS)
