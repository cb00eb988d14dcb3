"""A dataset's versions in Milvus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vecver import flows
from vecver.arguments import Revision, text_of
from vecver.local.handle import Handle

if TYPE_CHECKING:
    from vecver.flows import Progress
    from vecver.model import Milvus, Publication


class Publishing(Handle):
    """The calls that make versions searchable in a Milvus, and take them out again."""

    def publish(
        self,
        at: Revision = "main",
        *,
        to: str | Milvus | None = None,
        dedicated: bool = False,
        flat: bool = False,
        progress: Progress | None = None,
    ) -> Publication:
        """Make a version searchable in a Milvus, at the cost of what it changes there. Nothing is written if it is.

        `to`: its address, else the one that the repository was opened with, else where this dataset was published
        before, else milvus-lite in the repository's folder. `dedicated`: in a collection of its own behind an alias
        made of the dataset and `at`, for clients that cannot filter. `flat`: in a collection without a graph, whose
        every answer is exact, at the price of a scan (as small versions are, and all in milvus-lite).

        Raises NotFoundError, InvalidInputError (what Milvus cannot hold), ConflictError (another process publishes),
        IntegrityError (somebody else changed the collection), BackendError. After any failure every version that was
        published is searched as before, and the next publish sweeps what is half there.
        """
        return self._session.milvus.publisher(self.name, to, progress).publish(
            text_of(at), dedicated=dedicated, flat=flat
        )

    def republish(self, *, to: str | Milvus | None = None, progress: Progress | None = None) -> list[Publication]:
        """Restore a Milvus that was lost or damaged: publish all that was published there anew, from here alone.

        Until a version is there again it is not published. If this is interrupted, call it again.
        """
        return self._session.milvus.publisher(self.name, to, progress).rebuild()

    def unpublish(self, at: Revision, *, to: str | Milvus | None = None) -> list[str]:
        """Let a version go from a Milvus; the commit ids under which it was there.

        The rows that only it had are deleted there, and collections that are left empty. Here nothing is lost:
        `publish` brings it back. Raises NotPublishedError, and as `publish`.
        """
        return flows.unpublish(self._session.milvus.publisher(self.name, to), self.show(at))

    def unpublish_unnamed(self, *, to: str | Milvus | None = None) -> list[str]:
        """As `unpublish`, every version on which no branch, tag or alias stands, or stood in the last 30 days."""
        return flows.unpublish(self._session.milvus.publisher(self.name, to), None)

    def forget_publications(self, *, to: str | Milvus) -> list[str]:
        """Forget all that is published in a Milvus, which is not asked: it is gone for good. The commit ids."""
        return flows.forget(self._session.milvus.publications(self.name, to)[1])

    def publication(self, at: Revision = "main", *, to: str | Milvus | None = None) -> Publication:
        """What any Milvus client needs to search a version. Milvus is not asked. Raises NotPublishedError."""
        place, book = self._session.milvus.publications(self.name, to)
        return flows.published(book, self.show(at), place)
