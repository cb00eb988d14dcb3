"""Errors as a client's model sees them: a sentence, its code and the next step in the text, and the same in `_meta`.

Decisions
1. The parts are in `_meta`, not in the structured content: clients check that against the tool's output schema,
   which describes answers, and would report the mismatch in place of the error.
2. Hints of the library name Python calls or commands. Where a tool can do what is needed, the hint names the tool.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp_types import CallToolResult, TextContent
from pydantic import ValidationError

from vecver.errors import DID_YOU_MEAN, InvalidInputError, NotFoundError, VecverError, hint_for
from vecver.near import near

META = "vecver/error"  # the key in `_meta`

_HINTS = {
    "dataset_not_found": "list_datasets names those there are",
    "revision_not_found": "list_versions names the branches, tags and aliases, and the commits",
    "document_not_found": "the hits of search name documents of this version",
    "chunk_not_found": "name as `at` the commit that the key comes from: a changed text is another chunk",
    "invalid_key": "take `key` of a hit",
    "unknown_field": "the `metadata` of a hit shows fields of its document",
}


def check_names(arguments: Iterable[str], known: Iterable[str]) -> None:
    """Raises InvalidInputError if a call names an argument that the tool does not have; the SDK would ignore it."""
    known = list(known)
    for name in arguments:
        if name not in known:
            raise InvalidInputError(
                f"the tool has no argument {name!r:.80}",
                code="invalid_arguments",
                hint=f"it takes {', '.join(known) or 'none'}",
                did_you_mean=near(name, known),
            )


def result_of(error: ToolError | InvalidInputError) -> CallToolResult:
    """The answer to a call that failed. Raises the error itself again if it is a fault of the server."""
    house = _house_error(error)
    if house is None:
        raise error
    hint = _hint(house)
    fields = {"code": house.code, "message": house.message, "hint": hint, "context": house.context}
    return CallToolResult(
        content=[TextContent(type="text", text=f"{house.message} ({house.code})\nhint: {hint}")],
        is_error=True,
        _meta={META: json.loads(json.dumps(fields, default=str))},
    )


def _house_error(error: ToolError | InvalidInputError) -> VecverError | None:
    """The error as one of the house; None for a fault of the server."""
    cause = error if isinstance(error, InvalidInputError) else error.__cause__
    if isinstance(cause, VecverError):
        return cause
    if isinstance(cause, ValidationError) and not isinstance(error, UnexpectedToolError):
        return _of_arguments(cause)
    if isinstance(cause, RecursionError):
        return InvalidInputError("an argument is nested too deeply", code="too_deep", hint="simplify it")
    if cause is None and not isinstance(error, UnexpectedToolError):
        return NotFoundError(str(error), code="unknown_tool", hint="tools/list names those there are")
    return None


def _of_arguments(error: ValidationError) -> InvalidInputError:
    details = error.errors(include_url=False, include_context=False)
    said = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}, not {each['input']!r:.80}" for each in details[:5]]
    return InvalidInputError(
        f"arguments that cannot be used: {'; '.join(said)}",
        code="invalid_arguments",
        hint="the tool's input schema says what it takes",
        arguments=sorted({str(each["loc"][0]) for each in details if each["loc"]}),
    )


def _hint(error: VecverError) -> str:
    hint = _HINTS.get(error.code)
    if hint is None:
        return hint_for("http", error.hint)
    names: list[Any] = list(error.context.get("did_you_mean", ()))
    return f"{DID_YOU_MEAN} {' or '.join(map(repr, names[:3]))}? {hint}" if names else hint
