"""Mistakes over HTTP: each is answered with what is wrong and what to send instead, and changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mistakes import state

import vecver
from vecver.errors import VecverError

# -- over HTTP ----------------------------------------------------------------------------------

SENT: list[tuple[str, str, Any, int, str, str]] = [
    (
        "POST",
        "/v1/datasets/handbok/search",
        {"query": "q"},
        404,
        "no dataset 'handbok'",
        "did you mean 'handbook'|GET ",
    ),
    ("POST", "/v1/datasets/handbook/search", {"query": "q", "ref": "mian"}, 404, "no revision", "mean 'main'|GET "),
    ("POST", "/v1/datasets/handbook/search", {"query": "q", "k": 0}, 422, "k", ""),
    ("POST", "/v1/datasets/handbook/search", {"query": "q", "k": "abc"}, 422, "k", "/docs"),
    ("POST", "/v1/datasets/handbook/search", {"query": "q", "filter": {"yaer": 1}}, 422, "'yaer'", "year"),
    ("POST", "/v1/datasets/handbook/search", {"qurey": "q"}, 422, "body.qurey", "did you mean 'query'|/docs"),
    ("POST", "/v1/datasets/handbook/search", {"query": "q", "engine": "fais"}, 422, "engine", "/docs"),
    ("GET", "/v1/datasets/handbook/aliases/prd", None, 404, "no alias 'prd'", "GET /v1/datasets/handbook/aliases"),
    ("POST", "/v1/datasets/handbook/rollback", {"ref": "prd"}, 404, "no alias 'prd'", "did you mean 'prod'|GET "),
    ("POST", "/v1/datasets/handbook/promote", {"alias": "prod", "ref": "mian"}, 404, "'mian'", "did you mean 'main'"),
    ("PUT", "/v1/datasets/handbook/tags/2026-11", {"ref": "main"}, 409, "2026-11", "alias"),
    ("DELETE", "/v1/datasets/handbook/branches/main", None, 409, "only branch", "PUT /v1/datasets/handbook/branches"),
    ("GET", "/v1/jobs/none", None, 404, "no job 'none'", "GET /v1/jobs"),
    ("GET", "/v1/search", None, 404, "no such route", "/docs"),
    ("POST", "/v1/replay", {"receipt": {}}, 422, "not a receipt", ""),
    (
        "POST",
        "/v1/datasets/handbook/ingest",
        {"documents": [{"id": "a", "text": "x"}]},
        422,
        "the source has no name",
        "?label=NAME",
    ),
]


@pytest.fixture(scope="module")
def service(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(URL, key) of a service over the repository."""
    pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
    from serving import running
    from vecver_service.app import create_app
    from vecver_service.settings import ServiceSettings
    from vecver_service.state.keys import Keys

    settings = ServiceSettings(state=str(tmp_path_factory.mktemp("state")))
    _, key = Keys(settings.keys_file("")).add("alice", ["*:admin"])
    with running(create_app(vecver.open(place / ".vecver"), settings)) as url:
        yield url, key


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "detail", "hint"),
    SENT,
    ids=[f"{n}-{one[0]} {one[1]}" for n, one in enumerate(SENT)],
)
def test_over_http(
    place: Path, service: tuple[str, str], method: str, path: str, body: Any, status: int, detail: str, hint: str
) -> None:
    import httpx2

    before = state(place)
    url, key = service
    answer = httpx2.request(method, url + path, json=body, headers={"Authorization": f"Bearer {key}"})
    problem = answer.json()
    assert answer.status_code == problem["status"] == status, problem
    assert detail in problem["detail"] and problem["hint"] and str(place) not in answer.text
    assert all(word in problem["hint"] for word in hint.split("|")), problem["hint"]
    assert not re.search(r"(?<![\w-])--[a-z]|docs\.[a-z]+\(|repo\.[a-z]+\(", problem["hint"]), problem["hint"]
    assert "`vecver" not in problem["hint"] or "operator" in problem["hint"]
    assert state(place) == before


def test_a_wrong_key_and_none_say_what_to_send(service: tuple[str, str]) -> None:
    import httpx2

    url, _ = service
    for headers in ({}, {"Authorization": "Bearer vv_wrong"}):
        problem = httpx2.get(url + "/v1/datasets", headers=headers).json()
        assert problem["status"] == 401 and "Authorization: Bearer KEY" in problem["hint"]
    with pytest.raises(vecver.AccessError) as caught:
        vecver.connect(url, "vv_wrong")
    assert "api_key" in caught.value.hint


def test_hints_for_the_python_client_name_python_calls(service: tuple[str, str]) -> None:
    with vecver.connect(*service) as remote:
        with pytest.raises(vecver.NotFoundError) as caught:
            remote.dataset("handbook").search("q", at="mian")
        assert "did you mean 'main'? docs.log()" in caught.value.hint
        assert caught.value.context["did_you_mean"] == ["main"]


def test_errors_do_not_suggest_names_that_the_key_may_not_read(place: Path, tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
    from serving import running
    from vecver_service.app import create_app
    from vecver_service.settings import ServiceSettings
    from vecver_service.state.keys import Keys

    settings = ServiceSettings(state=str(tmp_path))
    _, key = Keys(settings.keys_file("")).add("bob", ["handbok:read"])
    with (
        running(create_app(vecver.open(place / ".vecver"), settings)) as url,
        vecver.connect(url, key) as remote,
        pytest.raises(VecverError) as caught,
    ):
        remote.dataset("handbok").search("q")
    assert caught.value.code == "dataset_not_found" and "handbook" not in str(caught.value.context) + caught.value.hint
