"""Replicas of the service behind HAProxy: what 4 do beside 1, how late a moved alias is seen, a rolling restart.

    VECVER_EMULATORS=... python benchmarks/replicas.py          # SeaweedFS, PostgreSQL, haproxy on loopback
    VECVER_EMULATORS=... python benchmarks/replicas.py --seconds 5 --rows 2000

Each replica is `vecver serve` with one worker, a folder and a cache of its own. Eight callers, a connection each, ask
the proxy for one vector at the alias `prod`. Printed are requests a second, p50 and p99, and CPU of the replicas a
request: where callers, proxy, bucket and replicas share a few cores, only the last says what replicas cost.

    moved      a replica moves the alias; seconds until searches that begin then see it on every other one, five times
    rolling    each replica in turn gets SIGTERM and a successor on its port, under load: requests that failed
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

import emulators
from postgres_server import PostgresServer, postgres_running
from serving import free_port

import vecver

DIM, CALLERS, DRAIN = 384, 8, 6
_PROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option httpchk GET /readyz
    default-server check inter 500ms fall 1 rise 1
frontend all
    bind 127.0.0.1:{port}
    default_backend replicas
backend replicas
    balance roundrobin
{servers}
"""


class Replica:
    """One process of the service on a port."""

    def __init__(self, place: Path, repository: str, database: str, port: int) -> None:
        self.port, self._place = port, place
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("VECVER_")},
            "VECVER_REPO": repository,
            "VECVER_DATABASE": database,
            "VECVER_STATE": str(place / "state"),
            "VECVER_CACHE": str(place / "cache"),
            "VECVER_NO_AUTH": "true",
            "VECVER_DRAIN": str(DRAIN),
            "VECVER_SETTINGS": os.devnull,
            "HF_HUB_OFFLINE": "1",
        }
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self._place.mkdir(exist_ok=True)
        program = [sys.executable, "-c", "from vecver.cli import program; program()", "serve", "--port", str(self.port)]
        with (self._place / "log").open("ab") as log:
            self.process = subprocess.Popen(program, env=self._environment, stdout=log, stderr=log)
        until = time.monotonic() + 180
        while time.monotonic() < until:
            try:
                if self.client.get("/readyz").status_code == 200:
                    return
            except httpx2.TransportError:
                assert self.process.poll() is None, (self._place / "log").read_text()
            time.sleep(0.1)
        raise AssertionError("a replica did not become ready")

    def end(self) -> None:
        """End it as an orchestrator does, and wait for that."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self.process:
            self.process.kill()

    def cpu_s(self) -> float:
        """The CPU time that it has taken."""
        assert self.process
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def proxied(place: Path, replicas: list[Replica]) -> Iterator[str]:
    """HAProxy before these replicas; its URL."""
    port, file = free_port(), place / f"haproxy{len(replicas)}.cfg"
    servers = "\n".join(f"    server r{each.port} 127.0.0.1:{each.port}" for each in replicas)
    file.write_text(_PROXY.format(port=port, servers=servers))
    process = subprocess.Popen(
        ["haproxy", "-db", "-f", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


class Load:
    """Threads that search while the context lasts; the seconds of each answer, and the errors."""

    def __init__(self, url: str, query: list[float]) -> None:
        self.seconds: list[float] = []
        self.failed: list[str] = []
        self._url, self._body, self._done = url, {"vector": query, "ref": "prod", "k": 10}, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CALLERS)]

    def __enter__(self) -> Load:
        self.begun = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()
        self.took = time.monotonic() - self.begun

    def _ask(self) -> None:
        with httpx2.Client(base_url=self._url, timeout=60) as client:
            while not self._done.is_set():
                since = time.monotonic()
                try:
                    answer = client.post("/v1/datasets/d/search", json=self._body)
                    if answer.status_code != 200:
                        self.failed.append(f"{answer.status_code} {answer.text[:100]}")
                except httpx2.TransportError as error:
                    self.failed.append(repr(error))
                self.seconds.append(time.monotonic() - since)

    def line(self, cpu_s: float) -> str:
        count = len(self.seconds)
        cuts = statistics.quantiles(self.seconds, n=100)
        return (
            f"{count / self.took:7.1f} requests/s   p50 {cuts[49] * 1000:6.1f} ms   p99 {cuts[98] * 1000:6.1f} ms   "
            f"{cpu_s / count * 1000:5.2f} ms CPU of replicas a request   {len(self.failed)} failed of {count}"
        )


def measure(url: str, replicas: list[Replica], query: list[float], seconds: float) -> None:
    """Print what these replicas do in so many seconds."""
    before = sum(each.cpu_s() for each in replicas)
    with Load(url, query) as load:
        time.sleep(seconds)
    cpu_s = sum(each.cpu_s() for each in replicas) - before
    print(f"{len(replicas)} replicas  {load.line(cpu_s)}", *load.failed[:3], sep="\n", flush=True)


def moved(replicas: list[Replica], query: list[float]) -> None:
    """Print how late others see a moved alias."""
    body, late = {"vector": query, "ref": "prod", "k": 1}, list[float]()
    see = lambda each: each.client.post("/v1/datasets/d/search", json=body).json()["commit"]  # noqa: E731
    for ref in ("main", "main~1") * 3:
        for each in replicas:
            see(each)
        after = replicas[0].client.post("/v1/datasets/d/promote", json={"alias": "prod", "ref": ref}).json()["after"]
        since, begun = time.monotonic(), dict[int, float]()
        waiting = {each.port: each for each in replicas}
        while waiting:
            for port, each in list(waiting.items()):
                begun[port] = time.monotonic() - since
                if see(each) == after:
                    del waiting[port]
            time.sleep(0.02)
        late.append(max(begun.values()))
    print(f"moved: seen by every replica after {', '.join(f'{s:.2f}' for s in late)} s", flush=True)


def rolling(url: str, replicas: list[Replica], query: list[float]) -> None:
    """Print how many requests fail while each replica is replaced in turn."""
    with Load(url, query) as load:
        for each in replicas:
            each.end()
            each.start()
            time.sleep(2)
    print(f"rolling restart of {len(replicas)} in {load.took:.0f} s: ", end="")
    print(f"{len(load.failed)} of {len(load.seconds)} requests failed", *load.failed[:5], sep="\n", flush=True)


def make(repository: str, rows: int) -> list[float]:
    """A repository with two versions; a query."""
    generator = np.random.default_rng(7)
    vectors = generator.standard_normal((rows, DIM)).astype(np.float32)
    docs = vecver.open(repository, create=True, author="bench").dataset("d")
    for version in range(2):
        vectors[: rows // 100] += version
        texts = [f"text {i} of version {version if i < rows // 100 else 0}" for i in range(rows)]
        docs.ingest([{"id": f"d{i}", "text": texts[i], "vector": vectors[i]} for i in range(rows)], space="given")
    docs.promote("prod", "main~1")
    return [float(x) for x in generator.standard_normal(DIM)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=15)
    options = parser.parse_args()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vecver-replicas-")))
        bucket = stack.enter_context(emulators.running("seaweedfs"))
        os.environ.update(bucket.environment, VECVER_CACHE=str(place / "cache"))
        server: PostgresServer = stack.enter_context(postgres_running())
        query, database = make(bucket.url("kb"), options.rows), server.new_database()
        replicas = [Replica(place / f"r{i}", bucket.url("kb"), database, free_port()) for i in range(4)]
        for each in replicas:
            each.start()
            stack.callback(each.kill)
        for some in (replicas[:1], replicas) * 2:
            with proxied(place, some) as url:
                measure(url, some, query, options.seconds)
        moved(replicas, query)
        with proxied(place, replicas) as url:
            rolling(url, replicas, query)


if __name__ == "__main__":
    main()
