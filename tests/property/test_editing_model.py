"""Ingest, upsert, add and delete in any order against a dictionary: document -> (source, text)."""

from __future__ import annotations

from typing import Any

from helpers import SPACE, open_on, records, texts_of
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import versions_of

import vecver
from vecver.errors import InvalidInputError
from vecver.store import MemoryStore

ids = st.sampled_from([f"doc {letter}" for letter in "abcdef"])
texts = st.sampled_from(["one", "two", "three"])
rows = st.lists(st.tuples(ids, texts), max_size=5)
labels = st.sampled_from([None, "wiki", "added"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ingest"), st.sampled_from(["wiki", "blog"]), st.dictionaries(ids, texts, min_size=1)),
        st.tuples(st.just("upsert"), labels, rows),
        st.tuples(st.just("delete"), st.none(), st.lists(ids, max_size=4)),
        st.tuples(st.just("where"), st.none(), texts),
    ),
    max_size=9,
)
Model = dict[str, tuple[str, str]]


def expected(model: Model, verb: str, label: str | None, what: Any) -> Model | None:
    """The documents after a step; None where it must be refused."""
    if verb == "ingest":
        if any(name in model and model[name][0] != label for name in what):
            return None
        others = {name: held for name, held in model.items() if held[0] != label}
        return {**others, **{name: (str(label), text) for name, text in what.items()}}
    if verb == "upsert":
        last = dict(what)
        return {**model, **{name: (model.get(name, (label or "added",))[0], text) for name, text in last.items()}}
    if verb == "where":
        return {name: held for name, held in model.items() if held[1] != what} if model else None
    return {name: held for name, held in model.items() if name not in what}


def act(docs: vecver.Dataset, verb: str, label: str | None, what: Any) -> vecver.Report:
    if verb == "ingest":
        given = [{**row, "said": row["text"]} for row in records(what)]
        return docs.ingest(given, label=label, space=SPACE, metric="ip", allow_removals=True)
    if verb == "upsert":
        given = [{**row, "metadata": {"said": row["text"]}} for name, text in what for row in records({name: text})]
        return docs.upsert(given, label=label)
    return docs.delete(where={"said": what}) if verb == "where" else docs.delete(what)


@settings(max_examples=40)
@given(steps)
def test_any_order_of_writes(steps: list[tuple[str, str | None, Any]]) -> None:
    docs = open_on(MemoryStore()).dataset("d")
    model: Model = {"doc a": ("wiki", "one")}
    act(docs, "ingest", "wiki", {"doc a": "one"})
    for verb, label, what in steps:
        before = docs.resolve()
        wanted = expected(model, verb, label, what)
        if wanted is None:
            try:
                act(docs, verb, label, what)
                raise AssertionError("it was not refused")
            except InvalidInputError:
                assert docs.resolve() == before
            continue
        report = act(docs, verb, label, what)
        assert report.changed == (wanted != model) == (docs.resolve() != before)
        counts = report.documents
        assert counts["added"] == len(wanted.keys() - model.keys())
        assert counts["removed"] == len(model.keys() - wanted.keys())
        assert counts["changed"] == sum(model[name] != wanted[name] for name in model.keys() & wanted.keys())
        model = wanted
        table = versions_of(docs).snapshot(docs.resolve()).documents(["document", "source"])
        found = dict(zip(table["document"].to_pylist(), table["source"].to_pylist(), strict=True))
        assert found == {name: source for name, (source, _) in model.items()}
        assert texts_of(docs) == {name: text for name, (_, text) in model.items()}
    assert docs.repository.check().clean
