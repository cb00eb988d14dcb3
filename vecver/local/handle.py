"""What every call on a dataset's handle starts from: the session, the dataset's name, and its versions by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vecver.arguments import Revision, text_of

if TYPE_CHECKING:
    from vecver.local.session import Session
    from vecver.model import Commit
    from vecver.repo import Versions


class Handle:
    """A dataset of an opened repository. `Dataset` adds the calls, one module a subject.

    `repository`: the `Repository` that gave this handle. Typed as Any: that class makes handles, so naming it here
    would make the two modules import each other.
    """

    def __init__(self, session: Session, name: str, repository: Any = None) -> None:
        self.repository = repository
        self.name = name
        self._session = session

    @property
    def _versions(self) -> Versions:
        return self._session.versions

    def resolve(self, at: Revision = "main") -> str:
        """The full commit id that a revision names. Raises NotFoundError, InvalidInputError."""
        return self._versions.resolve(self.name, text_of(at))

    def show(self, at: Revision = "main") -> Commit:
        """The commit that a revision names. Raises NotFoundError, InvalidInputError."""
        return self._versions.commit(self.resolve(at))

    def opened(self, at: Revision = "main", *, at_once: bool = False) -> object | None:
        """The version if this process has it open, as an object that is replaced when it is opened anew; else None.

        `at_once`: None also where a search would wait: while a thread opens another version, or for a bucket's answer.
        Raises NotFoundError, InvalidInputError.
        """
        versions, revision = self._versions.opened, text_of(at)
        if at_once and (versions.is_opening or not self._versions.resolves_at_once(self.name, revision)):
            return None
        return versions.peek(revision) or versions.peek(self._versions.resolve_lately(self.name, revision))
