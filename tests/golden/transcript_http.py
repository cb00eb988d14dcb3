"""The requests of a transcript: every route of the OpenAPI schema, as it succeeds and as it fails."""

from __future__ import annotations

import base64
import json
import os
import struct
import time
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from transcript_cli import HEATING, PARTS, rows, vector_of

if TYPE_CHECKING:
    from transcript import Play

Json = dict[str, Any]
APP = "vecver_service.app"  # whose `serve` makes the service of a process from its environment
D, G = "/v1/datasets/parts", "/v1/datasets/guide"
QUESTION = "How do I bleed a radiator?"
KEYS = {"admin": "*:admin", "reader": "parts:read", "writer": "parts:write"}  # who holds which
VECTOR = vector_of("a question")


def play(play: Play) -> None:
    """Every route, on a repository of its own."""
    from fastapi.testclient import TestClient

    play.command("--repo served init")
    for name, scope in KEYS.items():
        play.keys[name] = play.command(f"--repo served key add {name} --scope '{scope}'")["key"]
    os.environ |= {"VECVER_REPO": "served", "VECVER_FOLDERS": str(play.folder / "docs"), "VECVER_MAX_QUERIES": "3"}
    serve = import_module(APP).serve
    app, beside = serve(), TestClient(serve())
    ask = Asking(play, TestClient(app), beside)
    for part in (
        _before_any_job,
        _pages,
        _ingest,
        _read,
        _search,
        _stores,
        _versions,
        _refs,
        _edit,
        _publish,
        _whole,
        _records,
        _relevance,
    ):
        part(ask)
    schema.update(app.openapi())
    _played.append(ask)


def play_later(play: Play) -> None:
    """What was added since, on the same repository; played last, as `transcript_cli.play_later` is."""
    (before,) = _played
    play.keys |= before.keys
    _measure_histories(before.again(play))
    play.keys["second"] = play.command("--repo served key add second --scope judged:write")["key"]
    _approvals(before.again(play))


def play_drift(play: Play) -> None:
    """What moved between versions; played after all that was added before."""
    (before,) = _played
    play.keys |= before.keys
    _drift(before.again(play))
    _modes(before.again(play))


def play_modes(play: Play) -> None:
    """Measures and gates by words, and by both; played after all that was added before."""
    (before,) = _played
    play.keys |= before.keys
    _measured_modes(before.again(play))


def play_logs(play: Play) -> None:
    """The versions that changed a document; played after all that was added before."""
    (before,) = _played
    play.keys |= before.keys
    _logs(before.again(play))


def play_merging(play: Play) -> None:
    """Merges; played after all that was added before."""
    (before,) = _played
    play.keys |= before.keys
    _merges(before.again(play))


def play_objects(play: Play) -> None:
    """Stored objects; played after all that was added before."""
    (before,) = _played
    play.keys |= before.keys
    _objects(before.again(play))


_played: list[Asking] = []
schema: Json = {}  # of OpenAPI, once it was played


class Asking:
    """Asks routes and keeps what they answer.

    The service's worker runs only while a job is waited for, so that a job begins when its request is on record: else
    their lines in the audit log come in any order. `beside`: the service once more, of whose requests nothing is kept.
    """

    def __init__(self, play: Play, client: Any, beside: Any) -> None:
        self.folder, self._client, self._beside, self.keys = play.folder, client, beside, play.keys
        for method in ("get", "post", "put", "delete"):
            setattr(self, method, partial(play.request, client, method.upper()))

    def again(self, play: Play) -> Asking:
        """The same service, whose answers another play keeps."""
        return Asking(play, self._client, self._beside)

    get: Any
    post: Any
    put: Any
    delete: Any

    def job(self, path: str, by: str = "admin", **how: Any) -> None:
        """Queue a job by a request, let it be done, and ask how it ended."""
        id = self.post(path, by, **how).json()["id"]
        headers = {"authorization": f"Bearer {self.keys['admin']}"}
        with self._client:
            while self._beside.get(f"/v1/jobs/{id}", headers=headers).json()["finished"] is None:
                time.sleep(0.01)
        self.get(f"/v1/jobs/{id}", "admin")


