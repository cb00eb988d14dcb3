"""Hostile names and uploads: each is answered with what is wrong, and the service keeps running."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
httpx = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")

from hostile_requests import STORE, TEXTS, UPLOAD, Served, assert_told, refused, service_of_two_datasets  # noqa: E402
from serving import ended, running  # noqa: E402
from vecver_service.app import create_app  # noqa: E402
from vecver_service.settings import ServiceSettings  # noqa: E402
from vecver_service.state.keys import Keys  # noqa: E402

import vecver  # noqa: E402


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with service_of_two_datasets(tmp_path_factory.mktemp("abuse")) as served:
        yield served


# -- names ---------------------------------------------------------------------------------------

NAMES = [
    *(
        "..",
        ".",
        "../x",
        "..%2f",
        "%2e%2e%2f",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "\0",
        "a\0b",
        "\n",
        " ",
        "x " * 3,
        "*",
        "a:b",
    ),
    *("e\u0301", "é", "🚲", "\u202eabc", "\u200b", "日" * 100, "x" * 300, "x" * 301, "-", "--help", "CON", "@", "a@b"),
    *("f" * 64, "ffff", "main~" + "9" * 250, "~" * 299, "^" * 300, "@{x}", "@{", "@{9999-12-31T23:59:59-23:59}"),
    *(
        "@{0001-01-01T00:00:00+23:59}",
        "git:",
        "git:" + "a" * 200,
        "main^{}",
        "refs/heads/main",
        "MAIN",
        "main.",
        ".main",
    ),
]


def test_hostile_names_are_refused_everywhere(served: Served) -> None:
    """In the path, in the query string and in the body."""
    for name in NAMES:
        for written in {quote(name, safe=""), quote(name), quote(quote(name, safe=""), safe="")}:
            for path in (
                *("/{}", "/v1/datasets/{}", "/v1/vector_stores/{}", "/v1/vector_stores/texts@{}", "/v1/jobs/{}"),
                *("/v1/jobs/{}/events", "/v1/jobs?dataset={}", "/v1/jobs?limit={}", "/v1/vector_stores?after={}"),
                *(TEXTS + end for end in ("/{}", "/commits/{}", "/commits?ref={}", "/commits?cursor={}")),
                *(TEXTS + end for end in ("/documents?ref={}", "/documents?cursor={}", "/diff?from={}&to=main")),
                *(TEXTS + end for end in ("/publication?ref={}", "/branches/{}", "/tags/{}/moves", "/{}/main")),
            ):
                answer = served.send("GET", path.format(written))
                assert_told(answer)
                assert b"root:" not in answer.content
            for kind in ("branches", "tags", "aliases"):
                assert_told(served.send("PUT", f"{TEXTS}/{kind}/{written}", {"ref": "main"}))
                assert_told(served.send("DELETE", f"{TEXTS}/{kind}/{written}"))
            assert_told(served.send("POST", f"/v1/datasets/{written}/search", {"query": "q"}))
            assert_told(served.send("POST", f"/v1/jobs/{written}/cancel"))
        for body in ({"query": "q", "ref": name}, {"query": name}, {"query": "q", "space": name}):
            assert_told(served.send("POST", f"{TEXTS}/search", body))
        for filter in ({name: 1}, {"s": name}):
            assert_told(served.send("POST", f"{TEXTS}/search", {"query": "q", "filter": filter}))
        assert_told(served.send("POST", f"{TEXTS}/promote", {"alias": name}))
        assert_told(served.send("POST", f"{TEXTS}/rollback", {"ref": name}))
    assert set(served.app.state.deps.repository.datasets()) >= {"texts", "vectors"}
    inside = {os.path.relpath(path, served.place) for path in served.place.rglob("*")}
    assert {path.split("/")[0] for path in inside} <= {"kb", "state", "open"}


def test_document_ids_are_not_normalised(served: Served) -> None:
    """Ids are equal only if their code points are."""
    sent = [
        "e\u0301.md",
        "é.md",
        "🚲.md",
        "\u202eabc.md",
        "日" * 50 + ".md",
        "https://example.org/a?b=c#d",
        "%2e%2e%2fx",
        "x" * 1024,
    ]
    body = {"documents": [{"id": name, "text": f"the text of {name}"} for name in sent]}
    made = served.send("POST", "/v1/datasets/names/ingest?label=names&embedder=hashing", body).json()
    job = ended(served.client, made["id"])
    assert job["state"] == "succeeded", job
    assert sorted(job["result"]["names"]["added"]) == sorted(sent)
    assert served.send("GET", "/v1/datasets/names/documents").json()["documents"] == sorted(sent)
    hits = served.send("POST", "/v1/datasets/names/search", {"query": "the text", "k": 20}).json()["hits"]
    assert {hit["document"] for hit in hits} == set(sent)
    for bad in ("../x", "/etc/passwd", "a/../b", "\0", "a\nb", "", "x" * 1025):
        body = {"documents": [{"id": bad, "text": "text"}, {"id": "good", "text": "text"}]}
        made = served.send("POST", "/v1/datasets/names/ingest?label=bad&embedder=hashing", body).json()
        job = ended(served.client, made["id"])
        assert job["state"] == "succeeded" and len(job["result"]["failures"]) == 1, job


def test_lone_surrogates_are_escaped(served: Served) -> None:
    """Python reads a lone surrogate from JSON, and UTF-8 cannot encode it."""
    half = b'"a\\ud800b"'
    for path, body in (
        (f"{TEXTS}/search", b'{"query":%s}'),
        (f"{TEXTS}/search", b'{"queries":[%s]}'),
        (f"{TEXTS}/search", b'{"query":"q","filter":{"s":%s}}'),
        (f"{TEXTS}/search", b'{"query":"q","filter":{%s:1}}'),
        (STORE, b'{"query":%s}'),
        (STORE, b'{"query":["q",%s]}'),
        (STORE, b'{"query":"q","filters":{"type":"eq","key":"s","value":%s}}'),
        ("/v1/replay", b'{"receipt":{%s:1}}'),
    ):
        assert_told(served.send("POST", path, body % half))


# -- uploads -------------------------------------------------------------------------------------


def upload(served: Served, *files: tuple[str, bytes], query: str = "label=files&embedder=hashing") -> Any:
    form = [("files", (name, content)) for name, content in files]
    return served.client.post(f"/v1/datasets/uploads/ingest?{query}", files=form)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "..",
            "../x.md",
            "a/../../x.md",
            "/etc/cron.d/x",
            "//x",
            "a//b.md",
            "./x.md",
            "a/./b",
            ".hidden",
            "a/.git/config",
        ),
        *(
            "..\\x",
            "a\0b",
            "x\n",
            "\u200bx\x07",
            "",
            "/",
            "a/",
            "é" * 121,
            "x" * 241,
        ),
        *("a/" * 40 + "x", "a" * 200 + "/" + "b" * 200 + "/" + "c" * 200 + "/" + "d" * 200 + "/" + "e" * 200 + "/f"),
    ],
    ids=lambda name: ascii(name)[:24],
)
def test_an_uploaded_file_stays_in_its_folder(served: Served, name: str) -> None:
    before, everything = served.left(), {*served.place.rglob("*")}
    boundary, quoted = b"xYzZy", name.encode().replace(b"\\", b"\\\\").replace(b'"', b"%22")
    for header in (b'filename="%s"' % quoted, b"filename*=UTF-8''%s" % quote(name, safe="").encode()):
        part = b'--%s\r\nContent-Disposition: form-data; name="files"; %s\r\n\r\ntext\r\n--%s--\r\n'
        body = part % (boundary, header, boundary)
        answer = served.send("POST", UPLOAD, body, "multipart/form-data; boundary=xYzZy")
        assert_told(answer)
        assert answer.status_code in (400, 422), answer.text
    assert served.left() == before
    made = {path for path in served.place.rglob("*") if path not in everything}
    assert not [path for path in made if path.is_file() and "once" not in path.parts], made


def test_refused_forms_leave_no_files(served: Served) -> None:
    before = served.left()
    refused(upload(served, ("a.md", b"one"), ("a.md", b"two")), "invalid_upload")
    refused(upload(served, ("a", b"one"), ("a/b.md", b"two")), "invalid_upload")
    refused(upload(served, ("a/b.md", b"one"), ("a", b"two")), "invalid_upload")
    refused(upload(served, *((f"{i}.md", b"x") for i in range(21))), "invalid_upload")
    answer = served.client.post("/v1/datasets/uploads/ingest?label=x", files=[("other", ("a.md", b"x"))])
    refused(answer, "invalid_upload")
    answer = served.client.post("/v1/datasets/uploads/ingest?label=x", files={"files": ("a.md", b"x")}, data={"b": "c"})
    refused(answer, "invalid_upload", "invalid_request")
    answer = served.client.post("/v1/datasets/uploads/ingest?label=x", data={"files": "text"})
    refused(answer, "unsupported_media_type", "invalid_upload")
    refused(upload(served, ("a.md", b"x"), query="embedder=hashing"), "no_label")
    refused(upload(served, ("a.md", b"x"), query="label=x&embedder=openai:x"), "embedder_not_allowed")
    refused(upload(served, ("a.md", b"x"), query="label=x&nothing=1"), "invalid_request")
    assert served.left() == before


def test_empty_files_can_be_ingested(served: Served) -> None:
    job = ended(served.client, upload(served, ("empty.md", b""), ("full.md", b"# Full\n\nof text")).json()["id"])
    assert job["state"] == "succeeded", job
    assert job["result"]["names"]["added"] == ["empty.md", "full.md"] or job["result"]["failures"], job


@pytest.mark.parametrize("label", ["..", "../x", "\0", "a\nb", "x" * 300, "x" * 301, "é", "🚲"], ids=ascii)
@pytest.mark.parametrize("option", ["label", "prefix", "branch", "space", "chunker", "message", "metric"])
def test_bad_options_of_an_ingest_are_reported_by_its_job_at_the_latest(
    served: Served, option: str, label: str
) -> None:
    query = {"label": "x", "embedder": "hashing", "dry_run": "true", option: label}
    answer = served.client.post(f"{TEXTS}/ingest", params=query, json={"documents": [{"id": "x", "text": "y"}]})
    assert_told(answer)
    if answer.status_code == 202:
        job = ended(served.client, answer.json()["id"])
        assert (job["error"] or {}).get("code") != "internal", job


def test_only_allowed_folders_are_ingested(served: Served) -> None:
    allowed = served.place / "open"
    (allowed / "in").mkdir(parents=True, exist_ok=True)
    (allowed / "in/x.md").write_text("# X\n\ntext")
    (served.place / "open-beside").mkdir(exist_ok=True)
    for name, target in (("out", "/etc"), ("up", ".."), ("back", "../state")):
        if not (allowed / name).is_symlink():
            (allowed / name).symlink_to(target)
    before = served.left()
    for folder in (
        *("/etc", "/", "..", ".", "", "open", "file:///etc", "~", "~root", "\0", f"{allowed}\0", f"{allowed}/out"),
        *(f"{allowed}/../state", f"{allowed}/../open-beside", f"{allowed}-beside", f"{allowed}/out/../../etc"),
        *(
            f"{allowed}/up",
            f"{allowed}/back",
            f"{allowed}/in/../..",
            f"{allowed}/nowhere/../../state",
            "https://x.org/",
        ),
        *(f"{allowed}/%2e%2e", f"{allowed}/\udcff", "/proc/self/cwd", "/proc/self/root", "/dev/stdin", "x" * 5000),
    ):
        answer = served.send("POST", f"{TEXTS}/ingest?label=x&dry_run=true", {"folder": folder})
        if folder == f"{allowed}/%2e%2e":  # a name like others, of nothing
            assert ended(served.client, answer.json()["id"])["state"] == "failed"
            continue
        refused(answer, "folder_not_allowed", "invalid_request")
    assert served.left() == before
    made = served.send("POST", f"{TEXTS}/ingest?label=in&dry_run=true&embedder=hashing", {"folder": f"{allowed}/in"})
    assert ended(served.client, made.json()["id"])["result"]["names"]["added"] == ["x.md"]


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(0, size, 1 << 16):
        yield b" " * (1 << 16)


@pytest.mark.parametrize("path", [f"{TEXTS}/search", "/v1/replay", UPLOAD])
@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "multipart/form-data; boundary=x"])
def test_too_large_bodies_are_refused_and_leave_no_files(served: Served, path: str, kind: str) -> None:
    """By their Content-Length or while they arrive, also in the middle of a file."""
    before, large = served.left(), 3 << 20
    start = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.md"\r\n\r\n' if "multi" in kind else b""
    for content in (start + b" " * large, (part for part in (start, *chunks(large)))):
        answer = served.client.post(path, content=content, headers={"content-type": kind})
        refused(answer, "too_large")
        assert answer.status_code == 413
    assert served.left() == before
    assert served.client.get("/healthz").status_code == 200


def test_a_missing_key_is_reported_before_the_size_of_the_body(tmp_path: Path) -> None:
    settings = ServiceSettings(state=str(tmp_path / "state"), max_body=1024)
    Keys(settings.keys_file("")).add("alice", ["*:admin"])
    with running(create_app(vecver.open(tmp_path / "kb", create=True), settings)) as url:
        for content in (b"x" * 10_000, (b"x" * 1000 for _ in range(10))):
            refused(httpx.post(f"{url}/v1/datasets/d/search", content=content, timeout=60), "unauthenticated")


def test_the_path_of_the_embedded_milvus_is_masked(served: Served) -> None:
    pytest.importorskip("milvus_lite", reason="no milvus-lite: install vecver[milvus]")
    made = served.send("POST", f"{TEXTS}/publish", {}).json()
    assert ended(served.client, made["id"])["result"]["uri"] == "(repository)/milvus.db"
    told = [served.client.get(path) for path in (f"{TEXTS}/publication", f"/v1/jobs/{made['id']}/events", "/v1/jobs")]
    for answer in told:
        assert_told(answer)
        assert "(repository)/milvus.db" in answer.text
    served.app.state.deps.repository.close()
