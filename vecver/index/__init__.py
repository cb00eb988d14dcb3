"""From vectors to ranked rows: scores, exact scan, FAISS. The only room that names a search engine."""

from typing import TYPE_CHECKING

from vecver.doors import lazily

if TYPE_CHECKING:
    from vecver.index import faiss, keywords, milvus
    from vecver.index.diversity import candidates_for, diverse
    from vecver.index.field_values import FieldTypes, FieldValues, Held, SharedValues
    from vecver.index.filter_checks import check_filter
    from vecver.index.filters import BUILT_IN, evaluate, fields_of, json_filter, resolved
    from vecver.index.kernel import use as kernel_use
    from vecver.index.masks import flags_of, selected
    from vecver.index.milvus.expressions import expression
    from vecver.index.ranking import Found, is_exact, search
    from vecver.index.row_codes import SegmentCodes
    from vecver.index.scoring import (
        best_of,
        bits,
        bound,
        check_metric,
        from_bits,
        normalised,
        ranked,
        scores,
        slack,
    )
else:
    __getattr__, __dir__ = lazily(__name__)

__all__ = [
    "BUILT_IN",
    "FieldTypes",
    "FieldValues",
    "Found",
    "Held",
    "SegmentCodes",
    "SharedValues",
    "best_of",
    "bits",
    "bound",
    "candidates_for",
    "check_filter",
    "check_metric",
    "diverse",
    "evaluate",
    "expression",
    "faiss",
    "fields_of",
    "flags_of",
    "from_bits",
    "is_exact",
    "json_filter",
    "kernel_use",
    "keywords",
    "milvus",
    "normalised",
    "ranked",
    "resolved",
    "scores",
    "search",
    "selected",
    "slack",
]
