"""Versions behind a service, and the refs that name them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import overload

from vecver.arguments import Kind, Revision, tagged_of, text_of
from vecver.errors import NotFoundError
from vecver.model import Commit, Coverage, Diff, DocumentDiff, ExpectedRecall, Json, Log, Move
from vecver.remote.handle import commit_of, revision_text
from vecver.remote.promoting import RemotePromoting
from vecver.wire import read

PAGE = 50  # commits in a request


class RemoteHistory(RemotePromoting):
    """The calls that name, list and compare versions, as `Dataset` has them."""

    def log(self, at: Revision = "main", *, document: str | None = None, since: Revision | None = None) -> Log:
        """The commits that led to a revision, newest first; as `Dataset.log`. Pages are fetched as they are read."""
        return Log(lambda: self._commits(at, document, since), f"{self.name}@{text_of(at)}")

    def _commits(self, at: Revision, document: str | None, since: Revision | None) -> Iterator[Commit]:
        only = {"document": document, "since": None if since is None else revision_text(since)}
        cursor = None
        while True:
            page = self._wire.get(self._path("commits"), ref=revision_text(at), limit=PAGE, cursor=cursor, **only)
            commits, cursor = read(page, lambda it: ([commit_of(value) for value in it["commits"]], it["next"]))
            yield from commits
            if cursor is None:
                return

    def tagged(self) -> Iterator[tuple[Commit, list[str]]]:
        """Every version that has a tag, with its tags; a version comes after those that it was made from."""
        commits: dict[str, Commit] = {}

        def load(id: str) -> Commit:
            if id not in commits:
                commits.update((commit.id, commit) for commit in self.log(id))
            return commits[id]

        return tagged_of(self.tags(), load)

    def partial_reads(self, at: Revision = "main") -> dict[str, Coverage]:
        """The documents of a version that were read in part, sorted by id: how much, and what is missing."""
        body = self._wire.get(self._path("commits", self.resolve(at)))
        return read(body, lambda it: {item["document"]: Coverage.from_json(item) for item in it["partial"]})

    def expected_recall(self, at: Revision = "main") -> ExpectedRecall:
        """What recall to expect of a version, as `Dataset.expected_recall`; unknown of a service that does not say."""
        body = self._wire.get(self._path("commits", self.resolve(at)))
        return read(body, _expected_recall)

    @overload
    def diff(self, before: Revision, after: Revision) -> Diff: ...
    @overload
    def diff(self, before: Revision, after: Revision, *, document: str) -> DocumentDiff: ...
    def diff(self, before: Revision, after: Revision, *, document: str | None = None) -> Diff | DocumentDiff:
        """As `Dataset.diff`: what `after` adds, changes and removes against `before`."""
        params = {"from": revision_text(before), "to": revision_text(after), "document": document}
        body = self._wire.get(self._path("diff"), **params)
        return read(body, Diff.from_json) if document is None else read(body, DocumentDiff.from_json)

    # -- refs -----------------------------------------------------------------------------------

    def branches(self) -> dict[str, str]:
        """name -> commit id."""
        return self._refs("branches")

    def tags(self) -> dict[str, str]:
        """name -> commit id."""
        return self._refs("tags")

    def aliases(self) -> dict[str, str]:
        """name -> commit id."""
        return self._refs("aliases")

    def _refs(self, kinds: str) -> dict[str, str]:
        try:
            return read(self._wire.get(self._path(kinds)), lambda it: dict(it[kinds]))
        except NotFoundError as error:
            if error.code == "dataset_not_found":  # a dataset without a version has no refs
                return {}
            raise

    def branch(self, name: str, at: Revision = "main", *, expected: str | None = None) -> Move:
        """A new branch on a version, or with `expected` one that is moved from there: as `Dataset.branch`."""
        return self._move("PUT", self._ref("branch", name), {"ref": revision_text(at)}, expected)

    def tag(self, name: str, at: Revision = "main") -> Move:
        """A name for a version, fixed for ever. Raises ConflictError if it is taken or was ever a tag."""
        return self._move("PUT", self._ref("tag", name), {"ref": revision_text(at)})

    def delete_branch(self, name: str, *, expected: str | None = None) -> Move:
        """Remove a branch (only from `expected`, a commit id); no version is lost by it."""
        return self._move("DELETE", self._ref("branch", name), None, expected)

    def delete_tag(self, name: str, *, expected: str | None = None) -> Move:
        """Remove a tag; its name is never used again, and no version is lost by it."""
        return self._move("DELETE", self._ref("tag", name), None, expected)

    def delete_alias(self, name: str, *, expected: str | None = None) -> Move:
        """Remove an alias; no version is lost by it."""
        return self._move("DELETE", self._ref("alias", name), None, expected)

    def moves(self, kind: Kind, name: str) -> list[Move]:
        """Every move of a ref, newest first."""
        body = self._wire.get(f"{self._ref(kind, name)}/moves")
        return read(body, lambda it: [Move.from_json(value) for value in it["moves"]])


def _expected_recall(body: Json) -> ExpectedRecall:
    if "expected_recall" in body:
        return ExpectedRecall.from_json(body["expected_recall"])
    return ExpectedRecall.unknown(10, body["counts"]["chunks"], 0)
