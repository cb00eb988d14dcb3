"""The story of versions, published to a Milvus: one collection, an ordinal a version, and what each publish took.

What is not vecver's public face is named here and in `repositories.engine`, nowhere else.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from repositories import Repositories
from vectors import HERE, Ask, K, seconds_of, size_of, story

import vecver
from vecver.model import Publication

QUERIES = 200  # of a story, as in `versions.py`: its data is the same then
PATIENCE = 3600  # seconds until what was flushed must be indexed
_CALLS = ("create", "upsert", "lives", "seal", "settled", "has")  # of a connection, when it publishes
_LEAST_INDEXED = 1024  # rows of a segment; smaller ones a server scans


@dataclass
class Spent:
    """Where the time of one publish went, in seconds by call; `packing`: our process's CPU time in pymilvus' upsert."""

    all: float = 0.0
    calls: dict[str, float] = field(default_factory=lambda: dict.fromkeys((*_CALLS, "pymilvus", "packing"), 0.0))

    @property
    def ours(self) -> float:
        """Outside of every call: diff, reading rows, roots, ledger."""
        return self.all - sum(self.calls[name] for name in _CALLS)


@dataclass(frozen=True)
class Published:
    """A story's versions in one Milvus."""

    repositories: Repositories
    uri: str  # of a server, or a path that ends in .db
    folder: Path  # for a copy of the repository
    flat: bool = False

    @cached_property
    def docs(self) -> vecver.Dataset:
        """A copy of the repository as the commits left it: publishing writes into it."""
        self.repositories.built()
        copy = self.folder / uuid.uuid4().hex
        shutil.copytree(self.repositories.folder / "built", copy)
        return vecver.open(copy, milvus=self.uri).dataset("d")

    @cached_property
    def ids(self) -> list[str]:
        """The versions, oldest first."""
        return self.repositories.commits()["ids"]

    @cached_property
    def connection(self) -> Any:
        """The engine's way into Milvus."""
        return self.docs._session.milvus.publisher("d").connection

    @property
    def client(self) -> Any:
        """pymilvus' own, as any program has it."""
        return self.connection._client

    @cached_property
    def log(self) -> list[tuple[Publication, Spent]]:
        """Every version published, in order. The first is indexed before the next is begun, and so is the last."""
        found = [self.publish(self.ids[0])]
        self.indexed(found[0][0].collection)
        found += [self.publish(id) for id in self.ids[1:]]
        self.indexed(found[0][0].collection)
        return found

    @property
    def collection(self) -> str:
        """The one that all versions are in."""
        return self.log[0][0].collection

    def publish(self, id: str, **how: Any) -> tuple[Publication, Spent]:
        """One version, watched."""
        with watched(self.connection) as spent:
            began = time.perf_counter()
            found = self.docs.publish(id, flat=self.flat, **how)
            spent.all = time.perf_counter() - began
        return found, spent

    def search(self, publication: Publication) -> Ask:
        """The call of Milvus alone, with the effort of `docs.search`; answers with slots."""
        visible = publication.chunks / self.count(publication.collection)

        def ask(query: Any) -> list[int]:
            ((keys, _),) = self.connection.propose(
                publication.collection,
                publication.metric,
                publication.index,
                query[None],
                K,
                publication.filter,
                visible,
            )
            return [self.slots[key.tobytes().hex()] for key in keys]

        return ask

    def plain(self, publication: Publication, ef: int) -> Ask:
        """The same by pymilvus alone, with this `ef`."""
        how = {"metric_type": publication.metric, "params": {"ef": ef}}

        def ask(query: Any) -> list[int]:
            (hits,) = self.client.search(
                publication.collection, data=[query], filter=publication.filter, limit=K, search_params=how
            )
            return [self.slots[hit["id"][:32]] for hit in hits]

        return ask

    @cached_property
    def slots(self) -> dict[str, int]:
        """The slot of every chunk key that any version has."""
        segments = {segment.id: segment for id in self.ids for segment in self.docs._versions.snapshot(id).segments}
        columns = [segment.chunks.select(["key", "document"]) for segment in segments.values()]
        return {
            bytes(key).hex(): int(document)
            for table in columns
            for key, document in zip(*(column.to_pylist() for column in table.columns), strict=True)
        }

    def keys(self, version: int) -> dict[int, str]:
        """The chunk key of every slot in a version."""
        snapshot = self.docs._versions.snapshot(self.ids[version])
        parts = zip(snapshot.segments, snapshot.layout.segments, strict=True)
        return {
            self.slots[key]: key
            for segment, live in parts
            for key in (segment.keys[row].tobytes().hex() for row in live.chunks)
        }

    # -- what a server holds ---------------------------------------------------------------------

    def count(self, name: str) -> int:
        """Rows that can be found, live or dead."""
        return self.connection.settled(name)

    def segments(self, name: str) -> dict[str, list[int]]:
        """Rows of the segments on the server's disk, and of those that it has loaded."""
        stored, loaded = self.client.list_persistent_segments(name), self.client.list_loaded_segments(name)
        return {"stored": sorted(s.num_rows for s in stored), "loaded": sorted(s.num_rows for s in loaded)}

    def indexed(self, name: str) -> float:
        """Wait until all that was flushed is indexed and loaded so; seconds."""
        return seconds_of(lambda: _until(lambda: self._is_indexed(name), "it is not indexed"))

    def _is_indexed(self, name: str) -> bool:
        large = [one for one in self.client.list_persistent_segments(name) if one.num_rows >= _LEAST_INDEXED]
        loaded = {one.segment_id for one in self.client.list_loaded_segments(name) if one.index_name}
        return all(one.segment_id in loaded for one in large)


