"""A code for each document that the chunks of a segment name, as integer columns; the same for every version.

Decisions
1. Codes come from the names in the segment: encoding 150,000 of them takes 20 ms, once a segment. Hashing each name to
   its id, as a look-up needs, would take 0.2 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vecver.repo.rows import schema
from vecver.repo.rows.sorted_keys import Keys, as_keys

if TYPE_CHECKING:
    import pyarrow as pa

Numbers = npt.NDArray[np.int32]
NONE = -1


@dataclass(frozen=True, eq=False)
class DocumentCodes:
    """The codes of a segment's rows; NONE for a document row that no chunk names."""

    chunks: Numbers  # (chunks,)
    documents: Numbers  # (documents,)
    ids: Keys  # (codes, 16): of the document of each code

    @property
    def nbytes(self) -> int:
        """Memory that these hold."""
        return self.chunks.nbytes + self.documents.nbytes + self.ids.nbytes


def document_codes(chunks: pa.Table, documents: pa.Table, document_ids: Keys) -> DocumentCodes:
    """From the tables of a segment, and the ids of its document rows, `(documents, 16)`."""
    import pyarrow.compute as pc

    encoded = schema.whole(chunks.column("document")).dictionary_encode()
    names, of_rows = encoded.dictionary, schema.whole(documents.column("document"))
    of_documents = pc.fill_null(pc.index_in(of_rows, value_set=names), NONE)
    of_names = pc.fill_null(pc.index_in(names, value_set=of_rows), NONE)
    chunk_codes, row_codes, rows = (schema.integers(column) for column in (encoded.indices, of_documents, of_names))
    return DocumentCodes(chunk_codes, row_codes, _ids(names, document_ids, rows))


def _ids(names: pa.Array, document_ids: Keys, rows: Numbers) -> Keys:
    """The ids of documents; `rows`: their document rows in the segment, or NONE, whose names are hashed."""
    ids = np.zeros((len(names), 16), np.uint8)
    known = rows >= 0
    ids[known] = document_ids[rows[known]]
    unknown = np.flatnonzero(~known)
    if len(unknown):
        ids[unknown] = as_keys([schema.document_id(names[int(code)].as_py()) for code in unknown])
    return ids