def _before_any_job(ask: Asking) -> None:
    """Its worker has not begun: the service is not ready, and a job that waits can be cancelled."""
    ask.get("/healthz")
    ask.get("/healthz", headers={"content-length": "99999999"})
    ask.get("/readyz")
    path = f"{D}/upsert?embedder=hashing"
    job = ask.post(path, "writer", json={"documents": ["a text"]}).json()["id"]
    ask.get(f"/v1/jobs/{job}", "reader")
    ask.post(f"/v1/jobs/{job}/cancel", "reader")
    ask.post(f"/v1/jobs/{job}/cancel", "writer")
    ask.post(f"/v1/jobs/{job}/cancel", "writer")
    ask.get(f"/v1/jobs/{job}", "reader")


def _pages(ask: Asking) -> None:
    ask.get("/")
    ask.get("/nowhere", "admin")
    ask.get("/docs/nothing.js")
    ask.post("/healthz")
    ask.get("/v1", "reader")
    for wrong in ({}, {"authorization": "Bearer vv_00000000_" + "A" * 43}):
        ask.get("/v1", headers=wrong)
    ask.get("/v1/datasets", "reader")
    ask.get("/v1/datasets")


def _ingest(ask: Asking) -> None:
    lines, jsonl = rows(PARTS), {"content-type": "application/x-ndjson"}
    how = "label=all&space=test&metric=ip"
    documents = [json.loads(line) for line in lines.splitlines()]
    ask.job(f"{D}/ingest?{how}&message=First", "writer", json={"documents": documents[:4]})
    ask.job(f"{D}/ingest?{how}&message=Second", "writer", content=lines, headers=jsonl)
    again = {**jsonl, "idempotency-key": "once"}
    ask.job(f"{D}/ingest?{how}", "writer", content=lines, headers=again)
    ask.post(f"{D}/ingest?{how}", "writer", content=lines, headers=again)
    ask.post(f"{D}/ingest?{how}", "writer", content=lines + lines, headers=again)
    ask.job(f"{D}/ingest?{how}", "writer", json={"documents": [{"id": "x", "text": "y", "vector": [1, 2]}]})
    files = [("files", (name, text)) for name, text in {"heating.md": HEATING, "deep/keys.txt": "By the door."}.items()]
    ask.job(f"{G}/ingest?label=docs&embedder=hashing&chunk_tokens=32", files=files)
    ask.job(f"{G}/ingest?label=docs", files=[("files", ("heating.md", HEATING.format(pressure="1.5 and 2.0")))])
    ask.job(f"{G}/ingest?label=docs&dry_run=true", json={"documents": [{"id": "x", "text": "y"}]})
    ask.job("/v1/datasets/pages/ingest?embedder=hashing", json={"folder": str(ask.folder / "docs")})
    ask.post(f"{G}/ingest", "admin", json={"folder": "/etc"})
    ask.post(f"{D}/ingest", "writer", json={"folder": "/etc"})
    ask.post(f"{D}/ingest", "writer", json={"documents": []})
    ask.post(f"{D}/ingest?label=a", "writer", json={})
    ask.post(f"{D}/ingest?label=a", "writer", content=lines)
    ask.post(f"{D}/ingest?label=a", "reader", content=lines, headers=jsonl)
    ask.post(f"{D}/ingest?label=a&embedder=minilm:int4", "writer", content=lines, headers=jsonl)
    ask.post(f"{D}/ingest?label=a&labels=b", "writer", content=lines, headers=jsonl)
    ask.post(f"{D}/ingest?label=a&label=b", "writer", content=lines, headers=jsonl)
    ask.job(f"{D}/ingest?{how}", "writer", content='{"id": "valve"}\nno JSON\n', headers=jsonl)


