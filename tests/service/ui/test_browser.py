"""Pages in a real Chromium: accessibility by axe-core, keys, no foreign request, no dialog from a document's text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("playwright", reason="no playwright: install vecver[test]")
axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: install vecver[test]")

from browser import browser  # noqa: E402
from serving import running  # noqa: E402
from visited import TEXTS, Visited, visited  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BAD = next(id for id in TEXTS if "bad" in id)
PAGES = {
    "datasets": "/",
    "history": "/datasets/handbook",
    "version": "/datasets/handbook/versions/main~1",
    "documents": "/datasets/handbook/documents?at=prod",
    "document": f"/datasets/handbook/document?{urlencode({'id': BAD, 'at': 'prod'})}",
    "diff": "/datasets/handbook/diff?from=prod&to=main",
    "document diff": "/datasets/handbook/diff?from=main~2&to=prod&document=guide%2Fboiler.md",
    "search": "/datasets/handbook/search",
    "measures": "/datasets/handbook/measures",
    "promote": "/datasets/handbook/refs",
    "work": "/datasets/handbook/work?source=x",
    "audit": "/work/audit",
    "problem": "/datasets/handbook/versions/nowhere",
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Visited]]:
    with visited(tmp_path_factory.mktemp("browser")) as service, running(service.client.app) as url:
        yield url, service


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, chromium: Browser, service: tuple[str, Visited]) -> Iterator[Page]:
    """A page whose visitor is signed in. Requests to elsewhere, dialogs and errors in the console fail the test."""
    url, visited = service
    context = chromium.new_context(base_url=url, color_scheme=request.param)
    page = context.new_page()
    faults: list[str] = []

    def dismissed(dialog: Any) -> None:
        faults.append(dialog.message)
        dialog.dismiss()

    page.on("request", lambda sent: None if sent.url.startswith(url) else faults.append(sent.url))
    page.on("dialog", dismissed)
    page.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto("/datasets/handbook")
    page.get_by_label("API key").fill(visited.keys["all"])
    page.get_by_role("button", name="Sign in").click()
    assert page.get_by_role("heading", name="handbook").is_visible(), "it goes on to the page that was asked for"
    yield page
    context.close()
    assert not faults


def test_axe_finds_no_serious_fault_on_any_page(page: Page) -> None:
    for name, address in PAGES.items():
        page.goto(address)
        found = axe_playwright.Axe().run(page).response["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        assert not serious, (name, [(each["id"], each["nodes"][0]["html"]) for each in serious])


def test_pages_are_as_narrow_as_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    for name, address in PAGES.items():
        page.goto(address)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 391, (name, width)


def test_keys_move_through_screens_and_rows(page: Page) -> None:
    page.goto("/datasets/handbook")
    page.keyboard.press("j")
    page.keyboard.press("j")
    focused: Any = page.evaluate("document.activeElement.closest('tr').rowIndex")
    assert focused == 2
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.wait_for_url("**/documents")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"


def test_files_that_are_dropped_become_a_version_while_the_page_is_watched(page: Page, tmp_path: Path) -> None:
    page.goto("/datasets/secret/work?source=dropped")
    file = tmp_path / "a.jsonl"
    file.write_text('{"id": "n", "text": "new", "vector": [1, 0, 0, 0, 0, 0, 0, 0]}\n')
    page.set_input_files("#files", file)
    page.get_by_role("button", name="Ingest").click()
    page.wait_for_url("**/work/2*")
    page.wait_for_selector("#live:not([data-live])", timeout=60_000)
    assert page.locator("h1").inner_text().split()[-1] in ("succeeded", "failed")
