"""Clones without rows, and lock files: what they bring, when the rest comes, and what is proved."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from failing import Failing, PowerFailure, power_failure
from helpers import ingest, texts_of, vector_of
from inside import contents_of, store_of, versions_of

import vecver
from vecver import repo
from vecver.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from vecver.repo import objects
from vecver.store import LocalStore, MemoryStore, Store

BASE = {"a": "one", "b": "two", "c": "three"}
NOW = timedelta(0)


def store(repository: vecver.Repository) -> Store:
    return versions_of(repository).store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with three versions in two datasets; the last is that of `main`, the first `v1`."""
    place = tmp_path_factory.mktemp("made")
    with vecver.open(place / "kb", create=True, background=False) as repository:
        docs = repository.dataset("d")
        ingest(docs, BASE)
        docs.tag("v1")
        ingest(docs, {**BASE, "b": "changed"})
        docs.recall("main", sample=2, k=[1])
        ingest(docs, {**BASE, "b": "changed again"})
        docs.promote("prod", "v1")
        ingest(repository.dataset("other"), {"x": "elsewhere"})
    return place / "kb"


def segments(repository: vecver.Repository) -> set[str]:
    return {name.split("/")[1] for name in store(repository).list("segments/")}


# -- without rows -------------------------------------------------------------------------------


def test_a_clone_without_rows_has_their_records(made: Path, tmp_path: Path) -> None:
    copy = vecver.clone(made, tmp_path / "kb", metadata_only=True, background=False)
    here, docs = vecver.open(made), copy.dataset("d")
    assert [commit.id for commit in docs.log()] == [commit.id for commit in here.dataset("d").log()]
    assert docs.aliases() == here.dataset("d").aliases() and docs.tags() == here.dataset("d").tags()
    assert docs.measures("main~1") == here.dataset("d").measures("main~1") != {}
    assert docs.show("v1").counts == {"documents": 3, "chunks": 3} and not copy.has_rows(docs.resolve("v1"))
    assert segments(copy) == set() and list(store(copy).list("layouts/")) == []
    assert copy.check().clean
    for _ in range(2):
        copy.gc(grace=NOW, apply=True)
    assert copy.check().clean and docs.log()


def test_rows_come_when_they_are_needed(made: Path, tmp_path: Path) -> None:
    copy = vecver.clone(made, tmp_path / "kb", metadata_only=True, background=False)
    here, docs = vecver.open(made), copy.dataset("d")
    answer = here.dataset("d").search(vector_of("one"), at="v1", k=3)
    assert copy.replay(answer.receipt).identical and copy.has_rows(docs.resolve("v1"))
    assert not copy.has_rows(docs.resolve("main")) and not repo.exists(LocalStore(tmp_path / "nowhere"))
    assert docs.diff("v1", "main").changed == ("b",)
    assert copy.check().clean and list(store(copy).list("forgotten/")) != []
    report = ingest(docs, {**BASE, "d": "new"})
    assert report.changed and copy.check().clean
    assert copy.push("d").changed[0].state == "moved"
    vecver.open(made).dataset("d").rollback("main", to="main~1")  # as it was, for the other tests


def test_rows_that_gc_let_go_come_again(made: Path, tmp_path: Path) -> None:
    middle = list(vecver.open(made).dataset("d").log())[-2].id
    copy = vecver.clone(made, tmp_path / "kb", at=f"d@{middle}", background=False)
    docs = copy.dataset("d")
    assert texts_of(docs, middle) == {**BASE, "b": "changed"}
    for _ in range(3):
        copy.gc(keep_last=1, grace=NOW, apply=True)
    assert not copy.has_rows(middle) and copy.check().clean
    assert docs.get("b", at=middle).text == "changed" and copy.has_rows(middle)
    shutil.rmtree(tmp_path / "kb" / "layouts")
    store(copy).swap(repo.remotes.NAME, store(copy).get(repo.remotes.NAME), _remotes(tmp_path / "nowhere"))
    with pytest.raises(NotFoundError, match="not a vecver repository"):
        vecver.open(tmp_path / "kb").dataset("d").get("b", at=middle)


