"""Sketches: what a version's rows are like, as counts that add and subtract. Knows columns and arrays, not files."""

from typing import TYPE_CHECKING

from vecver.doors import lazily

if TYPE_CHECKING:
    from vecver.sketching import bins
    from vecver.sketching.rows import chunk_bins, document_bins, sketch_of_chunks, sketch_of_documents
    from vecver.sketching.sketches import DOCUMENT_PARTS, PARTS, Sketch
else:
    __getattr__, __dir__ = lazily(__name__)

__all__ = [
    "DOCUMENT_PARTS",
    "PARTS",
    "Sketch",
    "bins",
    "chunk_bins",
    "document_bins",
    "sketch_of_chunks",
    "sketch_of_documents",
]
