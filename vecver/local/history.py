"""The calls of `Dataset` on versions and the refs that name them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, Unpack, overload

from vecver import flows, repo
from vecver.arguments import HistoryOptions, Kind, Revision, check_kind, check_options, tagged_of, text_of
from vecver.errors import NotFoundError
from vecver.local.promoting import Promoting

if TYPE_CHECKING:
    from vecver.model import Commit, Coverage, Diff, DocumentDiff, Log, MeasureHistory, Move


class History(Promoting):
    """The calls that name, list and compare versions."""

    def log(self, at: Revision = "main", *, document: str | None = None, since: Revision | None = None) -> Log:
        """The commits that led to a revision, newest first, along first parents; an iterator that reads one at a time.

        `document`: only those that added, changed or removed the document with this id. `since`: only those after this
        version; all, where `at` did not come from it. A version whose rows gc let go of is passed over by `document`:
        what it did to one shows at the oldest kept version after it.

        At a prompt it shows the newest ten; `.to_pandas()` is a table of all.
        Raises NotFoundError (revision; no version that was looked at has the document), InvalidInputError.
        """
        from vecver.model import Log

        return Log(lambda: self._logged(at, document, since), f"{self.name}@{text_of(at)}")

    def _logged(self, at: Revision, document: str | None, since: Revision | None) -> Iterator[Commit]:
        start = self.resolve(at)
        last = None if since is None else self.resolve(since)
        if document is not None:
            return flows.document_history(self._versions, start, self._commits(start), document, last)
        return takewhile(lambda commit: commit.id != last, self._commits(start))

    def _commits(self, at: Revision) -> Iterator[Commit]:
        id: str | None = self.resolve(at)
        while id:
            commit = self._versions.commit(id)
            yield commit
            id = commit.parents[0] if commit.parents else None

    def measure_history(
        self,
        at: Revision = "main",
        **how: Unpack[HistoryOptions],
    ) -> MeasureHistory:
        """What is stored of the measures of the versions that led to `at`, newest first; nothing is measured anew.

        `measures`: names as for `eval`, and `ann_recall@k`, which `recall` measures (`ann_recall`: at every k that was
        measured); by default those of `eval` and ann_recall@10. `questions`: the set that relevance was measured by, a
        name or what `add_questions` takes, with its `qrels`; needless where the dataset keeps one set. `exact`,
        `engine`, `mode`, `weight` and `fusion` say how it was measured, `reranker` and `rerank_top` what ordered the
        hits; values of another mode or reranker, or of another weight than `search` would take, do not count.
        `limit`: at most so many versions. A version that was not measured has no value.

        Raises NotFoundError (revision, set, file), InvalidInputError (a measure; it is not clear by which questions).
        """
        check_options("measure_history", HistoryOptions, how)
        engine = self._engine(how)
        flows.check_page(limit=how.get("limit"))
        asked = (how.get("measures"), how.get("questions"), how.get("qrels"))
        wanted = flows.wanted_of(self._versions, self.name, *asked)
        commits = islice(self._commits(at), how.get("limit"))
        return flows.measure_history(self._versions, self.name, commits, wanted, engine)

    def tagged(self) -> Iterator[tuple[Commit, list[str]]]:
        """Every version that has a tag, with its tags; a version comes after those that it was made from."""
        return tagged_of(self.tags(), self._versions.commit)

    def partial_reads(self, at: Revision = "main") -> dict[str, Coverage]:
        """The documents of a version that were read in part, sorted by id: how much, and what is missing."""
        return flows.partial_reads(self._versions, self.resolve(at))

    @overload
    def diff(self, before: Revision, after: Revision) -> Diff: ...
    @overload
    def diff(self, before: Revision, after: Revision, *, document: str) -> DocumentDiff: ...
    def diff(self, before: Revision, after: Revision, *, document: str | None = None) -> Diff | DocumentDiff:
        """What `after` adds, changes and removes against `before`: documents, or the chunks of one `document`.

        The difference of one document includes the texts of its chunks; its cost depends on that document alone.
        In a clone without rows it reads the documents that differ from the remote, and brings no version here; for one
        `document` both versions come. Raises NotFoundError (an unknown revision, or a document that neither version
        has).
        """
        ids = [self.resolve(revision) for revision in (before, after)]
        if document is not None:
            old, new = map(self._versions.snapshot, ids)
            return repo.diff_document(old, new, document)
        try:
            old, new = (self._versions.snapshot(id, bring=False) for id in ids)
        except NotFoundError as error:
            if error.code != "rows_elsewhere":
                raise
            old, new = (repo.lent(self._versions, id, self._session.remote_key) for id in ids)
            return repo.diff_documents(old, new)
        return repo.diff(old, new)

    def branches(self) -> dict[str, str]:
        """name -> commit id."""
        return self._versions.refs(self.name).all("branch")

    def tags(self) -> dict[str, str]:
        """name -> commit id."""
        return self._versions.refs(self.name).all("tag")

    def aliases(self) -> dict[str, str]:
        """name -> commit id."""
        return self._versions.refs(self.name).all("alias")

    def branch(self, name: str, at: Revision = "main", *, expected: str | None = None) -> Move:
        """Create a branch on a version. With `expected`, its current commit id, move the existing branch instead.

        Raises NotFoundError (revision), InvalidInputError (name), ConflictError (the name is taken, or the branch is at
        another commit, which `context` names).
        """
        with self._versions.moving(self.name, "branch", name, text_of(at)):
            where: dict[str, Any] = {"at": text_of(at), "expected": expected}
            return repo.ref_moves.create(self._versions, self.name, "branch", name, self.resolve(at), **where)

    def tag(self, name: str, at: Revision = "main") -> Move:
        """Name a version for ever. Raises NotFoundError, InvalidInputError, ConflictError (it is or was a tag)."""
        with self._versions.moving(self.name, "tag", name, text_of(at)):
            return repo.ref_moves.create(self._versions, self.name, "tag", name, self.resolve(at), at=text_of(at))

    def delete_branch(self, name: str, *, expected: str | None = None) -> Move:
        """Remove a branch; no version is lost. With `expected`, a commit id, only if the branch is there.

        Raises NotFoundError, ConflictError (the last branch; the branch is at another commit).
        """
        return repo.ref_moves.delete(self._versions, self.name, "branch", name, expected=expected)

    def delete_tag(self, name: str, *, expected: str | None = None) -> Move:
        """Remove a tag, whose name can never be used again; no version is lost. Otherwise as `delete_branch`."""
        return repo.ref_moves.delete(self._versions, self.name, "tag", name, expected=expected)

    def delete_alias(self, name: str, *, expected: str | None = None) -> Move:
        """Remove an alias; no version is lost. Otherwise as `delete_branch`."""
        return repo.ref_moves.delete(self._versions, self.name, "alias", name, expected=expected)

    def moves(self, kind: Kind, name: str) -> list[Move]:
        """Every move of a ref, newest first. Raises NotFoundError, InvalidInputError (no such kind)."""
        check_kind(kind)
        refs = self._versions.refs(self.name)
        moves = [repo.with_gating(self._versions.store, move) for move in refs.log(kind, name)]
        if not moves:
            raise repo.missing(kind, name, refs)
        return moves
