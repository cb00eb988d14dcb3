"""Hostile and malformed requests: each is answered with what is wrong, and the service keeps running.

Against a real uvicorn on a port of this machine.
"""

from __future__ import annotations

import base64
import json
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from helpers import SPACE, records

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
httpx = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")

from serving import ended, running  # noqa: E402
from vecver_service.app import create_app  # noqa: E402
from vecver_service.settings import ServiceSettings  # noqa: E402
from vecver_service.state.keys import Keys  # noqa: E402

import vecver  # noqa: E402

Json = dict[str, Any]
PROBLEM = {"type", "title", "status", "detail", "category", "code", "hint", "context", "instance"}
TEXTS, VECTORS = "/v1/datasets/texts", "/v1/datasets/vectors"
STORE = "/v1/vector_stores/texts/search"
UPLOAD = f"{TEXTS}/ingest?label=x&dry_run=true"


@dataclass(frozen=True)
class Served:
    """A service without keys on two datasets: of texts, and of vectors that were given."""

    url: str
    client: Any
    app: Any
    place: Path
    receipt: Json

    def send(self, method: str, path: str, body: Any = None, kind: str = "application/json", **headers: Any) -> Any:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request(method, path, content=content, headers={"content-type": kind, **headers})

    def left(self) -> set[str]:
        """The folders of uploads that belong to no job: of requests that were refused, none."""
        return set(os.listdir(self.place / "state/jobs")) - {job.id for job in self.app.state.deps.jobs.all()}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("abuse")
    repository = vecver.open(place / "kb", create=True, author="tester")
    texts = repository.dataset("texts")
    documents = [
        {"id": f"doc-{i}", "text": f"text number {i}", "year": 2020 + i, "tags": ["a"], "ok": True, "s": "x"}
        for i in range(6)
    ]
    texts.ingest(documents, embedder="hashing")
    repository.dataset("vectors").ingest(records({f"doc-{i}": f"t{i}" for i in range(6)}), space=SPACE, metric="ip")
    settings = ServiceSettings(
        state=str(place / "state"), max_upload=1 << 20, max_body=1 << 20, max_files=20, folders=(str(place / "open"),)
    )
    app = create_app(repository, settings)
    with running(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield Served(url, client, app, place, texts.search("text", k=3).receipt)


def assert_told(answer: Any) -> None:
    """An answer, or an error as the contract says; of our making, never of our failing."""
    assert answer.status_code < 500, answer.text
    assert not 300 <= answer.status_code < 400 or answer.status_code == 304
    assert answer.headers["x-request-id"]
    assert not re.search(r"/tmp/|/root|site-packages|Traceback", answer.text), answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        if answer.request.method == "HEAD":
            return
        problem = answer.json()
        assert set(problem) - {"error", "hint_python"} == PROBLEM  # said where Python's client is told otherwise
        assert (problem["status"], problem["instance"]) == (answer.status_code, answer.headers["x-request-id"])


def refused(answer: Any, *codes: str) -> None:
    """Told as an error, with one of these codes."""
    assert_told(answer)
    assert answer.status_code >= 400, answer.text
    assert answer.json()["code"] in codes, answer.text


# -- JSON ----------------------------------------------------------------------------------------


def nested(opening: bytes, closing: bytes) -> list[bytes]:
    """Deep values; around the interpreter's own limit every depth, for each step may reach it first."""
    depths = [20, 300, *range(880, 1000, 6), 2000, 100_000]
    return [opening * depth + b"1" + closing * depth for depth in depths]


DEEP = [*nested(b'{"a":', b"}"), *nested(b"[", b"]")]


def test_deeply_nested_values_are_refused_everywhere(served: Served) -> None:
    receipt = json.dumps(served.receipt).encode()
    for deep in DEEP:
        served_at = [
            ("POST", f"{TEXTS}/search", deep),
            ("POST", f"{TEXTS}/search", b'{"query":"q","filter":' + deep + b"}"),
            ("POST", f"{TEXTS}/search", b'{"query":"q","filter":{"year":{"$in":' + deep + b"}}}"),
            ("POST", f"{VECTORS}/search", b'{"vector":' + deep + b"}"),
            ("POST", "/v1/replay", b'{"receipt":' + deep + b"}"),
            ("POST", "/v1/replay", b'{"receipt":' + receipt[:-1] + b',"filter":' + deep + b"}}"),
            ("POST", "/v1/replay", b'{"receipt":' + receipt[:-1] + b',"more":' + deep + b"}}"),
            ("POST", "/v1/replay", b'{"receipt":' + receipt[:-1] + b',"engine":{"name":"exact","x":' + deep + b"}}}"),
            ("POST", STORE, b'{"query":"q","filters":{"type":"in","key":"year","value":' + deep + b"}}"),
            ("POST", UPLOAD, b'{"documents":[{"id":"x","text":"y","m":' + deep + b"}]}"),
            ("PUT", f"{TEXTS}/branches/deep", deep),
        ]
        for method, path, body in served_at:
            assert_told(served.send(method, path, body))
    for depth in (10, 100, *range(200, 400, 20), 2000):
        compound = b'{"type":"and","filters":[' * depth + b'{"type":"eq","key":"year","value":1}' + b"]}" * depth
        assert_told(served.send("POST", STORE, b'{"query":"q","filters":' + compound + b"}"))
    refused(served.send("POST", f"{TEXTS}/search", {"query": "q", "filter": {"$and": [[[[{"a": 1}]]]]}}), *FILTER)
    refused(served.send("POST", f"{TEXTS}/search", {"query": "q", "filter": {"year": {"$in": [1] * 10_001}}}), *FILTER)


FILTER = ("invalid_filter", "invalid_request")


def test_deeply_nested_records_fail_their_job_only(served: Served) -> None:
    for deep in DEEP[::4]:
        line = b'{"id":"x","text":"y","m":' + deep + b"}\n"
        job = served.send("POST", f"{UPLOAD}&embedder=hashing", line, "application/x-ndjson").json()
        job = ended(served.client, job["id"])
        assert (job["error"] or {}).get("code") != "internal", job
        assert job["state"] in ("succeeded", "failed")


VALUES = [
    *(b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1e39", b"9" * 5000, b"9" * 30, b"9223372036854775808"),
    *(b"1" + b"0" * 400, b"true", b"null", b'"1"', b"1.5", b"-0.0", b"0", b"-1", b"[]", b"{}", b"[[]]", b'""', b'" "'),
    *(b'"\\ud800"', b'"\\u0000"', b'"a\\udfffb"', b'"..%2f"', '"́"'.encode(), '"🚲"'.encode(), '"‮x"'.encode(), b"\xff"),
]


def test_no_value_in_any_field_breaks_a_search(served: Served) -> None:
    fields = ("k", "context", "exact", "receipt", "engine", "space", "ref", "filter", "query", "queries", "more")
    for value in VALUES:
        for field in fields:
            assert_told(served.send("POST", f"{TEXTS}/search", b'{"query":"q","%s":%s}' % (field.encode(), value)))
        for vector in (b"%s", b"[%s]", b"[1,2,3,4,5,6,7,%s]"):
            assert_told(served.send("POST", f"{VECTORS}/search", b'{"vector":%s}' % (vector % value)))
            assert_told(served.send("POST", f"{VECTORS}/search", b'{"vectors":[%s]}' % (vector % value)))
        for field in ("query", "max_num_results", "filters", "ranking_options", "rewrite_query"):
            assert_told(served.send("POST", STORE, b'{"query":"q","%s":%s}' % (field.encode(), value)))
        assert_told(served.send("POST", STORE, b'{"query":["q",%s]}' % value))
        threshold = b'{"query":"q","ranking_options":{"score_threshold":%s}}' % value
        assert_told(served.send("POST", STORE, threshold))


@pytest.mark.parametrize("operator", ["$gte", "$eq", "$ne", "$in", "$nin", "$exists", "$and", "$or", "$not", "$where"])
def test_no_value_breaks_a_filter(served: Served, operator: str) -> None:
    for value in VALUES:
        for field in ("year", "tags", "ok", "s", "none"):
            for inner in (value, b"[%s,1]" % value):
                filter = b'{"%s":{"%s":%s}}' % (field.encode(), operator.encode(), inner)
                assert_told(served.send("POST", f"{TEXTS}/search", b'{"query":"q","filter":%s}' % filter))
        for inner in (value, b"[%s]" % value):
            filter = b'{"%s":%s}' % (operator.encode(), inner)
            assert_told(served.send("POST", f"{TEXTS}/search", b'{"query":"q","filter":%s}' % filter))
        kind = operator[1:].encode()
        comparison = b'{"type":"%s","key":"year","value":%s}' % (kind, value)
        assert_told(served.send("POST", STORE, b'{"query":"q","filters":%s}' % comparison))


def test_no_value_in_any_field_of_a_receipt_breaks_a_replay(served: Served) -> None:
    receipt = served.receipt
    changed = [{**receipt, field: "HERE"} for field in (*receipt, "more")]
    changed += [{**receipt, "query": {**receipt["query"], field: "HERE"}} for field in (*receipt["query"], "more")]
    changed += [{**receipt, "engine": {**receipt["engine"], field: "HERE"}} for field in ("name", "exact", "faiss")]
    changed += [{**receipt, "hits": ["HERE"]}, {**receipt, "hits": [["HERE", "HERE", "HERE"]]}]
    for value in VALUES:
        for one in changed:
            body = json.dumps({"receipt": one}).encode().replace(b'"HERE"', value)
            assert_told(served.send("POST", "/v1/replay", body))
    long = {"receipt": {**receipt, "commit": "~" * 500_000 + "x"}}
    refused(served.send("POST", "/v1/replay", long), "revision_not_found")
    refused(served.send("POST", "/v1/replay", {"receipt": {**receipt, "k": 10**6}}), "limit")
    refused(served.send("POST", "/v1/replay", {"receipt": {**receipt, "hits": [receipt["hits"][0]] * 1001}}), "limit")


def test_no_value_breaks_a_write(served: Served) -> None:
    for value in VALUES:
        for path, body in (
            ("promote", b'{"alias":%s}'),
            ("promote", b'{"alias":"x","ref":%s}'),
            ("rollback", b'{"ref":%s}'),
            ("rollback", b'{"ref":"x","to":%s}'),
            ("publish", b'{"ref":"nowhere","dedicated":%s}'),
            ("publish", b'{"ref":"nowhere","flat":false,"%s":1}' if value.isalnum() else b'{"more":%s}'),
            ("ingest?label=x&dry_run=true", b'{"documents":%s}'),
            ("ingest?label=x&dry_run=true", b'{"documents":[%s]}'),
            ("ingest?label=x&dry_run=true", b'{"folder":%s}'),
        ):
            assert_told(served.send("POST", f"{TEXTS}/{path}", body % value))
        assert_told(served.send("PUT", f"{TEXTS}/branches/made", b'{"ref":%s}' % value))


def test_vectors_are_numbers_of_the_right_count(served: Served) -> None:
    def ask(vector: Any) -> Any:
        return served.send("POST", f"{VECTORS}/search", {"vector": vector})

    def packed(*numbers: float) -> str:
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()

    assert ask([1] * 8).json()["hits"] == ask(packed(*[1] * 8)).json()["hits"]
    for wrong in (
        *([1] * 7, [1] * 9, [], [1] * 100_000, [[1] * 8], [True] * 8, ["1"] * 8, [None] * 8, {"0": 1}, 8, True),
        *(packed(*[1] * 7), packed(*[1] * 9), packed(*[1] * 8)[:-2], packed(*[1] * 8) + "\n", "", "?!", "é", "A" * 31),
        *(packed(*[1] * 7, number) for number in (float("nan"), float("inf"), -float("inf"))),
        *([1] * 7 + [number] for number in (1e39, 10**400, -1e300)),
        base64.b64encode(b"x" * 31).decode(),
    ):
        answer = ask(wrong)
        refused(answer, "invalid_vector", "invalid_request", "space_mismatch", "wrong_dimension", "invalid_query")
        assert answer.status_code in (400, 422)


def test_the_size_of_a_request_is_limited(served: Served) -> None:
    search = f"{TEXTS}/search"
    refused(served.send("POST", search, {"query": "q", "k": 1001}), "limit")
    refused(served.send("POST", search, {"query": "q", "k": 10**30}), "limit", "invalid_request")
    refused(served.send("POST", search, {"query": "q", "context": 21}), "limit")
    refused(served.send("POST", search, {"queries": ["q"] * 257}), "limit")
    refused(served.send("POST", search, {"queries": []}), "empty_query")
    refused(served.send("POST", search, {"query": "q" * 100_001}), "invalid_request")
    refused(served.send("POST", STORE, {"query": ["q"] * 257}), "limit")
    refused(served.send("POST", STORE, {"query": "q", "max_num_results": 51}), "invalid_request")
    refused(served.send("POST", search, {"query": "q", "queries": ["q"]}), "invalid_request")
    refused(served.send("POST", search, {}), "invalid_request")
    for path in ("commits?limit=1001", "documents?limit=10001", "commits?limit=0", "commits?limit=1e3"):
        refused(served.send("GET", f"{TEXTS}/{path}"), "invalid_request")


BODIES = [b"", b"{", b"null", b"[]", b"\xff\xfe", b"\xef\xbb\xbf{}", b"{}x", b"\0"]
KINDS = [
    *(
        "application/json",
        "text/plain",
        "",
        "x",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
    ),
    *(
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=x",
        "application/x-ndjson",
    ),
]


def test_bodies_of_another_kind_are_refused(served: Served) -> None:
    before = served.left()
    for kind in KINDS:
        for body in BODIES:
            for method, path in (("POST", f"{TEXTS}/search"), ("POST", "/v1/replay"), ("PUT", f"{TEXTS}/branches/b")):
                answer = served.send(method, path, body, kind)
                assert_told(answer)
                assert answer.status_code in (400, 422)
            if kind != "application/x-ndjson":  # whose lines are looked at by the job
                answer = served.send("POST", UPLOAD, body, kind)
                assert_told(answer)
                assert answer.status_code in (400, 422), (kind, body)
    assert served.left() == before


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
