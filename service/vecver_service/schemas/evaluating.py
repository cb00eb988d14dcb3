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


class MeasureHistoryOf(Request):
    """Of which versions the stored measures are read."""

    ref: Revision = "main"
    measures: Annotated[
        list[Annotated[str, Field(max_length=100)]] | None,
        Field(max_length=50, description="As for eval, and ann_recall@k; ann_recall: at every k that was measured."),
    ] = None
    questions: Annotated[
        list[Question] | str | None,
        Field(description="The name of a stored set, or questions; needless where the dataset keeps one set."),
    ] = None
    exact: bool = False
    engine: Literal["faiss", "milvus"] = "faiss"
    limit: Annotated[int | None, Field(ge=1, description="At most so many versions.")] = None


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


class StoredMeasure(BaseModel):
    """A measure of a version, as it was stored."""

    mean: float
    low: Annotated[float | None, Field(description="Its interval at 95%; absent for ann_recall.")] = None
    high: float | None = None
    engine: str
    time: str
    p50_ms: Annotated[float | None, Field(description="Of ann_recall: the median time of a query.")] = None
    queries: Annotated[int | None, Field(description="Of ann_recall: how many it was measured by.")] = None


class RefName(BaseModel):
    """A ref that stands at a version."""

    kind: Literal["branch", "tag", "alias"]
    name: str


class MeasuredVersion(BaseModel):
    """A version, and what was measured of it."""

    commit: str
    time: str
    message: str
    refs: list[RefName]
    documents: int
    chunks: int
    measures: Annotated[dict[str, StoredMeasure], Field(description="Without those that were not measured.")]


class MeasureHistory(BaseModel):
    """The stored measures of the versions that led to a revision, newest first."""

    dataset: str
    questions: QuestionSummary | None
    measures: list[str]
    versions: list[MeasuredVersion]
