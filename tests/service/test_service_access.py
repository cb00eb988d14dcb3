"""Access: every route with every kind of key, for a dataset of the key, for another dataset, and for none.

A dataset that a key may not see is answered like one that does not exist: byte for byte, but for the name.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers import SPACE, records, vector_of

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
httpx = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")

from serving import running  # noqa: E402
from vecver_service import worker  # noqa: E402
from vecver_service.app import create_app  # noqa: E402
from vecver_service.settings import ServiceSettings  # noqa: E402
from vecver_service.state.jobs import Job  # noqa: E402
from vecver_service.state.keys import Keys  # noqa: E402
from vecver_service.ui import is_page  # noqa: E402

import vecver  # noqa: E402

Json = dict[str, Any]
A, B, NONE = "alpha", "bravo", "blank"  # as long as each other, so that their answers are
QUERY = vector_of("a question").tolist()
IDS = r"[0-9a-f]{64}"
OWN, NEW = "-own", "-new"  # a dataset beside each, which a route may rename or delete, and its name after that


def held(dataset: str, level: str) -> tuple[str, ...]:
    """What a key holds at a dataset, and at those beside it."""
    return tuple(f"{dataset}{end}:{level}" for end in ("", OWN, NEW))


# What each caller holds. None: no key; a text: a wrong one.
CALLERS: dict[str, Any] = {
    "nobody": None,
    "a wrong key": "vv_00000000_" + "A" * 43,
    "a revoked key": held(A, "admin"),
    "a key for what is not yet": held(NONE, "admin"),
    "read": held(A, "read"),
    "write": held(A, "write"),
    "admin": held(A, "admin"),
    "read all": ("*:read",),
    "write all": ("*:write",),
    "admin all": ("*:admin",),
}
LEVELS = ("read", "write", "admin")


@dataclass(frozen=True)
class Row:
    """A route: the scope that it needs, what it gives to who has it, and a request for a dataset."""

    scope: str  # "open", "any" key, "all" (admin of every dataset), or a level at the dataset
    given: int
    absent: int = 404  # where there is no such dataset
    body: Any = None
    query: str = ""
    name: str = "main"  # of a ref in the path
    hidden: int = 403  # for a dataset that is not the caller's
    own: bool = False  # it is asked of the dataset beside, since that is another one then, or none


UPLOAD = {"documents": [{"id": "x", "text": "text"}]}
ROWS: dict[str, Row] = {
    "GET /healthz": Row("open", 200, 200),
    "GET /readyz": Row("open", 200, 200),
    "GET /docs": Row("open", 200, 200),
    "GET /docs/{name}": Row("open", 200, 200, name="swagger-ui.css"),
    "GET /openapi.json": Row("open", 200, 200),
    "GET /metrics": Row("all", 200, 200),
    "GET /v1/audit": Row("all", 200, 200),
    "GET /v1": Row("any", 200, 200),
    "GET /v1/datasets": Row("any", 200, 200),
    "GET /v1/datasets/{dataset}": Row("read", 200),
    "GET /v1/datasets/{dataset}/commits": Row("read", 200),
    "GET /v1/datasets/{dataset}/commits/{revision}": Row("read", 200),
    "GET /v1/datasets/{dataset}/documents": Row("read", 200),
    "POST /v1/datasets/{dataset}/documents/list": Row("read", 200, body={}),
    "POST /v1/datasets/{dataset}/documents/get": Row("read", 200, body={"ids": ["doc-alpha-1"], "missing": "skip"}),
    "POST /v1/datasets/{dataset}/chunks/list": Row("read", 200, body={}),
    "GET /v1/datasets/{dataset}/chunks/{key}": Row("read", 404),  # there is no such chunk
    "POST /v1/datasets/{dataset}/count": Row("read", 200, body={}),
    "GET /v1/datasets/{dataset}/fields": Row("read", 200),
    "GET /v1/datasets/{dataset}/diff": Row("read", 200, query="from=main~1&to=main"),
    "GET /v1/datasets/{dataset}/drift": Row("read", 200, query="from=main~1&to=main"),
    "GET /v1/datasets/{dataset}/sketch": Row("read", 200),
    "GET /v1/datasets/{dataset}/publication": Row("read", 409),  # not published
    "GET /v1/datasets/{dataset}/objects": Row("read", 200, query="prefix=refs/{dataset}/"),
    "POST /v1/datasets/{dataset}/objects/read": Row("read", 200, body={"names": ["names"]}),
    "GET /v1/datasets/{dataset}/object": Row("read", 200, query="name=names"),
    "POST /v1/datasets/{dataset}/search": Row("read", 200, body={"vector": QUERY}),
    "POST /v1/replay": Row("read", 200, body="receipt"),
    "GET /v1/jobs": Row("any", 200, 200, query="dataset={dataset}"),
    "GET /v1/jobs/{id}": Row("read", 200, hidden=404),
    "GET /v1/jobs/{id}/events": Row("read", 200, hidden=404),
    "POST /v1/jobs/{id}/cancel": Row("write", 200, hidden=404),
    "GET /v1/vector_stores": Row("any", 200, 200),
    "GET /v1/vector_stores/{id}": Row("read", 200),
    "POST /v1/vector_stores/{id}/search": Row("read", 422, body={"query": "what"}),  # its vectors were given
    "POST /v1/datasets/{dataset}/ingest": Row("write", 202, 202, body=UPLOAD, query="label=x"),
    "POST /v1/datasets/{dataset}/upsert": Row("write", 202, 202, body=UPLOAD),
    "POST /v1/datasets/{dataset}/delete": Row("write", 200, body={"where": {"year": 2025}}, own=True),
    "POST /v1/datasets/{dataset}/rename": Row("admin", 200, body={"to": "{dataset}-new"}, own=True),
    "GET /v1/datasets/{dataset}/removal": Row("admin", 200),
    "DELETE /v1/datasets/{dataset}": Row("admin", 200, query="confirm={dataset}" + OWN, own=True),
    "POST /v1/datasets/{dataset}/publish": Row("write", 202, body={}),
    "POST /v1/datasets/{dataset}/promote": Row("write", 201, body={"alias": "new{n}"}),
    "POST /v1/datasets/{dataset}/rollback": Row("write", 200, body={"ref": "prod", "to": "main~1"}),
    "POST /v1/datasets/{dataset}/merge": Row("write", 200, body={"ref": "main~1"}),
    "GET /v1/datasets/{dataset}/questions": Row("read", 200),
    "GET /v1/datasets/{dataset}/questions/{name}": Row("read", 200, name="judged"),
    "PUT /v1/datasets/{dataset}/questions/{name}": Row("write", 200, body={"questions": ["x"]}, name="made{n}"),
    "DELETE /v1/datasets/{dataset}/questions/{name}": Row("write", 200, name="judged", own=True),
    "POST /v1/datasets/{dataset}/tune": Row("write", 422, body={"questions": "judged"}),
    "POST /v1/datasets/{dataset}/eval": Row("read", 200, body={"questions": "judged"}),
    "GET /v1/datasets/{dataset}/measures": Row("read", 200),
    "POST /v1/datasets/{dataset}/measures": Row("read", 200, body={"questions": "judged"}),
    "POST /v1/datasets/{dataset}/compare": Row("read", 200, body={"questions": "judged", "from": "main~1"}),
    "POST /v1/datasets/{dataset}/bisect": Row(  # no version has what is expected
        "read", 422, body={"good": "main~1", "vector": QUERY, "expect": "nothing"}
    ),
    "GET /v1/datasets/{dataset}/approvals": Row("read", 200),
    "POST /v1/datasets/{dataset}/approve": Row("write", 404, body={"alias": "prod"}),  # nothing waits
    "POST /v1/datasets/{dataset}/reject": Row("write", 404, body={"alias": "prod", "reason": "no"}),
    "GET /v1/datasets/{dataset}/policies": Row("read", 200),
    "PUT /v1/datasets/{dataset}/policies/{alias}/approval": Row("admin", 200, body={"approval": True}),
    "GET /v1/datasets/{dataset}/policies/{alias}": Row("read", 200),
    "PUT /v1/datasets/{dataset}/policies/{alias}": Row("admin", 200, body={"gates": ["ann_recall@10 >= 0"]}),
    "DELETE /v1/datasets/{dataset}/policies/{alias}": Row("admin", 200, own=True),
    "GET /v1/datasets/{dataset}/{kinds}": Row("read", 200),
    "GET /v1/datasets/{dataset}/{kinds}/{name}": Row("read", 200),
    "GET /v1/datasets/{dataset}/{kinds}/{name}/moves": Row("read", 200),
    "PUT /v1/datasets/{dataset}/{kinds}/{name}": Row("write", 201, body={"ref": "main"}, name="made{n}"),
    "DELETE /v1/datasets/{dataset}/{kinds}/{name}": Row("admin", 200, name="gone{n}"),
}


@dataclass(frozen=True)
class Served:
    """A service that has two datasets, each with a job, and a key of each kind."""

    client: Any
    app: Any
    repository: vecver.Repository
    place: Path
    tokens: dict[str, str | None]
    receipts: dict[str, Json]

    def ask(self, caller: str, method: str, path: str, **how: Any) -> Any:
        token = self.tokens[caller]
        headers = {**({"authorization": f"Bearer {token}"} if token else {}), **how.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **how)

    def job(self, dataset: str, *, ended: bool = False) -> str:
        jobs = self.app.state.deps.jobs
        job: Job = jobs.add(jobs.scratch(), dataset, "ingest", f"by-{dataset}", "k", {"branch": "main"})
        return jobs.cancel(job.id).id if ended else job.id

    def make(self, dataset: str) -> None:
        """A dataset with two versions, whatever became of the one before."""
        for name in {dataset, dataset.replace(OWN, NEW)} & set(self.repository.datasets()):
            self.repository.delete_dataset(name, apply=True)
        fill(self.repository, dataset)

    def secrets(self, dataset: str) -> list[str]:
        """What only a reader of a dataset may be told."""
        docs = self.repository.dataset(dataset)
        ids = {commit.id for commit in docs.log("main")}
        return [*ids, *(id[:12] for id in ids), *docs.documents(), *docs.tags(), f"word-{dataset}", f"by-{dataset}"]


def fill(repository: vecver.Repository, name: str) -> None:
    docs = repository.dataset(name)
    for year in (2024, 2025):
        texts = {f"doc-{name}-{i}": f"word-{name} {i} {year}" for i in range(3)}
        docs.ingest(records(texts, year=year), space=SPACE, metric="ip", message=f"word-{name}")
    docs.tag(f"tag-{name}")
    docs.promote("prod")
    docs.set_policy("kept", ["ann_recall@10 >= 0"])
    docs.add_questions("judged", [{"vector": vector_of("q").tolist(), "documents": [f"doc-{name}-1"]}])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("access")
    repository = vecver.open(place / "kb", create=True, author="tester")
    for name in (A, B):
        fill(repository, name)
    receipts = {name: repository.dataset(name).search(vector_of("q"), k=2).receipt for name in (A, B)}
    settings = ServiceSettings(state=str(place / "state"))
    keys = Keys(settings.keys_file(""))
    tokens: dict[str, str | None] = {}
    for who, key in CALLERS.items():
        tokens[who] = keys.add(who, list(key))[1] if isinstance(key, tuple) else key
    keys.revoke(str(tokens["a revoked key"]).split("_")[1])
    app = create_app(repository, settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker.Worker, "start", lambda self: self._thread.join)  # jobs stay as they are
        patch.setattr(worker.Worker, "stop", lambda self, seconds: None)
        with running(app) as url, httpx.Client(base_url=url, timeout=30) as client:
            yield Served(client, app, repository, place, tokens, receipts)


def routes(given: Any) -> set[str]:
    """Every route of a router and of those that it includes, in the schema or not; pages have tests of their own."""
    found = set()
    for route in given.routes:
        if hasattr(route, "original_router"):
            found |= routes(route.original_router)
        elif not is_page(route.path):
            path = route.path.replace(":kinds", "").replace(":key", "")
            found |= {f"{method} {path}" for method in route.methods - {"HEAD"}}
    return found


def test_every_route_has_a_row(served: Served) -> None:
    schema = {f"{method.upper()} {path}" for path, one in served.app.openapi()["paths"].items() for method in one}
    assert schema <= set(ROWS)
    assert routes(served.app.router) == set(ROWS)


def allowed(caller: str, scope: str, dataset: str) -> bool:
    key = CALLERS[caller]
    if scope == "any":
        return True
    if scope == "all":
        return "*:admin" in key
    where, has = key[0].split(":")
    return where in ("*", dataset) and LEVELS.index(has) >= LEVELS.index(scope)


def expected(row: Row, caller: str, dataset: str) -> int:
    """The status of a cell."""
    if row.scope == "open":
        return row.given
    if caller in ("nobody", "a wrong key", "a revoked key"):
        return 401
    if allowed(caller, row.scope, dataset):
        return row.absent if dataset == NONE else row.given
    if row.hidden == 404 and allowed(caller, "read", dataset) and dataset != NONE:
        return 403  # it may be seen, but not this done to it
    return row.hidden


def request(served: Served, route: str, row: Row, dataset: str, n: int) -> tuple[str, str, Json]:
    """(method, path, how) of a cell; what it needs is made."""
    method, path = route.split(" ")
    name = row.name.format(n=n)
    if method == "DELETE" and "{kinds}" in path and dataset != NONE:
        served.repository.dataset(dataset).branch(name)
    if row.own and dataset != NONE:
        served.make(dataset + OWN)
    if "/jobs/{id}" in path:
        id = "20200101T000000000000-000000000000" if dataset == NONE else served.job(dataset, ended="events" in path)
        path = path.replace("{id}", id)
    filled = path.format(
        dataset=dataset + OWN * row.own,
        id=f"{dataset}@main",
        revision="main",
        kinds="branches",
        name=name,
        alias="kept",
        key="0" * 32,
    )
    body = row.body
    if body == "receipt":
        body = {"receipt": {**served.receipts.get(dataset, served.receipts[B]), "dataset": dataset}}
    elif body is not None:
        body = json.loads(json.dumps(body).replace("{n}", str(n)).replace("{dataset}", dataset))
    query = row.query.format(dataset=dataset)
    return method, filled + (f"?{query}" if query else ""), {} if body is None else {"json": body}


CELLS = [(route, caller) for route in ROWS for caller in CALLERS]


@pytest.mark.parametrize(("route", "caller"), CELLS, ids=[f"{route} {caller}" for route, caller in CELLS])
def test_each_route_answers_as_the_key_allows(served: Served, route: str, caller: str) -> None:
    row, n = ROWS[route], CELLS.index((route, caller))
    answers = {}
    for dataset in (A, B, NONE):
        method, path, how = request(served, route, row, dataset, n)
        answers[dataset] = answer = served.ask(caller, method, path, **how)
        assert answer.status_code == expected(row, caller, dataset), (dataset, answer.text)
        if answer.status_code >= 400:
            assert_problem(answer)
    if caller in ("read", "write", "admin"):  # of A
        for secret in served.secrets(B + OWN * row.own):
            assert secret not in told(answers[B]) + told(answers[NONE])
        assert anonymous(answers[B], B) == anonymous(answers[NONE], NONE)


def told(answer: Any) -> str:
    return f"{answer.headers}\n{answer.text}"


def anonymous(answer: Any, dataset: str) -> tuple[int, list[tuple[str, str]], str]:
    """An answer without what differs from request to request, and without the name that was asked for."""
    skipped = ("date", "x-request-id", "etag")
    headers = [(name, value) for name, value in answer.headers.items() if name not in skipped]
    text = answer.text.replace(answer.headers["x-request-id"], "ID").replace(dataset, "NAME")
    text = re.sub(r"\d{8}T\d{12}-[0-9a-f]{12}", "JOB", text)
    return answer.status_code, headers, text


def assert_problem(answer: Any) -> Json:
    """An error as the contract says."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem: Json = answer.json()
    wanted = {"type", "title", "status", "detail", "category", "code", "hint", "context", "instance"}
    assert set(problem) - {"error", "hint_python"} == wanted
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"urn:vecver:error:{problem['code']}"
    assert problem["instance"] == answer.headers["x-request-id"]
    assert all(isinstance(problem[name], str) and problem[name] for name in wanted - {"status", "context"}), problem
    assert isinstance(problem["context"], dict)
    assert_no_place(answer.text)
    return problem


