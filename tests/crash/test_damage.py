"""Every kind of object flipped, cut short, swapped and deleted: answers are right, or an error of ours says why.

And `check` names the damage, gc takes nothing that lives, and with the object put back all is as it was.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers import ingest
from tallies import Begin
from verbs import (
    GATE,
    JUDGED,
    KINDS,
    MANY,
    NOW,
    QUERIES,
    ROWS,
    assert_sound,
    breaking,
    collect,
    copied,
    docs,
    kind_of,
    opened,
    send,
    small_indexes,
    store_of,
    tall,
    texts_only,
    version_of,
)

import vecver
from vecver.errors import ApprovalError, VecverError
from vecver.repo.maintain import gc
from vecver.repo.published.ledger import Collection, Ledger, Publications, State

DAMAGES = ("flipped", "cut short", "swapped", "deleted")
UNREAD = {"parts", "retired", "vectors"}  # kinds that `check` does not read: no version needs them
# Kinds of which nothing says that there was one.
UNMISSED = {
    "measures",
    "segments: index",
    "segments: index.json",
    "publications",
    "names",
    *("questions", "policies", "approvals", "gatings", "remotes", "tracking"),
}


# -- a repository with every kind of object ---------------------------------------------------------


def everything(place: Path) -> None:
    tall(place)
    collect(place, keep_last=1)  # forgets some
    here = docs(place)
    here.recall("main", sample=2, k=[1])
    small_of(place, "small")
    with small_indexes():
        ingest(docs(place, "indexed"), ROWS)
    small_of(place, "before")
    opened(place).rename_dataset("before", "renamed")
    publish(place)
    opened(place).add_remote("origin", "/elsewhere")
    send(place, "small")
    ingest(here, {"more": "text"}, keep_missing=True)
    here.optimize()  # what it replaced waits
    docs(place, "embedded").ingest(texts_only({"a": "one"}), embedder="hashing", chunker="whole")
    with pytest.raises(ZeroDivisionError):
        docs(place, "embedded").ingest(breaking(), embedder="hashing", chunker="whole")


def small_of(place: Path, name: str) -> None:
    """Two versions with refs of every kind."""
    here = docs(place, name)
    ingest(here, {"a": "one", "b": "two"})
    here.tag("old")
    ingest(here, {"a": "one", "b": "changed"})
    here.promote("prod", "old")
    here.add_questions("judged", JUDGED)
    here.promote("prod", "main", gates=[GATE], questions="judged")
    here.set_policy("prod", [GATE], questions="judged", approval=True)
    with pytest.raises(ApprovalError):
        here.promote("prod", "old")


def publish(place: Path) -> None:
    """The ledgers of two datasets, as if a Milvus held their newest versions."""
    for name in ("d", "small"):
        commit, book = docs(place, name).show(), Publications(store_of(place), name, "http://milvus", "")
        state = State(1, commit.id, commit.content_root, commit.vector_root, "0" * 64, 1, commit.time)
        collection = Collection("c", commit.recipe.space.id, 8, "IP", "FLAT", False, 1, 1, {}, (state,))
        book.read()
        book.write(Ledger(book.uri, book.database, (collection,)))


# -- what is asked ----------------------------------------------------------------------------------


def questions(place: Path) -> dict[str, Callable[[Path], Any]]:
    """Every reading call, each on a new handle, so that nothing is cached."""
    found: dict[str, Callable[[Path], Any]] = {"datasets": lambda there: opened(there).datasets()}
    for name in opened(place).datasets():
        here = docs(place, name)
        for ref, commit in {**here.branches(), **here.tags(), **here.aliases()}.items():
            found[f"{name}@{ref}"] = partial(seen_at, name=name, ref=ref, commit=commit)
        receipt = here.search(QUERIES[0] if name != "embedded" else "x", k=3).receipt
        found[f"log of {name}"] = lambda there, name=name: [one.to_json() for one in docs(there, name).log()]  # type: ignore[misc]
        found[f"moves of {name}"] = lambda there, name=name: docs(there, name).moves("branch", "main")  # type: ignore[misc]
        found[f"measures of {name}"] = lambda there, name=name: measured(there, name)  # type: ignore[misc]
        found[f"replay of {name}"] = lambda there, receipt=receipt: vecver.replay(opened(there), receipt).identical  # type: ignore[misc]
    found["tracked"] = lambda there: docs(there, "small").resolve("origin/main")
    found["remotes"] = lambda there: opened(there).remotes()
    found["diff"] = lambda there: docs(there, "small").diff("old", "main").to_json()
    found["publication"] = lambda there: docs(there, "small").publication("main", to="http://milvus")
    return found


def seen_at(place: Path, name: str, ref: str, commit: str) -> Any:
    here = docs(place, name)
    assert here.resolve(ref) == commit, "another version"
    with small_indexes():
        return version_of(here, ref, commit)


def measured(place: Path, name: str) -> Any:
    found = docs(place, name).measures("main")
    return None if "damaged" in found.get("recall", {}) else found


# -- damage -----------------------------------------------------------------------------------------


def damaged(content: bytes, how: str, other: bytes | None, chance: random.Random) -> Iterator[bytes | None]:
    """What becomes of an object; None: it is deleted."""
    if how == "flipped" and content:
        place = chance.randrange(len(content))
        yield content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]
    elif how == "cut short":
        yield content[: len(content) // 2]
        yield content[:-1]
        yield b""
    elif how == "swapped" and other is not None and other != content:
        yield other
    elif how == "deleted":
        yield None


def laid(path: Path, content: bytes | None) -> None:
    """Put an object there by another name first, as any copy of a repository would, or take it away."""
    if content is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name("part")
    part.write_bytes(content)
    part.replace(path)


class Healthy:
    """A repository with every kind of object, and every right answer."""

    def __init__(self, place: Path) -> None:
        self.place = place
        everything(place)
        store = store_of(place)
        self.bytes = {name: store.get(name) for name in store.list("")}
        units = {*(plan := opened(place).gc(grace=NOW)).wait, *plan.delete}
        self.garbage = {name for name in self.bytes if name in units or name.rpartition("/")[0] in units}
        self.questions = questions(place)
        self.right = {text: ask(place) for text, ask in self.questions.items()}
        assert_sound(place)

    def of_kind(self, kind: str) -> list[str]:
        """Those that something needs, if there are any."""
        names = [name for name in self.bytes if kind_of(name) == kind]
        return [name for name in names if name not in self.garbage] or names

    def other_bytes(self, name: str, chance: random.Random) -> bytes | None:
        """What another object of the same kind holds."""
        others = [other for other in self.bytes if kind_of(other) == kind_of(name) and other != name]
        return self.bytes[chance.choice(others)] if others else None

    def damage(self, name: str, how: str, content: bytes | None) -> None:
        """Damage one object, make every reading call, and see that `check` names the object."""
        path = self.place / "kb" / name
        laid(path, content)
        try:
            self.assert_right(name, how)
            self.assert_noticed(name, how)
        finally:
            laid(path, self.bytes[name])

    def collect(self, name: str, content: bytes | None) -> None:
        """Let gc run beside a damaged object: once that is put back, nothing is missing."""
        left = self.place.parent / "collected"
        shutil.rmtree(left, ignore_errors=True)
        copied(self.place, left)
        laid(left / "kb" / name, content)
        with suppress(VecverError):
            collect(left)
        laid(left / "kb" / name, self.bytes[name])
        assert_sound(left)
        for text, ask in self.questions.items():
            assert ask(left) == self.right[text], f"gc took something of {text}"

    def assert_right(self, name: str, how: str) -> None:
        for text, ask in self.questions.items():
            try:
                found = ask(self.place)
            except VecverError as error:
                assert error.code and error.hint, f"{text} says no more than {error}"
                continue
            if text in ("datasets", "remotes") and how == "deleted":
                continue  # one whose only ref is gone is none, and nothing says which remotes there were
            lost = found is None and kind_of(name) == "measures"
            nothing_measured = text.startswith("measures") and found == {} and name.startswith("measures/")
            assert found == self.right[text] or lost or nothing_measured, f"{text} is answered wrongly"

    def assert_noticed(self, name: str, how: str) -> None:
        try:
            problems = opened(self.place).check().problems
        except VecverError:
            assert name == "vecver.json"
            return
        unseen = UNREAD | UNMISSED if how == "deleted" else UNREAD
        assert problems or kind_of(name) in unseen, "check is content"


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Healthy]:
    memory = Path("/dev/shm")
    place = (memory if memory.is_dir() else tmp_path_factory.mktemp("d")) / f"vecver-damage-{random.randrange(10**9)}"
    yield Healthy(place / "here")
    shutil.rmtree(place)


def test_there_is_an_object_of_every_kind(healthy: Healthy) -> None:
    """A kind that is new in vecver must be made here, too."""
    assert {kind_of(name) for name in healthy.bytes} == set(KINDS)
    assert {kind.partition(":")[0] for kind in KINDS} >= set(gc._FOLDERS)


@pytest.mark.parametrize("how", ["flipped", "deleted"])
@pytest.mark.parametrize("kind", KINDS)
def test_some_damage(healthy: Healthy, kind: str, how: str, tally: Begin) -> None:
    chance = random.Random(f"{kind} {how}")
    name = chance.choice(healthy.of_kind(kind))
    for content in damaged(healthy.bytes[name], how, None, chance):
        tally(f"{kind}, {how}").attempt(f"{name} {how}", partial(healthy.damage, name, how, content))


def test_gc_takes_no_rows_of_a_version_that_lost_its_layout(healthy: Healthy, tally: Begin) -> None:
    for name in healthy.of_kind("layouts")[:2]:
        tally("gc beside a lost layout").attempt(name, partial(healthy.collect, name, None))


@pytest.mark.deep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_much_damage(healthy: Healthy, kind: str, how: str, tally: Begin) -> None:
    chance, line, names = random.Random(f"{kind} {how}"), tally(f"{kind}, {how}"), healthy.of_kind(kind)
    for name in chance.sample(names, min(3, len(names))):
        other, times = healthy.other_bytes(name, chance), 8 if how == "flipped" else 1
        contents = [content for _ in range(times) for content in damaged(healthy.bytes[name], how, other, chance)]
        for content in contents:
            line.attempt(f"{name} {how}", partial(healthy.damage, name, how, content))
        for content in contents[:1]:
            line.attempt(f"gc beside {name} {how}", partial(healthy.collect, name, content))


@pytest.mark.parametrize("how", ["flipped", "cut short", "swapped", "deleted"])
def test_a_damaged_part_is_embedded_again(healthy: Healthy, how: str) -> None:
    chance = random.Random(how)
    left = copied(healthy.place, healthy.place.parent / f"parts {how}")
    one, other = sorted(healthy.of_kind("parts"))[0], sorted(healthy.of_kind("parts"))[-1]
    for content in damaged(healthy.bytes[one], how, healthy.bytes[other], chance):
        laid(left / "kb" / one, content)
    clean = copied(healthy.place, healthy.place.parent / f"clean {how}")
    for place in (left, clean):
        records = texts_only({f"r{i}": f"record {i}" for i in range(MANY)})
        docs(place, "embedded").ingest(records, embedder="hashing", chunker="whole", allow_removals=True)
        assert_sound(place)
    assert docs(left, "embedded").show().vector_root == docs(clean, "embedded").show().vector_root
