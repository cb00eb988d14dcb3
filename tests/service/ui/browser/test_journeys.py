"""What people do on the pages, in a real Chromium; the numbers they read are those that the command line prints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from lived_in import BROKEN, HOSTILE_ID, IMAGE, SCRIPT
from visitor import Live, Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Page

DROP = """(form, [name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name, {type: 'text/markdown'}));
  form.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
}"""

# The pages of the dataset `hostile`, of all datasets, and of the job that takes in a hostile file.
HOSTILE = [
    "",
    "versions/main~1",
    "documents",
    "diff?from=main~2&to=main",
    "diff?" + urlencode({"from": "main~2", "to": "main~1", "document": HOSTILE_ID}),
    "search?" + urlencode({"q": SCRIPT, "at": "main"}),
    "search?" + urlencode({"q": SCRIPT, "at": "main~2", "against": "main"}),
    "measures?questions=asked",
    "refs",
    "work",
    "work/JOB",
    "/",
    "/work",
    "/work/audit",
]


def number(text: str) -> int:
    """A count as a page writes it."""
    return int(text.replace(",", ""))


def counted(page: Page, noun: str) -> int:
    """How many of them the line below the page's head counts."""
    (count,) = re.findall(rf"([\d,]+) {noun}s?\b", page.locator(".sub").first.inner_text())
    return number(count)


# -- numbers ----------------------------------------------------------------------------------------


def test_the_first_page_has_the_datasets_that_the_terminal_lists(ops: Visitor) -> None:
    ops.page.goto("/")
    rows = {row["Dataset"]: row for row in ops.table()}
    listed = ops.live.cli("datasets")
    assert {each["name"] for each in listed} == rows.keys() == {"hostile", ops.live.docs.name}
    for each in listed:
        row = rows[each["name"]]
        assert each["head"][:7] in row["Newest version"]
        assert (number(row["Documents"]), number(row["Chunks"])) == (each["documents"], each["chunks"])
    served = ops.live.cli("alias", ops.live.docs.name)
    assert all(f"{name} {id[:7]}" in rows[ops.live.docs.name]["Serves"] for name, id in served.items())


def test_the_history_has_the_log_with_its_counts_and_measures(ops: Visitor) -> None:
    page, log = ops.go(ref="main"), ops.live.cli("log", ops.live.docs.name)
    rows = ops.table("table.history")
    while page.get_by_role("link", name="Older versions").count():
        page.get_by_role("link", name="Older versions").click()
        rows += ops.table("table.history")
    assert [row["Version"] for row in rows] == [commit["commit"][:7] for commit in log] and len(log) >= 10
    for row, commit in zip(rows, log, strict=True):
        changed = commit["operation"]["documents"]
        assert row["What changed"].startswith(commit["message"])
        assert (number(row["Documents"]), number(row["Chunks"])) == tuple(
            commit["counts"][kind] for kind in ("documents", "chunks")
        )
        for sign, kind in (("+", "added"), ("~", "changed"), ("−", "removed")):
            assert (f"{sign}{changed[kind]:,}" in row["What changed"]) == (changed[kind] > 0)
    ops.go(ref="main", q=log[3]["message"])
    assert next(row["Version"] for row in ops.table("table.history")) == log[3]["commit"][:7]


def test_the_head_of_main_is_measured_though_another_branch_is_newer(ops: Visitor) -> None:
    page, name = ops.go(), ops.live.docs.name
    newest = ops.live.cli("log", name, "--measures", "nDCG@10", "--questions", "pinned")
    measured = next(each["measures"]["nDCG@10"] for each in newest if each["measures"])
    card = page.locator(".card", has_text="nDCG@10 · pinned")
    assert card.locator(".n").inner_text() == f"{measured['mean']:.3f}"


def test_a_version_has_what_show_prints(ops: Visitor) -> None:
    page, shown = ops.go("versions", "main"), ops.live.cli("show", ops.live.docs.name)
    assert {noun: counted(page, noun) for noun in ("chunk", "document")} == {
        noun: shown["counts"][f"{noun}s"] for noun in ("chunk", "document")
    }
    text = ops.text()
    for fact in (shown["commit"], shown["content_root"], shown["vector_root"], shown["recipe_fingerprint"]):
        assert fact in text
    for kind in ("added", "changed", "removed", "unchanged"):
        assert f"{kind} {shown['operation']['documents'][kind]:,} document" in text
    (failure,) = shown["operation"]["failures"]
    assert failure["document"] == BROKEN and f"{BROKEN} {failure['reason']}" in text


