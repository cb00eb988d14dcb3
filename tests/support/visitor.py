"""Somebody who looks at the pages of a running service with a real browser; what a page must never do is noted."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from axe_playwright_python.sync_playwright import Axe
from browser import Seen, watched
from lived_in import ASKED
from paths import ROOT

import vecver

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

WIDE: ViewportSize = {"width": 1240, "height": 860}
PHONE: ViewportSize = {"width": 390, "height": 844}
# What axe-core looks for in each scheme of colours: all, and again what depends on them.
CHECKED: dict[Literal["light", "dark"], dict[str, Any]] = {"dark": {"runOnly": ["color-contrast"]}, "light": {}}
ROWS = 12  # of a table, that axe-core looks at
_KEPT = os.environ.get("VECVER_SCREENSHOTS")  # the folder for pictures of every screen
_IMAGES = ROOT / "docs/images" if os.environ.get("VECVER_RENEW_SCREENS") else None
_DOCUMENTED = {  # picture -> its name in docs/images
    "history-wide-light": "web-history",
    "history-wide-dark": "web-history-dark",
    "history-phone-light": "web-history-phone",
    "version-wide-light": "web-version",
    "document-diff-wide-light": "web-diff",
    "two-answers-wide-light": "web-two-answers",
    "measures-wide-light": "web-measures",
    "promote-wide-light": "web-promote",
}
TABLE = """table => {
  const heads = [...table.tHead.rows[0].cells].map(cell => cell.innerText.trim());
  return [...table.tBodies[0].rows].map(row =>
    Object.fromEntries([...row.cells].map((cell, at) => [heads[at], cell.innerText.trim()])));
}"""


@dataclass
class Live:
    """A running service: its address, its repository, its main dataset, and its keys by the names of their holders."""

    url: str
    docs: vecver.Dataset
    keys: dict[str, str]
    chromium: Browser
    place: Path

    @property
    def question(self) -> str:
        """A question to the main dataset."""
        return ASKED[self.docs.name]

    def cli(self, *words: str) -> Any:
        """What `vecver ... --json` prints for the repository."""
        from click.testing import CliRunner

        from vecver.cli import main

        done = CliRunner().invoke(main, ["--repo", str(self.place / "kb"), *words, "--json"])
        assert done.exit_code == 0, (words, done.output)
        return json.loads(done.stdout)

    def address(self, *parts: str, **query: str) -> str:
        """The path of a page of the main dataset. `from_` is the field `from`."""
        fields = urlencode({name.rstrip("_"): value for name, value in query.items()})
        return "/".join(["/datasets", self.docs.name, *parts]) + (f"?{fields}" if fields else "")

    @contextmanager
    def visitor(self, name: str | None, **how: Any) -> Iterator[Visitor]:
        """A fresh browser, with nobody's cookies; the holder of a key signs in. It fails at the end if a page did what
        it must not: see `Visitor.faults`."""
        context = self.chromium.new_context(base_url=self.url, viewport=WIDE, **how)
        page = context.new_page()
        page.set_default_timeout(20_000)
        visitor = Visitor(self, page, watched(page))
        try:
            if name is not None:
                visitor.sign_in(name)
            yield visitor
            assert not visitor.faults(), visitor.faults()
        finally:
            context.close()


@dataclass
class Visitor:
    """A browser with one page."""

    live: Live
    page: Page
    seen: Seen
    refusals: set[int] = field(default_factory=set)  # statuses of pages that the test meets on purpose

    def sign_in(self, name: str) -> None:
        """Come in by the form, with the key of this holder."""
        if "/sign-in" not in self.page.url:
            self.page.goto("/sign-in")
        self.page.get_by_label("API key").fill(self.live.keys[name])
        self.page.get_by_role("button", name="Sign in").click()

    def forget(self) -> None:
        """Begin anew to note what pages do."""
        self.refusals.clear()
        for noted in (self.seen.requests, self.seen.messages, self.seen.dialogs):
            noted.clear()

    def go(self, *parts: str, **query: str) -> Page:
        """Open a page of the main dataset."""
        self.page.goto(self.live.address(*parts, **query))
        return self.page

    def watch_job(self, state: str) -> None:
        """Stay on the page of the job that was begun, until it shows by itself that the job ended in this state."""
        self.page.wait_for_url("**/work/2*")
        self.page.wait_for_selector("#live:not([data-live])", timeout=120_000)
        assert self.page.locator("h1").inner_text().split()[-1] == state, self.text()

    def tab_to(self, text: str) -> None:
        """Press Tab until the element with this text has the focus."""
        for _ in range(60):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("document.activeElement.innerText") == text:
                return
        raise AssertionError(f"{text} is not reached by Tab")

    def table(self, selector: str = "table") -> list[dict[str, str]]:
        """The rows of a table as they are read, by the heads of its columns."""
        rows: list[dict[str, str]] = self.page.locator(selector).first.evaluate(TABLE)
        return rows

    def look(self, screen: str) -> None:
        """Check the page as it stands, light and dark, wide and narrow, and keep its pictures under this name.

        axe-core looks at the first rows of a table only: it takes 20 ms of processor time a row, and they are alike.
        """
        for scheme in CHECKED:
            self.page.emulate_media(color_scheme=scheme)
            for size, name in ((PHONE, "phone"), (WIDE, "wide")):
                self.page.set_viewport_size(size)
                _keep(self.page, f"{screen}-{name}-{scheme}")
                width = self.page.evaluate("document.documentElement.scrollWidth")
                assert width <= size["width"] + 1, f"{width} pixels wide on {size['width']}"
        self.page.evaluate(f"document.querySelectorAll('tbody tr:nth-child(n+{ROWS})').forEach(row => row.remove())")
        for scheme, rules in CHECKED.items():
            self.page.emulate_media(color_scheme=scheme)
            serious = _serious(Axe().run(self.page, options={"resultTypes": ["violations"], **rules}))
            assert not serious, (scheme, serious)

    def text(self) -> str:
        """What the page says, in one line."""
        return " ".join(self.page.locator("body").inner_text().split())

    def faults(self) -> list[str]:
        """Requests to elsewhere, dialogs, errors, and whatever the console says: a violation of the policy too."""
        elsewhere = [url for url in self.seen.requests if not url.startswith((self.live.url, "blob:"))]
        expected = re.compile(rf"status of ({'|'.join(map(str, self.refusals)) or 'none'})\b")
        messages = [text for text in self.seen.messages if not expected.search(text)]
        return [*elsewhere, *self.seen.dialogs, *messages]


def _serious(found: Any) -> list[tuple[str, str]]:
    """(rule, element) of what axe-core calls serious or critical."""
    violations = [each for each in found.response["violations"] if each["impact"] in ("serious", "critical")]
    return [(each["id"], node["html"]) for each in violations for node in each["nodes"]]


def _keep(page: Page, name: str) -> None:
    """Keep a picture where somebody asked for pictures; one for the docs is as high as a window."""
    if _KEPT:
        _draw(page, Path(_KEPT) / f"{name}.png", 2000)
    if _IMAGES and name in _DOCUMENTED:
        from PIL import Image  # many packages of the tests bring it, none of ours names it

        file = _IMAGES / f"{_DOCUMENTED[name]}.png"
        _draw(page, file, 900)
        Image.open(file).quantize(64).save(file, optimize=True)  # a third of the bytes


def _draw(page: Page, file: Path, most: int) -> None:
    """A picture of the page from its top, at most so many pixels high."""
    height = f"Math.min(Math.max(document.body.scrollHeight, 200), {most})"
    clip: Any = page.evaluate(f"({{x: 0, y: 0, width: innerWidth, height: {height}}})")
    page.screenshot(path=file, full_page=True, clip=clip)
