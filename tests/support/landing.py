"""Writers of one branch: a rival that lands first, and the documents that the loser's conflict names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from helpers import DIM, ingest, open_on
from inside import versions_of

import vecver
from vecver.errors import ConflictError
from vecver.model import Report, Space
from vecver.repo import Versions

THE_SPACE = Space("given:test", DIM, "ip")
Act = Callable[[vecver.Dataset], Any]


def add(docs: vecver.Dataset, texts: Mapping[str, str], label: str, *, keep: bool = False, **how: Any) -> Report:
    """These documents are all that the source has, or some of it."""
    return ingest(docs, texts, label=label, keep_missing=keep, **how)


def overtaken(docs: vecver.Dataset, rival: Act, mine: Callable[[], Any]) -> Any:
    """`mine`, before whose commit the rival lands."""
    save = Versions.save

    def late(self: Versions, *arguments: Any) -> str:
        Versions.save = save  # type: ignore[method-assign]
        rival(open_on(versions_of(docs).store, author="rival").dataset(docs.name))
        return save(self, *arguments)

    Versions.save = late  # type: ignore[assignment, method-assign]
    try:
        return mine()
    finally:
        Versions.save = save  # type: ignore[method-assign]


def disputed(docs: vecver.Dataset, rival: Act, mine: Callable[[], Any]) -> list[str]:
    """The documents that the conflict names; nothing of mine may have landed."""
    before: list[str] = []

    def then(theirs: vecver.Dataset) -> None:
        rival(theirs)
        before.append(theirs.resolve())

    with pytest.raises(ConflictError) as caught:
        overtaken(docs, then, mine)
    named = list(caught.value.context.get("documents", []))
    assert caught.value.code == "ref_moved" and caught.value.context["found"] == docs.resolve() == before[0]
    assert all(repr(name) in caught.value.message for name in named[:5])
    assert docs.repository.check().clean
    return named
