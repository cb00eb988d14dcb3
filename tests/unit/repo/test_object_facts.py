"""What is known of the objects of a bucket: found by name, kept in tables that are merged, lost without harm."""

from __future__ import annotations

from hashlib import sha256

from vecver.digest import key
from vecver.repo import ObjectFacts
from vecver.store import MemoryStore

BUCKET = "0" * 32


def name(number: int) -> bytes:
    return key(b"object", str(number).encode())


def digest(number: int) -> str:
    return sha256(str(number).encode()).hexdigest()


def test_facts_are_found_again_in_tables_that_stay_few() -> None:
    store = MemoryStore()
    for start in range(0, 2000, 50):
        facts = ObjectFacts(store, BUCKET)
        for number in range(start, start + 50):
            facts.add(name(number), digest(number), f"parser {number % 3}")
        facts.save()
    assert len(list(store.list("facts/"))) <= 16
    facts = ObjectFacts(store, BUCKET)
    for number in range(2000):
        assert facts.find(name(number)) == (digest(number), f"parser {number % 3}")
    assert facts.find(name(2000)) is None
    assert ObjectFacts(store, "1" * 32).find(name(1)) is None


def test_a_damaged_table_is_passed_over_and_merged_away() -> None:
    store = MemoryStore()
    for number in range(9):
        facts = ObjectFacts(store, BUCKET)
        facts.add(name(number), digest(number), "parser")
        if number == 8:
            damaged, *_ = store.list("facts/")
            store.put(damaged, store.get(damaged)[:-1])
        facts.save()
    known = [number for number in range(9) if ObjectFacts(store, BUCKET).find(name(number))]
    assert len(known) == 8 and len(list(store.list("facts/"))) == 1
