"""Random documents of each format, made by a writer library or by hand: every word written is read or reported."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from html import escape
from typing import Any

import pptx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odf import draw, table
from odf.opendocument import OpenDocumentPresentation, OpenDocumentSpreadsheet, OpenDocumentText
from odf.style import MasterPage, PageLayout
from odf.text import A, H, List, ListItem, Note, NoteBody, NoteCitation, P, S, Span
from pptx.util import Inches

from vecver.pipeline.parsers.parse import Unreadable, parse

LETTERS = "abcdefghijklmnopqrstuvwxyzABC0123456789\u00e4\u00df\u00e9\u0142\u0416\u043f\u03b1\u05d0\u4e2d\u6587\u3042"
MARKS = "&<>*_#|`$%~^+=-:;,.!?()[]{}\"'\\/@"
WORD = st.text(LETTERS, min_size=4, max_size=9)
TEXT = st.lists(WORD, min_size=1, max_size=5).map(" ".join)
KINDS = ("p", "h", "list", "table", "note", "link", "mixed")
BLOCKS = st.lists(st.tuples(st.sampled_from(KINDS), TEXT, TEXT), min_size=1, max_size=6)
SAVED = settings(max_examples=25, deadline=None)


def folded(text: str) -> str:
    return "".join(text.casefold().split())


def assert_read(data: bytes, name: str, written: list[str]) -> None:
    """Every word stands in the text; or the report says how many do not, or were left out on purpose."""
    try:
        parsed = parse(data, name)
    except Unreadable as error:
        assert error.code == "no_text" and not any(text.strip() for text in written)
        return
    text = folded(parsed.text + parsed.title)
    lost = [word for one in written for word in one.split() if folded(word) not in text]
    told = parsed.coverage is not None and (parsed.coverage.notes or parsed.coverage.furniture)
    assert not lost or told, lost


def saved(document: Any) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


# -- OpenDocument ---------------------------------------------------------------------------------


def odt_block(kind: str, one: str, two: str) -> Any:
    if kind == "h":
        return H(outlinelevel=2, text=f"{one} {two}")
    if kind == "list":
        items = List()
        for text in (one, two):
            item = ListItem()
            item.addElement(P(text=text))
            items.addElement(item)
        return items
    if kind == "table":
        return odf_table([[one, two], [two, one]])
    block = P(text=f"{one} ")
    if kind == "note":
        note, body = Note(noteclass="footnote"), NoteBody()
        note.addElement(NoteCitation(text="1"))
        body.addElement(P(text=two))
        note.addElement(body)
        block.addElement(note)
    elif kind == "link":
        block.addElement(A(href="http://a.b", text=two))
    else:
        block.addElement(Span(text=two))
        block.addElement(S(c=3))
        block.addText(one)
    return block


def odf_table(rows: list[list[str]]) -> Any:
    made = table.Table(name="Rows")
    for row in rows:
        line = table.TableRow()
        for text in row:
            cell = table.TableCell(valuetype="string")
            cell.addElement(P(text=text))
            line.addElement(cell)
        made.addElement(line)
    return made


@SAVED
@given(BLOCKS)
def test_odt(blocks: list[tuple[str, str, str]]) -> None:
    document = OpenDocumentText()
    for block in blocks:
        document.text.addElement(odt_block(*block))
    assert_read(saved(document), "a.odt", [text for _, *texts in blocks for text in texts])


@SAVED
@given(st.lists(st.lists(TEXT, min_size=1, max_size=4), min_size=1, max_size=5))
def test_ods(rows: list[list[str]]) -> None:
    document = OpenDocumentSpreadsheet()
    document.spreadsheet.addElement(odf_table(rows))
    assert_read(saved(document), "a.ods", [text for row in rows for text in row])


@SAVED
@given(st.lists(st.lists(TEXT, min_size=1, max_size=3), min_size=1, max_size=4))
def test_odp(slides: list[list[str]]) -> None:
    document = OpenDocumentPresentation()
    layout = PageLayout(name="layout")
    document.automaticstyles.addElement(layout)
    document.masterstyles.addElement(MasterPage(name="master", pagelayoutname=layout))
    for texts in slides:
        page = draw.Page(masterpagename="master")
        for text in texts:
            frame, box = draw.Frame(width="10cm", height="2cm", x="1cm", y="1cm"), draw.TextBox()
            box.addElement(P(text=text))
            frame.addElement(box)
            page.addElement(frame)
        document.presentation.addElement(page)
    assert_read(saved(document), "a.odp", [text for texts in slides for text in texts])


# -- EPUB and slides ------------------------------------------------------------------------------

PAGE_BLOCKS = {
    "p": "<p>{}</p><p>{}</p>",
    "h": "<h2>{}</h2><div>{}</div>",
    "list": "<ul><li>{}</li><li>{}</li></ul>",
    "table": "<table><tr><td>{}</td><td>{}</td></tr></table>",
    "note": "<p>{}</p><aside>{}</aside>",
    "link": "<p>{} <a href='#x'>{}</a></p>",
    "mixed": "<section><p>{} <b>{}</b></p></section>",
}


@SAVED
@given(st.lists(BLOCKS, min_size=1, max_size=3))
def test_epub(chapters: list[list[tuple[str, str, str]]]) -> None:
    buffer, numbers = io.BytesIO(), range(len(chapters))
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        container = '<container><rootfiles><rootfile full-path="o/c.opf"/></rootfiles></container>'
        archive.writestr("META-INF/container.xml", container)
        items = "".join(f'<item id="i{n}" href="c{n}.xhtml" media-type="application/xhtml+xml"/>' for n in numbers)
        spine = "".join(f'<itemref idref="i{n}"/>' for n in numbers)
        archive.writestr("o/c.opf", f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>")
        for n, blocks in enumerate(chapters):
            body = "".join(PAGE_BLOCKS[kind].format(escape(one), escape(two)) for kind, one, two in blocks)
            page = f"<html xmlns='http://www.w3.org/1999/xhtml'><head><title>t</title></head><body>{body}</body></html>"
            archive.writestr(f"o/c{n}.xhtml", page)
    written = [text for blocks in chapters for _, *texts in blocks for text in texts]
    assert_read(buffer.getvalue(), "a.epub", written)


@settings(max_examples=15, deadline=None)
@given(st.lists(BLOCKS, min_size=1, max_size=3))
def test_pptx(slides: list[list[tuple[str, str, str]]]) -> None:
    deck = pptx.Presentation()
    for blocks in slides:
        slide: Any = deck.slides.add_slide(deck.slide_layouts[5])
        for n, (kind, one, two) in enumerate(blocks):
            if kind == "h":
                slide.shapes.title.text = (slide.shapes.title.text + f" {one} {two}").strip()
            elif kind == "note":
                frame = slide.notes_slide.notes_text_frame
                frame.text = f"{frame.text}\n{one} {two}"
            elif kind == "table":
                cells = slide.shapes.add_table(1, 2, Inches(1), Inches(n), Inches(4), Inches(1)).table.rows[0].cells
                cells[0].text, cells[1].text = one, two
            else:
                box = slide.shapes.add_textbox(Inches(1), Inches(n), Inches(4), Inches(1)).text_frame
                box.text = one
                run = box.add_paragraph().add_run()
                run.text = two
                if kind == "link":
                    run.hyperlink.address = "http://a.b"
    assert_read(saved(deck), "a.pptx", [text for blocks in slides for _, *texts in blocks for text in texts])


# -- plain formats --------------------------------------------------------------------------------

CELL = st.text(LETTERS + MARKS + " \n", max_size=12)


@SAVED
@given(st.lists(st.lists(CELL, min_size=2, max_size=4), min_size=1, max_size=5), st.sampled_from(",;\t|"))
def test_csv(rows: list[list[str]], delimiter: str) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter)
    writer.writerows([["first", "second"], *rows])
    text = parse(buffer.getvalue().encode(), "a.csv").text
    for word in re.findall(f"[{LETTERS}]+", " ".join(cell for row in rows for cell in row)):
        assert word in text  # a mark may be taken for the delimiter where it parts the rows better


@SAVED
@given(st.recursive(CELL | st.integers() | st.booleans(), lambda inner: st.lists(inner) | st.dictionaries(CELL, inner)))
def test_json(value: Any) -> None:
    for name, raw in (("a.json", json.dumps(value)), ("a.jsonl", json.dumps(value) + "\n")):
        text = parse(raw.encode(), name).text
        fenced = text.split("\n", 1)[1].rsplit("\n", 1)[0]
        assert json.loads(fenced) == value


LIGHT: dict[str, dict[str, str]] = {
    "a.md": {"p": "{}\n{}\n\n", "h": "## {} {}\n\n", "list": "- {}\n- {}\n\n", "mixed": "**{}** `{}`\n\n"},
    "a.rst": {
        "p": "{}\n{}\n\n",
        "h": "{} {}\n" + "=" * 120 + "\n\n",
        "list": "- {}\n- {}\n\n",
        "mixed": "**{}** ``{}``\n\n",
        "link": "`{} <http://a.b>`_ {}\n\n",
        "note": ".. note:: {}\n   {}\n\n",
        "table": "+----------+\n| {:<60} |\n+----------+\n\n{}\n\n",
    },
    "a.adoc": {
        "p": "{}\n{}\n\n",
        "h": "== {} {}\n\n",
        "list": "* {}\n* {}\n\n",
        "mixed": "*{}* `{}`\n\n",
        "link": "http://a.b[{}] {}\n\n",
        "note": "NOTE: {} {}\n\n",
        "table": "|===\n|{} |{}\n|===\n\n",
    },
    "a.org": {
        "p": "{}\n{}\n\n",
        "h": "* {} {}\n",
        "list": "- {}\n- {}\n\n",
        "mixed": "*{}* ={}=\n\n",
        "link": "[[http://a.b][{}]] {}\n\n",
        "table": "| {} | {} |\n\n",
        "note": "#+BEGIN_QUOTE\n{} {}\n#+END_QUOTE\n\n",
    },
    "a.tex": {
        "p": "{}\n{}\n\n",
        "h": "\\section{{{} {}}}\n",
        "list": "\\begin{{itemize}}\n\\item {}\n\\item {}\n\\end{{itemize}}\n",
        "mixed": "\\textbf{{{}}} \\emph{{{}}}\n\n",
        "link": "\\href{{http://a.b}}{{{}}} {}\n\n",
        "note": "{}\\footnote{{{}}}\n\n",
        "table": "\\begin{{tabular}}{{ll}}\n{} & {} \\\\\n\\end{{tabular}}\n",
    },
    "a.html": PAGE_BLOCKS,
    "a.xml": {
        "p": "<p>{}</p><q>{}</q>",
        "mixed": "<s><p>{} <b>{}</b></p></s>",
        "h": "<s><title>{}</title><p>{}</p></s>",
    },
}


@pytest.mark.parametrize("name", list(LIGHT))
@SAVED
@given(BLOCKS)
def test_light_markup(name: str, blocks: list[tuple[str, str, str]]) -> None:
    templates = LIGHT[name]
    body = "".join(templates.get(kind, templates["p"]).format(one, two) for kind, one, two in blocks)
    wrap: Callable[[str], str] = {"a.html": "<body>{}</body>", "a.xml": "<doc>{}</doc>"}.get(name, "{}").format
    assert_read(wrap(body).encode(), name, [text for _, *texts in blocks for text in texts])


RICH = {
    "p": "{}\\par {}\\par ",
    "h": "{{\\b {} {}\\par}}",
    "note": "{}{{\\footnote {}}}\\par ",
    "link": '{} {{\\field{{\\*\\fldinst HYPERLINK "http://a.b"}}{{\\fldrslt {}}}}}\\par ',
    "list": "{{\\header {}}}{{\\footer {}}}",
    "mixed": "{}{{\\*\\annotation {}}} x\\par ",
    "table": "\\trowd\\cellx100\\cellx200 {}\\cell {}\\cell\\row ",
}


@SAVED
@given(BLOCKS)
def test_rtf(blocks: list[tuple[str, str, str]]) -> None:
    def written(text: str) -> str:
        return "".join(char if char < "\x80" else f"\\u{ord(char)}?" for char in text)

    body = "".join(RICH[kind].format(written(one), written(two)) for kind, one, two in blocks)
    assert_read(f"{{\\rtf1\\ansi\\uc1 {body}}}".encode(), "a.rtf", [text for _, *texts in blocks for text in texts])
