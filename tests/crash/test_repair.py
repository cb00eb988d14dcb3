"""`check --repair` makes again what follows from what is sound, names what does not, and loses nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers import Ticking, ingest, open_on, texts_of
from inside import contents_of, store_of, versions_of

import vecver
from vecver import index
from vecver.cli.app import main
from vecver.digest import digest_json
from vecver.errors import InvalidInputError
from vecver.store import LocalStore, MemoryStore

TEXTS = {"a": "one", "b": "two"}
MAIN, TAG, PROD, OTHER = (
    "refs/d/branches/main",
    "refs/d/tags/v1",
    "refs/d/aliases/prod",
    "refs/other/branches/main",
)


@pytest.fixture(scope="module")
def healthy() -> dict[str, bytes]:
    store = MemoryStore()
    repository = open_on(store, clock=Ticking())
    docs = repository.dataset("d")
    ingest(docs, TEXTS)
    ingest(docs, {**TEXTS, "b": "changed"})
    docs.tag("v1", "main~1")
    docs.promote("prod", "v1")
    docs.promote("prod", "main")
    docs.rollback("main")
    docs.recall("v1", sample=2)
    ingest(repository.dataset("other"), {"x": "elsewhere"})
    return contents_of(store)


def repaired(objects: dict[str, bytes]) -> tuple[MemoryStore, vecver.Repository, set[str]]:
    """The store after a repair that left nothing over, and what was repaired in it."""
    repository = open_on(store := store_of(objects), clock=Ticking())
    found = repository.check(repair=True)
    assert found.clean, found.problems
    assert repository.check().clean
    return store, repository, {one.object for one in found.repaired}


def same(store: MemoryStore, healthy: dict[str, bytes]) -> bool:
    return {name: body for name, body in contents_of(store).items() if not name.startswith("aside/")} == healthy


def test_a_sound_repository_is_left_as_it_is(healthy: dict[str, bytes]) -> None:
    store, _, done = repaired(healthy)
    assert not done and contents_of(store) == healthy


@pytest.mark.parametrize("body", [None, b"", b"{}", b"?" * 99], ids=["gone", "empty", "json", "rubbish"])
@pytest.mark.parametrize("path", [MAIN, TAG, PROD, OTHER])
def test_a_ref_is_put_back_as_its_moves_say(healthy: dict[str, bytes], path: str, body: bytes | None) -> None:
    objects = {name: old for name, old in healthy.items() if name != path} | ({} if body is None else {path: body})
    store, _, done = repaired(objects)
    assert done == {path} and same(store, healthy)
    assert body is None or store.get(f"aside/{path}") == body


def test_all_refs_are_put_back_and_swapped_ones_are_sorted_out(healthy: dict[str, bytes]) -> None:
    store, _, _ = repaired({name: body for name, body in healthy.items() if not name.startswith("refs/")})
    assert same(store, healthy)
    for one, other in ((MAIN, OTHER), (TAG, PROD), (MAIN, TAG)):
        store, _, done = repaired({**healthy, one: healthy[other], other: healthy[one]})
        assert same(store, healthy) and done == {one, other}


def test_a_ref_that_was_set_back_goes_where_it_was(healthy: dict[str, bytes]) -> None:
    docs = open_on(store_of(healthy)).dataset("d")
    first = list(versions_of(docs).refs("d").log("branch", "main"))[-1]
    id = digest_json(first.to_json())
    older = json.dumps({"commit": first.after, "format": 1, "move": id}, separators=(",", ":"), sort_keys=True)
    store, _, _ = repaired({**healthy, MAIN: older.encode()})
    assert same(store, healthy)


def test_gc_works_after_a_repair(healthy: dict[str, bytes]) -> None:
    _, repository, _ = repaired({name: body for name, body in healthy.items() if name != OTHER})
    for _ in range(2):
        repository.gc(grace=timedelta(0), apply=True)
    assert texts_of(repository.dataset("other")) == {"x": "elsewhere"} and repository.check().clean


@pytest.mark.parametrize("file", ["segment.json", "lookup.npy"])
def test_what_follows_from_a_segments_rows_is_made_again(healthy: dict[str, bytes], file: str) -> None:
    for name in [name for name in healthy if name.startswith("segments/") and name.endswith(file)]:
        for objects in (
            {other: body for other, body in healthy.items() if other != name},
            {**healthy, name: b"?" + healthy[name][1:]},
        ):
            store, _, done = repaired(objects)
            assert same(store, healthy) and done == {name}


def test_the_layout_of_a_rollback_is_that_of_what_it_went_back_to(healthy: dict[str, bytes]) -> None:
    docs = open_on(store_of(healthy)).dataset("d")
    for at in ("main", "v1"):
        name = "layouts/" + docs.resolve(at)
        store, repository, done = repaired({other: body for other, body in healthy.items() if other != name})
        assert done == {name} and texts_of(repository.dataset("d"), at) == TEXTS and same(store, healthy)


def test_a_damaged_list_of_what_waits_is_begun_anew(healthy: dict[str, bytes]) -> None:
    store, repository, done = repaired({**healthy, "retired": b"?"})
    assert done == {"retired"} and store.get("aside/retired") == b"?"
    repository.gc(apply=True)


def test_damage_that_cannot_be_repaired_is_reported_and_left(healthy: dict[str, bytes]) -> None:
    docs = open_on(store_of(healthy)).dataset("d")
    lonely = "layouts/" + docs.resolve("prod")
    kinds = ["commits/", "moves/", "measures/", lonely, *(f"/{f}" for f in ("documents.arrow", "chunks.arrow"))]
    for kind in [*kinds, "/vectors.npy"]:
        name = next(name for name in sorted(healthy) if name.startswith(kind) or name.endswith(kind))
        objects = {**healthy, name: healthy[name][:-9] + b"?" + healthy[name][-8:]}
        repository = open_on(store := store_of(objects))
        found = repository.check(repair=True)
        (problem,) = [one for one in found.problems if one.object == name]
        assert ("restore this file" in problem.problem) != (kind == "measures/")
        assert store.get(name) == objects[name], "a damaged object is never deleted"


def test_an_index_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index.faiss.costs, "INDEX_ROWS", 256)
    docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
    ingest(docs, {str(i): f"text {i}" for i in range(400)})
    (file,) = (tmp_path / "kb/segments").glob(f"*/{index.faiss.SPEC}")
    whole = file.read_bytes()
    for damage in (whole[:-1] + b"?", b""):
        file.write_bytes(damage)
        found = vecver.open(tmp_path / "kb").check(repair=True)
        assert found.clean and [one.problem for one in found.repaired] == ["its index was built again"]
        assert len(file.read_bytes()) == len(whole)
    file.with_name("other").write_bytes(b"?")
    file.with_name("other.json").write_bytes(b"?")
    found = vecver.open(tmp_path / "kb").check(repair=True)
    assert found.clean and not file.with_name("other.json").exists()
    assert list((tmp_path / "kb/aside").rglob("other.json"))


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
    ingest(docs, TEXTS)
    (tmp_path / "kb" / MAIN).unlink()
    runner = CliRunner()
    assert runner.invoke(main, ["--repo", str(tmp_path / "kb"), "check"]).exit_code == 5
    outcome = runner.invoke(main, ["--repo", str(tmp_path / "kb"), "check", "--repair"])
    assert outcome.exit_code == 0 and f"repaired {MAIN}: put back" in outcome.output
    (tmp_path / "kb" / MAIN).unlink()
    outcome = runner.invoke(main, ["--repo", str(tmp_path / "kb"), "check", "--repair", "--json"])
    assert [one["object"] for one in json.loads(outcome.stdout)["repaired"]] == [MAIN]
    with pytest.raises(InvalidInputError):
        docs.repository.check(repair=True, milvus="http://localhost:1")
