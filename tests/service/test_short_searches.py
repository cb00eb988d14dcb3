"""Which searches run on the event loop: those of a revision whose last searches were short, in a version still open."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from helpers import ingest
from small_service import QUERY, TEXTS, asked, wait_until_ready

import vecver
from vecver.repo.rows.verifier import Verifier

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

from fastapi.testclient import TestClient
from vecver_service import short_searches
from vecver_service.short_searches import FIRST, FRESH_S, Stopwatch


@pytest.fixture
def places(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where each search ran: "loop" or "thread". Each counts as a short one."""
    wait_until_ready(client)
    monkeypatch.setattr(Stopwatch, "short", lambda *_: True)
    places: list[str] = []
    search = vecver.Dataset.search

    def noted(docs: Any, query: Any, **options: Any) -> Any:
        try:
            asyncio.get_running_loop()
            places.append("loop")
        except RuntimeError:
            places.append("thread")
        return search(docs, query, **options)

    monkeypatch.setattr(vecver.Dataset, "search", noted)
    return places


def search(client: TestClient, count: int = 1, **options: Any) -> None:
    for _ in range(count):
        assert asked(client, vector=QUERY, **options).status_code == 200


def reach_loop(client: TestClient, places: list[str], **options: Any) -> None:
    """Search until searches run on the loop."""
    search(client, FIRST + 1, **options)
    assert places[-1] == "loop"
    places.clear()


def test_the_first_searches_run_in_threads(client: TestClient, places: list[str]) -> None:
    search(client, FIRST + 2, ref="v1")
    assert places == ["thread"] * FIRST + ["loop"] * 2


def test_each_revision_has_its_own_first_searches(client: TestClient, places: list[str]) -> None:
    reach_loop(client, places, ref="v1")
    search(client, ref="prod")
    assert places == ["thread"]


def test_after_a_long_search_they_run_in_threads(
    client: TestClient, places: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reach_loop(client, places)
    with monkeypatch.context() as patch:
        patch.setattr(Stopwatch, "short", lambda *_: False)
        search(client)
    search(client, FIRST + 1)
    assert places == ["loop"] + ["thread"] * FIRST + ["loop"]


def test_after_a_pause_the_next_search_runs_in_a_thread(
    client: TestClient, places: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reach_loop(client, places)
    now = short_searches.monotonic()
    monkeypatch.setattr(short_searches, "monotonic", lambda: now + FRESH_S + 1)
    search(client, 2)
    assert places == ["thread", "loop"]


def test_a_branch_that_moved_is_searched_in_threads_first(
    client: TestClient, places: list[str], tmp_path: Path
) -> None:
    reach_loop(client, places)
    ingest(vecver.open(tmp_path / "kb").dataset("d"), {**TEXTS, "doc-4": "a new text"})
    search(client, FIRST + 1)
    assert places == ["thread"] * FIRST + ["loop"]


def test_a_version_that_was_closed_is_searched_in_threads_first(client: TestClient, places: list[str]) -> None:
    repository = client.app.state.deps.repository  # type: ignore[attr-defined]
    reach_loop(client, places)
    repository.gc(apply=True)
    assert repository.dataset("d").opened() is None
    search(client, FIRST + 1)
    assert places == ["thread"] * FIRST + ["loop"]


def test_while_another_version_is_opened_the_loop_waits_for_no_search(
    client: TestClient, places: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions are opened one at a time, behind a lock that each search takes; hashing a version may take seconds."""
    docs = client.app.state.deps.repository.dataset("d")  # type: ignore[attr-defined]
    reach_loop(client, places)
    opening, verified, use = threading.Event(), threading.Event(), Verifier.use

    def slow_use(verifier: Verifier, segments: Any) -> None:
        if threading.current_thread().name == "opens":
            opening.set()
            assert verified.wait(30)
        use(verifier, segments)

    monkeypatch.setattr(Verifier, "use", slow_use)
    opener = threading.Thread(target=lambda: docs.search(QUERY, at="v1"), name="opens")
    opener.start()
    assert opening.wait(30)
    searcher = threading.Thread(target=search, args=(client,))
    searcher.start()
    deadline = time.monotonic() + 30
    while len(places) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    verified.set()
    opener.join()
    searcher.join()
    assert places == ["thread", "thread"], "of the version that is opened, and the one that waits for it"


def test_a_revision_that_is_gone_is_not_found(client: TestClient, places: list[str]) -> None:
    reach_loop(client, places, ref="prod")
    client.app.state.deps.repository.dataset("d").delete_alias("prod")  # type: ignore[attr-defined]
    assert asked(client, vector=QUERY, ref="prod").json()["code"] == "revision_not_found"
    assert asked(client, vector=QUERY, ref="prod", missing="empty").json()["hits"] == []


def test_searches_that_ran_as_one_call_are_short_if_each_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 8 * short_searches.CPU_S, 8 * short_searches.CPU_S])
    monkeypatch.setattr(short_searches, "thread_time", lambda: next(now))
    took = Stopwatch()
    assert took.short(8) and not took.short(7)
