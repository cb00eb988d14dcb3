"""The pages, one file a screen. Each has three steps: read the address, call vecver, render."""

from vecver_service.ui.pages import (
    diffs,
    documents,
    history,
    measures,
    promoting,
    searching,
    signing_in,
    start,
    versions,
    work,
)

_PAGES = (start, history, versions, documents, diffs, searching, measures, promoting, work, signing_in)
ROUTERS = [page.router for page in _PAGES]
