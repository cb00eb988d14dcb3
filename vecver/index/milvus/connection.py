"""Milvus connections: reads and writes collections whose rows record when they were born and when they died.

    id        chunk key, 32 hex characters; "-1", "-2" ... is appended where a key returns after its row had died
    born      the first ordinal whose published state holds the row
    died      the first ordinal whose state no longer holds it; 2^63 - 1 while it lives
    vector    float32, as the repository has it
    document, title, text, metadata (JSON)

State o is `born <= o and died > o`. Milvus proposes rows; `scoring` ranks them. `limits` says what Milvus can hold,
`errors` what its errors mean. No other room imports pymilvus.

Decisions (measured by `benchmarks/milvus.py`)
1. Rows are upserted whole, so that repeating a write after a crash changes nothing. A row's id does not contain its
   ordinal: the row to end is found by its key, in the index that every Milvus has.
2. Spaces of unit vectors are searched by IP. COSINE gives the same order, but divides by norms that are 1 up to their
   last bits, and has no answer for a zero vector.
3. A server is not flushed after each commit, which would leave one small segment each; one Strong read after the write
   makes it visible to every reader. milvus-lite needs the flush, and FLAT.
4. pymilvus repeats calls that a busy or restarting server refuses, with growing pauses, until `timeout`. This room
   repeats a call only if a restarted server has not loaded the collection.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from vecver.errors import BackendError, InvalidInputError, VecverError, say
from vecver.index.milvus.errors import NOT_LOADED, translated
from vecver.index.milvus.limits import (
    LIMIT,
    LIVE,
    TEXT_BYTES,
    alias_name,
    check_dimensions,
    check_texts,
    collection_name,
    keys_of,
    metadata_bytes,
    pinned,
    row_id,
)
from vecver.model import Json, Metric, Milvus, PublishedRows, Vectors

__all__ = [
    "FIELDS",
    "LIMIT",
    "LIVE",
    "Connection",
    "address",
    "alias_name",
    "collection_name",
    "connect",
    "pinned",
    "row_id",
]

FIELDS = ("id", "vector", "document", "title", "text", "metadata")
OLDEST = (2, 3)  # servers before it have no upsert
_BATCH_BYTES = 16 << 20  # of one message; servers take 64 MiB
_BATCH_ROWS = 2048
_IDS = 4096  # looked up at once
_HITS = 1 << 18  # returned at once
_CONNECT_SECONDS = 10.0
_LOAD_SECONDS = 30.0  # at least, to load an empty collection
_LONG_SECONDS = 900.0  # to load or to flush a collection
_GRAPH = {"M": 16, "efConstruction": 200}
_LEAST_EF, _MOST_EF = 64, 4096

_STARTING = threading.Lock()  # of two threads that start milvus-lite in one folder at once the second is refused

DONE, FAILED, RUNNING = "done", "failed", "running"  # stages of an import
_STAGES = {"Completed": DONE, "Failed": FAILED, "Failed and cleaned": FAILED}  # pymilvus' names of them

T = TypeVar("T")
Lives = dict[str, tuple[int, int]]  # id -> born, died
Candidates = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]  # keys (c, 16), nearness (c,), best first


class Importing(NamedTuple):
    """How an import stands, and why it failed."""

    stage: str
    reason: str


class Connection:
    """One Milvus, entered. Calls raise BackendError, IntegrityError (a collection is not there), InvalidInputError."""

    def __init__(self, client: Any, at: Milvus, place: str) -> None:
        self.place = place  # the URI without secrets
        self.embedded = _is_file(place)
        self.version = "lite" if self.embedded else str(client.get_server_version(timeout=_CONNECT_SECONDS))
        self._client = client
        self._timeout = at.timeout

    def close(self) -> None:
        """Let go of it; another process may open milvus-lite then."""
        with translated(self.place, ""):
            self._client.close()
        if self.embedded:
            from milvus_lite.server_manager import server_manager_instance

            server_manager_instance.release_server(self.place)

    # -- collections ----------------------------------------------------------------------------

    def create(self, name: str, dim: int, metric: Metric, *, flat: bool, load: bool = True) -> None:
        """Make an empty collection. `load`: it can be searched now."""
        from pymilvus import DataType

        check_dimensions(dim)
        measure, kind = self.measure_of(metric), self.index_of(flat)
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
        schema.add_field("born", DataType.INT64)
        schema.add_field("died", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
        for field in ("document", "title", "text"):
            schema.add_field(field, DataType.VARCHAR, max_length=TEXT_BYTES)
        schema.add_field("metadata", DataType.JSON)
        indexes = self._client.prepare_index_params()
        indexes.add_index("vector", index_type=kind, metric_type=measure, params=_GRAPH if kind == "HNSW" else {})
        self._asked(name, self._client.create_collection, schema=schema)
        self._asked(name, self._client.create_index, index_params=indexes, sync=False)  # there are no rows to wait for
        if load:
            self._asked(name, self._client.load_collection, timeout=max(self._timeout, _LOAD_SECONDS))

    def load(self, name: str) -> None:
        """Make the rows of a collection searchable that has not been loaded yet."""
        self._asked(name, self._client.load_collection, timeout=max(self._timeout, _LONG_SECONDS))

    def measure_of(self, metric: Metric) -> str:
        """The metric that a new collection gets."""
        return "L2" if metric == "l2" else "IP"

    def index_of(self, flat: bool) -> str:
        """The index that a new collection gets."""
        return "FLAT" if flat or self.embedded else "HNSW"

    def has(self, name: str) -> bool:
        """Is there a collection of this name?"""
        return bool(self._asked(name, self._client.has_collection))

    def drop(self, name: str) -> None:
        """Remove a collection, and the aliases that name it; removing what is not there is no error."""
        if self.has(name):
            for alias in self.aliases(name):
                self._called(self._client.drop_alias, alias)
            self._asked(name, self._client.drop_collection)

    def aliases(self, name: str) -> list[str]:
        """The aliases of a collection."""
        return list(self._asked(name, self._client.list_aliases).get("aliases", ()))

    def point(self, alias: str, name: str) -> None:
        """Let an alias name this collection, in one step if it names another one now."""
        if alias in self.aliases(name):
            return
        try:
            self._called(self._client.alter_alias, alias=alias, collection_name=name)
        except VecverError:  # there is none yet
            self._called(self._client.create_alias, alias=alias, collection_name=name)

    def settled(self, name: str, expression: str = "") -> int:
        """Wait until every reader sees what was written; the rows that are there then, or those that match."""
        if self.embedded:
            self._asked(name, self._client.flush)
        return self.count(name, expression, consistency_level="Strong")

    def count(self, name: str, expression: str = "", **how: Any) -> int:
        """The rows that match, of those that every reader sees."""
        counted = self._asked(name, self._client.query, filter=expression, output_fields=["count(*)"], **how)
        return int(counted[0]["count(*)"])

    # -- writing --------------------------------------------------------------------------------

    def upsert(self, name: str, rows: PublishedRows, ids: Sequence[str], born: Sequence[int], died: int) -> None:
        """Write rows, each in place of the one with its id. Raises InvalidInputError for what Milvus cannot hold."""
        columns = zip(ids, born, rows.vectors, rows.documents, rows.titles, rows.texts, rows.metadata, strict=True)
        batch: list[Json] = []
        size = 0
        for id, since, vector, document, title, text, metadata in columns:
            check_texts(document, title, text)
            row = {"id": id, "born": since, "died": died, "vector": vector, "document": document, "title": title}
            batch.append({**row, "text": text, "metadata": metadata})
            size += vector.nbytes + 4 * (len(text) + len(title) + len(document)) + metadata_bytes(metadata) + 256
            if size > _BATCH_BYTES or len(batch) == _BATCH_ROWS:
                self._asked(name, self._client.upsert, data=batch)
                batch, size = [], 0
        if batch:
            self._asked(name, self._client.upsert, data=batch)

    def delete(self, name: str, expression: str) -> None:
        """Delete the rows that match."""
        self._asked(name, self._client.delete, filter=expression)

    def seal(self, name: str) -> None:
        """Let Milvus index what was written so far, and clear away what was written again; it does so later too."""
        with contextlib.suppress(BackendError):
            self._asked(name, self._client.flush, timeout=_LONG_SECONDS)
            self._asked(name, self._client.compact)

    def lives(self, name: str, ids: Sequence[str]) -> Lives:
        """When the rows of these ids were born and died, of those that are there."""
        lives: Lives = {}
        for start in range(0, len(ids), _IDS):
            some = list(ids[start : start + _IDS])
            for row in self._asked(name, self._client.query, ids=some, output_fields=["id", "born", "died"]):
                lives[row["id"]] = (row["born"], row["died"])
        return lives

    def undo(self, name: str, ordinal: int) -> None:
        """Take back what a publisher of this ordinal may have written: drop who was born at it, revive who died."""
        if self.settled(name, f"born >= {ordinal}"):
            self.delete(name, f"born >= {ordinal}")
        for rows, ids, born, _ in self.read(name, f"died >= {ordinal} and died < {LIVE}"):
            self.upsert(name, rows, ids, born, LIVE)
        self.settled(name)

    # -- importing ------------------------------------------------------------------------------

    def check_imports(self) -> None:
        """Raises InvalidInputError where this Milvus, or its client, has no bulk import."""
        if self.embedded or not hasattr(self._client._get_connection(), "do_bulk_insert"):
            raise InvalidInputError(
                "milvus-lite has no bulk import" if self.embedded else "this pymilvus has no bulk import",
                code="no_bulk_import",
                hint=say(
                    "publish without bulk=: it writes the same rows by upserts",
                    cli="publish without --bulk: it writes the same rows by upserts",
                ),
            )

    def import_file(self, name: str, file: str) -> int:
        """Ask the server to insert the rows of a file into a collection; gives the number of that import.

        The server must be asked once only: asked again it stores every row twice. So an error leaves open whether it
        will do it, and pymilvus may not repeat the call: it repeats until `timeout`, or else up to `retry_times`.
        """
        return int(self._asked_of_imports(name, "do_bulk_insert", name, "", [file], timeout=None, retry_times=0))

    def imports(self, name: str) -> dict[int, Importing]:
        """The imports into a collection that the server knows of; it forgets them some hours after their end."""
        return {
            task.task_id: Importing(_STAGES.get(task.state_name, RUNNING), task.failed_reason)
            for task in self._asked_of_imports(name, "list_bulk_insert_tasks", 0, name, timeout=self._timeout)
        }

    def _asked_of_imports(self, name: str, call: str, *what: Any, **how: Any) -> Any:
        """A call on imports, which pymilvus has below its `MilvusClient` only."""
        with translated(self.place, name):
            return getattr(self._client._get_connection(), call)(
                *what, context=self._client._generate_call_context(), **how
            )

    # -- reading --------------------------------------------------------------------------------

    def read(self, name: str, expression: str = "") -> Iterator[tuple[PublishedRows, list[str], list[int], list[int]]]:
        """(rows, their ids, born, died) a block at a time, as of now."""
        fields = [*FIELDS, "born", "died"]
        iterator = self._asked(
            name,
            self._client.query_iterator,
            batch_size=_BATCH_ROWS,
            filter=expression,
            output_fields=fields,
            consistency_level="Strong",
        )
        try:
            while True:
                with translated(self.place, name):
                    batch = iterator.next()
                if not batch:
                    return
                ids, born, died = ([row[field] for row in batch] for field in ("id", "born", "died"))
                yield _rows_of(batch), ids, born, died
        finally:
            iterator.close()

    def propose(
        self, name: str, metric: str, kind: str, queries: Vectors, limit: int, expression: str, visible: float
    ) -> list[Candidates]:
        """For each query the keys of up to `limit` rows that match, and how near Milvus finds them (higher is nearer).

        `visible`: the share of the collection's rows that match; the fewer, the further an index has to look.
        """
        candidates: list[Candidates] = []
        params = {"ef": _effort(limit, visible)} if kind == "HNSW" else {}
        step = max(1, min(_HITS // limit, _BATCH_BYTES // max(1, queries.nbytes // len(queries))))
        for start in range(0, len(queries), step):
            answers = self._asked(
                name,
                self._client.search,
                data=list(queries[start : start + step]),
                filter=expression,
                limit=limit,
                output_fields=["id"],
                search_params={"metric_type": metric, "params": params},
            )
            candidates += [_candidates(hits, metric) for hits in answers]
        return candidates

    # -- asking ---------------------------------------------------------------------------------

    def _asked(self, name: str, call: Callable[..., T], **how: Any) -> T:
        """A call about a collection; one that a restarted server has not loaded is loaded first."""
        try:
            return self._called(call, name, **how)
        except BackendError as error:
            if error.code != NOT_LOADED:
                raise
        self._called(self._client.load_collection, name, timeout=_LONG_SECONDS)
        return self._called(call, name, **how)

    def _called(self, call: Callable[..., T], *what: Any, **how: Any) -> T:
        """What pymilvus answers. Its errors become ours."""
        with translated(self.place, what[0] if what else ""):
            return call(*what, **{"timeout": self._timeout, **how})


def connect(at: Milvus, embedded: Path | None) -> Connection:
    """Enter a Milvus; `embedded` is where the repository has its own.

    Raises BackendError (not installed, unreachable, refused, too old), InvalidInputError (no such address).
    """
    try:
        import pymilvus
    except ImportError as error:
        raise BackendError(
            "pymilvus is not installed", code="not_installed", hint="pip install 'vecver[milvus]'", retryable=False
        ) from error
    for library in ("pymilvus", "milvus_lite"):
        logging.getLogger(library).setLevel(logging.CRITICAL)  # what they log they raise as well
    place = address(at, embedded)
    if _is_file(place):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        secrets: Json = {}
    else:
        tls = {"ca_pem_path": at.ca, "client_pem_path": at.certificate, "client_key_path": at.key}
        secrets = {name: value for name, value in {**tls, "server_name": at.server_name}.items() if value}
        secrets |= {"secure": place.startswith("https"), "token": at.token, "user": at.user, "password": at.password}
    with _STARTING if _is_file(place) else contextlib.nullcontext(), translated(place, ""):
        # dedicated: pymilvus keeps a shared channel for ever, and gives it to the next server at the same port
        client = pymilvus.MilvusClient(place, db_name=at.database, timeout=_CONNECT_SECONDS, dedicated=True, **secrets)
        connection = Connection(client, at, place)
    _check_version(connection)
    return connection


def address(at: Milvus, embedded: Path | None) -> str:
    """Where a Milvus is, without secrets. Raises InvalidInputError if that is no address."""
    if not at.uri and embedded is None:
        raise InvalidInputError(
            "this repository has no folder for a Milvus of its own",
            code="no_milvus",
            hint=say('name a server: to="http://localhost:19530"', cli="name a server: --to http://localhost:19530"),
        )
    uri = at.uri or str(embedded)
    if not (_is_file(uri) or re.fullmatch(r"(https?|tcp)://[^/@?#]+/?|unix:.+", uri)) or "@" in uri:
        raise InvalidInputError(
            "that is no address of a Milvus" if re.search("[@?#]", uri) else f"{uri!r} is no address of a Milvus",
            code="invalid_uri",
            hint="write http://host:19530, https://host:443 or a path that ends in .db; secrets go into settings",
        )
    return str(Path(uri).expanduser().absolute()) if _is_file(uri) else uri.rstrip("/")


# -- what Milvus takes and gives -------------------------------------------------------------------


def _is_file(uri: str) -> bool:
    return uri.endswith(".db") and "://" not in uri


def _effort(limit: int, visible: float) -> int:
    """`ef` of a graph of which only a share may be returned."""
    return max(limit, int(min(_MOST_EF, max(_LEAST_EF, 2 * limit) / max(visible, 1e-3))))


def _candidates(hits: Any, metric: str) -> Candidates:
    """Of one query's hits."""
    keys = keys_of([hit["id"] for hit in hits])
    near = np.array([hit["distance"] for hit in hits], np.float32)
    return keys, -near if metric == "L2" else near


def _rows_of(batch: Sequence[Json]) -> PublishedRows:
    return PublishedRows(
        keys_of([row["id"] for row in batch]),
        np.array([row["vector"] for row in batch], np.float32),
        *([row[field] for row in batch] for field in ("document", "title", "text", "metadata")),
    )


def _check_version(connection: Connection) -> None:
    match = re.match(r"v?(\d+)\.(\d+)", connection.version)
    if match and (int(match[1]), int(match[2])) < OLDEST:
        raise BackendError(
            f"the Milvus at {connection.place} is {connection.version}",
            code="milvus_too_old",
            hint=f"upgrade it to {OLDEST[0]}.{OLDEST[1]} or newer",
        )
