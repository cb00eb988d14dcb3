"""The tools of the MCP server, over a folder and over a service: what they answer, how much, and how they fail."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handles import Docs
from helpers import SPACE, vector_of

import vecver

pytest.importorskip("mcp", reason="no mcp: install vecver[mcp]")

from assistants import call, call_all, failure
from mcp import Client

from vecver.integrations.mcp import create_server

TEXTS = {"heating": "Bleed the radiator valve.", "keys": "The keys hang in the office."}
LONG = "".join(f"line {n:07}\n" for n in range(800_000))  # 10.4 MB


def fill(docs: Docs) -> None:
    """`v1`, at which `prod` stands, and `main` with one text changed and one document more."""
    docs.ingest([{"id": id, "text": text, "year": 2024} for id, text in TEXTS.items()], embedder="hashing")
    docs.tag("v1")
    docs.promote("prod", "v1")
    docs.upsert(
        [{"id": "heating", "text": "Bleed the radiator valve twice.", "year": 2025}, {"id": "new", "text": "x"}]
    )


@pytest.fixture
def server(docs: Docs) -> Any:
    """A server that answers from `prod`."""
    fill(docs)
    return create_server(docs.repository, dataset=docs.name, at="prod")


def test_every_tool_only_reads_and_has_schemas(server: Any) -> None:
    async def listed() -> list[Any]:
        async with Client(server) as client:
            return list((await client.list_tools()).tools)

    tools = {tool.name: tool for tool in asyncio.run(listed())}
    assert set(tools) == {"search", "get_document", "get_chunk", "list_datasets", "list_versions", "diff"}
    assert all(tool.annotations.read_only_hint and tool.output_schema and tool.description for tool in tools.values())
    assert tools["search"].input_schema["properties"]["k"]["maximum"] == 50
    assert "commit" in tools["search"].output_schema["required"]


def test_a_search_answers_from_the_pinned_version_and_names_it(server: Any, docs: Docs) -> None:
    pinned = call(server, "search", query="radiator valve", k=1)
    newest = call(server, "search", query="radiator valve", k=1, at="main")
    assert pinned["commit"] == docs.resolve("v1") and pinned["at"] == "prod"
    assert [hit["text"] for hit in pinned["hits"]] == ["Bleed the radiator valve."]
    assert newest["commit"] == docs.resolve("main")
    assert [hit["text"] for hit in newest["hits"]] == ["Bleed the radiator valve twice."]
    hit = docs.search("radiator valve", at="prod", k=1)[0]
    same = {"rank": 1, "score": hit.score, "document": "heating", "key": hit.key, "start": 0, "end": 25, "line": 1}
    assert pinned["hits"][0] == {**same, "text": hit.text, "metadata": {"year": 2024}}


def test_the_default_follows_its_alias(server: Any, docs: Docs) -> None:
    docs.promote("prod", "main")
    assert call(server, "search", query="radiator", k=1)["commit"] == docs.resolve("main")


def test_filters_and_neighbours(server: Any) -> None:
    found = call(server, "search", query="valve", at="main", filter={"year": {"$gte": 2025}}, context=1)
    assert [hit["document"] for hit in found["hits"]] == ["heating"]
    assert found["hits"][0]["context"] == "Bleed the radiator valve twice."


def test_words_are_found_where_they_stand(server: Any, docs: Docs) -> None:
    found = call(server, "search", query="office", mode="keyword")
    hit = docs.search("office", at="prod", mode="keyword")[0]
    assert [(each["document"], each["score"]) for each in found["hits"]] == [("keys", hit.score)]
    assert len(call(server, "search", query="office", mode="hybrid")["hits"]) == 2
    assert failure(server, "search", query="office", mode="sparse")["code"] == "invalid_arguments"


def test_a_chunk_is_read_again(server: Any, docs: Docs) -> None:
    hit = call(server, "search", query="keys", k=1)["hits"][0]
    again = call(server, "get_chunk", key=hit["key"])
    assert again["commit"] == docs.resolve("prod")
    assert again["chunk"]["text"] == again["chunk"]["context"] == TEXTS["keys"]


def test_versions_and_differences(server: Any, docs: Docs) -> None:
    first, second = docs.resolve("v1"), docs.resolve("main")
    versions = call(server, "list_versions", at="main", limit=1)
    assert versions["tags"] == {"v1": first} and versions["aliases"] == {"prod": first}
    assert [each["commit"] for each in versions["versions"]] == [second] and versions["next"] == first
    assert (versions["versions"][0]["documents"], versions["versions"][0]["chunks"]) == (3, 3)
    diff = call(server, "diff", before="prod", after="main")
    assert (diff["before"], diff["after"], diff["added"], diff["changed"]) == (first, second, ["new"], ["heating"])
    assert diff["counts"] == {"added": 1, "changed": 1, "removed": 0, "chunks_added": 2, "chunks_removed": 1}
    chunks = call(server, "diff", before="prod", after="main", document="heating")["chunks"]
    assert {(each["change"], each["text"]) for each in chunks} == {
        ("removed", "Bleed the radiator valve."),
        ("added", "Bleed the radiator valve twice."),
    }


def test_a_server_without_a_dataset_asks_for_one(docs: Docs) -> None:
    fill(docs)
    server = create_server(docs.repository)
    listed = call(server, "list_datasets")
    assert docs.name in listed["datasets"] and listed["total"] == len(listed["datasets"])
    assert listed["default_at"] == "main" and "default_dataset" not in listed
    assert failure(server, "search", query="valve")["code"] == "no_dataset"
    assert call(server, "search", query="valve", dataset=docs.name)["at"] == "main"


def test_a_long_document_is_read_in_pieces_and_its_hit_is_cut(docs: Docs) -> None:
    text = LONG if isinstance(docs, vecver.Dataset) else LONG[:7_000_000]  # a record over HTTP has at most 8 MiB
    row = {"id": "long", "text": text, "vector": vector_of("long"), "note": "y" * 5000, "year": 2024}
    docs.ingest([row], space=SPACE, metric="ip")
    server = create_server(docs.repository, dataset=docs.name)
    first = call(server, "get_document", document="long")
    assert (len(first["text"]), first["start"], first["next_start"], first["length"]) == (20_000, 0, 20_000, len(text))
    assert first["metadata"] == {"year": 2024} and first["metadata_left_out"] == ["note"]
    last = call(server, "get_document", document="long", start=len(text) - 5, length=100_000)
    assert last["text"] == text[-5:] and last["end"] == len(text) and "next_start" not in last
    behind = call(server, "get_document", document="long", start=len(text) + 7)
    assert (behind["text"], behind["start"], behind["end"]) == ("", len(text), len(text))
    key = docs.search(vector_of("long"))[0].key
    chunk = call(server, "get_chunk", key=key)["chunk"]
    assert chunk["cut"] is True and len(chunk["text"]) == len(chunk["context"]) == 8000 and chunk["end"] == len(text)


FAILURES: list[tuple[str, dict[str, Any], str, str]] = [
    ("search", {"query": "valve", "k": 10_000}, "invalid_arguments", "less than or equal to 50, not 10000"),
    ("search", {"query": "valve", "k": 0}, "invalid_arguments", "greater than or equal to 1"),
    ("search", {"query": "valve", "context": 6}, "invalid_arguments", "less than or equal to 5"),
    ("search", {"query": "x" * 20_001}, "invalid_arguments", "at most 20000 characters"),
    ("search", {}, "invalid_arguments", "query: Field required"),
    ("search", {"query": "valve", "top_k": 3}, "invalid_arguments", "no argument 'top_k'"),
    ("search", {"query": "valve", "dataset": "nothing"}, "dataset_not_found", "'nothing'"),
    ("search", {"query": "valve", "at": "pord"}, "revision_not_found", "'pord'"),
    ("search", {"query": "valve", "at": ""}, "invalid_revision", ""),
    ("search", {"query": "valve", "filter": {"yaer": 2024}}, "unknown_field", "'yaer'"),
    ("search", {"query": "valve", "filter": {"year": {"$near": 1}}}, "invalid_filter", "$near"),
    ("get_document", {"document": "heatng"}, "document_not_found", "'heatng'"),
    ("get_document", {"document": "heating", "start": -1}, "invalid_arguments", "greater than or equal to 0"),
    ("get_document", {"document": "heating", "length": 10**7}, "invalid_arguments", "less than or equal to 100000"),
    ("get_chunk", {"key": "nothing"}, "invalid_key", "'nothing'"),
    ("get_chunk", {"key": "0" * 32}, "chunk_not_found", "0" * 32),
    ("list_versions", {"limit": 101}, "invalid_arguments", "less than or equal to 100"),
    ("diff", {"before": "nope"}, "revision_not_found", "'nope'"),
    ("serch", {"query": "valve"}, "unknown_tool", "serch"),
]


def test_failures_tell_code_and_hint(server: Any) -> None:
    results = call_all(server, [(tool, arguments) for tool, arguments, _, _ in FAILURES])
    for (tool, arguments, code, words), result in zip(FAILURES, results, strict=True):
        error = result.meta["vecver/error"] if result.is_error else {}
        assert (error.get("code"), words in error.get("message", "")) == (code, True), (tool, arguments, result)
        assert error["hint"] in result.content[0].text and error["code"] in result.content[0].text
        assert "docs." not in error["hint"], "a client has tools, not Python"


def test_hints_name_what_was_probably_meant(server: Any, docs: Docs) -> None:
    assert failure(server, "search", query="x", filter={"yaer": 2024})["hint"].startswith("did you mean 'year'? ")
    hint = failure(server, "search", query="x", dataset=docs.name + "s")["hint"]
    assert hint == f"did you mean '{docs.name}'? list_datasets names those there are"


def test_a_missing_default_fails_before_anything_runs(docs: Docs) -> None:
    with pytest.raises(vecver.NotFoundError) as no_dataset:
        create_server(docs.repository, dataset=docs.name)
    fill(docs)
    with pytest.raises(vecver.NotFoundError) as no_revision:
        create_server(docs.repository, dataset=docs.name, at="nope")
    assert (no_dataset.value.code, no_revision.value.code) == ("dataset_not_found", "revision_not_found")


def test_a_damaged_repository_is_reported_and_the_server_goes_on(tmp_path: Path) -> None:
    fill(vecver.open(tmp_path / "kb", create=True).dataset("handbook"))
    for file in (tmp_path / "kb/segments").rglob("chunks.arrow"):
        file.chmod(0o644)
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 255
        file.write_bytes(bytes(data))
    server = create_server(vecver.open(tmp_path / "kb", verify="always"), dataset="handbook")
    error = failure(server, "search", query="valve")
    assert error["code"] == "digest_mismatch" and "vecver check" in error["hint"]
    assert call(server, "list_datasets")["total"] == 1


class Waiting:
    """An embedder that answers when it is let go."""

    def __init__(self) -> None:
        self.dim = 2
        self.asked, self.go = threading.Event(), threading.Event()

    def embed(self, texts: list[str]) -> Any:
        return np.ones((len(texts), 2), np.float32)

    def embed_queries(self, texts: list[str]) -> Any:
        self.asked.set()
        assert self.go.wait(60)
        return np.ones((len(texts), 2), np.float32)


def test_a_slow_search_holds_up_no_other_call() -> None:
    model = Waiting()
    embedder = vecver.embedder(model, fingerprint="waiting")
    repository = vecver.open("memory://", create=True, embedders=[embedder])
    repository.dataset("d").ingest([{"id": "a", "text": "x"}], embedder=embedder)
    server = create_server(repository, dataset="d")

    async def ask() -> tuple[Any, Any]:
        async with Client(server) as client:
            slow = asyncio.create_task(client.call_tool("search", {"query": "valve"}))
            await asyncio.to_thread(model.asked.wait, 60)
            quick = await client.call_tool("list_datasets", {})
            assert not slow.done()
            model.go.set()
            return quick, await slow

    quick, slow = asyncio.run(ask())
    assert quick.structured_content["datasets"] == ["d"] and slow.structured_content["hits"][0]["document"] == "a"
