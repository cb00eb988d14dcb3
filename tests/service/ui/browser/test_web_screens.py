"""Every screen in a real Chromium, light and dark, wide and as narrow as a phone: axe-core, overflow, errors, pictures.

`VECVER_SCREENSHOTS=FOLDER` keeps the pictures of all screens in a folder; `.ci/run` sets it. `VECVER_RENEW_SCREENS=1`
renews those of docs/images; run this file alone for it, where the corpus of `lived_in` is at hand.
"""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from vecver_service import ui
from visitor import Visitor

# name of a screen -> the path of its page below its dataset, or the whole path, and its query
SCREENS: dict[str, tuple[str, dict[str, str]]] = {
    "datasets": ("/", {}),
    "history": ("", {}),
    "history-of-a-branch": ("", {"ref": "main", "q": "Release"}),
    "history-by-a-measure": ("", {"sort": "nDCG@10", "where": "ann_recall@10 >= 0"}),
    "version": ("versions/main", {}),
    "documents": ("documents", {"at": "main"}),
    "document": ("document", {"id": "DOCUMENT", "at": "main"}),
    "diff": ("diff", {"from": "prod", "to": "main"}),
    "document-diff": ("diff", {"from": "main~6", "to": "main", "document": "DOCUMENT"}),
    "search": ("search", {}),
    "answer": ("search", {"q": "QUESTION", "at": "prod"}),
    "two-answers": ("search", {"q": "QUESTION", "at": "main~6", "against": "main"}),
    "measures": ("measures", {"questions": "pinned"}),
    "measures-of-two": ("measures", {"questions": "pinned", "from": "main~6", "to": "main", "by": "R@10"}),
    "promote": ("refs", {}),
    "work": ("work", {}),
    "ingest": ("work", {"source": "docs"}),
    "all-work": ("/work", {}),
    "audit": ("/work/audit", {}),
    "problem": ("versions/nowhere", {}),
    "hostile-history": ("/datasets/hostile", {}),
}
# Pages that stand at the end of a journey, which looks at them; and what is no page.
ELSEWHERE = {"/datasets/{dataset}/work/{id}", "/sign-in"}
FILES = {"/datasets/{dataset}/receipt", "/datasets/{dataset}/measures.svg", "/work/audit.jsonl", "/static/{name}"}


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_is_accessible_narrow_and_quiet(ops: Visitor, document: str, screen: str) -> None:
    path, query = SCREENS[screen]
    words = {"DOCUMENT": document, "QUESTION": ops.live.question}
    filled = urlencode({name: words.get(value, value) for name, value in query.items()})
    ops.refusals = {404} if screen == "problem" else set()
    ops.page.goto((path if path.startswith("/") else ops.live.address(*filter(None, [path]))) + "?" + filled)
    ops.look(screen)


def test_every_page_is_a_screen() -> None:
    routes = [route for router in ui.ROUTERS for route in router.routes if "GET" in route.methods]
    paths = [path if path.startswith("/") else f"/datasets/x/{path}".rstrip("/") for path, _ in SCREENS.values()]
    missing = {route.path for route in routes if not any(map(route.path_regex.match, paths))}
    assert missing == ELSEWHERE | FILES