def test_documents_are_those_of_ls_and_their_text_that_of_cat(ops: Visitor, document: str) -> None:
    page, name = ops.go("documents", at="prod"), ops.live.docs.name
    ids = ops.live.cli("ls", f"{name}@prod")["documents"]
    assert [row["Document"] for row in ops.table()] == ids[:100]
    page.get_by_label("Ids that begin with").fill(document[:6])
    page.get_by_role("button", name="Filter").click()
    assert [row["Document"] for row in ops.table()] == [id for id in ids if id.startswith(document[:6])][:100]
    page.get_by_role("link", name=document, exact=True).click()
    (printed,) = ops.live.cli("cat", f"{name}@prod", document)["documents"]
    assert page.locator("article.text").text_content() == printed["text"]
    assert page.get_by_role("heading", level=1).inner_text() == printed["title"]


def test_a_diff_has_the_documents_and_chunks_of_the_terminal(ops: Visitor, document: str) -> None:
    page, name = ops.go("diff", from_="main~6", to="main"), ops.live.docs.name
    diff = ops.live.cli("diff", name, "main~6", "main")
    rows = [(row[""], row["Document"]) for row in ops.table()]
    expected = [(kind, id) for kind in ("changed", "added", "removed") for id in diff["documents"][kind]]
    assert rows == expected[:200]
    assert page.get_by_role("heading", level=1).inner_text() == f"{len(expected)} documents differ"
    page.get_by_role("link", name=document, exact=True).click()
    chunks = ops.live.cli("diff", name, "main~6", "main", document)["chunks"]
    kinds = [page.locator(f"table.beside tr.{kind}").count() for kind in ("kept", "changed", "added", "removed")]
    count = {kind: sum(each["change"] == kind for each in chunks) for kind in ("kept", "added", "removed")}
    assert [kinds[0], kinds[1] + kinds[2], kinds[1] + kinds[3]] == list(count.values())


def test_the_hits_are_those_of_the_terminal(ops: Visitor) -> None:
    name = ops.live.docs.name
    for mode in ("dense", "keyword"):
        page = ops.go("search", q=ops.live.question, at="prod", k="7", mode=mode)
        hits = ops.live.cli("search", f"{name}@prod", ops.live.question, "-k", "7", "--mode", mode)["hits"]
        shown = page.locator(".hit")
        assert [shown.nth(at).locator(".s").inner_text() for at in range(shown.count())] == [
            f"{hit['score']:.3f}" for hit in hits
        ]
        links = shown.locator(".top a").evaluate_all("links => links.map(link => link.hash.slice(2))")
        assert links == [hit["key"] for hit in hits] and hits


def test_two_answers_differ_as_compare_says(ops: Visitor, tmp_path: Path) -> None:
    before = f"main~{max(6, len(list(ops.live.docs.log())) // 2)}"  # so far back that the answers differ
    ops.go("search", q=ops.live.question, at=before, against="main")
    (tmp_path / "questions.jsonl").write_text(json.dumps({"query": ops.live.question}))
    told = ops.live.cli("compare", ops.live.docs.name, before, "main", "--questions", str(tmp_path / "questions.jsonl"))
    (compared,) = told["per_question"]
    entered, left, moved = (len(compared[kind]) for kind in ("entered", "left", "moved"))
    text = ops.text()
    assert f"{entered} entered, {left} left and {moved} moved" in text and entered + left + moved
    assert f"rank-biased overlap {compared['rbo']:.3f}" in text


def test_the_measures_are_those_of_the_log(ops: Visitor) -> None:
    ops.go("measures", questions="pinned")
    how = ["--measures", "nDCG@10", "--questions", "pinned"]
    log = {each["commit"][:7]: each["measures"] for each in ops.live.cli("log", ops.live.docs.name, *how)}
    rows = {row["Version"]: row["nDCG@10"] for row in ops.table("table.rows")}
    measured = {id: f"{values['nDCG@10']['mean']:.3f}" for id, values in log.items() if values}
    assert {id: value.split()[0] for id, value in rows.items()} == measured
    assert len(set(measured.values())) >= 2 and len(log) > len(measured)


