"""Versions behind a service, and the refs that name them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

from vecver import repo
from vecver.arguments import Engine, Kind, Revision, check_engine, check_kind, tagged_of, text_of
from vecver.errors import NotFoundError
from vecver.model import Commit, Coverage, Diff, DocumentDiff, ExpectedRecall, Json, Log, Move, Policy
from vecver.remote.handle import RemoteHandle, commit_of, condition, revision_text
from vecver.remote.http import read

if TYPE_CHECKING:
    from vecver.flows import Progress, Questions

PAGE = 50  # commits in a request

_PLURAL = {"branch": "branches", "tag": "tags", "alias": "aliases"}


class RemoteHistory(RemoteHandle):
    """The calls that name, list, compare and move versions, as `Dataset` has them."""

    def log(self, at: Revision = "main") -> Log:
        """The commits that led to a revision, newest first; as `Dataset.log`. Pages are fetched as they are read."""
        return Log(lambda: self._commits(at), f"{self.name}@{text_of(at)}")

    def _commits(self, at: Revision) -> Iterator[Commit]:
        cursor = None
        while True:
            page = self._wire.get(self._path("commits"), ref=revision_text(at), limit=PAGE, cursor=cursor)
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

    def promote(
        self,
        alias: str,
        at: Revision = "main",
        *,
        expected: str | None = None,
        gates: Sequence[str] = (),
        questions: Questions | None = None,
        exact: bool = False,
        engine: Engine = "faiss",
        override: str | None = None,
        progress: Progress | None = None,
    ) -> Move:
        """Let an alias name a version, as `Dataset.promote` does; questions that are not a name are sent."""
        check_engine(engine)
        body: Json = {"ref": revision_text(at)}
        if gates:
            body |= {"gates": [gates] if isinstance(gates, str) else list(gates), "exact": exact, "engine": engine}
            body |= {} if questions is None else {"questions": self._questions_json(questions)}
        body |= {} if override is None else {"override": override}
        return self._move("PUT", self._ref("alias", alias), body, expected)

    def policy(self, alias: str) -> Policy | None:
        """As `Dataset.policy`."""
        return read(self._wire.get(self._path("policies", alias)), _policy_of)

    def set_policy(
        self,
        alias: str,
        gates: Sequence[str],
        *,
        questions: str | None = None,
        exact: bool = False,
        engine: Engine = "faiss",
    ) -> Policy:
        """As `Dataset.set_policy`; the key must be an admin's."""
        check_engine(engine)
        texts = [gates] if isinstance(gates, str) else list(gates)
        body: Json = {"gates": texts, "questions": questions, "exact": exact, "engine": engine}
        policy = read(self._wire.write("PUT", self._path("policies", alias), body), _policy_of)
        assert policy is not None, "the service answers with what it keeps"
        return policy

    def remove_policy(self, alias: str) -> None:
        """As `Dataset.remove_policy`; the key must be an admin's."""
        self._wire.write("DELETE", self._path("policies", alias))

    def rollback(self, ref: str, to: Revision | None = None, *, expected: str | None = None) -> Move:
        """Take an alias back to where it was, or give a branch a commit with its old content. No vector moves."""
        body = {"ref": ref, "to": None if to is None else revision_text(to)}
        return self._move("POST", self._path("rollback"), body, expected)

    def _move(self, method: str, path: str, body: Json | None, expected: str | None = None) -> Move:
        return read(self._wire.write(method, path, body, condition(expected)), Move.from_json)

    def moves(self, kind: Kind, name: str) -> list[Move]:
        """Every move of a ref, newest first."""
        body = self._wire.get(f"{self._ref(kind, name)}/moves")
        return read(body, lambda it: [Move.from_json(value) for value in it["moves"]])

    def _ref(self, kind: str, name: str) -> str:
        check_kind(kind)
        repo.check_name(kind, name)
        return self._path(_PLURAL[kind], name)


def _expected_recall(body: Json) -> ExpectedRecall:
    if "expected_recall" in body:
        return ExpectedRecall.from_json(body["expected_recall"])
    return ExpectedRecall.unknown(10, body["counts"]["chunks"], 0)


def _policy_of(body: Json) -> Policy | None:
    return Policy.from_json(body["policy"]) if body["policy"] else None
