"""What every call on a dataset behind a service starts from: the connections, the dataset's name, revisions as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vecver.arguments import Revision, text_of
from vecver.errors import InvalidInputError
from vecver.remote.http import path_of

if TYPE_CHECKING:
    from vecver.remote.repository import RemoteRepository


class RemoteHandle:
    """A dataset behind a service. `RemoteDataset` is this with its calls."""

    def __init__(self, repository: RemoteRepository, name: str) -> None:
        self.repository = repository
        self.name = name
        self._wire = repository._wire

    def _path(self, *parts: str) -> str:
        return path_of("datasets", self.name, *parts)


def revision_text(at: Revision) -> str:
    """A revision as its string. (None would be the service's default, and is not ours.)"""
    text = text_of(at)
    if not isinstance(text, str) or not text:
        raise InvalidInputError(
            f"{text!r} is not a revision",
            code="invalid_revision",
            hint="name a branch, tag, alias or commit id; `main` is the default branch",
        )
    return text
