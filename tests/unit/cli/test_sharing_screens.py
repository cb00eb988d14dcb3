"""What a person reads of remotes, transfers, clones, and of a log or a merge that shows nothing."""

from __future__ import annotations

import io

import pytest
from helpers import ingest, open_on

import vecver
from vecver.cli.commands.histories import nothing_listed
from vecver.cli.screens.merges import show_merge
from vecver.cli.screens.sharing import show_cloned, show_remotes, show_transferred
from vecver.cli.terminal.console import Screen
from vecver.model import MergeConflict, SharedRef, Transferred
from vecver.store import MemoryStore


def screen_of(stream: io.StringIO) -> Screen:
    return Screen(stream, terminal=True, width=100, height=40, styled=False, colour=False, unicode=True)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ("push", "d@main  left alone: the remote is ahead; `vecver pull` brings what is new"),
        ("pull", "d@main  left alone: it is ahead of the remote; `vecver push` sends what is new"),
    ],
)
def test_a_ref_that_is_behind_says_which_side_is_ahead(stream: io.StringIO, verb: str, expected: str) -> None:
    done = Transferred("origin", "/team", 0, 0, (SharedRef("d", "branch", "main", "behind", "a" * 64, "b" * 64),))
    show_transferred(screen_of(stream), done, verb)
    assert stream.getvalue().splitlines()[0] == expected


def test_remotes_stand_in_columns(stream: io.StringIO) -> None:
    show_remotes(screen_of(stream), [vecver.Remote("b", "/one"), vecver.Remote("origin", "/two")])
    assert stream.getvalue().splitlines() == ["b       /one", "origin  /two"]


@pytest.mark.parametrize(
    ("folder", "command"), [(".vecver", "vecver log d"), ("my copy", "vecver --repo 'my copy' log d")]
)
def test_a_clone_says_how_to_look_into_it(stream: io.StringIO, folder: str, command: str) -> None:
    repository = open_on(MemoryStore())
    ingest(repository.dataset("d"), {"a": "one"})
    show_cloned(screen_of(stream), repository, folder)
    assert stream.getvalue().splitlines() == ["cloned d to memory://", f"Next: {command}"]


@pytest.mark.parametrize(
    ("document", "since", "line"),
    [
        (None, "prod", "There is no version after prod."),
        ("a.md", "v1", "No version after v1 changed a.md."),
    ],
)
def test_an_empty_log_says_why(document: str | None, since: str, line: str) -> None:
    assert nothing_listed(document, since) == line


def test_a_dry_run_with_conflicts_says_that_nothing_is_merged(stream: io.StringIO) -> None:
    docs = open_on(MemoryStore()).dataset("d")
    ingest(docs, {"a": "one"})
    docs.branch("draft")
    ingest(docs, {"a": "theirs"}, branch="draft")
    ingest(docs, {"a": "ours"})
    plan = docs.merge("draft", dry_run=True)
    assert [type(each) for each in plan.unsettled] == [MergeConflict]
    show_merge(screen_of(stream), plan, "draft")
    lines = stream.getvalue().splitlines()
    assert lines[1:] == [
        "1 conflict to settle:",
        "  ! a  main: changed · draft: changed",
        "Nothing is merged until they are settled: add --ours or --theirs.",
    ]
