"""What of the documents in a folder is read: a row each, of words the library saw, kept, furniture, share, and notes.

    python benchmarks/coverage.py FOLDER [--password P]...

Ends with the documents below 99.5% that no note names: there must be none.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tables import head, row

from vecver import pipeline
from vecver.model import Failure, Original, Parsed
from vecver.pipeline.parsers.coverage import ENOUGH


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--password", action="append", default=[])
    options = parser.parse_args()
    paths = sorted(path for path in options.folder.rglob("*") if path.is_file())
    originals = (Original(p.relative_to(options.folder).as_posix(), "folder", "", data=p.read_bytes()) for p in paths)
    print(head(("document", "reader", "words", "kept", "furniture", "share", "notes, or why it is not read")))
    silent = []
    for original, outcome in pipeline.parse_all(originals, passwords=options.password):
        print(row([original.document, *cells(outcome)]), flush=True)
        coverage = getattr(outcome, "coverage", None)
        if coverage and coverage.share < ENOUGH and not coverage.notes:
            silent.append(original.document)
    print(f"\n{len(silent)} documents below {ENOUGH:.1%} without a note{': ' if silent else ''}{', '.join(silent)}")


def cells(outcome: Parsed | Failure) -> list[str]:
    if isinstance(outcome, Failure):
        return ["-", "", "", "", "", f"{outcome.code}: {outcome.reason}"]
    if outcome.coverage is None:
        return [outcome.parser, "", "", "", "as it is", ""]
    told = outcome.coverage.to_json()
    counts = [f"{told[name]:,}" for name in ("words", "kept", "furniture")]
    return [outcome.parser, *counts, f"{told['share']:.2%}", " ".join(outcome.coverage.notes)]


if __name__ == "__main__":
    main()
