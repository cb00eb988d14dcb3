"""The pages, one file a screen. Each has three steps: read the address, call vecver, render."""

from vecver_service.ui.pages import diffs, documents, history, measures, searching, signing_in, start, versions, work

ROUTERS = [
    module.router for module in (start, history, versions, documents, diffs, searching, measures, work, signing_in)
]
