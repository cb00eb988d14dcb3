"""What a route asks for: the desk, and a dataset that the caller may read, write or own."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Request, Security
from fastapi.responses import Response
from fastapi.security import HTTPBearer

import vecver
from vecver.errors import AccessError, InvalidInputError
from vecver_service.http.problems import Cover
from vecver_service.http.replies import Reply
from vecver_service.metrics import Metrics
from vecver_service.settings import ServiceSettings
from vecver_service.state.audit import Audit
from vecver_service.state.idempotency import Once
from vecver_service.state.jobs import Jobs
from vecver_service.state.keys import Caller

Json = dict[str, Any]
Name = Annotated[str, Path(max_length=300)]


@dataclass(frozen=True)
class Desk:
    """What all routes share."""

    settings: ServiceSettings
    repository: vecver.Repository
    jobs: Jobs
    audit: Audit
    once: Once
    metrics: Metrics
    cover: Cover
    streams: Counter[str] = field(default_factory=Counter)  # open ones, by key
    turn: threading.Lock = field(default_factory=threading.Lock)  # held while a search computes; see routes/search.py


async def desk_of(request: Request) -> Desk:
    """The desk of this service."""
    return request.app.state.desk


_BEARER = HTTPBearer(scheme_name="key", description="An API key, `vv_...`.", auto_error=False)


async def caller_of(request: Request, _: Annotated[Any, Security(_BEARER)]) -> Caller:
    """Who asks; the gate has looked, this is for the schema."""
    return request.scope["vecver.caller"]


AtDesk = Annotated[Desk, Depends(desk_of)]
By = Annotated[Caller, Depends(caller_of)]


def check_allowed(caller: Caller, scope: str, dataset: str) -> None:
    """Raises AccessError, the same whether there is such a dataset or not."""
    if not caller.may(scope, dataset):
        raise AccessError(
            f"this key may not {_VERBS[scope]} {'every dataset' if dataset == '*' else dataset}",
            code="forbidden",
            hint=f"use a key with the scope {dataset}:{scope}",
        )


_VERBS = {"read": "read", "write": "write to", "admin": "administer"}


async def readable(dataset: Name, desk: AtDesk, caller: By) -> vecver.Dataset:
    """The dataset in the path. Async only so that it runs without a thread: it waits for nothing."""
    check_allowed(caller, "read", dataset)
    return desk.repository.dataset(dataset)


Readable = Annotated[vecver.Dataset, Depends(readable)]


def all_readable(desk: Desk, caller: Caller) -> list[vecver.Dataset]:
    """Every dataset that the caller may read, by name."""
    return [desk.repository.dataset(name) for name in desk.repository.datasets() if caller.may("read", name)]


@dataclass(frozen=True)
class Writing:
    """A dataset to be written to, in the caller's name: each write once, and on record."""

    docs: vecver.Dataset
    desk: Desk
    caller: Caller
    request: Request
    key: str | None  # Idempotency-Key
    expected: str | None  # where the caller saw the ref

    def do(
        self, action: str, asked: Any, write: Callable[[Json], tuple[int, Json]], told: Json | None = None
    ) -> Response:
        """Answer with (status, body) of `write`, which may add to the entry of the audit log."""
        id, url = self.request.scope["vecver.request"], self.request.url

        def recorded() -> tuple[int, Json]:
            with self.desk.audit.entry(self.caller, id, action, self.docs.name, **(told or {})) as entry:
                return write(entry)

        wanted = [self.request.method, url.path, url.query, self.expected, asked]
        status, body = self.desk.once.do(self.caller.id, self.key, json.dumps(wanted, default=str), recorded)
        return Reply(body, status)

    def move(self, action: str, asked: Any, move: Callable[[], vecver.Move]) -> Response:
        """Answer with the move of a ref."""

        def write(entry: Json) -> tuple[int, Json]:
            moved = move()
            entry |= {"kind": moved.kind, "name": moved.name, "from": moved.before, "to": moved.after}
            return 200 if moved.before else 201, moved.to_json()

        return self.do(action, asked, write, {"asked": asked})


def _writing(scope: str) -> Callable[..., Writing]:
    def writing(
        dataset: Name,
        request: Request,
        desk: AtDesk,
        caller: By,
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
        if_match: Annotated[str | None, Header(description="Quoted commit id on which the ref must stand.")] = None,
        if_none_match: Annotated[str | None, Header(description="`*`: the ref must be new.")] = None,
    ) -> Writing:
        try:
            check_allowed(caller, scope, dataset)
        except AccessError:
            with desk.audit.entry(caller, request.scope["vecver.request"], request.method, dataset) as entry:
                entry["path"] = request.url.path
                raise
        docs = desk.repository.signed(caller.name).dataset(dataset)
        return Writing(docs, desk, caller, request, idempotency_key, expected_of(if_match, if_none_match))

    return writing


Writable = Annotated[Writing, Depends(_writing("write"))]
Owned = Annotated[Writing, Depends(_writing("admin"))]


def expected_of(if_match: str | None, if_none_match: str | None) -> str | None:
    """Where a ref is expected: a commit id, "absent", or None for anywhere. Raises InvalidInputError."""
    if if_match is None and if_none_match is None:
        return None
    if if_none_match is not None:
        if if_match is None and if_none_match.strip() == "*":
            return "absent"
        raise InvalidInputError(
            "If-None-Match takes * here, and not together with If-Match",
            code="invalid_condition",
            hint='send If-None-Match: * for a new ref, If-Match: "COMMIT" for one that stands there',
        )
    commit = str(if_match).strip()
    if len(commit) != 66 or commit[0] != '"' or commit[-1] != '"':
        raise InvalidInputError(
            f"If-Match: {if_match} names no commit",
            code="invalid_condition",
            hint="send the ETag of the ref: a full commit id in double quotes",
        )
    return commit[1:-1]
