"""Uploads to the service: what becomes of files, forms, records and folders."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from bucket_sources import HANDBOOK, bucket_with
from serving import ended

import vecver

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

from fastapi.testclient import TestClient
from job_clients import client_of
from vecver_service.state.jobs import Jobs


def files(client: TestClient, named: dict[str, bytes], **query: Any) -> Any:
    parts = [("files", (name, data)) for name, data in named.items()]
    return client.post("/v1/datasets/d/ingest", params={"label": "up", "embedder": "hashing", **query}, files=parts)


def test_files_become_documents_under_their_paths(tmp_path: Path) -> None:
    names = ["a.md", "guide/heating.md", "guide/W\u00e4rme \u201c1\u201d.md", "Screenshot\u202f1.md", " blank .md"]
    with client_of(tmp_path) as client:
        job = ended(
            client, files(client, {name: f"# {name}\n\ntext of {name}".encode() for name in names}).json()["id"]
        )
        assert job["result"]["documents"]["added"] == 5 and job["result"]["names"]["added"] == sorted(names)
        assert client.get("/v1/datasets/d/documents").json()["documents"] == sorted(names)


def test_a_second_upload_under_one_label_does_not_replace_the_first(tmp_path: Path) -> None:
    """One whose removals are allowed does, and one that says of what it speaks removes nothing else."""
    with client_of(tmp_path) as client:
        ended(client, files(client, {"a/1.md": b"one", "a/2.md": b"two", "b/3.md": b"three"}).json()["id"])
        job = ended(client, files(client, {"c/4.md": b"four"}).json()["id"])
        assert (job["state"], job["error"]["code"], job["error"]["status"]) == ("failed", "removals_not_allowed", 409)
        assert job["error"]["context"]["removals"][0]["first"] == ["a/1.md", "a/2.md", "b/3.md"]
        job = ended(client, files(client, {"a/1.md": b"one"}, scope="a/**").json()["id"])
        assert job["result"]["names"] == {"added": [], "changed": [], "removed": ["a/2.md"]}
        job = ended(client, files(client, {"c/4.md": b"four"}, allow_removals="true").json()["id"])
        assert job["result"]["names"] == {"added": ["c/4.md"], "changed": [], "removed": ["a/1.md", "b/3.md"]}
        assert client.get("/v1/datasets/d/commits/main").json()["operation"]["places"] == {"up": {}}
        headers = {"vecver-place": "/etc"}
        assert client.post("/v1/datasets/d/ingest?label=up", headers=headers, content=b"x").status_code == 422


def test_an_upload_of_one_file_of_a_source_updates_that_document(tmp_path: Path) -> None:
    four = {f"{i}.md": f"number {i}".encode() for i in range(4)}
    with client_of(tmp_path) as client:
        ended(client, files(client, four).json()["id"])
        job = ended(client, files(client, {"2.md": b"other"}).json()["id"])
        assert job["result"]["names"] == {"added": [], "changed": ["2.md"], "removed": []}
        job = ended(client, files(client, {"2.md": b"another"}, allow_removals="true").json()["id"])
        assert job["result"]["documents"]["removed"] == 3


def test_the_work_tree_around_the_state_folder_has_no_say(tmp_path: Path) -> None:
    """Its ignore files would let uploaded documents go, and its Git commit is not theirs."""
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("*.md\nstate\n")
    with client_of(tmp_path) as client:
        job = ended(client, files(client, {"a.md": b"# One\n\ntext", "b.txt": b"two"}).json()["id"])
        assert job["result"]["names"]["added"] == ["a.md", "b.txt"]
        told = {"git_commit": "9c1e" * 10, "git_branch": "main", "git_dirty": "true"}
        ended(client, files(client, {"a.md": b"# Two\n\ntext"}, **told).json()["id"])
        commits = client.get("/v1/datasets/d/commits").json()["commits"]
        origins = [commit["operation"]["sources"][0]["origin"] for commit in commits]
        assert origins == [{"kind": "git", "commit": "9c1e" * 10, "branch": "main", "dirty": True}, None]
        assert client.get("/v1/datasets/d/commits/git:9c1e9c1e").json()["commit"] == commits[0]["commit"]


def test_git_is_not_asked_about_what_was_uploaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who names files HEAD, config and info/attributes would choose the programs that it runs."""
    for name in ("origin_of", "checkouts_above"):
        monkeypatch.setattr(f"vecver.pipeline.{name}", lambda source: pytest.fail("git was asked"))
    with client_of(tmp_path) as client:
        job = ended(client, files(client, {"HEAD": b"ref: refs/heads/main", "config": b"[core]"}).json()["id"])
        assert job["state"] == "succeeded", job["error"]
        assert client.get("/v1/datasets/d/commits/main").json()["operation"]["sources"][0]["origin"] is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x\r\n",
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.md"\r\n\r\ncut off',
        b'--x\r\nContent-Disposition: form-data; name="files"\r\n\r\nno file\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="other"; filename="a.md"\r\n\r\ntext\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="\xff.md"\r\n\r\ntext\r\n--x--\r\n',
        b"--x\r\n" + b"A: " + b"b" * 20000 + b"\r\n\r\ntext\r\n--x--\r\n",
        b"--x--\r\n",
    ],
)
def test_a_form_that_is_broken_leaves_nothing(tmp_path: Path, body: bytes) -> None:
    with client_of(tmp_path) as client:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        response = client.post("/v1/datasets/d/ingest", params={"label": "l"}, content=body, headers=headers)
        assert response.status_code == 422 and response.json()["code"] == "invalid_upload", response.text
        assert not os.listdir(tmp_path / "state/jobs")


