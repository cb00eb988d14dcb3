"""`POST /v1/datasets/{dataset}/search` as plain ASGI, in front of the FastAPI route of the same path.

It reads the body, lets the route's own schema parse it, and answers with the route's own function. Whatever it does
not take goes on to FastAPI unchanged, body included, which then answers or explains the error.

Decisions
1. FastAPI's route costs more for the same answer, in dependencies and exit stacks: 1.44 ms of CPU a request against
   1.10, where the search itself is 0.53; its p50 is 0.85 ms over that search against 0.59 (10,000 x 384, one caller).
2. The body is parsed by pydantic, not by hand: with its own JSON parser it takes 2 us for a vector in base64 and 11 us
   for 384 numbers. `orjson.loads` takes 0.5 and 6 us before the first check, and a second set of rules could differ.
3. Bodies that the schema refuses are parsed again by FastAPI, so that each error is explained in one place.
4. Where OpenTelemetry is configured FastAPI answers: its spans of the request are what operators look at.
5. Short searches run on the event loop, and those that arrive together as one call. Of CPU a request (10,000 x 384,
   without sockets): in threads 1.1 ms for one caller and 1.4 to 1.8 for eight at once, on the loop 0.67 and 0.40;
   the search alone is 0.44. Threads also make the slowest answers: each takes the interpreter from the others.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

import anyio.to_thread
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import vecver
from vecver.errors import VecverError
from vecver_service.deps import Dependencies, check_allowed
from vecver_service.http.bodies import messages_of, replayed, whole_body
from vecver_service.http.problems import problem
from vecver_service.schemas import requests
from vecver_service.searching import LoopSearch, fits_loop, search_on_loop, search_response

_TOGETHER = 8  # searches of one turn: some 3 ms on the loop
_MOST_WAITING = 256  # some 0.1 s; further ones wait for a slot and a thread, where a deadline ends their waiting
_PATH = re.compile(r"/v1/datasets/([^/]{1,300})/search")


@dataclass(frozen=True)
class _Route:
    path: str = "/v1/datasets/{dataset}/search"  # the label of its metrics


_ROUTE = _Route()


class RawSearch:
    """ASGI middleware that answers searches, and passes on everything else."""

    def __init__(self, app: ASGIApp, *, deps: Dependencies) -> None:
        self._app, self._deps = app, deps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = _dataset_name(scope)
        if name is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = _ROUTE  # first, so that a body that is late or too large is counted as a search
        try:
            messages = await messages_of(receive)
            body = _parsed(messages)
            if body is None:
                await self._app(scope, replayed(messages, receive), send)
                return
            docs = _readable(self._deps, scope, name)
            response = await anyio.to_thread.run_sync(
                search_response, self._deps, docs, scope, body, _known_etags(scope)
            )
        except (VecverError, HTTPException) as error:
            response = problem(Request(scope), error, self._deps.mask)
        await response(scope, receive, send)


class SearchAtOnce:
    """Answers short searches on the event loop's own thread; see `short_searches.py`.

    What arrives while the loop answers others is answered by one call, `_TOGETHER` at most: they are handed over to
    the next turn of the loop, in which all requests that have arrived have been read.
    """

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps
        self._waiting: list[tuple[LoopSearch, asyncio.Future[Response | None]]] = []

    def takes(self, scope: Scope) -> bool:
        """Whether the request is a search that this file answers."""
        return _dataset_name(scope) is not None

    async def answer(self, scope: Scope, messages: Sequence[Message]) -> Response | None:
        """The answer to a search; None where it may take long, or the schema refuses it. Raises VecverError."""
        name, body = _dataset_name(scope), _parsed(messages)
        if name is None or body is None:
            return None
        scope["route"] = _ROUTE
        docs = _readable(self._deps, scope, name)
        if len(self._waiting) >= _MOST_WAITING or not fits_loop(self._deps, docs, body):
            return None
        loop, (queries, _) = asyncio.get_running_loop(), body.queries_of()
        answer: asyncio.Future[Response | None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._answer_waiting, loop)
        self._waiting.append((LoopSearch(docs, scope, body, queries[0], _known_etags(scope)), answer))
        return await answer

    def _answer_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer those that wait; the rest of many in the next turn, so that other requests are not held up."""
        turn, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
        if self._waiting:
            loop.call_soon(self._answer_waiting, loop)
        alike: dict[tuple[str, ...], list[tuple[LoopSearch, asyncio.Future[Response | None]]]] = {}
        for search, answer in turn:
            alike.setdefault(search.alike, []).append((search, answer))
        for group in alike.values():
            outcomes = search_on_loop(self._deps, [search for search, _ in group])
            for (_, answer), outcome in zip(group, outcomes, strict=True):
                _settle(answer, outcome)


def _settle(answer: asyncio.Future[Response | None], outcome: Response | Exception | None) -> None:
    """Give a waiting request its outcome, unless it was cancelled meanwhile."""
    if answer.done():
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def _readable(deps: Dependencies, scope: Scope, name: str) -> vecver.Dataset:
    """The dataset that is searched. Raises AccessError, InvalidInputError (a bad name)."""
    check_allowed(scope["vecver.caller"], "read", name)
    return deps.repository.dataset(name)


def _known_etags(scope: Scope) -> str:
    return (_header(scope, b"if-none-match") or b"").decode("latin-1")


def _dataset_name(scope: Scope) -> str | None:
    """The dataset that is searched; None for a request that is not for this route, or is left to FastAPI."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope.get("root_path") or "fastapi.telemetry" in scope:
        return None
    match = _PATH.fullmatch(scope["path"])
    return match[1] if match and _header(scope, b"content-type") == b"application/json" else None


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)


def _parsed(messages: Sequence[Message]) -> requests.Search | None:
    """The body as the schema reads it; None where it does not, or where the caller has disconnected."""
    body = whole_body(messages)
    if body is None:
        return None
    try:
        return requests.Search.model_validate_json(body)
    except ValidationError:
        return None
