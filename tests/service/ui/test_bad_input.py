"""What pages say where something is wrong: damage, versions that gc let go of, odd names, values that cannot be."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("jinja2", reason="no jinja2: install vecver[service]")

from helpers import records
from visited import Page, Visited, served, visited

import vecver

GUIDE = "guide/boiler.md"
SCREENS = (
    "/",
    "/work",
    "/datasets/handbook",
    "/datasets/handbook?ref=main",
    "/datasets/handbook/versions/main",
    "/datasets/handbook/versions/main~1",
    "/datasets/handbook/documents",
    f"/datasets/handbook/document?{urlencode({'id': GUIDE})}",
    "/datasets/handbook/diff?from=main~1&to=main",
    f"/datasets/handbook/diff?{urlencode({'from': 'main~1', 'to': 'main', 'document': GUIDE})}",
    "/datasets/handbook/search?q=&at=prod",
    "/datasets/handbook/search?q=boiler&at=prod&mode=keyword",
    "/datasets/handbook/measures",
    "/datasets/handbook/refs",
    "/datasets/handbook/work",
)
DAMAGED = (
    *("segments/*/segment.json", "segments/*/documents.arrow", "segments/*/chunks.arrow", "segments/*/vectors.npy"),
    *("segments/*/lookup.npy", "layouts/*", "commits/*/*", "refs/handbook/branches/*", "refs/handbook/aliases/*"),
    *("moves/**/*", "measures/*/*", "policies/**/*", "questions/**/*", "vecver.json"),
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    with visited(tmp_path_factory.mktemp("bad")) as service:
        service.sign_in("all")
        yield service


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a repository that holds something of every kind."""
    folder = tmp_path_factory.mktemp("sound")
    with visited(folder) as service:
        docs = service.repository.dataset("handbook")
        docs.set_policy("beta", ["ann_recall@1 >= 0.1"])
        docs.add_questions("support", [{"query": "boiler", "documents": [GUIDE]}])
        docs.recall("main", queries=[records({"q": "boiler"})[0]["vector"]])
        docs.repository.settle()
    return folder


@pytest.mark.parametrize("which", DAMAGED)
@pytest.mark.parametrize("how", ["flipped", "gone"])
def test_a_damaged_file_is_a_page_that_says_what_to_do(sound: Path, tmp_path: Path, which: str, how: str) -> None:
    shutil.copytree(sound, tmp_path / "copy")
    files = [file for file in (tmp_path / "copy" / "kb").glob(which) if file.is_file()]
    assert files, which
    for file in files:
        damage(file, how)
    bad = []
    try:
        with served(tmp_path / "copy") as service:
            for address in SCREENS:
                answer = service.client.get(address)
                page = Page(answer.text)
                is_told = answer.status_code == 200 or ("What to do" in page.text and len(page.text) > 100)
                if (
                    not is_told
                    or "something went wrong" in page.text.lower()
                    or answer.status_code not in (200, 404, 500)
                ):
                    bad.append((address, answer.status_code, page.text[-300:]))
    except vecver.errors.VecverError as error:
        assert which == "vecver.json" and error.hint
    assert bad == []


def damage(file: Path, how: str) -> None:
    content = file.read_bytes()
    if how == "gone":
        file.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :] if content else b"x"
        file.write_bytes(content[: middle or 1] if how == "cut" else flipped)


def test_a_version_that_gc_let_go_of_is_shown_as_far_as_it_is_known(tmp_path: Path) -> None:
    with visited(tmp_path, keys=False) as service:
        docs = service.repository.dataset("handbook")
        docs.promote("prod", "main")
        gone = docs.resolve("main~2")
        docs.delete_alias("prod")
        for _ in range(3):
            service.repository.gc(keep_last=1, grace=timedelta(0), apply=True)
        for address in (
            f"/datasets/handbook/documents?at={gone}",
            f"/datasets/handbook/document?at={gone}&id={GUIDE}",
            f"/datasets/handbook/diff?from={gone}&to=main",
            f"/datasets/handbook/search?q=boiler&mode=keyword&at={gone}",
        ):
            answer = service.client.get(address)
            assert answer.status_code == 404, address
            assert "let go by gc" in answer.text and "What to do" in answer.text, address
        assert gone[:7] in service.page("/datasets/handbook")
        assert gone in service.page(f"/datasets/handbook/versions/{gone}")
        page = Page(service.page(f"/datasets/handbook/document?id={GUIDE}"))
        assert docs.resolve()[:7] in page.text, "what is left of its history"


