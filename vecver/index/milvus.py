"""Milvus: collections whose rows know when they were born and when they died. The only file that names pymilvus.

    id        chunk key, 32 hex characters; "-1", "-2" ... behind it where the same key came back after it had died
    born      the ordinal from which on the row is part of the published state
    died      the ordinal from which on it is not; 2^63 - 1: it is
    vector    float32, as the repository has it
    document, title, text, metadata (JSON)

State o is `born <= o and died > o`. Milvus proposes rows; who ranks them is `scores`.

Decisions (the measurements are in `benchmarks/milvus.py`)
- 2026-11-21 rows are written by upsert, whole: what a crash repeats changes nothing. A row's id does not hold its
  ordinal, so that whoever ends a row's life finds it by its key alone, in an index that every Milvus has.
- 2026-11-21 spaces of unit vectors are searched by IP: COSINE is the same order, but divides by norms that are 1 up
  to their last bits, and has no answer for a zero vector.
- 2026-11-21 on a server no `flush` after the first load of a collection: it would leave one small segment a commit.
  One Strong read after writing is enough for every reader to see it. milvus-lite wants the flush, and FLAT.
- 2026-11-21 pymilvus repeats calls that a busy or restarting server refuses, with growing pauses, until `timeout`;
  nothing is repeated here, but for a collection that a restarted server has not loaded.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from vecver.digest import canonical_json
from vecver.errors import BackendError, IntegrityError, InvalidInputError, NotFoundError, VecverError
from vecver.model import Json, Metric, Milvus, PublishedRows, Vectors

LIVE = 2**63 - 1
FIELDS = ("id", "vector", "document", "title", "text", "metadata")
LIMIT = 16384  # hits of one query, at most
OLDEST = (2, 3)  # servers before it have no upsert
_KEY_CHARACTERS = 32
_ID = re.compile(r"[0-9a-f]{32}(-[0-9]+)?")
_TEXT_BYTES, _JSON_BYTES, _DIMENSIONS, _NAME_CHARACTERS = 65535, 65536, 32768, 255
_BATCH_BYTES = 16 << 20  # of one message; servers take 64 MiB
_BATCH_ROWS = 2048
_IDS = 4096  # looked up at once
_HITS = 1 << 18  # returned at once
_CONNECT_SECONDS = 10.0
_GRAPH = {"M": 16, "efConstruction": 200}
_LEAST_EF, _MOST_EF = 64, 4096
_MISSING, _NOT_LOADED, _NO_DATABASE = 100, 101, 800  # Milvus' error codes

_STARTING = threading.Lock()  # of two threads that start milvus-lite in one folder at once the second is refused

T = TypeVar("T")
Lives = dict[str, tuple[int, int]]  # id -> born, died
Candidates = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]  # keys (c, 16), nearness (c,), best first


class Connection:
    """One Milvus, entered. Calls raise BackendError, IntegrityError (a collection is not there), InvalidInputError."""

    def __init__(self, client: Any, at: Milvus, place: str) -> None:
        self.place = place  # the URI without secrets
        self.database = at.database
        self.embedded = _is_file(place)
        self.version = "lite" if self.embedded else str(client.get_server_version(timeout=_CONNECT_SECONDS))
        self._client = client
        self._timeout = at.timeout

    def close(self) -> None:
        """Let go of it; another process may open milvus-lite then."""
        with _translated(self.place, ""):
            self._client.close()
        if self.embedded:
            from milvus_lite.server_manager import server_manager_instance

            server_manager_instance.release_server(self.place)

    # -- collections ----------------------------------------------------------------------------

    def create(self, name: str, dim: int, metric: Metric, *, flat: bool) -> tuple[str, str]:
        """A new, empty collection; gives Milvus' names of its metric and its index."""
        from pymilvus import DataType

        if dim > _DIMENSIONS:
            raise _limit(
                f"a vector of {dim} numbers", f"{_DIMENSIONS} numbers", "use an embedder with fewer dimensions"
            )
        measure, kind = ("L2" if metric == "l2" else "IP"), ("FLAT" if flat or self.embedded else "HNSW")
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
        schema.add_field("born", DataType.INT64)
        schema.add_field("died", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
        for field in ("document", "title", "text"):
            schema.add_field(field, DataType.VARCHAR, max_length=_TEXT_BYTES)
        schema.add_field("metadata", DataType.JSON)
        indexes = self._client.prepare_index_params()
        indexes.add_index("vector", index_type=kind, metric_type=measure, params=_GRAPH if kind == "HNSW" else {})
        self._asked(name, self._client.create_collection, schema=schema)
        self._asked(name, self._client.create_index, index_params=indexes, sync=False)  # there are no rows to wait for
        self._asked(name, self._client.load_collection)
        return measure, kind

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
        found = self._asked(
            name, self._client.query, filter=expression, output_fields=["count(*)"], consistency_level="Strong"
        )
        return int(found[0]["count(*)"])

    # -- writing --------------------------------------------------------------------------------

    def upsert(self, name: str, rows: PublishedRows, ids: Sequence[str], born: Sequence[int], died: int) -> None:
        """Write rows, each in place of the one with its id. Raises InvalidInputError for what Milvus cannot hold."""
        told = zip(
            ids, born, rows.vectors, rows.documents, rows.titles, rows.texts, map(_holdable, rows.metadata), strict=True
        )
        batch: list[Json] = []
        size = 0
        for id, since, vector, document, title, text, metadata in told:
            _check_texts(document, title, text)
            row = {"id": id, "born": since, "died": died, "vector": vector, "document": document, "title": title}
            batch.append({**row, "text": text, "metadata": metadata})
            size += vector.nbytes + 4 * len(text) + 1024
            if size > _BATCH_BYTES or len(batch) == _BATCH_ROWS:
                self._asked(name, self._client.upsert, data=batch)
                batch, size = [], 0
        if batch:
            self._asked(name, self._client.upsert, data=batch)

    def delete(self, name: str, expression: str) -> None:
        """Delete the rows that match."""
        self._asked(name, self._client.delete, filter=expression)

    def seal(self, name: str) -> None:
        """Let Milvus index what was written so far: once, when a collection was loaded."""
        self._asked(name, self._client.flush)

    def lives(self, name: str, ids: Sequence[str]) -> Lives:
        """When the rows of these ids were born and died, of those that are there."""
        found: Lives = {}
        for start in range(0, len(ids), _IDS):
            some = list(ids[start : start + _IDS])
            for row in self._asked(name, self._client.query, ids=some, output_fields=["id", "born", "died"]):
                found[row["id"]] = (row["born"], row["died"])
        return found

    def undo(self, name: str, ordinal: int) -> None:
        """Take back what a publisher of this ordinal may have written: drop who was born at it, revive who died."""
        if self.settled(name, f"born >= {ordinal}"):
            self.delete(name, f"born >= {ordinal}")
        for rows, ids, born, _ in self.read(name, f"died >= {ordinal} and died < {LIVE}"):
            self.upsert(name, rows, ids, born, LIVE)
        self.settled(name)

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
                with _translated(self.place, name):
                    found = iterator.next()
                if not found:
                    return
                ids, born, died = ([row[field] for row in found] for field in ("id", "born", "died"))
                yield _rows_of(found), ids, born, died
        finally:
            iterator.close()

    def propose(
        self, name: str, metric: str, kind: str, queries: Vectors, limit: int, expression: str, visible: float
    ) -> list[Candidates]:
        """For each query the keys of up to `limit` rows that match, and how near Milvus finds them (higher is nearer).

        `visible`: the share of the collection's rows that match; the fewer, the further an index has to look.
        """
        found: list[Candidates] = []
        params = {"ef": _effort(limit, visible)} if kind == "HNSW" else {}
        step = max(1, _HITS // limit)
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
            found += [_candidates(hits, metric) for hits in answers]
        return found

    # -- asking ---------------------------------------------------------------------------------

    def _asked(self, name: str, call: Callable[..., T], **how: Any) -> T:
        """A call about a collection; one that a restarted server has not loaded is loaded first."""
        try:
            return self._called(call, name, **how)
        except BackendError as error:
            if error.context.get("milvus") != _NOT_LOADED:
                raise
        self._called(self._client.load_collection, name)
        return self._called(call, name, **how)

    def _called(self, call: Callable[..., T], *what: Any, **how: Any) -> T:
        """What pymilvus answers. Its errors become ours."""
        with _translated(self.place, what[0] if what else ""):
            return call(*what, timeout=self._timeout, **how)


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
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # what it logs it raises as well
    place = address(at, embedded)
    if _is_file(place):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        secrets: Json = {}
    else:
        tls = {"ca_pem_path": at.ca, "client_pem_path": at.certificate, "client_key_path": at.key}
        secrets = {name: value for name, value in {**tls, "server_name": at.server_name}.items() if value}
        secrets |= {"secure": place.startswith("https"), "token": at.token, "user": at.user, "password": at.password}
    with _STARTING if _is_file(place) else contextlib.nullcontext(), _translated(place, ""):
        client = pymilvus.MilvusClient(place, db_name=at.database, timeout=_CONNECT_SECONDS, **secrets)
        connection = Connection(client, at, place)
    _check_version(connection)
    return connection


def address(at: Milvus, embedded: Path | None) -> str:
    """Where a Milvus is, without secrets. Raises InvalidInputError if that is no address."""
    if not at.uri and embedded is None:
        raise InvalidInputError(
            "this repository has no folder for a Milvus of its own",
            code="no_milvus",
            hint="name a server: --to http://localhost:19530",
        )
    uri = at.uri or str(embedded)
    if not (_is_file(uri) or re.match(r"(https?|tcp)://[^/@]+|unix:.+", uri)) or "@" in uri:
        raise InvalidInputError(
            "that is no address of a Milvus" if "@" in uri else f"{uri!r} is no address of a Milvus",
            code="invalid_uri",
            hint="write http://host:19530, https://host:443 or a path that ends in .db; secrets go into settings",
        )
    return str(Path(uri).expanduser().absolute()) if _is_file(uri) else uri.rstrip("/")


def pinned(ordinal: int) -> str:
    """The expression for a published state."""
    return f"born <= {ordinal} and died > {ordinal}"


def collection_name(dataset: str, owner: str, number: int) -> str:
    """A name that Milvus takes: what it takes of the dataset's own, who owns it, and a running number."""
    return f"{_identifier(dataset)[:80]}_{owner}_{number}"


def alias_name(dataset: str, revision: str, owner: str) -> str:
    """The alias of one version in a collection of its own, as `collection_name`."""
    return f"{_identifier(f'{dataset}_{revision}')[:120]}_{owner}"


def row_id(key: bytes, life: int) -> str:
    """The id of a chunk's row; `life`: how often it was there before."""
    return f"{key.hex()}-{life}" if life else key.hex()


# -- what Milvus takes and gives -------------------------------------------------------------------


def _identifier(name: str) -> str:
    found = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "dataset"
    return found if found[0].isalpha() else f"d{found}"


def _is_file(uri: str) -> bool:
    return uri.endswith(".db") and "://" not in uri


def _effort(limit: int, visible: float) -> int:
    """`ef` of a graph of which only a share may be returned."""
    return max(limit, int(min(_MOST_EF, max(_LEAST_EF, 2 * limit) / max(visible, 1e-3))))


def _candidates(hits: Any, metric: str) -> Candidates:
    """Of one query's hits."""
    keys = _keys_of([hit["id"] for hit in hits])
    near = np.array([hit["distance"] for hit in hits], np.float32)
    return keys, -near if metric == "L2" else near


def _rows_of(found: Sequence[Json]) -> PublishedRows:
    return PublishedRows(
        _keys_of([row["id"] for row in found]),
        np.array([row["vector"] for row in found], np.float32),
        *([row[field] for row in found] for field in ("document", "title", "text", "metadata")),
    )


def _keys_of(ids: Sequence[str]) -> npt.NDArray[np.uint8]:
    """The chunk keys of rows' ids, `(n, 16)`. Raises IntegrityError for an id that none of ours has."""
    if strange := next((id for id in ids if not _ID.fullmatch(id)), None):
        raise IntegrityError(
            f"a row with the id {strange[:80]!r} is not one of ours: somebody else wrote into the collection",
            code="publication_damaged",
            hint="`vecver publish DATASET --rebuild` restores it from the repository",
        )
    return np.frombuffer(bytes.fromhex("".join(id[:_KEY_CHARACTERS] for id in ids)), np.uint8).reshape(-1, 16)


def _check_texts(document: str, title: str, text: str) -> None:
    for what, value in (("name", document), ("title", title), ("chunk", text)):
        if len(value) > _TEXT_BYTES // 4 and len(value.encode()) > _TEXT_BYTES:
            raise _limit(
                f"the {what} of {document[:100]!r} with {len(value.encode())} bytes",
                f"{_TEXT_BYTES}",
                "ingest with a chunker that cuts it (`--chunker structure`)" if what == "chunk" else "shorten it",
            )


def _holdable(metadata: Json) -> Json:
    """`metadata`, if Milvus can hold it."""
    if len(canonical_json(metadata)) > _JSON_BYTES:
        raise _limit(
            f"metadata of {len(canonical_json(metadata))} bytes ({', '.join(list(metadata)[:5])})",
            f"{_JSON_BYTES} bytes of JSON for one document",
            "move what is long into the text, and ingest again",
        )
    if name := next((name for name, value in metadata.items() if not _is_json(value)), None):
        raise _limit(
            f"the number in the metadata field {name!r}",
            "integers of 64 bits",
            "store it as a string, and ingest again",
        )
    return metadata


def _is_json(value: Any) -> bool:
    """Can every Milvus read this back as it is?"""
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    if isinstance(value, list):
        return all(map(_is_json, value))
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def _limit(what: str, most: str, hint: str) -> InvalidInputError:
    return InvalidInputError(f"Milvus cannot hold {what}: it takes {most}", code="milvus_limit", hint=hint)


def _check_version(connection: Connection) -> None:
    found = re.match(r"v?(\d+)\.(\d+)", connection.version)
    if found and (int(found[1]), int(found[2])) < OLDEST:
        raise BackendError(
            f"the Milvus at {connection.place} is {connection.version}",
            code="milvus_too_old",
            hint=f"upgrade it to {OLDEST[0]}.{OLDEST[1]} or newer",
        )


@contextlib.contextmanager
def _translated(place: str, name: str) -> Iterator[None]:
    """What pymilvus raises, as house errors."""
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except MilvusException as error:
        raise _house_error(place, name, error) from error
    except (OSError, RuntimeError, ValueError) as error:  # of milvus-lite, and of the channel
        raise BackendError(
            f"the Milvus at {place} failed: {_sentence(error)}",
            code="milvus_failed",
            hint="milvus-lite serves one process at a time: end the other one, or use a server",
        ) from error


def _house_error(place: str, name: str, error: Any) -> VecverError:
    code, text = getattr(error, "code", 0), _sentence(error)  # pymilvus' own number, or gRPC's status
    below = error.__cause__ or error.__context__ or ""  # gRPC's, where it could not enter
    told = f"{text} {_sentence(below)}".lower()
    if code == _MISSING or "can't find collection" in told:
        return IntegrityError(
            f"the collection {name} is not in the Milvus at {place}: somebody else dropped it",
            code="collection_missing",
            hint="`vecver publish DATASET --rebuild` restores it from the repository",
            collection=name,
        )
    if code == _NO_DATABASE or re.search("database.* not found", told):
        return NotFoundError(
            f"the Milvus at {place} has no such database", code="database_not_found", hint="create it, or name another"
        )
    if "auth" in told or "permission" in told or "privilege" in told:
        return BackendError(
            f"the Milvus at {place} refused us: {text}",
            code="milvus_refused",
            hint="check VECVER_MILVUS_TOKEN, or user and password, and what they may do",
        )
    if "unimplemented" in told or "unknown method" in told:
        return BackendError(
            f"the Milvus at {place} does not know this call",
            code="milvus_too_old",
            hint=f"upgrade it to {OLDEST[0]}.{OLDEST[1]} or newer",
        )
    if code == 2 or "unavailable" in told or "deadline" in told or "connect" in told:
        return BackendError(
            f"the Milvus at {place} does not answer",
            code="milvus_unreachable",
            hint="start it, or check the address; nothing was changed in the repository",
            retryable=True,
        )
    if "opened by another" in told or "lock" in told:
        return BackendError(
            f"another process has {place} open",
            code="milvus_locked",
            hint="milvus-lite serves one process at a time: end the other one, or use a server",
            retryable=True,
        )
    return BackendError(
        f"the Milvus at {place} failed: {text}",
        code="milvus_failed",
        hint="see the server's log; publish again: what is half there is swept first",
        retryable=code == _NOT_LOADED,
        milvus=code,
    )


def _sentence(error: Any) -> str:
    """What a foreign error says, on one line."""
    return " ".join(str(getattr(error, "message", "") or error).split())[:300]
