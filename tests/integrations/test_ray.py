"""An ingest on Ray: the same version as a local one, by workers that may die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bucket_sources import Bucket
from descendants import descendants
from embedding_fleet import Answer, fleet
from emulators import reachable
from fake_gcs import FakeGcs

import vecver
from vecver.flows.ingesting import ray_fleet, ray_workers
from vecver.pipeline.ray import crew
from vecver.store import StoreAddress

ray = pytest.importorskip("ray", reason="no ray: install vecver[ray]")

Docs = vecver.Dataset


class Noted:
    """An embedder that takes `seconds` a batch, and notes in a file each text that it has embedded."""

    dim, max_tokens, metric = 8, 64, "ip"

    def __init__(self, log: Path, seconds: float = 0.0) -> None:
        self.log, self.seconds = log, seconds

    def embed(self, texts: Sequence[str]) -> Any:
        time.sleep(self.seconds)
        with open(self.log, "a") as file:
            file.write("".join(json.dumps(text) + "\n" for text in texts))
        return np.array([[len(text), *map(ord, text.ljust(7)[:7])] for text in texts], np.float32)

    def count_tokens(self, texts: Sequence[str]) -> Any:
        return np.array([len(text.split()) for text in texts], np.int64)


def noted(log: Path, seconds: float = 0.0) -> Any:
    return vecver.embedder(Noted(log, seconds), fingerprint="noted")


def texts_in(log: Path) -> Counter[str]:
    return Counter(map(json.loads, log.read_text().splitlines())) if log.exists() else Counter()


@pytest.fixture(scope="module")
def session() -> Iterator[FakeGcs]:
    """Ray on this machine; its workers reach this bucket."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # its embedders: no worker can import a test
    with FakeGcs() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", server.url)
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield server
        ray.shutdown()
        server.shutdown()


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """Pages with a paragraph of their own and one that all share, and two that cannot be read."""
    folder = tmp_path / "pages"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02}.md").write_text(page(number))
    (folder / "empty.md").write_text("")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 nonsense")
    return folder


def page(number: int, more: str = "") -> str:
    own = "\n\n".join(f"## Step {step}\n\nTurn the valve {number * step} times. {more}" for step in range(3))
    return f"# Page {number}\n\n{own}\n\n## Safety\n\nWear gloves, wherever you read this.\n"


def opened(place: Path) -> Docs:
    return vecver.open(place, create=True).dataset("d")


def keys(docs: Docs) -> set[tuple[str, str]]:
    return {(chunk.document, chunk.key) for chunk in docs.chunks()}


def facts(report: vecver.Report) -> dict[str, Any]:
    """A report without what differs from run to run."""
    return {**report.to_dict(), "commit": None, "seconds": None}


def test_it_makes_the_same_versions_as_here(session: FakeGcs, pages: Path, tmp_path: Path) -> None:
    here, there = opened(tmp_path / "here"), opened(tmp_path / "there")
    counted: Counter[str] = Counter()

    def progress(unit: str, count: int, total: int | None = None) -> None:
        counted[unit] += count

    def both() -> None:
        reports = [here.ingest(pages, **at_home), there.ingest(pages, progress=progress, **on_ray)]
        assert facts(reports[0]) == facts(reports[1])
        one, other = here.show("main"), there.show("main")
        assert (one.content_root, one.vector_root) == (other.content_root, other.vector_root)
        assert one.recipe == other.recipe and one.environment == other.environment
        assert keys(here) == keys(there)
        assert not there.repository.check().problems

    at_home: dict[str, Any] = {"embedder": "hashing", "workers": 1}
    on_ray: dict[str, Any] = {"embedder": "hashing", "workers": 2, "on": "ray"}
    both()
    assert counted["documents"] == 42 and counted["chunks"] == there.show("main").counts["chunks"]
    assert counted["documents read"] == 42
    (pages / "03.md").write_text(page(3, "Slowly."))
    (pages / "04.md").unlink()
    (pages / "new.md").write_text(page(99))
    planned = [docs.ingest(pages, dry_run=True, **how) for docs, how in ((here, at_home), (there, on_ray))]
    assert facts(planned[0]) == facts(planned[1])
    both()
    assert there.ingest(pages, on="ray").changed is False
    assert not (tmp_path / "there" / "parts").exists() or not [*(tmp_path / "there" / "parts").rglob("*.*")]