def _remotes(url: Path) -> bytes:
    return objects.sealed({"remotes": {"origin": {"url": str(url), "partial": True}}})


def test_a_rollback_and_a_bisection_bring_the_rows_that_they_need(made: Path, tmp_path: Path) -> None:
    copy = vecver.clone(made, tmp_path / "kb", metadata_only=True, background=False)
    docs = copy.dataset("d")
    assert docs.bisect("v1", "main", query=vector_of("two"), contains="two").commit == list(docs.log())[-2].id
    copy = vecver.clone(made, tmp_path / "other", metadata_only=True, background=False)
    docs = copy.dataset("d")
    assert docs.rollback("main", to="v1").after and texts_of(docs) == BASE and copy.check().clean


def test_a_pull_into_a_clone_without_rows_brings_records_only(made: Path, tmp_path: Path) -> None:
    copy = vecver.clone(made, tmp_path / "kb", metadata_only=True, background=False)
    docs = vecver.open(made, background=False).dataset("d")
    ingest(docs, {**BASE, "z": "last"}, branch="main")
    docs.tag(f"pulled-{tmp_path.name}")
    copy.pull()
    assert copy.dataset("d").resolve("main") == docs.resolve("main") and segments(copy) == set()
    assert copy.check().clean and texts_of(copy.dataset("d")) == {**BASE, "z": "last"}


def test_one_version(made: Path, tmp_path: Path) -> None:
    copy = vecver.clone(made, tmp_path / "kb", at="d@v1", background=False)
    assert copy.datasets() == ["d"] and len(list(store(copy).list("layouts/"))) == 1
    store(copy).delete(repo.remotes.NAME)  # nothing may be fetched from here on
    assert texts_of(copy.dataset("d"), "v1") == BASE and copy.check().clean
    with pytest.raises(NotFoundError, match="no remote 'origin'"):
        copy.dataset("d").search(vector_of("one"))
    with pytest.raises(InvalidInputError, match="may be a version of any of d, other"):
        vecver.clone(made, tmp_path / "other", at="v1")


def test_a_clone_without_rows_is_no_source_of_whole_ones(made: Path, tmp_path: Path) -> None:
    vecver.clone(made, tmp_path / "kb", metadata_only=True)
    with pytest.raises(ConflictError, match="a clone without them"):
        vecver.clone(tmp_path / "kb", tmp_path / "again")


def test_rows_lost_at_the_remote_are_named(made: Path, tmp_path: Path) -> None:
    there = vecver.clone(made, tmp_path / "there", background=False)
    copy = vecver.clone(tmp_path / "there", tmp_path / "kb", metadata_only=True, background=False)
    for name in list(store(there).list("segments/")):
        if name.endswith("vectors.npy"):
            store(there).delete(name)
    with pytest.raises(IntegrityError, match="has lost segments/"):
        copy.dataset("d").search(vector_of("one"), at="v1")
    assert len(list(copy.dataset("d").log())) >= 3 and copy.check().clean


@pytest.mark.parametrize("done", [False, True])
def test_a_version_whose_rows_break_off_comes_later(made: Path, done: bool) -> None:
    """At every seventh operation here: the record says that its rows are elsewhere until they all are here."""
    after, left, id = 0, True, vecver.open(made).dataset("d").resolve("v1")
    begun = MemoryStore()
    vecver.clone(LocalStore(made), begun, metadata_only=True)
    while left:
        here = store_of(contents_of(begun))
        broken = Failing(here, after, done=done, die=power_failure)
        with suppress(PowerFailure):
            repo.pin(repo.Versions(broken), "origin", LocalStore(made), id, "app", repo.SyncOptions())
            left = False
        copy = vecver.open(here, background=False)
        assert copy.check().clean and len(list(copy.dataset("d").log())) >= 3
        repo.pin(versions_of(copy), "origin", LocalStore(made), id, "app", repo.SyncOptions())
        repo.prove(here, id)
        assert copy.check().clean and texts_of(copy.dataset("d"), "v1") == BASE
        after += 7
    assert after > 20


