"""Ingesting from a bucket: the same documents as from a folder, only what changed is fetched, failures are named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from bucket_sources import DOCUMENTS, HANDBOOK, Bucket, bucket_with, folder_of
from fake_gcs import etag

import vecver
from vecver.pipeline.sources import bucket as bucket_room
from vecver.store import requests, source_bucket


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with bucket_with(HANDBOOK) as made:
        yield made


@pytest.fixture
def docs(tmp_path: Path) -> vecver.Dataset:
    return vecver.open(tmp_path / "kb", create=True, background=False).dataset("d")


def names(docs: vecver.Dataset) -> list[str]:
    return docs.documents()


def test_a_folder_that_moved_into_a_bucket_has_the_same_roots(
    bucket: Bucket, docs: vecver.Dataset, tmp_path: Path
) -> None:
    folder = folder_of(HANDBOOK, tmp_path / "handbook")
    local = vecver.open(tmp_path / "local", create=True, background=False).dataset("d")
    local.ingest(folder, embedder="hashing")
    report = docs.ingest(bucket.url("handbook"), embedder="hashing")
    assert report.documents["added"] == len(DOCUMENTS) and names(docs) == names(local) == DOCUMENTS
    assert docs.show().content_root == local.show().content_root
    assert docs.show().vector_root == local.show().vector_root
    moved = local.ingest(bucket.url("handbook/"), label="handbook")
    assert not moved.changed and moved.documents["unchanged"] == len(DOCUMENTS)
    bucket.fetched()
    assert not local.ingest(bucket.url("handbook"), label="handbook").changed and bucket.fetched() == []


def test_only_what_changed_is_fetched(bucket: Bucket, docs: vecver.Dataset) -> None:
    url = bucket.url("handbook")
    docs.ingest(url, embedder="hashing")
    assert bucket.fetched() == [f"handbook/{name}" for name in DOCUMENTS]
    assert not docs.ingest(url).changed and bucket.fetched() == []
    bucket.put("handbook/a.md", "# A\n\nAnother text.\n")
    bucket.put("handbook/deep/b.md", HANDBOOK["deep/b.md"])  # the same bytes have the same ETag here
    bucket.put("handbook/new.md", "# New")
    bucket.delete("handbook/ü c.txt")
    status = docs.status(url)
    assert bucket.fetched() == []
    assert (status["added"], status["changed"], status["removed"]) == (["new.md"], ["a.md"], ["ü c.txt"])
    dry = docs.ingest(url, dry_run=True)
    assert bucket.fetched() == ["handbook/a.md", "handbook/new.md"] and dry.tokens > 0
    report = docs.ingest(url)
    assert report.names == {"added": ("new.md",), "changed": ("a.md",), "removed": ("ü c.txt",)}
    assert bucket.fetched() == ["handbook/a.md", "handbook/new.md"]


def test_what_is_known_of_an_object_holds_on_every_branch(bucket: Bucket, docs: vecver.Dataset) -> None:
    url = bucket.url("handbook")
    docs.ingest(url, embedder="hashing")
    docs.branch("old")
    bucket.put("handbook/a.md", "# A\n\nAnother text.\n")
    docs.ingest(url)
    bucket.fetched()
    assert docs.ingest(url, branch="old").names["changed"] == ("a.md",)
    assert bucket.fetched() == ["handbook/a.md"]  # known, but not what that branch has
    assert docs.show("old").content_root == docs.show().content_root
    docs.rollback("main", to="main~1")
    assert docs.ingest(url).names["changed"] == ("a.md",)


def test_another_vecver_or_parser_fetches_once_more(
    bucket: Bucket, docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs.ingest(bucket.url("handbook"), embedder="hashing")
    bucket.fetched()
    monkeypatch.setattr(bucket_room, "__version__", "999")
    assert not docs.ingest(bucket.url("handbook")).changed
    assert bucket.fetched() == [f"handbook/{name}" for name in DOCUMENTS]
    assert not docs.ingest(bucket.url("handbook")).changed and bucket.fetched() == []


def test_provenance_names_the_object(bucket: Bucket, docs: vecver.Dataset) -> None:
    docs.ingest(bucket.url("handbook"), embedder="hashing")
    document = docs.get("deep/b.md")
    stored = bucket.server.objects["handbook/deep/b.md"]
    assert document.origin == {
        "bucket": "gs://vecver-test",
        "key": "handbook/deep/b.md",
        "e_tag": etag(stored.data),
        "version": str(stored.generation),
    }
    assert type(document).from_json(json.loads(json.dumps(document.to_json()))).origin == document.origin
    assert docs.show().operation["sources"][0]["origin"] == {"kind": "bucket", "url": "gs://vecver-test/handbook"}
    docs.repository.dataset("d").optimize()
    assert docs.get("deep/b.md").origin == document.origin and docs.repository.check().clean


def test_a_part_of_a_known_prefix_keeps_its_ids(bucket: Bucket, docs: vecver.Dataset) -> None:
    docs.ingest(bucket.url("handbook"), embedder="hashing")
    bucket.put("handbook/deep/b.md", "# B\n\nChanged.\n")
    bucket.put("handbook/drafts/w.md", "# still ignored")
    assert docs.ingest(bucket.url("handbook/deep")).names["changed"] == ("deep/b.md",)
    with pytest.raises(vecver.InvalidInputError, match="holds no documents"):  # the ignore file above it counts
        docs.ingest(bucket.url("handbook/drafts"))
    bucket.put("handbook/deep/b.md", "# B\n\nChanged again.\n")
    assert docs.add([bucket.url("handbook/deep/b.md")]).names["changed"] == ("deep/b.md",)
    bucket.put("handbook/deep/b.md", "# B\n\nChanged a third time.\n")
    assert docs.ingest(bucket.url("handbook/deep/b.md")).names["changed"] == ("deep/b.md",)
    assert names(docs) == DOCUMENTS


def test_globs_match_as_in_a_folder(bucket: Bucket, docs: vecver.Dataset, tmp_path: Path) -> None:
    folder = folder_of(HANDBOOK, tmp_path / "handbook")
    for pattern, expected in (("**/*.md", ["a.md", "deep/b.md"]), ("*.md", ["a.md"]), ("deep/?.*", ["b.md"])):
        for number, source in enumerate((f"{folder}/{pattern}", bucket.url(f"handbook/{pattern}"))):
            one = docs.repository.dataset(f"d{number}{len(pattern)}")
            one.ingest(source, embedder="hashing")
            assert names(one) == expected


def test_one_object_of_records_is_read_as_a_file_of_records(bucket: Bucket, docs: vecver.Dataset) -> None:
    bucket.put("data/rows.jsonl", '{"id": "r1", "text": "one"}\n{"id": "r2", "text": "two"}\n')
    bucket.put("data/rows.csv", "id,text\nc1,three\n")
    bucket.put("data/other.csv", "x,y\n1,2\n")
    docs.ingest([bucket.url("data/rows.jsonl"), bucket.url("data/rows.csv")], embedder="hashing")
    assert names(docs) == ["c1", "r1", "r2"]
    docs.ingest(bucket.url("data/other.csv"))
    assert "other.csv" in names(docs)
    with pytest.raises(vecver.InvalidInputError, match="is a prefix"):
        docs.ingest(bucket.url("data"), records=True)


def test_empty_objects_for_folders_are_no_documents(bucket: Bucket, docs: vecver.Dataset) -> None:
    bucket.put("handbook/", "")
    bucket.put("handbook/deep/", "")
    bucket.put("handbook/alone/", "")
    bucket.put("handbook/a.md/", "")  # beside a.md
    bucket.put("handbook/empty.md", "")
    report = docs.ingest(bucket.url("handbook"), embedder="hashing")
    assert names(docs) == DOCUMENTS
    assert [(failure.document, failure.code) for failure in report.failures] == [("empty.md", "empty")]


def test_an_empty_object_beside_a_folder_stands_for_it(bucket: Bucket, docs: vecver.Dataset) -> None:
    """As directories of Azure with a hierarchical namespace are asked for, and what some tools leave in S3."""
    bucket.put("handbook", "")
    docs.ingest(bucket.url("handbook"), embedder="hashing")
    assert names(docs) == DOCUMENTS


def test_who_may_list_a_prefix_alone_may_ingest_it(bucket: Bucket, docs: vecver.Dataset) -> None:
    """S3 answers 403 for a name that is not there to who may not list the whole bucket."""
    there = set(bucket.server.objects)
    bucket.server.before = lambda method, name: 403 if method == "HEAD" and name not in there else None
    bucket.put("handbook/alone/", "")
    there.add("handbook/alone/")
    docs.ingest(bucket.url("handbook"), embedder="hashing")
    assert names(docs) == DOCUMENTS
    bucket.server.before = lambda method, name: 403
    with pytest.raises(vecver.BackendError) as error:
        docs.ingest(bucket.url("handbook"))
    assert error.value.code == "store_refused"


@pytest.mark.parametrize("name", ["deep//c.md", "deep/../c.md", "deep/./c.md", "deep/c\x01.md"])
def test_a_name_that_cannot_be_held_costs_its_folder_alone(bucket: Bucket, docs: vecver.Dataset, name: str) -> None:
    docs.ingest(bucket.url("handbook"), embedder="hashing")
    bucket.put(f"handbook/{name}", "# C")
    bucket.put("handbook/a.md", "# A\n\nChanged.\n")
    bucket.delete("handbook/ü c.txt")
    report = docs.ingest(bucket.url("handbook"))
    (failure,) = report.failures
    assert (failure.document, failure.code) == ("deep/", "unreadable")
    assert repr(f"handbook/{name}".encode("unicode_escape").decode()) in failure.reason
    assert report.names["changed"] == ("a.md",)
    assert {"deep/b.md", "deep/keep.log"} <= {*names(docs)}


def test_a_name_that_cannot_be_held_in_the_prefix_itself_stops_the_ingest(bucket: Bucket, docs: vecver.Dataset) -> None:
    bucket.put("handbook//c.md", "# C")
    with pytest.raises(vecver.InvalidInputError) as error:
        docs.ingest(bucket.url("handbook"), embedder="hashing")
    assert error.value.code == "unreadable" and "handbook//c.md" in error.value.message


def test_a_key_that_is_no_id_is_a_failure_of_its_own(bucket: Bucket, docs: vecver.Dataset) -> None:
    bucket.put("handbook/deep/" + "x" * 1020 + ".md", "# long")
    report = docs.ingest(bucket.url("handbook"), embedder="hashing")
    assert [failure.code for failure in report.failures] == ["invalid_id"] and names(docs) == DOCUMENTS


def test_objects_that_are_deleted_or_refused_while_they_are_read_are_named(
    bucket: Bucket, docs: vecver.Dataset
) -> None:
    docs.ingest(bucket.url("handbook"), embedder="hashing")
    for name in DOCUMENTS[:3]:
        bucket.put(f"handbook/{name}", f"# Changed\n\n{name}\n")

    def before(method: str, name: str) -> int | None:
        if name == "handbook/a.md":
            bucket.server.objects.pop(name, None)
        return 403 if name == "handbook/deep/b.md" else None

    bucket.server.before = before
    report = docs.ingest(bucket.url("handbook"))
    reasons = {failure.document: failure.reason for failure in report.failures}
    assert {*reasons} == {"a.md", "deep/b.md"}
    assert "deleted" in reasons["a.md"] and "refused" in reasons["deep/b.md"]
    assert report.names["changed"] == ("deep/keep.log",) and names(docs) == DOCUMENTS
    bucket.server.before = lambda method, name: None
    assert docs.ingest(bucket.url("handbook")).names["removed"] == ("a.md",)


def test_a_large_object_that_changes_while_it_is_read_is_whole_or_named(
    bucket: Bucket, docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (requests, source_bucket):
        monkeypatch.setattr(room, "PIECE_BYTES", 1000)
    old, new = "# Old\n\n" + "old words. " * 500, "# New\n\n" + "new words. " * 500
    bucket.put("handbook/a.md", old)
    changes = iter([new])

    def once(method: str, name: str) -> None:
        third = bucket.server.asked.count(("GET", "handbook/a.md")) == 3
        if third and name == "handbook/a.md" and (text := next(changes, None)):
            bucket.put(name, text)

    bucket.server.before = once
    assert not docs.ingest(bucket.url("handbook"), embedder="hashing").failures
    assert set(docs.get("a.md").text.split()) == {"#", "New", "new", "words."}

    def always(method: str, name: str) -> None:
        if method == "GET" and name == "handbook/a.md":
            bucket.put(name, old + str(len(bucket.server.asked)))

    bucket.server.before = always
    bucket.put("handbook/a.md", old)
    (failure,) = docs.ingest(bucket.url("handbook")).failures
    assert failure.document == "a.md" and "replaced" in failure.reason
    assert docs.get("a.md").text.startswith("# New")


def test_memory_is_bounded_while_many_are_fetched(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_room, "IN_FLIGHT", 2500)
    for number in range(40):
        bucket.put(f"many/{number:02}.txt", b"x" * 1000)
    source = bucket_room.BucketSource(bucket.url("many"))
    asked = 0
    for number, item in enumerate(source.fetched(source.unread("many", ""))):
        assert item.document == f"{number:02}.txt"
        asked = max(asked, sum(method == "GET" and ".txt" in name for method, name in bucket.server.asked) - number)
    assert number == 39 and asked <= 3


def test_too_large_objects_are_not_fetched(
    bucket: Bucket, docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_room, "LARGEST", 100)
    bucket.put("handbook/big.md", "word " * 100)
    (failure,) = docs.ingest(bucket.url("handbook"), embedder="hashing").failures
    assert (failure.document, failure.code) == ("big.md", "too_large")
    assert "handbook/big.md" not in bucket.fetched()


@pytest.mark.parametrize("status", [400, 409, 416])
def test_an_object_that_is_archived_or_encrypted_costs_itself(
    bucket: Bucket, docs: vecver.Dataset, status: int
) -> None:
    bucket.server.before = lambda method, name: status if (method, name) == ("GET", "handbook/a.md") else None
    (failure,) = docs.ingest(bucket.url("handbook"), embedder="hashing").failures
    assert (failure.document, failure.code) == ("a.md", "unreadable") and f"HTTP {status}" in failure.reason
    assert names(docs) == DOCUMENTS[1:]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("gs://vecver-test/nothing", "source_not_found"),
        ("gs://vecver-test/nothing/*.md", "empty_source"),
        ("gs://no-such-bucket/x", "bucket_missing"),
        ("gs://vecver-test/a/../b", "invalid_url"),
        ("gs://vecver-test/a//b", "invalid_url"),
        ("gs://", "invalid_url"),
        ("gs://KEY:SECRET@vecver-test/x", "credentials_in_url"),
        ("gs://vecver-test/x?X-Goog-Signature=SECRET", "credentials_in_url"),
        ("gcs://vecver-test/x", "invalid_source"),
        ("https://user:SECRET@example.org/x", "invalid_source"),
    ],
)
def test_addresses_that_cannot_be_read_say_why(bucket: Bucket, docs: vecver.Dataset, source: str, code: str) -> None:
    with pytest.raises(vecver.VecverError) as error:
        docs.ingest(source, embedder="hashing")
    assert error.value.code == code and "SECRET" not in f"{error.value.message} {error.value.hint}"


def test_an_empty_prefix_never_removes_what_was_there(bucket: Bucket, docs: vecver.Dataset) -> None:
    docs.ingest(bucket.url("handbook"), embedder="hashing")
    bucket.server.objects.clear()
    with pytest.raises(vecver.NotFoundError):
        docs.ingest(bucket.url("handbook"))
    assert names(docs) == DOCUMENTS


def test_a_lost_or_damaged_table_of_facts_costs_one_more_read(
    bucket: Bucket, docs: vecver.Dataset, tmp_path: Path
) -> None:
    docs.ingest(bucket.url("handbook"), embedder="hashing")
    tables = [path for path in (tmp_path / "kb" / "facts").rglob("*") if path.is_file()]
    assert len(tables) == 1
    for spoil in (lambda data: data[:-3], lambda data: b"x" * len(data), lambda data: b""):
        tables[0].write_bytes(spoil(tables[0].read_bytes()))
        bucket.fetched()
        assert not docs.ingest(bucket.url("handbook")).changed
        assert bucket.fetched() == [f"handbook/{name}" for name in DOCUMENTS]