def test_records_are_embedded_there_and_those_with_vectors_are_written_here(session: FakeGcs, tmp_path: Path) -> None:
    rows = [{"id": f"r{n}", "text": f"record {n % 7}", "title": f"T{n}", "n": n} for n in range(50)]
    here, there = opened(tmp_path / "here"), opened(tmp_path / "there")
    reports = [
        here.ingest(rows, label="rows", embedder="hashing"),
        there.ingest(rows, label="rows", embedder="hashing", on="ray", workers=2),
    ]
    assert facts(reports[0]) == facts(reports[1])
    assert here.show("main").vector_root == there.show("main").vector_root
    given = [{"id": "a", "text": "x", "vector": [1.0, 0.0]}]
    report = vecver.open(tmp_path / "there").dataset("given").ingest(given, label="g", space="mine", on="ray")
    assert report.chunks["live"] == 1


def test_equal_texts_are_embedded_once_by_however_many_workers(session: FakeGcs, pages: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    docs = opened(tmp_path / "kb")
    report = docs.ingest(pages, embedder=noted(log), on="ray", workers=3)
    texts = texts_in(log)
    assert set(texts.values()) == {1} and len(texts) == report.chunks["embedded"]
    assert report.chunks["reused"] == report.chunks["live"] - len(texts) >= 39
    other = docs.repository.dataset("other")
    again = other.ingest(pages, embedder=noted(log), on="ray", workers=2)  # known from the other dataset
    assert again.chunks["embedded"] == 0 and texts_in(log) == texts


class Threaded(Noted):
    """It notes what OpenMP is told."""

    def embed(self, texts: Sequence[str]) -> Any:
        self.log.write_text(os.environ.get("OMP_NUM_THREADS", "all"))
        return np.ones((len(texts), self.dim), np.float32)


def test_a_worker_that_is_alone_on_its_node_uses_all_cores(session: FakeGcs, tmp_path: Path) -> None:
    log = tmp_path / "log"
    embedder = vecver.embedder(Threaded(log), fingerprint="threaded")
    opened(tmp_path / "kb").ingest([{"id": "a", "text": "b"}], label="r", embedder=embedder, on="ray", workers=1)
    assert log.read_text() == "all"


def test_rows_are_handed_over_in_several_segments(
    session: FakeGcs, pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "KEPT_ROWS", 8)
    monkeypatch.setattr(crew, "CALL_ROWS", 8)
    monkeypatch.setattr(ray_fleet, "PART_DOCUMENTS", 4)
    log = tmp_path / "log"
    docs, alone = opened(tmp_path / "kb"), opened(tmp_path / "alone")
    docs.ingest(pages, embedder=noted(log), on="ray", workers=2)
    alone.ingest(pages, embedder=noted(tmp_path / "other"))
    assert docs.show("main").vector_root == alone.show("main").vector_root
    assert set(texts_in(log).values()) == {1}
    assert not docs.repository.check().problems


def wait_until_embedded(log: Path, count: int, runs: Callable[[], bool]) -> None:
    """Wait until so many texts are embedded by what `runs`."""
    while sum(texts_in(log).values()) < count:
        assert runs()
        time.sleep(0.05)


def embedders_at_work() -> list[int]:
    """The processes of the actors that embed, of this test's Ray."""
    return descendants(os.getpid(), b"ray::RowWriter")


def test_a_killed_actor_costs_only_what_it_was_embedding(session: FakeGcs, tmp_path: Path) -> None:
    log, docs = tmp_path / "log", opened(tmp_path / "kb")
    reports: list[vecver.Report] = []

    def work() -> None:
        reports.append(docs.ingest(three_thousand(), label="r", embedder=noted(log, 0.05), on="ray", workers=2))

    worker = threading.Thread(target=work)
    worker.start()
    wait_until_embedded(log, 700, worker.is_alive)
    os.kill(embedders_at_work()[0], signal.SIGKILL)
    worker.join(120)
    texts = texts_in(log)
    assert reports and len(texts) == 3000 == reports[0].chunks["live"]
    assert sum(texts.values()) - 3000 <= ray_workers.EMBED_ROWS
    assert reports[0].chunks["embedded"] + reports[0].chunks["reused"] == 3000
    assert not docs.repository.check().problems


@pytest.mark.deep
def test_a_killed_actor_that_asks_an_endpoint_costs_only_what_it_was_embedding(
    session: FakeGcs, tmp_path: Path
) -> None:
    docs, reports = opened(tmp_path / "kb"), list[vecver.Report]()
    with fleet(1) as (node,):
        node.pause_s = 0.05
        how: dict[str, Any] = {"label": "r", "embedder": f"tei:toy@{node.url}", "on": "ray", "workers": 2}
        worker = threading.Thread(target=lambda: reports.append(docs.ingest(three_thousand(), **how)))
        worker.start()
        while len(node.texts) < 700:
            assert worker.is_alive()
            time.sleep(0.02)
        os.kill(embedders_at_work()[0], signal.SIGKILL)
        worker.join(120)
        texts = Counter(node.texts)
    assert reports and reports[0].chunks["live"] == 3000 and not reports[0].failures
    assert texts.total() - len(texts) <= ray_workers.EMBED_ROWS
    assert reports[0].chunks["embedded"] + reports[0].chunks["reused"] == 3000
    assert not docs.repository.check().problems


DRIVER = """
import ray, sys, test_ray, vecver
from pathlib import Path
ray.cloudpickle.register_pickle_by_value(test_ray)
place, log, on = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
rows = [{"id": f"r{n}", "text": f"record {n}"} for n in range(3000)]
vecver.open(place).dataset("d").ingest(rows, label="r", embedder=test_ray.noted(log, 0.05), on=on, workers=2)
"""


def driver_on(place: str, log: Path, on: str = "ray") -> subprocess.Popen[bytes]:
    """A process that ingests 3000 records, by default on the cluster of the session."""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    address = {"RAY_ADDRESS": ray.get_runtime_context().gcs_address} if on == "ray" else {}
    environment = {**os.environ, **address, "PYTHONPATH": path}
    return subprocess.Popen([sys.executable, "-c", DRIVER, place, str(log), on], env=environment, cwd=log.parent)


def three_thousand() -> list[dict[str, str]]:
    """The records of that process."""
    return [{"id": f"r{n}", "text": f"record {n}"} for n in range(3000)]


def test_after_a_killed_driver_the_next_run_goes_on(session: FakeGcs, tmp_path: Path) -> None:
    log, docs = tmp_path / "log", opened(tmp_path / "kb")
    with driver_on(str(tmp_path / "kb"), log) as driver:
        wait_until_embedded(log, 1200, lambda: driver.poll() is None)
        driver.kill()
    assert docs.branches() == {}
    deadline = time.monotonic() + 60
    while True:  # until Ray has ended the workers, whose source is still held
        try:
            report = docs.ingest(three_thousand(), label="r", embedder=noted(log), on="ray", workers=2)
            break
        except vecver.ConflictError:
            assert time.monotonic() < deadline
            time.sleep(0.5)
    texts = texts_in(log)
    assert len(texts) == 3000 == report.chunks["live"]
    assert sum(texts.values()) - 3000 <= 2 * ray_workers.EMBED_ROWS
    assert report.chunks["embedded"] < 3000
    assert not docs.repository.check().problems


@pytest.mark.deep
def test_workers_write_to_a_repository_on_s3(session: FakeGcs, tmp_path: Path) -> None:
    here = opened(tmp_path / "here")
    here.ingest(three_thousand(), label="r", embedder=noted(tmp_path / "log"))
    with reachable("seaweedfs") as s3:
        there = vecver.open(s3.url("kb"), create=True, cache=tmp_path / "cache").dataset("d")
        with driver_on(s3.url("kb"), tmp_path / "other", "ray:local") as driver:  # whose workers have S3's settings
            assert driver.wait(120) == 0
        assert there.show("main").vector_root == here.show("main").vector_root
        assert not there.repository.check().problems


def test_repository_and_source_lie_in_a_bucket_where_an_object_is_deleted(session: FakeGcs, tmp_path: Path) -> None:
    pytest.importorskip("obstore", reason="obstore is not installed")
    bucket, here = Bucket(session), opened(tmp_path / "here")
    there = vecver.open(bucket.url("kb"), create=True, cache=tmp_path / "cache").dataset("d")

    def delete(method: str, name: str) -> None:
        if name == "pages/3.md" and name in session.objects:
            bucket.delete(name)

    reports = []
    for docs, on in ((here, None), (there, "ray")):
        for number in range(8):
            bucket.put(f"pages/{number}.md", page(number))
        session.before = delete
        reports.append(docs.ingest(bucket.url("pages"), embedder="hashing", on=on, workers=2))
        session.before = lambda method, name: None
    assert facts(reports[0]) == facts(reports[1])
    assert there.documents() == [f"{number}.md" for number in range(8) if number != 3]
    assert there.show("main").vector_root == here.show("main").vector_root
    assert not there.repository.check().problems
    bucket.put("pages/3.md", page(3))
    assert there.ingest(bucket.url("pages")).names["added"] == ("3.md",)


def test_two_drivers_do_not_pay_for_the_same_source(session: FakeGcs, tmp_path: Path) -> None:
    docs, log = opened(tmp_path / "kb"), tmp_path / "log"
    rows = [{"id": f"r{n}", "text": f"record {n}"} for n in range(200)]
    first = threading.Thread(
        target=docs.ingest, args=(rows,), kwargs={"label": "r", "embedder": noted(log, 0.5), "on": "ray"}
    )
    first.start()
    wait_until_embedded(log, 1, first.is_alive)
    with pytest.raises(vecver.ConflictError, match="another process is ingesting the source 'r'") as caught:
        docs.ingest(rows, label="r", embedder=noted(log), on="ray")
    assert caught.value.code == "source_busy"
    first.join(60)
    assert docs.ingest(rows, label="r", embedder=noted(log), on="ray").changed is False


def test_a_cluster_of_another_version_is_refused(
    session: FakeGcs, pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = opened(tmp_path / "kb")
    monkeypatch.setattr(ray_fleet, "HERE", (ray_workers.HERE[0], "0.0.9"))
    with pytest.raises(vecver.BackendError, match=r"this process Python .* with vecver 0\.0\.9") as caught:
        docs.ingest(pages, embedder="hashing", on="ray")
    assert caught.value.code == "worker_version" and docs.branches() == {}


def test_a_worker_that_does_not_reach_the_repository_says_so(
    session: FakeGcs, pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = opened(tmp_path / "kb")
    elsewhere = tmp_path / "elsewhere"
    monkeypatch.setattr(ray_fleet, "address_of", lambda store: StoreAddress(str(elsewhere)))
    with pytest.raises(vecver.BackendError, match="finds no repository at") as caught:
        docs.ingest(pages, embedder="hashing", on="ray")
    assert caught.value.code == "worker_no_store" and "share" in caught.value.hint
    vecver.open(elsewhere, create=True)
    with pytest.raises(vecver.BackendError, match="finds another repository at"):
        docs.ingest(pages, embedder="hashing", on="ray")


def test_another_version_of_ray_is_told_from_no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    docs = opened(tmp_path / "kb")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    for message, code in (
        ("Version mismatch: The cluster was started with", "cluster_version"),
        ("refused", "no_cluster"),
    ):

        def refuse(message: str = message, **_: Any) -> None:
            raise RuntimeError(message)

        monkeypatch.setattr(ray, "init", refuse)
        with pytest.raises(vecver.BackendError) as caught:
            docs.ingest([{"id": "a", "text": "b"}], label="r", embedder="hashing", on="ray://127.0.0.1")
        assert caught.value.code == code and "nothing was changed" in caught.value.hint


def test_a_full_store_ends_the_ingest_which_goes_on_where_there_is_room(session: FakeGcs, tmp_path: Path) -> None:
    disk, log = tmp_path / "disk", tmp_path / "log"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        docs = opened(disk / "kb")
        rows = [{"id": f"r{n}", "text": f"record {n} " * 20} for n in range(2500)]
        with pytest.raises(vecver.BackendError) as caught:
            docs.ingest(rows, label="r", embedder=noted(log), on="ray", workers=2)
        assert caught.value.code == "store_full" and docs.branches() == {}, caught.value.message
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        report = docs.ingest(rows, label="r", embedder=noted(log))
        assert report.chunks["live"] == 2500 and report.chunks["reused"] > 0
        assert not docs.repository.check().problems
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


class Unsteady(Noted):
    """It fails at the third batch."""

    def embed(self, texts: Sequence[str]) -> Any:
        if len(texts_in(self.log)) > 100:
            raise ConnectionError("the model went away")
        return super().embed(texts)


def test_the_error_of_an_embedder_ends_the_ingest_and_keeps_what_was_made(session: FakeGcs, tmp_path: Path) -> None:
    docs, log = opened(tmp_path / "kb"), tmp_path / "log"
    rows = [{"id": f"r{n}", "text": f"record {n}"} for n in range(600)]
    unsteady = vecver.embedder(Unsteady(log), fingerprint="noted")
    with pytest.raises(vecver.BackendError, match="the model went away"):
        docs.ingest(rows, label="r", embedder=unsteady, on="ray")
    assert docs.branches() == {}
    report = docs.ingest(rows, label="r", embedder=noted(log), on="ray")
    assert report.chunks["reused"] >= 100 and set(texts_in(log).values()) == {1}


def test_a_text_that_an_endpoint_refuses_costs_its_document_alone(
    session: FakeGcs, pages: Path, tmp_path: Path
) -> None:
    with fleet(1) as (node,):
        here, there = opened(tmp_path / "here"), opened(tmp_path / "there")
        for docs in (here, there):
            docs.ingest(pages, embedder=f"tei:toy@{node.url}")
        node.trouble = lambda texts: (400, "bad", {}) if any("poison" in text for text in texts) else None
        (pages / "03.md").write_text(page(3, "Take no poison."))
        (pages / "05.md").write_text(page(5, "Slowly."))
        (pages / "new.md").write_text(page(99, "No poison, please."))
        reports = [here.ingest(pages), there.ingest(pages, on="ray", workers=2)]
        assert facts(reports[0]) == facts(reports[1])
        failed = [(one.document, one.code) for one in reports[1].failures[-2:]]
        assert failed == [("03.md", "not_embedded"), ("new.md", "not_embedded")]
        assert "(the text 'Page 3" in reports[1].failures[-2].reason
        one, other = here.show("main"), there.show("main")
        assert one.content_root == other.content_root and one.vector_root == other.vector_root
        assert keys(here) == keys(there) and not there.repository.check().problems
        node.trouble = lambda texts: None
        again = there.ingest(pages)
        assert again.names["added"] == ("new.md",) and again.names["changed"] == ("03.md",)


def test_an_endpoint_that_changes_its_dimension_ends_the_ingest(session: FakeGcs, tmp_path: Path) -> None:
    docs = opened(tmp_path / "kb")
    rows = [{"id": f"r{n}", "text": f"record {n}"} for n in range(1000)]
    with fleet(1) as (node,):
        how: dict[str, Any] = {"label": "r", "embedder": f"tei:toy@{node.url}"}

        def change(texts: list[str]) -> Answer | None:
            node.dim = 8 if len(node.texts) > 300 else 16
            return None

        node.trouble = change
        with pytest.raises(vecver.SpaceMismatchError, match="8 dimensions") as caught:
            docs.ingest(rows, on="ray", workers=2, **how)
        assert "what was embedded is kept" in caught.value.hint and docs.branches() == {}
        node.trouble, node.dim = lambda texts: None, 16
        assert docs.ingest(rows, **how).chunks["reused"] > 0
        assert Counter(node.texts).total() - 1000 <= ray_workers.EMBED_ROWS  # in flight where there was no error


def test_an_embedder_that_cannot_travel_is_refused(session: FakeGcs, tmp_path: Path) -> None:
    stuck = Noted(tmp_path / "log")
    stuck.lock = threading.Lock()  # type: ignore[attr-defined]
    docs = opened(tmp_path / "kb")
    with pytest.raises(vecver.InvalidInputError, match="cannot be sent to the workers"):
        docs.ingest([{"id": "a", "text": "b"}], label="r", embedder=vecver.embedder(stuck, fingerprint="s"), on="ray")


def test_places_that_are_none(session: FakeGcs, tmp_path: Path) -> None:
    docs = opened(tmp_path / "kb")
    with pytest.raises(vecver.InvalidInputError, match="does not run on 'rya'"):
        docs.ingest([{"id": "a", "text": "b"}], label="r", on="rya")
    with pytest.raises(vecver.InvalidInputError, match="has a session on Ray already"):
        docs.ingest([{"id": "a", "text": "b"}], label="r", embedder="hashing", on="ray://127.0.0.1:1")
    memory = vecver.open("memory://", create=True).dataset("d")
    with pytest.raises(vecver.InvalidInputError, match="in memory cannot be reached"):
        memory.ingest([{"id": "a", "text": "b"}], label="r", on="ray")
