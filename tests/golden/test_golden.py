"""Golden repositories: what was written on a day must open, check clean and answer the same for ever.

Made by `make_v1.py`. Goldens are added, never edited: a change that fails here needs a new format, and a reader
for the old one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import Ticking, open_on
from inside import versions_of

import vecver
from vecver.digest import key
from vecver.model import Space
from vecver.repo import metadata_of
from vecver.repo.maintain import trash
from vecver.repo.write import vector_cache
from vecver.store import LocalStore, MemoryStore

FILES = Path(__file__).parent / "v1"

C0 = "f5b62856e3e0a05b2ffe811525ba6fb5bcbceef33e89702d3054462fe7234516"
C1 = "5102fe37f5c0e7505d359aebfc075aea95dd658f47c2f08a72b156eeb3eeaff5"
BACK = "b559687bf08aa93a89c667da6a2ef0e9f2cd822c0e2a1eff395d456b5881a465"
SIDE = "b84d0a8a7ab1fe0a381a5aa3e9321cde1486adf97e33aef17f017dfcbe4736c0"
ROOTS = {
    C0: (
        "53af84a0fbfa12020cafd7db39eb854a94f751611bcb273428099a56b121e412",
        "9cdd91551eb3971dafc7961eb49c844f06a3989f53f5556d36dfe143de03f209",
    ),
    C1: (
        "61abcdb22867a7a4fba5cf85385be71e064e3c4b69064e76332cd97947d9cf5e",
        "07e998ac75e3cde2d20840a1b50728bd244482a3aaade5087b2dd0879ad73860",
    ),
    SIDE: (
        "c8e04100210dba2caa5ad53c8fa3c7bc547269b9ff016b2e1bcd81562dab69e9",
        "2991baf3b06fda11b1372c1f8eb0358b9eb804ce16e1ed2eca45c7124a4df5af",
    ),
}
HITS = {  # for the query (1, 0, 0, 0) under l2: minus the squared distance, by hand
    "v1": [
        ("docs/1.md", -35.0, "0291c7b23b496edb40263146aa56dd77"),
        ("docs/2.md", -42.0, "29e7754e440222d3ab13efae2c42a763"),
        ("docs/0.md", -57.0, "91c6e432fedf0e126a65cb8938c90690"),
    ],
    "main~1": [
        ("docs/1.md", -35.0, "d10db634e88701349d48ab9091b9cdc4"),
        ("docs/5.md", -50.0, "b0a9e993f8c8b9371c1ba0beea4fab9e"),
        ("docs/0.md", -57.0, "91c6e432fedf0e126a65cb8938c90690"),
    ],
    "side": [
        ("docs/9.md", -34.0, "2cc91c31daf104483c101a20630be7ba"),
        ("docs/1.md", -35.0, "d10db634e88701349d48ab9091b9cdc4"),
        ("docs/5.md", -50.0, "b0a9e993f8c8b9371c1ba0beea4fab9e"),
        ("docs/0.md", -57.0, "91c6e432fedf0e126a65cb8938c90690"),
    ],
}


@pytest.fixture
def docs(tmp_path: Path) -> vecver.Dataset:
    """A copy, since some tests write."""
    shutil.copytree(FILES, tmp_path / "v1")
    return open_on(LocalStore(tmp_path / "v1"), clock=Ticking()).dataset("hand-book")


def test_it_opens_and_is_clean(docs: vecver.Dataset) -> None:
    assert docs.repository.id == "2325fc0c71876741934db073bf3a3955"
    found = docs.repository.check()
    assert (found.problems, found.objects, found.bytes) == ((), 42, 50744)


def test_revisions_name_the_same_commits(docs: vecver.Dataset) -> None:
    assert docs.branches() == {"main": BACK, "side": SIDE}
    assert (docs.tags(), docs.aliases()) == ({"v1": C0}, {"prod": C0})
    assert [commit.id for commit in docs.log()] == [BACK, C1, C0]
    named = {
        "main": BACK,
        "main~1": C1,
        "main~2": C0,
        "f5b6": C0,
        "@{2026-01-01T00:00:06}": C1,
        "gone@{2026-01-02}": None,
    }
    for revision, id in named.items():
        if id:
            assert docs.resolve(revision) == id
        else:
            with pytest.raises(vecver.NotFoundError):
                docs.resolve(revision)
    assert [move.reason for move in docs.moves("branch", "gone")] == ["delete branch", "create branch"]
    assert [(move.author, move.before, move.after) for move in docs.moves("alias", "prod")] == [
        ("Golden Author <golden@example.org>", C1, C0),
        ("Golden Author <golden@example.org>", C0, C1),
        ("Golden Author <golden@example.org>", None, C0),
    ]


def test_roots_are_the_same(docs: vecver.Dataset) -> None:
    for id, roots in {**ROOTS, BACK: ROOTS[C0]}.items():
        commit = docs.show(id)
        assert (commit.content_root, commit.vector_root) == roots
    assert docs.show(C1).message == "Second: ünï"


@pytest.mark.parametrize("at", HITS)
def test_answers_are_the_same(docs: vecver.Dataset, at: str) -> None:
    assert [(hit.document, hit.score, hit.key) for hit in docs.search([1, 0, 0, 0], at=at, k=9)] == HITS[at]


def test_metadata_are_the_same(docs: vecver.Dataset) -> None:
    snapshot = versions_of(docs).snapshot(C0)
    found = [metadata_of(*snapshot.document(f"docs/{i}.md")) for i in range(3)]  # type: ignore[misc]
    assert found == [
        {"deep": {"x": [1, None]}, "draft": False, "lang": "de", "share": 0.5, "tags": ["a", "b"], "year": 2024},
        {"year": "unknown", "ünïcode.name": "日本"},
        {},
    ]
    hits = docs.search([1, 0, 0, 0], at="v1", filter={"year": {"$gte": 2000}})
    assert [(hit.document, hit.title) for hit in hits] == [("docs/0.md", "Number 0")]


def test_parts_and_derived_files_are_read(docs: vecver.Dataset) -> None:
    versions = versions_of(docs)
    (part,) = vector_cache.load(versions.store, Space("golden", 4, "ip"))
    _, rows = part.find_embedded(np.frombuffer(key(b"text", b"text 1"), np.uint8).reshape(1, 16))
    assert part.vectors[rows].tolist() == [[1.0, 2.0, 3.0, 4.0]]
    index = versions.derived(versions.snapshot(C0).segments[0], "golden")
    assert index and bytes(index[0]) == b"golden index" and index[1]["built"] == "by hand"


def test_it_can_be_written_to(docs: vecver.Dataset) -> None:
    """Equal rows are reused, and new commits follow the old ones."""
    vector = versions_of(docs).snapshot(C0).segments[0].vectors[2]
    again = {"id": "docs/2.md", "text": "This is text 2.", "title": "Number 2", "vector": vector}
    assert docs.ingest([again], space="golden", keep_missing=True).changed is False
    assert docs.ingest([{**again, "text": "Now."}], space="golden", keep_missing=True).changed
    assert [commit.id for commit in docs.log()][1:] == [BACK, C1, C0]
    docs.rollback("main", to=C0)
    assert docs.show().content_root == ROOTS[C0][0]
    assert docs.repository.check().problems == ()


def test_what_waits_to_be_deleted_is_read() -> None:
    """As gc and folds wrote it on 2026-11-21."""
    store = MemoryStore()
    digest = b"1232d0d0813bcd97f1145c3929941b01bb04d0764db505f432a800e6258d3c7f"
    store.put(
        "retired",
        digest
        + b"\n"
        + b'{"condemned":["layouts/cd"],"format":1,"waiting":{"segments/ab":"2026-01-01T00:00:00+00:00"}}',
    )
    assert trash.read(store) == trash.Retired({"segments/ab": "2026-01-01T00:00:00+00:00"}, frozenset({"layouts/cd"}))
