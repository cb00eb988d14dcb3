"""Revisions: every way to name a commit, and what is said of names that name none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from helpers import Ticking, ingest, open_on
from inside import versions_of

import vecver
from vecver.errors import InvalidInputError, NotFoundError
from vecver.store import MemoryStore

GIT = "9c1e5" + "0" * 35
NAMING_NOTHING = ["nope", "MAIN", "0" * 64, "0000", "abc", "a" * 65, "..", ".", "~1", "^", "../main", "main/", "a\0b",
                  "x" * 5000, "main~x", "@{}", "git:", "日" * 90, "main ", " main"]  # fmt: skip


@pytest.fixture
def docs() -> vecver.Dataset:
    """Four versions, c0 to c3, on `main`; `side` has one more on c1. One look at the clock a second."""
    docs = open_on(MemoryStore(), clock=Ticking()).dataset("d")
    for number in range(4):
        ingest(docs, {"a": f"text {number}"})
    docs.branch("side", "main~2")
    ingest(docs, {"a": "side"}, branch="side")
    docs.tag("v1", "main~1")
    docs.promote("prod", "main~3")
    return docs


def chain(docs: vecver.Dataset) -> list[str]:
    return [commit.id for commit in docs.log()][::-1]


def refused(docs: vecver.Dataset, revision: Any) -> tuple[type, str]:
    with pytest.raises(vecver.VecverError) as caught:
        docs.resolve(revision)
    return type(caught.value), caught.value.code


# -- refs, ids, ancestors -----------------------------------------------------------------------------


def test_refs_ids_and_ancestors(docs: vecver.Dataset) -> None:
    c0, c1, c2, c3 = chain(docs)
    named = {
        "main": c3, "v1": c2, "prod": c0, "main~": c2, "main~0": c3, "main~1": c2, "main^": c2, "main^^": c1,
        "main~3": c0, "main~1^~1": c0, "v1~2": c0, "side~": c1, c1: c1, c1[:8]: c1, c1[:12] + "~1": c0,
    }  # fmt: skip
    assert {revision: docs.resolve(revision) for revision in named} == named


def test_the_parents_of_a_merge(docs: vecver.Dataset) -> None:
    before, side = docs.resolve("main"), docs.resolve("side")
    merge = docs.merge("side", ours=True)
    named = {
        "main^": before,
        "main^1": before,
        "main^2": side,
        "main^0": merge.commit,
        "main^2~": docs.resolve("side~"),
    }
    assert {revision: docs.resolve(revision) for revision in (*named, "main^2^0")} == {**named, "main^2^0": side}
    assert docs.resolve(merge) == merge.commit
    for revision, why in (("main^3", "two parents"), ("side^2", "one parent"), ("prod^2", "no parent")):
        with pytest.raises(NotFoundError, match=why):
            docs.resolve(revision)


def test_reports_and_commits_name_versions(docs: vecver.Dataset) -> None:
    report = ingest(docs, {"a": "newest"})
    assert docs.resolve(report) == report.commit == docs.resolve(docs.show())


@pytest.mark.parametrize("revision", ["main~4", "main^^^^", "v1~3", "prod^", "main~999999999999"])
def test_there_is_nothing_before_the_first(docs: vecver.Dataset, revision: str) -> None:
    assert refused(docs, revision) == (NotFoundError, "revision_not_found")


@pytest.mark.parametrize("revision", NAMING_NOTHING)
def test_what_names_nothing_is_not_found(docs: vecver.Dataset, revision: str) -> None:
    assert refused(docs, revision) == (NotFoundError, "revision_not_found")


@pytest.mark.parametrize(
    "revision", ["\ud800", "main\udfff", "\ud800~1", "\ud800@{2026-01-01}", "git:\ud800", "\0"], ids=ascii
)
def test_half_characters_name_nothing(docs: vecver.Dataset, revision: str) -> None:
    assert refused(docs, revision) == (NotFoundError, "revision_not_found")


@pytest.mark.parametrize("revision", ["~" * 10_000_000 + "x", "@{" * 10_000_000, "main" + "~" * 10_000_000], ids=len)
def test_no_text_takes_long_to_be_no_revision(docs: vecver.Dataset, revision: str) -> None:
    assert refused(docs, revision) == (NotFoundError, "revision_not_found")


@pytest.mark.parametrize("revision", ["", None, 7, b"main"])
def test_what_is_no_revision_is_refused(docs: vecver.Dataset, revision: Any) -> None:
    assert refused(docs, revision) == (InvalidInputError, "invalid_revision")


def test_a_short_id_may_be_ambiguous(docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    c0, c1, *_ = chain(docs)
    monkeypatch.setattr("vecver.repo.refs.revisions.commit_ids", lambda store, prefix: iter([c0, c1]))
    with pytest.raises(InvalidInputError) as caught:
        docs.resolve("abcd")
    assert caught.value.code == "ambiguous_revision"
    assert caught.value.context["candidates"] == [c0, c1]


def test_ambiguous_among_many_commits(docs: vecver.Dataset) -> None:
    """No monkeypatch: commits are made until two of them share their first four digits."""
    versions, ids = versions_of(docs), dict[str, str]()
    commit = docs.show()
    for number in range(5000):
        other = replace(commit, message=str(number))
        if other.id[:4] in ids:
            break
        ids[other.id[:4]] = str(number)
    twin = replace(commit, message=ids[other.id[:4]])
    for each in (other, twin):
        versions.save(each, versions.snapshot(commit.id).layout)
    assert refused(docs, other.id[:4]) == (InvalidInputError, "ambiguous_revision")
    assert docs.resolve(other.id[:20]) == other.id


def test_ids_of_other_datasets_are_not_ours(docs: vecver.Dataset) -> None:
    theirs = ingest(docs.repository.dataset("other"), {"a": "one"})
    assert refused(docs, theirs.commit) == (NotFoundError, "revision_not_found")
    assert docs.repository.dataset("other").resolve(theirs.commit) == theirs.commit


def test_a_ref_goes_before_an_id(docs: vecver.Dataset) -> None:
    c0, *_, c3 = chain(docs)
    docs.branch(c0[:6], "main")
    assert docs.resolve(c0[:6]) == c3 and docs.resolve(c0[:7]) == c0


def test_a_dataset_without_versions_is_not_found(docs: vecver.Dataset) -> None:
    with pytest.raises(NotFoundError) as caught:
        docs.repository.dataset("empty").resolve("main")
    assert caught.value.code == "dataset_not_found" and "there are: d" in caught.value.hint


def test_a_dataset_need_not_have_a_main(docs: vecver.Dataset) -> None:
    c3 = docs.resolve("main")
    docs.delete_branch("main")
    assert refused(docs, "main") == (NotFoundError, "revision_not_found")
    assert docs.resolve(c3[:10]) == c3 and docs.resolve("v1") != c3
    with pytest.raises(NotFoundError) as caught:
        ingest(docs, {"a": "one"})
    assert caught.value.code == "branch_not_found"


# -- dates ------------------------------------------------------------------------------------------


def test_dates(docs: vecver.Dataset) -> None:
    c0, c1, c2, c3 = chain(docs)
    times = [move.time for move in reversed(docs.moves("branch", "main"))]
    for id, time in zip([c0, c1, c2, c3], times, strict=True):
        assert docs.resolve(f"@{{{time}}}") == docs.resolve(f"main@{{{time}}}") == id
    assert docs.resolve("@{2026-01-02}") == docs.resolve("@{2027-01-01T00:00}") == c3
    assert docs.resolve("@{2026-01-02}~1") == c2
    just_before = (
        times[2].replace(".000000", ".999999").replace(f":{times[2][17:19]}.", f":{int(times[2][17:19]) - 1:02}.")
    )
    assert docs.resolve(f"@{{{just_before}}}") == c1
    assert docs.resolve("@{2026-01-01T01:00:30+01:00}") == docs.resolve("@{2026-01-01T00:00:30}") == c3
    assert docs.resolve("prod@{2026-01-02}") == c0 and docs.resolve("v1@{2026-01-02}") == c2


def test_before_the_beginning_there_is_nothing(docs: vecver.Dataset) -> None:
    for revision in ("@{2025-12-31}", "prod@{2026-01-01}", "nope@{2026-01-02}", "..@{2026-01-02}"):
        assert refused(docs, revision) == (NotFoundError, "revision_not_found")
    for revision in ("@{yesterday}", "@{2026-13-01}", "main@{now}"):
        assert refused(docs, revision) == (InvalidInputError, "invalid_revision")


def test_dates_know_of_deletions(docs: vecver.Dataset) -> None:
    before = docs.moves("alias", "prod")[0].time
    docs.delete_alias("prod")
    assert docs.resolve(f"prod@{{{before}}}") == chain(docs)[0]
    assert refused(docs, "prod@{2026-01-02}") == (NotFoundError, "revision_not_found")


# -- git --------------------------------------------------------------------------------------------


@pytest.fixture
def from_git(docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch) -> Iterator[vecver.Dataset]:
    """`docs`, whose ingests come from a Git commit from now on."""
    monkeypatch.setattr("vecver.pipeline.origin_of", lambda source: {"kind": "git", "commit": GIT, "dirty": False})
    yield docs


def test_git_commits(from_git: vecver.Dataset) -> None:
    docs = from_git
    first = ingest(docs, {"a": "from git"})
    assert docs.resolve("git:9c1e") == docs.resolve(f"git:{GIT}") == docs.resolve("git:9C1E5") == first.commit
    second = ingest(docs, {"a": "from git, again"}, branch="side")
    assert docs.resolve("git:9c1e") == second.commit
    assert docs.resolve("git:9c1e~1") == docs.resolve("side~1")
    docs.rollback("side")
    assert docs.resolve("git:9c1e") == second.commit


@pytest.mark.parametrize("revision", ["git:9c1", "git:", "git:ffff", "git:9c1f"])
def test_git_commits_that_made_nothing(from_git: vecver.Dataset, revision: str) -> None:
    ingest(from_git, {"a": "from git"})
    assert refused(from_git, revision) == (NotFoundError, "revision_not_found")


def test_of_commits_made_in_one_second_the_descendant_is_newest(from_git: vecver.Dataset, monkeypatch: Any) -> None:
    docs = from_git
    monkeypatch.setattr(versions_of(docs), "time", lambda: "2026-02-01T00:00:00.000000+00:00")
    ids = [ingest(docs, {"a": f"in one second {i}"}).commit for i in range(4)]
    docs.tag("early", "main~3")
    docs.branch("later", "main~1")  # the newest lies on `main`; refs to older ones do not hide it
    assert docs.resolve("git:9c1e") == ids[-1]
    docs.rollback("main", "main~2")
    docs.promote("aaa", "main~2")
    assert docs.resolve("git:9c1e") == ids[-1]
