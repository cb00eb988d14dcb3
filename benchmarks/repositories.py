"""The story told to vecver: repositories that are built once and kept, and how they are asked.

What is not vecver's public face, the engine alone, is named in `engine` and nowhere else.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from vectors import HERE, Ask, K, Story, cpu_and_wall, seconds_of, story

import vecver


@dataclass(frozen=True)
class Repositories:
    """A story's repositories: as the commits left it, optimized, and with head alone."""

    story: Story
    folder: Path

    def built(self) -> vecver.Dataset:
        """All versions as the commits left them. Beside it lies what each commit took."""
        return self._kept("built", self._tell)

    def optimized(self) -> vecver.Dataset:
        return self._kept("optimized", self._optimize)

    def single(self) -> vecver.Dataset:
        """A repository that knows head's rows and no history."""
        return self._kept("single", lambda folder: _ingested(folder, self.story, self.story.head)[0].repository.close())

    def commits(self) -> dict[str, Any]:
        """`ids` of the versions, oldest first, and the seconds of every commit: `cpu` and `wall`."""
        self.built()
        return json.loads((self.folder / "built.json").read_text())

    def _kept(self, name: str, make: Callable[[Path], object]) -> vecver.Dataset:
        folder = self.folder / name
        if not folder.exists():
            unfinished = self.folder / f"{name}.part"
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(folder)
        return vecver.open(folder).dataset("d")

    def _tell(self, folder: Path) -> None:
        docs, first = _ingested(folder, self.story, 0)
        ids, costs = [docs.resolve()], [first]
        for version, (slots, numbers) in enumerate(self.story.changes, 1):
            costs.append(commit(docs, self.story.batch(slots, numbers, version)))
            ids.append(docs.resolve())
            if version % 10 == 0:
                docs.tag(f"v{version}")
        upkeep, _ = cpu_and_wall(docs.repository.settle)  # of the last commits; that of others ran beside them
        cpu, wall = zip(*costs, strict=True)
        (self.folder / "built.json").write_text(json.dumps({"ids": ids, "cpu": cpu, "wall": wall, "upkeep": upkeep}))
        docs.repository.close()

    def _optimize(self, folder: Path) -> None:
        self.built()
        shutil.copytree(self.folder / "built", folder)
        seconds = tidy(vecver.open(folder))
        (self.folder / "optimized.json").write_text(json.dumps({"seconds": seconds}))


def add_story_options(parser: argparse.ArgumentParser) -> None:
    """The options by which a script chooses its story; `kept` opens it."""
    parser.add_argument("--data", choices=["mixtures", "passages", "clustered"], default="mixtures")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--versions", type=int, default=100, help="commits after the first")
    parser.add_argument("--changed", type=int, help="rows a commit (default: 1%%)")
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--queries", type=int, default=96)
    parser.add_argument("--out", type=Path, default=HERE / "out/stories")
    parser.add_argument("--fresh", action="store_true", help="forget the repositories that are there")


def kept(args: argparse.Namespace) -> tuple[Repositories, Path]:
    """The repositories of a story, and the folder of all that is kept of it."""
    changed = args.changed or max(args.rows // 100, 1)
    folder = args.out / f"{args.data}-{args.rows}x{args.versions}-{args.dim}"
    if args.fresh:
        shutil.rmtree(folder / "vecver", ignore_errors=True)
    (folder / "vecver").mkdir(parents=True, exist_ok=True)
    tale = story(args.data, args.rows, args.versions, changed, args.queries, args.dim)
    return Repositories(tale, folder / "vecver"), folder


def _ingested(folder: Path, story: Story, version: int) -> tuple[vecver.Dataset, tuple[float, float]]:
    docs = vecver.open(folder, create=True).dataset("d")
    batches = story.batches(version)
    cost = cpu_and_wall(lambda: docs.ingest(batches, space="given", label="rows", allow_removals=True))
    docs.repository.settle()
    return docs, cost


def commit(docs: vecver.Dataset, batch: pa.RecordBatch) -> tuple[float, float]:
    """Seconds of CPU and wall to write new texts and vectors for some rows."""
    table = pa.Table.from_batches([batch])
    return cpu_and_wall(lambda: docs.ingest(table, label="rows", keep_missing=True))


def tidy(repo: vecver.Repository) -> dict[str, float]:
    """Seconds of `optimize`, and of `gc` of all that it left."""
    everything = partial(repo.gc, grace=timedelta(0), apply=True)
    seconds = {"optimize": seconds_of(repo.dataset("d").optimize), "gc": seconds_of(everything)}
    everything()  # what the first run sees, the second deletes
    return seconds


def face(docs: vecver.Dataset, at: str, *, exact: bool = False) -> Ask:
    """Search as an application calls it: revision, hits with their texts, receipt."""
    return lambda query: [int(hit.document) for hit in docs.search(query, k=K, at=at, exact=exact)]


def ways(docs: vecver.Dataset, at: str, k: int = K) -> dict[str, Ask]:
    """The ways in which a search of a version is measured, by name; only those with ids answer."""

    def search(*parts: str) -> Ask:
        def ask(query: Any) -> list[int]:
            answer = docs.search(query, k=k, at=at)
            ids = [int(hit.document) for hit in answer] if "document" in parts else []
            if "text" in parts:
                [hit.text for hit in answer]
            if "receipt" in parts:
                answer.receipt["digest"]
            return ids

        return ask

    return {
        "search, ids": search("document"),
        "search": search(),
        "search, texts": search("document", "text"),
        "search, receipt": search("document", "text", "receipt"),
        "engine": engine(docs, at, k),
    }


def engine(docs: vecver.Dataset, at: str, k: int = K) -> Ask:
    """The index room alone: no revision, no texts, no receipt. Answers with nothing but its time."""
    from vecver import index
    from vecver.flows.searching.filtering import filtered

    docs.search(np.eye(1, docs.show(at).recipe.space.dim, dtype=np.float32)[0], at=at)  # opens the indexes
    snapshot = docs._versions.snapshot(docs.resolve(at))
    parts, metric = filtered(snapshot, None), snapshot.commit.recipe.space.metric

    def ask(query: Any) -> list[int]:
        index.search(parts, query[None], k, metric, exact=False)
        return []

    return ask
