"""The page of measures: the values that `measure_history` has, and what to do where nothing is measured."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("jinja2", reason="no jinja2: install vecver[service]")
pytest.importorskip("ir_measures", reason="no ir_measures: install vecver[eval]")

from helpers import vector_of
from visited import TEXTS, Page, Visited, visited

# The question's vector is nearest to other documents, so the relevant one is second or third.
QUESTIONS = [{"vector": [1.0, 0, 0, 0, 0, 0, 0, 0], "documents": ["guide/boiler.md"]}]
BAD = next(id for id in TEXTS if "bad" in id)  # not in the newest version
TEXT = "where is the <b>bad</b> one?"
LOST = [{"query": TEXT, "vector": vector_of(TEXTS[BAD]).tolist(), "documents": [BAD]}]
MEASURES = "/datasets/handbook/measures"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    """The newest version and the one that prod serves are measured by `lost`, and the index of the newest."""
    with visited(tmp_path_factory.mktemp("measured")) as service:
        docs = service.repository.dataset("handbook")
        docs.add_questions("lost", LOST + QUESTIONS)
        docs.add_questions("unused", QUESTIONS)
        for at in ("main", "prod"):
            docs.eval(at, questions="lost")
        docs.recall("main", k=[1])
        yield service


def ended(service: Visited, answer: Any) -> Any:
    """The page of a job, once that has ended."""
    until = time.monotonic() + 120
    while "data-live" in answer.text and time.monotonic() < until:
        time.sleep(0.05)
        answer = service.client.get(str(answer.url))
    return answer


def test_the_page_has_the_measures_of_every_version_that_was_measured(tmp_path: Path) -> None:
    with visited(tmp_path) as service:
        service.sign_in("reader")
        empty = Page(service.page("/datasets/handbook/measures"))
        assert "0 versions of 3 measured" in empty.text and "vecver eval handbook@main" in empty.text
        docs = service.repository.dataset("handbook")
        docs.add_questions("support", QUESTIONS)
        values = {at: docs.eval(at, questions="support").measures["nDCG@10"].mean for at in ("main", "prod")}
        page = Page(service.page("/datasets/handbook/measures?questions=support"))
        assert "2 versions of 3 measured" in page.text
        assert len(set(values.values())) == 2, "the two versions differ"
        for value in values.values():
            assert f"{value:.3f}" in page.text
        drawing = service.client.get("/datasets/handbook/measures.svg?questions=support")
        assert drawing.headers["content-type"].startswith("image/svg") and "<script" not in drawing.text
        assert service.client.get("/datasets/handbook/measures?questions=nothing").status_code == 404
        service.sign_in("other")
        assert service.client.get("/datasets/handbook/measures.svg?questions=support").status_code == 403


def test_the_questions_that_got_worse_lead_to_what_both_versions_answer(measured: Visited) -> None:
    measured.sign_in("reader")
    docs = measured.repository.dataset("handbook")
    page = Page(measured.page(f"{MEASURES}?from=prod&to=main"))
    compared = docs.compare("prod", "main", questions=docs.questions("lost"))
    name = next(iter(compared.measures))
    assert name == "nDCG@10"
    losses = [each for each in compared.per_question if each.measures[name][1] < each.measures[name][0]]
    assert [each.query for each in losses] == [TEXT] and losses[0].measures[name] == (1.0, 0.0)
    assert "1 question of 2 got worse by nDCG@10" in page.text and TEXT in page.text
    for delta in compared.measures.values():
        assert f"{delta.before:.3f}" in page.text and f"{delta.after:.3f}" in page.text
    (link,) = [link for link in page.links() if "/search?" in link]
    assert parse_qs(urlsplit(link).query) == {"q": [TEXT], "at": ["prod"], "against": ["main"]}
    by = Page(measured.page(f"{MEASURES}?{urlencode({'from': 'main', 'to': 'prod', 'by': 'R@10'})}"))
    assert "No question got worse by R@10" in by.text
    assert "1 question of 2 got worse" in Page(measured.page(MEASURES)).text, "prod and main, where nothing is named"


def test_recall_stands_beside_the_time_of_a_query(measured: Visited) -> None:
    measured.sign_in("reader")
    kept = measured.repository.dataset("handbook").measures("main")["recall"]["at"][0]
    html = measured.page(MEASURES)
    page = Page(html)
    assert "ann_recall@1" in page.text and f"{kept['ann_recall']:.3f}" in page.text
    assert f"{kept['p50_ms']:.2f}" in page.text and kept["engine"] in page.text
    summaries = [str(values["aria-label"]) for tag, values in page.elements if tag == "svg" and "aria-label" in values]
    assert any("over the median time of a query" in each for each in summaries)


def test_points_of_the_drawings_lead_to_their_versions(measured: Visited) -> None:
    measured.sign_in("reader")
    docs = measured.repository.dataset("handbook")
    page = Page(measured.page(MEASURES))
    points = [values for tag, values in page.elements if tag == "a" and values.get("tabindex") == "-1"]
    nDCG = [values for values in points if "nDCG@10" in str(values["aria-label"])]
    ids = [docs.resolve("prod"), docs.resolve("main")]
    assert [values["href"] for values in nDCG] == [f"/datasets/handbook/versions/{id}" for id in ids]


def test_the_set_by_which_most_was_measured_is_shown_unless_another_one_is_named(measured: Visited) -> None:
    measured.sign_in("reader")
    assert "by the question set lost, 2 questions" in Page(measured.page(MEASURES)).text
    other = Page(measured.page(f"{MEASURES}?questions=unused"))
    assert "by the question set unused" in other.text and "were not measured by unused yet" in other.text


def test_a_version_is_measured_by_a_job(tmp_path: Path) -> None:
    with visited(tmp_path) as service:
        docs = service.repository.dataset("handbook")
        docs.add_questions("support", QUESTIONS)
        service.sign_in("reader")
        assert "Measure its answers" not in service.page(MEASURES), "it may only read"
        service.sign_in("writer")
        token = Page(service.page(MEASURES)).field("form_token")
        form = {"form_token": token, "what": "eval", "questions": "support", "at": "prod"}
        answer = ended(service, service.client.post(f"{MEASURES}/measure", data=form))
        assert "Eval succeeded" in Page(answer.text).text
        value = docs.measure_history("prod", questions="support", limit=1).versions[0].measures["nDCG@10"].mean
        assert f"{value:.3f}" in Page(answer.text).text
        index = service.client.post(f"{MEASURES}/measure", data={**form, "what": "recall", "at": "main"})
        assert "Recall succeeded" in Page(ended(service, index).text).text
        assert docs.measures("main")["recall"]["at"][0]["ann_recall"] == 1.0
        unknown = service.client.post(f"{MEASURES}/measure", data={**form, "questions": "nothing"})
        assert unknown.status_code == 404 and "What to do" in Page(unknown.text).text


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ({"questions": "nothing"}, 404, "no question set 'nothing'"),
        ({"at": "v9"}, 404, "no revision 'v9'"),
        ({"from": "v9"}, 404, "no revision 'v9'"),
        ({"from": "prod", "by": "nonsense"}, 422, "'nonsense' was not measured of both versions"),
    ],
)
def test_an_address_that_names_nothing_is_answered_with_what_to_do(
    measured: Visited, query: dict[str, str], status: int, says: str
) -> None:
    measured.sign_in("reader")
    answer = measured.client.get(f"{MEASURES}?{urlencode(query)}")
    page = Page(answer.text)
    assert answer.status_code == status and says in page.text and "What to do" in page.text
    assert "/datasets/handbook" in page.links()


def test_the_name_of_a_question_set_is_never_read_as_a_path(measured: Visited, tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in QUESTIONS))
    measured.sign_in("all")
    for address in (MEASURES, "/datasets/handbook", f"{MEASURES}.svg"):
        answer = measured.client.get(f"{address}?{urlencode({'questions': str(file)})}")
        assert answer.status_code in (404, 422) and "no file of that name" not in answer.text, address
