"""The service under load: what HTTP costs beside `Dataset.search` in a process of one's own.

    python benchmarks/service.py                                          # 10,000 and 100,000 real passages
    python benchmarks/service.py --rows 10000 --clients 8 --kinds batch --rounds 1
    python benchmarks/service.py --rows 10000 --kinds vector --versions pinned --tree ../before  # HTTP's cost
    python benchmarks/service.py --soak 600

`vecver serve` runs on loopback with a key, the callers in a process of their own (`callers.py`), the same questions in
a third (one thread, and as many as there are callers): in turns, one at a time, so that all see the same machine; a
ratio is the median over the rounds. Versions: 20 commits, each of which changes 1% of the rows (`vectors.py`);
`pinned` asks one of them, `mixed` ten at random. Kinds: one text (2,000 passages, embedded by MiniLM), one vector,
64 vectors in base64. Every answer that was timed, receipt included, is compared with the one given in process.
`--tree`: the service of another checkout, with the same callers and in the same turns (a line of its own).

`--soak`: eight callers ask everything at once, at an alias and pinned, while the alias moves every second and an
ingest job runs again and again.

Decisions
1. Callers write and read sockets themselves: http.client takes as long for an answer's headers as the service for a
   whole single query.
2. "÷" is rate of HTTP ÷ rate in process, "CPU ÷" CPU a request in process ÷ that of the service: where callers,
   service and other programs share cores, only the second says what the service takes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from callers import Asked, Question, every_answer, in_process, over_http
from repositories import Repositories
from tables import head, row
from vectors import HERE, PASSAGES, Story, about, story

import vecver

VERSIONS, REVISIONS, QUERIES, BATCH = 20, 10, 200, 64
TEXTS = 2000  # passages that are embedded for text queries
KINDS = ("text", "vector", "batch")


def main() -> None:
    args = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no service stays behind
    args.out.mkdir(parents=True, exist_ok=True)
    for rows in args.rows:
        served = Served(story(args.data, rows, VERSIONS, rows // 100, QUERIES), args.out / f"{args.data}-{rows}")
        part, run = ("soak", soak) if args.soak else ("load", load)
        print(f"-- {part}, {rows:,} chunks", flush=True)
        lines, raw = run(served, args)
        kept = {**about(served.story), "arguments": sys.argv[1:], "lines": lines, "raw": raw}
        (served.folder / f"{part}.json").write_text(json.dumps(kept, default=asdict), "utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=["passages", "clustered"], default="passages")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--versions", nargs="+", choices=["pinned", "mixed"], default=["pinned", "mixed"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of a round")
    parser.add_argument("--workers", type=int, default=1, help="processes of the service")
    parser.add_argument("--tree", type=Path, nargs="*", default=[], help="other checkouts to measure beside")
    parser.add_argument("--threads", type=int, help="VECVER_THREADS")
    parser.add_argument("--open-bytes", type=int, help="VECVER_OPEN_BYTES")
    parser.add_argument("--soak", type=float, help="seconds", nargs="?", const=600)
    parser.add_argument("--out", type=lambda path: Path(path).absolute(), default=HERE / "out/service")
    return parser.parse_args()


# -- what is served -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Served:
    """A repository: the dataset `d` tells a story of vectors, `t` holds texts of which MiniLM knows the vectors."""

    story: Story
    folder: Path

    @property
    def repository(self) -> Path:
        """Built once, then kept."""
        place = self.folder / "served"
        if not place.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            Repositories(self.story, self.folder).built()
            part = self.folder / "served.part"
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(self.folder / "built", part)
            docs, passages = vecver.open(part).dataset("t"), texts(TEXTS)
            for version in range(4):
                records = [{"id": str(i), "text": text} for i, text in enumerate(passages[: TEXTS - 10 * version])]
                docs.ingest(records, label="texts", embedder="minilm", chunker="whole")
            part.rename(place)
        return place

    def questions(self, kind: str, versions: str) -> list[Question]:
        """What is asked: of one version, or of ten."""
        rng, dataset = np.random.default_rng(1), "t" if kind == "text" else "d"
        ids = [one.id for one in vecver.open(self.repository).dataset(dataset).log()]
        some = [ids[len(ids) // 2]] if versions == "pinned" else list(rng.permutation(ids)[:REVISIONS])
        return [Question(dataset, str(rng.choice(some)), query) for query in self._queries(kind, rng)]

    def _queries(self, kind: str, rng: np.random.Generator) -> list[Any]:
        if kind == "text":
            return [text[:80] for text in texts(TEXTS + QUERIES)[TEXTS:]]
        if kind == "vector":
            return list(self.story.queries)
        return [list(self.story.queries[rng.permutation(QUERIES)[:BATCH]]) for _ in range(20)]


def texts(count: int) -> list[str]:
    """Real passages where they are, else made."""
    if not PASSAGES.exists():
        return [f"Passage {i} of the made ones, about {i % 97} and {i % 89}. " * 5 for i in range(count)]
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(PASSAGES, columns=["text", "lang"])
    return table.filter(pc.equal(table["lang"], "en"))["text"][:count].to_pylist()


# -- the service --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Service:
    """A running `vecver serve`."""

    address: tuple[str, int]
    key: str
    process: subprocess.Popen[bytes]

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """One request beside the load; its answer's JSON. Raises urllib's HTTPError."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": kind}
        url = f"http://{self.address[0]}:{self.address[1]}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=60) as answer:
            return json.loads(answer.read())

    def cpu(self) -> float:
        """Seconds that its processes have worked."""
        ticks = sum(int(part) for pid in self._processes() for part in _stat(pid)[11:13])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> dict[str, float]:
        """MB of its processes: resident, and of that no mapped files."""
        status = "\n".join(Path(f"/proc/{pid}/status").read_text() for pid in self._processes())
        kb = {name: re.findall(rf"^{name}:\s+(\d+)", status, re.MULTILINE) for name in ("VmRSS", "RssAnon")}
        return {name: sum(map(int, found)) / 1e3 for name, found in kb.items()}

    def _processes(self) -> list[int]:
        found = [int(place.name) for place in Path("/proc").iterdir() if place.name.isdigit()]
        return [pid for pid in found if _stat(pid)[2:3] == [str(self.process.pid)]]  # by process group


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


