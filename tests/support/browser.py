"""A real browser for tests of pages: Debian's Chromium, driven by Playwright. Skips where one is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: install vecver[test]")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield running
        finally:
            running.close()


@dataclass
class Seen:
    """What a page did beside showing itself."""

    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)  # of its console, and its errors
    dialogs: list[str] = field(default_factory=list)


def opened(running: Any, file: Path, *, width: int = 1240, scheme: str = "light") -> tuple[Any, Seen]:
    """A file in a new page, and what it does from then on."""
    page = running.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(10_000)
    seen = watched(page)
    page.goto(file.as_uri())
    return page, seen


def watched(page: Any) -> Seen:
    """What a page does from now on; dialogs are dismissed. A violation of its policy is a message of its console."""
    seen = Seen()
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("console", lambda message: seen.messages.append(f"{message.text} ({message.location.get('url')})"))
    page.on("pageerror", lambda error: seen.messages.append(str(error)))

    def dismiss(dialog: Any) -> None:
        seen.dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    return seen
