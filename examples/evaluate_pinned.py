"""A pinned evaluation: how well a version answers judged questions, and whether a newer one answers them worse.

    export VECVER_URL=http://127.0.0.1:8000 VECVER_KEY=vv_...      # of `vecver serve`; see `vecver key add`
    python examples/evaluate_pinned.py examples/questions.jsonl handbook@2026-06 handbook@main --tolerance 0.02

One line of the questions: {"question": "...", "documents": ["heating.md"]}, the documents that answer it. Prints R@5
(the share of these among the first five documents) and nDCG@10 of each version, as ir_measures defines them, beside
the commit that was measured: a figure without its commit could not be measured again. Exits with 1 if the second
version is worse than the first by more than the tolerance, so that CI can keep `prod` from being promoted to it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path
from statistics import fmean

import vecver

CHUNKS = 100  # asked for, to have ten documents among them: a document ranks where its best chunk does
MEASURES = ("R@5", "nDCG@10")

Judged = dict[str, set[str]]  # question -> the documents that answer it
Scores = dict[str, tuple[float, ...]]  # question -> the value of each measure


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions", type=Path)
    parser.add_argument("versions", nargs="+", metavar="DATASET@REVISION", help="one, or two to compare")
    parser.add_argument("--tolerance", type=float, default=0.0, help="how much worse the second may be (default: 0)")
    given = parser.parse_args()
    if len(given.versions) > 2:
        parser.error("one version, or two")
    judged = read(given.questions)
    url = os.environ.get("VECVER_URL", "http://127.0.0.1:8000")
    try:
        with vecver.connect(url, os.environ.get("VECVER_KEY")) as repo:
            measured = [evaluate(repo, version, judged) for version in given.versions]
    except vecver.VecverError as error:
        print(f"{error}: {error.hint}", file=sys.stderr)
        return error.exit_code
    return 1 if len(measured) == 2 and worse(*measured, given.tolerance) else 0


def read(path: Path) -> Judged:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    judged = {row["question"]: set(row["documents"]) for row in rows}
    if not judged or not all(judged.values()):
        sys.exit(f"{path}: every question needs a document that answers it")
    return judged


def evaluate(repo: vecver.RemoteRepository, version: str, judged: Judged) -> Scores:
    """Ask every question of one version, in one request, and print the means. Exact: nothing is left to an index."""
    dataset, _, revision = version.partition("@")
    answers = repo.dataset(dataset).search(list(judged), at=revision or "main", k=CHUNKS, exact=True)
    scores = {q: score([hit.document for hit in answer], judged[q]) for q, answer in zip(judged, answers, strict=True)}
    means = "  ".join(f"{name} {mean:.4f}" for name, mean in zip(MEASURES, means_of(scores), strict=True))
    print(f"{version:24s}  {answers[0].commit[:16]}  {means}  ({len(scores)} questions)")
    return scores


def score(hits: list[str], relevant: set[str]) -> tuple[float, ...]:
    """R@5 and nDCG@10 of one answer, by the documents of its hits, best first."""
    ranked = list(dict.fromkeys(hits))
    gain = sum(1 / math.log2(rank + 1) for rank, document in enumerate(ranked[:10], 1) if document in relevant)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(relevant), 10) + 1))
    return len(relevant & set(ranked[:5])) / len(relevant), gain / ideal


def means_of(scores: Scores) -> list[float]:
    return [fmean(values) for values in zip(*scores.values(), strict=True)]


def worse(before: Scores, after: Scores, tolerance: float) -> bool:
    """Is the second worse than the first in any measure? Says by how much, and in which questions."""
    falls = dict(zip(MEASURES, (b - a for b, a in zip(means_of(before), means_of(after), strict=True)), strict=True))
    too_far = {name: fall for name, fall in falls.items() if fall > tolerance}
    for name, fall in too_far.items():
        print(f"worse: {name} fell by {fall:.4f}, more than {tolerance:g}")
    for question in before if too_far else ():
        if any(b > a for b, a in zip(before[question], after[question], strict=True)):
            was, now = (" ".join(f"{value:.3f}" for value in one[question]) for one in (before, after))
            print(f"  {was} -> {now}  {question}")
    return bool(too_far)


if __name__ == "__main__":
    sys.exit(main())
