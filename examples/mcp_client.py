"""An MCP client: starts `vecver mcp` as an assistant does, and searches one pinned version through its tools.

    pip install 'vecver[embed,mcp]'
    python examples/mcp_client.py "How do I let air out of a radiator?"

It makes a repository of examples/handbook in a temporary folder, and changes it after `prod` was promoted: the answers
stay those of `prod`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from mcp import Client, StdioServerParameters

import vecver

HANDBOOK = Path(__file__).parent / "handbook"


def prepared(folder: str) -> str:
    """A repository whose `prod` is the handbook, while `main` has another text on radiators."""
    url = str(Path(folder) / "kb")
    with vecver.open(url, create=True) as repo:
        docs = repo.dataset("handbook")
        docs.ingest(HANDBOOK, message="The handbook")
        docs.promote("prod")
        docs.upsert([{"id": "rumour.md", "text": "To let air out of a radiator, call the caretaker."}])
    return url


async def ask(url: str, question: str) -> None:
    server = ["-c", "from vecver.cli import program; program()"]  # the command `vecver` of this Python
    options = ["--repo", url, "mcp", "--dataset", "handbook", "--at", "prod"]
    process = StdioServerParameters(command=sys.executable, args=[*server, *options], env=dict(os.environ))
    async with Client(process) as assistant:
        print("tools:", ", ".join(tool.name for tool in (await assistant.list_tools()).tools))
        answer = (await assistant.call_tool("search", {"query": question, "k": 2})).structured_content or {}
        print(f"handbook@{answer['at']} is {answer['commit'][:12]}")
        for hit in answer["hits"]:
            span, text = f"[{hit['start']}:{hit['end']}]", " ".join(hit["text"].split())
            print(f"{hit['rank']}. {hit['document']} {span} {text[:70]}")
        wrong = await assistant.call_tool("search", {"query": question, "at": "pord"})
        print("error:", wrong.content[0].text.splitlines()[-1])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(ask(prepared(folder), " ".join(sys.argv[1:]) or "How do I let air out of a radiator?"))
