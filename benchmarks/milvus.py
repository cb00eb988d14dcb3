"""Milvus: what publishing costs, whether every pinned version is searched well, and whether all engines agree.

    python tests/support/milvus_server.py python benchmarks/milvus.py                          # 100,000 real passages
    python tests/support/milvus_server.py python benchmarks/milvus.py --rows 10000             # a quick look
    python benchmarks/milvus.py --only exact history                                   # milvus-lite alone

The story of `versions.py` (each version changes 1% of the rows: as many rows begin and end) is published version by
version to the server in VECVER_TEST_MILVUS; without one, what needs it is skipped. Ratios are of one run, queries
one at a time and in turns, k = 10, warm; recall is ann_recall@10 against neighbours found without vecver. Raw numbers
and answers stay under --out.

Decisions
- 2026-11-21 "the whole" is a version published to a new collection until `publish` returns: rows written, flushed,
  counted. Its index is built behind that, and is not part of the time: the ratio of a commit only looks worse by it.
- 2026-11-21 commits are timed after the first version was indexed, as they come to a server that is at rest.
- 2026-11-21 a server compacts a segment when it is flushed and indexed. What we do not flush it flushes after ten
  minutes of rest, so the benchmark flushes once before it counts segments.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import faiss
from milvus_exact import exact, history
from milvus_published import Published, Spent, compacted, on_disk, repositories_of
from tables import Goals, See
from vectors import HERE, Ask, K, about, in_turns, seconds_of

import vecver

ENGINES = ("milvus", "faiss")
EFFORTS = (16, 32, 64, 128, 256, 512)
_BETWEEN = 5  # versions that get a collection of their own
_BACK = 20  # rollbacks


def main() -> None:
    args = parse()
    args.uri = os.environ.get("VECVER_TEST_MILVUS", "")
    args.out.mkdir(parents=True, exist_ok=True)
    faiss.omp_set_num_threads(1)
    goals = Goals()
    with tempfile.TemporaryDirectory(dir=args.out) as temporary:
        args.folder = Path(temporary)
        for part in args.only:
            print(f"-- {part}", flush=True)
            since = len(goals.lines)
            if not args.uri and part in SERVED:
                goals.see(
                    part, "", "skipped: no server in VECVER_TEST_MILVUS (run under tests/support/milvus_server.py)"
                )
                continue
            raw = PARTS[part](args, goals.see)
            data = (
                None
                if part == "history"
                else repositories_of(args.small if part in SMALL else args.rows, args.versions).story
            )
            kept = {**about(data), "arguments": sys.argv[1:], "lines": goals.lines[since:], "raw": raw}
            (args.out / f"{part}.json").write_text(json.dumps(kept, default=_plain), "utf-8")
    goals.print_table()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--small", type=int, default=10_000, help="rows where milvus-lite is asked too, and of restart")
    parser.add_argument("--versions", type=int, default=100, help="commits after the first")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--timed", type=int, default=20, help="of these, asked one by one at every ordinal")
    parser.add_argument("--corpus", default="fastapi-docs", help="of history")
    parser.add_argument("--embedder", default="minilm", help="of history")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data/history")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--out", type=Path, default=HERE / "out/milvus")
    return parser.parse_args()


def on_server(args: argparse.Namespace) -> Published:
    """The story in the server, the same for every part."""
    if "published" not in args:
        args.published = Published(repositories_of(args.rows, args.versions), args.uri, args.folder)
    return args.published


def face(docs: vecver.Dataset, at: str, engine: Any) -> Ask:
    """Search as an application calls it, through an engine."""
    return lambda query: [int(hit.document) for hit in docs.search(query, k=K, at=at, engine=engine)]


def together(docs: vecver.Dataset, at: str, engine: Any, queries: Any) -> list[list[int]]:
    """The slots that answer each query, asked in one call."""
    return [[int(hit.document) for hit in one] for one in docs.search(list(queries), k=K, at=at, engine=engine)]


def _plain(value: Any) -> Any:
    return value.to_json() if hasattr(value, "to_json") else asdict(value)


# -- parts on a server: each tells the table what was seen, and returns the raw numbers --------------------


def publish(args: argparse.Namespace, see: See) -> Any:
    """A commit against the whole."""
    published = on_server(args)
    (_, whole), *commits = published.log
    ms = {name: statistics.median(value(one) for _, one in commits) * 1e3 for name, value in SHARES.items()}
    rows = len(published.repositories.story.first)
    changed = statistics.median(publication.written for publication, _ in commits)
    see(
        f"publish of a 1% commit ({changed:,.0f} rows written of {rows:,}) against publishing the whole",
        "≤ 3%",
        f"{ms['all'] / whole.all / 10:.2f}% ({ms['all']:,.0f} ms, slowest {max(s.all for _, s in commits):.1f} s; "
        f"the whole {whole.all:.1f} s)",
    )
    see("where a commit's time goes, median", "", told_ms(ms))
    see(
        "where the time of the whole goes, per row",
        "",
        f"{whole.all / rows * 1e3:.3f} ms: "
        + told_ms({name: value(whole) / rows * 1e3 for name, value in SHARES.items() if name != "all"}, 3),
    )
    last = commits[-1][0]
    see(
        "collections for all versions; rows in the last",
        "1",
        f"{len({p.collection for p, _ in published.log})}; {published.count(last.collection):,}",
    )
    return [{"publication": one, "spent": spent} for one, spent in published.log]


SHARES: dict[str, Callable[[Spent], float]] = {
    "all": lambda spent: spent.all,
    "diff, rows, roots, ledger": lambda spent: spent.ours,
    "rows as dicts": lambda spent: spent.calls["upsert"] - spent.calls["pymilvus"],
    "pymilvus' CPU": lambda spent: spent.calls["packing"],
    "the server's upsert": lambda spent: spent.calls["pymilvus"] - spent.calls["packing"],
    "lives": lambda spent: spent.calls["lives"],
    "barrier": lambda spent: spent.calls["settled"],
    "flush": lambda spent: spent.calls["seal"],
    "create": lambda spent: spent.calls["create"],
    "others": lambda spent: spent.calls["has"],
}


def told_ms(shares: dict[str, float], digits: int = 0) -> str:
    """Those that are not nothing, in one line."""
    return ", ".join(f"{name} {ms:,.{digits}f}" for name, ms in shares.items() if round(ms, digits)) + " ms"


def search(args: argparse.Namespace, see: See) -> Any:
    """Every ordinal by the face: recall, and FAISS beside it."""
    published = on_server(args)
    docs, story = published.docs, published.repositories.story
    raw: list[dict[str, Any]] = []
    queries = story.queries[: args.queries]
    for version, id in enumerate(published.ids[: len(published.log)]):
        answers = {engine: together(docs, id, engine, queries) for engine in ENGINES}
        times = in_turns({engine: face(docs, id, engine) for engine in ENGINES}, queries[: args.timed])
        state = story.state(version)
        raw.append(
            {
                "p50_ms": {engine: timed.ms() for engine, timed in times.items()},
                "recall": {engine: story.recall(state, own) for engine, own in answers.items()},
                "answers": answers,
            }
        )
    recalls = [one["recall"]["milvus"] for one in raw]
    see(
        f"ann_recall@10 at every ordinal of {len(raw)}",
        "≥ 0.95",
        f"worst {min(recalls):.3f} (ordinal {recalls.index(min(recalls)) + 1}), mean {statistics.mean(recalls):.3f}; "
        f"FAISS worst {min(one['recall']['faiss'] for one in raw):.3f}",
    )
    for name in ENGINES:
        ms = [one["p50_ms"][name] for one in raw]
        see(
            f"docs.search through {name}, p50 by ordinal",
            "",
            f"first {ms[0]:.2f}, median {statistics.median(ms):.2f}, last {ms[-1]:.2f}, slowest {max(ms):.2f} ms",
        )
    return raw


def effort(args: argparse.Namespace, see: See) -> Any:
    """Recall and time by `ef`, at the first, the middle and the last ordinal."""
    published = on_server(args)
    story = published.repositories.story
    raw: dict[int, dict[int, Any]] = {}
    last = len(published.log) - 1
    for ef in EFFORTS:
        raw[ef] = {}
        for version in (0, last // 2, last):
            own = in_turns({"": published.plain(published.log[version][0], ef)}, story.queries[: args.queries])[""]
            raw[ef][version + 1] = {"p50_ms": own.ms(), "recall": story.recall(story.state(version), own.answers)}
        recalls = ", ".join(f"{one['recall']:.3f} in {one['p50_ms']:.2f} ms" for one in raw[ef].values())
        see(f"ef {ef}: ordinals {', '.join(map(str, raw[ef]))}", "", recalls)
    return raw


def rollback(args: argparse.Namespace, see: See) -> Any:
    """An alias goes back to an older published commit; and the first answer, in a handle that knew only head."""
    published = on_server(args)
    ids, story, head = published.ids, published.repositories.story, len(published.log) - 1
    docs = vecver.open(published.docs.repository.url, milvus=args.uri).dataset("d")
    docs.promote("prod", ids[head])
    docs.search(story.queries[0], at="prod", engine="milvus")
    before = published.count(published.collection), published.segments(published.collection)
    seconds, right = [], []
    for turn in range(min(_BACK, head)):
        version = turn * head // _BACK
        query = story.queries[turn]
        found: list[Any] = []

        def back(version: int = version, query: Any = query, found: list[Any] = found) -> None:
            docs.rollback("prod", ids[version])
            found += docs.search(query, at="prod", engine="milvus")

        seconds.append(seconds_of(back))
        true = published.docs.search(query, at=ids[version], exact=True)
        right.append([hit.key for hit in found][:1] == [hit.key for hit in true][:1])
        docs.promote("prod", ids[head])
    after = published.count(published.collection), published.segments(published.collection)
    ms = [1e3 * one for one in seconds]
    see(
        "rollback of an alias to an older published commit, to the first answer",
        "≤ 50 ms, nothing written",
        f"{statistics.median(ms):.1f} ms, slowest {max(ms):.1f}; best hit right in {sum(right)} of {len(right)}; "
        f"rows and segments {'unchanged' if before == after else f'changed: {before} -> {after}'}",
    )
    return {"seconds": seconds, "right": right, "before": before, "after": after}


def dedicated(args: argparse.Namespace, see: See) -> Any:
    """The call of Milvus with the pin, against a collection that holds only that version."""
    published = on_server(args)
    story, last = published.repositories.story, len(published.log) - 1
    raw: dict[int, dict[str, Any]] = {}
    for version in sorted({round(part * last / (_BETWEEN - 1)) for part in range(_BETWEEN)}):
        own, spent = published.publish(published.ids[version], dedicated=True)
        waited = published.indexed(own.collection)
        pinned = published.log[version][0]
        found = in_turns(
            {"pinned": published.search(pinned), "alone": published.search(own)}, story.queries[: args.queries]
        )
        recalls = {name: story.recall(story.state(version), timed.answers) for name, timed in found.items()}
        raw[version] = {"spent": spent, "indexed": waited, "found": found, "recall": recalls}
        one, other = found["pinned"].ms(), found["alone"].ms()
        see(
            f"ordinal {version + 1} pinned, the call alone, against a collection of only that version",
            "≤ 1.3 ×",
            f"{one / other:.2f} × ({one:.2f} ms at recall {recalls['pinned']:.3f}; "
            f"{other:.2f} at {recalls['alone']:.3f})",
        )
    wholes = [one["spent"].all for one in raw.values()]
    see(
        "publishing the whole into a collection of its own; until its index is built",
        "",
        f"median {statistics.median(wholes):.1f} s ({', '.join(f'{one:.1f}' for one in wholes)}); "
        f"{statistics.median(one['indexed'] for one in raw.values()):.1f} s more",
    )
    return raw


def check(args: argparse.Namespace, see: See) -> Any:
    """Reading every row back, and proving every ordinal."""
    published = on_server(args)
    published.log  # noqa: B018
    found: list[Any] = []
    seconds = seconds_of(lambda: found.append(published.docs.repository.check(milvus=args.uri)))
    see(
        "check: all rows read back, all ordinals proved",
        "clean",
        f"{'clean' if found[0].clean else found[0].problems}; {found[0].objects:,} rows in {seconds:.1f} s, "
        f"{found[0].objects / seconds:,.0f} a second",
    )
    return {"seconds": seconds, "rows": found[0].objects, "problems": [p.what for p in found[0].problems]}


def storage(args: argparse.Namespace, see: See) -> Any:
    """What superseded copies cost, before and after compaction."""
    published = on_server(args)
    name, ever = published.collection, published.count(published.collection)
    raw: dict[str, Any] = {"ever": ever, "written": sum(one.written for one, _ in published.log)}
    raw["published"] = {"segments": published.segments(name), "disk": on_disk()}
    published.connection.seal(name)
    raw["flushed"] = {"segments": published.segments(name), "disk": on_disk()}
    raw["seconds"] = compacted(published, name)
    raw["compacted"] = {"segments": published.segments(name), "disk": on_disk()}
    stored = {state: sum(raw[state]["segments"]["stored"]) for state in ("flushed", "compacted")}
    see(
        f"rows stored after {len(published.log) - 1} commits of 1% against rows that ever were ({ever:,})",
        "≤ 1.1 × after compaction",
        f"{stored['compacted'] / ever:.3f} × ({stored['compacted']:,} in {len(raw['compacted']['segments']['stored'])} "
        f"segments); before it {stored['flushed'] / ever:.3f} × ({stored['flushed']:,}; sent {raw['written']:,})",
    )
    return raw


def restart(args: argparse.Namespace, see: See) -> Any:
    """kill -9 of a server of our own: how long until the pinned search works again."""
    sys.path.insert(0, str(HERE.parent / "tests/support"))
    from milvus_server import MilvusServer

    raw: dict[str, float] = {}
    with MilvusServer() as server:
        published = Published(repositories_of(args.small, args.versions), server.uri, args.folder, flat=True)
        docs, id, query = published.docs, published.ids[0], published.repositories.story.queries[0]
        for at in published.ids[:2]:
            published.publish(at)
        wanted = docs.search(query, at=id, k=K, exact=True).hits
        server.kill()
        raw["start"] = seconds_of(server.start)
        raw["search"] = seconds_of(partial(_again, docs, query, id, wanted))
    see(
        "the server killed and started again: until it is up; until the first pinned search is right, beyond that",
        "",
        f"{raw['start']:.1f} s; {raw['search']:.1f} s",
    )
    return raw


def _again(docs: vecver.Dataset, query: Any, at: str, wanted: Any) -> None:
    """Ask until Milvus answers. Raises AssertionError for a wrong answer."""
    while True:
        try:
            found = docs.search(query, at=at, k=K, exact=True, engine="milvus")
        except vecver.BackendError as error:
            if not error.retryable:
                raise
            continue
        assert found.hits == wanted, "it answers wrongly after a restart"
        if found.receipt["engine"]["name"] == "milvus":
            return


SMALL = ("exact", "restart")
SERVED = ("publish", "search", "effort", "rollback", "dedicated", "check", "storage", "restart")
PARTS: dict[str, Callable[[argparse.Namespace, See], Any]] = {
    part.__name__: part
    for part in (publish, search, effort, rollback, check, dedicated, storage, restart, exact, history)
}


if __name__ == "__main__":
    main()
