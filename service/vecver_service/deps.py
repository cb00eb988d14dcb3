"""What routes get through FastAPI's `Depends`: the service's parts, the caller, and a dataset the caller may use."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Request, Security
from fastapi.responses import Response
from fastapi.security import HTTPBearer

import vecver
from vecver.errors import AccessError, ApprovalError, InvalidInputError
from vecver_service.http.problems import PathMask, waiting
from vecver_service.http.replies import Reply
from vecver_service.metrics import Metrics
from vecver_service.settings import ServiceSettings
from vecver_service.short_searches import ShortSearches
from vecver_service.state.audit import Audit, Entry
from vecver_service.state.database import Database
from vecver_service.state.idempotency import Once
from vecver_service.state.jobs import Jobs
from vecver_service.state.keys import Caller, Keys

Json = dict[str, Any]
Name = Annotated[str, Path(max_length=300)]


@dataclass(frozen=True)
class Dependencies:
    """The parts of a service that all routes share."""

    settings: ServiceSettings
    repository: vecver.Repository
    jobs: Jobs
    audit: Audit
    idempotency: Once
    metrics: Metrics
    mask: PathMask
    keys: Keys
    database: Database
    rerankers: Mapping[str, vecver.Reranker] = field(default_factory=dict)  # that callers may name
    streams: Counter[str] = field(default_factory=Counter)  # open streams, by key id
    search_lock: threading.Lock = field(default_factory=threading.Lock)  # held by a short search; see searching.py
    short_searches: ShortSearches = field(default_factory=ShortSearches)


async def dependencies_of(request: Request) -> Dependencies:
    """The dependencies of the service that handles a request."""
    return request.app.state.deps


_BEARER = HTTPBearer(scheme_name="key", description="An API key, `vv_...`.", auto_error=False)


async def caller_of(request: Request, _: Annotated[Any, Security(_BEARER)]) -> Caller:
    """The caller that the middleware authenticated. `Security` is here for the schema only."""
    return request.scope["vecver.caller"]


Deps = Annotated[Dependencies, Depends(dependencies_of)]
CurrentCaller = Annotated[Caller, Depends(caller_of)]


def check_allowed(caller: Caller, scope: str, dataset: str) -> None:
    """Raises AccessError, the same whether the dataset exists or not."""
    if not caller.may(scope, dataset):
        raise AccessError(
            f"this key may not {_VERBS[scope]} {'every dataset' if dataset == '*' else dataset}",
            code="forbidden",
            hint=f"use a key with the scope {dataset}:{scope}",
        )


_VERBS = {"read": "read", "write": "write to", "admin": "administer"}


async def readable(dataset: Name, deps: Deps, caller: CurrentCaller) -> vecver.Dataset:
    """The dataset in the path. Async because it does no I/O, and so needs no thread."""
    check_allowed(caller, "read", dataset)
    return deps.repository.dataset(dataset)


Readable = Annotated[vecver.Dataset, Depends(readable)]


def all_readable(deps: Dependencies, caller: Caller) -> list[vecver.Dataset]:
    """Every dataset that the caller may read, by name."""
    return [deps.repository.dataset(name) for name in deps.repository.datasets() if caller.may("read", name)]


@dataclass(frozen=True)
class DatasetWriter:
    """A dataset to write to in the caller's name. Every write is audited, and done once per Idempotency-Key."""

    docs: vecver.Dataset
    deps: Dependencies
    caller: Caller
    request: Request
    key: str | None  # Idempotency-Key
    expected: str | None  # where the caller saw the ref

    def do(
        self, action: str, body: Any, write: Callable[[Entry], tuple[int, Json]], details: Json | None = None
    ) -> Response:
        """Answer with the (status, body) that `write` returns. `write` may add to its entry of the audit log.

        `body`: what the request asks for. The same Idempotency-Key with another body is refused.
        """
        request_id, url = self.request.scope["vecver.request"], self.request.url

        def audited() -> tuple[int, Json]:
            with self.deps.audit.entry(self.caller, request_id, action, self.docs.name, **(details or {})) as entry:
                return write(entry)

        request_parts = [self.request.method, url.path, url.query, self.expected, body]
        request_text = json.dumps(request_parts, default=str)
        status, answer = self.deps.idempotency.do(self.caller.id, self.key, request_text, audited)
        return Reply(answer, status)

    def move(self, action: str, body: Any, move_ref: Callable[[], vecver.Move]) -> Response:
        """Answer with the move of a ref: 201 for a new ref, 200 for one that stood elsewhere.

        202 where it waits for an approval: then with what waits.
        """

        def write(entry: Entry) -> tuple[int, Json]:
            try:
                move = move_ref()
            except ApprovalError as error:
                request = error.context["approval"]
                entry |= {"kind": "alias", "name": request["alias"], "waits": request["id"], "for": request["commit"]}
                return 202, waiting(error, self.deps.mask)
            entry |= {"kind": move.kind, "name": move.name, "from": move.before, "to": move.after}
            return 200 if move.before else 201, move.to_dict()

        return self.do(action, body, write, {"asked": body})


def _writer(scope: str) -> Callable[..., DatasetWriter]:
    def writer(
        dataset: Name,
        request: Request,
        deps: Deps,
        caller: CurrentCaller,
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
        if_match: Annotated[str | None, Header(description="Quoted commit id on which the ref must stand.")] = None,
        if_none_match: Annotated[str | None, Header(description="`*`: the ref must be new.")] = None,
    ) -> DatasetWriter:
        try:
            check_allowed(caller, scope, dataset)
        except AccessError:
            with deps.audit.entry(caller, request.scope["vecver.request"], request.method, dataset) as entry:
                entry["path"] = request.url.path
                raise
        docs = deps.repository.signed(caller.name, caller.id).dataset(dataset)
        return DatasetWriter(docs, deps, caller, request, idempotency_key, expected_of(if_match, if_none_match))

    return writer


Asking = Annotated[DatasetWriter, Depends(_writer("read"))]  # for work that may be long, and writes no version
Writable = Annotated[DatasetWriter, Depends(_writer("write"))]
Administrable = Annotated[DatasetWriter, Depends(_writer("admin"))]


def expected_of(if_match: str | None, if_none_match: str | None) -> str | None:
    """Where a ref must stand: a commit id, "absent", or None for anywhere. Raises InvalidInputError (bad headers)."""
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