def _read(ask: Asking) -> None:
    """What a version holds."""
    page = ask.get(f"{D}/documents?limit=2", "reader").json()
    ask.get(f"{D}/documents?limit=2&cursor={page['next']}", "reader")
    ask.get(f"{D}/documents?prefix=v&ref=main~1", "reader")
    ask.get(f"{D}/documents?cursor=nothing", "reader")
    ask.get(f"{G}/documents", "reader")
    ask.post(f"{D}/documents/list", "reader", json={"where": {"year": {"$gte": 2025}}, "limit": 1})
    ask.post(f"{D}/documents/list", "reader", json={"after": "pump", "prefix": "v"})
    ask.post(f"{D}/documents/list", "reader", json={"where": {"year": {"$above": 1}}})
    ask.post(f"{D}/documents/list", "reader", json={"after": "pump", "cursor": "a"})
    ask.post(f"{D}/documents/get", "reader", json={"ids": ["pump", "ventil"]})
    ask.post(f"{G}/documents/get", "admin", json={"ids": ["heating.md", "nope"], "missing": "skip"})
    ask.post(f"{D}/documents/get", "reader", json={"ids": ["pumpe"]})
    chunks = ask.post(f"{G}/chunks/list", "admin", json={"where": {"$document": "heating.md"}})
    key = json.loads(chunks.text.splitlines()[1])["key"]
    ask.post(f"{D}/chunks/list", "reader", json={"vectors": True, "limit": 2})
    ask.post(f"{G}/chunks/list", "admin", json={"after": key})
    ask.post(f"{D}/chunks/list", "reader", json={"limit": 0})
    ask.get(f"{G}/chunks/{key}?context=1", "admin")
    ask.get(f"{G}/chunks/{key}?context=99", "admin")
    ask.get(f"{G}/chunks/{'0' * 32}", "admin")
    ask.post(f"{D}/count", "reader", json={})
    ask.post(f"{D}/count", "reader", json={"where": {"lang": "en"}, "ref": "main~1"})
    ask.post(f"{D}/count", "reader", json={"wher": {"lang": "en"}})
    ask.get(f"{D}/fields", "reader")
    ask.get(f"{G}/fields?ref=nope", "admin")


def _search(ask: Asking) -> None:
    search = partial(ask.post, f"{D}/search", "reader")
    first = search(json={"vector": VECTOR, "k": 2})
    search(json={"vector": VECTOR, "k": 2}, headers={"if-none-match": first.headers["etag"]})
    packed = base64.b64encode(struct.pack("<8f", *VECTOR)).decode()
    search(json={"vector": packed, "k": 2, "receipt": False, "exact": True, "hit_vectors": "base64"})
    search(json={"vectors": [VECTOR, vector_of("another")], "k": 1, "space": "test", "hit_vectors": "list"})
    search(json={"vector": VECTOR, "filter": {"year": {"$gte": 2024}, "lang": {"$ne": "de"}}, "ref": "main~1"})
    search(json={"vector": VECTOR, "min_score": 10.5, "offset": 1, "k": 3})
    search(json={"like": "valve", "k": 2, "diversity": 0.5})
    search(json={"vector": VECTOR, "ref": "nope", "missing": "empty"})
    guide = partial(ask.post, f"{G}/search", "admin")
    answer = guide(json={"query": QUESTION, "k": 3, "context": 1, "per_document": 2, "diversity": 0.3})
    guide(json={"queries": [QUESTION, "door"], "k": 1, "filter": {"$title": {"$contains": "eat"}}})
    guide(json={"query": QUESTION, "filter": {"nope": 1}})
    guide(json={"vector": VECTOR})
    search(json={"query": QUESTION})
    search(json={"vector": VECTOR, "ref": "nope"})
    search(json={"vector": VECTOR, "k": 1001})
    search(json={"vector": VECTOR, "k": 0})
    search(json={"vector": VECTOR, "query": QUESTION})
    search(json={"vector": VECTOR, "kk": 3})
    search(json={"vector": "no base64"})
    search(json={"vectors": [VECTOR] * 4})
    search(json={"vector": VECTOR, "space": "other"})
    search(json={"vector": VECTOR, "engine": "milvus"})
    search(json={"like": "nope"})
    search(content="{", headers={"content-type": "application/json"})
    ask.post(f"{G}/search", "reader", json={"query": QUESTION})
    ask.post("/v1/datasets/part/search", "admin", json={"query": QUESTION})
    receipts = first.json()["receipt"], answer.json()["receipt"]
    for receipt in (*receipts, {**receipts[0], "k": 1}, {**receipts[0], "commit": "0" * 64}, {}):
        ask.post("/v1/replay", "admin", json={"receipt": receipt})
    ask.post("/v1/replay", "reader", json={"receipt": receipts[1]})


