"""A service whose pages a test visits: two datasets with hostile texts, keys for each, and a browser-like client."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers import vector_of

import vecver

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

HOSTILE = "<script>alert('ours')</script>"
TEXTS = {
    "guide/radiator.md": "Turn the brass key a quarter turn until air hisses out.\n\nClose it when water comes.",
    "guide/boiler.md": "The boiler wants 1.5 bar of pressure. Refill it before winter.",
    f"bad/{HOSTILE}.md": f"A text with {HOSTILE} in it, and <img src=x onerror=alert(2)>.",
}


@dataclass
class Visited:
    """A service, what it serves, and its keys by name."""

    client: TestClient
    repository: vecver.Repository
    keys: dict[str, str] = field(default_factory=dict)

    def sign_in(self, name: str) -> None:
        """Let the client be the holder of a key."""
        self.client.cookies.clear()
        answer = self.client.post("/sign-in", data={"key": self.keys[name]}, follow_redirects=False)
        assert answer.status_code == 303, answer.text

    def page(self, address: str) -> str:
        """The HTML of a page that must be there."""
        answer = self.client.get(address)
        assert answer.status_code == 200, (address, answer.text)
        return str(answer.text)


@contextmanager
def visited(folder: Path, *, token: str | None = None, keys: bool = True, **how: Any) -> Iterator[Visited]:
    """A service of the datasets `handbook` (three versions, `prod` on the second) and `secret`; `how`: its settings."""
    repository = vecver.open(folder / "kb", create=True, author="tester")
    docs = repository.dataset("handbook")
    _ingest(docs, TEXTS, f"First {HOSTILE}")
    _ingest(docs, {**TEXTS, "guide/boiler.md": "The boiler wants 1.8 bar of pressure. Refill it before winter."}, "Bar")
    docs.promote("prod", "main")
    _ingest(docs, {id: text for id, text in TEXTS.items() if "bad" not in id}, "Without the bad one")
    _ingest(repository.dataset("secret"), {"plans.md": "The launch is in May."}, "Plans")
    with _visit(repository, folder, token=token, keys=keys, **how) as service:
        yield service


@contextmanager
def served(folder: Path) -> Iterator[Visited]:
    """A new service of the repository that `visited` left in a folder, or of a copy; one may do everything there."""
    repository = vecver.open(folder / "kb", author="tester")
    shutil.rmtree(folder / "state", ignore_errors=True)
    with _visit(repository, folder, token=None, keys=False) as service:
        yield service


@contextmanager
def _visit(
    repository: vecver.Repository, folder: Path, *, token: str | None, keys: bool, **how: Any
) -> Iterator[Visited]:
    from fastapi.testclient import TestClient
    from vecver_service.app import create_app
    from vecver_service.settings import ServiceSettings
    from vecver_service.state.keys import Keys

    settings = ServiceSettings(state=str(folder / "state"), **how)
    store = Keys(settings.keys_file(repository.url))
    scopes = {"reader": ["handbook:read"], "writer": ["handbook:write"], "other": ["secret:admin"], "all": ["*:admin"]}
    made = {name: store.add(name, held)[1] for name, held in scopes.items()} if keys else {}
    with TestClient(create_app(repository, settings, token=token)) as client:
        yield Visited(client, repository, made)


def _ingest(docs: vecver.Dataset, texts: dict[str, str], message: str) -> None:
    records = [
        {"id": id, "text": text, "title": f"{id} {HOSTILE}", "vector": vector_of(text), "note": HOSTILE}
        for id, text in texts.items()
    ]
    docs.ingest(records, space="test", message=message, allow_removals=True)


class Page(HTMLParser):
    """What a page holds, as a browser would read it: its elements and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        """Text."""
        self.text += data

    def links(self) -> list[str]:
        """The addresses of its links."""
        return [str(values["href"]) for tag, values in self.elements if tag == "a" and values.get("href")]

    def field(self, name: str) -> Any:
        """The value of the first form field of this name."""
        return next(values.get("value") for tag, values in self.elements if values.get("name") == name)