@contextmanager
def serving(repository: Path, tree: Path = HERE.parent, **settings: Any) -> Iterator[Service]:
    """The service of a checkout on a free port, ready, with a key of its own; its log lies beside the repository."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as state:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
        free.close()
        given = {"repo": repository, "state": state, "port": address[1], **settings}
        where = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": f"{tree}:{tree / 'service'}"}
        where |= {f"VECVER_{name.upper()}": str(value) for name, value in given.items() if value is not None}
        program = [sys.executable, "-c", "import vecver.cli; vecver.cli.program()"]
        how: Any = {"env": where, "cwd": tree}  # -c looks for modules in the current folder first
        made = subprocess.run([*program, "key", "add", "load", "--scope", "*:admin"], capture_output=True, **how)
        with (repository.parent / f"service-{tree.name}.log").open("wb") as log:
            process = subprocess.Popen([*program, "serve"], stderr=log, start_new_session=True, **how)
        service = Service(address, made.stdout.decode().strip(), process)
        try:
            _wait(service)
            yield service
        finally:
            process.terminate()
            process.wait(60)


def _wait(service: Service) -> None:
    for _ in range(600):
        try:
            service.call("GET", "/readyz")
            return
        except OSError:
            if service.process.poll() is not None:
                raise SystemExit("the service ended; its log is service-TREE.log") from None
            time.sleep(0.1)
    raise SystemExit("the service is not ready after a minute")


def process() -> Executor:
    """A process for callers, who stay in it."""
    return ProcessPoolExecutor(1, get_context("spawn"))


# -- load ---------------------------------------------------------------------------------------------


def load(served: Served, args: argparse.Namespace) -> tuple[list[list[str]], Any]:
    """Every kind of question, from every number of clients."""
    names = ["asked", "clients", "queries/s", "p50 ms", "p99 ms", "÷ one thread here", "÷ as many here", "+ ms"]
    names += ["CPU ms: service", "one thread here", "callers", "CPU ÷", "errors, wrong answers"]
    lines, raw = [names], []
    print(head(names), flush=True)
    url, cases = str(served.repository), [(kind, versions) for kind in args.kinds for versions in args.versions]
    with ExitStack() as stack:
        trees = {tree.name if tree != HERE.parent else "": tree.absolute() for tree in (*args.tree, HERE.parent)}
        services = {
            name: stack.enter_context(serving(served.repository, tree, **settings_of(args)))
            for name, tree in trees.items()
        }
        far, near = stack.enter_context(process()), stack.enter_context(process())
        for kind, versions in cases:
            questions = served.questions(kind, versions)
            right = near.submit(every_answer, url, questions).result()  # opens all that is asked
            for clients in args.clients:
                askers = _askers(services, url, far, near, questions, clients)
                seen = measured(services, askers, args)
                for name in services:
                    one = {"kind": f"{kind}, {versions} {name}".strip(), "clients": clients, **_of(seen, name)}
                    one |= {"queries": questions[0].count, "right": right}
                    lines.append(line_of(one))
                    print(row(lines[-1]), flush=True)
                    raw.append({**one, "right": {number: _short(answer) for number, answer in right.items()}})
    return lines, raw


def _of(seen: dict[str, Any], name: str) -> dict[str, Any]:
    """What was seen of one service, as `http`, and of the searches in process."""
    found = {asker: some for asker, some in seen["found"].items() if not asker.startswith("http")}
    http = f"http {name}".strip()
    return {"found": {"http": seen["found"][http], **found}, "cpu": seen["cpu"][http], "answers": seen["answers"][http]}


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The service's settings that were asked for."""
    return {name: getattr(args, name) for name in ("workers", "threads", "open_bytes")}


