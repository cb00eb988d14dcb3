"""What 100 million and a billion chunks would take, from what was measured: time, memory, latency, requests, money.

    python benchmarks/cost_model.py [--core-hour 0.04 ...] [--write]      --write: into docs/concepts/scale.md

Nobody has run these sizes. MEASURED holds what one machine showed, each with the command that showed it; PRICES are
assumptions to be replaced by your own. The rest is arithmetic: what grew linearly from 1 to 10 million chunks goes on
so, and a search asks one index after the other for every 4.2 million rows, as many at once as there are cores.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/concepts/scale.md"
BEGIN, END = "<!-- benchmarks/cost_model.py -->\n", "<!-- end -->\n"
SIZES = (100_000_000, 1_000_000_000)
SEGMENT = 1 << 22  # rows of a segment, after `optimize`
HOURS = 730  # of a month


@dataclass(frozen=True)
class Measured:
    """Of 384 dimensions and some 200 characters a chunk, on one core of the machine of 2026-11-27, unless it says more.

    `growth.py --sizes 1000000 --dim 384`; rows cost as much each at 10,000,000 x 64 as at 1,000,000 x 64, unless said.
    """

    ingest_us: float = 77.0  # of CPU a chunk, vectors given, index and postings included
    optimize_us: float = 40.0  # of CPU a chunk: 37 at 1,000,000; training an index takes a little more a row
    check_us: float = 9.0  # of CPU a chunk: 8.4, and 7% more at 10,000,000
    search_ms: float = 8.1  # a segment of 4.2 million rows, k = 10, warm: 2.9 for 1,000,000, and 2.8 times as much
    row_bytes: float = 2_064.0  # on disk: vector, text, ids, index, postings
    hot_bytes: float = 60.0  # of them in memory for every search: codes of the index
    embed_ms: float = 5.0  # a chunk, MiniLM: `embedding.py`
    commit_requests: int = 24  # to a bucket, 1,000 chunks: `tests/contract/test_requests.py`
    open_requests: int = 5  # for each segment of a version: `tests/contract/test_requests.py`
    commit_ms: float = 242.0  # the same with 20 ms of latency: `object_stores.py`
    follow_requests: int = 4  # every two seconds, for each name in use by a replica: `tests/contract/test_requests.py`
    open_bytes_a_second: float = 1e9  # a bucket to a replica, assumed
    upserts_a_second: float = 3_200.0  # to one Milvus server: `milvus.py --rows 100000`
    hnsw_bytes: float = 1_800.0  # a row in memory of query nodes: `milvus.py`


@dataclass(frozen=True)
class Prices:
    """Dollars. Assumptions, near those that clouds list in 2026."""

    core_hour: float = 0.04
    memory: float = 2.5  # a GB and month
    disk: float = 0.08  # a GB and month, SSD
    objects: float = 0.023  # a GB and month
    writes: float = 0.005  # a thousand requests
    reads: float = 0.0004  # a thousand requests
    million_tokens: float = 0.02  # embedding by a service
    tokens: int = 60  # a chunk


def main() -> None:
    args = parse()
    text = page(Measured(), Prices(**{field.name: getattr(args, field.name) for field in fields(Prices)}))
    if args.write:
        PAGE.write_text(replaced(PAGE.read_text("utf-8"), text), "utf-8")
    print(text, end="")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for field in fields(Prices):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/concepts/scale.md")
    return parser.parse_args()


def page(seen: Measured, prices: Prices) -> str:
    """The tables, in Markdown."""
    made = [making(seen, prices, chunks) for chunks in SIZES]
    served = [serving(seen, prices, chunks) for chunks in SIZES]
    return "\n".join([*table("to make", made), "", *table("to serve", served), ""])


def table(name: str, columns: list[dict[str, str]]) -> Iterator[str]:
    """A row for each key, a column for each size."""
    yield f"| {name} | {' | '.join(f'{size // 1_000_000:,} million' for size in SIZES)} |"
    yield "|---|---|---|"
    for key in columns[0]:
        yield f"| {key} | {' | '.join(column[key] for column in columns)} |"


def making(seen: Measured, prices: Prices, chunks: int) -> dict[str, str]:
    """What it takes to have a version of so many chunks, and the next one."""
    embed = chunks * seen.embed_ms / 3.6e6  # hours of a core
    tokens = chunks * prices.tokens / 1e6 * prices.million_tokens
    writes = seen.commit_requests * prices.writes / 1000
    return {
        "ingest, vectors given, one core": hours(chunks * seen.ingest_us / 3.6e9),
        "embedding: MiniLM on 32 cores; by a service": f"{hours(embed / 32)}, {dollars(embed * prices.core_hour)}; "
        f"{dollars(tokens)}",
        "`optimize`, one core": hours(chunks * seen.optimize_us / 3.6e9),
        "`check`, one core": hours(chunks * seen.check_us / 3.6e9),
        "on disk": size(chunks * seen.row_bytes),
        "in a bucket, a month": dollars(chunks * seen.row_bytes / 1e9 * prices.objects),
        "a commit of 1,000 chunks to a bucket": f"{seen.commit_requests} requests, {100 * writes:.2f} ¢, "
        f"{seen.commit_ms:.0f} ms, and up to {size(chunks / 8)} of masks",
    }


def serving(seen: Measured, prices: Prices, chunks: int) -> dict[str, str]:
    """What it takes to answer from it: on one machine, by three replicas over a bucket, by Milvus."""
    cores, segments = 32, math.ceil(chunks / SEGMENT)
    needed, quick = chunks * (seen.hot_bytes + 1 / 8), chunks * 4 * 384
    disk, alone = chunks * seen.row_bytes, segments * seen.search_ms
    beside = math.ceil(segments / cores) * seen.search_ms
    machine = cores * HOURS * prices.core_hour + (needed + quick) / 1e9 * prices.memory + disk / 1e9 * prices.disk
    followed = seen.follow_requests * HOURS * 3600 / 2
    nodes = chunks * seen.hnsw_bytes
    bucket = disk / 1e9 * prices.objects
    return {
        f"**one machine** of {cores} cores: memory that must be there; that keeps vectors at hand": (
            f"{size(needed)}; {size(needed + quick)}"
        ),
        "one search: on all cores, if they read memory as fast as one; on one": f"{beside:,.0f} ms; {alone:,.0f} ms",
        "searches a second, all cores busy": two_digits(1000 * cores / alone),
        "a month, with memory that keeps vectors at hand": dollars(machine),
        "**three replicas over a bucket**: of each, memory; cache on disk; time to fill it at 1 GB/s": (
            f"{size(needed)}; {size(disk)}; {hours(disk / seen.open_bytes_a_second / 3600)}"
        ),
        "requests until then": f"{seen.open_requests * segments:,}",
        "searches a second": two_digits(3000 * cores / alone),
        "requests a month for each name that a replica follows": f"{followed / 1e6:.1f} million, "
        f"{dollars(followed / 1000 * prices.reads)}",
        "a month, three such replicas": dollars(3 * machine + bucket),
        "**Milvus**: memory of the query nodes (HNSW)": size(nodes),
        "first publication through one server: upserts": hours(chunks / seen.upserts_a_second / 3600),
        "a month: that memory, a core for each 8 GB, the bucket": dollars(
            nodes / 1e9 * prices.memory + nodes / 8e9 * HOURS * prices.core_hour + bucket
        ),
    }


def replaced(text: str, new: str) -> str:
    """A page with these tables between the two marks."""
    return re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}{new}{END}", text, flags=re.DOTALL)


def hours(count: float) -> str:
    """In the unit that suits."""
    for unit, length in (("days", 24.0), ("hours", 1.0), ("minutes", 1 / 60)):
        if count >= 2 * length:
            return f"{two_digits(count / length)} {unit}"
    return f"{two_digits(3600 * count)} s"


def size(count: float) -> str:
    """In powers of 1,000."""
    for unit, length in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= length:
            return f"{two_digits(count / length)} {unit}"
    return f"{count:.0f} bytes"


def dollars(count: float) -> str:
    return f"${two_digits(count)}" if count >= 1 else f"${count:.2f}"


def two_digits(number: float) -> str:
    return f"{float(f'{number:.2g}'):,g}"


if __name__ == "__main__":
    main()
