"""The contract of stores, kept by buckets of S3, Azure and Google Cloud as they are emulated on this machine."""

from __future__ import annotations

import multiprocessing
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from emulators import SERVICES, Service, reachable
from helpers import ingest, open_on, texts_of, vector_of
from landing import add
from test_store import Contract

import vecver
from vecver.store import MemoryStore, Store, open_store


@pytest.fixture(scope="module", params=SERVICES)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """Each service in turn, with its settings in the environment."""
    with reachable(request.param) as service:
        yield service


@pytest.fixture
def store(service: Service, tmp_path: Path) -> Store:
    """An empty store there."""
    return open_store(service.url(f"tests/{secrets.token_hex(8)}"), cache=tmp_path / "cache")


class TestServices(Contract):
    rounds = 5  # SeaweedFS lets who loses a race wait for a second


@pytest.mark.parametrize("size", [5, 8 << 20, (20 << 20) + 7])
def test_the_hash_that_a_service_keeps_is_that_of_the_bytes(service: Service, tmp_path: Path, size: int) -> None:
    """Also of what was sent in parts; Azure keeps none that says something of the bytes."""
    store = open_store(service.url(f"tests/{secrets.token_hex(8)}"), cache_bytes=0)
    body = secrets.token_bytes(size)
    (tmp_path / "file").write_bytes(body)
    store.put("x", tmp_path / "file")
    assert store.holds("x", memoryview(body)) == (service.scheme != "az")


# -- a repository there -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3() -> Iterator[Service]:
    """SeaweedFS, with its settings in the environment."""
    with reachable("seaweedfs") as service:
        yield service


def test_of_32_writers_on_one_branch_all_land(s3: Service, tmp_path: Path) -> None:
    url = s3.url(f"writers/{secrets.token_hex(8)}")
    vecver.open(url, create=True, cache=tmp_path / "cache")
    texts = {f"w{number}": f"text {number}" for number in range(32)}

    def write(item: tuple[str, str]) -> None:
        repository = vecver.open(url, cache=tmp_path / "cache", background=False)
        add(repository.dataset("d"), dict([item]), item[0])

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(write, texts.items()))
    docs, serial = vecver.open(url, cache=tmp_path / "cache").dataset("d"), open_on(MemoryStore()).dataset("d")
    for name, text in texts.items():
        add(serial, {name: text}, name)
    assert texts_of(docs) == texts and len(list(docs.log())) == 32
    assert docs.show().content_root == serial.show().content_root
    assert docs.repository.check().problems == ()


def test_of_four_processes_that_commit_at_once_everything_lands(s3: Service, tmp_path: Path) -> None:
    """Each with copies of its own, as machines have them; `benchmarks/writers.py many --store s3` does it with 32."""
    url = s3.url(f"processes/{secrets.token_hex(8)}")
    vecver.open(url, create=True, cache=tmp_path / "cache")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["vecver.flows", "vecver.repo", "vecver.local.repository", "obstore.store", "landing"]
    )
    writers = [
        context.Process(target=_commit_thrice, args=(dict(os.environ), url, str(tmp_path / f"w{number}"), number))
        for number in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    docs, serial = vecver.open(url, cache=tmp_path / "cache").dataset("d"), open_on(MemoryStore()).dataset("d")
    for number in range(4):
        for text in _texts_of_writer(number):
            add(serial, text, f"w{number}")
    assert texts_of(docs) == texts_of(serial) and len(list(docs.log())) == 12
    assert docs.show().content_root == serial.show().content_root
    assert docs.repository.check().problems == ()


def _texts_of_writer(number: int) -> list[dict[str, str]]:
    """What it commits one after the other: each time its document has another text."""
    return [{f"w{number}": f"text {n} of {number}"} for n in range(3)]


def _commit_thrice(environment: dict[str, str], url: str, cache: str, number: int) -> None:
    os.environ.update(environment)
    docs = vecver.open(url, cache=cache, background=False).dataset("d")
    for text in _texts_of_writer(number):
        add(docs, text, f"w{number}")


def test_errors_of_a_service_say_what_to_do(s3: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(vecver.NotFoundError) as missing:
        vecver.open(s3.url("nowhere"), cache=tmp_path)
    assert missing.value.code == "repository_not_found"
    with pytest.raises(vecver.BackendError) as no_bucket:
        vecver.open("s3://no-such-bucket/kb", create=True, cache=tmp_path)
    assert no_bucket.value.code == "bucket_missing"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    with pytest.raises(vecver.BackendError) as refused:
        vecver.open(s3.url("kb"), create=True, cache=tmp_path)
    assert refused.value.code == "store_refused" and "AWS_PROFILE" in refused.value.hint
    assert "hunter2" not in str(refused.value) + repr(refused.value.context)


def test_an_object_that_is_lost_is_named_and_the_rest_works(s3: Service, tmp_path: Path) -> None:
    url = s3.url(f"lost/{secrets.token_hex(8)}")
    docs = vecver.open(url, create=True, cache=tmp_path / "cache").dataset("d")
    ingest(docs, {"a": "one"})
    docs.tag("old")
    ingest(docs, {"a": "two"})
    store = open_store(url, cache_bytes=0)
    lost = next(name for name in store.list("segments/") if name.endswith("vectors.npy"))
    store.delete(lost)
    assert lost in {problem.object for problem in docs.repository.check().problems}
    other = vecver.open(url, cache=tmp_path / "other").dataset("d")
    outcomes = []
    for at in ("old", "main"):
        try:
            outcomes.append(len(other.search(vector_of("one"), at=at, k=1)))
        except vecver.NotFoundError as error:
            outcomes.append(error.context["name"])
    assert sorted(map(str, outcomes)) == ["1", lost]
