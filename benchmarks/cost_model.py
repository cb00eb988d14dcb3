"""What 100 million and a billion chunks would take, from what was measured: time, memory, latency, requests, money.

    python benchmarks/cost_model.py [--core-hour 0.04 ...] [--write]      --write: into docs/concepts/scale.md

Nobody has run these sizes. `Measured` holds what one machine took, each number with the command that measures it;
`Prices` are assumptions: replace them by your own. The rest is arithmetic: what grew linearly from 1 to 10 million
chunks goes on so, and a search asks an index for every 4.2 million rows, as many at once as there are cores.
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
DIM, CORES, REPLICAS = 384, 32, 3


@dataclass(frozen=True)
class Measured:
    """Of 384 dimensions and some 200 characters a chunk, on one core of the machine of 2026-11-27, unless it says more.

    `growth.py --sizes 1000000 --dim 384`; rows cost as much each at 10,000,000 x 64 as at 1,000,000 x 64, unless said.
    """

    ingest_us: float = 77.0  # CPU a chunk that brings its vector; its index and postings are built too
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


def page(measured: Measured, prices: Prices) -> str:
    """The tables, in Markdown."""
    made = [making(measured, prices, chunks) for chunks in SIZES]
    served = [serving(measured, prices, chunks) for chunks in SIZES]
    return "\n".join([*table("to make", made), "", *table("to serve", served), ""])


def table(name: str, columns: list[dict[str, str]]) -> Iterator[str]:
    """A row for each key, a column for each size."""
    yield f"| {name} | {' | '.join(f'{size // 1_000_000:,} million' for size in SIZES)} |"
    yield "|---|---|---|"
    for key in columns[0]:
        yield f"| {key} | {' | '.join(column[key] for column in columns)} |"


def making(measured: Measured, prices: Prices, chunks: int) -> dict[str, str]:
    """What it takes to make a version of so many chunks, and to commit the next one."""
    embedding = chunks * measured.embed_ms / 3.6e6  # hours of a core
    tokens = chunks * prices.tokens / 1e6 * prices.million_tokens
    commit_price = measured.commit_requests * prices.writes / 1000
    return {
        "ingest of chunks that bring their vectors, one core": hours(chunks * measured.ingest_us / 3.6e9),
        f"embedding by MiniLM on {CORES} cores; by a service": (
            f"{hours(embedding / CORES)}, {dollars(embedding * prices.core_hour)}; {dollars(tokens)}"
        ),
        "`optimize`, one core": hours(chunks * measured.optimize_us / 3.6e9),
        "`check`, one core": hours(chunks * measured.check_us / 3.6e9),
        "on disk": size(chunks * measured.row_bytes),
        "in a bucket, a month": dollars(chunks * measured.row_bytes / 1e9 * prices.objects),
        "a commit of 1,000 chunks to a bucket": (
            f"{measured.commit_requests} requests, {100 * commit_price:.2f} ¢, {measured.commit_ms:.0f} ms, "
            f"and up to {size(chunks / 8)} of masks"
        ),
    }


def serving(measured: Measured, prices: Prices, chunks: int) -> dict[str, str]:
    """What it takes to answer from it: on one machine, by replicas over a bucket, by Milvus."""
    segments = math.ceil(chunks / SEGMENT)
    index_bytes, vector_bytes = chunks * (measured.hot_bytes + 1 / 8), chunks * 4 * DIM
    disk, graph_bytes = chunks * measured.row_bytes, chunks * measured.hnsw_bytes
    search_ms = segments * measured.search_ms
    search_ms_on_all = math.ceil(segments / CORES) * measured.search_ms
    searches = 1000 * CORES / search_ms
    follow_requests = measured.follow_requests * HOURS * 3600 / 2
    bucket = disk / 1e9 * prices.objects
    machine = (
        CORES * HOURS * prices.core_hour + (index_bytes + vector_bytes) / 1e9 * prices.memory + disk / 1e9 * prices.disk
    )
    milvus = graph_bytes / 1e9 * prices.memory + graph_bytes / 8e9 * HOURS * prices.core_hour + bucket
    return {
        f"**one machine** of {CORES} cores: memory for the index; for the vectors too": (
            f"{size(index_bytes)}; {size(index_bytes + vector_bytes)}"
        ),
        "one search on one core": f"{search_ms:,.0f} ms",
        "one search on all cores, if the memory keeps up with them": f"{search_ms_on_all:,.0f} ms",
        "searches a second on all cores": two_digits(searches),
        "a month, with memory for the vectors": dollars(machine),
        f"**{REPLICAS} replicas over a bucket**: index in memory; cache on disk; time to fill it at 1 GB/s": (
            f"{size(index_bytes)}; {size(disk)}; {hours(disk / measured.open_bytes_a_second / 3600)}"
        ),
        "requests that fill the cache": f"{measured.open_requests * segments:,}",
        "searches a second": two_digits(REPLICAS * searches),
        "requests a month for each name that a replica follows": (
            f"{follow_requests / 1e6:.1f} million, {dollars(follow_requests / 1000 * prices.reads)}"
        ),
        f"a month, {REPLICAS} such machines and the bucket": dollars(REPLICAS * machine + bucket),
        "**Milvus**: memory of the query nodes (HNSW)": size(graph_bytes),
        "the first publication, by upserts through one server": hours(chunks / measured.upserts_a_second / 3600),
        "a month: that memory, a core for each 8 GB, the bucket": dollars(milvus),
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
