"""Office files made by libraries or by hand: every word is read, or the report names what is missing."""

from __future__ import annotations

import io
from typing import Any

import docx
import openpyxl
import pptx
import pytest
import xlwt
from docx.oxml import parse_xml
from hypothesis import given, settings
from hypothesis import strategies as st
from odf import office as odf_office
from odf import table as odf_table
from odf.opendocument import OpenDocumentSpreadsheet, OpenDocumentText
from odf.text import P, Ruby, RubyBase, RubyText
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment

from vecver.model import Mark, Parsed
from vecver.pipeline.parsers.parse import Unreadable, parse

MC = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
M = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def saved(document: Any) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def read(document: Any, name: str) -> Parsed:
    return parse(saved(document), name)


def is_whole(parsed: Parsed) -> bool:
    return parsed.coverage is not None and parsed.coverage.share == 1 and not parsed.coverage.notes


def p(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def row(*cells: str, about: str = "") -> str:
    return f"<w:tr>{about}" + "".join(f"<w:tc>{p(cell)}</w:tc>" for cell in cells) + "</w:tr>"


def table(*rows: str) -> str:
    return f"<w:tbl><w:tblPr/><w:tblGrid><w:gridCol/><w:gridCol/></w:tblGrid>{''.join(rows)}</w:tbl>"


def control(content: str) -> str:
    return f"<w:sdt><w:sdtPr/><w:sdtContent>{content}</w:sdtContent></w:sdt>"


def alternatives(choice: str, fallback: str) -> str:
    return (
        f'<mc:AlternateContent {MC}><mc:Choice Requires="w14">{choice}</mc:Choice>'
        f"<mc:Fallback>{fallback}</mc:Fallback></mc:AlternateContent>"
    )


def word(*blocks: str) -> Any:
    """A document whose body holds these elements."""
    document = docx.Document()
    body = document.element.body
    for block in blocks:
        holder = parse_xml(f"<w:body {W}>{block}</w:body>")
        for element in list(holder):
            body.insert(len(body) - 1, element)
    return document


DELETED = '<w:trPr><w:del w:id="1" w:author="a"/></w:trPr>'


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (table(row("a", "b"), control(row("c", "d"))), "| a | b |\n| --- | --- |\n| c | d |"),
        (table(row("a", "b"), control(control(row("c", "d")))), "| c | d |"),
        (table(row("a", "b"), f"<w:customXml>{row('c', 'd')}</w:customXml>"), "| c | d |"),
        (control(table(row("a", "b"))), "| a | b |"),
        ("<w:p><w:r><w:t>1</w:t><w:noBreakHyphen/><w:t>24 hours</w:t></w:r></w:p>", "1-24 hours"),
        ('<w:p><w:r><w:sym w:font="Symbol" w:char="F061"/><w:t>x</w:t></w:r></w:p>', "αx"),
        ("<w:p><w:smartTag><w:r><w:t>Rome</w:t></w:r></w:smartTag></w:p>", "Rome"),
        (
            "<w:p><w:r><w:t>x</w:t><w:ruby><w:rt><w:r><w:t>kan</w:t></w:r></w:rt><w:rubyBase><w:r><w:t>base</w:t></w:r>"
            "</w:rubyBase></w:ruby><w:t>y</w:t></w:r></w:p>",
            "xbasey",
        ),
        (f'<w:ins w:id="1" w:author="a">{p("inserted")}</w:ins>', "inserted"),
        (alternatives(p("chosen words"), p("fallen words")), "chosen words"),
        (f"<w:p>{alternatives('<w:r><w:t>ab</w:t></w:r>', '<w:r><w:t>cd</w:t></w:r>')}</w:p>", "ab"),
        (p("infor\u00admation zero\u200bwidth"), "information zerowidth"),
        (
            f"<w:p><w:r><w:t>so</w:t></w:r><m:oMath {M}>"
            "<m:r><m:t>force=</m:t></m:r><m:r><m:t>mass</m:t></m:r></m:oMath></w:p>",
            "force=mass",
        ),
    ],
)
def test_word_elements_between_parent_and_child(block: str, text: str) -> None:
    parsed = read(word(block), "x.docx")
    assert text in parsed.text
    assert "Other text" not in parsed.text
    assert "fallen" not in parsed.text
    assert is_whole(parsed)


