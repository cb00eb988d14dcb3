"""What routes answer with: what `to_json` of the house's values gives."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

Json = dict[str, Any]
COMMIT = {"type": "string", "pattern": "^[0-9a-f]{64}$"}  # a full commit id


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
    headings: Annotated[list[str] | None, Field(description="Over the chunk, outermost first; absent if none.")] = None
    header: Annotated[str | None, Field(description="The header row of a table that the chunk goes on with.")] = None
    page: Annotated[int | None, Field(description="From 1: where the chunk begins.")] = None
    sheet: Annotated[str | None, Field(description="Of a workbook: where the chunk begins.")] = None
    line: Annotated[int | None, Field(description="From 1: where the chunk begins; of text and source code.")] = None
    by: Annotated[
        Literal["title"] | None, Field(description="The score is that of the document's title, which ranked this.")
    ] = None
    vector: Annotated[list[float] | str | None, Field(description="Where `hit_vectors` asks for it.")] = None


class Answer(BaseModel):
    """The hits of one question, best first."""

    dataset: str
    revision: str
    commit: str
    hits: list[Hit]
    receipt: Json | None = None
    missing: Annotated[
        str | None, Field(description="Where `missing` is empty: what is not there. No version: `commit` is empty.")
    ] = None
    query: Annotated[Json | None, Field(description="Token counts of a query that the model did not see whole.")] = None


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
    hint_python: Annotated[str | None, Field(description="The same for Python's client, where it differs.")] = None
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
    error: Annotated[Json | None, Field(description="Only where it cannot be read: a problem.")] = None


class Renamed(BaseModel):
    """A dataset that has another name now."""

    name: str
    was: str


class DatasetRemoval(BaseModel):
    """What goes with a dataset that is deleted, or would go."""

    dataset: str
    versions: int
    branches: list[str]
    tags: list[str]
    aliases: list[str]
    documents: int
    chunks: int
    bytes: Annotated[int, Field(description="Freed by gc once its grace age has passed.")]
    published: Annotated[list[str], Field(description="Every Milvus that holds something of it: unpublish first.")]
    applied: Annotated[bool, Field(description="Whether it was deleted.")]


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


class PartialRead(BaseModel):
    """A document of which a part was read, in words."""

    document: str
    words: int
    kept: int
    furniture: Annotated[int, Field(description="Left out on purpose: running headers, navigation.")]
    share: float
    notes: Annotated[list[str], Field(description="What is missing.")]


class OneCommit(Commit):
    """A version's record, with its documents that were read in part, also by earlier ingests."""

    partial: list[PartialRead]


class Commits(BaseModel):
    """A page of commits, newest first."""

    commits: list[Commit]
    next: str | None


class DocumentIds(BaseModel):
    """A page of the documents of a version, sorted."""

    commit: str
    documents: list[str]
    next: str | None


class StoredChunk(BaseModel):
    """A chunk of a version."""

    document: str
    key: str
    span: tuple[int, int]
    text: str
    title: str
    metadata: Json
    headings: list[str] | None = None
    header: str | None = None
    page: int | None = None
    sheet: str | None = None
    line: int | None = None
    context: str | None = None
    vector: Annotated[str | None, Field(description="Base64 of its little-endian float32 bytes.")] = None


class DocumentChunk(BaseModel):
    """A chunk of a document; text and metadata only where they are not the document's."""

    key: str
    span: tuple[int, int]
    text: str | None = None
    metadata: Json | None = None
    headings: list[str] | None = None
    header: str | None = None
    page: int | None = None
    sheet: str | None = None
    line: int | None = None


class Document(BaseModel):
    """A document of a version, put together from its chunks."""

    id: str
    title: str
    text: str
    metadata: Json
    source: str
    media_type: str
    digest: Annotated[str, Field(description="sha256 of the source's bytes.")]
    chunks: list[DocumentChunk]
    missing: Annotated[list[tuple[int, int]], Field(description="Spans of `text` that no chunk holds: U+FFFD there.")]


class Documents(BaseModel):
    """Documents of a version, in the order asked."""

    commit: str
    documents: list[Document]


class Count(BaseModel):
    """How much of a version there is."""

    commit: str
    documents: int
    chunks: int


class FilterField(BaseModel):
    """A field that filters may name."""

    name: str
    kind: Literal["metadata", "position", "built-in"]
    types: list[str]
    documents: Annotated[int, Field(description="That have a value.")]
    examples: Annotated[list[Any], Field(description="The most frequent values, at most 3.")]


class Fields(BaseModel):
    """What filters may name in a version."""

    commit: str
    fields: list[FilterField]


class DiffDocuments(BaseModel):
    """Document ids, sorted."""

    added: list[str]
    changed: list[str]
    removed: list[str]


class DiffChunks(BaseModel):
    """How many chunks."""

    added: int
    removed: int


class ChunkCounts(BaseModel):
    """How many chunks a document has in both versions, and how many only one of them has."""

    before: int
    after: int
    added: int
    removed: int


class Diff(BaseModel):
    """What lies between two versions."""

    from_: Annotated[str, Field(alias="from")]
    to: str
    documents: DiffDocuments
    chunks: DiffChunks
    chunks_of: Annotated[dict[str, ChunkCounts], Field(description="Of each of these documents.")]


class ChunkDiff(BaseModel):
    """A chunk that one of two versions of a document has, or both."""

    change: Literal["added", "removed", "kept"]
    key: str
    text: str
    span: tuple[int, int]
    headings: list[str] | None = None
    header: str | None = None
    page: int | None = None
    sheet: str | None = None
    line: int | None = None


class DocumentDiff(BaseModel):
    """What one document says in two versions; a chunk that was removed stands before the one that followed it."""

    from_: Annotated[str, Field(alias="from")]
    to: str
    document: str
    change: Literal["added", "changed", "removed", "unchanged"]
    fields: Annotated[dict[str, tuple[Any, Any]], Field(description="What else differs: before and after.")]
    chunks: list[ChunkDiff]


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
    kind: Literal["ingest", "upsert", "publish"]
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


class Report(BaseModel):
    """What a write did."""

    dataset: str
    commit: str | None
    changed: bool
    dry_run: bool
    documents: dict[str, int]
    chunks: dict[str, int]
    tokens: int
    longer: int
    failures: list[Json]
    seconds: dict[str, float]
    notes: list[str]
    coverage: Json
    unseen: dict[str, str]
    names: Annotated[dict[str, list[str]], Field(description="Document ids: added, changed, removed.")]
    unknown: Annotated[list[str], Field(description="Ids that name no document.")]


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
