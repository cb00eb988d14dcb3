"""The story of many versions: is every version found as well, and as fast, as head, and what do all of them cost?

    python benchmarks/versions.py                                                 # 100,000 mixtures of real vectors
    python benchmarks/versions.py --rows 1000000 --changed 1000 --dim 128
    python benchmarks/versions.py --only recall --rows 100 --versions 10

Each version changes 1% of the rows, half of them by topic and half scattered (see `vectors.py`); vectors are
given, so nothing is embedded. Every ratio is of one run, in turns, one query at a time, k = 10, warm, one
thread; beside each time stands ann_recall@10 against neighbours found without vecver. The repositories, the
answers and the numbers stay under --out, for the next part to use: --fresh builds anew. Peers: `peers.py`.

Decisions
1. Memory and cold starts are measured in processes of their own, which write byte code as usual.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from peer_indexes import every_core
from repositories import Repositories, add_story_options, commit, engine, face, kept
from tables import Goals, See
from vectors import HERE, K, Story, about, in_turns, seconds_of, size_of

import vecver

SMALL_COMMITS = 200
MEMORY = """
import sys, numpy, vecver
docs = vecver.open(sys.argv[1]).dataset("d")
queries = numpy.load(sys.argv[2])
for at in sys.argv[3:]:
    for query in queries:
        docs.search(query, k=10, at=at)
