"""Bodies and options of requests: unknown names are errors."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from vecver.errors import InvalidInputError

Json = dict[str, Any]
_MAX_DEPTH = 16  # levels of a filter
_MAX_VALUES = 10_000  # of a filter


def _filter(value: Json | None) -> Json | None:
    """The filter itself. Raises ValueError if it is too deep or too large."""
    left, level = _MAX_VALUES, [value]
    for _ in range(_MAX_DEPTH):
        level = [item for parent in level for item in _items(parent)]
        left -= len(level)
        if not level:
            return value
        if left < 0:
            break
    raise ValueError(f"a filter has up to {_MAX_DEPTH} levels and {_MAX_VALUES} values")


def check_filter(value: Any) -> None:
    """Raises InvalidInputError for a filter that is too large."""
    try:
        _filter(value)
    except ValueError as error:
        raise InvalidInputError(
            str(error), code="invalid_filter", hint="ask simpler, or in several requests"
        ) from error


def check_limit(name: str, value: int, limit: int, setting: str = "") -> None:
    """Raises InvalidInputError if `value` is over the limit. `setting`: of VECVER_MAX_..., where it is not `name`."""
    if value > limit:
        raise InvalidInputError(
            f"{name} is {value}, and this service takes up to {limit}",
            code="limit",
            hint=f"ask for less, or let its operator raise VECVER_MAX_{(setting or name).upper()}",
        )


def _items(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


class Request(BaseModel):
    """A request's body: unknown names are errors, and a text for a number is one."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


Vector = Annotated[
    list[float] | str,
    Field(description="Numbers, or base64 of its little-endian float32 bytes.", examples=[[0.1, 0.2]]),
]
Filter = Annotated[Json | None, AfterValidator(_filter), Field(examples=[{"year": {"$gte": 2024}, "lang": "en"}])]
Mode = Annotated[
    Literal["dense", "keyword", "hybrid"],
    Field(description="By what chunks are ranked: their vectors, their words (BM25 of this version), or both."),
]
Weight = Annotated[
    float | None,
    Field(ge=0, le=1, description="Of the vectors in hybrid search; null is what the version's recipe says."),
]
Fusion = Annotated[
    Literal["convex", "rrf"] | None,
    Field(description="How hybrid search adds: scores, each as a part of the best (the default), or reciprocal ranks."),
]
RerankerName = Annotated[
    str | None,
    Field(min_length=1, max_length=300, description="The name of a reranker of this service, that orders the hits."),
]
RerankTop = Annotated[int | None, Field(ge=1, description="How many hits it reads; null is 50.")]
Revision = Annotated[str, Field(max_length=300, examples=["prod", "main~2", "3f9a2c1"])]


class Search(Request):
    """One of `query`, `queries`, `vector`, `vectors`, `like`; and how."""

    query: Annotated[str, Field(max_length=100_000)] | None = None
    queries: list[Annotated[str, Field(max_length=100_000)]] | None = None
    vector: Vector | None = None
    vectors: list[Vector] | None = None
    like: Annotated[
        str | None,
        Field(min_length=1, max_length=4096, description="A document's id or a chunk's key: what is like it?"),
    ] = None
    ref: Revision = "main"
    k: Annotated[int, Field(ge=1)] = 10
    filter: Filter = None
    exact: bool = False
    engine: Literal["faiss", "milvus"] = "faiss"
    context: Annotated[int, Field(ge=0)] = 0
    space: Annotated[str, Field(max_length=300)] | None = None
    receipt: bool = True
    offset: Annotated[int, Field(ge=0, description="Hits of the ranking that are left out at the beginning.")] = 0
    per_document: Annotated[int | None, Field(ge=1, description="At most so many hits of one document.")] = None
    min_score: Annotated[float | None, Field(description="Only hits with at least this score.")] = None
    diversity: Annotated[
        float | None, Field(ge=0, le=1, description="From 0, only the score counts, to 1 (maximal marginal relevance).")
    ] = None
    mode: Mode = "dense"
    weight: Weight = None
    fusion: Fusion = None
    reranker: RerankerName = None
    rerank_top: RerankTop = None
    hit_vectors: Annotated[
        Literal["base64", "list"] | None,
        Field(description="Add each hit's stored vector: as numbers, or base64 of its little-endian float32 bytes."),
    ] = None
    missing: Annotated[
        Literal["error", "empty"],
        Field(description="Of a dataset, revision or field that is not there: an error, or no hits and `missing`."),
    ] = "error"

    @model_validator(mode="after")
    def _one(self) -> Search:
        names = ("query", "queries", "vector", "vectors", "like")
        given = [name for name in names if getattr(self, name) is not None]
        is_pair = self.reads_text and given in (["query", "vector"], ["queries", "vectors"])
        if len(given) != 1 and not is_pair:
            raise ValueError("give one of query, queries, vector, vectors, like")
        if given == ["queries", "vectors"] and len(self.queries or ()) != len(self.vectors or ()):
            raise ValueError("give a vector for each of queries")
        return self

    @property
    def reads_text(self) -> bool:
        """Whether a vector may come with its text."""
        return self.reranker is not None or self.mode == "hybrid"

    def options(self) -> Json:
        """The options of `Dataset.search` except `at` and `engine`."""
        names = ("k", "exact", "filter", "context", "space", "offset", "per_document", "min_score", "diversity")
        options = {name: getattr(self, name) for name in names}
        options |= {name: value for name in _RANKING if (value := getattr(self, name)) is not None} | mixing(self)
        return {**options, "vectors": self.hit_vectors is not None, "missing": self.missing}

    def queries_of(self) -> tuple[list[Any] | str, bool]:
        """(the texts and vectors, or `like`; whether it is a single query). Raises InvalidInputError (bad base64)."""
        if self.like is not None:
            return self.like, True
        if self.query is not None and self.vector is not None:
            return [{"text": self.query, "vector": decoded_vector(self.vector)}], True
        if self.queries is not None and self.vectors is not None:
            pairs = zip(self.queries, self.vectors, strict=True)
            return [{"text": text, "vector": decoded_vector(value)} for text, value in pairs], False
        if self.queries is not None:
            return list(self.queries), False
        if self.vectors is not None:
            return [decoded_vector(value) for value in self.vectors], False
        return [self.query if self.vector is None else decoded_vector(self.vector)], True