PLACES = [tempfile.gettempdir(), sys.prefix, str(Path.home()), os.getcwd(), "site-packages", "Traceback", 'File "']


def assert_no_place(text: str) -> None:
    """No path of this machine, and no trace of the code."""
    for place in PLACES:
        assert place not in text, text[:2000]


# -- by other ways -------------------------------------------------------------------------------


def forms(id: str) -> list[str]:
    """Revisions that would name a commit, were it of this dataset."""
    dated = ["@{2100-01-01}", "tag-bravo@{2100-01-01}", "bravo@main", "../bravo/branches/main", "bravo%2Fmain"]
    return [id, id[:12], id[:4], f"{id}~0", f"{id}~1", f"{id[:16]}^", f"git:{id[:12]}", "tag-bravo", *dated]


def test_a_revision_of_one_dataset_does_not_open_another(served: Served) -> None:
    """The commit id of another dataset is answered like an unknown one."""
    docs = served.repository.dataset(B)
    for commit in docs.log("main"):
        for revision, none in zip(forms(commit.id), forms("f" * 64), strict=True):
            if revision.startswith("@{"):
                continue  # names a version of A's own
            answers = []
            for asked in (revision, none):
                search = {"vector": QUERY, "ref": asked}
                ways: list[tuple[str, str, Json]] = [
                    ("POST", f"/v1/datasets/{A}/search", {"json": search}),
                    ("POST", f"/v1/vector_stores/{A}@{asked}/search", {"json": {"query": "q"}}),
                    ("GET", f"/v1/vector_stores/{A}@{asked}", {}),
                    ("GET", f"/v1/datasets/{A}/commits/{asked}", {}),
                    ("GET", f"/v1/datasets/{A}/commits", {"params": {"ref": asked}}),
                    ("GET", f"/v1/datasets/{A}/commits", {"params": {"cursor": asked}}),
                    ("GET", f"/v1/datasets/{A}/documents", {"params": {"ref": asked}}),
                    ("GET", f"/v1/datasets/{A}/documents", {"params": {"cursor": f"{asked}:"}}),
                    ("GET", f"/v1/datasets/{A}/diff", {"params": {"from": asked, "to": "main"}}),
                    ("GET", f"/v1/datasets/{A}/diff", {"params": {"from": "main", "to": asked}}),
                    ("GET", f"/v1/datasets/{A}/drift", {"params": {"from": asked, "to": "main"}}),
                    ("GET", f"/v1/datasets/{A}/sketch", {"params": {"ref": asked}}),
                    ("GET", f"/v1/datasets/{A}/publication", {"params": {"ref": asked}}),
                    ("GET", f"/v1/datasets/{A}/branches/{asked}", {}),
                    ("GET", f"/v1/datasets/{A}/tags/{asked}/moves", {}),
                    ("PUT", f"/v1/datasets/{A}/branches/leak", {"json": {"ref": asked}}),
                    ("PUT", f"/v1/datasets/{A}/aliases/leak", {"json": {"ref": asked}}),
                    ("POST", f"/v1/datasets/{A}/promote", {"json": {"alias": "leak", "ref": asked}}),
                    ("POST", f"/v1/datasets/{A}/rollback", {"json": {"ref": "prod", "to": asked}}),
                    ("POST", f"/v1/datasets/{A}/publish", {"json": {"ref": asked}}),
                    ("DELETE", f"/v1/datasets/{A}/branches/{asked}", {}),
                ]
                for method, path, how in ways:
                    answer = served.ask("admin", method, path, **how)
                    assert answer.status_code in (404, 422), (method, path, how, answer.text)
                    problem = assert_problem(answer)
                    answers.append((asked, answer.status_code, problem["code"], str(problem).replace(asked, "REV")))
            half = len(answers) // 2
            for theirs, nobodys in zip(answers[:half], answers[half:], strict=True):
                assert theirs[1:3] == nobodys[1:3]
                for secret in served.secrets(B):
                    assert secret not in theirs[3] or secret in theirs[0]


