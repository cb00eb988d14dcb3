"""What travels. Requests refuse what they do not know; answers are what `to_json` of the house's values gives."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from vecver.errors import InvalidInputError

Json = dict[str, Any]
COMMIT = {"type": "string", "pattern": "^[0-9a-f]{64}$"}  # a full commit id
_DEPTH = 16  # of a filter
_FILTER = 10_000  # values in a filter


def _filter(value: Json | None) -> Json | None:
    """A filter of reasonable size. Raises ValueError."""
    left, level = _FILTER, [value]
    for _ in range(_DEPTH):
        level = [item for one in level for item in _items(one)]
        left -= len(level)
        if not level:
            return value
        if left < 0:
            break
    raise ValueError(f"a filter has up to {_DEPTH} levels and {_FILTER} values")


def check_filter(value: Any) -> None:
    """Raises InvalidInputError for a filter that is too large."""
    try:
        _filter(value)
    except ValueError as error:
        raise InvalidInputError(
            str(error), code="invalid_filter", hint="ask simpler, or in several requests"
        ) from error


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
Revision = Annotated[str, Field(max_length=300, examples=["prod", "main~2", "3f9a2c1"])]


class Search(Request):
    """One of `query`, `queries`, `vector`, `vectors`; and how."""

    query: Annotated[str, Field(max_length=100_000)] | None = None
    queries: list[Annotated[str, Field(max_length=100_000)]] | None = None
    vector: Vector | None = None
    vectors: list[Vector] | None = None
    ref: Revision = "main"
    k: Annotated[int, Field(ge=1)] = 10
    filter: Filter = None
    exact: bool = False
    engine: Literal["faiss", "milvus"] = "faiss"
    context: Annotated[int, Field(ge=0)] = 0
    space: Annotated[str, Field(max_length=300)] | None = None
    receipt: bool = True

    @model_validator(mode="after")
    def _one(self) -> Search:
        given = [name for name in ("query", "queries", "vector", "vectors") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give one of query, queries, vector, vectors")
        return self

    def asked(self) -> tuple[list[Any], bool]:
        """(what is asked, whether it is one question). Raises InvalidInputError for base64 that is no float32."""
        if self.queries is not None:
            return list(self.queries), False
        if self.vectors is not None:
            return [_vector(one) for one in self.vectors], False
        return [self.query if self.vector is None else _vector(self.vector)], True


def _vector(value: list[float] | str) -> npt.NDArray[np.float32] | list[float]:
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


class Put(Request):
    """Where a ref is to stand."""

    ref: Revision


class Promote(Request):
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
    """A source in the body: records, or a folder on the service's allow-list."""

    documents: list[Json] | None = None
    folder: Annotated[str, Field(max_length=4096)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Documents:
        if (self.documents is None) == (self.folder is None):
            raise ValueError("give documents or a folder")
        return self


class IngestOptions(BaseModel):
    """How an ingest is done: the query string."""

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
    keep_missing: bool = False
    strict: bool = False
    dry_run: bool = False
    git_commit: Annotated[str, Field(pattern="^[0-9a-f]{40,64}$", description="Where an upload comes from.")] | None = (
        None
    )
    git_branch: Annotated[str, Field(max_length=1000)] | None = None
    git_dirty: bool = False


# -- OpenAI's --------------------------------------------------------------------------------------


class Comparison(Request):
    """A condition on one attribute."""

    key: str
    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    value: Any


class Compound(Request):
    """Several conditions."""

    type: Literal["and", "or"]
    filters: Annotated[list[Comparison | Compound], Field(max_length=1000)]


class Ranking(Request):
    """How results are ranked. There is no re-ranker here."""

    ranker: Literal["auto", "none"] = "auto"
    score_threshold: float = 0.0


class VectorStoreSearch(Request):
    """OpenAI's request."""

    query: Annotated[str, Field(max_length=100_000)] | Annotated[list[str], Field(min_length=1)]
    max_num_results: Annotated[int, Field(ge=1, le=50)] = 10
    filters: Comparison | Compound | None = None
    ranking_options: Ranking | None = None
    rewrite_query: Literal[False] = False


# -- answers ---------------------------------------------------------------------------------------


class Hit(BaseModel):
    """A chunk that answers."""

    rank: int
    score: float
    score_bits: str
    document: str
    key: str
    span: tuple[int, int]
    text: str
    title: str
    metadata: Json
    context: str | None = None


class Answer(BaseModel):
    """The hits of one question, best first."""

    dataset: str
    revision: str
    commit: str
    hits: list[Hit]
    receipt: Json | None = None


class Answers(BaseModel):
    """The answers of several questions, in their order."""

    dataset: str
    revision: str
    commit: str
    answers: list[Answer]


class Problem(BaseModel):
    """What went wrong, and the next thing to do (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    category: str
    code: str
    hint: str
    context: Json
    instance: Annotated[str, Field(description="The id of the request, also in the header X-Request-ID.")]
    error: Annotated[Json | None, Field(description="On routes of vector stores: the same, as OpenAI says it.")] = None


class Service(BaseModel):
    """What answers here."""

    repository: str
    vecver: str
    engines: list[str]


class Dataset(BaseModel):
    """A dataset and where its main branch stands."""

    name: str
    head: str | None
    documents: int
    chunks: int


class DatasetRefs(Dataset):
    """A dataset with all its refs: name -> commit."""

    branches: dict[str, str]
    tags: dict[str, str]
    aliases: dict[str, str]


class Datasets(BaseModel):
    """Every dataset that the caller may read."""

    datasets: list[Dataset]


class Commit(BaseModel):
    """A version's record."""

    commit: str
    format: int
    dataset: str
    parents: list[str]
    author: str
    message: str
    time: str
    content_root: str
    vector_root: str
    counts: Json
    recipe: Json
    recipe_fingerprint: str
    environment: Json
    operation: Json


class Commits(BaseModel):
    """A page of commits, newest first."""

    commits: list[Commit]
    next: str | None


class DocumentIds(BaseModel):
    """A page of the documents of a version, sorted."""

    commit: str
    documents: list[str]
    next: str | None


class DiffDocuments(BaseModel):
    """Document ids, sorted."""

    added: list[str]
    changed: list[str]
    removed: list[str]


class DiffChunks(BaseModel):
    """How many chunks."""

    added: int
    removed: int


class Diff(BaseModel):
    """What lies between two versions."""

    from_: Annotated[str, Field(alias="from")]
    to: str
    documents: DiffDocuments
    chunks: DiffChunks


class Ref(BaseModel):
    """A name and the commit that it stands on."""

    kind: Literal["branch", "tag", "alias"]
    name: str
    commit: str


class Move(BaseModel):
    """One move of a ref."""

    format: int
    dataset: str
    kind: Literal["branch", "tag", "alias"]
    name: str
    before: str | None
    after: str | None
    author: str
    time: str
    reason: str
    previous: str | None


class Moves(BaseModel):
    """Every move of a ref, newest first."""

    moves: list[Move]


class Job(BaseModel):
    """Long work, and how it stands."""

    id: str
    dataset: str
    kind: Literal["ingest", "publish"]
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    by: str
    created: str
    started: str | None
    finished: str | None
    attempts: int
    progress: dict[str, Json]
    result: Json | None
    error: Json | None
    notes: list[str]


class JobList(BaseModel):
    """Jobs, newest first."""

    jobs: list[Job]


class Publication(BaseModel):
    """What any Milvus client needs to search a version."""

    uri: str
    database: str
    collection: str
    alias: str
    ordinal: int
    filter: str
    metric: str
    index: str
    dim: int
    fields: list[str]
    dataset: str
    commit: str
    chunks: int
    written: int


class Replayed(BaseModel):
    """The outcome of recomputing a receipt."""

    identical: bool
    differences: list[str]
    recall: float | None
    notes: list[str]


class AuditEntries(BaseModel):
    """What was written, newest first."""

    entries: list[Json]


class Health(BaseModel):
    """Is the service there?"""

    status: str


class FileCounts(BaseModel):
    """OpenAI's counts of files."""

    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class VectorStore(BaseModel):
    """A version, as OpenAI's vector store."""

    id: str
    object: Literal["vector_store"]
    name: str
    created_at: int
    last_active_at: int | None
    status: Literal["completed"]
    usage_bytes: int
    file_counts: FileCounts
    metadata: dict[str, str]
    expires_after: None = None
    expires_at: None = None


class VectorStores(BaseModel):
    """A page of versions."""

    object: Literal["list"]
    data: list[VectorStore]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Content(BaseModel):
    """A text."""

    type: Literal["text"]
    text: str


class Result(BaseModel):
    """A chunk that answers, in OpenAI's words."""

    file_id: str
    filename: str
    score: float
    attributes: dict[str, str | float | bool]
    content: list[Content]


class Results(BaseModel):
    """OpenAI's page of results, and the commit that they are of."""

    object: Literal["vector_store.search_results.page"]
    search_query: list[str]
    data: list[Result]
    has_more: bool
    next_page: str | None
    commit: str
