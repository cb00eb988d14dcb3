"""Turns errors into RFC 9457 problems. Paths of this machine and stack traces never leave it."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from vecver.errors import (
    AccessError,
    ApprovalError,
    BackendError,
    InvalidInputError,
    NotFoundError,
    VecverError,
    hint_for,
    say,
)
from vecver.near import near
from vecver_service.http.replies import Reply
from vecver_service.schemas.fields import FIELD_NAMES
from vecver_service.state.keys import Caller

Json = dict[str, Any]
ErrorAnswer = Callable[[Request, Exception], Response]
_PATH_START = r"(?<![\w.)\]])"  # so that the document docs/tmp/a.md is not taken for a file in /tmp
_LOG = logging.getLogger("vecver.service")
_TITLES = {
    "NotFoundError": "Not found",
    "ConflictError": "Conflict",
    "InvalidInputError": "Invalid input",
    "SpaceMismatchError": "Other space",
    "IntegrityError": "Damaged",
    "NotPublishedError": "Not published",
    "BackendError": "Unavailable",
    "AccessError": "Not allowed",
    "GateError": "Gate failed",
    "ApprovalError": "Needs approval",
    "VecverError": "Error",
}
_STATUSES = {  # by code, where the status differs from that of the error's class
    "invalid_http": 400,
    "unauthenticated": 401,
    "slow_request": 408,
    "too_large": 413,
    "rate_limited": 429,
    "too_many_streams": 429,
}
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_HINTS = {  # by code, where the library's hint names datasets that the caller may not see
    "dataset_not_found": say(
        "repo.datasets() lists those that this key may read; an ingest makes a new one",
        http="GET /v1/datasets lists those that this key may read; an ingest makes a new one",
    ),
}


def install(app: FastAPI, answer_to: ErrorAnswer, routes: Sequence[Any]) -> None:
    """Answer every error that a route raises. The middleware does so for unexpected errors."""

    def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 405:  # Starlette allows the first route's only
            path = request.scope["path"]
            allowed = {method for route in routes if route.path_regex.match(path) for method in route.methods}
            error.headers = {"Allow": ", ".join(sorted(allowed))} if allowed else error.headers
        return answer_to(request, error)

    for kind in (VecverError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer)


class PathMask:
    """Replaces this machine's paths in texts. `masks`: paths, and what stands for each."""

    def __init__(self, masks: Iterable[tuple[str, str]]) -> None:
        masks = [
            *masks,
            (tempfile.gettempdir(), "(temporary files)"),
            (sys.prefix, "(python)"),
            (str(Path.home()), "(home)"),
            (os.getcwd(), "(here)"),
        ]
        self._masks = {path.rstrip("/"): mask for path, mask in reversed(masks)}
        paths = sorted((path for path in self._masks if len(path) > 1), key=len, reverse=True)
        self._paths = re.compile(rf"{_PATH_START}({'|'.join(map(re.escape, paths))})")

    def __call__(self, value: Any) -> Any:
        """A JSON value with every path in its texts replaced."""
        if isinstance(value, str):
            return self._paths.sub(lambda match: self._masks[match[1]], value)
        if isinstance(value, dict):
            return {name: self(item) for name, item in value.items()}
        return [self(item) for item in value] if isinstance(value, list | tuple) else value


def problem(request: Request, error: Exception, mask: PathMask) -> Response:
    """The answer to an error. An unexpected error is logged in full; the answer says only that something failed."""
    body, headers = described(request, error, mask)
    if request.url.path.startswith("/v1/vector_stores"):
        kind = "invalid_request_error" if body["status"] < 500 else "server_error"
        body["error"] = {"message": body["detail"], "type": kind, "code": body["code"], "param": None}
    return Reply(body, body["status"], headers, media_type="application/problem+json")


def described(request: Request, error: Exception, mask: PathMask) -> tuple[Json, dict[str, str]]:
    """(an error as a problem, headers of its answer); logs one that was not expected."""
    status, known_error, headers = _known(error)
    if status >= 500 and not isinstance(error, VecverError | HTTPException):
        _LOG.error("unforeseen", exc_info=error, extra={"request": request.scope.get("vecver.request", "")})
    known_error = visible(known_error, request.scope.get("vecver.caller"))
    request.scope["vecver.code"] = known_error.code
    body = {**to_json(known_error, mask), "status": status, "instance": request.scope.get("vecver.request", "")}
    return body, headers