def _stores(ask: Asking) -> None:
    """OpenAI's routes."""
    stores = "/v1/vector_stores"
    page = ask.get(f"{stores}?limit=1", "admin").json()
    ask.get(f"{stores}?after={page['last_id']}&order=desc", "admin")
    ask.get(stores, "reader")
    ask.get(f"{stores}?after=nothing", "admin")
    ask.get(f"{stores}/parts@main~1", "reader")
    ask.get(f"{stores}/guide@main", "reader")
    ask.get(f"{stores}/guide@nope", "admin")
    ask.post(f"{stores}/guide@main/search", "admin", json={"query": QUESTION, "max_num_results": 2})
    filters = {"type": "and", "filters": [{"key": "year", "type": "eq", "value": 2026}]}
    least = {"score_threshold": 0.1}
    body = {"query": [QUESTION, "door"], "filters": filters, "ranking_options": least}
    ask.post(f"{stores}/guide/search", "admin", json=body)
    ask.post(f"{stores}/parts@main/search", "admin", json={"query": QUESTION})
    ask.post(f"{stores}/guide@main/search", "admin", json={"query": QUESTION, "rewrite_query": True})


def _versions(ask: Asking) -> None:
    ask.get("/v1/datasets", "admin")
    ask.get(D, "reader")
    ask.get("/v1/datasets/nope", "admin")
    page = ask.get(f"{D}/commits?limit=1", "reader").json()
    ask.get(f"{D}/commits?cursor={page['next']}", "reader")
    ask.get(f"{D}/commits?ref=nope", "reader")
    ask.get(f"{D}/commits?limit=0", "reader")
    ask.get(f"{G}/commits/main", "admin")
    ask.get(f"{D}/commits/main~99", "reader")
    ask.get(f"{D}/diff?from=main~1&to=main", "reader")
    ask.get(f"{G}/diff?from=main~1&to=main&document=heating.md", "admin")
    ask.get(f"{D}/diff?from=nope&to=main", "reader")
    ask.get(f"{D}/diff?to=main", "reader")


def _refs(ask: Asking) -> None:
    """Branches, tags and aliases, with what a caller saw of them."""
    old, new = (commit["commit"] for commit in reversed(ask.get(f"{D}/commits?limit=2", "reader").json()["commits"]))
    ask.put(f"{D}/tags/v1", "writer", json={"ref": "main~1"})
    ask.put(f"{D}/tags/v1", "writer", json={"ref": "main"})
    ask.put(f"{D}/aliases/prod", "writer", json={"ref": "v1"}, headers={"if-none-match": "*"})
    ask.put(f"{D}/aliases/prod", "writer", json={"ref": "main"}, headers={"if-match": f'"{old}"'})
    ask.put(f"{D}/aliases/prod", "writer", json={"ref": "main"}, headers={"if-match": f'"{old}"'})
    ask.put(f"{D}/aliases/prod", "writer", json={"ref": "main"}, headers={"if-match": "main"})
    ask.put(f"{D}/branches/next", "writer", json={"ref": "v1"})
    ask.put(f"{D}/branches/next", "reader", json={"ref": "v1"})
    for kinds in ("branches", "tags", "aliases"):
        ask.get(f"{D}/{kinds}", "reader")
    ask.get("/v1/datasets/nope/tags", "admin")
    ask.get(f"{D}/aliases/prod", "reader")
    ask.get(f"{D}/aliases/test", "reader")
    once = {"idempotency-key": "back"}
    ask.post(f"{D}/rollback", "writer", json={"ref": "prod"}, headers=once)
    ask.post(f"{D}/rollback", "writer", json={"ref": "prod"}, headers=once)
    ask.post(f"{D}/rollback", "writer", json={"ref": "prod", "to": new}, headers=once)
    ask.post(f"{D}/rollback", "writer", json={"ref": "main", "to": "v1"})
    ask.post(f"{D}/rollback", "writer", json={"ref": "v1"})
    ask.post(f"{D}/promote", "writer", json={"alias": "prod", "ref": "main"})
    ask.post(f"{D}/promote", "writer", json={"alias": "beta"})
    ask.post(f"{D}/promote", "writer", json={"alias": "beta", "ref": "nope"})
    ask.get(f"{D}/aliases/prod/moves", "reader")
    ask.get(f"{D}/aliases/test/moves", "reader")
    ask.delete(f"{D}/aliases/beta", "writer")
    ask.delete(f"{D}/aliases/beta", "admin")
    ask.delete(f"{D}/branches/main", "admin", headers={"if-match": f'"{old}"'})
    ask.delete(f"{D}/tags/v9", "admin")


