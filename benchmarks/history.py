"""A long history as a curve: what a commit costs after 10, 100, 1,000 and 10,000 others, and what reading it costs.

    python benchmarks/history.py [--commits 10000] [--mode add change text] [--folder DIR]

add      each commit adds a document of one row (a record that brings its vector)
change   each commit changes the same document
text     each commit adds a text, embedded by the embedder "hashing"

A line a point: CPU, bytes, files and fsyncs a commit, averaged over the 64 commits that end there, and the segments
of the newest version. Then search at several ages, `log -n 10`, check, gc (plan and apply), optimize, and what is
on disk. There is a peer in the same run where `git` is installed: the same documents, a commit each, as CPU of its
processes; after `--peer` commits (1,000 unless told) it stops.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import vecver
from vecver.store import local

WINDOW = 64
EARLY = 100  # commits, before the one that later ones are compared with
DIM = 32
POINTS = (10, 100, 300, 1000, 3000, 10000, 30000)
done: Counter[str] = Counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=10000)
    parser.add_argument("--mode", nargs="+", default=["add", "change", "text"])
    parser.add_argument("--folder", type=Path, help="where the repositories are made; a temporary one otherwise")
    parser.add_argument("--peer", type=int, default=1000, help="commits that git makes beside; 0: none")
    args = parser.parse_args()
    count()
    for mode in args.mode:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            docs = commits(Path(folder) / "kb", mode, args.commits)
            interleaved(Path(folder) / "kb early", docs, mode, args.commits)
            read(docs, args.commits)
            tidy(docs, Path(folder) / "kb")
    if args.peer:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            peer(Path(folder), args.peer)


def count() -> None:
    """Count what the store writes."""
    publish, fsync = local.LocalStore._publish, os.fsync

    def counted(self: local.LocalStore, part: Path, name: str) -> None:
        done.update(files=1, bytes=part.stat().st_size)
        publish(self, part, name)

    def synced(handle: int) -> None:
        done.update(fsyncs=1)
        fsync(handle)

    local.LocalStore._publish, os.fsync = counted, synced  # type: ignore[method-assign, assignment]


def points(last: int) -> list[int]:
    return sorted({*(n for n in POINTS if n < last), last})


def commits(place: Path, mode: str, number: int) -> vecver.Dataset:
    docs = vecver.open(place, create=True, author="benchmark").dataset("d")
    print(f"\n{mode}: {number:,} commits\n  commit   CPU ms    bytes  files  fsyncs  segments", flush=True)
    starts = {max(point - WINDOW, 0): point for point in points(number)}
    since = time.process_time()
    for turn in range(number):
        if turn in starts:
            since = time.process_time()
            done.clear()
        commit(docs, mode, turn)
        if turn + 1 == EARLY:
            docs.repository.settle()
            shutil.copytree(place, place.with_name("kb early"))
        if turn + 1 in starts.values():
            each = min(WINDOW, turn + 1)
            ms = (time.process_time() - since) / each * 1000
            segments = len(docs._versions.layout(docs.resolve()).segments)
            print(
                f"{turn + 1:8,} {ms:8.1f} {done['bytes'] / each:8,.0f} {done['files'] / each:6.2f} "
                f"{done['fsyncs'] / each:7.1f} {segments:9}",
                flush=True,
            )
    return docs


def interleaved(early: Path, late: vecver.Dataset, mode: str, number: int) -> None:
    """The ratio of a late commit to an early one, in turns, so that both see the same machine."""
    if not early.exists():
        return
    datasets = {"early": vecver.open(early).dataset("d"), "late": late}
    times: dict[str, list[float]] = {name: [] for name in datasets}
    for turn in range(WINDOW):
        for name, docs in datasets.items():
            spent = timed(lambda docs=docs: commit(docs, mode, number + turn))  # noqa: B023
            times[name].append(spent + timed(docs.repository.settle))
    ms = {name: statistics.median(each) for name, each in times.items()}
    print(f"  commit {number:,} ÷ commit {EARLY}, in turns: {ms['late'] / ms['early']:.2f} ({ms} ms)", flush=True)


def commit(docs: vecver.Dataset, mode: str, turn: int) -> None:
    if mode == "text":
        docs.ingest([{"id": f"doc {turn}", "text": text(turn)}], embedder="hashing", keep_missing=True)
        return
    name = "doc" if mode == "change" else f"doc {turn}"
    vector = np.random.default_rng(turn).standard_normal(DIM).astype(np.float32)
    docs.ingest([{"id": name, "text": text(turn), "vector": vector}], space="random", metric="ip", keep_missing=True)


def text(turn: int) -> str:
    return f"This is the text number {turn}, and it says {turn * 7919 % 10007}."


def read(docs: vecver.Dataset, number: int) -> None:
    query: Any = np.ones(DIM, np.float32) if docs.show().recipe.space.embedder.startswith("given") else "text number"
    for age in (0, number // 4, number // 2, number - 10):
        again = vecver.open(docs._versions.store.url).dataset("d")
        first, second = (timed(lambda a=again, g=age: a.search(query, at=f"main~{g}", k=5)) for _ in range(2))
        commit = again.resolve(f"main~{age}")
        third = timed(lambda a=again, c=commit: a.search(query, at=c, k=5))
        print(f"  search main~{age:<6} first {first:7.1f} ms, again {second:7.1f}, by its id {third:6.2f}", flush=True)
    print(f"  log -n 10         {timed(lambda: list(islice(docs.log(), 10))):7.1f} ms", flush=True)
    print(f"  log, all          {timed(lambda: list(docs.log())):7.1f} ms", flush=True)


def tidy(docs: vecver.Dataset, place: Path) -> None:
    repository = vecver.open(place)
    verbs: list[tuple[str, Any]] = [
        ("check", repository.check),
        ("gc, plan", repository.gc),
        ("gc, apply", lambda: repository.gc(grace=timedelta(0), apply=True)),
        ("gc, apply again", lambda: repository.gc(grace=timedelta(0), apply=True)),
        ("optimize", repository.dataset("d").optimize),
        ("gc, retire", lambda: repository.gc(grace=timedelta(0), apply=True)),
        ("gc, delete", lambda: repository.gc(grace=timedelta(0), apply=True)),
        ("check", repository.check),
    ]
    for name, verb in verbs:
        ms = timed(verb)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"  {name:<17} {ms:9.0f} ms   {files(place):8,} files   peak {peak:,} MB", flush=True)


def timed(verb: Any) -> float:
    """CPU of this process, ms."""
    since = time.process_time()
    verb()
    return (time.process_time() - since) * 1000


def files(place: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(place))


def peer(place: Path, number: int) -> None:
    """The same documents in git, a commit each, one process a command."""
    try:
        git(place, "init", "-q")
    except FileNotFoundError:
        print("\ngit is not installed: no peer")
        return
    print(f"\ngit: {number:,} commits\n  commit   CPU ms", flush=True)
    starts = {max(point - WINDOW, 0): point for point in points(number)}
    since = children()
    for turn in range(number):
        if turn in starts:
            since = children()
        (place / f"doc {turn}").write_text(text(turn))
        git(place, "add", f"doc {turn}")
        git(place, "-c", "user.name=b", "-c", "user.email=b@b", "commit", "-q", "-m", str(turn))
        if turn + 1 in starts.values():
            print(f"{turn + 1:8,} {(children() - since) / min(WINDOW, turn + 1) * 1000:8.1f}", flush=True)


def children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def git(place: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(place), *arguments], check=True, capture_output=True)


if __name__ == "__main__":
    main()
