"""A first publish into a real Milvus server: its bulk import against upserts, the same rows in turns.

    VECVER_MILVUS_PYTHON=PYTHON python tests/support/milvus_server.py python benchmarks/milvus_bulk.py --rows 100000

Rows are unit vectors in clusters with texts of some hundred characters. Timed is the publish until it returns (every
reader sees the rows then), and after it until the server has built its index of all rows; CPU of this process and of
the server's, its own upkeep included. The answers of the two are compared: exact ones bit for bit, and the recall of
the graph. The server is the one on this machine, so both sides share its cores.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tables import Goals

import vecver

QUERIES, K = 50, 10


def rows_of(count: int, dim: int) -> Iterator[dict[str, Any]]:
    """Documents of one chunk each."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((200, dim)).astype(np.float32)
    words = [f"word{i}" for i in range(2000)]
    for number in range(count):
        vector = centers[rng.integers(200)] + 0.4 * rng.standard_normal(dim).astype(np.float32)
        text = " ".join(words[i] for i in rng.integers(0, 2000, 50))
        yield {"id": f"d{number}", "text": f"{number} {text}", "vector": vector / np.linalg.norm(vector), "n": number}


def server_seconds() -> float:
    """CPU of the Milvus servers on this machine so far."""
    total = 0.0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if status.with_name("cmdline").read_bytes().split(b"\0")[0].endswith(b"bin/milvus"):
                fields = status.read_text().rsplit(")", 1)[1].split()
                total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            continue
    return total


def indexed(docs: vecver.Dataset, collection: str) -> None:
    """Wait until the server has built its index of all rows."""
    client = docs._session.milvus.publisher(docs.name).connection._client
    while int(client.describe_index(collection, "vector")["pending_index_rows"]):
        time.sleep(0.2)


def measured(action: Callable[[], Any]) -> tuple[Any, tuple[float, float, float]]:
    """What it gives; seconds: wall, CPU of this process, CPU of the server."""
    began = time.perf_counter(), time.process_time(), server_seconds()
    result = action()
    ended = time.perf_counter(), time.process_time(), server_seconds()
    wall, client, server = (after - before for before, after in zip(began, ended, strict=True))
    return result, (wall, client, server)


def report_publish(goals: Goals, name: str, args: argparse.Namespace, docs: vecver.Dataset, bulk: str | None) -> None:
    """Publish once, and say what it took."""
    publication, (wall, client, server) = measured(lambda: docs.publish(bulk=bulk))
    _, (index_wall, _, index_server) = measured(lambda: indexed(docs, publication.collection))
    shape = f"{args.rows:,} x {args.dim}"
    goals.see(f"{name}, {shape}: rows a second, wall", "", f"{args.rows / wall:,.0f} ({wall:.1f} s)")
    goals.see(f"{name}, {shape}: CPU of the client, of the server", "", f"{client:.1f}, {server:.1f} s")
    goals.see(
        f"{name}, {shape}: until all is indexed too; CPU of the server",
        "",
        f"{wall + index_wall:.1f}; {server + index_server:.1f} s",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--uri", help="default: VECVER_TEST_MILVUS, which tests/support/milvus_server.py sets")
    args = parser.parse_args()
    goals, folder = Goals(), Path(tempfile.mkdtemp(prefix="vecver-bulk-"))
    try:
        compare(goals, args, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    goals.print_table()


def compare(goals: Goals, args: argparse.Namespace, folder: Path) -> None:
    """The same version from two copies of a repository, into one server."""
    uri = args.uri or os.environ["VECVER_TEST_MILVUS"]
    vecver.open(folder / "bulk", create=True).dataset("d").ingest(
        rows_of(args.rows, args.dim), space="s", metric="cosine"
    )
    shutil.copytree(folder / "bulk", folder / "upserts")
    bulk, upserts = (vecver.open(folder / name, milvus=uri).dataset("d") for name in ("bulk", "upserts"))
    for last in [False] * (args.rounds - 1) + [True]:
        report_publish(goals, "upserts", args, upserts, None)
        report_publish(goals, "bulk import", args, bulk, str(folder / "storage"))
        if not last:
            upserts.unpublish("main")
            bulk.unpublish("main")
    queries = [row["vector"] for row in rows_of(QUERIES, args.dim)]
    true = bulk.search(queries, k=K, exact=True)
    for name, docs in (("upserts", upserts), ("bulk import", bulk)):
        exact = docs.search(queries, k=K, exact=True, engine="milvus")
        found = docs.search(queries, k=K, engine="milvus")
        same = sum(one.hits == other.hits for one, other in zip(exact, true, strict=True))
        hits = sum(len({h.key for h in one} & {h.key for h in other}) for one, other in zip(found, true, strict=True))
        goals.see(
            f"{name}: exact answers with the ids and score bits of the repository", "all", f"{same} of {len(true)}"
        )
        goals.see(f"{name}: ann_recall@{K}, {docs.publication().index}", ">= 0.95", f"{hits / len(true) / K:.3f}")
    check = bulk.repository.check(milvus=uri)
    goals.see("bulk import: rows read back, problems", "0", f"{check.objects:,}, {len(check.problems)}")


if __name__ == "__main__":
    main()