def _edit(ask: Asking) -> None:
    """Single documents."""
    ask.job(f"{G}/upsert?message=Added", json={"documents": ["a text", {"id": "b", "text": "another", "year": 2030}]})
    ask.job(f"{G}/upsert?prefix=new/", files=[("files", ("page.md", "# A page\n\nOf paper.\n"))])
    lines = '{"id": "b", "text": "changed"}\n'
    ask.job(f"{G}/upsert", content=lines, headers={"content-type": "application/x-ndjson"})
    ask.job(f"{G}/upsert", json={"documents": [{"id": "b"}]})
    ask.job(f"{G}/upsert", json={"documents": ["c"]}, headers={"if-match": f'"{"0" * 64}"'})
    ask.post(f"{G}/upsert", "admin", json={"documents": [1]})
    ask.post(f"{G}/upsert", "writer", json={"documents": []})
    ask.post(f"{G}/delete", "admin", json={"ids": ["b", "nope"], "dry_run": True})
    ask.post(f"{G}/delete", "admin", json={"ids": ["b", "nope"], "message": "No b"})
    ask.post(f"{G}/delete", "admin", json={"where": {"$path": "new/"}})
    ask.post(f"{G}/delete", "admin", json={})
    ask.post(f"{G}/delete", "admin", json={"ids": ["heating.md"], "branch": "nope"})


def _publish(ask: Asking) -> None:
    ask.get(f"{D}/publication", "reader")
    ask.job(f"{D}/publish", "writer", json={"ref": "v1"})
    ask.get(f"{D}/publication?ref=v1", "reader")
    ask.post(f"{D}/publish", "writer", json={"ref": "nope"})
    ask.post(f"{D}/search", "reader", json={"vector": VECTOR, "ref": "v1", "engine": "milvus", "k": 2})


def _whole(ask: Asking) -> None:
    """Whole datasets."""
    ask.get(f"{G}/removal", "admin")
    ask.get("/v1/datasets/nope/removal", "admin")
    ask.post(f"{G}/rename", "admin", json={"to": "manual"})
    ask.post(f"{G}/rename", "admin", json={"to": "manual"})
    ask.post("/v1/datasets/manual/rename", "admin", json={"to": "parts"})
    ask.delete("/v1/datasets/manual", "admin")
    ask.delete("/v1/datasets/manual?dry_run=true", "admin")
    ask.delete("/v1/datasets/manual?confirm=manual", "admin")
    ask.delete("/v1/datasets/manual?confirm=manual", "admin")
    ask.delete(f"{D}?confirm=parts", "writer")


