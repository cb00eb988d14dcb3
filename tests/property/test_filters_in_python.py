"""Any filter selects the documents that plain Python selects."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from filter_reference import Refused, matches
from filtered import INSTANTS, WIDE, dataset, found
from hypothesis import given, settings
from hypothesis import strategies as st

import vecver
from vecver.errors import InvalidInputError

# -- against plain Python -----------------------------------------------------------------------

scalars = st.one_of(
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from([2**53, 2**53 + 1, 2**63 - 1, -(2**63), 0.1, -0.0, 1.0, 2.0**53, 2.0**63, 1e300]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "ä", "𝄞", "2024", "2026-10-25", "2026-10", "2026-10-25T02:30:00", "0.1", WIDE[0]]),
    st.sampled_from(INSTANTS),
    st.sampled_from([Decimal(text) for text in (*WIDE, "0.1", "1", "1.50", "9007199254740993", "1E+300")]),
)
flavours = st.lists(scalars, min_size=1, max_size=4)  # of a field: few values, so that filters meet them


def values(flavour: list[Any]) -> st.SearchStrategy[Any]:
    own = st.sampled_from(flavour)
    others = st.sampled_from([None, [], [None], [[1]], {"x": 1}])
    return st.one_of(own, own, st.lists(own, max_size=3), st.lists(st.one_of(own, others), max_size=3), others)


@st.composite
def collections(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Documents, and filters of which many ask for values that stand in them."""
    fields = {name: draw(flavours) for name in ("f", "g.h", "ü")}
    document = st.fixed_dictionaries({}, optional={name: values(flavour) for name, flavour in fields.items()})
    documents = draw(st.lists(document, min_size=1, max_size=6))
    every = {name: flavour[0] for name, flavour in fields.items()}
    return [*documents, every], draw(st.lists(filters_of(fields), min_size=1, max_size=6))


def filters_of(fields: dict[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def conditions(flavour: list[Any]) -> st.SearchStrategy[Any]:
        value = st.one_of(st.sampled_from(flavour), st.sampled_from(flavour), scalars)
        comparing = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
        listing = st.sampled_from(["$in", "$nin", "$all"])
        plain = st.one_of(
            value.filter(lambda value: not isinstance(value, dict)),
            st.dictionaries(comparing, value, min_size=1, max_size=2),
            st.dictionaries(listing, st.lists(value, max_size=3), min_size=1, max_size=1),
            st.dictionaries(st.just("$exists"), st.booleans(), min_size=1),
            st.dictionaries(st.just("$contains"), value, min_size=1),
        )
        opposite = plain.filter(lambda one: isinstance(one, dict) and "$decimal" not in one)
        return st.one_of(plain, plain, opposite.map(lambda inner: {"$not": inner}))

    fields = {**fields, **{name: ["a", "b", "", INSTANTS[0]] for name in ("$document", "$path", "$title")}}
    single = st.one_of(*(st.dictionaries(st.just(name), conditions(own), min_size=1) for name, own in fields.items()))
    return st.recursive(
        single,
        lambda inner: st.one_of(
            st.dictionaries(
                st.sampled_from(["$and", "$or", "$nor"]), st.lists(inner, min_size=1, max_size=3), min_size=1
            ),
            inner.map(lambda one: {"$not": one}),
        ),
        max_leaves=3,
    )


def expected(filter: dict[str, Any], documents: dict[str, dict[str, Any]]) -> str | None:
    """The documents that match, as one word in order; None for a filter that is to be refused."""
    try:
        flags = matches(filter, list(documents.values()))
    except Refused:
        return None
    return "".join(id for id, flag in zip(documents, flags, strict=True) if flag)


def answered(docs: vecver.Dataset, filter: dict[str, Any]) -> str | None:
    try:
        return found(docs, filter)
    except InvalidInputError as error:
        assert error.code == "invalid_filter" and error.hint
        return None


@given(collections())
@settings(max_examples=60)
def test_a_repository_as_plain_python_would(drawn: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> None:
    """The documents lie in two segments, which hold documents that are not of the version too."""
    documents, filters = drawn
    titles = ["", "a", INSTANTS[0], "ab"]
    named = {chr(ord("a") + i): {**fields, "title": titles[i % 4]} for i, fields in enumerate(documents)}
    half = dict(list(named.items())[: len(named) // 2])
    docs = dataset({**half, "z": {"f": "gone", "ü": [7]}}, {**named, "y": {}})
    told = {
        id: {**fields, "$document": id, "$path": id, "$title": fields.get("title", "")}
        for id, fields in {**named, "y": {}}.items()
    }
    for filter in filters:
        assert answered(docs, filter) == expected(filter, told), filter
