"""How soon the service answers `/healthz` while it reads uploads that were made to keep it busy.

    python benchmarks/hostile.py                       # 50 uploads of 300 KB in ten formats
    python benchmarks/hostile.py --uploads 20 --kilobytes 2000

`vecver serve` runs on loopback with one key that may write. Each upload is one file, and one job; while the jobs
run, `/healthz` is asked every 20 ms on a connection of its own. What is told: p50, p99 and the longest answer in
milliseconds, the same of an idle service before, what became of the documents, and the service's memory.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import tempfile
import threading
import time
from pathlib import Path

import vecver
from service import Service, serving

UNITS = {  # name: what begins the file, what is repeated in it, what ends it
    "spaces.rst": ("`", " ", "x"),
    "titles.adoc": ("= a", " =", "b"),
    "links.adoc": ("", "link:a[", ""),
    "tags.org": ("* a", " :a:", "!"),
    "sections.tex": ("", "\\section[", ""),
    "headings.md": ("", "# a\n", ""),
    "heading.md": ("# a", " #", "b"),
    "quotes.md": ("", "> - ", "a"),
    "voices.vtt": ("WEBVTT\n\n00:00.000 --> 00:01.000\n", "<v ", ""),
    "nested.json": ("", '{"a":[', ""),
    "cells.csv": ("", ",", "a"),
    "title.html": ("<title>", "Untitled", "\n</title>"),
    "deep.html": ("", "<div>", "a"),
    "words.txt": ("", "a ", ""),
    "parts.eml": ("Subject: x\n", "Content-Type: multipart/mixed; boundary=a\n\n--a\n", ""),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uploads", type=int, default=50)
    parser.add_argument("--kilobytes", type=int, default=300)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "kb"
        vecver.open(repository, create=True)
        with serving(repository) as service:
            with Watch(service) as idle:
                time.sleep(3)
            with Watch(service) as busy:
                outcomes = uploaded(service, args.uploads, args.kilobytes * 1000)
            print(f"idle   {idle}\nbusy   {busy}\nmemory {service.memory()} MB")
            for outcome in sorted(set(outcomes)):
                print(f"{outcomes.count(outcome):3} x {outcome}")


class Watch:
    """Asks `/healthz` again and again in a thread of its own."""

    def __init__(self, service: Service) -> None:
        self._address, self._stop = service.address, threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.milliseconds: list[float] = []

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=600)
        while not self._stop.wait(0.02):
            since = time.perf_counter()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            self.milliseconds.append((time.perf_counter() - since) * 1000)

    def __str__(self) -> str:
        cuts, longest = statistics.quantiles(self.milliseconds, n=100), max(self.milliseconds)
        return f"{len(self.milliseconds)} answers, p50 {cuts[49]:.1f}, p99 {cuts[98]:.1f}, longest {longest:.1f} ms"


def uploaded(service: Service, uploads: int, size: int) -> list[str]:
    """Send the uploads, wait for their jobs: what became of each."""
    jobs = []
    for number in range(uploads):
        name = list(UNITS)[number % len(UNITS)]
        path = f"/v1/datasets/d/ingest?embedder=hashing&label=upload-{number}&prefix={number}/"
        job = service.call("POST", path, form(name, size), "multipart/form-data; boundary=part")
        jobs.append((name, job["id"]))
    return [f"{name}: {ended(service, id)}" for name, id in jobs]


def form(name: str, size: int) -> bytes:
    """A form with one file of about `size` bytes."""
    begin, unit, end = UNITS[name]
    text = begin + unit * (size // len(unit)) + end
    head = f'--part\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    return f"{head}{text}\r\n--part--\r\n".encode()


def ended(service: Service, job: str) -> str:
    while (record := service.call("GET", f"/v1/jobs/{job}"))["state"] in ("queued", "running"):
        time.sleep(0.2)
    if record["state"] != "succeeded":
        return f"{record['state']}, {record['error']}"
    failures = record["result"]["failures"]
    return failures[0]["code"] if failures else f"read, {record['result']['chunks']['embedded']} chunks"


if __name__ == "__main__":
    main()
