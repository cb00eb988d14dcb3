"""What routes answer with: versions, refs, jobs, problems. What a version holds is in `content`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

Json = dict[str, Any]
COMMIT = {"type": "string", "pattern": "^[0-9a-f]{64}$"}  # a full commit id


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
    gates: Annotated[
        list[Json] | None, Field(description="Of `gate_failed`: each gate, its value, and whether it passed.")
    ] = None
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


class ExpectedRecall(BaseModel):
    """What share of its true best `k` hits a search through FAISS is expected to find; nothing is measured for it."""

    k: int
    recall: Annotated[float | None, Field(description="Null: unknown.")]
    below_0_8: Annotated[float | None, Field(description="At most this share of questions finds less than 0.8.")]
    questions: Annotated[int, Field(description="On which the values rest; 0 where every row is scanned.")]
    basis: Literal["exact", "calibration", "questions", "calibration and questions", "unknown"]
    chunks: int
    indexed: Annotated[int, Field(description="Chunks that lie under an index.")]


class OneCommit(Commit):
    """A version's record, with its documents that were read in part, also by earlier ingests."""

    partial: list[PartialRead]
    expected_recall: ExpectedRecall


class Commits(BaseModel):
    """A page of commits, newest first."""

    commits: list[Commit]
    next: str | None


# here, not in `content`: FastAPI tells this from `requests.Count` by the module's name, which is in the schema
class Count(BaseModel):
    """How much of a version there is."""

    commit: str
    documents: int
    chunks: int


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
    gating: Annotated[Json | None, Field(description="Only of a promotion with gates: what was measured.")] = None
    measured: Annotated[
        Json | None, Field(description="Only of a rollback: what gates measured of the versions `from` and `to`.")
    ] = None


class Moves(BaseModel):
    """Every move of a ref, newest first."""

    moves: list[Move]


class Job(BaseModel):
    """Long work, and how it stands."""

    id: str
    dataset: str
    kind: Literal["ingest", "upsert", "publish", "promote", "bisect", "eval", "recall"]
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


class MergeConflict(BaseModel):
    """What both sides changed, and not alike."""

    kind: Literal["document", "source", "keywords", "hybrid"]
    name: Annotated[str, Field(description="Of a document its id, of a source its label.")]
    ours: Annotated[str, Field(description="What the branch did to a document; else what it says.")]
    theirs: str
    settled: Annotated[Literal["ours", "theirs"] | None, Field(description="Whose holds; null: nobody said.")]


class Merge(BaseModel):
    """What a merge did, or would do."""

    dataset: str
    branch: str
    kind: Literal["merge", "fast_forward", "up_to_date"]
    commit: Annotated[str, Field(description="Where the branch stands now.")]
    changed: bool
    dry_run: bool
    ours: str
    theirs: str
    bases: Annotated[list[str], Field(description="The newest common ancestors.")]
    documents: dict[str, int]
    chunks: dict[str, int]
    names: Annotated[dict[str, list[str]], Field(description="Document ids: added, changed, removed.")]
    conflicts: Annotated[list[MergeConflict], Field(description="Also those that were settled.")]
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
    """Is the service there? `database`: "away" while the one that replicas share does not answer."""

    status: str
    database: str | None = None
