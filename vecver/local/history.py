"""Versions and the refs that name them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, overload

from vecver import flows, repo
from vecver.arguments import Kind, Revision, check_kind, tagged_of, text_of
from vecver.local.publishing import Publishing

if TYPE_CHECKING:
    from vecver.model import Commit, Coverage, Diff, DocumentDiff, Log, Move


class History(Publishing):
    """The calls that name, list, compare and move versions."""

    def log(self, at: Revision = "main") -> Log:
        """The commits that led to a revision, newest first, along first parents: an iterator that reads as it goes.

        At a prompt it shows the newest ten; `.to_pandas()` is a table of all.
        """
        from vecver.model import Log

        return Log(lambda: self._commits(at), f"{self.name}@{text_of(at)}")

    def _commits(self, at: Revision) -> Iterator[Commit]:
        id: str | None = self.resolve(at)
        while id:
            commit = self._versions.commit(id)
            yield commit
            id = commit.parents[0] if commit.parents else None

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

        The difference of one document has the texts of its chunks, and costs what that document is long. Raises
        NotFoundError for an unknown revision, or a document that neither version has.
        """
        old, new = (self._versions.snapshot(self.resolve(one)) for one in (before, after))
        return repo.diff(old, new) if document is None else repo.diff_document(old, new, document)

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
        """A new branch on a version; with `expected`, the commit id where you saw it, it is moved from there.

        Raises ConflictError if the name is taken, or the branch stands elsewhere (its `context` says where).
        """
        return repo.ref_moves.create(self._versions, self.name, "branch", name, self.resolve(at), expected=expected)

    def tag(self, name: str, at: Revision = "main") -> Move:
        """A name for a version, fixed for ever. Raises ConflictError if it is taken or was ever a tag."""
        return repo.ref_moves.create(self._versions, self.name, "tag", name, self.resolve(at))

    def delete_branch(self, name: str, *, expected: str | None = None) -> Move:
        """Remove a branch (only from `expected`, a commit id); no version is lost by it.

        Raises NotFoundError, ConflictError (the last branch; it stands elsewhere).
        """
        return repo.ref_moves.delete(self._versions, self.name, "branch", name, expected=expected)

    def delete_tag(self, name: str, *, expected: str | None = None) -> Move:
        """Remove a tag; its name is never used again, and no version is lost by it. As `delete_branch`."""
        return repo.ref_moves.delete(self._versions, self.name, "tag", name, expected=expected)

    def delete_alias(self, name: str, *, expected: str | None = None) -> Move:
        """Remove an alias; no version is lost by it. As `delete_branch`."""
        return repo.ref_moves.delete(self._versions, self.name, "alias", name, expected=expected)

    def promote(self, alias: str, at: Revision = "main", *, expected: str | None = None) -> Move:
        """Let an alias name a version. One small write; searches at the alias follow at once.

        `expected`: the full commit id where you saw it, or "absent" for a new one; if it stands elsewhere by now that
        is a ConflictError, whose `context` says where. Else it moves from wherever it stands.

        Where the repository was opened to publish this alias, the version is published first: if that fails, the
        alias stays where it is. (`rollback` publishes nothing: where it goes back to was published then.)
        """
        commit = self.resolve(at)
        if alias in self._session.publish:
            self.publish(commit)
        return repo.ref_moves.promote(self._versions, self.name, alias, commit, expected=expected)

    def rollback(self, ref: str, to: Revision | None = None, *, expected: str | None = None) -> Move:
        """Take an alias back to where it was, or give a branch a commit with its old content. No vector moves.

        `expected`: as `promote`.
        """
        target = None if to is None else self.resolve(to)
        return repo.ref_moves.rollback(self._versions, self.name, ref, target, expected=expected)

    def moves(self, kind: Kind, name: str) -> list[Move]:
        """Every move of a ref, newest first."""
        check_kind(kind)
        refs = self._versions.refs(self.name)
        found = list(refs.log(kind, name))
        if not found:
            raise repo.missing(kind, name, refs)
        return found
