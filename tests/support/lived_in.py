"""A repository as a team has it after some years: real versions, measures, aliases, approvals, and a hostile dataset.

    docs       a dataset of the versions of FastAPI's documentation, dated as they were released: every tenth, or all
               140; where that corpus is not at hand, ten made versions of a handbook
    hostile    a dataset with script in every text that a person or a file can put into it

Nothing is embedded by a model. Every tenth version takes 8 s of processor time, all 140 take 45 s.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from helpers import open_on
from paths import ROOT, SHARED

import vecver
from vecver import repo
from vecver.errors import ApprovalError
from vecver.store import LocalStore

CORPUS = SHARED / "data/history/fastapi-docs"
EACH = 6  # one question of so many is asked
BROKEN = "reports/2026 scan of the contract.pdf"  # a file that cannot be read
IMAGE = "<img src=x onerror=alert(1)>"
SCRIPT = f"<script>alert('ours')</script>{IMAGE}"
HOSTILE_ID = f"bad/{SCRIPT}.md"
ASKED = {  # dataset -> a question to it
    "fastapi-docs": "How do I declare a query parameter?",
    "handbook": "How do I let air out of a radiator?",
}
Question = dict[str, Any]


@dataclass(frozen=True)
class Release:
    """A version, whose files lie ready."""

    name: str
    date: datetime


@dataclass(frozen=True)
class Calendar(repo.Clock):
    """A clock that stands at the date of a version; a second later at every look."""

    _now: list[datetime] = field(default_factory=lambda: [datetime(2019, 1, 1, tzinfo=UTC)])

    def turn(self, date: datetime) -> None:
        """It is this date now."""
        self._now[0] = date

    def now(self) -> datetime:
        self._now[0] += timedelta(seconds=1)
        return self._now[0]


def lived_in(folder: Path, *, every: int = 10) -> vecver.Dataset:
    """Build the repository `folder`/kb; its main dataset. `every`: one of so many versions is taken in."""
    clock, source, is_real = Calendar(), folder / "source", CORPUS.exists()
    repository = open_on(LocalStore(folder / "kb"), clock=clock, author="Ada")
    docs = repository.dataset("fastapi-docs" if is_real else "handbook")
    for release in _real(source, every) if is_real else _made(source):
        clock.turn(release.date)
        docs.ingest(source, label="docs", message=f"Release {release.name}", embedder="hashing", allow_removals=True)
        docs.tag(release.name)
    docs.add_questions("pinned", _real_questions() if is_real else _made_questions())
    _measure(docs)
    _promote(docs)
    _branch(docs, source)
    _hostile(repository.dataset("hostile"))
    return docs


# -- documents --------------------------------------------------------------------------------------


def _real(source: Path, every: int) -> Iterator[Release]:
    """Lay out versions of the corpus, oldest first, the last one always."""
    subprocess.run(["git", "clone", "-q", str(CORPUS / "fastapi-docs.bundle"), str(source)], check=True)
    listed = _lines(CORPUS / "manifest.jsonl")
    for entry in listed[(len(listed) - 1) % every :: every]:
        subprocess.run(["git", "-C", str(source), "checkout", "-q", "-f", entry["version"]], check=True)
        if entry == listed[-1]:
            _break(source)
        yield Release(entry["version"], datetime.fromisoformat(entry["date"]).replace(hour=9, tzinfo=UTC))


def _real_questions() -> list[Question]:
    """Questions that the newest version can answer; older ones can answer fewer."""
    newest = _lines(CORPUS / "manifest.jsonl")[-1]["version"]
    answerable = [each for each in _lines(CORPUS / "pinned_queries.jsonl") if each["last"] == newest]
    return [{"query": each["query"], "documents": [each["path"]]} for each in answerable[::EACH]]


def _made(source: Path) -> Iterator[Release]:
    """Lay out ten versions of the handbook of the examples: each edits a page and adds one, later ones remove one."""
    source.mkdir()
    pages = {path.name: path.read_text("utf-8") for path in sorted((ROOT / "examples/handbook").glob("*.md"))}
    for number in range(10):
        pages[f"room-{number}.md"] = f"# Room {number}\n\nThe radiator of room {number} is bled in week {number}.\n"
        pages["heating.md"] += f"\nSince release {number} the pressure is 1.{number} bar.\n"
        if number > 5:
            del pages[f"room-{number - 5}.md"]
            (source / f"room-{number - 5}.md").unlink()
        for name, text in pages.items():
            (source / name).write_text(text, "utf-8")
        if number == 9:
            _break(source)
        yield Release(f"v{number}", datetime(2026, 1 + number, 1, 9, tzinfo=UTC))


def _made_questions() -> list[Question]:
    answers = {
        "heating.md": "How do I let air out of a radiator?",
        "keys.md": "Where do the keys hang?",
        "room-0.md": "When is room 0 bled?",
        "room-8.md": "When is room 8 bled?",
    }
    return [{"query": query, "documents": [id]} for id, query in answers.items()]


def _break(source: Path) -> None:
    """Add a file that cannot be read."""
    (source / BROKEN).parent.mkdir()
    (source / BROKEN).write_bytes(b"%PDF-1.4 no more of it came")


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# -- what a team does with versions -----------------------------------------------------------------


def _measure(docs: vecver.Dataset) -> None:
    """Measure the newest versions by the questions, but for one of them, and the first; and the indexes of three."""
    log = list(docs.log())
    for commit in [*log[:5], *log[6:9], log[-1]]:
        docs.eval(commit.id, questions="pinned")
    for commit in log[:3]:
        docs.recall(commit.id, sample=20)


def _promote(docs: vecver.Dataset) -> None:
    """`prod` was moved twice and has a gate; a move of `stable` needs a second person."""
    docs.promote("prod", "main~4")
    docs.promote("prod", "main~2")
    docs.promote("stable", "main~4")
    docs.set_policy("prod", ["nDCG@10 >= 0.05"], questions="pinned")
    docs.set_policy("stable", approval=True)


def _branch(docs: vecver.Dataset, source: Path) -> None:
    """A branch beside `main`: a page was added to the version before the last."""
    docs.branch("try-a-glossary", "main~1")
    (source / "glossary.md").write_text("# Glossary\n\nA version is what one commit holds.\n", "utf-8")
    docs.add(source / "glossary.md", label="docs", branch="try-a-glossary", message="Try a glossary")


def _hostile(docs: vecver.Dataset) -> None:
    """Script in ids, texts, titles, metadata, messages, questions and their tags; in two versions and a promotion."""
    docs = docs.repository.signed(f"Mallory {SCRIPT}").dataset(docs.name)
    record = {"id": HOSTILE_ID, "title": SCRIPT, "note": SCRIPT, SCRIPT: SCRIPT}
    for number, text in enumerate((f"One {SCRIPT} text.", f"Another {SCRIPT} text.\n\nAnd {SCRIPT}.")):
        docs.ingest(
            [{**record, "text": text}], label=f"from {SCRIPT}", message=f"{number} {SCRIPT}", embedder="hashing"
        )
    docs.add_questions("asked", [{"query": SCRIPT, "documents": [HOSTILE_ID], "tags": [SCRIPT]}])
    docs.eval("main", questions="asked")
    docs.eval("main~1", questions="asked")
    docs.promote("prod", "main~1")
    docs.set_policy("prod", approval=True)
    with suppress(ApprovalError):
        docs.promote("prod", "main")
