"""vecver's embedding beside sentence-transformers with its torch, ONNX and OpenVINO backends, in one run.

    python benchmarks/embedding.py [--texts 512] [--rounds 5] [--onnx-python PYTHON] [--openvino-python PYTHON]

Every contender runs the same real passages through the same model (all-MiniLM-L6-v2), in a process of its own
(`embedding_contender.py`), and they take turns round by round. Other work on the machine only slows, so the best round
of each counts; CPU seconds are those of all threads of the process. The backends need `optimum-onnx` and
`optimum-intel`, whose requirements exclude each other: `--onnx-python` and `--openvino-python` name interpreters of
environments that have them, `--fast-python` one with vecver's extra `fast`. A contender that does not start is left
out, with the reason.

- equal: the vectors are those of sentence-transformers' default within `EQUAL` (float32 rounding). OpenVINO's default
  is bfloat16 on CPUs that have it, whose vectors are not equal.
- wall, cpu: milliseconds a text. ratio: the default's time divided by the contender's, so higher is faster.
- overlap@10: of the ten nearest other texts of each text, the share that the default's vectors name too.
- outside: the share of an ingest's time in which no batch was in the model (parse, chunk, tokenise, write).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

import numpy as np
from embedding_contender import CONTENDERS
from tables import head, row

HERE = Path(__file__).resolve().parent
PASSAGES = HERE.parents[1] / "shared/data/passages/passages_dev.parquet"
DEFAULT = "sentence-transformers"
EQUAL = 1e-5  # largest difference of a component between vectors that count as equal


def main() -> None:
    options = parse(sys.argv[1:])
    if not options.passages.exists():
        print(f"skipped: {options.passages} is not on this machine", file=sys.stderr)
        return
    result = measure(options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--passages", type=Path, default=PASSAGES, help="parquet file with a column `text`")
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queries", type=int, default=40, help="single queries of each contender")
    parser.add_argument(
        "--ingest", type=int, default=1000, help="passages of the ingest whose time is divided; 0: none"
    )
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument("--onnx-python", default=sys.executable)
    parser.add_argument("--openvino-python", default=sys.executable)
    parser.add_argument("--fast-python", default=sys.executable, help="an environment with vecver's extra `fast`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "out/embedding.json")
    return parser.parse_args(arguments)


# -- measuring ------------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> dict[str, Any]:
    texts = passages(options)[: options.texts]
    with tempfile.TemporaryDirectory() as folder:
        contenders, left_out = started(options, texts, Path(folder))
        try:
            seconds = taking_turns(contenders, "texts", options.rounds)
            queries = taking_turns(contenders, "query", options.queries)
        finally:
            for contender in contenders.values():
                contender.stop()
        vectors = {name: contender.vectors() for name, contender in contenders.items()}
    return {
        "texts": len(texts),
        "characters_mean": round(float(np.mean([len(text) for text in texts])), 1),
        "contenders": {name: summary(name, seconds, queries, vectors, len(texts)) for name in contenders},
        "left_out": left_out,
        "environments": {name: contender.environment for name, contender in contenders.items()},
        "ingest": ingested(options) if options.ingest else None,
        "seconds": {"texts": seconds, "query": queries},
        "texts_sha256": hashlib.sha256("\0".join(texts).encode()).hexdigest(),
        "seed": options.seed,
        "machine": f"{platform.processor() or platform.machine()} {platform.platform()}, {os.cpu_count()} cores",
        "load": os.getloadavg(),
        "commit": git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "vecver") else ""),
    }


class Contender:
    """A process that embeds on request. Raises RuntimeError if it does not start."""

    def __init__(self, name: str, python: str, texts: Path, folder: Path) -> None:
        self._vectors = folder / f"{name.replace(' ', '-')}.npy"
        self._errors: IO[str] = (folder / f"{name.replace(' ', '-')}.log").open("w+")
        command = [python, str(HERE / "embedding_contender.py"), name, str(texts), str(self._vectors)]
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "HF_HUB_OFFLINE": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=environment
        )
        self.environment: dict[str, Any] = self._answer()

    def run(self, action: str) -> list[float]:
        """Wall and CPU seconds."""
        assert self._process.stdin is not None
        print(action, file=self._process.stdin, flush=True)
        return self._answer()

    def vectors(self) -> np.ndarray:
        return np.load(self._vectors)

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._errors.close()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        raise RuntimeError((self._errors.read().strip().splitlines() or ["it ended"])[-1][:300])


def started(options: argparse.Namespace, texts: list[str], folder: Path) -> tuple[dict[str, Contender], dict[str, str]]:
    """The contenders that run here, in order, and the reasons of the others."""
    path = folder / "texts.json"
    path.write_text(json.dumps(texts), encoding="utf-8")
    running, left_out = dict[str, Contender](), dict[str, str]()
    for name in options.only:
        python = options.onnx_python if "onnx" in name else sys.executable
        python = options.openvino_python if "openvino" in name else python
        python = options.fast_python if name in ("vecver openvino", "vecver bf16") else python
        try:
            running[name] = Contender(name, python, path, folder)
        except RuntimeError as error:
            left_out[name] = str(error)
        print(f"{name}: {'started' if name in running else left_out[name]}", file=sys.stderr)
    return running, left_out


def taking_turns(contenders: dict[str, Contender], action: str, rounds: int) -> dict[str, list[list[float]]]:
    """[wall, CPU] seconds of each contender in each round."""
    seconds: dict[str, list[list[float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            seconds[name].append(contender.run(action))
    return seconds


def summary(name: str, seconds: Any, queries: Any, vectors: dict[str, np.ndarray], count: int) -> dict[str, Any]:
    wall, cpu = (1000 * min(times[i] for times in seconds[name]) / count for i in (0, 1))
    figures: dict[str, Any] = {"wall_ms": round(wall, 3), "cpu_ms": round(cpu, 3)}
    figures["query_ms_p50"] = round(1000 * float(np.median([times[0] for times in queries[name]])), 2)
    figures["query_cpu_ms"] = round(1000 * min(times[1] for times in queries[name]), 2)
    if DEFAULT in vectors:
        difference = float(np.abs(vectors[name] - vectors[DEFAULT]).max())
        figures |= {"max_abs_difference": difference, "equal": difference <= EQUAL}
        figures |= {"min_cosine": min_cosine(vectors[name], vectors[DEFAULT])}
        figures |= {"overlap@10": overlap(vectors[name], vectors[DEFAULT])}
        default = [min(times[i] for times in seconds[DEFAULT]) * 1000 / count for i in (0, 1)]
        figures |= {"wall_ratio": round(default[0] / wall, 3), "cpu_ratio": round(default[1] / cpu, 3)}
    return figures


def min_cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float((np.einsum("ij,ij->i", ours.astype(np.float64), theirs) / lengths).min())


def overlap(ours: np.ndarray, theirs: np.ndarray, k: int = 10) -> float:
    """The share of the k nearest other rows, by cosine, that both agree on."""
    nearest = [np.argsort(-(v @ v.T) + 4 * np.eye(len(v)), axis=1)[:, :k] for v in (ours, theirs)]
    return round(float(np.mean([len(set(a) & set(b)) / k for a, b in zip(*nearest, strict=True)])), 4)


def ingested(options: argparse.Namespace) -> dict[str, Any]:
    """One ingest of random passages into a new repository, and the time that the model was at work."""
    import vecver
    from vecver.pipeline.embedders.open import open_embedder

    embedder: Any = open_embedder("minilm")
    rows = [{"id": f"d{n}", "text": text} for n, text in enumerate(passages(options)[: options.ingest])]
    runtime = embedder._path._runtime
    run, busy = runtime.run, list[tuple[float, float]]()

    def timed_run(*batch: Any) -> Any:
        start = time.perf_counter()
        vectors = run(*batch)
        busy.append((start, time.perf_counter()))
        return vectors

    with tempfile.TemporaryDirectory() as folder:
        docs = vecver.create(folder).dataset("d")
        runtime.run = timed_run
        start = time.perf_counter()
        report = docs.ingest(rows, embedder=vecver.embedder(embedder, fingerprint="minilm, timed"))
        total = time.perf_counter() - start
    return {
        "passages": len(rows),
        "chunks": report.chunks["embedded"],
        "seconds": round(total, 2),
        "outside": round(1 - covered(busy) / total, 4),
        "phases": {phase: round(spent, 2) for phase, spent in report.seconds.items()},
    }


def covered(intervals: list[tuple[float, float]]) -> float:
    """Seconds in which at least one interval was open."""
    seconds, until = 0.0, 0.0
    for start, end in sorted(intervals):
        seconds += max(0.0, end - max(start, until))
        until = max(until, end)
    return seconds


def passages(options: argparse.Namespace) -> list[str]:
    """All passages, in an order that the seed decides."""
    import pyarrow.parquet as pq

    column = pq.read_table(options.passages, columns=["text"]).column("text")
    rows = np.random.default_rng(options.seed).permutation(len(column))[: max(options.texts, options.ingest)]
    return column.take(rows).to_pylist()


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True).stdout.strip()


# -- the table ------------------------------------------------------------------------------------


def table(result: dict[str, Any]) -> str:
    columns = ("wall_ms", "cpu_ms", "wall_ratio", "cpu_ratio", "equal", "max_abs_difference", "query_ms_p50")
    lines = [head(("contender", *columns))]
    for name, figures in result["contenders"].items():
        lines.append(row((name, *(_cell(figures.get(column)) for column in columns))))
    lines += [f"{name} was left out: {reason}" for name, reason in result["left_out"].items()]
    return "\n".join([*lines, *goals(result["contenders"])])


def _cell(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) and value < 1e-2 else str(value)


def goals(contenders: dict[str, dict[str, Any]]) -> list[str]:
    """vecver's speed divided by the default's, and by that of the fastest peer with equal vectors."""
    peers = {name: figures for name, figures in contenders.items() if name.startswith(DEFAULT) and figures.get("equal")}
    lines = []
    for name in ("vecver", "vecver in an ingest"):
        for clock in ("wall_ms", "cpu_ms") if peers and name in contenders else ():
            fastest = min(peers, key=lambda peer: float(peers[peer][clock]))
            default, best, ours = (contenders[key][clock] for key in (DEFAULT, fastest, name))
            lines.append(f"{name}, {clock}: {default / ours:.2f} x the default, {best / ours:.2f} x {fastest}")
    return lines


if __name__ == "__main__":
    main()
