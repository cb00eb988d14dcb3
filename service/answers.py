"""Values of JSON as answers."""

from __future__ import annotations

import json
from typing import Any

from fastapi.responses import JSONResponse
from pydantic_core import PydanticSerializationError, to_json


class Answer(JSONResponse):
    """An answer of JSON. Halves of surrogate pairs, which UTF-8 does not have, travel as JSON's escapes."""

    def render(self, content: Any) -> bytes:
        return json_bytes(content)


def json_bytes(value: Any) -> bytes:
    """A value as JSON. NaN and infinities, which it has not, are null."""
    try:
        return to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:
        return json.dumps(value).encode()
