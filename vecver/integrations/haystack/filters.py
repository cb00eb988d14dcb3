"""Haystack's filters as those of vecver: a comparison or a group becomes a condition on fields.

Decisions
1. Haystack finds nothing in a field that no document has, where vecver refuses it as a misspelling. So the fields of
   the version are known here, and such a comparison becomes a condition that none or all documents meet.
2. NOT is the exact opposite of its conditions joined by AND, as in Haystack's own store.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from haystack.errors import FilterError

Json = dict[str, Any]

NONE: Final[Json] = {"$document": {"$exists": False}}
ALL: Final[Json] = {"$document": {"$exists": True}}
_OPERATORS: Final = {
    **{"==": "$eq", "!=": "$ne", ">": "$gt", ">=": "$gte"},
    **{"<": "$lt", "<=": "$lte", "in": "$in", "not in": "$nin"},
}
_GROUPS: Final = {"AND": "$and", "OR": "$or"}


def where_of(filters: Mapping[str, Any] | None, fields: Collection[str]) -> Json | None:
    """The filter of vecver; None for none. `fields`: the fields of metadata of the version.

    Raises FilterError (not of Haystack's form, or a comparison that has no meaning).
    """
    return _condition(filters, fields) if filters else None


def _condition(filters: Any, fields: Collection[str]) -> Json:
    if not isinstance(filters, Mapping):
        raise FilterError(f"a filter is a dictionary, not {filters!r:.80}")
    if "field" in filters:
        return _comparison(filters, fields)
    operator, conditions = _part(filters, "operator"), _part(filters, "conditions")
    if not isinstance(conditions, list) or operator not in (*_GROUPS, "NOT"):
        raise FilterError(f"{operator!r:.40} joins no conditions: use AND, OR or NOT with a list of them")
    parts = [_condition(condition, fields) for condition in conditions]
    if not parts:
        return ALL
    return {"$not": {"$and": parts}} if operator == "NOT" else {_GROUPS[operator]: parts}


def _comparison(filters: Mapping[str, Any], fields: Collection[str]) -> Json:
    operator, value = _part(filters, "operator"), _part(filters, "value")
    if operator not in _OPERATORS:
        raise FilterError(f"no comparison is called {operator!r:.40}: there are {', '.join(_OPERATORS)}")
    _check_value(operator, value)
    name = str(filters["field"])
    if name == "content":
        raise FilterError("the content is searched, not compared: filter by id or metadata")
    field = "$document" if name == "id" else name.removeprefix("meta.")
    if value is None:
        return _of_none(field, operator) if field in fields or field == "$document" else _absent(operator, value)
    if field not in fields and field != "$document":
        return _absent(operator, value)
    if operator in ("in", "not in") and None in value:
        others = {field: {_OPERATORS[operator]: [each for each in value if each is not None]}}
        exists = {field: {"$exists": operator == "not in"}}
        return {"$or": [others, exists]} if operator == "in" else {"$and": [others, exists]}
    return {field: {_OPERATORS[operator]: value}}


def _absent(operator: str, value: Any) -> Json:
    """What a field that is None everywhere gives."""
    in_list = operator in ("in", "not in") and None in value
    if (operator == "==" and value is None) or (operator == "in" and in_list):
        return ALL
    return ALL if (operator == "!=" and value is not None) or (operator == "not in" and not in_list) else NONE


def _of_none(field: str, operator: str) -> Json:
    """A comparison with None; nothing is larger or smaller than it."""
    return {field: {"$exists": operator == "!="}} if operator in ("==", "!=") else NONE


def _check_value(operator: str, value: Any) -> None:
    if operator in ("in", "not in"):
        if not isinstance(value, list):
            raise FilterError(f"{operator!r} takes a list, not {value!r:.80}")
    elif isinstance(value, list | dict):
        raise FilterError(f"{operator!r} takes one value, not {value!r:.80}; `in` takes a list")
    elif operator not in ("==", "!=") and isinstance(value, str):
        try:
            datetime.fromisoformat(value)
        except ValueError as error:
            raise FilterError(f"{operator!r} takes a number or an ISO date, not {value!r:.80}") from error


def _part(filters: Mapping[str, Any], name: str) -> Any:
    if name not in filters:
        raise FilterError(f"a part of the filter has no {name!r}: {dict(filters)!r:.120}")
    return filters[name]
