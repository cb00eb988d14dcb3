"""A repository in a bucket of S3: what its verbs wait for when each request takes 20 ms more.

Starts SeaweedFS on loopback (`VECVER_EMULATORS` names the environment that has it, see tests/support/emulators.py) and
delays every request of vecver's store. Beside the verbs stands a PUT of one small object, by obstore alone, with the
same delay. Round trips are the longest chain of requests of which each began after the one before had ended; what
releases a lock is not waited for and not counted.

    python benchmarks/object_stores.py [--delay-ms 20] [--documents 1000] [--repeat 7]
"""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from buckets import Watched
from emulators import running
from tables import Goals

import vecver
from vecver.store.cache import Cache
from vecver.store.clouds import Bucket, open_bucket
from vecver.store.object_store import ObjectStore

DIM = 384


class Bench:
    """One bucket, the store on it, and what is measured of calls."""

    def __init__(self, url: str, folder: Path, delay_s: float, repeat: int) -> None:
        self.bucket, self.folder, self.delay_s, self.repeat = open_bucket(url), folder, delay_s, repeat
        self.timed = Watched(self.bucket.objects)
        self.goals = Goals()

    def opened(self, cache: str, dataset: str = "docs") -> vecver.Dataset:
        """A dataset, as a new process with this cache opens it."""
        place = Bucket(self.timed, self.bucket.url, self.bucket.endpoint)  # type: ignore[arg-type]
        store = ObjectStore(place, Cache(self.folder / cache, self.bucket.url))
        return vecver.open(store, create=True, background=False).dataset(dataset)

    def see(
        self, measure: str, goal: str, call: Callable[[Any], Any], prepare: Callable[[int], Any] | None = None
    ) -> None:
        """Measure a call several times: median wall and CPU milliseconds, round trips, requests."""
        walls, cpus, trips, requests = list[float](), list[float](), list[int](), list[int]()
        for number in range(self.repeat):
            argument = prepare(number) if prepare else number
            time.sleep(0.1)  # what releases the locks of the last call
            self.timed.spans.clear()
            self.timed.count.clear()
            self.timed.delay_s = self.delay_s
            wall, cpu = time.perf_counter(), time.process_time()
            call(argument)
            walls.append(1000 * (time.perf_counter() - wall))
            cpus.append(1000 * (time.process_time() - cpu))
            trips.append(self.timed.round_trips())
            requests.append(sum(self.timed.count.values()))
            self.timed.delay_s = 0.0
        middle = statistics.median
        times = f"{middle(walls):.0f} ms, CPU {middle(cpus):.0f} ms"
        self.goals.see(measure, goal, f"{times}, {middle(trips):.0f} trips, {middle(requests):.0f} requests")


def rows(first: int, count: int) -> list[dict[str, Any]]:
    vectors = np.random.default_rng(first).standard_normal((count, DIM), dtype=np.float32)
    return [{"id": f"d{first + i}", "text": f"the text of {first + i}", "vector": v} for i, v in enumerate(vectors)]


def measure(bench: Bench, documents: int) -> None:
    docs, query = bench.opened("warm"), np.ones(DIM, np.float32)
    docs.ingest(rows(0, documents), space="given")
    docs.tag("first")
    docs.promote("prod", "first")
    bench.see("PUT of 100 bytes by obstore alone", "", lambda n: bench.timed.put(f"plain-{n}", b"x" * 100))
    bench.see(
        "commit of one row, its vector given",
        "<= 250 ms",
        lambda n: docs.upsert(rows(documents + n, 1), label="rows"),
    )
    texts = bench.opened("warm", "texts")
    texts.ingest([{"id": f"t{n}", "text": f"the text of {n}"} for n in range(documents)], embedder="hashing")
    bench.see(
        "commit of one text, embedded by hashing",
        "<= 250 ms",
        lambda n: texts.upsert([{"id": f"new-{n}", "text": f"a new text {n}"}]),
    )
    bench.see("promote", "<= 3 trips", lambda n: docs.promote("prod", "main" if n % 2 else "first"))
    bench.see("promote a new alias", "<= 3 trips", lambda n: docs.promote(f"alias-{n}", "main"))
    bench.see("tag", "<= 3 trips", lambda n: docs.tag(f"tag-{n}", "main"))
    bench.see("branch", "<= 3 trips", lambda n: docs.branch(f"branch-{n}", "main"))
    bench.see("search, version open", "", lambda n: docs.search(query, at="prod"))
    bench.see(
        "search, new process, warm cache",
        "",
        lambda opened: opened.search(query, at="prod"),
        lambda n: bench.opened("warm"),
    )
    bench.see("search, new process, empty cache", "", lambda n: bench.opened(f"empty-{n}").search(query, at="prod"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--delay-ms", type=float, default=20)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=7)
    options = parser.parse_args()
    with running("seaweedfs") as service, tempfile.TemporaryDirectory() as folder:
        os.environ.update(service.environment)
        url = service.url(f"bench/{secrets.token_hex(8)}")
        bench = Bench(url, Path(folder), options.delay_ms / 1000, options.repeat)
        measure(bench, options.documents)
        print(f"\n{options.documents} rows of {DIM} dimensions, {options.delay_ms:g} ms, load {os.getloadavg()[0]:.1f}")
        bench.goals.print_table()


if __name__ == "__main__":
    main()