def _records(ask: Asking) -> None:
    """What the service tells of itself."""
    jobs = ask.get("/v1/jobs?limit=2", "admin").json()["jobs"]
    ask.get("/v1/jobs?dataset=parts", "reader")
    ask.get("/v1/jobs?limit=0", "reader")
    ask.get(f"/v1/jobs/{jobs[0]['id']}/events", "reader")
    for id in ("nothing", "20260101T000000000000-000000000000"):
        ask.get(f"/v1/jobs/{id}", "reader")
    ask.get("/v1/jobs/nothing/events", "reader")
    ask.post("/v1/jobs/nothing/cancel", "admin")
    ask.post(f"/v1/jobs/{jobs[0]['id']}/cancel", "admin")
    ask.get("/v1/audit", "admin")
    ask.get("/v1/audit?limit=0", "admin")
    ask.get("/v1/audit", "writer")
    ask.get("/metrics", "admin")
    ask.get("/metrics", "reader")
    ask.get("/readyz")


def _relevance(ask: Asking) -> None:
    """Question sets, and what versions answer to them."""
    place, questions = (
        "/v1/datasets/judged",
        [
            {"query": "one", "vector": VECTOR, "documents": ["a"], "tags": ["first"]},
            {"query": "two", "vector": vector_of("two"), "contains": "text of b", "not_documents": ["a"]},
        ],
    )
    for label, texts in (("one", "abc"), ("two", "abd")):
        records = [{"id": id, "text": f"text of {id}", "vector": vector_of(id + label)} for id in texts]
        ask.job(f"{place}/ingest?label=rows&space=test&allow_removals=true", "admin", json={"documents": records})
    ask.get(f"{place}/questions", "admin")
    ask.get("/v1/datasets/nope/questions", "admin")
    ask.put(f"{place}/questions/support", "admin", json={"questions": questions})
    ask.put(f"{place}/questions/support", "admin", json={"questions": [{"query": ""}]})
    ask.put(f"{place}/questions/support", "reader", json={"questions": questions})
    ask.get(f"{place}/questions/support", "admin")
    ask.get(f"{place}/questions/nope", "admin")
    ask.post(f"{place}/eval", "admin", json={"questions": "support", "per_question": True})
    ask.post(f"{place}/eval", "admin", json={"questions": questions, "ref": "main~1", "measures": ["P@1"]})
    ask.post(f"{place}/eval", "admin", json={"questions": "nope"})
    ask.post(f"{place}/compare", "admin", json={"questions": "support", "from": "main~1"})
    ask.post(f"{place}/compare", "admin", json={"questions": "support", "to": "main"})
    gated = {"alias": "prod", "questions": "support", "gates": ["R@10 >= 0.5"]}
    ask.post(f"{place}/promote", "admin", json=gated)
    ask.post(f"{place}/promote", "admin", json={**gated, "gates": ["R@10 >= prod - 0.1", "Forbidden@10 <= 0"]})
    ask.put(f"{place}/aliases/prod", "admin", json={"ref": "main~1", "gates": ["R@10 >= "], "questions": "support"})
    ask.put(f"{place}/tags/v1", "admin", json={"ref": "main", "gates": ["R@10 >= 0.5"]})
    policy = {"gates": ["R@10 >= 0.99"], "questions": "support"}
    ask.put(f"{place}/policies/prod", "admin", json=policy)
    ask.put(f"{place}/policies/prod", "admin", json={"gates": []})
    ask.get(f"{place}/policies/prod", "admin")
    ask.get(f"{place}/policies/prod", "reader")
    ask.post(f"{place}/promote", "admin", json={"alias": "prod", "ref": "main~1", "override": "one more day"})
    ask.delete(f"{place}/policies/prod", "admin")
    ask.delete(f"{place}/policies/prod", "admin")
    ask.get(f"{place}/aliases/prod/moves", "admin")
    ask.delete(f"{place}/questions/support", "admin")
    ask.delete(f"{place}/questions/support", "admin")


