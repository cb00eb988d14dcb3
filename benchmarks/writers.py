"""Writers of one branch: do all of them land, and how long do they wait?

    python benchmarks/writers.py many [--writers 64] [--commits 5] [--store s3]
    python benchmarks/writers.py long [--documents 8000] [--pause 0.3] [--store s3]

`many`: each process commits its own documents as fast as it can. Then one process makes the same commits alone, and
both must end with the same content root. `long`: one process ingests many documents while another commits one document
again and again. Vectors are given, so that no model is measured.

`--store s3`: the repository lies in a bucket of SeaweedFS on loopback, which this starts (`VECVER_EMULATORS` names the
environment that has it, see tests/support/emulators.py). Each process keeps its copies in a folder of its own, as
machines do.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

import vecver

DIM = 64
_IMPORTED_ONCE = ["vecver.local.repository", "vecver.flows", "vecver.repo", "pyarrow", "obstore.store"]


@contextmanager
def placed(store: str, folder: str) -> Iterator[str]:
    """Where the repository lies: in a folder, or in a bucket of S3 that ends with this."""
    if store == "folder":
        yield str(Path(folder) / "kb")
        return
    from emulators import running

    with running("seaweedfs") as service:
        os.environ.update(service.environment)  # for the processes that are started from here on
        yield service.url(f"writers/{secrets.token_hex(8)}")


def opened(place: str, **how: Any) -> vecver.Dataset:
    """The dataset, as another machine opens it: with copies of its own where the repository lies in a bucket."""
    cache: dict[str, Any] = (
        {"cache": tempfile.mkdtemp(prefix="vecver-writer-", dir=os.environ["TMPDIR"])} if "://" in place else {}
    )
    return vecver.open(place, **cache, **how).dataset("d")


def record(id: str, number: int) -> dict[str, Any]:
    vector = np.random.default_rng(number).standard_normal(DIM).astype(np.float32)
    return {"id": id, "text": f"text {number} of {id}", "vector": vector}


def commits(place: str, writer: int, count: int) -> tuple[list[float], list[str]]:
    """Seconds of each commit, and what went wrong."""
    docs, seconds, errors = opened(place), list[float](), list[str]()
    docs.ingest([record(f"w{writer}", 0)], space="s", label=f"w{writer}", dry_run=True)  # imports what it needs
    for number in range(count):
        since = time.perf_counter()
        try:
            docs.ingest([record(f"w{writer}", number)], space="s", label=f"w{writer}")
        except vecver.VecverError as error:
            errors.append(f"{error.code}: {error.message}")
        seconds.append(time.perf_counter() - since)
    return seconds, errors


def many(place: str, writers: int, count: int) -> dict[str, Any]:
    since, context = time.perf_counter(), multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED_ONCE)
    with context.Pool(writers) as pool:
        found = pool.starmap(commits, [(place, writer, count) for writer in range(writers)], chunksize=1)
    elapsed = time.perf_counter() - since
    docs, seconds = opened(place), sorted(one for each, _ in found for one in each)
    alone, since = opened(f"{place}-alone", create=True), time.perf_counter()
    for number in range(count):
        for writer in range(writers):
            alone.ingest([record(f"w{writer}", number)], space="s", label=f"w{writer}")
    return {
        "writers": writers,
        "commits": len(list(docs.log())),
        "expected": writers * count,
        "errors": [error for _, each in found for error in each],
        "seconds": round(elapsed, 1),
        "seconds of one process that makes them all": round(time.perf_counter() - since, 1),
        "seconds of a commit": {q: round(seconds[int(q / 100 * (len(seconds) - 1))], 2) for q in (50, 99, 100)},
        "check": docs.repository.check().clean,
        "same content root as one process": docs.show().content_root == alone.show().content_root,
    }


def restless(place: str, pause: float, told: Any) -> None:
    """Commit until somebody says that it is enough; tell how often, and what went wrong."""
    docs, number, errors = opened(place), 0, list[str]()
    while not told.poll(pause):
        try:
            docs.ingest([record("small", number)], space="s", label="small")
            number += 1
        except vecver.VecverError as error:
            errors.append(f"{error.code}: {error.message}")
    told.send((number, errors))


def long(place: str, documents: int, pause: float) -> dict[str, Any]:
    docs = opened(place)
    docs.ingest([record("first", 0)], space="s", label="first")
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("forkserver").Process(target=restless, args=(place, pause, theirs))
    process.start()
    while len(list(docs.log())) < 3:
        time.sleep(0.05)

    def slowly() -> Iterator[dict[str, Any]]:
        for number in range(documents):
            yield record(f"doc {number}", number)
            time.sleep(10 / documents)  # as if it were parsed and embedded

    since = time.perf_counter()
    report = docs.ingest(slowly(), space="s", label="long")
    seconds = time.perf_counter() - since
    ours.send("enough")
    number, errors = ours.recv()
    process.join()
    return {
        "landed": report.changed and report.documents["added"] == documents,
        "seconds": round(seconds, 1),
        "small commits": number,
        "their errors": errors,
        "check": docs.repository.check().clean,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["many", "long"])
    parser.add_argument("--writers", type=int, default=64)
    parser.add_argument("--commits", type=int, default=5)
    parser.add_argument("--documents", type=int, default=8000)
    parser.add_argument("--pause", type=float, default=0.3)
    parser.add_argument("--store", choices=["folder", "s3"], default="folder")
    how = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, placed(how.store, folder) as place:
        os.environ["TMPDIR"] = folder
        opened(place, create=True)
        found = many(place, how.writers, how.commits) if how.what == "many" else long(place, how.documents, how.pause)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