_RANKING = ("reranker", "rerank_top")  # options that are passed on where they are given


def mixing(body: Any) -> Json:
    """The mode of a body with its weight and fusion, as far as they are given."""
    values = {name: getattr(body, name) for name in ("mode", "weight", "fusion")}
    return {name: value for name, value in values.items() if value not in (None, "dense")}


def decoded_vector(value: list[float] | str) -> npt.NDArray[np.float32] | list[float]:
    """A vector as it was sent, as numbers. Raises InvalidInputError (bad base64)."""
    if not isinstance(value, str):
        return value
    try:
        return np.frombuffer(base64.b64decode(value, validate=True), "<f4")
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError(
            "a vector is a list of numbers, or base64 of little-endian float32 bytes",
            code="invalid_vector",
            hint="base64.b64encode(vector.astype('<f4').tobytes())",
        ) from error


class ListDocuments(Request):
    """Which documents are listed."""

    ref: Revision = "main"
    where: Filter = None
    prefix: Annotated[str, Field(max_length=1000)] = ""
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000
    after: Annotated[str | None, Field(max_length=10_000, description="An id: those after it.")] = None
    cursor: Annotated[
        str | None, Field(max_length=10_100, description="`next` of the page before, whose version is listed.")
    ] = None

    @model_validator(mode="after")
    def _one_start(self) -> ListDocuments:
        if self.after is not None and self.cursor is not None:
            raise ValueError("give after or cursor")
        return self


class GetDocuments(Request):
    """Which documents are read whole."""

    ref: Revision = "main"
    ids: Annotated[list[Annotated[str, Field(max_length=10_000)]], Field(max_length=1000, examples=[["guide/pump.md"]])]
    missing: Annotated[Literal["error", "skip"], Field(description="What to do about ids that are unknown.")] = "error"


class ReadObjects(Request):
    """Which stored objects are read at once."""

    names: Annotated[list[Annotated[str, Field(max_length=1000)]], Field(max_length=1000, examples=[["names"]])]
    content: Annotated[bool, Field(description="Their bytes; otherwise only how many there are of each.")] = True


class ListChunks(Request):
    """Which chunks are listed."""

    ref: Revision = "main"
    where: Filter = None
    vectors: bool = False
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000
    after: Annotated[str | None, Field(max_length=300, description="The key of a chunk: those after it.")] = None


class Count(Request):
    """What is counted."""

    ref: Revision = "main"
    where: Filter = None


class Gated(Request):
    """What a version must be worth before an alias moves to it."""

    gates: list[Annotated[str, Field(max_length=300, examples=["nDCG@10 >= prod - 0.01"])]] = Field([], max_length=50)
    questions: Annotated[
        list[Json | str] | str | None, Field(description="The name of a stored set, or questions, to measure by.")
    ] = None
    exact: bool = False
    engine: Literal["faiss", "milvus"] = "faiss"
    mode: Mode = "dense"
    weight: Weight = None
    fusion: Fusion = None
    override: Annotated[
        str | None,
        Field(min_length=1, max_length=1000, description="Why the alias moves whatever its gates say: needs `admin`."),
    ] = None

    def asked(self) -> Json:
        """What is asked, for the audit and for an Idempotency-Key: of gates only what is used.

        So a request without gates is the one that an older service knows.
        """
        unused = {name: field.get_default(call_default_factory=True) for name, field in Gated.model_fields.items()}
        return {name: value for name, value in self.model_dump().items() if unused.get(name, ...) != value}


