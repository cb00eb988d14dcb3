"""Reports in a real browser: their numbers and links, and that they load nothing and run only their own script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from browser import Seen, opened
from handles import filled
from helpers import SPACE, Ticking, open_on, records, vector_of

import vecver
from vecver.store import MemoryStore

pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")
pytest.importorskip("jinja2", reason="no jinja2: install vecver[eval]")

XSS = """<script>alert(1)</script><img src=x onerror="alert(2)"> '}]}</script> & {{ 7 * 7 }}"""
ASKED = {
    "the text number 4": ["doc-4"],  # gone in the second version
    XSS: ["doc-3", "doc-5"],
    "the text number 7": ["doc-7"],
    "Wie öffnet man das Ventil? 漢字 עברית": ["more"],
}
QUESTIONS: list[dict[str, Any]] = [
    {"query": text, "vector": vector_of(text).tolist(), "documents": documents, "tags": ["<b>"]}
    for text, documents in ASKED.items()
]
SIZES = [("light", 1240), ("dark", 1240), ("light", 390)]


@pytest.fixture
def running(chromium: Any) -> Any:
    return chromium


@pytest.fixture(scope="module")
def docs() -> vecver.Dataset:
    docs = filled(open_on(MemoryStore(), clock=Ticking()))
    assert isinstance(docs, vecver.Dataset)
    docs.tag("v1", "main~1")
    docs.promote("prod", "main~1")
    docs.add_questions("support", QUESTIONS)
    docs.recall("main~1")
    return docs


@pytest.fixture(scope="module")
def compared(docs: vecver.Dataset) -> vecver.Comparison:
    return docs.compare("prod", "main", questions="support", exact=True)


@pytest.fixture(scope="module")
def history(docs: vecver.Dataset, compared: vecver.Comparison) -> vecver.MeasureHistory:
    names = [*compared.measures, "ann_recall"]
    return docs.measure_history("main", measures=names, questions="support", exact=True)


def check_quiet(seen: Seen, file: Path) -> None:
    """Only the file itself was read, nothing was said in the console, no script of a text ran."""
    assert seen.requests == [file.as_uri()] and seen.messages == [] and seen.dialogs == []


def data_of(page: Any) -> Any:
    return json.loads(page.locator("#data").text_content())


@pytest.mark.parametrize(("scheme", "width"), SIZES)
def test_a_comparison_in_the_browser(
    running: Any,
    compared: vecver.Comparison,
    history: vecver.MeasureHistory,
    tmp_path: Path,
    scheme: str,
    width: int,
) -> None:
    file = tmp_path / "report.html"
    file.write_text(compared.to_html(history, names=("prod", "main")), "utf-8")
    page, seen = opened(running, file, width=width, scheme=scheme)
    assert data_of(page) == {"comparison": compared.to_json(), "history": history.to_json()}
    for name, delta in compared.measures.items():
        cells = page.locator(f"table.measures tr[data-measure='{name}'] > *").all_text_contents()
        minus = "\N{MINUS SIGN}"
        shown = [f"{delta.before:.4f}", f"{delta.after:.4f}", f"{delta.delta:+.4f}".replace("-", minus)]
        assert cells[:4] == [name, *shown] and cells[5] == f"{delta.p:.4f}"
        assert cells[6:] == [str(delta.wins), str(delta.ties), str(delta.losses)]
    assert compared.measures["R@10"].before == 3 / 4  # all but "more", which the earlier version does not have
    check_bars(page, compared)
    check_questions(page, compared)
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing runs out of the page
    check_quiet(seen, file)
    page.close()


def check_bars(page: Any, compared: vecver.Comparison) -> None:
    """A bar leads to the question that it stands for, and says it on hover and on focus."""
    name = next(iter(compared.measures))
    values = {each.query: each.measures[name] for each in compared.per_question}
    figure = page.locator("#questions figure").first
    bars = figure.locator("a")
    assert bars.count() == sum(old != new for old, new in values.values()) > 0
    for number in range(bars.count()):
        bar = bars.nth(number)
        row = page.locator(bar.get_attribute("href"))
        old, new = values[row.locator("h3").text_content()]
        assert bar.get_attribute("aria-label").endswith(f"{name} {old:.3f} → {new:.3f}")
    for act in (lambda: bars.first.focus(), lambda: bars.first.hover()):
        page.keyboard.press("Escape")
        act()
        assert page.locator(".tip").text_content() == bars.first.get_attribute("aria-label")
        assert page.locator(".tip").is_visible()
    bars.first.press("Enter")
    assert page.url.endswith(bars.first.get_attribute("href"))


def check_questions(page: Any, compared: vecver.Comparison) -> None:
    """Every question is there as text, with what entered, left and moved, and why."""
    for number, each in enumerate(compared.per_question, 1):
        row = page.locator(f"#q-{number}")
        assert each.query is not None and each.query in row.text_content()
        documents = row.locator("li .document").all_text_contents()
        assert documents == [change.document for change in each.changes]
    gone = page.locator("#q-1 li", has_text="doc-4")
    assert gone.locator(".why").text_content() == "document removed"


