"""OpenAI's vector stores: its requests, and its answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from vecver_service.schemas.requests import Fusion, Mode, Request, Weight


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
    mode: Mode = "dense"  # this and the next two are no options of OpenAI: its client sends them as `extra_body`
    weight: Weight = None
    fusion: Fusion = None


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
