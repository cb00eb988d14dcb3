"""The calls of `Dataset` that publish versions to a Milvus and take them out again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vecver import flows
from vecver.arguments import Revision, text_of
from vecver.local.handle import Handle

if TYPE_CHECKING:
    from vecver.flows import Progress
    from vecver.model import Milvus, Publication


class Publishing(Handle):
    """Publishing versions to a Milvus."""

    def publish(
        self,
        at: Revision = "main",
        *,
        to: str | Milvus | None = None,
        dedicated: bool = False,
        flat: bool = False,
        bulk: str | None = None,
        progress: Progress | None = None,
    ) -> Publication:
        """Make a version searchable in a Milvus, at the cost of what changes there; if it is, nothing is written.

        `to`: its address, else the one that the repository was opened with, else where this dataset was published
        before, else milvus-lite in the repository's folder. `dedicated`: in a collection of its own behind an alias
        made of the dataset and `at`, for clients that cannot filter. `flat`: in a collection without a graph, whose
        every answer is exact, at the price of a scan (as small versions are, and all in milvus-lite).
        `bulk`: fill a new collection by the server's own bulk import, through this folder or bucket, which it can read
        as well: `s3://BUCKET/PREFIX` of the bucket that Milvus itself uses, or, for a server with local storage, a
        folder under the same path on both sides. If interrupted, the same call goes on. What a version changes in a
        collection is upserted as ever.

        Raises NotFoundError, InvalidInputError (what Milvus cannot hold, no bulk import), ConflictError (another
        process publishes), IntegrityError (somebody else changed the collection), BackendError. After any failure every
        version that was published is searched as before, and the next publish sweeps what is half there.
        """
        return self._session.milvus.publisher(self.name, to, progress, bulk).publish(
            text_of(at), dedicated=dedicated, flat=flat
        )

    def republish(self, *, to: str | Milvus | None = None, progress: Progress | None = None) -> list[Publication]:
        """Restore a Milvus that was lost or damaged: publish again all versions that were published there.

        A version counts as unpublished until it is restored. If interrupted, call it again. Raises as `publish`.
        """
        return self._session.milvus.publisher(self.name, to, progress).rebuild()

    def unpublish(self, at: Revision, *, to: str | Milvus | None = None) -> list[str]:
        """Unpublish a version; returns the commit ids under which it was published.

        Milvus deletes the rows that only this version had, and empty collections. The repository keeps everything:
        `publish` brings the version back. Raises NotPublishedError, and as `publish`.
        """
        return flows.unpublish(self._session.milvus.publisher(self.name, to), self.show(at))

    def unpublish_unnamed(self, *, to: str | Milvus | None = None) -> list[str]:
        """As `unpublish`, for every version that no branch, tag or alias names, or named in the last 30 days."""
        return flows.unpublish(self._session.milvus.publisher(self.name, to), None)

    def forget_publications(self, *, to: str | Milvus) -> list[str]:
        """Drop the records of a lost Milvus without contacting it; returns the commit ids that were published there."""
        return flows.forget(self._session.milvus.publications(self.name, to)[1])

    def publication(self, at: Revision = "main", *, to: str | Milvus | None = None) -> Publication:
        """What any Milvus client needs to search a version, without contacting Milvus. Raises NotPublishedError."""
        place, book = self._session.milvus.publications(self.name, to)
        return flows.published(book, self.show(at), place)
