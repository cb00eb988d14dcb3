"""Question sets and evaluations: bodies of requests, and what routes answer with."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from vecver_service.schemas.requests import (
    Filter,
    Fusion,
    Mode,
    Request,
    RerankerName,
    RerankTop,
    Revision,
    Vector,
    Weight,
    mixing,
)

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
    mode: Mode = "dense"
    weight: Weight = None
    fusion: Fusion = None
    reranker: RerankerName = None
    rerank_top: RerankTop = None
    per_question: Annotated[bool, Field(description="Send every question with its ranking too.")] = False


class Compare(Request):
    """Two versions, and the questions that both are asked."""

    before: Annotated[Revision, Field(alias="from")]
    after: Annotated[Revision, Field(alias="to")] = "main"
    questions: Annotated[list[Question] | str, Field(description="The name of a stored set, or questions.")]
    measures: Annotated[list[Annotated[str, Field(max_length=100)]] | None, Field(max_length=50)] = None
    exact: bool = False
    mode: Mode = "dense"
    weight: Weight = None
    fusion: Fusion = None
    reranker: RerankerName = None
    rerank_top: RerankTop = None
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
    mode: Mode = "dense"
    weight: Weight = None
    fusion: Fusion = None
    reranker: RerankerName = None
    rerank_top: RerankTop = None
    limit: Annotated[int | None, Field(ge=1, description="At most so many versions.")] = None


class Bisect(Request):
    """What broke: a query with what it must find, or a gate with its questions; and between which versions."""

    good: Revision
    bad: Revision = "main"
    query: Annotated[str, Field(max_length=100_000)] | None = None
    vector: Annotated[Vector | None, Field(description="The query as a vector of the version's space.")] = None
    expect: Annotated[str | None, Field(max_length=4096, description="The id of a document that must be found,")] = None
    contains: Annotated[str | None, Field(max_length=100_000, description="or a text that a hit must hold,")] = None
    k: Annotated[int, Field(ge=1, description="among the first `k`.")] = 10
    filter: Filter = None
    gate: Annotated[str, Field(max_length=300, examples=["R@10 >= 0.9"])] | None = None
    questions: Annotated[list[Question] | str | None, Field(description="The name of a stored set, or questions.")] = (
        None
    )
    exact: bool = False
    mode: Mode = "dense"
    weight: Weight = None
    fusion: Fusion = None

    def asked(self) -> Json:
        """What is asked, for an Idempotency-Key: as an older service knows it where no mode is named."""
        return self.model_dump(exclude={"mode", "weight", "fusion"} - mixing(self).keys())


class Tune(Request):
    """By which questions the weight of hybrid search is chosen."""

    ref: Revision = "main"
    questions: Annotated[list[Question] | str, Field(description="The name of a stored set, or questions.")]
    measure: Annotated[str, Field(max_length=100)] = "nDCG@10"
    exact: bool = False
    apply: Annotated[bool, Field(description="Commit the weight on the branch `ref`.")] = False


class Tuned(BaseModel):
    """The weight of the vectors that the questions chose, and what that is worth."""

    dataset: str
    commit: str
    questions: Json
    measure: str
    curve: Annotated[list[tuple[float, float]], Field(description="(weight, mean over all questions).")]
    weight: Annotated[float, Field(description="To take: one side alone, 0 or 1, unless a mixture is clearly better.")]
    folds: int
    cross_validated: Annotated[float, Field(description="The mean with weights chosen by other folds.")]
    dense: float
    keyword: float
    applied: Annotated[str | None, Field(description="The commit whose recipe says this weight.")]
    gain: Annotated[float, Field(description="Of the best mixture on the better side; above 0 is better.")]
    gain_error: Annotated[float, Field(description="The standard error of `gain`.")]


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
    approval: Annotated[bool | None, Field(description="Only if somebody else must approve each promotion.")] = None
    mode: Annotated[str | None, Field(description="Only if it is not dense: by what chunks are ranked.")] = None
    weight: Annotated[float | None, Field(description="Only if one was given, as `fusion`.")] = None
    fusion: str | None = None


class Policies(BaseModel):
    """The policies of a dataset, by alias."""

    policies: dict[str, KeptPolicy]


class Approval(BaseModel):
    """A promotion that held its gates, and that somebody else must approve, or did."""

    id: str
    alias: str
    commit: str
    before: str | None
    author: str
    key: str
    time: str
    gating: Json | None
    gates: list[str]
    questions: Json | None
    exact: bool
    engine: str
    state: Literal["waiting", "approved", "rejected"]
    decided_by: str
    decided_key: str
    decided: str
    reason: str
    mode: Annotated[
        str | None, Field(description="Only if it is not dense: by what the caller's gates rank chunks.")
    ] = None
    weight: Annotated[float | None, Field(description="Only if one was given, as `fusion`.")] = None
    fusion: str | None = None


class Approvals(BaseModel):
    """The newest request for each alias, sorted by alias."""

    approvals: list[Approval]


class Waiting(BaseModel):
    """What a promotion is answered with that waits for an approval, and what to do."""

    code: str
    category: str
    detail: str
    hint: str
    hint_python: Annotated[str | None, Field(description="The same for Python's client, where it differs.")] = None
    approval: Approval


class Tested(BaseModel):
    """A version that was tried."""

    commit: str
    passed: bool
    value: float | None


class Bisection(BaseModel):
    """The first version that fails, and the last one before it that passes."""

    dataset: str
    commit: str
    good: str
    evaluations: int
    between: int
    tested: list[Tested]
    diff: Json


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


class Measures(BaseModel):
    """What was measured of a version, the newest by kind."""

    commit: str
    measures: Annotated[
        dict[str, Json], Field(description="recall, and recall-MODE of other modes; `damaged` says why one is not.")
    ]


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


class DriftExample(BaseModel):
    """A chunk that shows how a statistic moved."""

    document: str
    key: str
    text: str


class DriftShare(BaseModel):
    """A class of rows, and which share of all it is in both versions."""

    name: str
    before: Annotated[float, Field(alias="from")]
    after: Annotated[float, Field(alias="to")]


class DriftStatistic(BaseModel):
    """A statistic of two versions; it moved if its distance is above its threshold."""

    name: str
    moved: bool
    distance: float
    threshold: float
    text: str
    shares: list[DriftShare]
    examples: Annotated[list[DriftExample], Field(description="Chunks of the later version, where it moved.")]
    gone: Annotated[list[DriftExample], Field(description="Chunks of the earlier version, where it moved.")]


class DriftCount(BaseModel):
    """A count in two versions."""

    before: Annotated[int, Field(alias="from")]
    after: Annotated[int, Field(alias="to")]


class Drift(BaseModel):
    """What moved between two versions beyond chance."""

    dataset: str
    before: Annotated[str, Field(alias="from")]
    after: Annotated[str, Field(alias="to")]
    drifted: bool
    moved: list[str]
    text: str
    documents: DriftCount
    chunks: DriftCount
    changed: Annotated[int, Field(description="Documents that were added, changed or removed.")]
    statistics: Annotated[list[DriftStatistic], Field(description="The farthest above their thresholds first.")]


class Sketch(BaseModel):
    """What a version's chunks are like."""

    documents: int
    chunks: int
    characters: Annotated[int, Field(description="Of the median chunk.")]
    longest: Annotated[int, Field(description="Characters that 95% of the chunks do not exceed.")]
    languages: Annotated[dict[str, float], Field(description="Share of the chunks by language, guessed.")]
    repeats: Annotated[float, Field(description="Share of the chunks whose text another one has already.")]
    norm: str


class VersionSketch(BaseModel):
    """The sketch of a version."""

    commit: str
    sketch: Annotated[Sketch | None, Field(description="null where an older vecver made the version.")]