ODD = (
    "a space.md",
    "deep/er/than one.md",
    "quote\"s 'and' `ticks`.md",
    "zero\u200bwidth\u00a0space.md",
    "\u00e4\u0308\u4e2d\u6587 \U0001f9ef.md",
    "\u202egnp.exe \u05e9\u05dc\u05d5\u05dd.md",
    "100%25 #?&=;+.md",
    "...",
    "-rf",
    "x" * 900,
)


def test_documents_with_odd_names_are_found_by_every_screen(tmp_path: Path) -> None:
    repository = vecver.open(tmp_path / "kb", create=True, author="tester")
    docs = repository.dataset("odd")
    docs.ingest(records(dict.fromkeys(ODD, "first text")), space="test", label="s", message="First\nof\u202e all")
    docs.ingest(records({id: f"boiler {n}" for n, id in enumerate(ODD)}), space="test", label="s")
    repository.close()
    with served(tmp_path) as service:
        shown = [link for link in Page(service.page("/datasets/odd/documents")).links() if "/document?" in link]
        differing = [link for link in Page(service.page("/datasets/odd/diff")).links() if "document=" in link]
        found = Page(service.page("/datasets/odd/search?q=boiler&mode=keyword&k=50"))
        hits = [link.partition("#")[0] for link in found.links() if "/document?" in link]
        assert len(shown) == len(differing) == len(ODD) and len(set(hits)) == len(ODD)
        for link in (*shown, *differing, *hits):
            page = Page(service.page(link))
            assert sum(id in page.text for id in ODD if len(id) > 3) <= 1
        for number, id in enumerate(sorted(ODD)):
            assert f"boiler {ODD.index(id)}" in Page(service.page(shown[number])).text


def test_a_document_of_many_chunks_is_shown_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vecver_service.ui.pages import documents

    monkeypatch.setattr(documents, "SHOWN", 2000)
    repository = vecver.open(tmp_path / "kb", create=True, author="tester")
    text = "\n\n".join(f"Paragraph {n} says <b>{n * 7}</b> and nothing else of note." for n in range(400))
    repository.dataset("long").ingest([{"id": "long.md", "text": text}], embedder="hashing", chunk_tokens=16)
    repository.close()
    with served(tmp_path) as service:
        html = service.page("/datasets/long/document?id=long.md")
        assert text[:1500] in Page(html).text and "Paragraph 399" not in html and len(html) < 30_000
        assert "The page shows the first" in html


@pytest.mark.parametrize(
    ("address", "status", "says"),
    [
        ("/datasets/handbook/measures?questions=nothing", 404, "nothing"),
        ("/datasets/handbook/measures?at=nowhere", 404, "nowhere"),
        ("/datasets/handbook/search?at=main&q=" + "word+" * 10_000, 422, "10000 characters"),
        ("/datasets/handbook/search?at=main&q=x&k=1000000", 422, "1000"),
        ("/datasets/handbook/search?at=main&q=x&k=many", 422, "k"),
        ("/datasets/handbook/document?id=" + "x" * 1001, 422, "id"),
        (f"/datasets/handbook/document?id={GUIDE}&history=nowhere", 404, "nowhere"),
        ("/datasets/handbook/diff?page=0", 422, "page"),
        ("/datasets/handbook/diff?from=main~2&to=main&page=99", 404, "no page 99"),
        ("/datasets/handbook/work/nothing", 404, "nothing"),
        ("/datasets/handbook/versions/%00", 404, "no revision"),
        ("/datasets/%2e%2e/documents", 422, "cannot name a dataset"),
        ("/datasets/handbook/versions/main~99999999999999999999", 404, ""),
    ],
)
def test_a_value_that_cannot_be_is_named(service: Visited, address: str, status: int, says: str) -> None:
    service.sign_in("all")
    answer = service.client.get(address)
    page = Page(answer.text)
    assert answer.status_code == status, page.text
    assert says in page.text and "What to do" in page.text and "/docs for" not in page.text
    assert "something went wrong" not in page.text.lower()


def test_a_long_list_of_differences_is_made_once_for_all_its_pages(
    service: Visited, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vecver_service.ui.pages import diffs

    docs = service.repository.dataset("many")
    docs.ingest(records({"first": "text"}), space="test", label="s")
    docs.ingest(records({f"doc {n:03}": f"text {n}" for n in range(450)}), space="test", label="s", keep_missing=True)
    made: list[str] = []
    diff = vecver.Dataset.diff
    monkeypatch.setattr(vecver.Dataset, "diff", lambda *args, **how: made.append(args[0].name) or diff(*args, **how))
    service.sign_in("all")
    listed: list[str] = []
    for number in (1, 2, 3):
        page = Page(service.page(f"/datasets/many/diff?from=main~1&to=main&page={number}"))
        listed += [link for link in page.links() if "document=" in link]
    assert len(set(listed)) == 450 and made == ["many"] and diffs.PAGE == 200