def _askers(
    services: dict[str, Service], url: str, far: Executor, near: Executor, questions: list[Question], clients: int
) -> dict[str, tuple[Service | None, Callable[[float], Asked]]]:
    """Who asks the same, for so many seconds each, and which service."""

    def over(service: Service) -> Callable[[float], Asked]:
        return lambda s: far.submit(over_http, service.address, service.key, questions, clients, s).result()

    def here(callers: int) -> Callable[[float], Asked]:
        return lambda seconds: near.submit(in_process, url, questions, callers, seconds).result()

    askers: dict[str, Any] = {f"http {name}".strip(): (service, over(service)) for name, service in services.items()}
    return {**askers, "one": (None, here(1)), **({"many": (None, here(clients))} if clients > 1 else {})}


def measured(services: dict[str, Service], askers: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """What each saw, in turns, warm; the services' seconds of CPU; and the last answer to each request over HTTP."""
    found: dict[str, list[Asked]] = {name: [] for name in askers}
    answers: dict[str, dict[int, Any]] = {name: {} for name in askers}
    cpu = dict.fromkeys(askers, 0.0)
    for service, ask in askers.values():
        if service:
            ask(0.5)
    for _ in range(args.rounds):
        for name, (service, ask) in askers.items():
            before = service.cpu() if service else 0.0
            asked = ask(args.seconds)
            cpu[name] += service.cpu() - before if service else 0.0
            answers[name] |= asked.answers
            found[name].append(replace(asked, answers={}, commits=[]))
    return {"found": found, "cpu": cpu, "answers": answers}


def line_of(one: dict[str, Any]) -> list[str]:
    """A line of the table; times are of requests, rates of queries. Takes the answers out of `one`."""
    found = one["found"]
    rates = {name: [one["queries"] * len(a.took) / a.seconds for a in some] for name, some in found.items()}
    p50, p99 = (
        {name: statistics.median(a.ms(percent) for a in some) for name, some in found.items()} for percent in (50, 99)
    )
    requests = {name: sum(len(a.took) for a in some) for name, some in found.items()}
    cpu = {name: sum(a.cpu for a in some) / requests[name] * 1e3 for name, some in found.items()}
    errors = sum(len(a.errors) for some in found.values() for a in some)
    wrong = sum(answer != one["right"][number] for number, answer in one.pop("answers").items())
    return [
        one["kind"],
        str(one["clients"]),
        f"{statistics.median(rates['http']):,.0f}",
        f"{p50['http']:.2f}",
        f"{p99['http']:.1f}",
        f"{_ratio(rates['http'], rates['one']):.2f}",
        f"{_ratio(rates['http'], rates.get('many', rates['one'])):.2f}",
        f"{p50['http'] - p50['one']:+.2f}",
        f"{one['cpu'] / requests['http'] * 1e3:.2f}",
        f"{cpu['one']:.2f}",
        f"{cpu['http']:.3f}",
        f"{cpu['one'] * requests['http'] / one['cpu'] / 1e3:.2f}",
        f"{errors}, {wrong}",
    ]


def _ratio(some: list[float], others: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(some, others, strict=True))


def _short(answer: Any) -> Any:
    """Ids and score bits of an answer, or of several."""
    if "answers" in answer:
        return [_short(one) for one in answer["answers"]]
    return [[hit["document"], hit["score_bits"]] for hit in answer["hits"]]


# -- soak ---------------------------------------------------------------------------------------------


def soak(served: Served, args: argparse.Namespace) -> tuple[list[list[str]], Any]:
    """Everything at once: callers at an alias and pinned, the alias moved every second, one ingest after the other."""
    copy = served.folder / "soak"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(served.repository, copy / "served")
    questions = _mixed(served)
    with serving(copy / "served", **settings_of(args)) as service, process() as far:
        beside = Beside(service, served.story)
        beside.move(0)
        far.submit(over_http, service.address, service.key, questions, 8, 2.0).result()  # opens all
        asking = far.submit(over_http, service.address, service.key, questions, 8, args.soak)
        beside.run(asking.done)
        asked = asking.result()
    lines = _told(questions, asked, beside)
    for line in lines:
        print(row(line), flush=True)
    shutil.rmtree(copy)
    raw = {"moves": beside.moves, "memory": beside.memory, "ingests": beside.ingests, "errors": asked.errors[:20]}
    return lines, {**raw, "took": [(n, round(began, 4), round(ended - began, 5)) for n, began, ended in asked.took]}


def _mixed(served: Served) -> list[Question]:
    """Half of the vectors at the alias; the rest pinned vectors, batches, texts, and the branch that is written."""
    vectors = list(served.story.queries)
    asked = [Question("d", "prod", vector) for vector in vectors[:100]]
    asked += [Question("d", "main", vector) for vector in vectors[100:120]]
    asked += served.questions("vector", "mixed")[120:180]
    return asked + served.questions("batch", "mixed")[:10] + served.questions("text", "pinned")[:10]


@dataclass
class Beside:
    """What happens beside the callers; times are of `time.monotonic`."""

    service: Service
    story: Story
    moves: list[tuple[float, float, str]] = field(default_factory=list)  # asked, answered, where the alias then stood
    ingests: list[tuple[float, float, str]] = field(default_factory=list)  # queued, ended, state
    memory: list[tuple[float, float, float]] = field(default_factory=list)  # when, MB resident, MB without mapped files
    errors: list[str] = field(default_factory=list)

    def run(self, over: Callable[[], bool]) -> None:
        """Until the callers have ended."""
        some = [threading.Thread(target=self._again, args=(act, every, over)) for act, every in self._acts()]
        for thread in some:
            thread.start()
        for thread in some:
            thread.join()

    def _acts(self) -> list[tuple[Callable[[int], None], float]]:
        return [(self.move, 1.0), (self._ingest, 0.5), (self._look, 1.0)]

    def _again(self, act: Callable[[int], None], every: float, over: Callable[[], bool]) -> None:
        turn = 0
        while not over():
            since = time.monotonic()
            try:
                act(turn)
            except Exception as error:
                self.errors.append(f"{act.__name__} {error!r}")
            turn += 1
            time.sleep(max(0.0, since + every - time.monotonic()))

    def move(self, turn: int) -> None:
        """To one of the ten versions before the newest, or to the newest."""
        began = time.monotonic()
        body = {"alias": "prod", "ref": f"main~{turn % 11}"}
        move = self.service.call("POST", "/v1/datasets/d/promote", body)
        self.moves.append((began, time.monotonic(), move["after"]))

    def _ingest(self, turn: int) -> None:
        """A hundredth of the rows, with other vectors than they had."""
        count = len(self.story.first) // 100
        slots = (np.arange(count) + turn * count) % len(self.story.first)
        vectors = self.story.vectors[(slots + turn) % len(self.story.vectors)]
        records = [
            json.dumps({"id": f"{slot:08d}", "text": f"Row {slot}, turn {turn}.", "vector": vector.tolist()})
            for slot, vector in zip(slots, vectors, strict=True)
        ]
        began = time.monotonic()
        body, kind = "\n".join(records).encode(), "application/x-ndjson"
        job = self.service.call("POST", "/v1/datasets/d/ingest?label=rows&keep_missing=true", body, kind)
        while job["state"] in ("queued", "running"):
            time.sleep(0.1)
            job = self.service.call("GET", f"/v1/jobs/{job['id']}")
        self.ingests.append((began, time.monotonic(), job["state"]))
        if job["state"] != "succeeded":
            self.errors.append(f"ingest {job['error']}")

    def _look(self, turn: int) -> None:
        memory = self.service.memory()
        self.memory.append((time.monotonic(), memory["VmRSS"], memory["RssAnon"]))


def _told(questions: list[Question], asked: Asked, beside: Beside) -> list[list[str]]:
    at_alias = [one for one in asked.commits if questions[one[0]].at == "prod"]
    wrong = sum(not _stood(beside.moves, began, ended, commit) for _, began, ended, commit in at_alias)
    starts = np.array([began for began, _, _ in beside.moves])
    since = [began - starts[starts <= began].max(initial=-np.inf) for _, began, _, _ in at_alias]
    spent = np.array([ended - began for _, began, ended, _ in at_alias]) * 1e3
    lines = [["soak", "seen"]]
    for name, within in (("0.2 s after a move began", np.less), ("later, until the next", np.greater_equal)):
        some = spent[within(since, 0.2)]
        p50, p99 = np.percentile(some, [50, 99])
        lines.append([f"a vector at the alias, {name}", f"p50 {p50:.1f}, p99 {p99:.1f} ms ({len(some):,})"])
    moves = np.array([ended - began for began, ended, _ in beside.moves]) * 1e3
    ingests = [ended - began for began, ended, _ in beside.ingests]
    lines += [
        ["requests, a second", f"{len(asked.took):,}, {len(asked.took) / asked.seconds:.0f}"],
        ["errors: callers, beside", f"{len(asked.errors)}, {len(beside.errors)} {(asked.errors + beside.errors)[:3]}"],
        ["moves, p50, p99", f"{len(moves)}, {np.percentile(moves, 50):.0f}, {np.percentile(moves, 99):.0f} ms"],
        ["answers at the alias of a version on which it did not stand", f"{wrong} of {len(at_alias):,}"],
        ["ingests, median", f"{len(ingests)}, {statistics.median(ingests):.1f} s"],
    ]
    for name, column in (("resident", 1), ("of it no mapped files", 2)):
        times, sizes = (np.array([one[i] for one in beside.memory]) for i in (0, column))
        times, sizes = times[1:-1], np.median([sizes[:-2], sizes[1:-1], sizes[2:]], axis=0)  # a fork counts twice
        half = times >= times.mean()
        slope = np.polyfit(times[half], sizes[half], 1)[0] * 60
        told = f"{sizes[0]:.0f}, {sizes[len(sizes) // 2]:.0f}, {sizes[-1]:.0f} MB; second half {slope:+.2f} MB a minute"
        lines.append([f"memory, {name}: first, middle, last", told])
    return lines


def _stood(moves: list[tuple[float, float, str]], began: float, ended: float, commit: str) -> bool:
    """Did the alias stand on this commit at any moment of the request? It moves between a move's two times."""
    ends = [answered for _, answered, _ in moves[1:]] + [float("inf")]
    stood = [(asked, end) for (asked, _, to), end in zip(moves, ends, strict=True) if to == commit]
    return any(asked <= ended and began <= end for asked, end in stood)


if __name__ == "__main__":
    main()
