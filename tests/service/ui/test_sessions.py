"""Sessions: they end where they are signed out, forms come from here, and all of it holds behind a proxy's prefix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("jinja2", reason="no jinja2: install vecver[service]")

from visited import Page, Visited, visited

ROOT = "/kb"
PAGES = ("", "/documents", "/document?id=guide/boiler.md", "/search?q=x", "/refs", "/work", "/diff", "/nothing")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    with visited(tmp_path_factory.mktemp("sessions")) as service:
        yield service


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    with visited(tmp_path_factory.mktemp("mounted"), root_path=ROOT) as service:
        yield service


# -- signing out --------------------------------------------------------------------------------------


def test_signing_out_ends_the_session_wherever_its_cookie_was_copied_to(service: Visited) -> None:
    service.sign_in("reader")
    ((name, copied),) = service.client.cookies.items()
    token = Page(service.page("/")).field("form_token")
    service.sign_in("writer")
    ((_, other),) = service.client.cookies.items()
    service.client.cookies.clear()

    def status(cookie: str) -> int:
        return service.client.get("/", headers={"Cookie": f"{name}={cookie}"}, follow_redirects=False).status_code

    assert (status(copied), status(other)) == (200, 200)
    service.client.cookies.set(name, copied)
    assert service.client.post("/sign-out", data={"form_token": token}, follow_redirects=False).status_code == 303
    service.client.cookies.clear()
    assert (status(copied), status(other)) == (303, 200), "the other session goes on"


def test_what_is_kept_of_ended_sessions_goes_when_they_would_have_ended(tmp_path: Path) -> None:
    import time

    from vecver_service.state.database import Database
    from vecver_service.state.session_secret import EndedSessions, session_secret

    database = Database(tmp_path)
    secret, ended = session_secret(database), EndedSessions(database)
    ended.add("old", time.time() - 1)
    ended.add("new", time.time() + 60)
    assert "new" in EndedSessions(Database(tmp_path)) and "old" not in ended and "other" not in ended
    assert session_secret(database) == secret, "nothing else goes"


# -- forms --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Origin": "http://testserver"}, 303),
        ({"Origin": "http://testserver:81"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://kb.example", "X-Forwarded-Host": "kb.example"}, 303),
        ({"Origin": "https://kb.example", "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "http://testserver", "Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_a_visitor_signs_in_from_a_page_of_this_service_alone(
    service: Visited, headers: dict[str, str], status: int
) -> None:
    service.client.cookies.clear()
    data = {"key": service.keys["reader"]}
    answer = service.client.post("/sign-in", data=data, headers=headers, follow_redirects=False)
    assert answer.status_code == status and ("set-cookie" in answer.headers) == (status == 303)


# -- behind a proxy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("handed_on", ["", ROOT])
def test_every_address_of_a_page_begins_with_what_the_proxy_puts_before(mounted: Visited, handed_on: str) -> None:
    client = mounted.client
    client.cookies.clear()
    away = client.get(f"{handed_on}/datasets/handbook/search?q=x", follow_redirects=False)
    assert away.headers["location"] == f"{ROOT}/sign-in?next=%2Fdatasets%2Fhandbook%2Fsearch%3Fq%3Dx"
    form = Page(client.get(f"{handed_on}/sign-in?next=/datasets/handbook").text)
    assert "http://testserver/kb" in form.text
    data = {"key": mounted.keys["all"], "next": form.field("next")}
    entered = client.post(f"{handed_on}/sign-in", data=data, follow_redirects=False)
    assert entered.headers["location"] == f"{ROOT}/datasets/handbook" and "Path=/kb/" in entered.headers["set-cookie"]
    ((name, cookie),) = [part.split("=", 1) for part in [entered.headers["set-cookie"].split(";")[0]]]
    client.cookies.clear()
    signed = {"Cookie": f"{name}={cookie}"}
    for page in ("/", "/work", "/work/audit", "/sign-in", *(f"/datasets/handbook{rest}" for rest in PAGES)):
        html = client.get(handed_on + page, headers=signed).text
        held = Page(html).elements
        made = [values.get(name) for _, values in held for name in ("href", "action", "src") if values.get(name)]
        assert len(made) > 5 and [each for each in made if not str(each).startswith((f"{ROOT}/", "#"))] == [], page
    assert client.get(f"{handed_on}/static/app.css").status_code == 200
    token = Page(html).field("form_token")
    out = client.post(f"{handed_on}/sign-out", data={"form_token": token}, headers=signed, follow_redirects=False)
    assert out.headers["location"] == f"{ROOT}/sign-in" and "Path=/kb/" in out.headers["set-cookie"]


def test_routes_and_their_schema_are_behind_the_proxy_too(mounted: Visited) -> None:
    key = {"Authorization": f"Bearer {mounted.keys['all']}"}
    for handed_on in ("", ROOT):
        assert mounted.client.get(f"{handed_on}/v1/datasets", headers=key).json()["datasets"]
        question = {"vector": [1.0] + [0.0] * 7, "k": 1}
        answer = mounted.client.post(f"{handed_on}/v1/datasets/handbook/search", json=question, headers=key)
        assert len(answer.json()["hits"]) == 1
        assert (
            mounted.client.get(f"{handed_on}/v1/nothing", headers=key)
            .headers["content-type"]
            .startswith("application/problem")
        )
    assert mounted.client.get("/openapi.json").json()["servers"] == [{"url": ROOT}]
    assert "/kb/openapi.json" in mounted.client.get("/docs").text
    assert mounted.client.get("/kbx/datasets", headers=key).status_code in (401, 404), "not a part of it"


@pytest.mark.parametrize("root", ["kb", "/v1", "/datasets/x", "/k b", "/kb/?x", "//kb", "/kb/..//"])
def test_a_root_path_that_cannot_be_is_refused(root: str) -> None:
    from vecver_service.settings import load_settings

    from vecver.errors import InvalidInputError

    with pytest.raises(InvalidInputError, match="VECVER_ROOT_PATH"):
        load_settings(root_path=root)
    assert load_settings(root_path="/").root_path == "" and load_settings(root_path="/a/kb/").root_path == "/a/kb"