@pytest.mark.parametrize(
    "block",
    [
        table(row("kept", "b"), row("gone", "c", about=DELETED)),
        table(row("gone", "c", about=DELETED)) + p("kept"),
        f'<w:p><w:moveFrom w:id="1" w:author="a"><w:r><w:t>gone</w:t></w:r></w:moveFrom></w:p>{p("kept")}',
        f"<w:p><w:del w:id='1' w:author='a'><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>{p('kept')}",
        table(f"<w:tr><w:tc><w:tcPr><w:cellDel w:id='1'/></w:tcPr>{p('gone')}</w:tc><w:tc>{p('kept')}</w:tc></w:tr>"),
    ],
)
def test_word_leaves_out_what_a_tracked_change_deleted(block: str) -> None:
    parsed = read(word(block), "x.docx")
    assert "kept" in parsed.text
    assert "gone" not in parsed.text
    assert is_whole(parsed)


def with_chunk(name: str, media_type: str, content: bytes, within: str = "{}") -> bytes:
    """A document that holds another one as an alternative-format part."""
    from docx.opc.packuri import PackURI
    from docx.opc.part import Part

    document = docx.Document()
    part = Part(PackURI(f"/word/{name}"), media_type, content, document.part.package)
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/aFChunk"
    r = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
    chunk = f'<w:altChunk {r} r:id="{document.part.relate_to(part, kind)}"/>'
    holder = parse_xml(f"<w:body {W}>{within.format(chunk)}{p('after')}</w:body>")
    for element in list(holder):
        document.element.body.insert(len(document.element.body) - 1, element)
    return saved(document)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.html", b"<html><body><h2>inserted</h2><p>page</p></body></html>"),
        ("a.txt", b"inserted"),
        ("a.rtf", rb"{\rtf1\ansi inserted\par}"),
        ("a.docx", saved(word(table(control(row("inserted", "b")))))),
    ],
)
def test_word_reads_inserted_documents(name: str, content: bytes) -> None:
    text = parse(with_chunk(name, "application/octet-stream", content), "x.docx").text
    assert 0 <= text.find("inserted") < text.find("after")
    cell = "<w:tbl><w:tr><w:tc>{}<w:p/></w:tc></w:tr></w:tbl>"
    assert "inserted" in parse(with_chunk(name, "application/octet-stream", content, cell), "x.docx").text


def test_word_names_an_inserted_document_that_it_cannot_read() -> None:
    parsed = parse(with_chunk("a.bin", "application/octet-stream", b"\x00\x01\x02"), "x.docx")
    assert parsed.coverage is not None
    assert "word/a.bin" in " ".join(parsed.coverage.notes)
    assert "\ue7d0" not in parsed.text


def test_a_word_joined_to_a_link_is_not_missing() -> None:
    document = word(p("pre"))
    paragraph = document.paragraphs[0]
    link = parse_xml(f"<w:hyperlink {W} {R}><w:r><w:t>set</w:t></w:r></w:hyperlink>")
    link.set(f"{{{R[9:-1]}}}id", document.part.relate_to("https://a.org/b", f"{R[9:-1]}/hyperlink", is_external=True))
    paragraph._p.append(link)
    paragraph.add_run("s")
    parsed = read(document, "x.docx")
    assert parsed.text == "pre[set](https://a.org/b)s\n"
    assert is_whole(parsed)