print(open("/proc/self/status").read())
"""
COLD = """
import sys, numpy, vecver
vecver.open(sys.argv[1]).dataset("d").search(numpy.load(sys.argv[2])[0], k=10, at=sys.argv[3])
"""
BARE = "import numpy, pyarrow, faiss"


def main() -> None:
    args = parse()
    repositories, kept_in = kept(args)
    folder = repositories.folder
    np.save(folder / "queries.npy", repositories.story.queries)
    faiss.omp_set_num_threads(1)
    goals = Goals()
    for part in args.only:
        print(f"-- {part}", flush=True)
        since = len(goals.lines)
        raw = PARTS[part](repositories, goals.see)
        result = {**about(repositories.story), "arguments": sys.argv[1:], "lines": goals.lines[since:], "raw": raw}
        (kept_in / f"{part}.json").write_text(json.dumps(result, default=asdict), "utf-8")
    goals.print_table()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_story_options(parser)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    return parser.parse_args()


# -- parts: each tells the table what was seen, and returns the raw numbers -------------------------------


def commits(repositories: Repositories, see: See) -> Any:
    """What a commit costs, early and late."""
    costs = repositories.commits()
    changed, rows = len(repositories.story.changes[0][0]), len(repositories.story.first)
    for unit in ("cpu", "wall"):
        first, *ms = (1e3 * seconds for seconds in costs[unit])
        median, p95 = (float(np.percentile(ms, percent)) for percent in (50, 95))
        see(
            f"commit of {changed:,} changed chunks on {rows:,} rows, {unit}",
            "≤ 50 ms for 1,000 on 1,000,000",
            f"{median:.0f} ms, mean {statistics.mean(ms):.0f}, p95 {p95:.0f}, slowest {max(ms):.0f} ms; "
            f"first ingest {first / 1e3:.0f} s, {first * 1e3 / rows:.0f} us a row",
        )
    return costs


def search(repositories: Repositories, see: See) -> Any:
    """Every version against head, before and after `optimize`."""
    ids, raw = repositories.commits()["ids"], {}
    for state, docs in {"as committed": repositories.built(), "optimized": repositories.optimized()}.items():
        versions = raw[state] = [one_version(repositories.story, docs, ids, version) for version in range(len(ids))]
        ratios, recalls = ([one[name] for one in versions] for name in ("ratio", "recall"))
        oldest, head = versions[0], versions[-1]
        see(
            f"pinned search, CPU p50, any of {len(ids) - 1} versions against head, {state}",
            "≤ 1.2 ×",
            f"worst {max(ratios):.2f} ×, median {statistics.median(ratios):.2f} ×, oldest {oldest['ratio']:.2f} ×",
        )
        see(
            f"ann_recall@10 of every version, {state}",
            "≥ 0.95",
            f"worst {min(recalls):.3f}, mean {statistics.mean(recalls):.3f}",
        )
        for name, one in (("head", head), ("oldest", oldest)):
            times = (
                f"CPU {one['cpu_ms']:.2f}, wall {one['p50_ms']:.2f}, p95 {one['p95_ms']:.2f} ms; "
                f"the engine alone {one['engine_ms']:.2f} ms"
            )
            see(f"{name}, p50, {state}", "", times)
    return raw


def one_version(story: Story, docs: vecver.Dataset, ids: list[str], version: int) -> dict[str, Any]:
    """A version beside head, and beside its engine without the Python face."""
    askers = {"version": face(docs, ids[version]), "head": face(docs, ids[-1]), "engine": engine(docs, ids[version])}
    found = in_turns(askers, story.queries)
    own, head = found["version"], found["head"]
    return {
        "cpu_ms": own.cpu_ms(),
        "p50_ms": own.ms(),
        "p95_ms": own.ms(95),
        "engine_ms": found["engine"].cpu_ms(),
        "ratio": own.cpu_ms() / head.cpu_ms(),
        "recall": story.recall(story.state(version), own.answers),
        "answers": own.answers,
    }


def recall(repositories: Repositories, see: See) -> Any:
    """ann_recall@10 of every version, by kind of question."""
    docs, ids, story = repositories.optimized(), repositories.commits()["ids"], repositories.story
    kinds, raw = np.array(story.kinds), []
    for version, at in enumerate(ids):
        ask = face(docs, at)
        raw.append(story.shares(story.state(version), [ask(query) for query in story.queries]))
    shares = np.array(raw)  # (versions, queries)
    for kind in dict.fromkeys(story.kinds):
        means = shares[:, kinds == kind].mean(axis=1)
        below = (shares[:, kinds == kind] < 0.8).mean()
        seen = f"worst version {means.min():.3f}, mean {means.mean():.3f}; below 0.8: {below:.1%} of the questions"
        see(f"ann_recall@10, {len(ids)} versions, {(kinds == kind).sum()} questions: {kind}", "≥ 0.95; ≤ 1%", seen)
    return shares.tolist()


def small(repositories: Repositories, see: See) -> Any:
    """Many one-chunk commits, and no `optimize` after them."""
    before, story = repositories.optimized(), repositories.story
    rng, state = np.random.default_rng(1), story.state(story.head)
    with tempfile.TemporaryDirectory(dir=repositories.folder) as folder:
        copy = shutil.copytree(repositories.folder / "optimized", Path(folder, "copy"))
        after, seconds = vecver.open(copy).dataset("d"), []
        for slot in rng.choice(len(state), min(SMALL_COMMITS, len(state)), replace=False):
            state[slot] = rng.integers(len(story.vectors))
            seconds.append(commit(after, story.batch(np.array([slot]), state[[slot]], story.head + 1))[1])
        after.repository.settle()
        found = in_turns({"before": face(before, "main"), "after": face(after, "main")}, story.queries)
    own, share = found["after"], story.recall(state, found["after"].answers)
    see(
        f"search after {SMALL_COMMITS} one-chunk commits against before",
        "≤ 1.3 ×",
        f"{own.ms() / found['before'].ms():.2f} × ({own.ms():.2f} ms at recall {share:.3f}; "
        f"a commit {statistics.median(seconds) * 1e3:.0f} ms)",
    )
    return {"seconds": seconds, "recall": share, **found}


def refs(repositories: Repositories, see: See) -> Any:
    """Names that move, and differences."""
    docs, ids, mark = repositories.optimized(), repositories.commits()["ids"], uuid.uuid4().hex[:8]
    rows, alias, branch = len(repositories.story.first), f"alias-{mark}", f"branch-{mark}"
    docs.promote(alias, ids[0])
    docs.branch(branch, ids[-1])
    actions: dict[str, Callable[[int], object]] = {
        "tag": lambda turn: docs.tag(f"tag-{mark}-{turn}", ids[-1]),
        "alias move": lambda turn: docs.promote(alias, ids[-1 - turn % 2]),
        "rollback of an alias": lambda turn: docs.rollback(alias, ids[turn % 2]),
        "rollback of a branch": lambda turn: docs.rollback(branch, ids[turn % 2]),
        "one fsync": lambda turn: synced(repositories.folder / "synced"),
        "diff": lambda turn: docs.diff(*pairs[turn % len(pairs)]),
    }
    apart = max(
        1, round(rows / 100 / len(repositories.story.changes[0][0]))
    )  # versions that 1% of the rows lie between
    pairs = list(zip(ids, ids[apart:], strict=False))
    times = {name: [seconds_of(partial(act, turn)) for turn in range(20)] for name, act in actions.items()}
    ms = {name: statistics.median(seconds) * 1e3 for name, seconds in times.items()}
    far = seconds_of(lambda: docs.diff(ids[0], ids[-1]))
    told_ms = ", ".join(f"{name} {ms[name]:.1f}" for name in actions if name not in ("diff", "one fsync"))
    see(f"tag, alias move, rollback, on {rows:,} rows", "≤ 5 ms", f"{told_ms} ms; one fsync here {ms['one fsync']:.1f}")
    see(
        f"diff of versions of {rows:,} rows, 1% changed ({apart} commits)",
        "≤ 100 ms for 1% of 1,000,000",
        f"{ms['diff']:.0f} ms; oldest against head {far * 1e3:.0f} ms",
    )
    return {**times, "diff of oldest and head": far}


def synced(path: Path) -> None:
    """What any durable write costs on this disk."""
    with open(path, "wb") as file:
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())


def disk(repositories: Repositories, see: See) -> Any:
    """Bytes of all versions against one."""
    repositories.optimized(), repositories.single()
    sizes = {name: size_of(repositories.folder / name) for name in ("built", "optimized", "single")}
    mb = {name: f"{size / 1e6:,.0f}" for name, size in sizes.items()}
    see(
        f"disk, {repositories.story.head} versions, index included, after optimize, against one",
        "≤ 2.2 ×",
        f"{sizes['optimized'] / sizes['single']:.2f} × ({mb['optimized']}, {mb['single']} MB; "
        f"before optimize {mb['built']} MB)",
    )
    return {**sizes, **json.loads((repositories.folder / "optimized.json").read_text())}


def memory(repositories: Repositories, see: See) -> Any:
    """What a process holds that has searched all versions, against one that has searched head."""
    repositories.optimized()
    ids = repositories.commits()["ids"]
    every, one = resident(repositories, ids), resident(repositories, ids[-1:])
    see(
        f"resident memory, {len(ids) - 1} versions opened and searched, against one",
        "≤ 1.3 ×",
        f"{every['VmRSS'] / one['VmRSS']:.2f} × ({every['VmRSS'] / 1e3:,.0f}, {one['VmRSS'] / 1e3:,.0f} MB; "
        f"of these no mapped files {every['RssAnon'] / 1e3:,.0f}, {one['RssAnon'] / 1e3:,.0f} MB)",
    )
    return {"all": every, "head": one}


def resident(repositories: Repositories, ids: list[str]) -> dict[str, int]:
    """kB of a process that has asked these versions every query."""
    status = child(MEMORY, repositories.folder / "optimized", repositories.folder / "queries.npy", *ids)
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {name: int(fields[name].split()[0]) for name in ("VmRSS", "RssAnon", "RssFile")}


def cold(repositories: Repositories, see: See) -> Any:
    """From no process to the first answer; the files are in the page cache."""
    repositories.optimized()
    ids, where = repositories.commits()["ids"], (repositories.folder / "optimized", repositories.folder / "queries.npy")
    runs = {
        "head": partial(child, COLD, *where, ids[-1]),
        "oldest": partial(child, COLD, *where, ids[0]),
        "imports": partial(child, BARE),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(10):
        for name, run in runs.items():
            cpu, wall = sum(os.times()[2:4]), seconds_of(run)
            if turn:  # the first writes byte code
                times[name].append((sum(os.times()[2:4]) - cpu, wall))
    seen = []
    for name, pairs in times.items():
        cpu, wall = (1e3 * statistics.median(values) for values in zip(*pairs, strict=True))
        least = 1e3 * min(wall for _, wall in pairs)
        seen.append(f"{name} CPU {cpu:.0f}, wall {wall:.0f}, least {least:.0f}")
    rows = len(repositories.story.first)
    see(f"cold process to first answer on {rows:,} rows, ms", "≤ 150 ms", "; ".join(seen))
    return times


def child(code: str, *arguments: object) -> str:
    """What a fresh Python prints."""
    where = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    where.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=where, stdout=subprocess.PIPE, text=True, check=True).stdout


def exact(repositories: Repositories, see: See) -> Any:
    """The true top k against FAISS's, on the same rows."""
    docs, at, story = repositories.optimized(), repositories.commits()["ids"][-1], repositories.story
    rows = story.rows(story.head)

    def knn(query: Any) -> Any:
        return faiss.knn(query[None], rows, K, faiss.METRIC_INNER_PRODUCT)[1][0].tolist()

    def knn_with_all_cores(query: Any) -> Any:
        with every_core():
            return knn(query)

    askers = {"ours": face(docs, at, exact=True), "one": knn, "all": knn_with_all_cores}
    found = in_turns(askers, story.queries[:40])
    ours, one, all = found.values()
    recalls = [story.recall(story.state(story.head), timed.answers) for timed in (ours, one)]
    see(
        f"exact search of {len(rows):,} rows against faiss.knn",
        "≤ 0.6 ×",
        f"CPU {ours.cpu_ms() / one.cpu_ms():.2f} ×, wall {ours.ms() / min(one.ms(), all.ms()):.2f} × "
        f"({ours.ms():.1f} ms; theirs {one.ms():.1f} with one thread, {all.ms():.1f} with all; "
        f"recall {recalls[0]:.3f}, theirs {recalls[1]:.3f})",
    )
    return dict(found)


PARTS: dict[str, Callable[..., Any]] = {
    part.__name__: part for part in (commits, search, recall, small, refs, disk, memory, cold, exact)
}


if __name__ == "__main__":
    main()
