"""Writes JSON answers, and describes a route's problems for the schema."""

from __future__ import annotations

import base64
import json
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse, Response
from pydantic_core import PydanticSerializationError, to_json

Responses = dict[int | str, dict[str, Any]]
_HEADERS = {
    401: ("WWW-Authenticate", "How to say who asks."),
    429: ("Retry-After", "Seconds to wait."),
}


def problem_responses(*statuses: int) -> Responses:
    """The problems that a route may answer with, for its part of the schema."""
    return {status: _problem(status) for status in statuses}


def _problem(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status not in _HEADERS:
        return response
    name, description = _HEADERS[status]
    return {**response, "headers": {name: {"schema": {"type": "string"}, "description": description, "required": True}}}


class Reply(JSONResponse):
    """A JSON answer. Lone surrogates, which UTF-8 cannot encode, are written as JSON escapes."""

    def render(self, content: Any) -> bytes:
        return json_bytes(content)


class PreparedReply(Response):
    """An answer whose headers are ready to be sent: names in lower case, `content-length` among them."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
        self.status_code, self.raw_headers, self.body, self.background = status, headers, body, None


def json_bytes(value: Any) -> bytes:
    """A value as JSON. NaN and infinities become null."""
    try:
        return to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:
        return json.dumps(value).encode()


def vector_text(vector: Any) -> str:
    """Base64 of a vector's little-endian float32 bytes; `(dim,)`."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
