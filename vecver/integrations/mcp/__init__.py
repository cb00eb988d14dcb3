"""A Model Context Protocol server over a repository: assistants search pinned versions, and cite them.

    from vecver.integrations.mcp import create_server, run_http, run_stdio

    run_stdio(create_server(vecver.open("kb"), dataset="handbook", at="prod"))

At the command line: `vecver mcp --dataset handbook --at prod`. The repository may also be one behind a service.

Decisions
1. On `mcp`, the protocol's own SDK (2.3.0, MIT, typed), not `fastmcp` 4.2.3: it brings 9 packages that a service does
   not have, fastmcp 33, itself among them; its `MCPServer` makes the same typed tools from functions.
2. The default version is a revision, not the commit that it named at the start: an alias such as `prod` is what an
   application follows. Every answer names the commit that gave it.
3. HTTP is stateless and answers in JSON: a tool call needs no session, so a restart loses none.
"""

from __future__ import annotations

from vecver.integrations.frameworks import check_framework

check_framework("mcp")

from vecver.integrations.mcp.server import create_server, run_http, run_stdio  # noqa: E402

__all__ = ["create_server", "run_http", "run_stdio"]
