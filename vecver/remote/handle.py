"""What the parts of a remote dataset share: the HTTP client, the dataset's name, and the commits of revisions."""

from __future__ import annotations

import base64
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecver import flows
from vecver.arguments import Revision, text_of
from vecver.errors import IntegrityError, InvalidInputError
from vecver.wire import Wire, path_of, read

if TYPE_CHECKING:
    from vecver.flows import Questions
    from vecver.model import Commit, Json, Reranker


class RemoteHandle:
    """A dataset's name and the client of its service. `RemoteDataset` adds the calls."""

    def __init__(self, wire: Wire, name: str) -> None:
        self.name = name
        self._wire = wire

    def resolve(self, at: Revision = "main") -> str:
        """The full commit id that a revision names."""
        return self.show(at).id

    def show(self, at: Revision = "main") -> Commit:
        """The commit that a revision names."""
        # as a parameter, since a path cannot hold every revision
        page = self._wire.get(self._path("commits"), ref=revision_text(at), limit=1)
        return read(page, lambda body: commit_of(body["commits"][0]))

    def _path(self, *parts: str) -> str:
        return path_of("datasets", self.name, *parts)

    def _question_sets(self) -> dict[str, str]:
        """name -> digest of the question sets in the service."""
        body = self._wire.get(self._path("questions"))
        return read(body, lambda it: {each["name"]: each["digest"] for each in it["questions"]})

    def _questions_json(self, questions: Questions, qrels: str | PathLike[str] | None = None) -> str | list[Json]:
        """What is sent for questions: the name of a set in the service, or the questions themselves."""
        is_name = isinstance(questions, str) and qrels is None and "/" not in questions
        if is_name and (not Path(str(questions)).exists() or questions in self._question_sets()):
            return str(questions)
        return [question.to_json() for question in flows.read_questions(questions, qrels=qrels).questions]


def revision_text(at: Revision) -> str:
    """A revision as text. Raises InvalidInputError (none or empty: the service would read it as its default)."""
    text = text_of(at)
    if not isinstance(text, str) or not text:
        raise InvalidInputError(
            f"{text!r} is not a revision",
            code="invalid_revision",
            hint="name a branch, tag, alias or commit id; `main` is the default branch",
        )
    return text


def vector_text(query: Any) -> str:
    """Base64 of a query vector's little-endian float32 bytes."""
    return base64.b64encode(flows.query_vector(query).astype("<f4").tobytes()).decode()


def query_json(query: Any) -> Json:
    """One query's part of a body. Vectors are sent as their float32 bytes, so that no bit is lost."""
    if isinstance(query, str):
        return {"query": query}
    if isinstance(query, dict):
        return {"query": query["text"], "vector": vector_text(query["vector"])}
    return {"vector": vector_text(query)}


def reranker_name(reranker: Reranker) -> str:
    """The name of one of the service's rerankers. Raises InvalidInputError for one with options of its own."""
    if reranker != type(reranker)(reranker.model):
        raise InvalidInputError(
            "a reranker with a key and options cannot travel to a service",
            code="reranker_not_named",
            hint="name one that the service's operator has set up with VECVER_RERANKERS: reranker='bge'",
        )
    return reranker.model


def commit_of(value: Json) -> Commit:
    """The commit in an answer. Raises IntegrityError unless its id is the digest of the content that arrived."""
    from vecver.model import Commit

    commit = Commit.from_json(value)
    if commit.id != value["commit"]:
        raise IntegrityError(
            f"the service sent another commit than {value['commit']}, or one of a format that is not known here",
            code="digest_mismatch",
            hint="upgrade this vecver to the service's version; ask its operator to run `vecver check`",
        )
    return commit


def condition(expected: str | None) -> dict[str, str]:
    """The header that says on which commit a ref must stand: a commit id, "absent" for a new ref, None for any."""
    if expected is None:
        return {}
    return {"if-none-match": "*"} if expected == "absent" else {"if-match": f'"{expected}"'}
