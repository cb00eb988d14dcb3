"""History, versions and the first page: filters, order by a measure, moves of aliases, drift; as vecver has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("jinja2", reason="no jinja2: install vecver[service]")
pytest.importorskip("ir_measures", reason="no ir_measures: install vecver[eval]")

from helpers import vector_of
from visited import Page, Visited, visited

import vecver

HISTORY = "/datasets/notes"
TEXTS = {f"d{n}.md": f"The note number {n} says what to do with a boiler. " * 3 for n in range(24)}
# Found first where its document is there: in the first and last version of `main`, and on the branch.
QUESTIONS = [
    {"query": text, "vector": vector_of(text).tolist(), "documents": [id]} for id, text in list(TEXTS.items())[:4]
]


@dataclass(frozen=True)
class Made:
    """A service with a dataset `notes`, and its commits by message."""

    service: Visited
    docs: vecver.Dataset
    commits: dict[str, str]

    def rows(self, **query: str | int) -> list[str]:
        """The messages of the versions that the table lists, in its order."""
        page = Page(self.service.page(f"{HISTORY}?{urlencode(query)}"))
        by_id = {f"/datasets/notes/versions/{id}": message for message, id in self.commits.items()}
        inside = page.elements[next(at for at, (tag, _) in enumerate(page.elements) if tag == "tbody") :]
        links = [str(values["href"]) for tag, values in inside if tag == "a" and values.get("class") == "id"]
        return [by_id[link] for link in links]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Four versions on `main`, one on a branch; three are measured; prod was promoted twice and rolled back."""
    with visited(tmp_path_factory.mktemp("history")) as service:
        docs = service.repository.dataset("notes")
        commits = {}

        def ingest(message: str, texts: dict[str, str], branch: str = "main") -> None:
            records = [{"id": id, "text": text, "vector": vector_of(text)} for id, text in texts.items()]
            docs.ingest(records, space="test", message=message, allow_removals=True, branch=branch)
            commits[message] = docs.resolve(branch)

        ingest("All notes", TEXTS)
        docs.branch("wide", "main")
        ingest("Without the first two", {id: text for id, text in TEXTS.items() if id not in ("d0.md", "d1.md")})
        ingest("Half of them", dict(list(TEXTS.items())[12:]))
        ingest("Notes again", TEXTS)
        ingest("One on a branch", {**TEXTS, "e.md": "one more"}, "wide")
        docs.add_questions("support", QUESTIONS)
        for message in ("All notes", "Without the first two", "One on a branch"):
            docs.eval(commits[message], questions="support")
        docs.promote("prod", commits["All notes"], gates=["nDCG@10 >= 0.5"], questions="support")
        docs.promote("prod", commits["Without the first two"])
        docs.rollback("prod")
        service.sign_in("all")
        yield Made(service, docs, commits)


NEWEST_FIRST = ["One on a branch", "Notes again", "Half of them", "Without the first two", "All notes"]


def test_versions_of_all_branches_or_of_one(made: Made) -> None:
    assert sorted(made.rows()) == sorted(NEWEST_FIRST)
    assert made.rows(ref="main") == NEWEST_FIRST[1:]
    assert made.rows(ref="wide") == ["One on a branch", "All notes"]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("HALF", ["Half of them"]),
        ("tester", NEWEST_FIRST),  # the author of all
        ("wide", ["One on a branch"]),  # a ref
        ("nothing like it", []),
    ],
)
def test_a_text_finds_messages_authors_and_refs(made: Made, text: str, messages: list[str]) -> None:
    assert sorted(made.rows(q=text)) == sorted(messages)


def test_the_first_digits_of_an_id_find_its_version(made: Made) -> None:
    assert made.rows(q=made.commits["Half of them"][:9]) == ["Half of them"]