def test_word_restores_each_header_once_and_all_comments() -> None:
    document = word(p("a pump and a valve"))
    document.settings.odd_and_even_pages_header_footer = True
    section = document.sections[0]
    section.header.paragraphs[0].text = section.even_page_header.paragraphs[0].text = "ACME valve"
    document.add_comment(document.paragraphs[0].runs, text="pump broken", author="a", initials="a")
    parsed = read(document, "x.docx")
    assert parsed.text.count("ACME valve") == 1
    assert parsed.text.count("pump broken") == 1
    assert is_whole(parsed)


def test_word_reads_comments_headers_and_merged_words() -> None:
    document = word(p("body"))
    paragraph = document.paragraphs[0]
    paragraph.add_run("wo").bold = True
    paragraph.add_run("rd")
    document.add_comment(paragraph.runs, text="remark", author="a", initials="a")
    document.sections[0].header.paragraphs[0].text = "letterhead"
    parsed = read(document, "x.docx")
    assert "## Comments\n\nremark" in parsed.text
    assert "## Page headers and footers\n\nletterhead" in parsed.text
    assert is_whole(parsed)


def workbook(rows: list[list[Any]], title: str = "Prices") -> Any:
    book = openpyxl.Workbook()
    book.active.title = title
    for values in rows:
        book.active.append(values)
    return book


def test_excel_reads_hidden_rows_columns_and_sheets() -> None:
    book = workbook([["name", "count"], ["hidden row", 1.1], ["bolt", 7]])
    sheet = book.active
    sheet.row_dimensions[2].hidden = sheet.column_dimensions["B"].hidden = True
    sheet["B2"].number_format = "0.00"
    sheet["A1"].comment = Comment("remark", "a")
    book.create_sheet("Very").append(["veiled"])
    book["Very"].sheet_state = "veryHidden"
    parsed = read(book, "x.xlsx")
    assert "## Prices\n\n| name | count |\n| --- | --- |\n| hidden row | 1.10 |\n| bolt | 7 |" in parsed.text
    assert "veiled" in parsed.text
    assert "## Comments\n\nremark" in parsed.text
    assert parsed.marks == (Mark(0, "sheet", "Prices"), Mark(parsed.text.index("## Very"), "sheet", "Very"))
    assert is_whole(parsed)


def test_a_chart_of_cells_lacks_nothing() -> None:
    book = workbook([["Name", "Count"], ["bolt", 3], ["nut", 5]])
    chart = BarChart()
    chart.title = "Parts counted"
    chart.add_data(Reference(book.active, min_col=2, min_row=1, max_row=3), titles_from_data=True)
    book.active.add_chart(chart, "E2")
    parsed = read(book, "x.xlsx")
    assert parsed.text.count("Parts counted") == 1
    assert is_whole(parsed)


def test_excel_names_formulas_without_a_value() -> None:
    parsed = read(workbook([["sum", "=1+1"]]), "x.xlsx")
    assert parsed.coverage is not None
    assert "The sheet 'Prices' has formulas without a computed value (1)" in parsed.coverage.notes[0]


def test_excel_reads_sheets_that_spread_far() -> None:
    book = workbook([["first"]])
    book.active["XFD1048576"] = "last"
    parsed = read(book, "x.xlsx")
    assert "first" in parsed.text
    assert "last" in parsed.text
    assert parsed.coverage is not None
    assert "'Prices' spreads far" in parsed.coverage.notes[0]


def test_old_excel_is_read_with_what_it_hides() -> None:
    book = xlwt.Workbook()
    for name in ("Stock", "Hidden"):
        sheet = book.add_sheet(name)
        for at, text in enumerate(("bolt", "nut", "Größe")):
            sheet.write(at, 0, text)
            sheet.write(at, 1, f"{name} {at}")
    sheet.row(1).hidden = sheet.col(1).hidden = True
    sheet.visibility = 1
    parsed = read(book, "stock.xls")
    assert "| nut | Hidden 1 |\n| Größe | Hidden 2 |" in parsed.text
    assert parsed.marks == (Mark(0, "sheet", "Stock"), Mark(parsed.text.index("## Hidden"), "sheet", "Hidden"))


