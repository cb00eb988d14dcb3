"""The handle on an exported version: what `vecver.open_snapshot` returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from vecver import flows
from vecver.arguments import AskingOne, OneQuery, Queries, absolute, is_batch, like_question_of, question_of
from vecver.local.embedders import Embedders
from vecver.local.reading import chunks_of, one_or_all

if TYPE_CHECKING:
    from vecver.flows import Progress
    from vecver.model import (
        Answer,
        Check,
        Chunks,
        Commit,
        Count,
        Document,
        Fields,
        Hit,
        Json,
        Replay,
        StoredChunk,
    )


class Snapshot:
    """One exported version, without its repository. Made by `vecver.open_snapshot`."""

    def __init__(self, opened: flows.OneVersion, api_key: str | None = None, embedders: Sequence[Any] = ()) -> None:
        self._opened = opened
        self._embedders = Embedders(api_key, embedders)

    @property
    def path(self) -> str:
        """The folder."""
        return str(self._opened.folder)

    @property
    def repository_id(self) -> str:
        """The repository that it came from, as receipts name it."""
        return self._opened.id

    @property
    def commit(self) -> Commit:
        """The version."""
        return self._opened.opened.commit

    @overload
    def search(self, query: OneQuery, **how: Unpack[AskingOne]) -> Answer: ...
    @overload
    def search(self, query: Queries, **how: Unpack[AskingOne]) -> list[Answer]: ...
    def search(self, query: Any, **how: Unpack[AskingOne]) -> Answer | list[Answer]:
        """As `Dataset.search` at this commit: the same score bits; approximate answers come from the export's index."""
        answers = self._answers(question_of(query, at=self.commit.id, **how))
        return answers if is_batch(query) else answers[0]

    def more_like(self, document: str | Hit, **how: Unpack[AskingOne]) -> Answer:
        """As `Dataset.more_like` at this commit."""
        return self._answers(like_question_of(document, at=self.commit.id, **how))[0]

    def _answers(self, question: flows.Question) -> list[Answer]:
        return flows.answers(self._opened.opened, self._opened.id, question, self._embedders.open)

    def documents(
        self, *, where: Json | None = None, prefix: str = "", limit: int | None = None, after: str | None = None
    ) -> list[str]:
        """The ids of its documents, sorted; as `Dataset.documents`."""
        return flows.document_ids(self._opened.opened, where=where, prefix=prefix, limit=limit, after=after)

    @overload
    def get(self, ids: str, *, missing: Literal["error"] = "error") -> Document: ...  # type: ignore[overload-overlap]
    @overload
    def get(self, ids: str, *, missing: Literal["skip"]) -> Document | None: ...  # type: ignore[overload-overlap]
    @overload
    def get(self, ids: Iterable[str], *, missing: Literal["error", "skip"] = "error") -> list[Document]: ...
    def get(
        self, ids: str | Iterable[str], *, missing: Literal["error", "skip"] = "error"
    ) -> Document | list[Document] | None:
        """Documents by their ids, as `Dataset.get`; their source is not in the folder."""
        return one_or_all(ids, flows.get_documents(self._opened.opened, ids, missing=missing))

    def chunks(
        self, *, where: Json | None = None, vectors: bool = False, limit: int | None = None, after: str | None = None
    ) -> Chunks:
        """Its chunks, as `Dataset.chunks`."""
        opened, name = self._opened.opened, self.commit.dataset
        return chunks_of(opened, name, where=where, vectors=vectors, limit=limit, after=after)

    def chunk(self, key: str, context: int = 1) -> StoredChunk:
        """The chunk with this key, as `Dataset.chunk`."""
        return flows.one_chunk(self._opened.opened, key, context)

    def count(self, where: Json | None = None) -> Count:
        """How many documents and chunks it holds, or of those that match; as `Dataset.count`."""
        return flows.count_matching(self._opened.opened, where)

    def fields(self) -> Fields:
        """What filters may name, as `Dataset.fields`."""
        return flows.fields_of(self._opened.opened)

    def check(self, progress: Progress | None = None) -> Check:
        """Hash every file again, and prove the commit's roots from the rows."""
        return flows.check_export(self._opened, progress)

    def replay(self, receipt: Json) -> Replay:
        """Recompute an answer to this version, given here or by the repository. Raises as `Repository.replay`."""
        return flows.replay(self._opened, receipt, self._embedders.open)

    def __repr__(self) -> str:
        return f"<vecver snapshot {self.commit.dataset}@{self.commit.id[:12]} in {self.path}>"


def open_snapshot(
    folder: str | PathLike[str], *, api_key: str | None = None, embedders: Sequence[Any] = ()
) -> Snapshot:
    """The version that `Dataset.snapshot` exported to `folder`, after every file was verified.

    `embedders`: as `vecver.open`.

    Raises NotFoundError (no snapshot there), IntegrityError (a file was changed, or the format is unknown).
    """
    return Snapshot(flows.open_export(absolute(folder)), api_key, embedders)
