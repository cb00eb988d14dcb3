"""Made `tests/golden/merged/` on 2026-11-27, with the formats of that day: `python tests/golden/make_merged.py FOLDER`.

It holds what the others lack: commits with two parents, a settled conflict and crossed histories among them, a branch
that a merge moved forward, and a receipt from a merged version.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from helpers import SPACE, Ticking, open_on, records, texts_of, vector_of

import vecver
from vecver.store import LocalStore

QUERY = "a question"
BRANCHES = ("main", "draft", "next")


def write(docs: vecver.Dataset, branch: str, texts: dict[str, str]) -> None:
    docs.upsert(records(texts), branch=branch, space=SPACE, metric=None if docs.branches() else "ip")


def main(folder: Path) -> None:
    repository = open_on(LocalStore(folder / "merged"), clock=Ticking(), author="Golden Author <golden@example.org>")
    docs = repository.dataset("handbook")
    write(docs, "main", {"a": "one", "b": "two", "c": "three"})
    docs.branch("draft")
    write(docs, "main", {"b": "two of main", "m": "main"})
    write(docs, "draft", {"b": "two of draft", "d": "draft"})
    docs.delete("c", branch="draft")
    heads = docs.branches()
    docs.merge(heads["draft"], theirs=["b"], message="Take the draft")
    docs.merge(heads["main"], branch="draft", ours=True)
    write(docs, "draft", {"a": "one of draft"})
    docs.merge("draft")
    docs.branch("next", "main~1")
    docs.merge("main", branch="next")
    docs.tag("v1")
    answer = docs.search(vector_of(QUERY), at="v1", exact=True)
    (folder / "merged_receipt.json").write_text(json.dumps(answer.receipt, indent=1) + "\n", "utf-8")
    for branch in BRANCHES:
        print(branch, docs.resolve(branch), docs.show(branch).content_root, texts_of(docs, branch))
    print(repository.id)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