# -- links and moves --------------------------------------------------------------------------------


def test_a_link_in_a_fresh_browser_asks_to_sign_in_and_goes_on_to_the_same_view(live: Live, ops: Visitor) -> None:
    ops.go("search", q=live.question, at="main~6", against="main", k="4")
    address, here = ops.page.url, ops.page.locator("main").inner_text()
    with live.visitor(None) as other:
        other.page.goto(address)
        other.look("sign-in")
        assert live.docs.name not in other.page.locator("h1").inner_text() and "API key" in other.text()
        other.sign_in("eva")
        assert other.page.url == address
        steady = re.compile(r"[\d.]+ ms")
        assert steady.sub("", other.page.locator("main").inner_text()) == steady.sub("", here)


def test_a_promotion_runs_its_gates_as_a_job_and_is_rolled_back(ops: Visitor) -> None:
    name, before = ops.live.docs.name, ops.live.cli("alias", ops.live.docs.name)["prod"]
    newest = ops.live.cli("show", name)["commit"]
    page = ops.go("refs", alias="prod", to="main")
    page.get_by_role("button", name="Promote").click()
    ops.watch_job("succeeded")
    assert ops.live.cli("alias", name)["prod"] == newest
    moves = ops.live.cli("alias", name, "prod")
    gate = moves[0]["gating"]["gates"][0]
    assert f"prod serves {newest[:7]} and served {before[:7]} before" in ops.text() and gate["gate"] in ops.text()
    page = ops.go("refs")
    shown = ops.table("section:has(h2:has-text('prod')) table")[0]
    assert (shown["Who"], shown["To"], shown["From"]) == ("ops", newest[:7], before[:7])
    assert f"{gate['gate']} {gate['value']:.3f}" in " ".join(shown.values())
    page.get_by_role("button", name="Roll prod back").click()
    assert f"prod serves {before[:7]}" in ops.text() and ops.live.cli("alias", name)["prod"] == before


def test_a_second_person_approves_what_the_first_asked_for(live: Live) -> None:
    name, before = live.docs.name, live.cli("alias", live.docs.name)["stable"]
    wanted = live.cli("show", f"{name}@main~3")["commit"]
    with live.visitor("eva") as eva, live.visitor("max") as max:
        page = eva.go("refs", alias="stable", to="main~3")
        page.get_by_role("button", name="Promote").click()
        assert live.cli("alias", name)["stable"] == before
        page = max.go("refs")
        assert f"eva asks to move stable to {wanted[:7]}" in max.text()
        max.look("approval")
        page.get_by_role("button", name="Approve").click()
        assert live.cli("alias", name)["stable"] == wanted
        assert "approved by max" in max.text() and f"stable serves {wanted[:7]}" in max.text()


def test_a_file_that_is_dropped_becomes_a_version_while_its_job_is_watched(ops: Visitor) -> None:
    name, before = ops.live.docs.name, ops.live.cli("show", ops.live.docs.name)
    page = ops.go("work")
    page.get_by_label("Source that the files belong to").fill("notes")
    page.get_by_label("Message of the version").fill("Say what a gate is")
    page.get_by_role("button", name="Choose files").click()
    page.locator("form[data-drop]").evaluate(DROP, ["note on gates.md", "# Gates\n\nA gate is a bar to reach.\n"])
    ops.watch_job("succeeded")
    job = ops.page.url.rsplit("/", 1)[1]
    after = ops.live.cli("show", name)
    assert after["parents"] == [before["commit"]] and after["author"] == "ops"
    assert after["message"] == "Say what a gate is"
    assert after["counts"]["documents"] == before["counts"]["documents"] + 1
    assert after["commit"][:7] in ops.text() and "+1" in ops.text()
    ops.look("job")
    page.get_by_role("link", name=after["commit"][:7]).click()
    assert ops.page.url.endswith(f"/versions/{after['commit']}")
    ops.go("work")
    assert ops.table()[0]["State"] == "succeeded" and ops.table()[0]["Job"] == job[-12:]
    ops.page.goto("/work/audit")
    assert any("ingest" in row["What"] and row["Outcome"] == "done" for row in ops.table())


