"""JSON keeps repeated keys and numbers as written, and tables keep their columns."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from vecver.pipeline.parsers.parse import parse


def read(source: str, name: str = "x.json") -> str:
    return parse(source.encode(), name).text.removeprefix("```json\n").removesuffix("\n```")


def test_json_keeps_keys_and_numbers_as_written() -> None:
    text = read('{"limits":{"low":1},"limits":{"high":[1.10,1e5,1.0,NaN,-0,123456789012345678901234567890,{}]}}')
    assert text.count('"limits"') == 2
    assert '"low": 1' in text
    assert [line.strip(" ,") for line in text.split("\n")[6:13]] == [
        "1.10", "1e5", "1.0", "NaN", "-0", "123456789012345678901234567890", "{}",
    ]  # fmt: skip
    assert read('{"a":1.10,"a":"\\u00e9"}\n', "x.jsonl") == '{"a": 1.10, "a": "é"}'


def test_json_with_comments_is_kept_as_it_is() -> None:
    assert read('{"a": 1, // why\n}') == '{"a": 1, // why\n}'


def test_repeated_columns_and_numbers_of_a_table() -> None:
    assert read("n,n,code\n1.10,1e5,007\n", "x.csv") == "| n | n | code |\n| --- | --- | --- |\n| 1.10 | 1e5 | 007 |\n"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(VALUES)
def test_any_json_is_laid_out_as_the_standard_library_does(value: object) -> None:
    source = json.dumps(value)
    fenced = json.dumps(value, indent=1, ensure_ascii=False)
    if not any("\ud800" <= char <= "\udfff" for char in fenced):
        assert read(source).strip("`\n") == fenced.strip("`\n") or "```" in fenced
