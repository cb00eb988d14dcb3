"""Puts the tools on an MCP server, and runs it over standard input and output or over HTTP."""

from __future__ import annotations

from inspect import getdoc
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, InputRequiredResult, ToolAnnotations

from vecver import RemoteRepository, Repository, __version__
from vecver.errors import InvalidInputError
from vecver.integrations.mcp.failures import check_names, result_of
from vecver.integrations.mcp.tools import Tools

_READ_ONLY = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)


class _Server(MCPServer[Any]):
    """Refuses arguments that a tool does not have, and tells clients the code and the hint of an error."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        tool = next((tool for tool in await self.list_tools() if tool.name == name), None)
        try:
            if tool is not None:
                check_names(arguments, tool.input_schema["properties"])
            return await super().call_tool(name, arguments, context)
        except (ToolError, InvalidInputError) as error:
            return result_of(error)


def create_server(
    repository: Repository | RemoteRepository, *, dataset: str | None = None, at: str = "main"
) -> MCPServer[Any]:
    """A server whose tools read this repository; nothing runs yet.

    `dataset` and `at`: the dataset and the revision of calls that name none. Raises NotFoundError (there is no such
    dataset or revision), BackendError, AccessError.
    """
    version = "" if dataset is None else f"{dataset}@{at}"
    if dataset is not None:
        repository.dataset(dataset).resolve(at)
    tools = Tools(repository, dataset, at)
    server = _Server("vecver", instructions=_instructions(version, at), version=__version__, log_level="WARNING")
    for tool in tools.all():
        server.add_tool(tool, description=getdoc(tool), annotations=_READ_ONLY, structured_output=True)
    return server


def _instructions(version: str, at: str) -> str:
    default = (
        f"Calls that name no other version are answered from {version}." if version else f"Default revision: {at}."
    )
    return (
        f"Searches versions of a knowledge base; nothing is changed. {default} Every answer names its `commit`: cite "
        "documents with it, and name it as `at` to ask the same version again."
    )


def run_stdio(server: MCPServer[Any]) -> None:
    """Serve standard input and output until the input ends. Nothing but the protocol is written to the output."""
    server.run("stdio")


def run_http(server: MCPServer[Any], *, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve http://HOST:PORT/mcp until the process is told to end.

    There is no authentication: on another host than this machine's loopback, everyone who reaches it may read all that
    the repository's handle may. On loopback, requests whose Host or Origin header names another site are refused.
    """
    import uvicorn

    app = server.streamable_http_app(host=host, stateless_http=True, json_response=True)
    uvicorn.run(app, host=host, port=port, log_config=None, access_log=False, server_header=False)
