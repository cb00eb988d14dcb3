"""Pages: who may see them, that forms come from here, that texts stay texts, and that numbers are those of the face."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("jinja2", reason="no jinja2: install vecver[service]")

from visited import HOSTILE, TEXTS, Page, Visited, visited

QUESTION = TEXTS["guide/radiator.md"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    with visited(tmp_path_factory.mktemp("pages")) as service:
        yield service


def addresses(dataset: str, document: str) -> list[str]:
    """Every page of a dataset."""
    root = f"/datasets/{dataset}"
    return [
        root,
        f"{root}?{urlencode({'ref': 'main', 'q': 'a'})}",
        f"{root}/versions/main",
        f"{root}/documents",
        f"{root}/document?{urlencode({'id': document})}",
        f"{root}/diff?to=main",
        f"{root}/diff?{urlencode({'to': 'main', 'document': document})}",
        f"{root}/search",
        f"{root}/measures",
        f"{root}/work",
        f"{root}/refs",
    ]


# -- who may look -------------------------------------------------------------------------------------


def test_a_visitor_signs_in_sees_the_page_they_came_for_and_signs_out(service: Visited) -> None:
    client = service.client
    client.cookies.clear()
    wanted = "/datasets/handbook/diff?from=prod&to=main"
    asked = client.get(wanted, follow_redirects=False)
    assert asked.status_code == 303 and asked.headers["location"] == "/sign-in?" + urlencode({"next": wanted})
    assert Page(client.get(asked.headers["location"]).text).field("next") == wanted
    refused = client.post("/sign-in", data={"key": "vv_00000000_" + "A" * 43, "next": wanted})
    assert refused.status_code == 401 and "no key of this service" in refused.text and not client.cookies
    entered = client.post("/sign-in", data={"key": service.keys["reader"], "next": wanted}, follow_redirects=False)
    assert (entered.status_code, entered.headers["location"]) == (303, wanted)
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and service.keys["reader"] not in cookie
    page = service.page(wanted)
    left = client.post("/sign-out", data={"form_token": Page(page).field("form_token")}, follow_redirects=False)
    assert left.status_code == 303 and client.get(wanted, follow_redirects=False).status_code == 303


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "/v1/datasets", "x"])
def test_signing_in_goes_on_to_a_page_of_this_service_only(service: Visited, target: str) -> None:
    service.client.cookies.clear()
    entered = service.client.post(
        "/sign-in", data={"key": service.keys["reader"], "next": target}, follow_redirects=False
    )
    assert entered.headers["location"] == "/"


def test_a_session_ends_with_its_key(tmp_path: Path) -> None:
    from vecver_service.settings import ServiceSettings
    from vecver_service.state.keys import Keys

    with visited(tmp_path) as service:
        service.sign_in("reader")
        assert service.client.get("/", follow_redirects=False).status_code == 200
        keys = Keys(ServiceSettings(state=str(tmp_path / "state")).keys_file(service.repository.url))
        keys.revoke(next(key.id for key in keys.all() if key.name == "reader"))
        assert service.client.get("/", follow_redirects=False).status_code == 303


def test_a_cookie_that_was_not_signed_here_or_has_ended_lets_nobody_in(
    service: Visited, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.sign_in("reader")
    client = service.client
    ((name, value),) = client.cookies.items()
    body, _, digest = value.strip('"').partition(".")
    for forged in (body, f"{body}.", f"{body}.{digest[1:]}", f".{digest}", "x.y", f"{body}A.{digest}"):
        client.cookies.clear()
        client.cookies.set(name, forged)
        assert client.get("/", follow_redirects=False).status_code == 303, forged
    client.cookies.set(name, value)
    from vecver_service.ui import visitors

    now = visitors.time.time()
    monkeypatch.setattr(visitors.time, "time", lambda: now + visitors.SECONDS + 1)
    assert client.get("/", follow_redirects=False).status_code == 303


def test_a_key_of_another_dataset_sees_nothing_on_any_page(service: Visited) -> None:
    service.sign_in("other")
    start = service.page("/")
    assert "secret" in start and "handbook" not in start
    for address in addresses("handbook", "guide/boiler.md"):
        answer = service.client.get(address)
        assert answer.status_code == 403 and "boiler" not in answer.text.replace("guide/boiler.md", ""), address
        unknown = service.client.get(address.replace("handbook", "nowhere_"))
        assert unknown.status_code == 403
    receipt = service.repository.dataset("handbook").search(QUESTION_VECTOR, at="prod").receipt
    token = Page(start).field("form_token")
    posted = service.client.post("/datasets/secret/replay", data={"receipt": json.dumps(receipt), "form_token": token})
    assert posted.status_code == 422 and "not of secret" in posted.text


def test_a_form_that_another_page_sent_is_refused(service: Visited) -> None:
    service.sign_in("reader")
    receipt = json.dumps(service.repository.dataset("handbook").search(QUESTION_VECTOR, at="prod").receipt)
    good = Page(service.page("/")).field("form_token")
    address = "/datasets/handbook/replay"
    for token in ("", "x", good[:-1]):
        assert service.client.post(address, data={"receipt": receipt, "form_token": token}).status_code == 403
    assert service.client.post(address, data={"receipt": receipt}).status_code == 403
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    body = {"receipt": receipt, "form_token": good}
    assert service.client.post(address, data=body, headers=elsewhere).status_code == 403
    assert "Identical" in service.client.post(address, data=body).text


def test_the_address_of_vecver_ui_lets_one_visitor_in_and_nobody_else(tmp_path: Path) -> None:
    with visited(tmp_path, token="a token", keys=False) as service:
        client = service.client
        assert client.get("/", follow_redirects=False).headers["location"] == "/sign-in"
        assert client.get("/v1/datasets").status_code == 401, "the routes are closed too"
        entered = client.get("/sign-in?token=a+token", follow_redirects=False)
        assert entered.status_code == 303
        assert "handbook" in service.page("/") and "secret" in service.page("/")
        client.cookies.clear()
        again = client.get("/sign-in?token=a+token")
        assert again.status_code == 401 and "used already" in again.text


def test_pages_without_keys_serve_this_machine_only(tmp_path: Path) -> None:
    with visited(tmp_path, keys=False) as service:
        assert "handbook" in service.page("/")
        foreign = service.client.get("/", headers={"Host": "evil.example"}, follow_redirects=False)
        assert foreign.status_code in (303, 401)


def test_forms_work_where_no_key_is_needed(tmp_path: Path) -> None:
    with visited(tmp_path, keys=False) as service:
        receipt = json.dumps(service.repository.dataset("handbook").search(QUESTION_VECTOR, at="prod").receipt)
        html = service.page("/datasets/handbook/work?source=x")
        token = html.partition("form_token=")[2].partition('"')[0]
        answer = service.client.post("/datasets/handbook/replay", data={"receipt": receipt, "form_token": token})
        assert "Identical" in answer.text


# -- what pages hold ----------------------------------------------------------------------------------

QUESTION_VECTOR = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_every_page_forbids_scripts_and_styles_in_its_html(service: Visited) -> None:
    service.sign_in("all")
    bad = next(id for id in TEXTS if "bad" in id)
    visitable = [*addresses("handbook", "guide/boiler.md"), "/", "/sign-in", "/datasets/handbook/versions/nowhere"]
    visitable += [f"/datasets/handbook/document?{urlencode({'id': bad, 'at': 'prod'})}"]
    visitable += [f"/datasets/handbook/diff?{urlencode({'from': 'prod', 'to': 'main', 'document': bad})}"]
    visitable += ["/datasets/handbook/versions/main~2", f"/datasets/handbook?{urlencode({'q': HOSTILE})}"]
    for address in visitable:
        answer = service.client.get(address)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        page = Page(answer.text)
        scripts = [values for tag, values in page.elements if tag == "script"]
        assert [values.get("src") for values in scripts] == ["/static/app.js"], address
        assert not [tag for tag, values in page.elements if tag == "img" or any(name[:2] == "on" for name in values)]
        assert not [values for _, values in page.elements if "style" in values], address
        assert all(link.startswith(("/", "#")) for link in page.links()), address


def test_a_hostile_text_is_shown_as_text(service: Visited) -> None:
    service.sign_in("all")
    bad = next(id for id in TEXTS if "bad" in id)
    for address in (
        "/datasets/handbook",
        f"/datasets/handbook/document?{urlencode({'id': bad, 'at': 'prod'})}",
        f"/datasets/handbook/diff?{urlencode({'from': 'prod', 'to': 'main', 'document': bad})}",
        f"/datasets/handbook/search?{urlencode({'q': HOSTILE, 'at': HOSTILE})}",
    ):
        html = service.client.get(address).text
        assert "alert(&#39;ours&#39;)" in html and HOSTILE not in html, address
        assert HOSTILE in Page(html).text, address


def test_the_history_has_the_versions_and_counts_of_the_log(service: Visited) -> None:
    service.sign_in("reader")
    docs = service.repository.dataset("handbook")
    page = Page(service.page("/datasets/handbook"))
    ids = [commit.id for commit in docs.log()]
    shown = list(dict.fromkeys(link.rsplit("/", 1)[1] for link in page.links() if "/versions/" in link))
    assert [id for id in shown if id in ids and id != docs.resolve("prod")] == [ids[0], ids[2]]
    assert len([tag for tag, values in page.elements if tag == "tr" and "data-row" in values]) == 3
    assert "2 chunks in 2 documents" in page.text
    found = Page(service.page("/datasets/handbook?q=Without"))
    assert len([tag for tag, values in found.elements if tag == "tr" and "data-row" in values]) == 1


def test_a_document_shows_its_text_and_the_versions_that_changed_it(service: Visited) -> None:
    service.sign_in("reader")
    docs = service.repository.dataset("handbook")
    page = Page(service.page("/datasets/handbook/document?id=guide%2Fboiler.md&at=main"))
    assert "The boiler wants 1.5 bar of pressure. Refill it before winter." in page.text
    (commits := [commit.id for commit in docs.log()])
    changed = [link.rsplit("/", 1)[1] for link in page.links() if "/versions/" in link]
    assert changed[1:] == commits, "it was 1.5, became 1.8, and 1.5 again"
    untouched = Page(service.page("/datasets/handbook/document?id=guide%2Fradiator.md&at=main"))
    assert [link.rsplit("/", 1)[1] for link in untouched.links() if "/versions/" in link][1:] == commits[2:]


def test_the_diff_of_a_document_marks_the_words_that_changed(service: Visited) -> None:
    service.sign_in("reader")
    html = service.page("/datasets/handbook/diff?from=main~2&to=prod&document=guide%2Fboiler.md")
    assert "<del>5</del>" in html and "<ins>8</ins>" in html
    listed = Page(service.page("/datasets/handbook/diff?from=prod&to=main"))
    assert "changed" in listed.text and "removed" in listed.text


@pytest.mark.parametrize(
    ("address", "status", "says"),
    [
        ("/datasets/nowhere", 404, "no dataset"),
        ("/datasets/handbook/versions/v9", 404, "v9"),
        ("/datasets/handbook/document?id=missing.md", 404, "missing.md"),
        ("/datasets/handbook/documents?at=v9", 404, "v9"),
        ("/datasets/handbook?after=" + "0" * 64, 404, "000000000000"),
        ("/datasets/handbook/diff?from=v9", 404, "v9"),
        ("/datasets/handbook/search?q=x&at=main&filter=nonsense", 422, "no JSON"),
        ("/datasets/handbook/search?q=x&at=main&filter=%5B1%5D", 422, "no JSON object"),
        ("/datasets/handbook/search?q=x&at=main&k=0", 422, ""),
        ("/datasets/handbook/nothing", 404, "no such route"),
        ("/static/app.py", 404, "no such file"),
    ],
)
def test_a_bad_address_is_answered_with_a_page_that_says_what_to_do(
    service: Visited, address: str, status: int, says: str
) -> None:
    service.sign_in("all")
    answer = service.client.get(address)
    assert answer.status_code == status and answer.headers["content-type"].startswith("text/html")
    page = Page(answer.text)
    assert says in page.text and "What to do" in page.text and "Traceback" not in page.text


def test_an_error_names_the_dataset_as_it_is_spelt_and_leads_to_its_history(service: Visited) -> None:
    service.sign_in("all")
    text = service.client.get("/datasets/handbook/versions/v9").text
    assert "handbook has no revision" in Page(text).text and "GET /v1" not in text
    assert '<a href="/datasets/handbook">History of handbook</a>' in text
    near = Page(service.client.get("/datasets/handbook/versions/mian").text).text
    assert "did you mean 'main'? choose a version in the history" in near
    unknown = service.client.get("/datasets/nowhere").text
    assert "There is no dataset" in Page(unknown).text and "History of" not in unknown and "GET /v1" not in unknown


def test_a_damaged_dataset_leaves_the_others_on_the_first_page(tmp_path: Path) -> None:
    with visited(tmp_path) as service:
        service.sign_in("all")
        head = service.repository.dataset("secret").resolve()
        file = next((tmp_path / "kb" / "commits").glob(f"*/{head}"))
        file.write_bytes(b"nonsense")
        page = Page(service.page("/"))
        assert "handbook" in page.text and "does not match its digest" in page.text


def test_no_page_is_in_the_schema_of_the_routes(service: Visited) -> None:
    paths = service.client.get("/openapi.json").json()["paths"]
    assert not [path for path in paths if path.startswith(("/datasets", "/sign", "/static", "/work"))]


def test_the_pages_of_a_history_join_to_the_log(service: Visited, monkeypatch: pytest.MonkeyPatch) -> None:
    from vecver_service.ui import listings

    monkeypatch.setattr(listings, "PAGE", 2)
    service.sign_in("reader")
    docs = service.repository.dataset("handbook")
    shown: list[str] = []
    address = "/datasets/handbook?ref=main"
    while address:
        page = Page(service.page(address))
        rows = [values for tag, values in page.elements if tag == "a" and values.get("class") == "id"]
        versions = [str(values["href"]).rsplit("/", 1)[1] for values in rows]
        shown += versions[1:]  # the first names what prod serves
        address = next((link for link in page.links() if "after=" in link), "")
    assert shown == [commit.id for commit in docs.log()]
