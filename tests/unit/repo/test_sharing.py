"""Push, fetch, pull and clone: what is sent, which refs move, what is refused, and what stays when it breaks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from failing import Failing, PowerFailure, power_failure
from helpers import Ticking, ingest, open_on, texts_of, vector_of
from inside import contents_of, versions_of

import vecver
from vecver import repo
from vecver.digest import canonical_json, digest
from vecver.errors import BackendError, ConflictError, IntegrityError, InvalidInputError, NotFoundError, hint_for
from vecver.model import Move, Transferred
from vecver.repo import SyncOptions, objects
from vecver.repo.refs.refs import Refs, load_move, move_path
from vecver.repo.rows.layout import encoded_layout, layout_path, load_layout
from vecver.repo.sync import transfer
from vecver.store import LocalStore, MemoryStore, Store

BASE = {"a": "one", "b": "two", "c": "three"}
NOW = timedelta(0)


def store(repository: vecver.Repository) -> Store:
    return versions_of(repository).store


def push(here: vecver.Repository, there: Store, *wanted: str, **how: Any) -> Transferred:
    return repo.push(versions_of(here), "origin", there, SyncOptions(wanted, **how))


def fetch(here: vecver.Repository, there: Store, *wanted: str, **how: Any) -> Transferred:
    return repo.fetch(versions_of(here), "origin", there, SyncOptions(wanted, **how))


def pull(here: vecver.Repository, there: Store, *wanted: str) -> Transferred:
    return repo.pull(versions_of(here), "origin", there, SyncOptions(wanted))


def cloned(there: Store, target: Store | None = None) -> vecver.Repository:
    return vecver.clone(there, target or MemoryStore(), author="cloner", background=False)


def on(store: Store) -> vecver.Repository:
    return open_on(store)


@pytest.fixture
def here() -> vecver.Repository:
    """Three versions, a tag, an alias that moved twice, a measure and a question set."""
    repository = open_on(MemoryStore(), clock=Ticking())
    docs = repository.dataset("d")
    ingest(docs, BASE)
    docs.tag("v1")
    ingest(docs, {**BASE, "b": "changed"})
    docs.promote("prod", "v1")
    docs.promote("prod", "main")
    ingest(docs, {**BASE, "b": "changed again"})
    docs.recall("main", sample=2, k=[1])
    docs.add_questions("judged", [{"vector": vector_of("one").tolist(), "documents": ["a"]}])
    return repository


def assert_same_answers(one: vecver.Repository, other: vecver.Repository, at: str = "main") -> None:
    ours, theirs = (each.dataset("d").search(vector_of("one"), at=at, k=5) for each in (one, other))
    assert [(hit.key, hit.score) for hit in ours] == [(hit.key, hit.score) for hit in theirs]
    assert other.replay(ours.receipt).identical


# -- push and clone -----------------------------------------------------------------------------


def test_an_empty_place_becomes_a_copy(here: vecver.Repository) -> None:
    there = MemoryStore()
    done = push(here, there)
    assert {(ref.name, ref.state) for ref in done.refs} == {("main", "new"), ("v1", "new")}
    assert on(there).id == here.id
    beside = ("refs", "moves", "vecver.json", "questions")
    assert done.objects == len([name for name in there.list("") if name.split("/")[0] not in beside])
    assert_same_answers(here, on(there))
    assert on(there).check().clean


def test_progress_counts_the_bytes_of_all_files(here: vecver.Repository) -> None:
    told: list[tuple[str, int, int | None]] = []
    push(here, MemoryStore(), progress=lambda unit, count, total=None: told.append((unit, count, total)))
    assert {unit for unit, _, _ in told} == {"bytes"} and len({total for _, _, total in told}) == 1
    assert sum(count for _, count, _ in told) == told[0][2]


def test_a_second_push_sends_nothing(here: vecver.Repository) -> None:
    there = MemoryStore()
    push(here, there)
    before = contents_of(there)
    again = push(here, there)
    assert (again.objects, again.bytes, again.changed) == (0, 0, ())
    assert contents_of(there) == before
    assert again.to_json()["refs"] == []


def test_a_push_sends_only_what_is_new(here: vecver.Repository) -> None:
    there = MemoryStore()
    push(here, there)
    known = set(there.list(""))
    ingest(here.dataset("d"), {**BASE, "d": "four"})
    done = push(here, there)
    segments = {name.split("/")[1] for name in set(there.list("")) - known if name.startswith("segments/")}
    assert len(segments) == 1 and done.objects == 7  # its five files, a layout, a commit
    assert texts_of(on(there).dataset("d")) == {**BASE, "d": "four"}


def test_a_clone_has_everything(here: vecver.Repository) -> None:
    copy = cloned(store(here))
    ours, theirs = here.dataset("d"), copy.dataset("d")
    assert copy.id == here.id and theirs.branches() == ours.branches() and theirs.tags() == ours.tags()
    assert theirs.moves("alias", "prod") == ours.moves("alias", "prod")
    assert theirs.measures("main") == ours.measures("main") and theirs.question_sets() == ours.question_sets()
    assert_same_answers(here, copy)
    assert theirs.rollback("prod").after == ours.resolve("v1")
    assert copy.check().clean
    assert repo.remotes.read(store(copy))["origin"]["url"] == "memory://"


def test_a_clone_of_a_renamed_dataset_keeps_its_name(here: vecver.Repository) -> None:
    here.rename_dataset("d", "renamed")
    copy = cloned(store(here))
    assert copy.datasets() == ["renamed"] and copy.check().clean
    there = MemoryStore()
    push(here, there)
    assert on(there).datasets() == ["renamed"]


def test_a_clone_over_another_repository_is_refused(here: vecver.Repository) -> None:
    with pytest.raises(ConflictError, match="is a repository already"):
        cloned(store(here), store(on(MemoryStore())))
    with pytest.raises(NotFoundError, match="is not a vecver repository") as refused:
        cloned(MemoryStore())
    assert "init" not in hint_for("cli", refused.value.hint)


def test_a_repository_is_no_clone_of_itself(here: vecver.Repository, tmp_path: Path) -> None:
    there = LocalStore(tmp_path)
    push(here, there)
    with pytest.raises(ConflictError, match="cannot be a clone of itself"):
        cloned(there, LocalStore(tmp_path))
    assert repo.remotes.read(there) == {}


def test_a_clone_copies_policies(here: vecver.Repository) -> None:
    here.dataset("d").set_policy("prod", ["R@10 >= 0"], questions="judged")
    assert "prod" in cloned(store(here)).dataset("d").policies()


def test_an_alias_moves_only_if_it_is_named(here: vecver.Repository) -> None:
    there = MemoryStore()
    push(here, there)
    assert on(there).dataset("d").aliases() == {}
    push(here, there, "d@prod")
    assert on(there).dataset("d").moves("alias", "prod") == here.dataset("d").moves("alias", "prod")
    here.dataset("d").promote("prod", "v1")
    push(here, there, "d@prod")
    assert on(there).dataset("d").moves("alias", "prod")[0].reason == "push"


def test_an_alias_that_moved_there_is_not_overwritten(here: vecver.Repository) -> None:
    there = MemoryStore()
    push(here, there, "d@prod", "d@main")
    on(there).dataset("d").promote("prod", "main")
    fetch(here, there)  # looking at it does not make it right to overwrite it
    here.dataset("d").promote("prod", "v1")
    with pytest.raises(ConflictError, match="moved there meanwhile"):
        push(here, there, "d@prod")


def test_an_alias_with_a_policy_there_is_promoted_there(here: vecver.Repository) -> None:
    there = MemoryStore()
    push(here, there, "d@prod", "d@main")
    on(there).dataset("d").set_policy("prod", ["R@10 >= 0"], questions="judged")
    here.dataset("d").promote("prod", "v1")
    with pytest.raises(ConflictError, match="has a policy there"):
        push(here, there, "d@prod")


def test_a_name_kept_for_an_alias_with_a_policy_is_taken(here: vecver.Repository) -> None:
    there = MemoryStore()
    push(here, there, "d@main")
    on(there).dataset("d").set_policy("next", ["ann_recall@10 >= 0"])
    here.dataset("d").tag("next")
    with pytest.raises(ConflictError, match="kept for an alias"):
        push(here, there)
    copy = cloned(store(here))
    copy.dataset("d").set_policy("later", ["ann_recall@10 >= 0"])
    here.dataset("d").branch("later")
    with pytest.raises(ConflictError, match="kept for an alias"):
        pull(copy, store(here))


def test_a_pull_follows_an_alias_whose_gates_ran_there(here: vecver.Repository) -> None:
    here.dataset("d").set_policy("prod", ["ann_recall@1 >= 0"])
    copy = cloned(store(here))
    here.dataset("d").promote("prod", "v1")
    pull(copy, store(here))
    moved = copy.dataset("d").moves("alias", "prod")[0]
    assert (moved.after, moved.reason) == (here.dataset("d").resolve("v1"), "pull") and moved.gating


def test_a_branch_that_went_another_way_is_refused_and_nothing_moves(here: vecver.Repository) -> None:
    there = MemoryStore()
    push(here, there)
    ingest(on(there).dataset("d"), {"z": "theirs"})
    ingest(here.dataset("d"), {"z": "ours"})
    here.dataset("d").tag("v2")
    before = contents_of(there)
    with pytest.raises(ConflictError, match=r"d@main: the branch has versions there that are not here") as refused:
        repo.push(versions_of(here), "team", there, SyncOptions())
    assert contents_of(there) == before
    assert "`vecver fetch --remote team`, `vecver merge d team/main`, then push again" in hint_for(
        "cli", refused.value.hint
    )
    push(here, there, "d@v2")
    assert "v2" in on(there).dataset("d").tags()


def test_a_branch_that_is_behind_is_left_alone(here: vecver.Repository) -> None:
    there = MemoryStore()
    push(here, there)
    ingest(on(there).dataset("d"), {"z": "theirs"})
    assert [ref.state for ref in push(here, there, "d@main").refs] == ["behind"]


def test_a_tag_never_moves(here: vecver.Repository) -> None:
    there = MemoryStore()
    push(here, there)
    here.dataset("d").tag("v2", "main~1")
    on(there).dataset("d").tag("v2", "main")
    with pytest.raises(ConflictError, match=r"the tag is \w+ there, and tags never move"):
        push(here, there)
    with pytest.raises(ConflictError, match=r"the tag is \w+ here, and tags never move"):
        pull(here, there)


def test_a_ref_deleted_there_is_not_made_again_unless_it_is_named(here: vecver.Repository) -> None:
    there = MemoryStore()
    here.dataset("d").branch("side")
    push(here, there)
    on(there).dataset("d").delete_branch("side")
    assert {ref.name: ref.state for ref in push(here, there).refs}["side"] == "deleted"
    push(here, there, "d@side")
    assert "side" in on(there).dataset("d").branches()


def test_another_repository_is_refused(here: vecver.Repository) -> None:
    other = open_on(MemoryStore())
    ingest(other.dataset("d"), BASE)
    for verb in (push, fetch, pull):
        with pytest.raises(ConflictError, match="another repository"):
            verb(here, store(other))


def test_a_place_with_other_things_is_refused(here: vecver.Repository, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InvalidInputError, match="not empty"):
        push(here, LocalStore(tmp_path))


def test_indexes_can_be_left_out(here: vecver.Repository) -> None:
    docs = here.dataset("d")
    segment, folder = versions_of(docs).snapshot(docs.resolve()).segments[0], store(here).scratch()
    (folder / "index").write_bytes(b"an index")
    versions_of(docs).put_derived(segment, "flat", folder / "index", {"faiss": "1"})
    with_it, without = MemoryStore(), MemoryStore()
    push(here, with_it)
    push(here, without, indexes=False)
    left_out = set(with_it.list("")) - set(without.list(""))
    assert left_out == {f"segments/{segment.id}/{name}" for name in ("flat", "flat.json")}


# -- fetch and pull -----------------------------------------------------------------------------


def test_a_fetch_moves_no_ref_and_names_what_it_brought(here: vecver.Repository) -> None:
    there = store(here)
    copy = cloned(there)
    docs = copy.dataset("d")
    ingest(here.dataset("d"), {**BASE, "d": "four"})
    main = docs.resolve("main")
    done = fetch(copy, there)
    assert docs.resolve("main") == main and docs.resolve("origin/main") == here.dataset("d").resolve("main")
    assert docs.resolve("origin/main~1") == main and docs.diff("main", "origin/main").added == ("d",)
    assert [(ref.name, ref.state) for ref in done.refs if ref.state != "current"] == [("main", "moved")]
    assert fetch(copy, there).objects == 0


def test_gc_keeps_what_was_fetched(here: vecver.Repository) -> None:
    there = store(here)
    copy = cloned(there)
    ingest(here.dataset("d"), {"z": "new"})
    fetch(copy, there)
    for _ in range(2):
        copy.gc(grace=NOW, keep_last=1, apply=True)
    assert texts_of(copy.dataset("d"), "origin/main") == {"z": "new"} and copy.check().clean
    repo.remotes.remove(store(copy), "origin")
    for _ in range(2):
        copy.gc(grace=NOW, apply=True)
    with pytest.raises(NotFoundError):
        copy.dataset("d").resolve("origin/main")
    assert copy.check().clean


def test_a_pull_moves_branches_forward_and_makes_new_refs(here: vecver.Repository) -> None:
    there = store(here)
    copy = cloned(there)
    docs = here.dataset("d")
    ingest(docs, {"z": "new"})
    docs.tag("v2")
    docs.promote("prod", "v2")
    done = pull(copy, there)
    assert {ref.name for ref in done.changed} == {"main", "v2", "prod"}
    assert copy.dataset("d").aliases() == docs.aliases() and copy.dataset("d").branches() == docs.branches()
    assert copy.check().clean


def test_a_fetched_alias_is_still_pulled(here: vecver.Repository) -> None:
    there = store(here)
    copy = cloned(there)
    here.dataset("d").promote("prod", "v1")
    fetch(copy, there)
    pull(copy, there)
    assert copy.dataset("d").resolve("prod") == here.dataset("d").resolve("v1")


def test_a_refused_pull_keeps_what_it_fetched(here: vecver.Repository) -> None:
    there = store(here)
    copy = cloned(there)
    ingest(copy.dataset("d"), {"z": "ours"})
    ingest(here.dataset("d"), {"z": "theirs"})
    with pytest.raises(ConflictError, match="the branch has versions here that are not there"):
        pull(copy, there)
    assert texts_of(copy.dataset("d")) == {"z": "ours"} and texts_of(copy.dataset("d"), "origin/main") == {
        "z": "theirs"
    }
    assert copy.check().clean


def test_layouts_may_differ_after_optimize(here: vecver.Repository) -> None:
    there = store(here)
    copy = cloned(there)
    here.dataset("d").optimize()
    main = here.dataset("d").resolve("main")
    ours = load_layout(store(copy), main).segments
    assert load_layout(there, main).segments != ours
    assert pull(copy, there).objects == 0 and load_layout(store(copy), main).segments == ours
    ingest(here.dataset("d"), {**BASE, "d": "four"})
    pull(copy, there)
    assert_same_answers(here, copy)
    assert copy.check().clean


def test_forgotten_versions_stay_forgotten() -> None:
    here = open_on(MemoryStore())
    docs = here.dataset("d")
    for number in range(3):
        ingest(docs, {**BASE, "b": f"edit {number}"})
    for _ in range(2):
        here.gc(grace=NOW, keep_last=1, apply=True)
    copy = cloned(store(here))
    assert copy.check().clean and [commit.id for commit in copy.dataset("d").log()] == [c.id for c in docs.log()]
    with pytest.raises(NotFoundError, match="let go by gc"):
        copy.dataset("d").search(vector_of("one"), at="main~2")


# -- breaking off -------------------------------------------------------------------------------


@pytest.mark.parametrize("done", [False, True])
def test_a_push_that_breaks_anywhere_goes_on(here: vecver.Repository, done: bool) -> None:
    """At every seventh operation of the remote: what is there is whole, and the next push brings the rest."""
    after, left = 0, True
    while left:
        there = MemoryStore()
        repo.create(there, here.id)
        try:
            push(here, Failing(there, after, done=done, die=power_failure), "d@main", "d@v1", "d@prod")
            left = False
        except PowerFailure:
            assert on(there).check().clean
        push(here, there, "d@main", "d@v1", "d@prod")
        assert on(there).check().clean and on(there).dataset("d").branches() == here.dataset("d").branches()
        for _ in range(2):
            on(there).gc(grace=NOW, apply=True)
        assert_same_answers(here, on(there))
        after += 7
    assert after > 60


def test_what_arrived_is_not_sent_again(here: vecver.Repository) -> None:
    there = MemoryStore()
    repo.create(there, here.id)
    whole = push(here, MemoryStore())
    with pytest.raises(PowerFailure):
        push(here, Failing(there, 60, done=False, die=power_failure))
    arrived = len(list(there.list("segments/")))
    assert arrived > 0 and push(here, there).objects <= whole.objects - arrived


def test_an_object_lost_at_the_remote_is_named_and_restored(here: vecver.Repository) -> None:
    there = MemoryStore()
    other = here.dataset("other")
    ingest(other, {"x": "elsewhere"})
    push(here, there)
    docs = here.dataset("d")
    segment = versions_of(docs).layout(docs.resolve("v1")).segments[0].segment
    there.delete(f"segments/{segment}/vectors.npy")
    with pytest.raises(IntegrityError, match=f"has lost segments/{segment}/vectors.npy") as lost:
        cloned(there)
    assert "restore" in lost.value.hint
    target = MemoryStore()
    repo.create(target, here.id)
    elsewhere = on(target)
    pull(elsewhere, there, "other")
    assert texts_of(elsewhere.dataset("other")) == {"x": "elsewhere"} and elsewhere.check().clean
    assert push(here, there).objects == 0
    assert push(here, there, restore=True).objects == 2 + 3 * 2  # the file, segment.json, and its three versions again
    assert on(there).check().clean


def test_a_damaged_object_is_not_sent(here: vecver.Repository) -> None:
    docs, there = here.dataset("d"), MemoryStore()
    segment = versions_of(docs).layout(docs.resolve("v1")).segments[0].segment
    name = f"segments/{segment}/chunks.arrow"
    store(here).put(name, b"x" * len(store(here).get(name)))
    with pytest.raises(IntegrityError, match="does not match its digest"):
        push(here, there)
    assert there.size(name) is None and on(there).datasets() == []


@pytest.mark.parametrize("after", range(10, 75, 8))
def test_a_push_while_gc_deletes_what_it_needs_sends_it_again(here: vecver.Repository, after: int) -> None:
    """What an interrupted push left is garbage there; gc has begun to delete it when the next push comes."""
    there = MemoryStore()
    repo.create(there, here.id)
    with pytest.raises(PowerFailure):
        push(here, Failing(there, 60, done=False, die=power_failure))
    on(there).gc(grace=NOW, apply=True)  # it waits now
    with suppress(PowerFailure):
        open_on(Failing(there, after, done=False, die=power_failure)).gc(grace=NOW, apply=True)
    try:
        push(here, there)
    except ConflictError as error:
        assert error.code == "collected"
        on(there).gc(grace=NOW, apply=True)
        push(here, there)
    for _ in range(2):
        on(there).gc(grace=NOW, apply=True)
    assert on(there).check().clean
    assert_same_answers(here, on(there))


def test_questions_that_gc_deleted_after_a_cut_off_push_come_again(here: vecver.Repository) -> None:
    """A push that was cut off after it named a question set, before any ref: gc knows no dataset that needs the set."""
    for operations in range(40, 200):
        there = MemoryStore()
        repo.create(there, here.id)
        with pytest.raises(PowerFailure):
            push(here, Failing(there, operations, done=False, die=power_failure))
        if list(there.list("questions/")):
            break
    assert list(there.list("question-sets/")) and on(there).datasets() == []
    for _ in range(3):
        on(there).gc(grace=NOW, apply=True)
    assert not list(there.list("question-sets/"))
    push(here, there)
    assert on(there).check().clean and on(there).dataset("d").question_sets() == here.dataset("d").question_sets()


def test_two_pushes_at_once_both_land(here: vecver.Repository) -> None:
    there = MemoryStore()
    push(here, there)
    copies = [cloned(there) for _ in range(2)]
    for number, copy in enumerate(copies):
        copy.dataset("d").branch(f"side-{number}")
        ingest(copy.dataset("d"), {"z": f"by {number}"}, branch=f"side-{number}")
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda copy: push(copy, there), copies))
    assert {"side-0", "side-1"} <= on(there).dataset("d").branches().keys() and on(there).check().clean


# -- remotes ------------------------------------------------------------------------------------


def test_remotes_are_kept_in_the_repository(tmp_path: Path) -> None:
    repository = vecver.open(tmp_path / "kb", create=True)
    repository.add_remote("origin", tmp_path / "there")
    assert [each.to_json() for each in vecver.open(tmp_path / "kb").remotes()] == [
        {"name": "origin", "url": str(tmp_path / "there")}
    ]
    with pytest.raises(ConflictError, match="already"):
        repository.add_remote("origin", tmp_path / "elsewhere")
    with pytest.raises(InvalidInputError, match="password"):
        repository.add_remote("cloud", "s3://key:secret@bucket/kb")
    with pytest.raises(NotFoundError, match="no remote 'orign'"):
        repository.push(remote="orign")
    repository.remove_remote("origin")
    assert repository.remotes() == []


def test_a_remote_that_is_full_changes_nothing(here: vecver.Repository) -> None:
    def full() -> None:
        raise BackendError("the disk is full", code="store_full", hint="free space", retryable=True)

    there = MemoryStore()
    repo.create(there, here.id)
    with pytest.raises(BackendError):
        push(here, Failing(there, 40, done=False, die=full))
    assert on(there).datasets() == []
    push(here, there)
    assert on(there).check().clean


def _with_a_later_field(store: Store, name: str) -> str:
    """Write a move or commit again as a later vecver might, with a field more; gives its digest."""
    body = canonical_json({**json.loads(store.get(name)), "a later field": 1})
    id = digest(body)
    store.put(objects.path_of(id) if name.startswith("commits/") else move_path(id), body)
    return id


def test_what_a_later_vecver_wrote_into_moves_and_commits_travels(here: vecver.Repository) -> None:
    mine = store(here)
    path = Refs(mine, "d").path("branch", "main")
    ref = json.loads(mine.get(path))
    commit = _with_a_later_field(mine, objects.path_of(ref["commit"]))
    mine.put(layout_path(commit), encoded_layout(commit, load_layout(mine, ref["commit"])))
    last = load_move(mine, ref["move"])
    made = replace(last, after=commit)
    mine.put(move_path(made.id), canonical_json(made.to_json()))
    move = _with_a_later_field(mine, move_path(made.id))
    mine.swap(path, mine.get(path), canonical_json({**ref, "commit": commit, "move": move}))
    here, there = on(mine), MemoryStore()
    push(here, there)
    assert on(there).dataset("d").resolve("main") == commit and load_move(there, move).id == move
    assert_same_answers(here, on(there))
    for each in (here, cloned(there)):
        ingest(each.dataset("d"), {**BASE, "e": "five"})
        assert each.dataset("d").rollback("main").after
        assert [problem for problem in each.check().problems if path in problem.object] == []
    assert on(there).check().clean


def _forked(there: Store) -> list[vecver.Repository]:
    """Two clones that each made the branch "feat", and moved it twice."""
    clones = [cloned(there), cloned(there)]
    for number, each in enumerate(clones):
        each.dataset("d").branch("feat")
        for text in ("first", "second"):
            ingest(each.dataset("d"), {**BASE, "f": f"{text} of {number}"}, branch="feat")
    return clones


@pytest.mark.parametrize("maker", ["another push", "a writer there"])
def test_a_log_that_was_cut_off_is_not_taken_for_a_lost_one(here: vecver.Repository, maker: str) -> None:
    there = MemoryStore()
    push(here, there)
    one, other = _forked(there)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(PowerFailure):
        patch.setattr(Refs, "adopt", lambda *_: power_failure())
        push(one, there, "d@feat")
    if maker == "another push":
        push(other, there, "d@feat")
    else:
        on(there).dataset("d").branch("feat")
    assert on(there).check().clean
    on(there).gc(grace=NOW, apply=True)
    with suppress(ConflictError):
        push(one, there, "d@feat")
    assert on(there).check().clean


def test_a_push_of_a_log_that_comes_too_late_leaves_nothing_of_it(here: vecver.Repository) -> None:
    there = MemoryStore()
    push(here, there)
    _, other = _forked(there)
    adopt = Refs.adopt

    def late(refs: Refs, newest: Move) -> None:
        patch.setattr(Refs, "adopt", adopt)
        with pytest.MonkeyPatch.context() as seen:  # as a writer who had looked before the ref was reserved
            seen.setattr(Refs, "bringing_log", lambda _: nullcontext())
            seen.setattr(Refs, "_drop_leftovers", lambda *_: None)
            on(there).dataset("d").branch("feat", at="v1")
        adopt(refs, newest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Refs, "adopt", late)
        assert push(other, there, "d@feat").changed[0].state == "moved"
    assert on(there).check().clean
    on(there).gc(grace=NOW, apply=True)


@pytest.mark.parametrize(
    "url",
    ["s3://key:hush@bucket/kb", "https://hush@host/kb", "az://b/kb?sig=hush", "s3://b/kb#hush", "http://[hush@x"],
)
def test_a_secret_in_an_address_is_neither_kept_nor_shown(here: vecver.Repository, url: str, tmp_path: Path) -> None:
    for call in (
        lambda: here.add_remote("origin", url),
        lambda: vecver.clone(url, tmp_path / "kb"),
        lambda: vecver.open(url),
    ):
        with pytest.raises(InvalidInputError) as raised:
            call()
        assert "hush" not in str(raised.value) and "hush" not in str(raised.value.context)
    assert here.remotes() == [] and list(tmp_path.iterdir()) == []


def test_a_dataset_and_one_of_its_aliases_are_both_sent(here: vecver.Repository) -> None:
    there = MemoryStore()
    assert {ref.name for ref in push(here, there, "d", "d@prod").refs} == {"main", "v1", "prod"}
    copy = cloned(there)
    ingest(here.dataset("d"), {**BASE, "e": "five"})
    push(here, there)
    assert {ref.name for ref in pull(copy, there, "d@prod", "d").refs} == {"main", "v1", "prod"}
    assert texts_of(copy.dataset("d"))["e"] == "five"
    with pytest.raises(NotFoundError, match="nope"):
        push(here, there, "d", "d@nope")


# -- refused, cut off, restored -----------------------------------------------------------------


@pytest.mark.parametrize("wanted", [["d@nowhere"], ["nothing"]])
def test_a_refused_push_leaves_an_empty_place_empty(here: vecver.Repository, wanted: list[str]) -> None:
    there = MemoryStore()
    with pytest.raises(NotFoundError):
        push(here, there, *wanted)
    assert contents_of(there) == {}


def test_a_push_that_cannot_be_whole_leaves_an_empty_place_empty(here: vecver.Repository) -> None:
    """A clone without rows has nothing to fill another place with."""
    there, empty = MemoryStore(), MemoryStore()
    push(here, there)
    copy = vecver.clone(there, MemoryStore(), metadata_only=True, background=False)
    with pytest.raises(ConflictError) as caught:
        push(copy, empty)
    assert caught.value.code == "partial_clone" and contents_of(empty) == {}


@pytest.mark.parametrize("verb", ["push", "fetch", "pull"])
def test_the_advice_about_another_repository_fits_what_was_done(here: vecver.Repository, verb: str) -> None:
    other = MemoryStore()
    repo.create(other)
    calls = {"push": push, "fetch": fetch, "pull": pull}
    with pytest.raises(ConflictError) as caught:
        calls[verb](here, other)
    for caller in ("python", "cli"):
        hint = hint_for(caller, caught.value.hint)
        assert ("empty place" in hint) == (verb == "push") and "clone" in hint


@pytest.mark.parametrize("restore", [False, True])
@pytest.mark.parametrize("file", ["vectors.npy", "chunks.arrow", "documents.arrow", "lookup.npy"])
def test_a_file_of_the_right_size_that_a_cut_off_copy_left_is_sent_again(
    here: vecver.Repository, file: str, restore: bool
) -> None:
    there, source = MemoryStore(), store(here)
    segment = next(name.split("/")[1] for name in source.list("segments/"))
    name = f"segments/{segment}/{file}"
    body = source.get(name)
    there.put("vecver.json", source.get("vecver.json"))
    there.put(name, body[: len(body) // 2].ljust(len(body), b"\0"))  # as rsync --inplace leaves it
    push(here, there, restore=restore)
    assert there.get(name) == body and on(there).check().clean


def test_a_sound_file_that_a_cut_off_push_left_is_not_sent_again(here: vecver.Repository) -> None:
    there, source = MemoryStore(), store(here)
    files = [name for name in source.list("segments/") if name.endswith("vectors.npy")]
    there.put("vecver.json", source.get("vecver.json"))
    for name in files:
        there.put(name, source.get(name))
    whole = push(here, MemoryStore())
    assert push(here, there).objects == whole.objects - len(files)


def test_restore_leaves_alone_what_gc_let_go(here: vecver.Repository) -> None:
    """What the remote's gc let go on purpose stays so, unless it is named; what was lost comes back."""
    there = MemoryStore()
    push(here, there)
    remote, docs = on(there), here.dataset("d")
    middle, main = docs.resolve("main~1"), docs.resolve("main")
    remote.dataset("d").promote("prod", "main")
    for _ in range(3):
        remote.gc(keep_last=1, grace=NOW, apply=True)
    forgotten = [commit.id for commit in docs.log() if not remote.has_rows(commit.id)]
    there.delete(layout_path(main))
    done = push(here, there, restore=True)
    assert forgotten and remote.has_rows(main) and not any(remote.has_rows(id) for id in forgotten)
    assert any("gc there had let" in note for note in done.notes) and middle in forgotten
    docs.branch("back", middle)
    push(here, there, "d@back", restore=True)
    assert on(there).has_rows(middle) and on(there).check().clean