# -- lock files ---------------------------------------------------------------------------------


def locked(made: Path, app: Path, *versions: str) -> vecver.Lock:
    app.mkdir(exist_ok=True)
    return vecver.open(made).lock(*versions, file=app / "vecver.lock")


def test_a_lock_file_brings_exactly_its_version_back(made: Path, tmp_path: Path) -> None:
    app = tmp_path / "app"
    lock = locked(made, app, "d@prod", "other@main")
    text = (app / "vecver.lock").read_text()
    assert json.loads(text) == lock.to_json() and text == lock.to_text() and text.count("\n") == 19
    done = vecver.sync(app / "vecver.lock")
    assert done.url == str(app / ".vecver") and done.objects and done.bytes
    pinned = vecver.open_locked("d", file=app / "vecver.lock", background=False)
    assert pinned.commit.id == vecver.open(made).dataset("d").resolve("v1")
    assert pinned.documents() == ["a", "b", "c"] and pinned.count().documents == 3
    ours = vecver.open(made).dataset("d").search(vector_of("two"), at="v1", k=3)
    theirs = pinned.search(vector_of("two"), k=3)
    assert [(hit.key, hit.score) for hit in theirs] == [(hit.key, hit.score) for hit in ours]
    again = vecver.sync(app / "vecver.lock")
    assert (again.objects, again.bytes) == (0, 0)


def test_an_older_lock_file_restores_its_version_and_gc_keeps_it(made: Path, tmp_path: Path) -> None:
    app = tmp_path / "app"
    old = locked(made, app, "d@v1").to_text()
    vecver.sync(app / "vecver.lock")
    locked(made, app, "d@main~1")
    vecver.sync(app / "vecver.lock")
    (app / "vecver.lock").write_text(old)  # `git checkout` of the application
    vecver.sync(app / "vecver.lock")
    here = vecver.open(app / ".vecver", background=False)
    for _ in range(2):
        here.gc(grace=NOW, keep_last=1, apply=True)
    assert (
        texts_of(vecver.open_locked(file=app / "vecver.lock", background=False).dataset, "locked/" + _pin(here)) == BASE
    )
    assert here.check().clean


def _pin(repository: vecver.Repository) -> str:
    """The name under which the version is kept."""
    from vecver.repo.refs import tracking

    return next(name for _, name in tracking.read(store(repository), "d", repo.remotes.LOCKED).refs)


def test_a_lock_file_that_was_edited_is_an_error(made: Path, tmp_path: Path) -> None:
    lock = locked(made, tmp_path, "d@v1")
    file, version = tmp_path / "vecver.lock", lock.datasets["d"]
    vecver.sync(file)
    for before, after in (
        (f'"{version.commit}"', "5"),
        (version.commit, "../../vecver.lock"),
        (version.commit, version.commit[:12]),
        (f'"{version.content_root}"', '["x"]'),
    ):
        file.write_text(lock.to_text().replace(before, after))
        with pytest.raises(IntegrityError, match="no lock file"):
            vecver.sync(file)
    file.write_text(lock.to_text().replace(version.vector_root, "0" * 64))
    with pytest.raises(IntegrityError, match="does not name the roots"):
        vecver.open_locked(file=file, background=False)
    value = lock.to_json()
    value["datasets"]["d"]["a later field"] = 1
    file.write_text(json.dumps(value))
    assert vecver.sync(file).lock == lock


def test_a_dataset_that_was_renamed_is_locked_under_both_names(made: Path, tmp_path: Path) -> None:
    origin = vecver.clone(made, tmp_path / "origin", background=False)
    origin.remove_remote("origin")
    file = tmp_path / "app" / "vecver.lock"
    file.parent.mkdir()
    old = origin.lock("d@v1", file=file).datasets["d"].commit
    origin.rename_dataset("d", "manual")
    new = origin.lock("manual@main", file=file).datasets["manual"].commit
    vecver.sync(file)
    here = vecver.open(tmp_path / "app" / ".vecver", background=False)
    for _ in range(3):
        here.gc(keep_last=1, grace=NOW, apply=True)
    assert here.has_rows(old) and here.has_rows(new)


