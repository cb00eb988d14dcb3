"""Which versions changed a document. Of each version it reads where the rows lie; of rows, the document's alone.

Decisions
1. A version that left the document's row where it lay did not change it, and only its layout is read: 0.3 ms, beside
   the 0.2 ms of its commit. To open 100 versions and read the document of each took 0.4 s.
2. A row that lies elsewhere is compared by its bytes: `optimize` moves rows of versions that it does not change.
3. A version whose rows gc let go of is passed over: what it changed shows at the oldest version above it that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from vecver.errors import NotFoundError
from vecver.repo.rows import schema
from vecver.repo.rows.sorted_keys import as_keys

if TYPE_CHECKING:
    from vecver.model import Commit
    from vecver.repo.rows.layout import DocumentMasks
    from vecver.repo.rows.segment import Segment


class _Held(NamedTuple):
    """A document as a version holds it."""

    segment: str
    row: int
    identity: bytes  # all that the version says of it, but for its source


class DocumentChanges:
    """Finds the versions that changed a document. `seen`: whether one of those that were looked at has it.

    `masks_of` gives the live documents of a commit, `open_segment` a verified segment.
    """

    def __init__(
        self, document: str, masks_of: Callable[[str], DocumentMasks], open_segment: Callable[[str], Segment]
    ) -> None:
        self._id, self._masks_of, self._open_segment = as_keys([schema.document_id(document)]), masks_of, open_segment
        self._rows: dict[str, list[int]] = {}  # of each segment, whether live or not
        self.seen = False

    def among(self, commits: Iterable[Commit], since: str | None = None) -> Iterator[Commit]:
        """Those of these versions, newest first, in which the document is not as in the one before each.

        `commits`: each is followed by its first parent. `since`: the id of the version that only the one after it is
        compared with. Raises NotFoundError, IntegrityError (a version or its rows cannot be read).
        """
        newer: Commit | None = None
        held: _Held | None = None
        ends = False
        for commit in commits:
            ends = ends or commit.id == since
            masks = self._masks(commit.id)
            if masks is None:
                continue
            here = self._held_by(masks, held)
            if newer and (here and here.identity) != (held and held.identity):
                yield newer
            newer, held = commit, here
            if ends:
                return
        if newer and held:
            yield newer

    def _masks(self, commit: str) -> DocumentMasks | None:
        """The live documents of a version; None where gc let go of its rows."""
        try:
            return self._masks_of(commit)
        except NotFoundError as error:
            if error.code == "version_forgotten":
                return None
            raise

    def _held_by(self, masks: DocumentMasks, near: _Held | None) -> _Held | None:
        """The document as a version with these live rows holds it; `near`: where it probably lies."""
        if near and near.segment in masks and near.row in masks[near.segment]:
            return near
        for id in masks:
            rows = self._rows_in(id)
            live = masks[id] if rows else ()
            for row in (row for row in rows if row in live):
                self.seen = True
                (identity,) = schema.document_bytes(self._open_segment(id).documents, [row])
                return _Held(id, row, identity)
        return None

    def _rows_in(self, id: str) -> list[int]:
        if id not in self._rows:
            self._rows[id] = sorted(self._open_segment(id).find_documents(self._id)[1].tolist())
        return self._rows[id]
