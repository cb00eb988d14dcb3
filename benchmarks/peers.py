"""A pinned version in vecver beside peers that hold only that version, at equal recall, in one run.

    python benchmarks/peers.py                                          # 100,000 rows, 100 versions, 384 dimensions
    python benchmarks/peers.py --rows 1000000 --changed 1000 --dim 128
    python benchmarks/peers.py --rows 100 --versions 10
    python benchmarks/peers.py --peers faiss hnswlib --k 10 100 --at head
    python benchmarks/peers.py --build                                  # only builds what is measured

vecver keeps all versions in one repository, optimized. A peer that is an index holds just the live rows of the
version that is asked (see `peer_indexes.py`); a database holds it in its own way (see `peer_databases.py`). Vectors are
mixtures of real ones, questions are real (see `vectors.py`). Every question goes to every engine in turn, one at a
time, warm: the indexes of one version together, then each database beside vecver. A line shows the median over the
questions of each question's least time: CPU of all threads, and wall. vecver and the indexes use one thread.

    search, ids       `docs.search`, and the document of every hit: what peers return too
    search            the same, nothing of the answer read
    search, texts     the same, and the text of every hit
    search, receipt   the same, and the receipt
    engine            `index.search` alone: no revision, no hits

Decisions
1. A peer gets, in each ladder of its settings, the first that finds as much as vecver; of these the one with the least
   CPU. Where none does, it gets its most exact one, and the line says so.
2. The least of several turns, because the machine is shared. Built indexes and collections stay under --out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import faiss
from peer_databases import DATABASES
from peer_indexes import INDEXES
from repositories import Repositories, add_story_options, kept, ways
from tables import head, row
from vectors import Story, Timed, about, in_turns, size_of

PEERS: dict[str, Any] = {**INDEXES, **DATABASES}
COLUMNS = [
    "engine",
    "setting",
    "recall",
    "CPU ms",
    "wall ms",
    "ids ÷ it",
    "receipt ÷ it",
    "engine ÷ it",
    "wall: ids ÷ it",
]


@dataclass
class Run:
    """What all comparisons of one run share."""

    story: Story
    repositories: Repositories
    folder: Path
    k: int
    turns: int

    def recall(self, version: int, answers: Sequence[Sequence[int]]) -> float:
        return self.story.recall(self.story.state(version), answers, self.k)


def main() -> None:
    args = parse()
    faiss.omp_set_num_threads(1)
    repositories, folder = kept(args)
    tale = repositories.story
    run = Run(tale, repositories, folder, args.k[0], args.turns)
    versions = {"head": tale.head, "oldest": 0}
    chosen = {label: versions[label] for label in args.at}
    disk = {"vecver": bytes_of(run)}
    print(f"vecver, all {tale.head + 1} versions: {disk['vecver'] / 1e6:,.0f} MB")
    costs: dict[str, Any] = {}
    measured = []
    for group in grouped(args.peers):
        peers = {name: opened(run, name, list(chosen.values()), costs) for name in group}
        for label, version in chosen.items() if not args.build else ():
            for run.k in args.k:
                lines = compared(run, {name: peer for name, peer in peers.items() if peer}, label, version)
                measured += [{"at": label, "k": run.k, **line} for line in lines]
    raw = {**about(tale), "arguments": vars(args), "costs": costs, "disk": disk, "measured": measured}
    (folder / f"peers-{int(time.time())}.json").write_text(json.dumps(raw, default=str))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_story_options(parser)
    parser.add_argument("--k", type=int, nargs="+", default=[10])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--at", nargs="+", choices=["head", "oldest"], default=["head", "oldest"])
    parser.add_argument("--build", action="store_true", help="build, and measure nothing")
    return parser.parse_args()


def grouped(names: list[str]) -> list[list[str]]:
    """The indexes, which are measured together, and every database alone."""
    indexes = [name for name in names if name in INDEXES]
    return ([indexes] if indexes else []) + [[name] for name in names if name in DATABASES]


def bytes_of(run: Run) -> int:
    run.repositories.optimized()
    return size_of(run.repositories.folder / "optimized")


def opened(run: Run, name: str, versions: list[int], costs: dict[str, Any]) -> Any:
    """A peer that holds these versions, built where it is not there; None, and its own words, where it is broken."""
    try:
        metadata.version(PEERS[name].needs)
        folder = run.folder / name
        folder.mkdir(exist_ok=True)
        peer = PEERS[name]()
        costs[name] = peer.load(run.story, folder, versions)
    except Exception as reason:
        costs[name] = {"error": f"{type(reason).__name__}: {reason}"}
        peer = None
    print(f"built {name}: {costs[name]}", flush=True)
    return peer


def compared(run: Run, peers: dict[str, Any], label: str, version: int) -> list[dict[str, Any]]:
    """A line for every way to ask vecver, and for every peer, in turns."""
    docs, at = run.repositories.optimized(), run.repositories.commits()["ids"][version]
    print(f"\n{label}, {len(run.story.first):,} rows, k = {run.k}\n{head(COLUMNS)}", flush=True)
    ours = ways(docs, at, run.k)
    goal = run.recall(version, [ours["search, ids"](query) for query in run.story.queries])
    settings = {name: tuned(run, peer, version, goal) for name, peer in peers.items()}
    askers = {name: peer.ask(version, settings[name]["setting"], run.k) for name, peer in peers.items()}
    timed = in_turns({**ours, **askers}, run.story.queries, run.turns)
    lines = []
    for name, times in timed.items():
        recall = run.recall(version, timed[name if name in peers else "search, ids"].answers)
        lines.append({"engine": name, "recall": recall, **settings.get(name, {}), **asdict(times)})
        print(row([name, str(lines[-1].get("setting", "")), f"{recall:.4f}", *figures(times, timed)]), flush=True)
    return lines


def tuned(run: Run, peer: Any, version: int, goal: float) -> dict[str, Any]:
    """The cheapest setting that reaches the goal, and what was tried."""
    reached = [climbed(run, peer, ladder, version, goal) for ladder in peer.settings()]
    enough = [top for top in reached if top["recall"] >= goal]
    best = min(enough, key=lambda top: top["cpu"]) if enough else max(reached, key=lambda top: top["recall"])
    return {"setting": best["setting"], "tried": reached, "enough": bool(enough)}


def climbed(run: Run, peer: Any, ladder: list[Any], version: int, goal: float) -> dict[str, Any]:
    """The first setting of a ladder that reaches the goal, else its last."""
    top: dict[str, Any] = {}
    for setting in ladder:
        timed = in_turns({"peer": peer.ask(version, setting, run.k)}, run.story.queries)["peer"]
        top = {"setting": setting, "recall": run.recall(version, timed.answers), "cpu": timed.cpu_ms()}
        if top["recall"] >= goal:
            break
    return top


def figures(times: Timed, timed: dict[str, Timed]) -> list[str]:
    """Times of a line, and the ratio of vecver's to it."""
    base = times.cpu_ms()
    ratios = [timed[name].cpu_ms() / base for name in ("search, ids", "search, receipt", "engine")]
    return [
        f"{base:.3f}",
        f"{times.ms():.3f}",
        *(f"{ratio:.2f}" for ratio in [*ratios, timed["search, ids"].ms() / times.ms()]),
    ]


if __name__ == "__main__":
    main()