@contextmanager
def watched(connection: Any) -> Iterator[Spent]:
    """Times the calls that a publish makes."""
    spent, client = Spent(), connection._client

    def timed(name: str, call: Callable[..., Any], clock: Callable[[], float]) -> Callable[..., Any]:
        def act(*what: Any, **how: Any) -> Any:
            began = clock()
            try:
                return call(*what, **how)
            finally:
                spent.calls[name] += clock() - began

        return act

    for name in _CALLS:
        setattr(connection, name, timed(name, getattr(connection, name), time.perf_counter))
    client.upsert = timed("packing", timed("pymilvus", client.upsert, time.perf_counter), time.process_time)
    try:
        yield spent
    finally:
        for name in _CALLS:
            delattr(connection, name)
        del client.upsert


def compacted(published: Published, name: str) -> float:
    """Ask for compaction until nothing more goes; seconds. A server compacts only what it has indexed."""

    def compact() -> bool:
        published.indexed(name)
        before = published.segments(name)["stored"]
        job = published.client.compact(name)
        _until(lambda: str(published.client.get_compaction_state(job)) != "Executing", "compaction does not end")
        time.sleep(5)
        return published.segments(name)["stored"] == before

    return seconds_of(lambda: _until(compact, "compaction goes on"))


def _until(done: Callable[[], bool], complaint: str) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"{complaint} after {PATIENCE} s")
        time.sleep(0.2)


def on_disk() -> dict[str, int]:
    """Bytes of the server that tests/support/milvus_server.py started, by the folder of its data; or {}."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
            data = Path(os.readlink(process / "cwd")) / "data"
        except OSError:
            continue
        if parent == os.getppid() and data.exists():
            return {folder.name: size_of(folder) for folder in data.iterdir() if folder.is_dir()}
    return {}


@cache
def repositories_of(rows: int, versions: int) -> Repositories:
    """The story of so many rows, in the repositories that `versions.py` uses too."""
    folder = HERE / f"out/versions/passages-{rows}x{versions}-{rows // 100}"
    folder.mkdir(parents=True, exist_ok=True)
    return Repositories(story("passages", rows, versions, rows // 100, QUERIES), folder)