def test_binary_workbooks_are_refused_with_advice() -> None:
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.bin", b"\x83\x01")
    with pytest.raises(Unreadable, match=r"save it as \.xlsx") as caught:
        parse(buffer.getvalue(), "x.xlsb")
    assert caught.value.code == "unsupported"


def test_slides_have_marks_notes_and_groups() -> None:
    deck = pptx.Presentation()
    for number in (1, 2, 3):
        slide = deck.slides.add_slide(deck.slide_layouts[6])
        group = slide.shapes.add_group_shape()
        group.shapes.add_textbox(0, 0, 9, 9).text_frame.text = f"box{number}"
        slide.notes_slide.notes_text_frame.text = f"note{number}"
    deck.slides[1]._element.set("show", "0")
    parsed = read(deck, "x.pptx")
    assert [(mark.field, mark.value) for mark in parsed.marks] == [("page", 1), ("page", 2), ("page", 3)]
    for mark, number in zip(parsed.marks, (1, 2, 3), strict=True):
        assert parsed.text[mark.start :].startswith(f"box{number}\n\n> note{number}")
    assert is_whole(parsed)


def test_open_documents_keep_comments_apart_and_drop_readings() -> None:
    document = OpenDocumentText()
    paragraph = P(text="before")
    remark = odf_office.Annotation()
    remark.addElement(P(text="remark"))
    paragraph.addElement(remark)
    ruby = Ruby()
    ruby.addElement(RubyBase(text="base"))
    ruby.addElement(RubyText(text="reading"))
    paragraph.addElement(ruby)
    document.text.addElement(paragraph)
    buffer = io.BytesIO()
    document.write(buffer)
    parsed = parse(buffer.getvalue(), "x.odt")
    assert parsed.text == "before base\n\n## Comments\n\nremark\n"
    assert is_whole(parsed)


WORDS = st.text("abcdefgäß漢*_|<&#1", min_size=1, max_size=8).filter(lambda text: any(c.isalnum() for c in text))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.lists(st.lists(WORDS, min_size=2, max_size=2), min_size=1, max_size=3), WORDS), max_size=3)
)
def test_every_word_of_a_word_document_is_read(content: list[tuple[list[list[str]], str]]) -> None:
    document = word(p("start"))
    for rows, text in content:
        document.add_paragraph(text)
        made = document.add_table(len(rows), 2)
        for n, cells in enumerate(rows):
            for at, cell in enumerate(cells):
                made.cell(n, at).text = cell
    parsed = read(document, "x.docx")
    assert parsed.coverage is not None
    assert parsed.coverage.share == 1 or parsed.coverage.notes


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(WORDS | st.integers(0, 10**9), min_size=1, max_size=4), min_size=1, max_size=6), st.integers(1, 6)
)
def test_every_cell_of_a_workbook_is_read(rows: list[list[Any]], hidden: int) -> None:
    book = workbook([[value if isinstance(value, int) else f"w{value}" for value in values] for values in rows])
    book.active.row_dimensions[hidden].hidden = True
    parsed = read(book, "x.xlsx")
    assert parsed.coverage is not None
    assert parsed.coverage.share == 1 or parsed.coverage.notes


def test_ods_keeps_filtered_rows_and_reads_comments() -> None:
    document = OpenDocumentSpreadsheet()
    sheet = odf_table.Table(name="s")
    line = odf_table.TableRow(visibility="filter")
    cell = odf_table.TableCell()
    cell.addElement(P(text="filtered"))
    remark = odf_office.Annotation()
    remark.addElement(P(text="remark"))
    cell.addElement(remark)
    line.addElement(cell)
    sheet.addElement(line)
    document.spreadsheet.addElement(sheet)
    buffer = io.BytesIO()
    document.write(buffer)
    parsed = parse(buffer.getvalue(), "x.ods")
    assert "filtered" in parsed.text
    assert "## Comments\n\nremark" in parsed.text
