"""Bulk imports of a Milvus server, played on milvus-lite: imports that run as long as a test likes, fail or are lost.

As a real one it inserts: a file that is imported twice leaves its rows twice, which `twice` counts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from vecver import index
from vecver.index.milvus.connection import DONE, FAILED, RUNNING, Importing

BEGUN = Importing(RUNNING, "")


@dataclass
class Task:
    """An import that was asked for."""

    collection: str
    file: str
    looks: int  # at the imports, after which it is done
    importing: Importing = BEGUN


class BulkServer:
    """What stands in for `Connection`'s three calls on imports while it is installed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tasks: dict[int, Task] = {}
        self.asked = 0
        self.looks = 1  # that an import takes
        self.repeats = 1  # how often the next request is carried out: a proxy may repeat it
        self.broken = ""  # why imports fail
        self.stuck = False  # imports run for ever
        self.opened: Callable[[str], Any] = lambda file: file  # what pyarrow reads for the path of a file
        self.inserted: Counter[tuple[str, str]] = Counter()
        for name in ("check_imports", "import_file", "imports"):
            method = getattr(self, name)
            monkeypatch.setattr(
                index.milvus.Connection, name, lambda connection, *what, method=method: method(connection, *what)
            )

    def check_imports(self, connection: index.milvus.Connection) -> None:
        pass

    def import_file(self, connection: index.milvus.Connection, collection: str, file: str) -> int:
        self.asked += 1
        for _ in range(self.repeats):
            self.tasks[len(self.tasks) + 1] = Task(collection, file, self.looks)
        self.repeats = 1
        return len(self.tasks)

    def imports(self, connection: index.milvus.Connection, collection: str) -> dict[int, Importing]:
        for task in self.tasks.values():
            if task.importing.stage == RUNNING and task.collection == collection and not self.stuck:
                task.looks -= 1
                if task.looks < 0:
                    task.importing = self._carried_out(connection, task)
        return {number: task.importing for number, task in self.tasks.items() if task.collection == collection}

    def forget(self, *stages: str) -> None:
        """As a server does some hours after an import ended."""
        self.tasks = {number: task for number, task in self.tasks.items() if task.importing.stage not in stages}

    def twice(self, collection: str) -> list[str]:
        """The files of which this collection has every row twice."""
        return [file for (name, file), times in self.inserted.items() if times > 1 and name == collection]

    def _carried_out(self, connection: index.milvus.Connection, task: Task) -> Importing:
        if self.broken:
            return Importing(FAILED, self.broken)
        rows = pq.read_table(self.opened(task.file)).to_pylist()
        connection._client.insert(task.collection, [{**row, "metadata": json.loads(row["metadata"])} for row in rows])
        self.inserted[task.collection, task.file] += 1
        return Importing(DONE, "")


def staged(storage: Path) -> list[Any]:
    """The files that lie in the storage."""
    return [file for file in storage.rglob("*") if file.is_file()]
