"""Real histories: how many pinned questions each version answers, and whether `bisect` finds planted breaks.

    python benchmarks/pinned_questions.py fastapi-docs otel-docs [--data ../shared/data/history] [--breaks 20]
                                          [--picture docs/images/pinned-questions.svg]

Every version of a corpus (a Git bundle with one tag a version) is ingested and tagged. A version is measured by those
pinned questions whose document it holds: `docs.eval` with Success@1 and Success@10. Prints a table and draws a picture.

Then the same history is ingested into another dataset with planted breaks: documents that every version holds, and
that answer their question in every version, are removed from some version on, or cut down to one line. `docs.bisect` is
asked for each which version broke the answer. Its steps count, and whether it names that version.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vecver

HERE = Path(__file__).parent
MEASURES = ("Success@1", "Success@10", "RR@10")


@dataclass(frozen=True)
class Break:
    """A document that answers nothing from one version on."""

    query: dict[str, Any]
    place: int  # of the version that broke it
    is_removed: bool  # or else cut down to one line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared/data/history")
    parser.add_argument("--out", type=Path, default=HERE / "out/pinned_questions")
    parser.add_argument("--embedder", default="minilm:bf16")
    parser.add_argument("--breaks", type=int, default=20, help="in the first corpus that is named")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    curves = {}
    for number, corpus in enumerate(args.corpora):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / corpus
            git("clone", "-q", str(args.data / corpus / f"{corpus}.bundle"), str(source))
            repository = vecver.open(Path(folder) / "kb", create=True, author="benchmark")
            result = run(repository, source, args.data / corpus, args.embedder, 0 if number else args.breaks)
        curves[corpus] = result["versions"]
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / f"{corpus}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False), "utf-8")
        if args.picture:
            args.picture.write_text(drawn(curves), "utf-8")


def run(repository: vecver.Repository, source: Path, data: Path, embedder: str, breaks: int) -> dict[str, Any]:
    versions = [entry["version"] for entry in lines(data / "manifest.jsonl")]
    docs, began = repository.dataset(source.name), time.perf_counter()
    ingest(docs, source, versions, embedder, ())
    print(f"\n{source.name}: {len(versions)} versions ingested in {time.perf_counter() - began:.0f} s", flush=True)
    queries = lines(data / "pinned_queries.jsonl")
    asked = questions_of(repository, queries, embedder)
    measured = [measure(docs, queries, asked, versions, place) for place in range(len(versions))]
    table(measured)
    found = broken(repository, source, queries, asked, versions, measured, embedder, breaks) if breaks else []
    return {"embedder": embedder, "versions": [row for row, _ in measured], "bisect": found}


def ingest(docs: vecver.Dataset, source: Path, versions: list[str], embedder: str, breaks: tuple[Break, ...]) -> None:
    for place, version in enumerate(versions):
        git("-C", str(source), "checkout", "-q", "-f", version)
        for each in breaks:
            if place >= each.place:
                file = source / each.query["path"]
                file.unlink() if each.is_removed else file.write_text("This page has moved.\n", "utf-8")
        report = docs.ingest(source, message=version, embedder=embedder, allow_removals=True)
        docs.tag(version, report)


def questions_of(
    repository: vecver.Repository, queries: list[dict[str, Any]], embedder: str
) -> dict[str, vecver.JudgedQuestion]:
    """The questions by id, embedded once: their texts are documents of a dataset, whose vectors are read back."""
    side = repository.dataset("questions")
    records = [{"id": query["id"], "text": query["query"]} for query in queries]
    side.ingest(records, label="questions", embedder=embedder, chunker="whole")
    hits = side.search("any", k=len(queries), exact=True, vectors=True)
    vectors = {hit.document: tuple(float(x) for x in hit.vector) for hit in hits if hit.vector is not None}
    return {
        query["id"]: vecver.JudgedQuestion(query["id"], query["query"], vectors[query["id"]], {query["path"]: 1})
        for query in queries
    }


def measure(
    docs: vecver.Dataset,
    queries: list[dict[str, Any]],
    asked: dict[str, vecver.JudgedQuestion],
    versions: list[str],
    place: int,
) -> tuple[dict[str, Any], set[str]]:
    """A line of the table, and the questions that this version answers among its first ten."""
    order = {version: number for number, version in enumerate(versions)}
    alive = [asked[query["id"]] for query in queries if order[query["first"]] <= place <= order[query["last"]]]
    measured = docs.eval(versions[place], questions=alive, measures=MEASURES)
    row = {
        "version": versions[place],
        "questions": len(alive),
        **{name: measured[name] for name in MEASURES},
        "low": measured.measures["Success@10"].low,
        "high": measured.measures["Success@10"].high,
        "chunks": docs.show(versions[place]).counts["chunks"],
        "engine": measured.engine["name"],
        "missed": [each.id for each in measured.per_question if not each.measures["Success@10"]],
    }
    return row, {each.id for each in measured.per_question if each.measures["Success@10"]}


def table(measured: list[tuple[dict[str, Any], set[str]]]) -> None:
    print(f"{'version':<12}{'questions':>10}{'chunks':>9}{'engine':>8}{'Success@1':>11}{'Success@10':>12}{'RR@10':>8}")
    for row, _ in measured:
        values = f"{row['Success@1']:>11.4f}{row['Success@10']:>12.4f}{row['RR@10']:>8.4f}"
        print(f"{row['version']:<12}{row['questions']:>10}{row['chunks']:>9,}{row['engine']:>8}{values}", flush=True)


def broken(
    repository: vecver.Repository,
    source: Path,
    queries: list[dict[str, Any]],
    asked: dict[str, vecver.JudgedQuestion],
    versions: list[str],
    measured: list[tuple[dict[str, Any], set[str]]],
    embedder: str,
    count: int,
) -> list[tuple[bool, int]]:
    """Plant breaks in the same history, and look for each with `bisect`."""
    always = set.intersection(*(answered for _, answered in measured))
    draw, by_path = random.Random(17), {query["path"]: query for query in queries if query["id"] in always}
    some = draw.sample(sorted(by_path), min(count, len(by_path)))
    places = draw.sample(range(1, len(versions)), len(some))
    planted = enumerate(zip(some, places, strict=True))
    breaks = tuple(Break(by_path[path], place, number % 2 == 0) for number, (path, place) in planted)
    docs = repository.dataset(f"{source.name}.broken")
    ingest(docs, source, versions, embedder, breaks)
    found: list[tuple[bool, int]] = []
    print(f"\n{len(breaks)} breaks among {len(versions)} versions, of {len(by_path)} documents that always answer")
    for each in breaks:
        vector = asked[each.query["id"]].vector
        bisection = docs.bisect(versions[0], versions[-1], query=list(vector or ()), expect=each.query["path"])
        named = bisection.commit == docs.resolve(versions[each.place])
        found.append((named, bisection.evaluations))
        verdict = "right" if named else "WRONG"
        print(f"  {versions[each.place]:<10}{verdict:<7}{bisection.evaluations} evaluations", flush=True)
    right, most = sum(named for named, _ in found), max(steps for _, steps in found)
    print(f"right: {right} of {len(found)}, at most {most} evaluations")
    return found


# -- the picture ---------------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, TOP = 760, 190, 48, 34
COLOURS = {"Success@10": "#1f77b4", "Success@1": "#ff7f0e"}


def drawn(curves: dict[str, list[dict[str, Any]]]) -> str:
    """Success over versions as SVG, a panel a corpus."""
    height = len(curves) * (HEIGHT + 60) + 10
    panels = [_panel(name, rows, number * (HEIGHT + 60)) for number, (name, rows) in enumerate(curves.items())]
    size = f'width="{WIDTH + 70}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    return "\n".join([head, f'<rect width="100%" height="{height}" fill="white"/>', *panels, "</svg>", ""])


def _panel(name: str, rows: list[dict[str, Any]], down: int) -> str:
    least = min(0.8, *(row["Success@1"] for row in rows))
    least = int(least * 10) / 10

    def x(place: int) -> float:
        return LEFT + place * (WIDTH - LEFT) / max(len(rows) - 1, 1)

    def y(value: float) -> float:
        return down + TOP + (1 - value) / (1 - least) * (HEIGHT - TOP)

    parts = [f'<text x="{LEFT}" y="{down + 18}" font-size="14">{name}: {len(rows)} versions</text>']
    for step in range(round((1 - least) * 10) + 1):
        value = 1 - step / 10
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.1f}</text>')
    for place in sorted({round(n * (len(rows) - 1) / 6) for n in range(7)}):
        at = f'x="{x(place):.1f}" y="{down + HEIGHT + 18}"'
        parts.append(f'<text {at} text-anchor="middle">{rows[place]["version"]}</text>')
    band = [f"{x(n):.1f},{y(row['high']):.1f}" for n, row in enumerate(rows)]
    band += [f"{x(n):.1f},{y(row['low']):.1f}" for n, row in reversed(list(enumerate(rows)))]
    parts.append(f'<polygon points="{" ".join(band)}" fill="#1f77b4" opacity="0.15"/>')
    for number, (measure, colour) in enumerate(COLOURS.items()):
        points = " ".join(f"{x(n):.1f},{y(row[measure]):.1f}" for n, row in enumerate(rows))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{WIDTH - 230 + number * 120}" y="{down + 18}" fill="{colour}">{measure}</text>')
    return "\n".join(parts)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


if __name__ == "__main__":
    main()