def test_a_large_file_comes_through_whole(tmp_path: Path) -> None:
    data = "".join(f"# Part {i}\n\ntext {i}\n\n" for i in range(60_000)).encode()
    with client_of(tmp_path) as client:
        job = ended(client, files(client, {"large.md": data}).json()["id"])
        assert job["state"] == "succeeded", job["error"]
        folder = tmp_path / "same"
        folder.mkdir()
        (folder / "large.md").write_bytes(data)
        docs = vecver.open(tmp_path / "kb").dataset("d")
        assert not docs.ingest(folder, label="up").changed


def test_json_is_no_way_to_send_an_upload(tmp_path: Path) -> None:
    """177 MB of it took 3.2 GB of memory, and nobody was answered for 10 s."""
    documents = [{"id": f"doc-{i}", "text": "some text"} for i in range(100)]
    with client_of(tmp_path, max_body=2000) as client:
        query = {"label": "l", "embedder": "hashing"}
        told = client.post("/v1/datasets/d/ingest", params=query, json={"documents": documents})
        assert (told.status_code, told.json()["code"]) == (413, "too_large") and "ndjson" in told.json()["hint"]
        lines = "".join(json.dumps(one) + "\n" for one in documents).encode()
        headers = {"content-type": "application/x-ndjson"}
        assert client.post("/v1/datasets/d/ingest", params=query, content=lines, headers=headers).status_code == 202


def test_a_line_of_an_upload_is_no_longer_than_a_body(tmp_path: Path) -> None:
    """One of 95 MB took 4 GB of memory, and nobody was answered for 20 s."""
    rows = [json.dumps({"id": f"doc-{i}", "text": "x" * 1000}).encode() for i in range(200)]
    with client_of(tmp_path, max_body=2000) as client:
        query, headers = {"label": "l", "embedder": "hashing"}, {"content-type": "application/x-ndjson"}
        long = json.dumps({"id": "long", "text": "y" * 2000}).encode()
        for lines, status in ((rows, 202), ([*rows, long], 413), ([long, *rows], 413), ([rows[0], long, rows[1]], 413)):
            body = b"\n".join(lines)
            for pieces in (body, (body[at : at + 700] for at in range(0, len(body), 700))):
                told = client.post("/v1/datasets/d/ingest", params=query, content=pieces, headers=headers)
                assert told.status_code == status, (status, told.text)
        assert told.json()["code"] == "too_large" and "VECVER_MAX_BODY" in told.json()["hint"]
        jobs = {job["id"] for job in client.get("/v1/jobs").json()["jobs"]}
        assert len(jobs) == 2 and set(os.listdir(tmp_path / "state/jobs")) <= jobs


def test_a_folder_is_allowed_when_its_job_runs_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was replaced by a link meanwhile leads elsewhere."""
    allowed, secret = tmp_path / "allowed", tmp_path / "secret"
    for folder in (allowed / "docs", secret):
        folder.mkdir(parents=True)
        (folder / "a.md").write_text(f"# {folder.name}\n\ntext")
    body, query = {"folder": str(allowed / "docs")}, {"embedder": "hashing"}
    with client_of(tmp_path, folders=(str(allowed),)) as client:
        job = ended(client, client.post("/v1/datasets/d/ingest", json=body, params=query).json()["id"])
        assert job["state"] == "succeeded" and job["result"]["names"]["added"] == ["a.md"]
        real = Jobs.next

        def replaced(jobs: Jobs, *kinds: Any) -> Any:
            if (allowed / "docs").is_dir() and not (allowed / "docs").is_symlink():
                (allowed / "docs").rename(tmp_path / "old")
                (allowed / "docs").symlink_to(secret)
            return real(jobs, *kinds)

        monkeypatch.setattr(Jobs, "next", replaced)
        job = ended(client, client.post("/v1/datasets/d/ingest", json=body, params=query).json()["id"])
        assert job["state"] == "failed" and job["error"]["code"] == "folder_not_allowed"


def test_a_bucket_is_ingested_only_where_the_owner_allows_it(tmp_path: Path) -> None:
    address = "gs://vecver-test/handbook"
    with bucket_with(HANDBOOK) as bucket, client_of(tmp_path / "none") as client:
        query = {"label": "handbook", "embedder": "hashing"}
        refused = client.post("/v1/datasets/d/ingest", params=query, json={"folder": address})
        assert (refused.status_code, refused.json()["code"]) == (403, "folder_not_allowed")
        assert bucket.server.asked == []
    with bucket_with(HANDBOOK), client_of(tmp_path / "one", folders=(address, str(tmp_path))) as client:
        for other in (
            "gs://vecver-test",
            "gs://vecver-test/handbooks",
            "gs://vecver-test/handbook/../other",
            "gs://vecver-test/handbook/%2e%2e/other",
            "gs://vecver-test/handbook/..\\other",
            "gs://vecver-test/*",
            "gs:///vecver-test/handbook",
            "s3://vecver-test/handbook",
        ):
            answer = client.post("/v1/datasets/d/ingest", params=query, json={"folder": other})
            assert (answer.status_code, answer.json()["code"]) == (403, "folder_not_allowed"), other
        for folder in (address, f"{address}/deep", f"{address}/**/*.md"):
            answer = client.post("/v1/datasets/d/ingest", params=query, json={"folder": folder})
            job = ended(client, answer.json()["id"])
            assert job["state"] == "succeeded", job["error"]
        got = client.post("/v1/datasets/d/documents/get", json={"ids": ["a.md"]}).json()
        assert got["documents"][0]["origin"]["key"] == "handbook/a.md"
