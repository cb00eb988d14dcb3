"""What one command costs: CPU seconds of whole processes, from the start of Python to its end.

    python benchmarks/start.py [--times N] [--documents N] [--rows N --folder DIR] [--out results.json]

Makes a repository of N documents (131, about 400 words each, in a folder of its own), embedded with the bundled model,
and runs each command N times, in turns, so that a busy moment of the machine touches all of them. It prints the least
user plus system time, as the operating system counts it for the process and its children, and the least time
that passed. `git log` runs in a Git repository with as many commits as the dataset has versions.

    python -c pass     what the interpreter costs: subtract it
    git log            the peer
    --help, log, status
    vector search      `search --queries FILE` with one vector: no model is needed
    text search        `search DATASET TEXT`: with the model's start

With `--rows N` it measures the cold searches of N rows instead, beside their peers (`cold_search.py`); what they search
is made in `--folder` once. The third column is the time until the answer begins to be printed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cold_search import cold_searches

SENTENCE = "bleed the valve of a radiator before the pump presses water through a pipe and send an invoice for its seal"
WORDS = SENTENCE.split()
VERSIONS = 5


def main() -> None:
    """Measure, and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--times", type=int, default=7)
    arguments.add_argument("--documents", type=int, default=131)
    arguments.add_argument("--rows", type=int, help="measure cold searches of so many rows instead")
    arguments.add_argument("--folder", type=Path, default=Path("cold"), help="where they are kept")
    arguments.add_argument("--out")
    options = arguments.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its bytecode
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if options.rows is None else options.folder.absolute()
        if options.rows is None:
            commands = prepared(folder, options.documents)
            print(f"{options.documents} documents, {VERSIONS} versions, least of {options.times}, seconds\n")
        else:
            commands = {"python -c pass": [sys.executable, "-c", "pass"], **cold_searches(folder, options.rows)}
            print(f"{options.rows} rows, least of {options.times}, seconds\n")
        costs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
        for _ in range(options.times):
            for name, command in commands.items():
                costs[name].append(cost(command, folder))
    least = {name: tuple(map(min, zip(*seen, strict=True))) for name, seen in costs.items()}
    print(f"{'command':<20}{'CPU':>7}{'wall':>7}{'answer':>8}{'CPU beyond the interpreter':>30}")
    for name, (cpu, wall, answer) in least.items():
        print(f"{name:<20}{cpu:>7.3f}{wall:>7.3f}{answer:>8.3f}{cpu - least['python -c pass'][0]:>30.3f}")
    if options.out:
        Path(options.out).write_text(json.dumps({"seen": costs, "least": least}, indent=2) + "\n")


def prepared(folder: Path, documents: int) -> dict[str, list[str]]:
    """A repository, a Git repository and a query's vector in `folder`; the commands by name."""
    rng = random.Random(14)
    docs = folder / "docs"
    docs.mkdir()
    vecver = [sys.executable, "-c", "from vecver.cli import program; program()"]
    run([*vecver, "init"], folder)
    run(["git", "init", "-q", "."], docs)
    for version in range(VERSIONS):
        for number in range(documents if version == 0 else 3):
            paragraphs = [" ".join(rng.choices(WORDS, k=80)) + "." for _ in range(5)]
            (docs / f"{number:03d}.md").write_text(f"# Document {number}\n\n" + "\n\n".join(paragraphs) + "\n")
        run([*vecver, "ingest", "docs", str(docs), "-m", f"version {version}"], folder)
        run(["git", "add", "-A"], docs)
        run(["git", "-c", "user.name=b", "-c", "user.email=b@b", "commit", "-qm", f"version {version}"], docs)
    receipt = folder / "receipt.json"
    text_search = ["search", "docs", "how is a leaking valve closed?"]
    run([*vecver, *text_search, "--receipt", str(receipt)], folder)
    (folder / "vector.jsonl").write_text(json.dumps({"vector": vector_of(json.loads(receipt.read_text()))}) + "\n")
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "git log": ["git", "-C", str(docs), "--no-pager", "log"],
        "--help": [*vecver, "--help"],
        "log": [*vecver, "log", "docs"],
        "status": [*vecver, "status", "docs", str(docs)],
        "vector search": [*vecver, "search", "docs", "--queries", "vector.jsonl"],
        "text search": [*vecver, *text_search],
    }


def vector_of(receipt: dict[str, dict[str, str]]) -> list[float]:
    """The query's vector as a receipt holds it."""
    import base64

    import numpy as np

    return [float(value) for value in np.frombuffer(base64.b64decode(receipt["query"]["vector"]), "<f4")]


def run(command: list[str], folder: Path) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def cost(command: list[str], folder: Path) -> tuple[float, float, float]:
    """CPU seconds, seconds that passed, and seconds until the first output, of a process with its children."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout
    with process.stdout as output:
        output.read(1)
        answer = time.perf_counter() - began
        while output.read(1 << 16):
            pass
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime, wall, answer


if __name__ == "__main__":
    main()
