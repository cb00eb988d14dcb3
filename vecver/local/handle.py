"""What every call on a dataset's handle starts from: the repository, the dataset's name, and its versions by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vecver.arguments import Revision, text_of

if TYPE_CHECKING:
    from vecver.local.repository import Repository
    from vecver.model import Commit
    from vecver.repo import Versions


class Handle:
    """A dataset of an opened repository. `Dataset` is this with its calls, which stand in rooms by subject."""

    def __init__(self, repository: Repository, name: str) -> None:
        self.repository = repository
        self.name = name

    @property
    def _versions(self) -> Versions:
        return self.repository._versions

    def resolve(self, at: Revision = "main") -> str:
        """The full commit id that a revision names."""
        return self._versions.resolve(self.name, text_of(at))

    def show(self, at: Revision = "main") -> Commit:
        """The commit that a revision names."""
        return self._versions.commit(self.resolve(at))