class _Breaking(MemoryStore):
    """A store whose vectors break off after so many bytes, and that counts what was read of them."""

    def __init__(self, source: Store) -> None:
        super().__init__()
        self.left, self.read = 1 << 30, 0
        for name, body in contents_of(source).items():
            self.put(name, body)

    def stream(self, name: str, start: int = 0) -> Iterator[bytes]:
        for piece in super().stream(name, start):
            for begin in range(0, len(piece), 16):
                if name.endswith("vectors.npy"):
                    if self.left <= 0:
                        raise KeyboardInterrupt
                    self.left -= 16
                    self.read += len(piece[begin : begin + 16])
                yield piece[begin : begin + 16]


@pytest.mark.parametrize("damage", ["none", "other bytes", "too long"])
def test_a_large_file_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setattr(transfer, "LARGE_BYTES", 100)
    repository = open_on(MemoryStore(), clock=Ticking())
    ingest(repository.dataset("d"), {f"doc-{n}": f"text {n}" for n in range(50)})
    source = _Breaking(store(repository))
    name = next(name for name in source.list("segments/") if name.endswith("vectors.npy"))
    size = len(source.get(name))
    source.left = size // 2
    place = tmp_path / "kb"
    with pytest.raises(KeyboardInterrupt):
        cloned(source, LocalStore(place))
    (part,) = (path for path in (place / "tmp").iterdir() if path.suffix != ".lock")
    stopped = part.stat().st_size
    assert 0 < stopped < size and not (place / name).exists()
    if damage == "other bytes":
        part.write_bytes(bytes(stopped))
    elif damage == "too long":
        part.write_bytes(part.read_bytes().ljust(size * 2, b"x"))
    source.left, source.read = 1 << 30, 0
    copy = cloned(source, LocalStore(place))
    assert (place / name).read_bytes() == source.get(name) and copy.check().clean
    again = {"none": size - stopped, "other bytes": size - stopped + size, "too long": size}
    assert source.read == again[damage]
    assert not [path for path in (place / "tmp").iterdir() if path.suffix != ".lock"]
