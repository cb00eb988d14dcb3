"""Calls of an MCP client, one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]


def call_all(server: Any, calls: Sequence[tuple[str, Json]]) -> list[Any]:
    """The result of each call (tool, arguments) to a server: an `MCPServer`, a URL, or parameters of a process."""
    from mcp import Client

    async def ask() -> list[Any]:
        async with Client(server) as client:
            return [await client.call_tool(tool, arguments) for tool, arguments in calls]

    return asyncio.run(ask())


def call(server: Any, tool: str, **arguments: Any) -> Json:
    """The structured answer of a call that succeeds."""
    (result,) = call_all(server, [(tool, arguments)])
    assert not result.is_error, result.content
    answer: Json = result.structured_content
    return answer


def failure(server: Any, tool: str, **arguments: Any) -> Json:
    """Code, message, hint and context of a call that fails. The model's text has the first three."""
    (result,) = call_all(server, [(tool, arguments)])
    assert result.is_error and result.structured_content is None
    error: Json = result.meta["vecver/error"]
    (content,) = result.content
    assert content.text == f"{error['message']} ({error['code']})\nhint: {error['hint']}"
    return error