def test_locking_again_takes_the_versions_of_now(made: Path, tmp_path: Path) -> None:
    locked(made, tmp_path, "d@main~1")
    first = vecver.open(made).lock(file=tmp_path / "vecver.lock").to_text()
    assert first == vecver.open(made).lock(file=tmp_path / "vecver.lock").to_text()


def test_what_was_not_pushed_is_not_locked(made: Path, tmp_path: Path) -> None:
    copy = vecver.clone(made, tmp_path / "kb", background=False)
    ingest(copy.dataset("d"), {"new": "text"})
    with pytest.raises(ConflictError, match="nobody could get it there"):
        copy.lock("d@main", file=tmp_path / "vecver.lock")
    copy.lock("d@main", file=tmp_path / "vecver.lock", check=False)
    with pytest.raises(NotFoundError, match="has no version"):
        vecver.sync(tmp_path / "vecver.lock", repository=tmp_path / "elsewhere")


def test_a_lock_file_of_another_repository_or_with_other_roots_is_refused(made: Path, tmp_path: Path) -> None:
    lock = locked(made, tmp_path, "d@v1")
    file = tmp_path / "vecver.lock"
    with vecver.open(tmp_path / "another", create=True) as another, pytest.raises(ConflictError):
        vecver.sync(file, repository=another.url)
    file.write_text(lock.to_text().replace(lock.datasets["d"].content_root, "0" * 64))
    with pytest.raises(IntegrityError, match="roots of d@"):
        vecver.sync(file)
    for text in ("", "{}", '{"format": 9}', "[]", "\x00"):
        file.write_text(text)
        with pytest.raises(IntegrityError, match="no lock file"):
            vecver.sync(file)


def test_a_version_that_was_not_synced_says_how(made: Path, tmp_path: Path) -> None:
    locked(made, tmp_path, "d@v1")
    vecver.open(tmp_path / ".vecver", create=True)
    with pytest.raises(ConflictError):
        vecver.open_locked(file=tmp_path / "vecver.lock")
    with pytest.raises(NotFoundError, match="no version of 'nothing'"):
        vecver.open_locked("nothing", file=tmp_path / "vecver.lock")
    vecver.clone(made, tmp_path / "kb", metadata_only=True)
    with pytest.raises(NotFoundError, match="is not in") as missing:
        vecver.open_locked(file=tmp_path / "vecver.lock", repository=tmp_path / "kb")
    assert "sync" in missing.value.hint
    with pytest.raises(NotFoundError, match="there is no lock file"):
        vecver.sync(tmp_path / "nothing.lock")


def test_a_damaged_row_is_found_by_sync(made: Path, tmp_path: Path) -> None:
    there = vecver.clone(made, tmp_path / "there", background=False)
    name = next(name for name in store(there).list("segments/") if name.endswith("vectors.npy"))
    body = bytearray(store(there).get(name))
    body[-1] ^= 1
    store(there).put(name, bytes(body))
    vecver.open(tmp_path / "there").lock("d@v1", file=tmp_path / "vecver.lock", remote=None, check=False)
    lock = json.loads((tmp_path / "vecver.lock").read_text())
    lock["remote"] = str(tmp_path / "there")
    (tmp_path / "vecver.lock").write_text(json.dumps(lock))
    with pytest.raises(IntegrityError, match="does not match its digest"):
        for version in ("d@v1", "d@main", "other@main"):
            vecver.open(made).lock(version, file=tmp_path / "all.lock", check=False)
        text = (tmp_path / "all.lock").read_text().replace(str(made), str(tmp_path / "there"))
        (tmp_path / "all.lock").write_text(text)
        vecver.sync(tmp_path / "all.lock", repository=tmp_path / "synced")


