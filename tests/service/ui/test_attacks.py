"""Attacks on the pages: every page with the key of another dataset, forged cookies, commands that are pasted."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("jinja2", reason="no jinja2: install vecver[service]")

from helpers import records
from vecver_service import ui
from vecver_service.ui.commands import command
from vecver_service.ui.pages.diffs import _words
from visited import TEXTS, Page, Visited, visited

SHELL = "a.md; touch hacked $(touch hacked) `touch hacked` 'x' | cat"
PASTED = "first\ntouch hacked\x03\n\x1b[201~touch hacked\n'\\é\u202e"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    with visited(tmp_path_factory.mktemp("attacked")) as service:
        yield service


def routes() -> list[tuple[str, str]]:
    """(method, path) of every page and form."""
    found = [(method, route.path) for router in ui.ROUTERS for route in router.routes for method in route.methods]
    assert len(found) > 20
    return sorted(found)


# Of each route with no dataset in its path, what a key for another dataset is answered with. A page that is not here
# fails the test: it must be looked at.
FREE = {
    ("GET", "/"): 200,
    ("GET", "/work"): 200,
    ("GET", "/work/audit"): 403,
    ("GET", "/work/audit.jsonl"): 403,
    ("GET", "/sign-in"): 200,
    ("POST", "/sign-in"): 401,
    ("POST", "/sign-out"): 303,
    ("GET", "/static/{name}"): 200,
}
# What each form needs, beside the right to write.
FORMS = {
    "/datasets/{dataset}/refs/promote": {"alias": "prod", "to": "main"},
    "/datasets/{dataset}/refs/rollback": {"alias": "prod"},
    "/datasets/{dataset}/refs/approve": {"alias": "prod", "commit": "main"},
    "/datasets/{dataset}/refs/reject": {"alias": "prod", "reason": "no"},
    "/datasets/{dataset}/measures/measure": {"what": "recall"},
    "/datasets/{dataset}/work/{id}/cancel": {},
    "/datasets/{dataset}/work/ingest": {},
    "/datasets/{dataset}/replay": {"receipt": "{}"},
}
CSP = "content-security-policy"
_READS = ("/datasets/{dataset}/replay",)  # forms that change nothing
_QUERY = urlencode({"id": "guide/boiler.md", "q": "boiler", "at": "main", "source": "s"})


def ask(service: Visited, method: str, path: str, dataset: str, token: str) -> Any:
    """The answer to a request for a page or a form."""
    filled = path.format(dataset=dataset, revision="main", id="guide", name="app.css")
    if method == "GET":
        return service.client.get(f"{filled}?{_QUERY}", follow_redirects=False)
    fields = {**FORMS.get(path, {}), "form_token": token}
    return service.client.post(f"{filled}?source=s&form_token={quote(token)}", data=fields, follow_redirects=False)


@pytest.mark.parametrize(("method", "path"), routes())
def test_a_key_of_another_dataset_opens_no_page_and_sends_no_form(service: Visited, method: str, path: str) -> None:
    service.sign_in("other")
    token = Page(service.page("/")).field("form_token")
    stood = service.repository.dataset("handbook").resolve("prod")
    answer = ask(service, method, path, "handbook", token)
    if "{dataset}" in path:
        assert answer.status_code == 403 and "boiler wants" not in answer.text
        assert ask(service, method, path, "nowhere", token).status_code == 403
    else:
        assert answer.status_code == FREE[method, path] and "/datasets/handbook" not in answer.text
    assert service.repository.dataset("handbook").resolve("prod") == stood
    assert answer.headers["x-content-type-options"] == "nosniff" and "frame-ancestors" in answer.headers[CSP]


@pytest.mark.parametrize("path", [path for method, path in routes() if method == "POST" and path in FORMS])
def test_every_form_needs_its_token_and_the_right_to_write(service: Visited, path: str) -> None:
    service.sign_in("reader")
    token = Page(service.page("/datasets/handbook/search?q=")).field("form_token")
    expected = 422 if path in _READS else 403
    assert ask(service, "POST", path, "handbook", token).status_code == expected
    service.sign_in("writer")
    for wrong in ("", "é", "0" * 64):
        answer = ask(service, "POST", path, "handbook", wrong)
        assert answer.status_code == 403 and "older than the session" in answer.text, wrong


def test_every_form_is_in_the_table() -> None:
    assert {path for method, path in routes() if method == "POST" and "{dataset}" in path} == set(FORMS)


# -- sessions -----------------------------------------------------------------------------------------


def test_a_cookie_of_another_program_at_this_machine_ends_no_session(service: Visited) -> None:
    service.sign_in("reader")
    ((name, value),) = service.client.cookies.items()
    service.client.cookies.clear()
    for other in ('prefs={"theme": "dark"}', "path=/", "a=b c", "=", "broken"):
        answer = service.client.get("/", headers={"Cookie": f"{other}; {name}={value}"}, follow_redirects=False)
        assert answer.status_code == 200, other
    odd = service.client.get("/", headers={"Cookie": f'{name}="a.\\351"'}, follow_redirects=False)
    assert odd.status_code == 303, "a digest that is no ASCII"


def test_another_site_cannot_sign_a_visitor_in(service: Visited) -> None:
    service.client.cookies.clear()
    answer = service.client.post(
        "/sign-in",
        data={"key": service.keys["reader"]},
        headers={"Sec-Fetch-Site": "cross-site"},
        follow_redirects=False,
    )
    assert answer.status_code == 403 and "set-cookie" not in answer.headers


def test_the_session_of_vecver_ui_ends_with_its_process(tmp_path: Path) -> None:
    from fastapi.testclient import TestClient
    from vecver_service.app import create_app
    from vecver_service.settings import ServiceSettings

    with visited(tmp_path, token="a token") as service:
        service.client.get("/sign-in?token=a+token")
        ((name, value),) = service.client.cookies.items()
        assert service.client.get("/", follow_redirects=False).status_code == 200
        for token in (None, "another"):
            app = create_app(service.repository, ServiceSettings(state=str(tmp_path / "state")), token=token)
            client = TestClient(app, cookies={name: value})
            assert client.get("/datasets/secret", follow_redirects=False).status_code == 303, token


def test_a_long_address_asks_to_sign_in_too(service: Visited) -> None:
    service.client.cookies.clear()
    answer = service.client.get("/datasets/handbook/search?q=" + "x" * 5000)
    assert answer.status_code == 200 and "API key" in answer.text


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/datasets/handbook/refs/promote", {"alias": "a" * 900, "to": "main"}),
        ("/datasets/handbook/refs/promote", {"alias": "prod", "to": "main", "gates": "x" * 900}),
        ("/datasets/handbook/refs/approve", {"alias": "prod", "commit": "x" * 900}),
        ("/datasets/handbook/refs/reject", {"alias": "a" * 900, "reason": "no"}),
        ("/datasets/handbook/replay", {"receipt": "[" * 200_000}),
    ],
)
def test_a_form_with_values_that_cannot_be_is_refused_by_name(
    service: Visited, path: str, fields: dict[str, str]
) -> None:
    service.sign_in("all")
    token = Page(service.page("/")).field("form_token")
    answer = service.client.post(path, data={**fields, "form_token": token})
    assert answer.status_code == 422 and "What to do" in answer.text


def test_a_filter_that_is_nested_too_deeply_is_refused(service: Visited) -> None:
    service.sign_in("all")
    query = urlencode({"q": "x", "at": "main", "filter": '{"$and":[' * 1100})
    assert service.client.get(f"/datasets/handbook/search?{query}").status_code == 422


# -- commands -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("hostile", [SHELL, PASTED, "-rf", "--help", "~", "a\\", "!!", "", "{a,b}", "$HOME", "#"])
def test_a_command_that_is_pasted_stays_one_call_with_its_arguments(tmp_path: Path, hostile: str) -> None:
    text = command("cat", "handbook@main", hostile, options=["-k", "5"])
    assert text.isprintable()
    script = f"vecver() {{ printf '%s\\0' \"$@\"; }}\n{text}\n"
    run = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    words = run.stdout.decode().split("\0")[:-1]
    assert not list(tmp_path.iterdir()) and [word for word in words if word != "--"][:1] == ["cat"]
    assert hostile in words and "handbook@main" in words
    if hostile.startswith("-"):
        assert words == ["cat", "-k", "5", "--", "handbook@main", hostile]


def test_commands_on_pages_are_quoted(service: Visited) -> None:
    docs = service.repository.dataset("shelled")
    docs.ingest(records({SHELL: "text"}), space="test")
    docs.ingest(records({SHELL: "another"}), space="test")
    service.sign_in("all")
    pages = {
        f"/datasets/shelled/document?{urlencode({'id': SHELL})}": ["vecver", "cat", "shelled@main", SHELL],
        f"/datasets/shelled/diff?{urlencode({'from': 'main~1', 'to': 'main', 'document': SHELL})}": [
            "vecver",
            "diff",
            "shelled",
            "main~1",
            "main",
            SHELL,
        ],
        f"/datasets/shelled/refs?{urlencode({'alias': SHELL, 'to': SHELL})}": [
            "vecver",
            "promote",
            "shelled",
            SHELL,
            SHELL,
        ],
    }
    for address, words in pages.items():
        html = service.page(address)
        (copied,) = [values["data-copy"] for _, values in Page(html).elements if values.get("data-copy")]
        assert copied and shlex.split(copied) == words
        assert re.findall(r"<code>(vecver [^<]*)</code>", html), address


# -- time ---------------------------------------------------------------------------------------------


def test_words_that_repeat_each_other_are_compared_at_once() -> None:
    """Two texts of 2,000 equal words took two minutes."""
    before, after = _words("a " * 999, "b a " * 499)
    assert "".join(text for _, text in before) == "a " * 999 and "".join(text for _, text in after) == "b a " * 499


def test_the_diff_of_a_long_document_comes_in_pages(service: Visited) -> None:
    docs = service.repository.dataset("long")
    texts = [" ".join(f"{word}{number}" for word in TEXTS["guide/radiator.md"].split()) for number in range(1100)]
    docs.ingest([{"id": "long.md", "text": "\n\n".join(texts)}], embedder="hashing")
    docs.ingest([{"id": "long.md", "text": "\n\n".join(text.replace("key", "lock") for text in texts)}])
    service.sign_in("all")
    address = "/datasets/long/diff?from=main~1&to=main&document=long.md"
    first, second = Page(service.page(address)), Page(service.page(f"{address}&page=2"))
    chunks = docs.show("main").counts["chunks"]
    assert chunks > 200
    assert len([tag for tag, _ in first.elements if tag == "tr"]) == 201 and "lock0" in first.text
    assert f"Page 2 of {-(-chunks // 200)}" in second.text and "lock0 " not in second.text
