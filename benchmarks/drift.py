"""Measures what `drift` flags: real histories, planted changes, languages; and what a sketch costs.

    python benchmarks/drift.py histories otel-docs tldr-en [--versions 30] [--skip 0] [--embedder hashing]
    python benchmarks/drift.py planted [--documents 5000] [--seeds 3]
    python benchmarks/drift.py languages
    python benchmarks/drift.py cost [--rows 1000000] [--dim 384]

histories   ingests the versions one after the other; nothing may be flagged
planted     real passages with their MiniLM vectors, one document each; then the same with a part of the documents
            changed in one way, at several strengths: how often it is flagged, and by which statistics
languages   the passages of each known language: which classes the sketch names
cost        the bytes of a sketch, and the CPU time of counting rows
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import vecver

HERE = Path(__file__).parent
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 1.0)
Rows = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["histories", "planted", "languages", "cost"])
    parser.add_argument("corpora", nargs="*")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared/data")
    parser.add_argument("--embedder", default="hashing")
    parser.add_argument("--versions", type=int, default=30)
    parser.add_argument("--skip", type=int, default=0, help="versions of a history before the first that is ingested")
    parser.add_argument("--documents", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=384)
    args = parser.parse_args()
    if args.what == "histories":
        for corpus in args.corpora:
            history(args.data / "history" / corpus, args)
    else:
        {"planted": planted, "languages": languages, "cost": cost}[args.what](args)


# -- real histories ---------------------------------------------------------------------------------


def history(data: Path, args: argparse.Namespace) -> None:
    """Ingest versions of a corpus, each compared with the one before."""
    lines = (data / "manifest.jsonl").read_text("utf-8").splitlines()
    tags = [json.loads(line)["version"] for line in lines][args.skip : args.skip + args.versions]
    worst: dict[str, list[tuple[float, str]]] = defaultdict(list)
    compared = alarms = noted = 0
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / data.name
        subprocess.run(["git", "clone", "-q", str(data / f"{data.name}.bundle"), str(source)], check=True)
        docs = vecver.open(Path(folder) / "kb", create=True).dataset("d")
        before = None
        for tag in tags:
            subprocess.run(["git", "-C", str(source), "checkout", "-q", "-f", tag], check=True)
            report = docs.ingest(source, embedder=args.embedder, allow_removals=True)
            if not report.changed:
                continue
            noted += any(note.startswith("drift from") for note in report.notes)
            if before:
                drift = docs.drift(before, report)
                compared, alarms = compared + 1, alarms + drift.drifted
                for each in drift.statistics:
                    worst[each.name].append((each.distance / each.threshold, f"{each.distance:.3f} at {tag}"))
            before = report.commit
    print(f"{data.name}: {compared} ingests, {alarms} flagged, {noted} noted by the ingest")
    for name, values in worst.items():
        print(f"  {name:16} at most {max(values)[0]:.2f} of its threshold: {max(values)[1]}")


# -- planted changes --------------------------------------------------------------------------------


def planted(args: argparse.Namespace) -> None:
    """Change a part of the documents in one way, and count what is flagged over the seeds."""
    passages, foreign = passages_of(args.data, args.documents * 2)
    kinds: dict[str, Callable[..., Rows]] = {
        "edited": edited,
        "language": lambda rows, rng: translated(rows, foreign, rng),
        "cut at 200": lambda rows, rng: [{**row, "text": row["text"][:200]} for row in rows],
        "cut at 400": lambda rows, rng: [{**row, "text": row["text"][:400]} for row in rows],
        "cut at 800": lambda rows, rng: [{**row, "text": row["text"][:800]} for row in rows],
        "other model": lambda rows, rng: turned(rows),
        "no norm": lambda rows, rng: [{**row, "vector": row["vector"] * np.float32(3)} for row in rows],
        "doubled": lambda rows, rng: [*rows, *({**row, "id": row["id"] + "-again"} for row in rows)],
    }
    print(f"{args.documents} documents of {len(passages)}; flagged of {args.seeds}, and by what")
    for kind, change in kinds.items():
        for share in SHARES:
            flagged, names = 0, Counter[str]()
            for seed in range(args.seeds):
                drift = planted_drift(passages, share, change, np.random.default_rng(seed), args.documents)
                flagged += drift.drifted
                names.update(each.name for each in drift.moved)
            print(f"  {kind:12} {share:5.0%}  {flagged}/{args.seeds}  {dict(names)}", flush=True)


def planted_drift(passages: Rows, share: float, change: Any, rng: Any, count: int) -> vecver.Drift:
    with tempfile.TemporaryDirectory() as folder:
        docs = vecver.open(Path(folder) / "kb", create=True).dataset("d")
        drawn = rng.permutation(len(passages))
        rows, unused = ([passages[place] for place in part] for part in (drawn[:count], drawn[count:]))
        first = docs.ingest(table(rows), label="rows", space="minilm", metric="ip")
        picked = rng.choice(count, round(count * share), replace=False)
        if len(picked):
            changed = change([rows[place] for place in picked], unused if change is edited else rng)
            docs.ingest(table(changed), label="rows", keep_missing=True)
        return docs.drift(first.commit or "", "main")


def passages_of(data: Path, count: int) -> tuple[Rows, list[str]]:
    """(English passages with their vectors, German texts)."""
    found = pq.read_table(data / "passages/passages_dev.parquet", columns=["id", "lang", "text"])
    file = np.load(data / "ann/passages36k_minilm_f16.npz", allow_pickle=True)
    vectors = file["vectors"][:count].astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = dict(zip(found.column("id").to_pylist(), found.column("text").to_pylist(), strict=True))
    ids = [str(id) for id in file["ids"][:count]]
    rows = [{"id": id, "text": texts[id], "vector": vector} for id, vector in zip(ids, vectors, strict=True)]
    both = zip(found.column("lang").to_pylist(), found.column("text").to_pylist(), strict=True)
    return rows, [text for language, text in both if language == "de"][:count]


def table(rows: Rows) -> pa.Table:
    vectors = np.stack([row["vector"] for row in rows])
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    return pa.table({"id": [row["id"] for row in rows], "text": [row["text"] for row in rows], "vector": flat})


def edited(rows: Rows, unused: Rows) -> Rows:
    """Other passages of the same kind: no cause."""
    return [{**other, "id": row["id"]} for row, other in zip(rows, unused, strict=False)]


def translated(rows: Rows, foreign: list[str], rng: Any) -> Rows:
    """Texts of another language; the vectors stay, as those of a multilingual model would about."""
    return [{**row, "text": foreign[rng.integers(len(foreign))]} for row in rows]


def turned(rows: Rows) -> Rows:
    """The vectors of another model under the same name: the same, turned and reflected at random."""
    turn, _ = np.linalg.qr(np.random.default_rng(7).standard_normal((384, 384)))
    return [{**row, "vector": (row["vector"] @ turn).astype(np.float32)} for row in rows]


# -- languages and cost -----------------------------------------------------------------------------


def languages(args: argparse.Namespace) -> None:
    """Which class the passages of each language get."""
    from vecver.sketching.languages import NAMES, language_classes

    found = pq.read_table(args.data / "passages/passages_dev.parquet", columns=["lang", "text"])
    texts, known = found.column("text").combine_chunks(), found.column("lang").to_pylist()
    began = time.process_time()
    classes = np.concatenate([language_classes(texts.slice(at, 4096)) for at in range(0, len(texts), 4096)])
    print(f"{1e6 * (time.process_time() - began) / len(texts):.1f} us a passage")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for language, place in zip(known, classes.tolist(), strict=True):
        counts[language][NAMES[place]] += 1
    for language, named in sorted(counts.items(), key=lambda item: -item[1].total()):
        shares = ", ".join(f"{name} {count / named.total():.1%}" for name, count in named.most_common(3))
        print(f"  {language:8} {named.total():7}  {shares}")


def cost(args: argparse.Namespace) -> None:
    """The bytes of a sketch of many rows, and the CPU time of counting them."""
    from vecver.sketching import Sketch, sketch_of_chunks, sketch_of_documents

    found = pq.read_table(args.data / "passages/passages_dev.parquet", columns=["text"])
    texts = found.column("text").combine_chunks()
    rng, sketch, seconds = np.random.default_rng(0), Sketch.empty(), 0.0
    for start in range(0, args.rows, 4096):
        count = min(4096, args.rows - start)
        block = texts.take(pa.array(rng.integers(0, len(texts), count)))
        vectors = rng.standard_normal((count, args.dim), np.float32)
        began = time.process_time()
        sketch = sketch + sketch_of_chunks(block, vectors)
        sketch = sketch + sketch_of_documents(np.full(count, 900), np.full(count, 3))
        seconds += time.process_time() - began
        if start + count in (4096, 102400, args.rows):
            size = len(json.dumps(sketch.to_json()))
            print(
                f"{start + count:9,} rows: {size:,} bytes, {1e6 * seconds / (start + count):.1f} us a row", flush=True
            )


if __name__ == "__main__":
    main()
