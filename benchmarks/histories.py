"""Ingests every version of real documentation histories in order, then asks their pinned questions.

    python benchmarks/histories.py otel-docs tldr-en [--data ../shared/data/history] [--versions N]

Each corpus is a Git bundle with one tag a version, `manifest.jsonl` (what changed: the ideal) and
`pinned_queries.jsonl` (a query, the document that answers it, the first and last version that hold it).
Prints a line a version and the totals; raw numbers and answers go to `--out` (benchmarks/out/histories).

embedded share   chunks embedded / chunks live, summed over versions; the ideal is new / all paragraphs
bytes            everything under the repository / the rows ever written (Arrow tables and vectors): as the
                 ingests left it, with what folds left behind, and after gc and optimize
R@10 inside      the document is among the ten best at the first and the last version that hold it
wrong outside    hits on the document, at any rank of ten, in versions where it does not exist
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import tempfile
import time
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

import vecver

HERE = Path(__file__).parent
K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared/data/history")
    parser.add_argument("--out", type=Path, default=HERE / "out/histories")
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--versions", type=int, default=None, help="only the first N versions")
    args = parser.parse_args()
    for corpus in args.corpora:
        with tempfile.TemporaryDirectory() as folder:
            result = run(args.data / corpus, Path(folder), args.embedder, args.versions)
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / f"{corpus}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False), "utf-8")
        show(corpus, result)


def run(data: Path, folder: Path, embedder: str, limit: int | None) -> dict[str, Any]:
    """Ingest all versions, ask all questions, then check, optimize and gc."""
    manifest = lines(data / "manifest.jsonl")[:limit]
    source = folder / data.name
    git("clone", "-q", str(data / f"{data.name}.bundle"), str(source))
    repository = vecver.open(folder / "kb", create=True, author="benchmark")
    docs = repository.dataset(data.name)
    versions = []
    for entry in manifest:
        git("-C", str(source), "checkout", "-q", "-f", entry["version"])
        versions.append(ingest(docs, source, entry, embedder, folder / "kb"))
    pinned = ask(docs, lines(data / "pinned_queries.jsonl"), [v["version"] for v in versions])
    began = time.perf_counter()
    check = repository.check()
    seconds, left = time.perf_counter() - began, disk_bytes(folder / "kb")
    docs.optimize()
    for _ in range(2):  # the first run marks garbage, the second deletes it
        repository.gc(grace=timedelta(0), apply=True)
    return {
        "machine": platform.processor() or platform.machine(),
        "embedder": embedder,
        "versions": versions,
        "ideal": sum(e["new_paragraphs"] for e in manifest) / sum(e["paragraphs"] for e in manifest),
        "share": sum(v["embedded"] for v in versions) / sum(v["live"] for v in versions),
        "disk_bytes": {"left": left, "tidied": disk_bytes(folder / "kb")},
        "row_bytes": sum(row_bytes(segment) for segment in segments(folder / "kb")),
        "pinned": pinned,
        "check": {"clean": check.clean, "objects": check.objects, "seconds": seconds},
    }


def ingest(docs: vecver.Dataset, source: Path, entry: dict[str, Any], embedder: str, kb: Path) -> dict[str, Any]:
    began = time.perf_counter()
    report = docs.ingest(source, message=entry["version"], embedder=embedder, allow_removals=True)
    seconds = time.perf_counter() - began
    docs.tag(entry["version"], report)
    line = {
        "version": entry["version"],
        "documents": dict(report.documents),
        "embedded": report.chunks["embedded"],
        "live": report.chunks["live"],
        "share": report.chunks["embedded"] / report.chunks["live"],
        "ideal": entry["new_paragraphs"] / entry["paragraphs"],
        "disk_bytes": disk_bytes(kb),
        "seconds": {**report.seconds, "all": seconds},
        "failures": [failure.to_json() for failure in report.failures],
    }
    print(
        f"{entry['version']:>10}  {report.documents['added']:5d} + {report.documents['changed']:4d} ~ "
        f"{report.documents['removed']:4d} -   {line['embedded']:6d} of {line['live']:6d} embedded "
        f"({line['share']:6.1%}, ideal {line['ideal']:6.1%})   {seconds:6.1f} s",
        flush=True,
    )
    return line


def ask(docs: vecver.Dataset, queries: list[dict[str, Any]], versions: list[str]) -> dict[str, Any]:
    """Ask each query at the first and last version with its document, and at the versions just outside."""
    place = {version: i for i, version in enumerate(versions)}
    questions: dict[str, list[tuple[dict[str, Any], str]]] = defaultdict(list)
    for query in queries:
        if query["first"] not in place or query["last"] not in place:
            continue
        first, last = place[query["first"]], place[query["last"]]
        for version in {versions[first], versions[last]}:
            questions[version].append((query, "inside"))
        for outside in {first - 1, last + 1} & set(range(len(versions))):
            questions[versions[outside]].append((query, "outside"))
    answers = []
    for version in versions:
        if not questions[version]:
            continue
        present = set(docs.documents(version))
        replies = docs.search([query["query"] for query, _ in questions[version]], at=version, k=K)
        for (query, where), answer in zip(questions[version], replies, strict=True):
            documents = [hit.document for hit in answer]
            answers.append(
                {
                    "id": query["id"],
                    "kind": query["kind"],
                    "version": version,
                    "where": where,
                    "exists": query["path"] in present,
                    "rank": documents.index(query["path"]) + 1 if query["path"] in documents else None,
                    "hits": [[hit.key, hit.score_bits] for hit in answer],
                }
            )
    inside = [a for a in answers if a["where"] == "inside"]
    absent = [a for a in answers if a["where"] == "outside" and not a["exists"]]
    return {
        "inside": len(inside),
        "R@1": sum(a["rank"] == 1 for a in inside) / len(inside),
        "R@10": sum(a["rank"] is not None for a in inside) / len(inside),
        "R@10 by kind": by_kind(inside),
        "outside": len(absent),
        "wrong outside": sum(a["rank"] is not None for a in absent),
        "answers": answers,
    }


def by_kind(answers: list[dict[str, Any]]) -> dict[str, float]:
    kinds: dict[str, list[bool]] = defaultdict(list)
    for answer in answers:
        kinds[answer["kind"]].append(answer["rank"] is not None)
    return {kind: sum(hits) / len(hits) for kind, hits in sorted(kinds.items())}


def show(corpus: str, result: dict[str, Any]) -> None:
    versions, pinned = result["versions"], result["pinned"]
    left, tidied = (result["disk_bytes"][state] for state in ("left", "tidied"))
    phases = {name: sum(v["seconds"][name] for v in versions) for name in versions[0]["seconds"]}
    print(f"\n{corpus}: {len(versions)} versions, {versions[-1]['live']} chunks live in the last")
    ratio = result["share"] / result["ideal"]
    print(f"  embedded share  {result['share']:.2%} = {ratio:.3f} x ideal {result['ideal']:.2%}")
    print(
        f"  bytes           {tidied:,} on disk = {tidied / result['row_bytes']:.3f} x rows; "
        f"{left / result['row_bytes']:.3f} x before gc and optimize"
    )
    print(f"  seconds         {', '.join(f'{name} {value:.1f}' for name, value in phases.items())}")
    print(f"  R@10 inside     {pinned['R@10']:.4f} (R@1 {pinned['R@1']:.4f}) of {pinned['inside']}")
    print(f"    by kind       {pinned['R@10 by kind']}")
    print(f"  wrong outside   {pinned['wrong outside']} of {pinned['outside']}")
    print(f"  check           {result['check']}\n", flush=True)


def disk_bytes(kb: Path) -> int:
    """Everything under the repository."""
    return sum(file.stat().st_size for file in kb.rglob("*") if file.is_file())


def row_bytes(segment: Path) -> int:
    """Bytes of a segment's rows in memory: its two Arrow tables and its vectors."""
    tables = [
        pa.ipc.open_file(pa.memory_map(str(segment / f"{name}.arrow"))).read_all() for name in ("documents", "chunks")
    ]
    return sum(table.nbytes for table in tables) + (segment / "vectors.npy").stat().st_size - 128


def segments(kb: Path) -> set[Path]:
    return set((kb / "segments").iterdir()) if (kb / "segments").exists() else set()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


if __name__ == "__main__":
    main()
