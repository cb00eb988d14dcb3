"""Embedding through a fleet: throughput of 1, 4 and 16 endpoints that wait 100 ms for a request, against one.

    python benchmarks/scale_fleet.py [--texts 640] [--wait 0.1] [--rounds 3]

Each endpoint is a process of its own on loopback, which answers the same numbers after the wait, one request at a time,
as a GPU does. "one by one" is the peer: one endpoint with one request at once, as an embedder without a fleet asks. CPU
is that of the client.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import vecver
from vecver.pipeline.embedders.open import open_embedder

DIM = 384
ROW = [round(0.05 * ((i * 7919) % 13 - 6), 2) for i in range(DIM)]


def serve(wait_s: float, port: Any) -> None:
    """One endpoint: a request at a time."""
    busy = threading.Lock()
    row = json.dumps(ROW)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            count = len(json.loads(self.rfile.read(int(self.headers["content-length"])))["inputs"])
            with busy:
                time.sleep(wait_s)
            data = f"[{','.join([row] * count)}]".encode()
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    port.send(server.server_port)
    server.serve_forever()


def measured(urls: list[str], texts: list[str], at_once: int) -> dict[str, float]:
    """Texts a second, and CPU milliseconds of this process for 1,000 texts."""
    embedder = open_embedder("tei:toy@" + ",".join(urls), endpoints=vecver.Endpoints(at_once=at_once))
    wall, cpu = time.perf_counter(), time.process_time()
    vectors = embedder.embed(texts)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert vectors.shape == (len(texts), DIM)
    return {"per_second": len(texts) / wall, "cpu_ms_per_1000": cpu * 1e6 / len(texts)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=640, help="for each endpoint")
    parser.add_argument("--wait", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    servers, urls = [], []
    for _ in range(16):
        mine, theirs = context.Pipe()
        servers.append(context.Process(target=serve, args=(args.wait, theirs), daemon=True))
        servers[-1].start()
        urls.append(f"http://127.0.0.1:{mine.recv()}")
    try:
        rows: dict[str, list[dict[str, float]]] = {}
        for _ in range(args.rounds):
            for name, count, at_once in (("one by one", 1, 1), ("1", 1, 4), ("4", 4, 4), ("16", 16, 4)):
                texts = [f"text number {n} of some words" for n in range(args.texts * count)]
                rows.setdefault(name, []).append(measured(urls[:count], texts, at_once))
        base = statistics.median(row["per_second"] for row in rows["one by one"])
        result = {
            name: {
                "per_second": round(statistics.median(row["per_second"] for row in each)),
                "times_one": round(statistics.median(row["per_second"] for row in each) / base, 2),
                "cpu_ms_per_1000": round(statistics.median(row["cpu_ms_per_1000"] for row in each), 1),
                "rounds": [round(row["per_second"]) for row in each],
            }
            for name, each in rows.items()
        }
        machine = {"machine": platform.processor(), "cpus": os.cpu_count(), "load": os.getloadavg()[0]}
        facts = {"wait_s": args.wait, "texts_per_endpoint": args.texts, **machine}
        print(json.dumps({**facts, "endpoints": result}, indent=1))
    finally:
        for server in servers:
            server.terminate()


if __name__ == "__main__":
    main()
