"""Shows versions in a Milvus: published, taken out, and what a client needs to search one."""

from __future__ import annotations

from collections.abc import Sequence

import vecver
from vecver.cli.screens import wording
from vecver.cli.terminal.console import COMMAND, FAINT, HEAD, ID, STRONG, Screen


def show_published(screen: Screen, done: Sequence[vecver.Publication]) -> None:
    """Show the versions that were published."""
    if not done:
        screen.say("Nothing was published there." if screen.terminal else "nothing was published there")
    for publication in done:
        if not screen.terminal:
            result = f"{publication.written} rows written" if publication.written else "was there already"
            where = f"{publication.collection} at ordinal {publication.ordinal} in {publication.uri}"
            screen.say(f"{publication.dataset} {publication.commit[:12]} -> {where}: {result}")
            continue
        rows = f"{wording.count(publication.written, 'row')} written" if publication.written else "it was there already"
        screen.say(
            (publication.dataset, HEAD),
            " ",
            (wording.short_id(publication.commit), ID),
            f" is searchable in {publication.uri}: {rows}.",
        )
        chunks = wording.count(publication.chunks, "chunk")
        screen.say((f"  collection {publication.collection}, ordinal {publication.ordinal}, {chunks}", FAINT))
    if screen.terminal and len(done) == 1:
        at = f"{done[0].dataset}@{wording.short_id(done[0].commit)}"
        screen.say(("Next: ", FAINT), (f'vecver search {at} "…" --engine milvus', COMMAND))
        screen.say(("For other clients: ", FAINT), (f"vecver publication {at}", COMMAND))


def show_unpublished(screen: Screen, dataset: str, gone: Sequence[str]) -> None:
    """Show the versions that were taken out."""
    for commit in gone:
        if screen.terminal:
            id = wording.short_id(commit)
            screen.say((dataset, HEAD), " ", (id, ID), " is not published any more; the repository keeps it.")
        else:
            screen.say(f"{dataset} {commit[:12]} is not published any more")
    if not gone:
        screen.say("Nothing to do: no such version is published there." if screen.terminal else "nothing to do")


def show_publication(screen: Screen, publication: vecver.Publication) -> None:
    """Show what any client needs to search a version."""
    for field, value in publication.to_json().items():
        if field != "written" and value != "":
            text = ", ".join(value) if isinstance(value, list) else str(value)
            strong = screen.terminal and field in ("uri", "collection", "filter", "metric")
            screen.say((f"{field:<12}", FAINT), (text, STRONG if strong else ""))
    if screen.terminal:
        with_filter = f" with the filter {publication.filter}" if publication.filter else ""
        screen.say((f"Search the collection {publication.collection}{with_filter}; no vecver is needed.", FAINT))
