"""Question files: every form that users have is read whole, and what cannot count is said or refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import vecver
from vecver.errors import InvalidInputError, NotFoundError, VecverError
from vecver.flows import read_questions

LINES = [
    {"query": "How do I bleed a radiator?", "documents": ["heating.md", "valve.md"]},
    {"id": "q7", "query": "pressure", "documents": {"boiler.md": 2, "pump.md": 0}, "tags": ["heating"]},
    {"query": "Which key?", "contains": "a quarter turn", "not_documents": "old.md", "filter": {"year": 2024}},
]


def written(folder: Path, lines: list[Any], name: str = "questions.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n", "utf-8")
    return path


def beir(folder: Path) -> Path:
    """Two judged questions and one without judgments, as BEIR has them; the judgments know a question more."""
    written(
        folder,
        [{"_id": "1", "text": "one", "metadata": {}}, {"_id": "2", "text": "two"}, {"_id": "3", "text": "x"}],
        "queries.jsonl",
    )
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\td1\t1\n2\td 2\t2\n9\td9\t1\n", "utf-8")
    return folder


def refused(source: Any, code: str, **how: Any) -> VecverError:
    with pytest.raises(VecverError) as raised:
        read_questions(source, **how)
    assert raised.value.code == code and raised.value.hint
    return raised.value


def test_a_file_of_json_lines_is_read_whole(tmp_path: Path) -> None:
    questions = read_questions(written(tmp_path, LINES), name="support")
    one, two, three = questions.questions
    assert (one.id, one.documents) == ("1", {"heating.md": 1, "valve.md": 1})
    assert (two.id, two.documents, two.tags) == ("q7", {"boiler.md": 2, "pump.md": 0}, ("heating",))
    assert (three.contains, three.not_documents, three.filter) == (("a quarter turn",), ("old.md",), {"year": 2024})
    assert [each.is_judged for each in questions.questions] == [True, True, True]
    assert questions.summary() | {"digest": ""} == {
        **{"name": "support", "digest": "", "count": 3, "judged": 3, "forbidding": 1}
    }


def test_the_same_questions_have_the_same_digest_however_they_are_given(tmp_path: Path) -> None:
    from_file = read_questions(written(tmp_path, LINES), name="a")
    from_list = read_questions(LINES, name="b")
    assert from_file.digest == from_list.digest == read_questions(from_list).digest
    again = vecver.QuestionSet.from_json(json.loads(json.dumps(from_file.to_json())))
    assert again == from_file and again.digest == from_file.digest
    assert read_questions(LINES[:2]).digest != from_file.digest


def test_a_folder_as_beirs_is_read(tmp_path: Path) -> None:
    questions = read_questions(beir(tmp_path))
    assert {each.id: dict(each.documents) for each in questions.questions} == {"1": {"d1": 1}, "2": {"d 2": 2}, "3": {}}
    assert questions.skipped == {"unknown_questions": 1}
    assert questions.summary()["judged"] == 2


def test_qrels_of_trec_are_read_with_queries_of_any_form(tmp_path: Path) -> None:
    qrels = tmp_path / "qrels.txt"
    qrels.write_text("1 0 d1 1\n2 0 d2 2\n2 0 d3 0\n", "utf-8")
    tabs = tmp_path / "queries.tsv"
    tabs.write_text("1\tone\r\n2\ttwo\r\n", "utf-8")
    for source in (tabs, ["one", "two"], [{"query": "one"}, {"query": "two"}]):
        questions = read_questions(source, qrels=qrels)
        assert [(each.query, dict(each.documents)) for each in questions.questions] == [
            ("one", {"d1": 1}),
            ("two", {"d2": 2, "d3": 0}),
        ]


def test_plain_queries_are_questions_without_judgments(tmp_path: Path) -> None:
    path = tmp_path / "queries.txt"
    path.write_text("\ufeffone\n\n  two  \n", "utf-8")
    assert [each.query for each in read_questions(path).questions] == ["one", "two"]
    assert not any(each.is_judged for each in read_questions(path).questions)


def test_a_vector_stands_in_for_a_text() -> None:
    (question,) = read_questions([{"vector": [0.5, 1], "documents": 7}]).questions
    assert question.query is None and question.vector == (0.5, 1.0) and question.documents == {"7": 1}


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ({"documents": ["a"]}, "no query"),
        ({"query": "  "}, "no query"),
        ({"query": "x", "documnets": ["a"]}, "'documnets'"),
        ({"query": "x", "documents": {"a": 1.5}}, "grade 1.5"),
        ({"query": "x", "documents": {"a": True}}, "grade True"),
        ({"query": "x", "documents": {"a": 1001}}, "grade 1001"),
        ({"query": "x", "documents": {"a": 3_000_000_000}}, "grade 3000000000"),
        ({"query": "x", "documents": [None]}, "None"),
        ({"query": "x", "contains": [3]}, "contains"),
        ({"query": "x", "id": "a b"}, "'a b'"),
        ({"query": "x", "vector": [float("nan")]}, "vector"),
        (["x"], "list"),
    ],
)
def test_a_line_that_is_no_question_is_named(tmp_path: Path, line: Any, part: str) -> None:
    error = refused(written(tmp_path, [{"query": "good"}, line]), "invalid_questions")
    assert "line 2 of" in error.message and part in error.message
    assert isinstance(error, InvalidInputError)


def test_other_bad_input_is_refused(tmp_path: Path) -> None:
    refused([], "empty_set")
    refused(written(tmp_path, []), "empty_set")
    refused([{"query": "a", "id": "x"}, {"query": "b", "id": "x"}], "duplicate_question")
    refused([{"query": "a", "documents": {"d": -1}}], "negative_grade")
    refused(tmp_path, "invalid_questions")
    refused({"query": "a"}, "invalid_questions")
    assert isinstance(refused(tmp_path / "no.jsonl", "questions_file_not_found"), NotFoundError)
    (tmp_path / "bad.jsonl").write_bytes(b"\xff\xfe{")
    refused(tmp_path / "bad.jsonl", "invalid_questions")
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(b'{"query": "x"}'))
    assert "compressed" in refused(tmp_path / "packed.jsonl.gz", "invalid_questions").message
    qrels = tmp_path / "q.tsv"
    qrels.write_text("7\ta\t1\n", "utf-8")
    refused(["one"], "unknown_questions", qrels=qrels)
    qrels.write_text("1\ta\t-1\n", "utf-8")
    refused(["one"], "negative_grade", qrels=qrels)
    qrels.write_text("1\ta\t1\n1\ta\t2\n", "utf-8")
    refused(["one"], "invalid_questions", qrels=qrels)
    own = {"query": "one", "documents": ["a"]}
    qrels.write_text("1\ta\t2\n", "utf-8")
    assert "has another grade" in refused([own], "invalid_questions", qrels=qrels).message
    qrels.write_text("1 a\n", "utf-8")
    refused(["one"], "invalid_questions", qrels=qrels)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ('{"query": "x", "documents": {"a": 1, "a": 2}}', "names 'a' twice"),
        ('{"query": "x", "query": "y"}', "names 'query' twice"),
        ('{"query": "x", "documents": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"query": 3}', "no text, but 3"),
        ('{"vector": [NaN, 1]}', "finite"),
        ('{"query": "a \\ud800 b"}', "half of a character"),
        ('{"query": "a", "documents": ["\\udc00"]}', "half of a character"),
    ],
)
def test_what_would_be_lost_or_cannot_be_read_is_refused(tmp_path: Path, line: str, part: str) -> None:
    (tmp_path / "q.jsonl").write_text('{"query": "good"}\n' + line, "utf-8")
    error = refused(tmp_path / "q.jsonl", "invalid_questions")
    assert "line 2 of" in error.message and part in error.message


@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_of_json_is_read_like_lines(tmp_path: Path, indent: int | None) -> None:
    (tmp_path / "q.json").write_text(json.dumps(LINES, indent=indent), "utf-8")
    assert read_questions(tmp_path / "q.json").digest == read_questions(LINES).digest
    (tmp_path / "q.json").write_text(json.dumps([*LINES, {"query": ""}]), "utf-8")
    assert "question 4 of" in refused(tmp_path / "q.json", "invalid_questions").message


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path, ending: str) -> None:
    asked = [{"query": "\u05d0\u05d9\u05da \u0643\u064a\u0641"}, {"query": "\u5982\u4f55\u2028\u6253\u5f00"}]
    text = ending.join(json.dumps(each, ensure_ascii=False) for each in asked) + ending
    (tmp_path / "q.jsonl").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_questions(tmp_path / "q.jsonl").digest == read_questions(asked).digest
    (tmp_path / "qrels.tsv").write_bytes(b"\xef\xbb\xbf" + ending.join(["1\ta\t1", "2\tb\t2", ""]).encode())
    one, two = read_questions(tmp_path / "q.jsonl", qrels=tmp_path / "qrels.tsv").questions
    assert (one.documents, two.documents) == ({"a": 1}, {"b": 2})


def test_questions_made_in_python_are_checked_too() -> None:
    asked = vecver.JudgedQuestion("1", "x", None, {"a": -1})
    refused([asked], "negative_grade")
    refused(vecver.QuestionSet("", (asked,)), "negative_grade")
    refused(vecver.QuestionSet("", (vecver.JudgedQuestion("1", "x", None, {"a": 3_000_000_000}),)), "invalid_questions")
    twice = vecver.JudgedQuestion("1", "x")
    refused(vecver.QuestionSet("", (twice, twice)), "duplicate_question")


@pytest.mark.parametrize("first", ["1\ta\t1.0", "1\t0\tsome document\t1", "1 0 a 1"])
def test_the_first_judgment_of_a_file_without_a_heading_counts(tmp_path: Path, first: str) -> None:
    qrels = tmp_path / "q.tsv"
    qrels.write_text(f"{first}\n", "utf-8")
    (question,) = read_questions(["one"], qrels=qrels).questions
    assert list(question.documents.values()) == [1]
