"""The importer fills a new collection by Milvus' own bulk import: the server reads files and makes segments of them.

    stage     write the next file of rows where both sides can reach it
    ask       record in the ledger that the server is about to be asked, ask it, record its number of the import
    wait      until few enough imports run; record those that are done
    load      when all are done: remove the files, and make the rows searchable

An import inserts, so a file that is imported twice leaves every row twice. A publisher that was interrupted therefore
leaves in the ledger what it asked for, and the next one goes on only if it knows of every file whether it was asked
for, and under which number; else it starts over in a new collection. In the end the publisher counts the rows.

Decisions
1. Files are asked for one after the other, so that at most one has an unknown number: the one import into this
   collection that the server lists and the ledger does not have. If there is none, the request may still be on its way.
2. A file's name has the digest of its rows, so a layout that was changed between two publishers is noticed.
3. Files hold 128 MiB of rows. Milvus 2.3.5 needs 2 to 4 s for each file however small it is (100,000 rows of 64
   numbers: 17 s as 4 files, 6 s as one), and a publisher holds one file in memory.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vecver import index, repo
from vecver.digest import digest_json
from vecver.errors import BackendError, InvalidInputError, say
from vecver.model import PublishedRows
from vecver.progress import Progress
from vecver.repo import Again, Import, Intent, Ledger, Part, Publications, Roots
from vecver.store import BUCKETS, LocalStore, Store, open_store

if TYPE_CHECKING:
    import pyarrow as pa

IMPORT_FAILED = "import_failed"
AT_ONCE = 8  # imports that the server has at a time
FILE_BYTES = 128 << 20  # of rows in one file
_PAUSE = 0.25  # seconds between two looks at the server's imports
_NAME = re.compile(r"\w+/\d{5}-[0-9a-f]{16}\.parquet")


@dataclass
class Importer:
    """Fills the collections of one dataset in one Milvus server."""

    connection: index.milvus.Connection
    book: Publications
    storage: Store
    progress: Progress | None = None
    _rows: dict[str, int] = field(default_factory=dict, init=False)  # file -> rows of it that were not told yet
    _total: int = field(default=0, init=False)

    def begun(self, ledger: Ledger, wanted: Again, kind: str) -> Ledger | None:
        """The ledger from which an import of this version goes on; None if none was begun, or its state is unknown."""
        intent, importing = ledger.intent, ledger.importing
        if intent is None or importing is None or intent.commit != wanted.commit:
            return None
        begun = importing.storage, importing.alone, importing.index
        if begun != (self.storage.url, wanted.alone, kind) or not self.connection.has(intent.collection):
            return None
        parts, known = importing.parts, self.connection.imports(intent.collection)
        strays = known.keys() - {part.task for part in parts}
        if parts and not parts[-1].task and len(strays) == 1:
            parts = (*parts[:-1], replace(parts[-1], task=strays.pop()))
            ledger = self._recorded(ledger, parts)
        open_parts = [part for part in parts if not part.done]
        running = [known[part.task] for part in open_parts if part.task in known]
        lost = strays or len(running) < len(open_parts) or any(one.stage == index.milvus.FAILED for one in running)
        return None if lost else ledger

    def begin(self, ledger: Ledger, wanted: Again, kind: str) -> Ledger:
        """Record that the collection of the intent, which is there and empty, is filled by imports."""
        return self.book.write(replace(ledger, importing=Import(self.storage.url, wanted.alone, kind)))

    def fill(self, ledger: Ledger, rows: Iterator[PublishedRows], total: int) -> tuple[Ledger, Roots]:
        """Import so many rows, or those of them that were not yet, and make them searchable; gives their roots.

        Raises BackendError (an import failed, or the server does not know it any more), InvalidInputError.
        """
        intent, roots = _begun(ledger), Roots.empty()
        self._total = total
        for number, (tables, of_file) in enumerate(_files(rows, intent.ordinal)):
            digest = digest_json([of_file.content_root, of_file.vector_root])[:16]
            file = f"{intent.collection}/{number:05}-{digest}.parquet"
            self._rows[file] = sum(len(table) for table in tables)
            asked = parts_of(ledger)
            if number == len(asked):
                ledger = self._waited(ledger, AT_ONCE - 1)
                ledger = self._asked(ledger, file, index.milvus.parquet_of(tables))
            elif asked[number].file != file:
                raise _failed(intent, f"the rows of {asked[number].file} were put in another order meanwhile")
            roots += of_file
        ledger = self._waited(ledger, 0)
        self.clear(ledger)
        self.connection.load(intent.collection)
        return ledger, roots

    def clear(self, ledger: Ledger) -> None:
        """Remove the files of an import from the storage, if it is this one."""
        if ledger.intent and ledger.importing and ledger.importing.storage == self.storage.url:
            files = self.storage.list(f"{ledger.intent.collection}/")
            self.storage.delete(*(file for file in files if _NAME.fullmatch(file)))

    def _asked(self, ledger: Ledger, file: str, body: bytes) -> Ledger:
        """Have a file imported; the last but one record says that nobody knows yet whether the server was asked."""
        self.storage.put(file, body)
        before = parts_of(ledger)
        ledger = self._recorded(ledger, (*before, Part(file)))
        task = self.connection.import_file(_begun(ledger).collection, path_for_server(self.storage, file))
        return self._recorded(ledger, (*before, Part(file, task)))

    def _waited(self, ledger: Ledger, most: int) -> Ledger:
        """Wait until at most so many imports run. Raises BackendError if one failed or is not ours."""
        intent = _begun(ledger)
        self._tell(ledger)
        while sum(not part.done for part in parts_of(ledger)) > most:
            parts, known = parts_of(ledger), self.connection.imports(intent.collection)
            if known.keys() - {part.task for part in parts}:
                raise _failed(intent, "the server took a file twice, or somebody else imports into the collection")
            now = tuple(part if part.done else replace(part, done=_is_done(intent, part, known)) for part in parts)
            if now == parts:
                time.sleep(_PAUSE)
                continue
            ledger = self._recorded(ledger, now)
            self._tell(ledger)
        return ledger

    def _tell(self, ledger: Ledger) -> None:
        """Say of the files that are done, each once, how many rows they have."""
        for part in parts_of(ledger):
            if part.done and (rows := self._rows.pop(part.file, 0)) and self.progress:
                self.progress("rows", rows, self._total)

    def _recorded(self, ledger: Ledger, parts: tuple[Part, ...]) -> Ledger:
        assert ledger.importing
        return self.book.write(replace(ledger, importing=replace(ledger.importing, parts=parts)))


def open_storage(address: str) -> Store:
    """The folder or bucket through which a server is given files. Raises InvalidInputError, BackendError."""
    scheme, separator, _ = address.partition("://")
    if separator and scheme not in ("file", *BUCKETS):
        raise InvalidInputError(
            f"a Milvus server reads no files from {scheme}://",
            code="invalid_storage",
            hint=say(
                "bulk= takes the server's bucket, s3://BUCKET/PREFIX, or a folder that it reads",
                cli="--bulk takes the server's bucket, s3://BUCKET/PREFIX, or a folder that it reads",
            ),
        )
    return open_store(address, cache_bytes=0)


def path_for_server(storage: Store, file: str) -> str:
    """The path by which Milvus opens a file: a whole path in a folder, a key in a bucket, which it knows itself."""
    if isinstance(storage, LocalStore):
        return f"{storage.url}/{file}"
    prefix = storage.url.partition("://")[2].partition("/")[2].strip("/")
    return f"{prefix}/{file}" if prefix else file


def _files(rows: Iterator[PublishedRows], ordinal: int) -> Iterator[tuple[list[pa.Table], Roots]]:
    """The rows of one file after the other, and their roots."""
    tables: list[pa.Table] = []
    roots, size = Roots.empty(), 0
    for block in rows:
        table = index.milvus.table_of(block, ordinal)
        tables.append(table)
        roots += repo.roots_of(block)
        size += table.nbytes
        if size >= FILE_BYTES:
            yield tables, roots
            tables, roots, size = [], Roots.empty(), 0
    if tables:
        yield tables, roots


def _begun(ledger: Ledger) -> Intent:
    assert ledger.intent
    return ledger.intent


def parts_of(ledger: Ledger) -> tuple[Part, ...]:
    """The files of the bulk import that was begun, if there is one."""
    return ledger.importing.parts if ledger.importing else ()


def _is_done(intent: Intent, part: Part, known: dict[int, index.milvus.Importing]) -> bool:
    """Did the import of this file succeed? Raises BackendError if it failed."""
    importing = known.get(part.task)
    if importing is None:
        raise _failed(intent, f"the server does not know the import of {part.file} any more")
    if importing.stage == index.milvus.FAILED:
        raise _failed(intent, f"{part.file}: {importing.reason}")
    return importing.stage == index.milvus.DONE


def _failed(intent: Intent, what: str) -> BackendError:
    return BackendError(
        f"the bulk import into {intent.collection} failed: {what}",
        code=IMPORT_FAILED,
        hint=say(
            "nothing was published. The server must be able to read bulk=, by the same path or as its own bucket; "
            "publish again to start over, or without bulk= to write the rows by upserts",
            cli="nothing was published. The server must be able to read --bulk, by the same path or as its own bucket; "
            "publish again to start over, or without --bulk to write the rows by upserts",
        ),
        retryable=False,
    )
