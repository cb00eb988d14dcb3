"""The page of aliases: promote, roll back, gates that fail, a second person who approves; and who may do none of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("jinja2", reason="no jinja2: install vecver[service]")

from visited import Page, Visited, visited

PAGE = "/datasets/handbook/refs"
QUESTIONS = [{"vector": [1.0, 0, 0, 0, 0, 0, 0, 0], "documents": ["guide/boiler.md"]}]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Visited]:
    with visited(tmp_path) as service:
        yield service


def send(service: Visited, action: str, **fields: str) -> Any:
    """The answer to a form of the page, once its job, if it became one, has ended."""
    body = {"form_token": Page(service.page(PAGE)).field("form_token"), **fields}
    answer = service.client.post(f"{PAGE}/{action}", data=body)
    until = time.monotonic() + 120
    while "data-live" in answer.text and time.monotonic() < until:
        time.sleep(0.05)
        answer = service.client.get(str(answer.url))
    return answer


def test_prod_moves_to_the_newest_version_and_back(service: Visited) -> None:
    docs = service.repository.dataset("handbook")
    before, newest = docs.resolve("prod"), docs.resolve("main")
    service.sign_in("writer")
    assert f"prod serves {before[:7]}" in Page(service.page(PAGE)).text
    moved = send(service, "promote", alias="prod", to="main", seen=f"prod {before}")
    assert moved.status_code == 200 and docs.resolve("prod") == newest
    assert f"prod serves {newest[:7]}" in Page(moved.text).text and "writer" in moved.text
    back = send(service, "rollback", alias="prod", expected=newest)
    assert docs.resolve("prod") == before and "rollback" in back.text


def test_an_alias_that_moved_meanwhile_is_not_moved(service: Visited) -> None:
    docs = service.repository.dataset("handbook")
    service.sign_in("writer")
    seen = docs.resolve("prod")
    docs.promote("prod", "main~2")
    refused = send(service, "promote", alias="prod", to="main", seen=f"prod {seen}")
    assert refused.status_code == 409 and docs.resolve("prod") == docs.resolve("main~2")


def test_an_alias_that_somebody_else_made_meanwhile_is_not_moved(service: Visited) -> None:
    docs = service.repository.dataset("handbook")
    service.sign_in("writer")
    page = Page(service.page(PAGE))
    seen = [str(values["value"]) for _, values in page.elements if values.get("name") == "seen"]
    assert seen == [f"prod {docs.resolve('prod')}"]
    docs.promote("beta", "main~2")
    refused = send(service, "promote", alias="beta", to="main", seen=seen[0])
    assert refused.status_code == 409 and docs.resolve("beta") == docs.resolve("main~2")
    made = send(service, "promote", alias="gamma", to="main", seen=seen[0])
    assert made.status_code == 200 and docs.resolve("gamma") == docs.resolve("main")


def test_a_reader_is_offered_nothing_and_refused(service: Visited) -> None:
    service.sign_in("reader")
    page = Page(service.page(PAGE))
    assert not [
        values for tag, values in page.elements if tag == "form" and values.get("action", "/sign-out") != "/sign-out"
    ]
    before = service.repository.dataset("handbook").resolve("prod")
    for action in ("promote", "rollback", "approve", "reject"):
        assert send(service, action, alias="prod", to="main", commit=before, reason="x").status_code == 403
    assert service.repository.dataset("handbook").resolve("prod") == before


def test_a_gate_that_fails_is_named_and_the_alias_stays(service: Visited) -> None:
    pytest.importorskip("ir_measures", reason="no ir_measures: install vecver[eval]")
    docs = service.repository.dataset("handbook")
    docs.add_questions("support", QUESTIONS)
    before = docs.resolve("prod")
    service.sign_in("writer")
    failed = send(service, "promote", alias="prod", to="main", gates="Success@1 >= 1.5", questions="support")
    assert "Success@1 >= 1.5" in Page(failed.text).text and "failed" in failed.text
    assert docs.resolve("prod") == before
    assert "Override" not in service.page(PAGE), "a writer may not override"
    service.sign_in("all")
    assert "Override" in service.page(PAGE)


def test_a_second_person_approves_what_the_first_asked_for(service: Visited) -> None:
    docs = service.repository.dataset("handbook")
    before, newest = docs.resolve("prod"), docs.resolve("main")
    docs.set_policy("prod", ["ann_recall@1 >= 0.1"], approval=True)
    service.sign_in("writer")
    send(service, "promote", alias="prod", to="main", seen=f"prod {before}")
    assert docs.resolve("prod") == before and "asks to move prod" in Page(service.page(PAGE)).text
    own = send(service, "approve", alias="prod", commit=newest)
    assert own.status_code >= 400 and docs.resolve("prod") == before
    service.sign_in("all")
    approved = send(service, "approve", alias="prod", commit=newest)
    assert docs.resolve("prod") == newest and "approved by all" in Page(approved.text).text