@pytest.mark.parametrize("field", ["dataset", "commit", "revision"])
@pytest.mark.parametrize("value", ["", None, 1, [A], {A: A}, f"{A}/../{B}", f"{A}\0", "*"], ids=repr)
def test_a_receipt_does_not_open_another_dataset(served: Served, field: str, value: Any) -> None:
    for name in (A, B):
        receipt = {**served.receipts[name], field: value}
        answer = served.ask("read", "POST", "/v1/replay", json={"receipt": receipt})
        if field == "dataset" or name == B:
            assert answer.status_code in (403, 404, 422), answer.text
            assert_problem(answer)
        for secret in served.secrets(B):
            assert secret not in told(answer)


def test_a_receipt_that_mixes_datasets_is_refused(served: Served) -> None:
    mine, theirs = served.receipts[A], served.receipts[B]
    names = [name for name in mine if name != "dataset"]
    for name in names:
        answer = served.ask("read", "POST", "/v1/replay", json={"receipt": {**mine, name: theirs[name]}})
        missing = served.ask("read", "POST", "/v1/replay", json={"receipt": {**theirs, "dataset": A, name: mine[name]}})
        assert missing.status_code == (404 if name != "commit" else 200), missing.text
        assert answer.status_code == (404 if name == "commit" else 200), answer.text
        given = {str(value) for value in (theirs[name], *theirs["hits"])}
        for secret in served.secrets(B):
            assert secret not in answer.text or any(secret in value for value in given)
    lacking = {key: value for key, value in mine.items() if key != "dataset"}
    assert served.ask("read", "POST", "/v1/replay", json={"receipt": lacking}).status_code == 403
    assert served.ask("admin all", "POST", "/v1/replay", json={"receipt": lacking}).status_code == 422