def to_json(error: VecverError, mask: PathMask) -> Json:
    """An error as a problem. `hint` is for HTTP callers; `hint_python`, where it differs, for our Python client."""
    context = json.loads(json.dumps(error.context, default=str))
    context.pop("url", None)
    hint, hint_python = mask(hint_for("http", error.hint)), mask(error.hint)
    return {
        "type": f"urn:vecver:error:{error.code}",
        "title": _TITLES.get(type(error).__name__, "Error"),
        "status": status_of(error),
        "detail": mask(error.message),
        "category": type(error).__name__,
        "code": error.code,
        "hint": hint,
        "context": mask(context),
        **({"gates": context["gates"]} if error.code == "gate_failed" else {}),
        **({"hint_python": hint_python} if hint_python != hint else {}),
    }


def waiting(error: ApprovalError, mask: PathMask) -> Json:
    """What a promotion is answered with that waits for an approval: what to do, and what waits."""
    body = to_json(error, mask)
    names = ("code", "category", "detail", "hint", "hint_python")
    answer: Json = {name: body[name] for name in names if name in body}
    return {**answer, "approval": body["context"]["approval"]}


def visible(error: VecverError, caller: Caller | None) -> VecverError:
    """The error without the names of datasets that this caller may not see."""
    if error.code not in _HINTS:
        return error
    readable = [name for name in error.context.get("did_you_mean", ()) if caller and caller.may("read", name)]
    context = {**error.context, "did_you_mean": readable}
    return type(error)(error.message, code=error.code, hint=_HINTS[error.code], **context)


def status_of(error: VecverError) -> int:
    """The HTTP status of a vecver error."""
    return _STATUSES.get(error.code, error.http_status)


def _known(error: Exception) -> tuple[int, VecverError, dict[str, str]]:
    """(status, the error as a VecverError, headers)."""
    if isinstance(error, VecverError):
        status, wait = status_of(error), error.context.get("retry_after")
        headers = {"Retry-After": str(wait)} if wait else {}
        return status, error, {"WWW-Authenticate": "Bearer"} if status == 401 else headers
    if isinstance(error, RequestValidationError):
        return 422, _invalid(error), {}
    if isinstance(error, HTTPException):
        return error.status_code, _http(error), dict(error.headers or {})
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return 503, _disk_full(), {}
    unexpected = VecverError(
        "something went wrong in the service",
        code="internal",
        hint="try again; if it stays, give the request id to whoever runs it: the log has the rest",
    )
    return 500, unexpected, {}


def _disk_full() -> BackendError:
    return BackendError(
        "the service cannot write to its state folder, or the folder of temporary files",
        code="state_full",
        hint="its operator must free space there; look at what was asked before repeating it",
    )


def _invalid(error: RequestValidationError) -> InvalidInputError:
    errors = error.errors()[:20]
    problems = [{"at": ".".join(str(part) for part in item["loc"]), "problem": item["msg"]} for item in errors]
    first = problems[0] if problems else {"at": "body", "problem": "cannot be read"}
    unknown = str(errors[0]["loc"][-1]) if errors and errors[0]["type"] == "extra_forbidden" else ""
    return InvalidInputError(
        f"{first['at']}: {first['problem']}",
        code="invalid_request",
        hint="see /docs for what is taken",
        problems=problems,
        did_you_mean=near(unknown, FIELD_NAMES, 1),
    )


def _http(error: HTTPException) -> VecverError:
    detail = str(error.detail)
    if error.status_code == 404:
        return NotFoundError("there is no such route", code="route_not_found", hint="see /docs for those there are")
    if error.status_code == 405:
        return InvalidInputError(detail, code="method_not_allowed", hint="the header Allow names those that are")
    if error.status_code == 413:
        return InvalidInputError("the request is too large", code="too_large", hint="send less at once")
    if error.status_code in (401, 403):
        return AccessError(detail, code="denied", hint="send another key")
    if error.status_code >= 500:
        return BackendError(detail, code="unavailable", hint="try again later", retryable=True)
    return InvalidInputError(detail, code="invalid_request", hint="see /docs for what is taken")
