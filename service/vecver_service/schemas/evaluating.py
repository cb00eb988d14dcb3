"""Question sets and evaluations: bodies of requests, and what routes answer with."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from vecver_service.schemas.requests import Request, Revision

Json = dict[str, Any]
Question = Annotated[
    Json | str,
    Field(
        description="A text, or an object with `query` (or `vector`) and any of `documents`, `contains`, "
        "`not_documents`, `not_contains`, `filter`, `tags`, `id`.",
        examples=[{"query": "How do I bleed a radiator?", "documents": ["heating.md"]}],
    ),
]


class Questions(Request):
    """The questions of a set."""

    questions: list[Question]


class Eval(Request):
    """By which questions a version is measured."""

    ref: Revision = "main"
    questions: Annotated[list[Question] | str, Field(description="The name of a stored set, or questions.")]
    measures: Annotated[
        list[Annotated[str, Field(max_length=100)]] | None,
        Field(max_length=50, description="Names of ir_measures; by default nDCG@10, R@10, RR@10 and Success@5."),
    ] = None
    exact: bool = False
    engine: Literal["faiss", "milvus"] = "faiss"
    per_question: Annotated[bool, Field(description="Send every question with its ranking too.")] = False


class Compare(Request):
    """Two versions, and the questions that both are asked."""

    before: Annotated[Revision, Field(alias="from")]
    after: Annotated[Revision, Field(alias="to")] = "main"
    questions: Annotated[list[Question] | str, Field(description="The name of a stored set, or questions.")]
    measures: Annotated[list[Annotated[str, Field(max_length=100)]] | None, Field(max_length=50)] = None
    exact: bool = False
    engine: Literal["faiss", "milvus"] = "faiss"


class QuestionSummary(BaseModel):
    """What a set is."""

    name: str
    digest: str
    count: int
    judged: int
    forbidding: int
    skipped: Annotated[Json | None, Field(description="Only where something was left out: how much, by reason.")] = None


class QuestionSummaries(BaseModel):
    """The sets of a dataset."""

    questions: list[QuestionSummary]


class QuestionSet(QuestionSummary):
    """A set and its questions."""

    questions: list[Json]


class RemovedQuestions(BaseModel):
    """A set that no name means any more."""

    name: str
    digest: str


class KeptPolicy(BaseModel):
    """Gates, and the stored set by which they measure."""

    gates: list[str]
    questions: str | None
    exact: bool
    engine: str
    author: str
    time: str


class AliasPolicy(BaseModel):
    """The gates that are fastened to an alias."""

    alias: str
    policy: KeptPolicy | None


class Mean(BaseModel):
    """A mean over questions, and its interval at 95%."""

    mean: float
    low: float
    high: float


class Evaluation(BaseModel):
    """How well a version answers questions."""

    dataset: str
    commit: str
    questions: QuestionSummary
    engine: Json
    measures: dict[str, Mean]
    tags: dict[str, Json]
    skipped: dict[str, int]
    time: str
    reused: bool
    not_kept: Annotated[str | None, Field(description="Only where it could not be stored: why.")] = None
    per_question: Annotated[list[Json] | None, Field(description="Only if it was asked for.")] = None


class Delta(BaseModel):
    """A measure in two versions: means, their difference with its interval at 95%, and a paired test."""

    before: Annotated[float, Field(alias="from")]
    after: Annotated[float, Field(alias="to")]
    delta: float
    low: float
    high: float
    p: float
    wins: int
    ties: int
    losses: int


class VersionComparison(BaseModel):
    """What two versions answer to the same questions."""

    dataset: str
    before: Annotated[str, Field(alias="from")]
    after: Annotated[str, Field(alias="to")]
    questions: QuestionSummary
    depth: int
    measures: dict[str, Delta]
    rbo: float
    whys: dict[str, int]
    skipped: dict[str, int]
    per_question: list[Json]