def test_a_dataset_that_a_lock_file_no_longer_names_is_let_go(made: Path, tmp_path: Path) -> None:
    here, file = vecver.open(made), tmp_path / "vecver.lock"
    here.lock("d@v1", "other@main", file=file)
    vecver.sync(file)
    synced = vecver.open(tmp_path / ".vecver")
    versions = {name: here.dataset(name).resolve(ref) for name, ref in (("d", "v1"), ("other", "main"))}
    assert all(map(synced.has_rows, versions.values()))
    text = json.loads(file.read_text())
    del text["datasets"]["other"]
    file.write_text(json.dumps(text))
    for _ in range(3):
        synced.gc(keep_last=1, grace=NOW, apply=True)
    assert all(map(synced.has_rows, versions.values()))  # the file was changed, but nobody synced
    vecver.sync(file)
    for _ in range(3):
        synced.gc(keep_last=1, grace=NOW, apply=True)
    assert synced.has_rows(versions["d"]) and not synced.has_rows(versions["other"]) and synced.check().clean
    other = tmp_path / "app" / "vecver.lock"  # another file keeps its own
    other.parent.mkdir()
    here.lock("other@main", file=other)
    vecver.sync(other)
    vecver.sync(file)
    for _ in range(3):
        synced.gc(keep_last=1, grace=NOW, apply=True)
    assert synced.has_rows(versions["other"])


def test_a_difference_reads_only_the_documents_that_differ(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither version comes: no text, no vector, and nothing of what both share."""
    copy = vecver.clone(made, tmp_path / "kb", metadata_only=True, background=False)
    here, docs = vecver.open(made).dataset("d"), copy.dataset("d")
    ids = [commit.id for commit in here.log()]
    expected = {(a, b): here.diff(a, b) for a in ids for b in ids}
    read, streamed = set[str](), LocalStore.stream

    def stream(self: LocalStore, name: str, start: int = 0) -> Iterator[bytes]:
        read.add(name.rsplit("/", 1)[1])
        return streamed(self, name, start)

    monkeypatch.setattr(LocalStore, "stream", stream)
    for (a, b), diff in expected.items():
        assert docs.diff(a, b) == diff
    assert read == {"documents.arrow"}
    assert segments(copy) == set() and not any(map(copy.has_rows, ids)) and copy.check().clean
    one, other = ids[-1], ids[-2]
    assert docs.diff(one, other, document="b").change == "changed"  # for its texts both versions come
    assert copy.has_rows(one) and docs.diff(ids[0], one) == here.diff(ids[0], one)


def test_a_difference_from_documents_alone_is_that_from_all_rows(tmp_path: Path) -> None:
    """For documents that change, come, go, come back, are folded, or hold a text twice."""
    repository = vecver.open(tmp_path / "kb", create=True, background=False)
    docs, versions = repository.dataset("d"), versions_of(repository)
    steps: list[dict[str, str]] = [
        {"a": "one", "b": "two", "c": "three"},
        {"a": "one", "b": "changed", "c": "three", "d": "one"},
        {"b": "changed"},
        {"a": "one", "b": "two", "c": "three", "e": "five", "f": "two"},
        {"a": "other", "b": "two", "c": "three", "e": "five six", "f": "two"},
    ]
    for step in steps:
        ingest(docs, step)
    long = "\n\n".join(f"# Part {n}\n\n" + f"words of part {n} " * 40 for n in range(12))
    texts = repository.dataset("texts")
    texts.ingest([{"id": "long", "text": long}], embedder="hashing")
    edited = long.replace("part 5", "part five").replace("# Part 9", "# Part nine") + "\n\nlast"
    texts.ingest([{"id": "long", "text": edited}, {"id": "more", "text": long}])
    for changed in (docs, texts):
        ids = [commit.id for commit in changed.log()]
        for _ in range(2):
            opened = [versions.snapshot(id) for id in ids]
            for a in opened:
                for b in opened:
                    assert repo.diff_documents(a, b) == repo.diff(a, b)
            changed.optimize()


def test_a_lent_file_is_proved(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "there")
    copy = vecver.clone(tmp_path / "there", tmp_path / "kb", metadata_only=True, background=False)
    for file in (tmp_path / "there").glob("segments/*/documents.arrow"):
        body = file.read_bytes()
        file.write_bytes(body[:-20] + bytes(20))
    with pytest.raises(IntegrityError, match="does not match its digest"):
        copy.dataset("d").diff("v1", "main")