def test_what_was_not_measured_is_said_with_its_command(
    running: Any, docs: vecver.Dataset, compared: vecver.Comparison, history: vecver.MeasureHistory, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    file.write_text(compared.to_html(history, names=("prod", "main")), "utf-8")
    page, seen = opened(running, file)
    assert page.locator("#latency .note").text_content().startswith("Not measured: main. vecver recall d@main measures")
    ks = [name for name in history.names if name.startswith("ann_recall@")]
    assert page.locator("#latency figcaption").all_text_contents() == ks == ["ann_recall@1", "ann_recall@10"]
    page.locator("#versions summary").click()
    cells = page.locator("#versions tbody tr").nth(0).locator("td").all_text_contents()
    assert cells[-1] == cells[-2] == "·" and "prod" in page.locator("#versions tbody tr").nth(1).text_content()
    check_quiet(seen, file)
    bare = compared.to_html()
    assert "No history was given to this page." in bare and "No version here has a measured index." in bare


def test_an_evaluation_in_the_browser(running: Any, docs: vecver.Dataset, tmp_path: Path) -> None:
    measured = docs.eval("prod", questions="support", exact=True)
    history = docs.measure_history("main", questions="support", exact=True)
    file = tmp_path / "report.html"
    file.write_text(measured.to_html(history, name="prod"), "utf-8")
    page, seen = opened(running, file, scheme="dark")
    assert data_of(page) == {"evaluation": measured.to_json(), "history": history.to_json()}
    for name, mean in measured.measures.items():
        cells = page.locator(f"table.measures tr[data-measure='{name}'] > *").all_text_contents()
        values = [
            f"{mean.mean:.4f}",
            f"{mean.low:.4f} … {mean.high:.4f}",
            f"{measured.tags['<b>']['measures'][name]:.4f}",
        ]
        assert cells == [name, *values]
    for number, each in enumerate(measured.per_question, 1):
        row = page.locator(f"#q-{number}")
        assert row.locator("h3").text_content() == each.query
        assert row.locator("ol .document").all_text_contents() == [it.document for it in each.ranking][:10]
    check_quiet(seen, file)


def test_a_history_in_the_browser(running: Any, docs: vecver.Dataset, tmp_path: Path) -> None:
    """The same drawings as a page and as a file of SVG; the refs are marked, and a point says its value."""
    docs.eval("prod", questions="support", exact=True)
    docs.eval("main", questions="support", exact=True)
    history = docs.measure_history("main", measures="R@10,ann_recall@10", questions="support", exact=True)
    values = [at.mean for _, at in reversed(history.series("R@10"))]
    assert len(values) == 2 and values[0] == 3 / 4
    for name, text in (("page.html", history.to_html()), ("drawing.svg", history.to_svg())):
        file = tmp_path / name
        file.write_text(text, "utf-8")
        page, seen = opened(running, file, width=500)
        if name == "page.html":
            assert data_of(page) == {"history": history.to_json()}
            points = page.locator("#versions figure").first.locator("a")
            said = [points.nth(number).get_attribute("aria-label") for number in range(points.count())]
            assert [f"R@10 {value:.3f}" in each for value, each in zip(values, said, strict=True)] == [True, True]
            points.first.press("Enter")  # to the version's row, which unfolds
            assert page.locator(points.first.get_attribute("href")).is_visible()
        names = page.locator("text.name").all_text_contents()
        assert "prod, v1" in names and "main" in names
        check_quiet(seen, file)
        page.close()


def test_no_text_is_markup(compared: vecver.Comparison, history: vecver.MeasureHistory) -> None:
    """Without a browser: what a question says is nowhere in the page as it was written."""
    for page in (compared.to_html(history), compared.to_html(names=(XSS, XSS)), history.to_html(), history.to_svg()):
        assert "<script>alert(1)" not in page and "<img" not in page
        assert page.count("<script") == page.count("</script>")


def test_any_text_can_be_written_and_nothing_may_be_missing(compared: vecver.Comparison) -> None:
    """A message with control characters and half a surrogate pair; a dataset of which nothing was measured."""
    docs = open_on(MemoryStore(), clock=Ticking()).dataset("d")
    docs.ingest(records({"a": "text"}), space=SPACE, message="bell\x07 tab\t \x00 & <b>")
    history = docs.measure_history()
    assert "Nothing was measured yet." in history.to_svg() and "No version of this history" in history.to_html()
    docs.add_questions("support", [{"query": "text", "vector": vector_of("text").tolist(), "documents": ["a"]}])
    unmeasured = docs.measure_history(measures="R@10").to_html()
    assert "vecver eval d@REVISION --questions support --measures R@10" in unmeasured
    docs.recall(k=[1])
    drawn, page = (history := docs.measure_history(measures="ann_recall")).to_svg(), history.to_html()
    titles = [each.text for each in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}title")]
    assert any("bell\N{REPLACEMENT CHARACTER} tab" in (title or "") for title in titles) and page.encode("utf-8")
    value = compared.to_json()
    value["per_question"][0]["query"] = "half \ud800 a pair"
    assert "half \N{REPLACEMENT CHARACTER} a pair" in vecver.Comparison.from_json(value).to_html()
    empty = {**value, "per_question": [], "measures": {}, "skipped": {}}
    assert "Every question brings back the same" in vecver.Comparison.from_json(empty).to_html()


def test_the_same_values_give_the_same_page(compared: vecver.Comparison, history: vecver.MeasureHistory) -> None:
    again = vecver.Comparison.from_json(json.loads(json.dumps(compared.to_json())))
    earlier = vecver.MeasureHistory.from_json(json.loads(json.dumps(history.to_json())))
    assert again.to_html(earlier) == compared.to_html(history) and earlier == history
