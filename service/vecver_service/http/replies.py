"""Values of JSON as answers, and the errors that a route may answer with, as the schema tells them."""

from __future__ import annotations

import base64
import json
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse
from pydantic_core import PydanticSerializationError, to_json

Responses = dict[int | str, dict[str, Any]]
_HEADERS = {
    401: ("WWW-Authenticate", "How to say who asks."),
    429: ("Retry-After", "Seconds to wait."),
}


def problem_responses(*statuses: int) -> Responses:
    """These statuses as problems, for the schema of a route."""
    return {status: _problem(status) for status in statuses}


def _problem(status: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status not in _HEADERS:
        return told
    name, description = _HEADERS[status]
    return {**told, "headers": {name: {"schema": {"type": "string"}, "description": description, "required": True}}}


class Reply(JSONResponse):
    """An answer of JSON. Halves of surrogate pairs, which UTF-8 does not have, travel as JSON's escapes."""

    def render(self, content: Any) -> bytes:
        return json_bytes(content)


def json_bytes(value: Any) -> bytes:
    """A value as JSON. NaN and infinities, which it has not, are null."""
    try:
        return to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:
        return json.dumps(value).encode()


def vector_text(vector: Any) -> str:
    """A vector `(dim,)` as it travels: base64 of its little-endian float32 bytes."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
