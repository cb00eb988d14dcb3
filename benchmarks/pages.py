"""What a page of the web page costs the server, beside the JSON route that gives the same data.

    python benchmarks/pages.py [--versions 10000] [--chunks 1000000] [--folder DIR] [--only history search]

Two made repositories, which are built once and kept in the folder. `history`: 200 documents, so many versions, of which
the first and the last few hundred edit documents and the others go back to an older one (a rollback is a commit that
costs 11 ms instead of 60), with branches, tags and an alias that moves. `search`: so many chunks of 64 numbers, in one
version, and a second one that differs in 1% of them; a question is embedded by a sum of the vectors of its words.

A line a page: milliseconds of the whole application (routing, reading, rendering), the median of `--turns`, wall and
CPU, its size, and the same of the route; pages and routes take turns. What a first request imports is not counted:
each is asked once before.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from vectors import HERE, about

import vecver

WORDS = ("valve", "boiler", "radiator", "pump", "pressure", "winter", "key", "brass", "hook", "refill", "meter", "pipe")
DOCUMENTS, DIM, REAL = 200, 64, 600
DOCUMENT = "guide/page 003.md"
QUESTION = "how do I refill the boiler before winter"
BLOCK = 50_000


class Words:
    """Embeds a text as the sum of fixed vectors of its words."""

    dim = DIM

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def embed(self, texts: list[str]) -> Any:
        """`(n, 64)` float32."""
        return np.stack([sum(self._vector(word) for word in text.split()) for text in texts]).astype(np.float32)

    def _vector(self, word: str) -> Any:
        if word not in self._known:
            self._known[word] = np.random.default_rng(list(word.encode())).standard_normal(DIM)
        return self._known[word]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, default=10_000)
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--folder", type=Path, default=HERE / "out/pages")
    parser.add_argument("--only", nargs="+", choices=["history", "search"], default=["history", "search"])
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    facts = about()
    print(facts["machine"], facts["commit"])
    if "history" in args.only:
        timed(history(args.folder / f"history-{args.versions}", args.versions), HISTORY, args.turns)
    if "search" in args.only:
        timed(chunks(args.folder / f"search-{args.chunks}", args.chunks), SEARCH, args.turns)


D = "/v1/datasets/d"
LOOKED = {"query": QUESTION, "k": 5, "context": 1}
# name -> (page, its route, and what is posted there)
HISTORY: dict[str, tuple[str, str, Any]] = {
    "datasets": ("/", "/v1/datasets", None),
    "history": ("/datasets/d", f"{D}/commits?limit=100", None),
    "history, of main": ("/datasets/d?ref=main", f"{D}/commits?limit=100", None),
    "version": ("/datasets/d/versions/main", f"{D}/commits/main", None),
    "documents": ("/datasets/d/documents", f"{D}/documents?limit=100", None),
    "document": (
        f"/datasets/d/document?id={DOCUMENT}",
        f"{D}/commits?document={DOCUMENT}&since=main~100",
        None,
    ),
    "diff to 100 before": ("/datasets/d/diff?from=main~100&to=main", f"{D}/diff?from=main~100&to=main", None),
    "diff of a document": (
        f"/datasets/d/diff?from=main~100&to=main&document={DOCUMENT}",
        f"{D}/diff?from=main~100&to=main&document={DOCUMENT}",
        None,
    ),
    "measures": ("/datasets/d/measures", f"{D}/measures", {"ref": "main", "limit": 200}),
    "promote": ("/datasets/d/refs", f"{D}/aliases", None),
    "search": (f"/datasets/d/search?q={QUESTION}&at=main", f"{D}/search", {**LOOKED, "ref": "main"}),
}
ASKED = {**LOOKED, "ref": "v1"}
SEARCH: dict[str, tuple[str, str, Any]] = {
    "search": (f"/datasets/d/search?q={QUESTION}&at=v1", f"{D}/search", ASKED),
    "search, by words": (
        f"/datasets/d/search?q={QUESTION}&at=v1&mode=keyword",
        f"{D}/search",
        {**ASKED, "mode": "keyword"},
    ),
    "search, exact": (f"/datasets/d/search?q={QUESTION}&at=v1&exact=1", f"{D}/search", {**ASKED, "exact": True}),
    "two versions": (
        f"/datasets/d/search?q={QUESTION}&at=v1&against=main",
        f"{D}/compare",
        {"from": "v1", "to": "main", "questions": [{"query": QUESTION}]},
    ),
    "document": ("/datasets/d/document?id=00000007&at=v1", f"{D}/commits?document=00000007", None),
    "documents": ("/datasets/d/documents?at=v1", f"{D}/documents?ref=v1&limit=100", None),
    "diff of 1%": ("/datasets/d/diff?from=v1&to=main", f"{D}/diff?from=v1&to=main", None),
    "diff of 1%, again": ("/datasets/d/diff?from=v1&to=main", f"{D}/diff?from=v1&to=main", None),
}


# -- repositories -------------------------------------------------------------------------------------


def history(place: Path, number: int) -> Path:
    """A repository of so many versions."""
    if place.exists():
        return place
    unfinished = place.with_suffix(".part")
    with vecver.open(unfinished, create=True, author="benchmark") as repository:
        docs = repository.dataset("d")
        docs.ingest([record(n, 0) for n in range(DOCUMENTS)], embedder="hashing", message="First", label="rows")
        tell(docs, number)
        repository.settle()
    unfinished.rename(place)
    return place


def tell(docs: vecver.Dataset, number: int) -> None:
    rng, ids = np.random.default_rng(5), [docs.resolve()]
    for turn in range(1, number):
        if turn < REAL or turn > number - REAL // 2:
            changed = sorted(set(rng.integers(DOCUMENTS, size=1 + turn % 3).tolist()))
            edit(docs, changed, turn, "main", f"Edit {turn}")
        else:
            docs.rollback("main", to=ids[int(rng.integers(len(ids)))])
        ids.append(docs.resolve())
        if turn % 100 == 0:
            docs.tag(f"v{turn}")
        if turn % 250 == 0:
            docs.promote("prod", "main")
        if turn % 1000 == 250:
            docs.branch(f"try-{turn}", "main")
            for n in range(3):
                edit(docs, [n], turn + 100_000, f"try-{turn}", f"Try {turn}.{n}")


def edit(docs: vecver.Dataset, changed: list[int], turn: int, branch: str, message: str) -> None:
    rows = [record(n, turn) for n in changed]
    docs.ingest(rows, embedder="hashing", label="rows", keep_missing=True, branch=branch, message=message)


def record(document: int, turn: int) -> dict[str, Any]:
    text = " ".join(np.random.default_rng([document, turn]).choice(WORDS, 12))
    page = f"Page {document} as of edit {turn}: {text}."
    return {"id": f"guide/page {document:03d}.md", "title": f"Page {document}", "text": page}


def chunks(place: Path, number: int) -> Path:
    """A repository of so many chunks in one version, `v1`, and a second one."""
    if place.exists():
        return place
    unfinished = place.with_suffix(".part")
    with vecver.open(unfinished, create=True, author="benchmark") as repository:
        docs, embedder = repository.dataset("d"), words()
        docs.ingest(tables(number), embedder=embedder, label="rows", message="All", allow_removals=True)
        docs.tag("v1")
        changed = rows(range(0, number, 100), seed=2)
        docs.ingest(changed, embedder=embedder, label="rows", message="1%", keep_missing=True)
        repository.settle()
    unfinished.rename(place)
    return place


def tables(number: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, number, BLOCK):
        yield from rows(range(start, min(start + BLOCK, number)), seed=start).to_batches()


def rows(numbers: range, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    vocabulary = np.array([*WORDS, *(f"word{n}" for n in range(5000))])
    picked = vocabulary[rng.zipf(1.3, (len(numbers), 12)) % len(vocabulary)]
    return pa.table({"id": [f"{n:08d}" for n in numbers], "text": [" ".join(words) for words in picked]})


def words() -> Any:
    return vecver.embedder(Words(), fingerprint="words of benchmarks/pages.py")


# -- measuring ----------------------------------------------------------------------------------------


def timed(place: Path, requests: dict[str, tuple[str, str, Any]], turns: int) -> None:
    """A line a page."""
    from fastapi.testclient import TestClient
    from vecver_service.app import create_app
    from vecver_service.settings import ServiceSettings

    repository = vecver.open(place, embedders=[words()])
    settings = ServiceSettings(state=str(place.with_suffix(".state")))
    print(f"\n{place.name}\n{'':24} {'page: wall':>10} {'CPU':>8} {'bytes':>9}   {'route: wall':>11} {'CPU':>8}")
    with TestClient(create_app(repository, settings)) as client:
        for name, (page, route, body) in requests.items():
            spent: dict[str, list[tuple[float, float, int]]] = {"page": [], "route": []}
            for turn in range(turns + 1):
                for kind, address, sent in (("page", page, None), ("route", route, body)):
                    figures = once(client, address, sent)
                    if turn:
                        spent[kind].append(figures)
            wall, cpu, size = map(statistics.median, zip(*spent["page"], strict=True))
            route_wall, route_cpu, _ = map(statistics.median, zip(*spent["route"], strict=True))
            print(
                f"{name:24} {wall:7.1f} ms {cpu:5.1f} ms {size:9,.0f}   {route_wall:8.1f} ms {route_cpu:5.1f} ms",
                flush=True,
            )


def once(client: Any, address: str, body: Any) -> tuple[float, float, int]:
    """(ms of wall, ms of CPU, bytes) of a request."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = client.get(address) if body is None else client.post(address, json=body)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if answer.status_code != 200:
        raise SystemExit(f"{address}: {answer.status_code} {answer.text[:300]}")
    return wall * 1e3, cpu * 1e3, len(answer.content)


if __name__ == "__main__":
    main()
