"""Made `tests/golden/modes/` on 2026-11-27, with the formats of that day: `python tests/golden/make_modes.py FOLDER`.

It holds what the others lack: a policy, a promotion that waits, and measures of keyword and hybrid search, beside dense
ones, which have the bytes that they had before there were modes.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from helpers import SPACE, Ticking, open_on, records, vector_of

from vecver.errors import ApprovalError
from vecver.store import LocalStore

TEXTS = {word: f"the {word} stands here" for word in ("kettle", "violin", "glacier")}
QUESTIONS = [{"query": word, "vector": vector_of(text).tolist(), "documents": [word]} for word, text in TEXTS.items()]
GATE = ["P@1 >= 0.9"]


def main(folder: Path) -> None:
    repository = open_on(LocalStore(folder / "modes"), clock=Ticking(), author="Golden Author <golden@example.org>")
    docs = repository.dataset("handbook")
    docs.ingest(records(TEXTS), space=SPACE, label="all", message="First")
    docs.add_questions("words", QUESTIONS)
    docs.set_policy("plain", GATE, questions="words")
    docs.set_policy("prod", GATE, questions="words", mode="hybrid", weight=0.25, approval=True)
    docs.promote("words", gates=GATE, questions="words", mode="keyword")
    try:
        docs.promote("prod", gates=GATE, questions="words", mode="hybrid", fusion="rrf")
    except ApprovalError as error:
        print(error.context["approval"]["id"])
    docs.recall(k=[1], queries=["kettle"], mode="keyword")
    report = repository.check()
    print(docs.resolve(), repository.id, report.problems, report.objects)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