def test_lists_hold_only_what_the_key_may_read(served: Served) -> None:
    served.job(A)
    hidden = served.job(B)
    for path in ("/v1/datasets", "/v1/jobs?limit=1000", f"/v1/jobs?dataset={B}", "/v1/vector_stores?limit=100"):
        for caller in ("read", "a key for what is not yet"):
            text = served.ask(caller, "GET", path).text
            assert hidden not in text and B not in text
            for secret in served.secrets(B):
                assert secret not in text
        assert (A in served.ask("read", "GET", path).text) == (B not in path)
        assert B in served.ask("read all", "GET", path).text
    after = {name: served.ask("read", "GET", f"/v1/vector_stores?after={name}@main") for name in (B, NONE)}
    assert anonymous(after[B], B) == anonymous(after[NONE], NONE) and after[B].status_code == 422


def test_errors_name_no_unreadable_dataset(served: Served) -> None:
    """An unknown name is answered without suggestions that the key may not see."""
    ways: list[tuple[str, str, Json]] = [
        ("GET", f"/v1/datasets/{NONE}", {}),
        ("GET", f"/v1/datasets/{NONE}/commits", {}),
        ("GET", f"/v1/datasets/{NONE}/tags/{NONE}", {}),
        ("POST", f"/v1/datasets/{NONE}/search", {"json": {"query": "q"}}),
        ("POST", f"/v1/datasets/{NONE}/publish", {"json": {}}),
        ("GET", f"/v1/vector_stores/{NONE}", {}),
        ("POST", "/v1/replay", {"json": {"receipt": {**served.receipts[B], "dataset": NONE}}}),
        ("POST", "/v1/replay", {"json": {"receipt": {**served.receipts[B], "dataset": NONE, "commit": "main"}}}),
    ]
    for method, path, how in ways:
        answer = served.ask("a key for what is not yet", method, path, **how)
        assert answer.status_code == 404, answer.text
        assert_problem(answer)
        assert A not in answer.text and B not in answer.text
        for secret in served.secrets(B):
            assert secret not in told(answer)


