"""A version that nothing but a publication keeps, and gc while it is being published."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from helpers import open_on, texts_of
from published import Doc, ingest, opened

from vecver import index
from vecver.store import LocalStore

pytestmark = pytest.mark.milvus
pytest.importorskip("milvus_lite", reason="no milvus-lite: install vecver[milvus]")


def test_gc_keeps_a_version_that_is_being_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path / "kb")
    docs = opened(store)
    old = str(ingest(docs, {"a": Doc("one", "one", 1)}).commit)
    ingest(docs, {"a": Doc("two", "two", 1)})
    create = index.milvus.Connection.create

    def meanwhile(*arguments: Any, **how: Any) -> Any:
        for _ in range(2):
            open_on(store).gc(keep_last=1, grace=timedelta(0), apply=True)
        return create(*arguments, **how)

    monkeypatch.setattr(index.milvus.Connection, "create", meanwhile)
    assert docs.publish(old).commit == old
    assert texts_of(open_on(store).dataset("d"), old) == {"a": "one"}
    assert docs.repository.check().clean
