"""The remote handle uploads what it ingests, follows the job, and says how it ended."""

from __future__ import annotations

import io
import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from played import JOB, PROBLEM, PUBLICATION, REPORT, Played, answer

import vecver
from vecver import pipeline
from vecver.errors import (
    ConflictError,
    InvalidInputError,
)

if TYPE_CHECKING:
    import httpx2
else:
    httpx2 = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")


class TestIngest:
    INGEST = "POST /v1/datasets/handbook/ingest"
    LOOK = f"GET /v1/jobs/{JOB['id']}"

    @pytest.fixture
    def docs(self, played: Played, waits: list[float]) -> vecver.RemoteDataset:
        done = {**REPORT.to_json(), "names": {name: list(ids) for name, ids in REPORT.names.items()}}
        played.replies[self.INGEST] = [answer(JOB, 202)]
        played.replies[self.LOOK] = [answer({**JOB, "state": "succeeded", "result": done})]
        return played.connect().dataset("handbook")

    def test_a_folder_travels_as_its_documents(
        self, played: Played, docs: vecver.RemoteDataset, tmp_path: Path
    ) -> None:
        folder = tmp_path / "handbook"
        files = {'say "hi".md': b"quoted", "guide/W\u00e4rme.md": b"warm\r\n--x", "b.pdf": bytes(range(256))}
        for name, data in {**files, ".hidden": b"", "skip.log": b"", ".gitignore": b"*.log"}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        assert docs.ingest(folder, prefix="kb/", message="June", keep_missing=True, chunk_tokens=64) == REPORT
        request = played.requests[0]
        assert dict(request.url.params) == {
            **{"message": "June", "branch": "main", "label": "handbook", "prefix": "kb/", "chunk_tokens": "64"},
            **{"keep_missing": "true", "strict": "false", "dry_run": "false"},
        }
        assert received(request) == files
        assert int(request.headers["content-length"]) == len(request.content)

    def test_records_travel_as_lines_whose_digest_is_the_same(self, played: Played, docs: vecver.RemoteDataset) -> None:
        records = [
            {
                "id": "a",
                "text": "one\u2028two\n",
                "title": "T",
                "year": 2024,
                "_id": "b",
                "tags": ["x", None],
                "vector": [1, 2],
            },
            {
                "_id": 7,
                "text": "three",
                "day": date(2026, 1, 2),
                "none": None,
                "vector": np.array([0.1, 1e-45], np.float32),
            },
        ]
        docs.ingest(iter(records), prefix="kb/", space="s", metric="ip", label="notes")
        request = played.requests[0]
        assert request.headers["content-type"] == "application/x-ndjson"
        assert dict(request.url.params) | {"label": "notes", "space": "s", "metric": "ip"} == dict(request.url.params)
        lines = [json.loads(line) for line in request.content.splitlines()]
        there: list[Any] = list(pipeline.read(iter(lines), label="notes", prefix="kb/"))
        here: list[Any] = list(pipeline.read(iter(records), label="notes", prefix="kb/"))
        assert [(one.document, one.digest) for one in there] == [(one.document, one.digest) for one in here]
        assert [one.document for one in there] == ["kb/a", "kb/7"]
        assert there[1].vector.tobytes() == here[1].vector.tobytes()

    def test_an_upload_that_is_sent_again_is_the_same(self, played: Played, docs: vecver.RemoteDataset) -> None:
        played.replies[self.INGEST] = [httpx2.WriteError("cut"), answer("busy", 503), answer(JOB, 202)]
        docs.ingest(iter([{"id": "a", "text": "x"}]))
        first, second, third, _ = played.requests
        assert first.content == second.content == third.content != b""
        assert first.headers["idempotency-key"] == third.headers["idempotency-key"]

    def test_the_progress_of_the_job_is_passed_on(self, played: Played, docs: vecver.RemoteDataset) -> None:
        chunks = {"done": 7, "total": None}
        steps = [
            {"documents": {"done": 2, "total": 5}},
            {"documents": {"done": 2, "total": 5}, "chunks": chunks},
            {"documents": {"done": 5, "total": 5}, "chunks": chunks},
        ]
        played.replies[self.LOOK][:0] = [answer({**JOB, "state": "running", "progress": step}) for step in steps]
        told: list[Any] = []
        docs.ingest([{"id": "a", "text": "x"}], progress=lambda *what: told.append(what))
        assert told == [("documents", 2, 5), ("chunks", 7, None), ("documents", 3, 5)]

    def test_the_error_of_a_job_is_raised(self, played: Played, docs: vecver.RemoteDataset) -> None:
        played.replies[self.LOOK] = [answer({**JOB, "state": "failed", "error": PROBLEM})]
        with pytest.raises(ConflictError) as caught:
            docs.ingest([{"id": "a", "text": "x"}])
        assert caught.value.code == "ref_moved"
        assert caught.value.__notes__[1:] == ["request req-1", f"job {JOB['id']}"]

    def test_a_job_that_somebody_cancelled(self, played: Played, docs: vecver.RemoteDataset) -> None:
        played.replies[self.LOOK] = [answer({**JOB, "state": "cancelled"})]
        with pytest.raises(ConflictError) as caught:
            docs.ingest([{"id": "a", "text": "x"}])
        assert caught.value.code == "job_cancelled"

    def test_an_interrupt_cancels_the_job(self, played: Played, docs: vecver.RemoteDataset) -> None:
        def stop(*_: Any) -> None:
            raise KeyboardInterrupt

        played.replies[self.LOOK] = [answer({**JOB, "progress": {"documents": {"done": 1, "total": 2}}})]
        with pytest.raises(KeyboardInterrupt):
            docs.ingest([{"id": "a", "text": "x"}], progress=stop)
        assert played.requests[-1].url.path.endswith(f"{JOB['id']}/cancel")

    def test_what_cannot_be_read_here_is_reported_and_removes_nothing(
        self, played: Played, docs: vecver.RemoteDataset
    ) -> None:
        report = docs.ingest([{"id": "a", "text": "x"}, {"id": "b", "text": None}])
        assert dict(played.requests[0].url.params)["keep_missing"] == "true"
        assert [(one.document, one.code) for one in report.failures] == [("b", "no_text"), ("a.pdf", "encrypted")]
        assert report.documents["failed"] == 2 and "could not be read here" in report.notes[-1]

    @pytest.mark.parametrize(
        ("source", "how", "code"),
        [
            ([{"id": "a", "text": "x"}, {"id": "b", "text": None}], {"strict": True}, "documents_failed"),
            ([{"id": "b", "text": None}], {}, "documents_failed"),
            ([], {}, "empty_source"),
            ("empty", {}, "empty_source"),
            (["empty", "a.md"], {}, "several_sources"),
            ("a.md", {"prefix": "\n"}, "invalid_prefix"),
            (["a.md", "a.md"], {"label": "x"}, "conflicting_options"),
            ("a.md", {"workers": 4}, "not_over_http"),
            ("a.md", {"passwords": ["x"]}, "not_over_http"),
        ],
    )
    def test_what_one_request_cannot_hold_is_not_sent(
        self,
        played: Played,
        docs: vecver.RemoteDataset,
        tmp_path: Path,
        monkeypatch: Any,
        source: Any,
        how: Any,
        code: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "empty").mkdir()
        (tmp_path / "a.md").write_text("x")
        with pytest.raises(InvalidInputError) as caught:
            docs.ingest(source, **how)
        assert caught.value.code == code and played.requests == []

    def test_files_and_records_are_two_requests(
        self, played: Played, docs: vecver.RemoteDataset, tmp_path: Path
    ) -> None:
        folder, file = tmp_path / "notes.jsonl", tmp_path / "sub" / "notes.jsonl"
        for path, text in [(folder / "a.md", "prose"), (file, '{"id": "x", "text": "y"}')]:
            path.parent.mkdir()
            path.write_text(text)
        with pytest.raises(InvalidInputError, match="files and records") as caught:
            docs.ingest([folder, file])
        assert caught.value.code == "several_sources" and played.requests == []

    def test_publishing_is_a_job_too(self, played: Played, waits: list[float]) -> None:
        done = {**JOB, "state": "succeeded", "result": PUBLICATION.to_json()}
        played.replies["POST /v1/datasets/handbook/publish"] = [answer(done, 202)]
        docs = played.connect().dataset("handbook")
        assert docs.publish("prod", flat=True) == PUBLICATION
        assert played.bodies == [{"ref": "prod", "dedicated": False, "flat": True}]
        with pytest.raises(InvalidInputError):
            docs.publish("prod", to="http://elsewhere")  # type: ignore[arg-type]


def received(request: httpx2.Request) -> dict[str, bytes]:
    """The files of a multipart request, read as a service reads them."""
    python_multipart = pytest.importorskip("python_multipart", reason="no python-multipart: install vecver[service]")
    found: dict[str, bytes] = {}
    python_multipart.parse_form(
        {"Content-Type": request.headers["content-type"].encode()},
        io.BytesIO(request.content),
        lambda _: None,
        lambda file: found.update({file.file_name.decode(): file.file_object.getvalue()}),
    )
    return found