def test_a_measure_puts_versions_in_order_and_filters_them(made: Made) -> None:
    history = made.docs.measure_history("main", questions="support", measures=["nDCG@10", "P@5"])
    value = {each.message: {name: at.mean for name, at in each.measures.items()} for each in history}
    assert value["All notes"]["nDCG@10"] == 1.0 and value["Without the first two"]["nDCG@10"] == 0.5
    unmeasured = ["Notes again", "Half of them"]
    assert made.rows(sort="nDCG@10") == ["All notes", "Without the first two", *unmeasured]
    assert made.rows(sort="nDCG@10", order="up") == ["Without the first two", "All notes", *unmeasured]
    assert made.rows(sort="P@5")[0] == "All notes", "a measure that the table does not show by itself"
    assert f"{value['All notes']['P@5']:.3f}" in Page(made.service.page(f"{HISTORY}?sort=P%405")).text
    assert made.rows(where="nDCG@10 >= 0.6") == ["All notes"]
    assert made.rows(where="nDCG@10<0.6") == ["Without the first two"]
    assert made.rows(where="nDCG@10 > 0.1", q="without") == ["Without the first two"]
    assert made.rows(sort="chunks", order="up")[0] == "Half of them"
    assert made.rows(where="documents < 24") == ["Half of them", "Without the first two"]
    assert made.rows(sort="nDCG@10", among=2) == unmeasured, "only the newest two are looked at"


def test_sorted_versions_come_in_pages(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    from vecver_service.ui import listings

    monkeypatch.setattr(listings, "PAGE", 3)
    first, second = made.rows(sort="nDCG@10"), made.rows(sort="nDCG@10", page=2)
    assert [*first, *second] == ["All notes", "Without the first two", "Notes again", "Half of them"]
    page = Page(made.service.page(f"{HISTORY}?sort=nDCG%4010"))
    assert [link for link in page.links() if "page=2" in link] and "4 of the 4 versions" in page.text
    assert not [
        link for link in Page(made.service.page(f"{HISTORY}?sort=nDCG%4010&page=2")).links() if "page=3" in link
    ]


def test_a_filter_says_where_to_go_on_when_it_has_looked_through_enough(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vecver_service.ui import listings

    monkeypatch.setattr(listings, "LOOKED", 2)
    assert made.rows(q="half", ref="main") == ["Half of them"]
    assert made.rows(q="all", ref="main") == []
    (older,) = [link for link in Page(made.service.page(f"{HISTORY}?q=all&ref=main")).links() if "after=" in link]
    page = Page(made.service.page(older))
    assert f"/datasets/notes/versions/{made.commits['All notes']}" in page.links()


def test_the_table_shows_measures_chunks_and_every_move_of_an_alias(made: Made) -> None:
    page = Page(made.service.page(HISTORY))
    text = " ".join(page.text.split())
    assert "+24" in text and "−2" in text and "−10" in text
    assert text.count("prod came here: promote by tester") == 1 and text.count("prod began here: promote") == 1
    assert "prod came here: rollback by tester" in text and text.count("prod left: promote by tester") == 1
    assert "nDCG@10 >= 0.5" in text, "the gate of the first promotion"
    headings = [values for tag, values in page.elements if tag == "a" and "highest first" in str(values.get("title"))]
    assert [str(values["href"]).partition("sort=")[2] for values in headings][:1] == ["nDCG%4010"]
    assert text.count("1.000") >= 2, "the version on the branch is measured too"


def test_what_was_embedded_and_what_was_reused_is_said(made: Made) -> None:
    docs = made.service.repository.dataset("embedded")
    docs.ingest([{"id": "a", "text": "one"}], embedder="hashing")
    docs.ingest([{"id": "a", "text": "one"}, {"id": "b", "text": "one"}, {"id": "c", "text": "two"}])
    text = " ".join(Page(made.service.page("/datasets/embedded")).text.split())
    counts = docs.show("main").operation["chunks"]
    assert counts["embedded"] == 1 and counts["reused"] == 1
    assert "1 chunk embedded, 1 reused" in text and "1 chunk embedded, 0 reused" in text


def test_measures_are_drawn_over_the_versions(made: Made) -> None:
    page = Page(made.service.page(f"{HISTORY}?ref=main"))
    summaries = [str(values["aria-label"]) for tag, values in page.elements if tag == "svg" and "aria-label" in values]
    assert "nDCG@10 of 2 versions, from 1.000 in the oldest to 0.500 in the newest" in summaries
    dots = [values for tag, values in page.elements if tag == "circle" and "dot" in str(values.get("class"))]
    assert len(dots) == 2 * len(summaries)


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ({"ref": "v9"}, 404, "v9"),
        ({"questions": "nothing"}, 404, "nothing"),
        ({"sort": "nonsense"}, 422, "no measure 'nonsense'"),
        ({"where": "better"}, 422, "no condition on a measure"),
        ({"where": "nonsense > 1"}, 422, "no measure 'nonsense'"),
        ({"order": "sideways"}, 422, ""),
        ({"page": "0"}, 422, ""),
    ],
)
def test_an_address_that_asks_for_nothing_known_is_answered_with_what_to_do(
    made: Made, query: dict[str, str], status: int, says: str
) -> None:
    answer = made.service.client.get(f"{HISTORY}?{urlencode(query)}")
    page = Page(answer.text)
    assert answer.status_code == status and says in page.text and "What to do" in page.text
    assert "/datasets/notes" in page.links()


