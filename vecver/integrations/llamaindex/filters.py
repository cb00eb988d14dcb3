"""LlamaIndex's filters as those of a dataset. Asks nothing.

Decisions
1. What a filter matches is what LlamaIndex's own `SimpleVectorStore` matches: a node without the field matches `!=`,
   `nin` and `is_empty` alone, also where no node at all has the field.
2. `text_match_insensitive` is refused: filters of a dataset compare characters.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

import vecver

Where = dict[str, Any]
_OPERATORS: Final = {
    FilterOperator.EQ: "$eq",
    FilterOperator.NE: "$ne",
    FilterOperator.GT: "$gt",
    FilterOperator.LT: "$lt",
    FilterOperator.GTE: "$gte",
    FilterOperator.LTE: "$lte",
    FilterOperator.IN: "$in",
    FilterOperator.NIN: "$nin",
    FilterOperator.ANY: "$in",
    FilterOperator.ALL: "$all",
    FilterOperator.CONTAINS: "$contains",
    FilterOperator.TEXT_MATCH: "$contains",
}
_JOINED: Final = {FilterCondition.AND: "$and", FilterCondition.OR: "$or", FilterCondition.NOT: "$nor"}
_WITHOUT_FIELD: Final = (FilterOperator.NE, FilterOperator.NIN, FilterOperator.IS_EMPTY)  # match what has no value


def where_of(filters: MetadataFilters | None, fields: Collection[str] | None = None) -> Where | None:
    """The filter of a dataset; None for no conditions. `fields`: those that documents have; others have no value.

    Raises InvalidInputError (an operator that a dataset does not have).
    """
    if filters is None or not filters.filters:
        return None
    parts = [
        where_of(part, fields) or every() if isinstance(part, MetadataFilters) else _condition(part, fields)
        for part in filters.filters
    ]
    return {_JOINED[filters.condition or FilterCondition.AND]: parts}


def joined(*wheres: Where | None) -> Where | None:
    """All of these conditions; None if there are none."""
    parts = [where for where in wheres if where is not None]
    return {"$and": parts} if parts else None


def every() -> Where:
    """What every document matches."""
    return {"$document": {"$exists": True}}


def _condition(condition: MetadataFilter, fields: Collection[str] | None) -> Where:
    name, operator = condition.key, condition.operator
    if fields is not None and name not in fields:
        return every() if operator in _WITHOUT_FIELD else {"$document": {"$exists": False}}
    if operator == FilterOperator.IS_EMPTY:
        return {name: {"$exists": False}}
    if operator not in _OPERATORS:
        raise vecver.InvalidInputError(
            f"the filter {operator.value!r} on {name!r} cannot be asked of a dataset",
            code="invalid_filter",
            hint="use text_match, which compares characters; or keep the field in lower case as well",
        )
    return {name: {_OPERATORS[operator]: condition.value}}
