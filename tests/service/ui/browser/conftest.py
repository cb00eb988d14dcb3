"""One Chromium, one `vecver serve` and one repository for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("playwright", reason="no playwright: install vecver[test]")
pytest.importorskip("axe_playwright_python", reason="no axe: install vecver[test]")
pytest.importorskip("ir_measures", reason="no ir_measures: install vecver[eval]")

from lived_in import lived_in
from serving import served
from visitor import Live, Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOLDERS = {"eva": "*:write", "max": "*:write", "ops": "*:admin", "rita": "hostile:read"}


DEEP = (pytest.mark.deep, pytest.mark.timeout(1800))


@pytest.fixture(scope="package", params=["some versions", pytest.param("all versions", marks=DEEP)])
def live(request: pytest.FixtureRequest, chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service on the repository of `lived_in`; in the deep version, with every version of its corpus."""
    from vecver_service.settings import ServiceSettings
    from vecver_service.state.keys import Keys

    place = tmp_path_factory.mktemp("live")
    docs = lived_in(place, every=1 if request.param == "all versions" else 10)
    store = Keys(ServiceSettings(state=str(place / "state")).keys_file(str(place / "kb")))
    keys = {name: store.add(name, [scope])[1] for name, scope in HOLDERS.items()}
    with served(place) as (client, _):
        yield Live(str(client.base_url).rstrip("/"), docs, keys, chromium, place)


@pytest.fixture(scope="package")
def signed_in(live: Live) -> Iterator[Visitor]:
    with live.visitor("ops") as visitor:
        yield visitor


@pytest.fixture
def ops(signed_in: Visitor) -> Iterator[Visitor]:
    """Who may do everything, signed in. A page that did what none may do fails the test: see `Visitor.faults`."""
    signed_in.forget()
    yield signed_in
    assert signed_in.faults() == []


@pytest.fixture(scope="package")
def document(live: Live) -> str:
    """A document that changed."""
    return str(live.cli("diff", live.docs.name, "main~6", "main")["documents"]["changed"][0])
