"""The pages of work: files become a job, whose page tells how it stands; who may not write is offered nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("jinja2", reason="no jinja2: install vecver[service]")

from visited import Page, Visited, visited

UPLOAD = "/datasets/notes/work/ingest"
FILES = [("files", ("a.md", "# Radiator\n\nTurn the key.")), ("files", ("b.md", "# Boiler\n\nRefill it."))]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    with visited(tmp_path_factory.mktemp("work")) as service:
        service.repository.dataset("notes").ingest([{"id": "z", "text": "old"}], embedder="hashing", label="first")
        yield service


def address_of_upload(service: Visited, source: str) -> str:
    """Where the form for files of this source sends them."""
    page = Page(service.page(f"/datasets/notes/work?source={source}"))
    return next(str(values["action"]) for tag, values in page.elements if tag == "form" and "data-drop" in values)


def wait(service: Visited, place: str) -> str:
    """The page of a job once it has ended."""
    until = time.monotonic() + 120
    while "data-live" in (html := service.page(place)) and time.monotonic() < until:
        time.sleep(0.1)
    return html


def test_files_become_a_job_and_a_version(service: Visited) -> None:
    service.sign_in("all")
    sent = service.client.post(address_of_upload(service, "dropped"), files=FILES, follow_redirects=False)
    assert sent.status_code == 303, sent.text
    html = wait(service, sent.headers["location"])
    assert "succeeded" in Page(html).text
    docs = service.repository.dataset("notes")
    assert docs.documents() == ["a.md", "b.md", "z"], "what was not sent stays"
    assert docs.resolve()[:7] in Page(html).text
    assert (
        "succeeded" in Page(service.page("/work")).text
        and "succeeded" in Page(service.page("/datasets/notes/work")).text
    )


def test_who_may_only_read_is_offered_no_form_and_is_refused(service: Visited) -> None:
    service.sign_in("all")
    service.client.get("/")
    service.sign_in("reader")
    page = service.page("/datasets/handbook/work")
    assert "Ingest files" not in page
    token = Page(page).field("form_token")
    refused = service.client.post(f"/datasets/handbook/work/ingest?source=x&form_token={token}", files=FILES)
    assert refused.status_code == 403 and "may not write" in refused.text
    assert service.client.get("/work/audit").status_code == 403
    assert service.client.get("/work/audit.jsonl").status_code == 403


@pytest.mark.parametrize(
    ("query", "status"), [("source=x", 403), ("source=x&form_token=bad", 403), ("source=%20&form_token={}", 422)]
)
def test_an_upload_without_a_token_or_a_source_is_refused(service: Visited, query: str, status: int) -> None:
    service.sign_in("all")
    token = Page(service.page("/datasets/notes/work")).field("form_token")
    before = service.repository.dataset("notes").resolve()
    answer = service.client.post(f"{UPLOAD}?{query.format(token)}", files=FILES, follow_redirects=False)
    assert answer.status_code == status and service.repository.dataset("notes").resolve() == before


def test_a_job_of_another_dataset_or_of_none_is_not_shown(service: Visited) -> None:
    service.sign_in("all")
    place = service.client.post(address_of_upload(service, "again"), files=FILES, follow_redirects=False).headers[
        "location"
    ]
    job = place.rsplit("/", 1)[1]
    for address in (f"/datasets/handbook/work/{job}", "/datasets/notes/work/20260101T000000000000-" + "0" * 12):
        assert service.client.get(address).status_code == 404
    service.sign_in("reader")
    assert job[-12:] not in service.page("/work")


def test_the_audit_log_is_shown_and_exported(service: Visited) -> None:
    service.sign_in("all")
    wait(service, str(service.client.post(address_of_upload(service, "third"), files=FILES).url))
    lines = service.client.get("/work/audit.jsonl").text.splitlines()
    entries = [json.loads(line) for line in lines]
    assert (
        entries
        == service.client.get("/v1/audit", headers={"Authorization": f"Bearer {service.keys['all']}"}).json()["entries"]
    )
    page = Page(service.page("/work/audit"))
    assert "ingest" in page.text and "third" in page.text
