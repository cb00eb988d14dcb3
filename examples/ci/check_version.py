"""A step of CI: ingest what a change of the documents brings, measure it, and fail if a gate does not hold.

    python examples/ci/check_version.py handbook docs/ --branch pr-12 --questions support.jsonl \\
        --gate 'nDCG@10 >= prod - 0.01' --gate 'R@10 >= 0.85' --out table.md

The folder is ingested on a branch of the dataset, so that nobody's search sees it: only what changed is embedded. Then
that version is measured by the questions (a file, or the name of a set that the dataset keeps) and compared with the
alias; a table in Markdown says what it is worth, which questions changed, and why. The alias `candidate-BRANCH` moves
to the version only if every gate holds. Exits with 1 if a gate fails.

The repository is a folder (VECVER_REPO) or a service (VECVER_URL, VECVER_KEY).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import vecver

SHOWN = 10  # questions in the table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("source", help="the folder of documents, as the pipeline checked it out")
    parser.add_argument(
        "--branch", required=True, help="of the dataset, for example pr-12; made from main if it is new"
    )
    parser.add_argument("--questions", required=True, metavar="NAME|FILE")
    parser.add_argument("--gate", action="append", default=[], dest="gates", metavar="EXPR")
    parser.add_argument("--against", default="prod", help="the alias to compare with (default: prod)")
    parser.add_argument("--out", type=Path, help="where the table goes (default: GITHUB_STEP_SUMMARY, else stdout)")
    given = parser.parse_args()
    try:
        with ExitStack() as stack:
            docs = opened(stack).dataset(given.dataset)
            return check(docs, given)
    except vecver.VecverError as error:
        print(f"{error}\n{error.hint}", file=sys.stderr)
        return error.exit_code


def opened(stack: ExitStack) -> Any:
    """The repository that the environment names."""
    url = os.environ.get("VECVER_URL")
    if url:
        return stack.enter_context(vecver.connect(url, os.environ.get("VECVER_KEY")))
    return stack.enter_context(vecver.open(os.environ.get("VECVER_REPO", ".vecver")))


def check(docs: Any, given: argparse.Namespace) -> int:
    """Ingest, measure, compare, and let the gates decide."""
    if given.branch not in docs.branches():
        docs.branch(given.branch)
    report = docs.ingest(given.source, branch=given.branch, message=f"CI: {given.branch}")
    compared = None
    if given.against in docs.aliases():
        compared = docs.compare(given.against, given.branch, questions=given.questions)
    measured = docs.eval(given.branch, questions=given.questions)
    gates, passed = try_gates(docs, given)
    text = "\n".join([*heading(report, measured), *table(measured, compared), *gate_lines(gates), *changes(compared)])
    write(text + "\n", given.out)
    return 0 if passed else 1


def try_gates(docs: Any, given: argparse.Namespace) -> tuple[list[dict[str, Any]], bool]:
    """Every gate with its value, and whether the candidate's alias was moved."""
    if not given.gates:
        return [], True
    try:
        move = docs.promote(f"candidate-{given.branch}", given.branch, gates=given.gates, questions=given.questions)
        return list(move.gating["gates"]), True
    except vecver.GateError as error:
        return list(error.context["gates"]), False


def heading(report: vecver.Report, measured: vecver.Evaluation) -> Iterator[str]:
    changed = ", ".join(f"{count} {what}" for what, count in report.documents.items() if count and what != "unchanged")
    yield f"### {measured.dataset} `{measured.commit[:12]}`"
    yield ""
    yield f"{changed or 'no document changed'}; {measured.questions['judged']} judged questions"
    yield ""


def table(measured: vecver.Evaluation, compared: vecver.Comparison | None) -> Iterator[str]:
    yield "| measure | before | now | change | 95% | better, worse |"
    yield "|---|---|---|---|---|---|"
    for name, mean in measured.measures.items():
        if compared is None:
            yield f"| {name} | – | {mean.mean:.3f} | – | {mean.low:.3f} … {mean.high:.3f} | – |"
            continue
        delta = compared.measures[name]
        change = f"{delta.delta:+.3f} | {delta.low:+.3f} … {delta.high:+.3f} | {delta.wins}, {delta.losses}"
        yield f"| {name} | {delta.before:.3f} | {delta.after:.3f} | {change} |"


def gate_lines(gates: list[dict[str, Any]]) -> Iterator[str]:
    for gate in gates:
        yield ""
        yield f"{'✅' if gate['passed'] else '❌'} `{gate['gate']}`: {gate['value']:.3f}"


def changes(compared: vecver.Comparison | None) -> Iterator[str]:
    """The questions whose answers changed most, and why."""
    changed = (
        sorted((each for each in compared.per_question if each.changes), key=lambda each: each.rbo) if compared else []
    )
    for each in changed[:SHOWN]:
        yield ""
        yield f"- **{each.query}**"
        for sign, kind in (("+", each.entered), ("−", each.left)):
            for change in kind:
                yield f"  - {sign} {change.document} (rank {change.rank}, {change.why})"


def write(text: str, out: Path | None) -> None:
    place = out or (Path(os.environ["GITHUB_STEP_SUMMARY"]) if "GITHUB_STEP_SUMMARY" in os.environ else None)
    if place is None:
        sys.stdout.write(text)
        return
    with suppress(FileExistsError):
        place.parent.mkdir(parents=True)
    place.write_text(text, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