class Policy(Request):
    """The gates of an alias, and the stored set by which they measure."""

    gates: list[Annotated[str, Field(max_length=300)]] = Field(min_length=1, max_length=50)
    questions: Annotated[str, Field(max_length=300)] | None = None
    exact: bool = False
    engine: Literal["faiss", "milvus"] = "faiss"
    approval: Annotated[
        bool | None, Field(description="Must somebody else approve each promotion? Null: as it was.")
    ] = None
    mode: Annotated[
        Mode | None, Field(description="By what chunks are ranked. Null: as it was, with its weight and fusion.")
    ] = None
    weight: Weight = None
    fusion: Fusion = None

    def asked(self) -> Json:
        """What is asked, for an Idempotency-Key: as an older service knows it where nothing newer is said."""
        newer = {"approval", "mode", "weight", "fusion"}
        return self.model_dump(exclude={name for name in newer if getattr(self, name) is None})


class NeedsApproval(Request):
    """Must somebody else approve each promotion of an alias?"""

    approval: bool


class Approve(Request):
    """Which waiting promotion is approved."""

    alias: Annotated[str, Field(max_length=300)]
    ref: Annotated[
        Revision | None, Field(description="The version that was looked at: if another waits by now, nothing moves.")
    ] = None


class Reject(Request):
    """Which waiting promotion is rejected, and why."""

    alias: Annotated[str, Field(max_length=300)]
    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class Put(Gated):
    """Where a ref is to stand."""

    ref: Revision


class Promote(Gated):
    """Which alias is to name which version."""

    alias: Annotated[str, Field(max_length=300)]
    ref: Revision = "main"


class Rollback(Request):
    """Which alias or branch goes back, and where to: null is where it was before."""

    ref: Annotated[str, Field(max_length=300)]
    to: Revision | None = None


class Publish(Request):
    """What is to be searchable in the service's Milvus."""

    ref: Revision = "main"
    dedicated: bool = False
    flat: bool = False


class Receipt(Request):
    """A receipt to be replayed."""

    receipt: Json


class Documents(Request):
    """A source in the body: records, or a folder (or an address in a bucket) on the service's allow-list."""

    documents: list[Json] | None = None
    folder: Annotated[str, Field(max_length=4096)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Documents:
        if (self.documents is None) == (self.folder is None):
            raise ValueError("give documents or a folder")
        return self


class Rows(Request):
    """Documents to be added or replaced: objects with id and text, or texts."""

    documents: list[Json | str]


class Rename(Request):
    """What a dataset is to be called."""

    to: Annotated[str, Field(max_length=300)]


class Delete(Request):
    """Which documents are removed: those of `ids`, or those that match `where`."""

    ids: Annotated[list[Annotated[str, Field(max_length=1100)]], Field(max_length=100_000)] | None = None
    where: Filter = None
    branch: Annotated[str, Field(max_length=300)] = "main"
    message: Annotated[str, Field(max_length=10_000)] = ""
    dry_run: bool = False


_Side = bool | Annotated[list[Annotated[str, Field(max_length=1100)]], Field(max_length=100_000)]


class Merge(Request):
    """Which version is merged into which branch, and whose documents hold where both sides changed them."""

    ref: Revision
    branch: Annotated[str, Field(max_length=300)] = "main"
    message: Annotated[str, Field(max_length=10_000)] = ""
    ours: Annotated[_Side, Field(description="Documents in conflict that stay as they are; true: all.")] = False
    theirs: Annotated[_Side, Field(description="Those that are taken as `ref` has them; true: all others.")] = False
    settings: Annotated[
        Literal["ours", "theirs"] | None,
        Field(description="Whose language of keyword search, weight of hybrid search and places of sources hold."),
    ] = None
    fast_forward: Annotated[bool, Field(description="False: commit also where the branch could only move.")] = True
    dry_run: bool = False


class UpsertOptions(BaseModel):
    """How documents are added: the query string."""

    model_config = ConfigDict(extra="forbid")

    message: Annotated[str, Field(max_length=10_000)] = ""
    branch: Annotated[str, Field(max_length=300)] = "main"
    label: Annotated[str, Field(max_length=300)] | None = None
    prefix: Annotated[str, Field(max_length=300)] = ""
    embedder: Annotated[str, Field(max_length=300)] | None = None
    space: Annotated[str, Field(max_length=300)] | None = None
    metric: Literal["cosine", "ip", "l2"] | None = None
    chunker: Annotated[str, Field(max_length=300)] | None = None
    chunk_tokens: Annotated[int, Field(ge=1)] | None = None
    language: Annotated[str, Field(max_length=40, description="Of the texts, for keyword search.")] | None = None
    strict: bool = False
    dry_run: bool = False
    git_commit: Annotated[str, Field(pattern="^[0-9a-f]{40,64}$", description="Where an upload comes from.")] | None = (
        None
    )
    git_branch: Annotated[str, Field(max_length=1000)] | None = None
    git_dirty: bool = False


class IngestOptions(UpsertOptions):
    """How an ingest is done: the query string."""

    keep_missing: bool = False
    allow_removals: Annotated[bool, Field(description="Remove all or many documents of the source.")] = False
    scope: (
        Annotated[
            str,
            Field(
                max_length=10_000,
                description="Of which documents the body says that those it lacks are missing: globs, a line each.",
                examples=["guide/**"],
            ),
        ]
        | None
    ) = None