def test_a_merge_names_its_base_and_which_side_was_kept(made: Made) -> None:
    docs = made.service.repository.dataset("merged")
    rows = [{"id": "a.md", "text": "one", "vector": vector_of("one")}]
    base = docs.resolve(docs.ingest(rows, space="test"))
    docs.branch("draft")
    docs.ingest([{**rows[0], "text": "theirs"}], space="test", branch="draft")
    docs.ingest([{**rows[0], "text": "ours"}], space="test")
    merge = docs.merge("draft", theirs=True)
    text = Page(made.service.page(f"/datasets/merged/versions/{merge.commit}")).text
    text = "".join(text.split())
    assert f"partedat{base[:7]}intomain" in text and base not in text
    assert "mergeddraft" in text and "keptinaconflicta.md:theirs" in text
    made.service.repository.delete_dataset("merged", apply=True)


def test_a_version_shows_its_sketch_and_what_moved_since_its_parent_and_prod(made: Made) -> None:
    docs, half = made.docs, made.commits["Half of them"]
    text = " ".join(Page(made.service.page(f"{HISTORY}/versions/{half}")).text.split())
    sketch = docs.sketch(half)
    assert sketch and f"{sketch.characters} characters in the middle; 95% have at most {sketch.longest}" in text
    assert f"{sketch.repeats:.0%} of the chunks" in text and sketch.norm in text
    assert f"{next(iter(sketch.languages.values())):.0%} {next(iter(sketch.languages))}" in text
    for title, before in (("its parent", made.commits["Without the first two"]), ("prod", docs.resolve("prod"))):
        drift = docs.drift(before, half)
        assert drift.moved, "half of the documents are gone"
        assert f"Drift from {title} {before[:7]}" in text and drift.moved[0].text in text
        assert f"{drift.moved[0].distance:.3f}" in text and f"{drift.moved[0].threshold:.3f}" in text
    first = Page(made.service.page(f"{HISTORY}/versions/{made.commits['All notes']}")).text
    assert "There is no other version to compare with" in first and "prod began here: promote" in " ".join(
        first.split()
    )


def test_a_version_whose_rows_are_gone_says_so_in_place_of_its_drift(tmp_path: Path) -> None:
    from datetime import timedelta

    with visited(tmp_path) as service:
        docs = service.repository.dataset("handbook")
        first = docs.resolve("main~2")
        service.repository.gc(keep_last=1, grace=timedelta(0), apply=True)
        service.repository.gc(keep_last=1, grace=timedelta(0), apply=True)
        service.sign_in("reader")
        text = " ".join(Page(service.page(f"/datasets/handbook/versions/{docs.resolve('prod')}")).text.split())
        assert f"the rows of version {first[:12]} were let go by gc" in text and "Not compared" in text


def test_the_first_page_has_measures_drift_and_failures_of_each_dataset(made: Made) -> None:
    page = Page(made.service.page("/"))
    text = " ".join(page.text.split())
    assert "nDCG@10 0.500" in text and "−0.500 against prod" in text
    assert not made.docs.drift("prod", "main").drifted and "nothing moved" in text
    assert f"/datasets/notes/versions/{made.commits['Notes again']}#drift" in page.links()
    assert "no prod" in text, "of the dataset `secret`"


def test_the_first_page_compares_only_some_versions_at_once(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    from vecver_service.ui import drifts
    from vecver_service.ui.pages import start

    drifts._kept.clear()
    monkeypatch.setattr(start, "DRIFTS", 0)
    links = Page(made.service.page("/")).text
    assert "compare" in links and "nothing moved" not in links


def test_moves_without_gates_say_what_is_measured_of_their_version(made: Made) -> None:
    text = " ".join(Page(made.service.page(f"{HISTORY}/refs")).text.split())
    assert "✓ nDCG@10 >= 0.5 1.000" in text, "of the first move"
    assert "nDCG@10 0.500" in text, "of the version of the second, which had no gate"