def test_a_receipt_is_downloaded_and_replayed_with_one_click(ops: Visitor, tmp_path: Path) -> None:
    page = ops.go("search", q=ops.live.question, at="prod", k="3")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="receipt").click()
    waiting.value.save_as(tmp_path / "receipt.json")
    replayed = ops.live.cli("replay", str(tmp_path / "receipt.json"))
    page.get_by_role("button", name="Replay the receipt").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Identical" and replayed["identical"]
    receipt = json.loads((tmp_path / "receipt.json").read_text())
    assert receipt["commit"][:7] in ops.text() and len(receipt["hits"]) == 3
    ops.look("replay")


def test_the_keyboard_alone_signs_in_searches_opens_a_hit_and_reads_a_diff(live: Live) -> None:
    with live.visitor(None) as visitor:
        page, press = visitor.page, visitor.page.keyboard.press
        page.goto(live.address())
        page.keyboard.type(live.keys["eva"])  # the field has the focus
        press("Enter")
        page.wait_for_url(f"**{live.address()}")
        press("g")
        press("s")
        page.wait_for_url("**/search")
        press("/")
        page.keyboard.type(live.question)
        press("Enter")
        page.wait_for_url("**/search?q=*")
        press("j")
        assert page.evaluate("document.activeElement.closest('.hit') === document.querySelector('.hit')")
        press("Enter")
        page.wait_for_url("**/document?*")
        assert page.locator(".chunk:target").count() == 1, "the passage that was found"
        press("g")
        press("h")
        page.wait_for_url(f"**{live.address()}")
        visitor.tab_to("diff to main")
        press("Enter")
        page.wait_for_url("**/diff?*")
        press("j")
        press("Enter")
        page.wait_for_url("**/diff?*document=*")
        press("?")
        assert page.get_by_role("dialog").is_visible()
        press("Escape")
        assert not page.get_by_role("dialog").is_visible()


# -- what a page must not do ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        (
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'var bad = 1'}))",
            "script",
        ),
        ("document.body.setAttribute('style', 'color: red')", "style"),
        ("new Image().src = 'https://example.com/pixel.png'", "example.com"),
        ("setTimeout(() => { throw new Error('broken') })", "broken"),
        ("alert('hello')", "hello"),
    ],
)
def test_what_a_page_must_not_do_is_noted(ops: Visitor, script: str, fault: str) -> None:
    ops.page.goto("/")
    ops.page.evaluate(script + "; 0")
    ops.page.wait_for_timeout(50)
    assert any(fault in each for each in ops.faults())
    ops.forget()


def test_script_in_a_text_is_shown_as_text_on_every_screen(ops: Visitor) -> None:
    """In names, titles, metadata, messages, authors, sources, questions, and a file that is dropped in."""
    page = ops.page
    page.goto("/datasets/hostile/work?" + urlencode({"source": SCRIPT}))
    page.locator("form[data-drop]").evaluate(DROP, [f"{IMAGE}.md", f"# {IMAGE}\n\n{SCRIPT}"])
    ops.watch_job("succeeded")
    job = page.url
    for path in HOSTILE:
        page.goto(job if path == "work/JOB" else f"/datasets/hostile/{path}".rstrip("/") if path[:1] != "/" else path)
        assert page.locator("script").evaluate_all("all => all.map(each => each.getAttribute('src'))") == [
            "/static/app.js"
        ], path
        assert page.locator("img:not(.plot)").count() == 0, path
    shown = page.goto("/datasets/hostile/document?" + urlencode({"id": HOSTILE_ID, "at": "main~1"}))
    assert shown and shown.ok
    assert page.locator("article.text").inner_text() == f"Another {SCRIPT} text.\n\nAnd {SCRIPT}."
    assert page.get_by_role("heading", level=1).inner_text() == SCRIPT and ops.text().count(SCRIPT) > 6
    ops.look("hostile-document")
