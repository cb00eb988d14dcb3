"""The published schema is the truth: schemathesis sends what it allows and what it forbids, and checks every answer.

Not checked: that what the schema allows is accepted. Which filter fits which documents, and which vector which space,
no schema can say.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
httpx = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")
schemathesis = pytest.importorskip("schemathesis", reason="no schemathesis: install vecver[test]")

from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402
from serving import running  # noqa: E402
from vecver_service.app import create_app  # noqa: E402
from vecver_service.schemas.fields import BODIES  # noqa: E402
from vecver_service.schemas.requests import Gated, Request  # noqa: E402
from vecver_service.settings import ServiceSettings  # noqa: E402
from vecver_service.state.jobs import FINAL  # noqa: E402
from vecver_service.state.keys import Keys  # noqa: E402

import vecver  # noqa: E402

Json = dict[str, Any]
NAMES = {"branches": "side", "tags": "v1", "aliases": "prod"}


class Served:
    """A service with everything that there can be in it."""

    def __init__(self, url: str, key: str, receipt: Json) -> None:
        self.url, self.headers, self.receipt = url, {"Authorization": f"Bearer {key}"}, receipt
        self.job = self._ingested()

    def _ingested(self) -> str:
        with httpx.Client(base_url=self.url, headers=self.headers, timeout=60) as client:
            body = {"documents": [{"id": "new", "text": "one more text"}]}
            id: str = client.post("/v1/datasets/texts/ingest?label=new", json=body).json()["id"]
            while client.get(f"/v1/jobs/{id}").json()["state"] not in FINAL:
                time.sleep(0.05)
            return id


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("contract")
    repository = vecver.open(place / "kb", create=True, author="tester")
    docs = repository.dataset("texts")
    for year in (2024, 2025):
        texts = [{"id": f"doc-{i}", "text": f"text {i} of {year}", "year": year, "lang": "en"} for i in range(5)]
        docs.ingest(texts, embedder="hashing")
    docs.branch("side")
    docs.tag("v1")
    docs.promote("prod", "main~1")
    docs.promote("prod")
    settings = ServiceSettings(state=str(place / "state"))
    _, key = Keys(settings.keys_file("")).add("alice", ["*:admin"])
    with running(create_app(repository, settings)) as url:
        yield Served(url, key, docs.search("text", k=3).receipt)


def published() -> Any:
    """The schema of a service, from its JSON."""
    with TemporaryDirectory() as state:
        app = create_app(vecver.open("memory://", create=True), ServiceSettings(state=state))
        return schemathesis.openapi.from_dict(json.loads(json.dumps(app.openapi())))


schema = published()
HOW: Json = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True, "database": None}


@pytest.mark.filterwarnings("ignore:Skipped test cases with unsupported payload media types")  # lines of JSON
@schema.parametrize()
@settings(max_examples=10, **HOW)
def test_every_answer_is_as_the_schema_says(served: Served, case: Any) -> None:
    conforms(served, case)


@pytest.mark.deep
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore:Skipped test cases with unsupported payload media types")
@schema.parametrize()
@settings(max_examples=500, **HOW)
def test_every_answer_is_as_the_schema_says_deep(served: Served, case: Any) -> None:
    conforms(served, case)


def conforms(served: Served, case: Any) -> None:
    """Send a case, most of them at what is there, and check the answer."""
    sent = json.dumps([case.path, case.path_parameters, case.query, case.body], default=str, sort_keys=True)
    number = zlib.crc32(sent.encode())
    careful = case.path.endswith(("/ingest", "/upsert", "/rename", "{dataset}"))
    if number % 6 or careful:  # else as it is: of what is not there
        aimed(served, case)
    if number % 6 and case.meta.generation.mode.is_positive:
        accepted(served, case, f"n{number}")
    known = not case.operation.security or "Authorization" in (case.headers or {})
    headers = served.headers if known else {}  # it is to be tried without a key
    excluded = [positive_data_acceptance]
    case.call_and_validate(base_url=served.url, headers=headers, timeout=60, excluded_checks=excluded)


def aimed(served: Served, case: Any) -> None:
    """Let a case name what there is, where it names something that might be."""
    given = case.path_parameters
    there = {"dataset": "texts", "revision": "main~1", "name": NAMES.get(given.get("kinds", ""), "main")}
    there["id"] = "texts@prod" if "vector_stores" in case.path else served.job
    if case.path.endswith("/rename") or (case.method == "DELETE" and case.path.endswith("{dataset}")):
        there["dataset"] = "nothing"  # the others need theirs
    given.update({name: value for name, value in there.items() if len(given.get(name, "x" * 999)) <= 300})
    refs = {"ref": "main", "from": "main~1", "to": "prod", "alias": "prod"}
    body = case.body if isinstance(case.body, dict) else {}
    for holder in (case.query or {}, body):
        named = [name for name in refs if isinstance(holder.get(name), str) and len(holder[name]) <= 300]
        holder.update({name: refs[name] for name in named})
    if isinstance(body.get("receipt"), dict):
        body["receipt"] = {**served.receipt, **body["receipt"]}
    if body.get("filter"):
        body["filter"] = {"lang": "en"} if isinstance(body["filter"], dict) else body["filter"]


def accepted(served: Served, case: Any, name: str) -> None:
    """Take out of a case that the schema allows what only these documents, or this ref, would refuse."""
    if case.path.endswith("{dataset}/search"):
        asked = case.body.get("query") or "text"
        case.body = {"query": asked, **{key: case.body[key] for key in ("k", "exact", "receipt") if key in case.body}}
    if case.path.endswith(("/ingest", "/upsert")):
        allowed = ("message", "keep_missing") if case.path.endswith("/ingest") else ("message",)
        harmless = {key: value for key, value in (case.query or {}).items() if key in allowed}
        case.query = {**harmless, "label": "x", "dry_run": "true"}
        case.body = {"documents": [{"id": "a", "text": "b"}]} if isinstance(case.body, dict) else case.body
    if case.method in ("PUT", "DELETE") and "{name}" in case.path:
        case.path_parameters.update(kinds="branches", name=name)
        case.headers = {key: value for key, value in case.headers.items() if not key.lower().startswith("if-")}
    if case.method == "DELETE" and "{name}" in case.path:
        place = f"{served.url}/v1/datasets/texts/branches/{name}"
        httpx.put(place, json={"ref": "main"}, headers=served.headers, timeout=60)


# -- the schema itself ---------------------------------------------------------------------------


def test_a_misspelt_field_is_compared_with_the_fields_of_every_body() -> None:
    assert set(BODIES) == subclasses(Request) - {Gated}  # what two of them share


def subclasses(body: type[Request]) -> set[type[Request]]:
    return {each for one in body.__subclasses__() for each in (one, *subclasses(one))}


def test_each_route_documents_its_problems() -> None:
    """Every documented error is a problem, and routes that need a key say so."""
    for path, methods in schema.raw_schema["paths"].items():
        for method, one in methods.items():
            errors = {status: told for status, told in one["responses"].items() if int(status) >= 400}
            assert {"401", "413", "429", "500", "503"} <= set(errors), (method, path)
            for told in errors.values():
                assert list(told["content"]) == ["application/problem+json"], (method, path)
            if not path.endswith("z"):
                assert one["security"] == [{"key": []}], (method, path)
            assert one["summary"] and one["description"]


def test_the_schema_is_openapi(served: Served) -> None:
    schema.validate()
    with httpx.Client(base_url=served.url, headers=served.headers, timeout=60) as client:
        assert client.get("/openapi.json").json() == schema.raw_schema