def _measure_histories(ask: Asking) -> None:
    """What is stored of the measures of versions."""
    path, asked = "/v1/datasets/judged/measures", [{"query": "one", "vector": VECTOR, "documents": ["a"]}]
    ask.post("/v1/datasets/judged/eval", "admin", json={"questions": asked, "measures": ["R@10"]})
    ask.post(path, "admin", json={"questions": asked, "measures": ["R@10", "ann_recall@10"]})
    ask.post(path, "admin", json={"measures": ["P@1"], "limit": 1})
    ask.post(path, "admin", json={"measures": ["R@ten"]})
    ask.post(path, "admin", json={"ref": "nowhere"})


def _approvals(ask: Asking) -> None:
    """A promotion that a second key must approve, and a bisection."""
    place, prod = "/v1/datasets/judged", {"alias": "prod"}
    ask.put(f"{place}/policies/prod/approval", "admin", json={"approval": True})
    ask.put(f"{place}/policies/prod/approval", "reader", json={"approval": True})
    ask.get(f"{place}/policies", "admin")
    ask.get("/v1/datasets/nope/policies", "admin")
    ask.post(f"{place}/promote", "admin", json={**prod, "ref": "main"})
    ask.get(f"{place}/approvals", "second")
    ask.get(f"{place}/approvals", "reader")
    ask.post(f"{place}/approve", "admin", json=prod)
    ask.post(f"{place}/approve", "second", json={**prod, "ref": "main~1"})
    ask.post(f"{place}/approve", "second", json={**prod, "ref": "main"})
    ask.get(f"{place}/aliases/prod/moves", "second")
    ask.post(f"{place}/promote", "second", json={**prod, "ref": "main~1"})
    ask.post(f"{place}/reject", "admin", json={**prod, "reason": "not yet"})
    ask.post(f"{place}/reject", "admin", json={**prod, "reason": "not yet"})
    ask.post(f"{place}/approve", "admin", json=prod)
    ask.delete(f"{place}/policies/prod", "admin")
    ask.post(f"{place}/bisect", "admin", json={"good": "main~1", "vector": VECTOR, "expect": "c", "k": 3})
    ask.post(f"{place}/bisect", "admin", json={"good": "main~1"})


def _drift(ask: Asking) -> None:
    """What moved between versions."""
    place = "/v1/datasets/judged"
    ask.get(f"{place}/drift?from=main~1", "admin")
    ask.get(f"{place}/drift?from=nowhere", "admin")
    ask.get(f"{place}/drift?from=main~1", "reader")
    ask.get(f"{place}/sketch", "admin")
    ask.get(f"{place}/sketch?ref=nowhere", "admin")


def _modes(ask: Asking) -> None:
    """Searches by words and by both, and the weight that answers best."""
    place = "/v1/datasets/judged"
    ask.post(f"{place}/search", "admin", json={"query": "the text of b", "mode": "keyword", "k": 2})
    ask.post(f"{place}/search", "admin", json={"query": "b", "vector": VECTOR, "mode": "hybrid", "k": 2})
    ask.post(f"{place}/search", "admin", json={"vector": VECTOR, "mode": "hybrid"})
    ask.post(f"{place}/search", "admin", json={"query": "b", "reranker": "http://127.0.0.1/rerank"})
    asked = [{"query": f"text {id}", "vector": vector_of(id), "documents": [id]} for id in "abdabd"]
    ask.post(f"{place}/tune", "admin", json={"questions": asked})
    ask.post(f"{place}/tune", "admin", json={"questions": asked[:2]})


def _measured_modes(ask: Asking) -> None:
    """Policies, promotions and measures in the modes of search."""
    place = "/v1/datasets/judged"
    asked = [{"query": f"text {id}", "vector": vector_of(id), "documents": [id]} for id in "abd"]
    gates = {"gates": ["P@1 >= 0"], "questions": asked}
    ask.put(f"{place}/questions/words", "admin", json={"questions": asked})
    policy = {"gates": ["P@1 >= 0"], "questions": "words"}
    ask.put(f"{place}/policies/words", "admin", json={**policy, "mode": "hybrid", "weight": 0.25})
    ask.put(f"{place}/policies/words", "admin", json={**policy, "exact": True})
    ask.put(f"{place}/policies/words", "admin", json={**policy, "mode": "dense", "weight": 0.25})
    ask.post(f"{place}/promote", "admin", json={"alias": "words", "ref": "main", **gates, "mode": "keyword"})
    ask.post(f"{place}/promote", "admin", json={"alias": "words", "ref": "main", "mode": "keyword"})
    ask.post(f"{place}/eval", "admin", json={"questions": asked, "mode": "keyword", "reranker": "none"})
    ask.post(
        f"{place}/measures", "admin", json={"questions": asked, "measures": ["P@1"], "mode": "keyword", "limit": 1}
    )
    ask.get(f"{place}/measures?ref=main", "admin")
    ask.get(f"{place}/measures?ref=nowhere", "admin")


