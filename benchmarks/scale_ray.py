"""Ingest on Ray against a local ingest, as JSON. Needs vecver[ray]; `python benchmarks/scale.py ray WHAT`.

    speed       documents a second with MiniLM on this machine, Ray against local, in turns; the starts are left out
    workers     an embedder that waits as a remote GPU does: texts a second with 1, 8 and 32 workers
    memory      the most memory of the driver, by the number of documents
    histories   versions of real documentation: are content root, vector root and chunk keys those of a local ingest?
    kills       an actor, a task or the driver is killed at a random moment: without its driver the next run must
                finish, and all others must go on by themselves

Efficiency is the rate with n workers over n times the rate with one. Rates count from the first batch that is embedded
to the last. A text that a kill lets be embedded twice was in flight: in the call, of 512 texts, that an actor ran.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from descendants import descendants

import vecver

HERE = Path(__file__).parent
HISTORIES = HERE.parent.parent / "shared/data/history"
CORPORA = ("fastapi-docs", "laravel-docs", "otel-docs", "tldr-en")
WORDS = ("pump", "valve", "seal", "gauge", "pipe", "flow", "pressure", "relief", "bolt", "torque", "oil", "filter")
DIM = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=sorted(SUBJECTS))
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 100_000], help="memory; speed: the first")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--wait", type=float, default=2.0, help="seconds a batch of 64 texts")
    parser.add_argument("--batches", type=int, default=24, help="of each worker: a few leave the end of a run uneven")
    parser.add_argument("--rounds", type=int, default=2, help="of speed")
    parser.add_argument("--versions", type=int, default=3, help="of each history")
    parser.add_argument("--corpora", nargs="+", default=CORPORA)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(json.dumps(SUBJECTS[args.what](args), indent=1))


class Waiting:
    """An embedder that sleeps instead of computing, and when tokens are counted; it logs each batch and its times."""

    dim, max_tokens, metric = DIM, 256, "ip"

    def __init__(self, log: Path, seconds: float, cut_seconds: float) -> None:
        self.log, self.seconds, self.cut_seconds = log, seconds, cut_seconds

    def embed(self, texts: Sequence[str]) -> Any:
        begun = time.time()
        time.sleep(self.seconds * len(texts) / 64)
        with open(self.log, "a") as file:
            file.write(json.dumps([begun, time.time(), list(texts)]) + "\n")
        return np.array([np.frombuffer(text.encode().ljust(DIM)[:DIM], np.uint8) for text in texts], np.float32)

    def count_tokens(self, texts: Sequence[str]) -> Any:
        time.sleep(self.cut_seconds)
        return np.array([len(text.split()) for text in texts], np.int64)


def waiting(log: Path, seconds: float, cut_seconds: float = 0.0) -> Any:
    return vecver.embedder(Waiting(log, seconds, cut_seconds), fingerprint="waiting")


def batches_in(log: Path) -> list[tuple[float, float, list[str]]]:
    return [tuple(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


def records(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {
            "id": f"d{number}",
            "text": f"{number} {' '.join(WORDS[(number * k) % len(WORDS)] for k in range(1, 9))}",
        }


def start_ray() -> None:
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")


# -- speed ----------------------------------------------------------------------------------------


def speed(args: argparse.Namespace) -> dict[str, Any]:
    start_ray()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "docs"
        folder.mkdir()
        for record in records(args.documents[0]):
            number = int(record["id"][1:])
            rest = "\n\n".join(f"## {part}\n\n{record['text']} {number + part}" for part in range(4))
            (folder / f"{record['id']}.md").write_text(f"# Page {number}\n\n{rest}\n")
        rates: dict[str, list[float]] = {"local": [], "ray": []}
        cpu = dict.fromkeys(rates, 0.0)
        roots = set()
        for number in range(args.rounds):
            for name, on in (("local", None), ("ray", "ray")):
                docs = vecver.open(Path(place) / f"{name}{number}", create=True).dataset("d")
                docs.ingest([{"id": "a", "text": "b"}], label="warm", embedder="minilm")
                before = machine_cpu()
                rates[name].append(rate(docs, folder, on))
                cpu[name] += machine_cpu() - before
                roots.add(docs.show("main").content_root)
        best = {name: max(each) for name, each in rates.items()}
        return {
            "chunks a second": {name: [round(one, 1) for one in each] for name, each in rates.items()},
            "ratio of the best": round(best["ray"] / best["local"], 3),
            "ratios by round": [round(r / h, 3) for h, r in zip(rates["local"], rates["ray"], strict=True)],
            "CPU seconds of the machine": {name: round(seconds, 1) for name, seconds in cpu.items()},
            "one content root": len(roots) == 1,
        }


def rate(docs: vecver.Dataset, folder: Path, on: str | None) -> float:
    """Chunks a second from the first chunks that are embedded to the commit."""
    first: list[float] = []
    chunks = [0]

    def progress(unit: str, count: int, total: int | None = None) -> None:
        if unit == "chunks" and count:
            first.append(time.perf_counter())
            if len(first) > 1:
                chunks[0] += count

    docs.ingest(folder, on=on, progress=progress)
    return chunks[0] / (time.perf_counter() - first[0])


def machine_cpu() -> float:
    """CPU seconds of all processes here, other people's too."""
    with open("/proc/stat") as file:
        user, nice, system = map(int, file.readline().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


# -- workers --------------------------------------------------------------------------------------


def workers(args: argparse.Namespace) -> dict[str, Any]:
    start_ray()
    rates = {}
    for count in args.workers:
        with tempfile.TemporaryDirectory() as place:
            log = Path(place) / "log"
            docs = vecver.open(Path(place) / "kb", create=True).dataset("d")
            texts = count * args.batches * 64
            docs.ingest(records(texts), label="r", embedder=waiting(log, args.wait), on="ray", workers=count)
            done = batches_in(log)
            seconds = max(end for _, end, _ in done) - min(begun for begun, _, _ in done)
            rates[count] = sum(len(each) for _, _, each in done) / seconds
    least = min(rates)
    return {
        "seconds a batch of 64": args.wait,
        "texts a second": {count: round(one, 1) for count, one in rates.items()},
        "efficiency": {count: round(one / (rates[least] * count / least), 3) for count, one in rates.items()},
        "of the ideal rate": {count: round(one * args.wait / 64 / count, 3) for count, one in rates.items()},
    }


# -- memory ---------------------------------------------------------------------------------------


def memory(args: argparse.Namespace) -> dict[str, Any]:
    most = {}
    for count in args.documents:
        with tempfile.TemporaryDirectory() as place:
            code = f"import scale_ray; scale_ray.driver({place!r}, {count}, 0.0)"
            output = subprocess.run([sys.executable, "-c", code], cwd=HERE, check=True, capture_output=True, text=True)
            most[count] = json.loads(output.stdout.splitlines()[-1])
    low, high = min(most), max(most)
    grown = {
        moment: round((most[high][moment] - most[low][moment]) / max(1, high - low) * 1e6)
        for moment in ("all embedded", "after")
    }
    return {"MB of the driver": most, "bytes a document": grown}


def driver(place: str, count: int, wait: float) -> None:
    """One ingest in a process of its own; prints the most memory so far, in MB.

    "after" has also what is done once all rows are written: segments get an index where they have many, as without Ray.
    """
    start_ray()
    kb = vecver.open(Path(place) / "kb", create=True)
    kb.dataset("warm").ingest(records(100), label="r", embedder=waiting(Path(place) / "warm", 0), on="ray", workers=2)
    most = {"before": peak_mb()}

    def progress(unit: str, done: int, total: int | None = None) -> None:
        if unit == "documents":
            most["all embedded"] = peak_mb()

    embedder = waiting(Path(place) / "log", wait)
    kb.dataset("d").ingest(records(count), label="r", embedder=embedder, on="ray", workers=2, progress=progress)
    print(json.dumps({**most, "after": peak_mb()}))


def peak_mb() -> float:
    """The most memory that this process has used, shared pages of Ray's object store aside."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return round((int(fields["VmHWM"].split()[0]) - int(fields["RssShmem"].split()[0])) / 1e3, 1)


# -- histories ------------------------------------------------------------------------------------


def histories(args: argparse.Namespace) -> dict[str, Any]:
    start_ray()
    return {corpus: history(corpus, args.versions) for corpus in args.corpora}


def history(corpus: str, limit: int) -> dict[str, Any]:
    manifest = [json.loads(line) for line in (HISTORIES / corpus / "manifest.jsonl").read_text().splitlines()]
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / corpus
        git("clone", "-q", str(HISTORIES / corpus / f"{corpus}.bundle"), str(source))
        here, there = (vecver.open(Path(place) / name, create=True).dataset("d") for name in ("here", "there"))
        same, embedded = 0, [0, 0]
        for version in manifest[:limit]:
            git("-C", str(source), "checkout", "-q", version["version"])
            for number, (docs, on) in enumerate(((here, None), (there, "ray"))):
                report = docs.ingest(source, embedder="hashing", on=on, allow_removals=True, workers=2)
                embedded[number] += report.chunks["embedded"]
            one, other = here.show("main"), there.show("main")
            keys = [{(c.document, c.key) for c in docs.chunks()} for docs in (here, there)]
            same += (
                one.content_root == other.content_root and one.vector_root == other.vector_root and keys[0] == keys[1]
            )
        return {
            "versions": len(manifest[:limit]),
            "the same": same,
            "chunks embedded, local and Ray": embedded,
            "check": there.repository.check().clean,
        }


def git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, capture_output=True)


# -- kills ----------------------------------------------------------------------------------------

TEXTS = 6000
WAIT = 0.05  # seconds a batch of 64 texts
CUT = 0.1  # seconds a task that cuts
MOST_TWICE = {"actor": 512, "driver": 2 * 512, "task": 0}  # texts: the running call of an actor, and of two


def kills(args: argparse.Namespace) -> dict[str, Any]:
    start_ray()
    chance = random.Random(args.seed)
    outcomes = [kill(chance) for _ in range(args.kills)]
    by_victim: dict[str, dict[str, Any]] = {}
    for victim in MOST_TWICE:
        each = [one for one in outcomes if one["victim"] == victim and one["killed"]]
        by_victim[victim] = {
            "kills": len(each),
            "went on": sum(one["survived"] for one in each),
            "embedded twice, at most": max((one["twice"] for one in each), default=0),
        }
    missed = sum(not one["killed"] for one in outcomes)
    return {"of": by_victim, "too late to kill": missed, "wrong": [one for one in outcomes if not one["right"]]}


def kill(chance: random.Random) -> dict[str, Any]:
    """Kill one process of an ingest at a random moment; then run it again until it has finished."""
    import ray

    victim = chance.choice(sorted(MOST_TWICE))
    place = tempfile.mkdtemp()
    log = Path(place) / "log"
    code = f"import scale_ray; scale_ray.ingest_all({place!r})"
    environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=HERE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        moment = chance.randrange(1, TEXTS - 600)
        if victim == "task":
            wait_for(lambda: process.poll() is not None or bool(tasks()))
            time.sleep(chance.random())
        else:
            wait_for(lambda: process.poll() is not None or embedded(log) >= moment)
        killed = kill_one(process, victim)
        survived = process.wait() == 0
    for _ in range(60):  # a source is held until Ray has ended the workers of a driver that was killed
        with suppress(vecver.ConflictError):
            ingest_all(place)
            break
        time.sleep(1)
    repository = vecver.open(Path(place) / "kb")
    live = repository.dataset("d").show("main").counts["chunks"]
    texts = [text for _, _, each in batches_in(log) for text in each]
    clean, twice = repository.check().clean, len(texts) - len(set(texts))
    shutil.rmtree(place, ignore_errors=True)
    right = live == TEXTS == len(set(texts)) and clean and twice <= MOST_TWICE[victim]
    right = right and survived == (victim != "driver" or not killed)
    return {"victim": victim, "at": moment, "killed": killed, "survived": survived, "twice": twice, "right": right}


def ingest_all(place: str) -> None:
    """The ingest that is killed, on the cluster that RAY_ADDRESS names, or on that of this process."""
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    docs, log = vecver.open(Path(place) / "kb", create=True).dataset("d"), Path(place) / "log"
    docs.ingest(records(TEXTS), label="r", embedder=waiting(log, WAIT, CUT), on="ray", workers=2)


def tasks() -> list[int]:
    """The processes that cut documents at this moment."""
    return descendants(os.getpid(), b"ray::cut_documents")


def embedded(log: Path) -> int:
    return sum(len(each) for _, _, each in batches_in(log))


def kill_one(process: subprocess.Popen[bytes], victim: str) -> bool:
    """Kill the driver, one of its actors, or a task that runs; False if there was none any more."""
    if process.poll() is not None:
        return False
    actors = descendants(os.getpid(), b"ray::RowWriter")
    found = {"driver": [process.pid], "actor": actors, "task": tasks()}[victim]
    with suppress(IndexError, ProcessLookupError):
        os.kill(random.choice(found), signal.SIGKILL)
        return True
    return False


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.05)


SUBJECTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "speed": speed,
    "workers": workers,
    "memory": memory,
    "histories": histories,
    "kills": kills,
}