def test_a_rename_needs_rights_to_the_new_name(served: Served) -> None:
    """The answer is the same whether a dataset of that name exists or not."""
    served.make(A + OWN)
    answers = {to: served.ask("admin", "POST", f"/v1/datasets/{A}{OWN}/rename", json={"to": to}) for to in (B, NONE)}
    assert [answer.status_code for answer in answers.values()] == [403, 403]
    assert anonymous(answers[B], B) == anonymous(answers[NONE], NONE)
    assert A + OWN in served.repository.datasets() and NONE not in served.repository.datasets()


def test_idempotency_keys_of_two_callers_are_separate(served: Served) -> None:
    """The stored answer of one key is not given to another key that sends the same request."""
    path, headers = f"/v1/datasets/{A}/publish", {"idempotency-key": "the-same"}
    first = served.ask("write", "POST", path, json={}, headers=headers).json()["id"]
    assert served.ask("write", "POST", path, json={}, headers=headers).json()["id"] == first
    assert served.ask("admin", "POST", path, json={}, headers=headers).json()["id"] != first
    assert served.ask("read", "POST", path, json={}, headers=headers).status_code == 403
    assert served.ask("nobody", "POST", path, json={}, headers=headers).status_code == 401


def test_a_missing_key_is_answered_with_www_authenticate(served: Served) -> None:
    for caller in ("nobody", "a wrong key", "a revoked key"):
        answer = served.ask(caller, "GET", "/v1/datasets")
        assert answer.headers["www-authenticate"] == "Bearer"
    token = served.tokens["read"]
    wrong = [f"Basic {token}", f"Bearer {token}x", f"Bearer  {str(token)[:-1]}", "Bearer", "", f"{token}", "Bearer é"]
    for given in wrong:
        answer = served.ask("nobody", "GET", "/v1/datasets", headers={"authorization": given.encode()})
        assert answer.status_code == 401, given
    assert served.ask("nobody", "GET", "/v1/datasets", headers={"authorization": f"bearer {token}"}).status_code == 200