def _logs(ask: Asking) -> None:
    """The versions that changed a document, and those after another."""
    place = "/v1/datasets/judged"
    page = ask.get(f"{place}/commits?document=b&limit=1", "admin").json()
    ask.get(f"{place}/commits?document=b&cursor={page['next'] or 'main'}", "admin")
    ask.get(f"{place}/commits?document=nothing", "admin")
    ask.get(f"{place}/commits?document=b", "reader")
    ask.get(f"{place}/commits?since=main~1", "admin")
    ask.get(f"{place}/commits?since=nowhere", "admin")


def _merges(ask: Asking) -> None:
    """What a version changed comes to a branch; conflicts are listed, and settled."""
    place = "/v1/datasets/pages"
    ask.put(f"{place}/branches/parted", "admin", json={"ref": "main"})
    ask.job(f"{place}/upsert?branch=parted", json={"documents": [{"id": "n", "text": "of parted"}]})
    ask.post(f"{place}/merge", "admin", json={"ref": "parted", "dry_run": True})
    ask.job(f"{place}/upsert", json={"documents": [{"id": "n", "text": "of main"}]})
    ask.post(f"{place}/merge", "admin", json={"ref": "parted"})
    ask.post(f"{place}/merge", "admin", json={"ref": "parted", "dry_run": True})
    ask.post(f"{place}/merge", "reader", json={"ref": "parted"})
    ask.post(f"{place}/merge", "admin", json={"ref": "parted", "ours": ["nope"]})
    ask.post(f"{place}/merge", "admin", json={"ref": "parted", "their": True})
    ask.post(f"{place}/merge", "admin", json={"ref": "parted", "theirs": True}, headers={"if-match": f'"{"0" * 64}"'})
    ask.post(f"{place}/merge", "admin", json={"ref": "parted", "theirs": ["n"], "message": "Both"})
    ask.post(f"{place}/merge", "admin", json={"ref": "parted"})
    ask.post(f"{place}/merge", "admin", json={"ref": "main", "branch": "parted"})
    ask.get(f"{place}/commits?limit=1", "admin")


def _objects(ask: Asking) -> None:
    """The stored objects of a dataset, as a clone reads them."""
    place = "/v1/datasets/pages"
    ask.get(f"{place}/objects?prefix=refs/pages/&limit=1", "admin")
    ask.get(f"{place}/objects?prefix=refs/pages/&after=refs/pages/branches/main", "admin")
    ask.get(f"{place}/objects?prefix=refs/other/", "admin")
    ask.get(f"{place}/objects?prefix=refs/pages/&limit=0", "admin")
    some = ["refs/pages/branches/main", "refs/other/branches/main", "names"]
    ask.post(f"{place}/objects/read", "admin", json={"names": some})
    ask.post(f"{place}/objects/read", "admin", json={"names": some, "content": False})
    ask.post(f"{place}/objects/read", "admin", json={"name": some})
    ask.get(f"{place}/object?name=refs/pages/branches/main", "admin")
    ask.get(f"{place}/object?name=refs/pages/branches/main", "admin", headers={"range": "bytes=2-9"})
    ask.get(f"{place}/object?name=refs/pages/branches/main", "admin", headers={"range": "bytes=9999-"})
    ask.get(f"{place}/object?name=refs/other/branches/main", "admin")
    ask.get(f"{place}/object?name=names", "reader")
