"""Files of rows, as Milvus' bulk import takes them: Parquet, one column a field (2.3.5 tried; documented to 2.6).

Metadata is a column of JSON texts. Compression is Snappy, and only names and titles are written as dictionaries:
searching numbers for repetitions costs more than writing them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vecver.digest import canonical_json
from vecver.index.milvus.limits import LIVE, check_texts, metadata_bytes, row_id
from vecver.model import PublishedRows

if TYPE_CHECKING:
    import pyarrow as pa

_GROUP_ROWS = 16384  # that the server reads at once


def parquet_of(tables: Sequence[pa.Table]) -> bytes:
    """The bytes of a file with the rows of these tables, in their order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(tables), file, row_group_size=_GROUP_ROWS, use_dictionary=["document", "title"])
    return bytes(file.getvalue())


def table_of(rows: PublishedRows, born: int) -> pa.Table:
    """Live rows as columns, in their order; `born`: the ordinal at which all of them were born.

    Raises InvalidInputError for what Milvus cannot hold.
    """
    import pyarrow as pa

    for document, title, text, metadata in zip(rows.documents, rows.titles, rows.texts, rows.metadata, strict=True):
        check_texts(document, title, text)
        metadata_bytes(metadata)
    count, dim = rows.vectors.shape
    ends = np.arange(0, count * dim + 1, dim, dtype=np.int32)
    return pa.table(
        {
            "id": pa.array([row_id(key.tobytes(), 0) for key in rows.keys], pa.string()),
            "born": np.full(count, born, np.int64),
            "died": np.full(count, LIVE, np.int64),
            "vector": pa.ListArray.from_arrays(ends, np.ascontiguousarray(rows.vectors, np.float32).ravel()),
            "document": pa.array(rows.documents, pa.string()),
            "title": pa.array(rows.titles, pa.string()),
            "text": pa.array(rows.texts, pa.string()),
            "metadata": pa.array([canonical_json(metadata).decode() for metadata in rows.metadata], pa.string()),
        }
    )