def test_answers_hold_no_path_of_this_machine_and_no_traceback(
    served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An error of any kind, raised where a route does its work."""
    from vecver.errors import BackendError, IntegrityError

    place = f"{served.place}/kb/segments/x, {served.place}/state/jobs, {sys.prefix}/lib, {Path.home()}/x, {tmp_path}"
    about: Json = {"code": "x", "hint": place, "path": place, "deep": [{"in": Path(place)}]}
    raised = [
        (IntegrityError(place, **about), 500),
        (BackendError(place, **about), 503),
        (RuntimeError(place), 500),
        (OSError(28, "No space left on device", place), 503),
        (UnicodeEncodeError("utf-8", place, 0, 1, place), 500),
        (MemoryError(place), 500),
        (RecursionError(place), 500),
    ]
    for error, status in raised:

        def broken(*args: Any, error: Exception = error, **how: Any) -> None:
            raise error

        monkeypatch.setattr(vecver.Repository, "datasets", broken)
        answer = served.ask("admin all", "GET", "/v1/datasets")
        assert answer.status_code == status
        assert str(served.place) not in assert_problem(answer)["detail"]
        assert str(served.place) not in told(answer)


def test_commits_hold_no_path_of_this_machine(served: Served) -> None:
    for path in (f"/v1/datasets/{A}/commits", f"/v1/datasets/{A}/commits/main", "/v1/jobs?limit=1000"):
        assert_no_place(served.ask("read", "GET", path).text)
