"""Office documents and PDF, made by hand, read through the door `parse`."""

from __future__ import annotations

import hashlib
import io
import re

from handmade import RELATIONS, docx, failure, ooxml, pdf, w_paragraph, zipped

from vecver.pipeline.parsers.parse import parse, parser_of


def test_docx_gives_headings_tables_and_its_title() -> None:
    cell = "<w:tc>{}</w:tc>"
    row = "<w:tr>" + cell.format(w_paragraph("part")) + cell.format(w_paragraph("count")) + "</w:tr>"
    body = w_paragraph("Bleeding", "Heading1") + w_paragraph("Open it.") + w_paragraph("Tools", "Heading2")
    parsed = parse(docx(f"{body}<w:tbl>{row}{row}</w:tbl>"), "a/valve.docx")
    assert parsed.text.startswith("# Bleeding\n\nOpen it.\n\n## Tools\n\n|  |  |\n| --- | --- |\n| part | count |")
    assert parsed.title == "Bleeding"
    assert parsed.parser == parser_of(docx(""), "valve.docx")
    assert re.fullmatch(r"vecver-office 2 \+ firecrawl-anydoc 0\.2\.\d+", parsed.parser)
    assert parse(docx(w_paragraph("Text."), title="Valves &amp; pumps"), "x.docx").title == "Valves & pumps"
    assert parse(docx(w_paragraph("Text."), title="scan.pdf"), "x.docx").title == ""


def test_xlsx_and_pptx() -> None:
    x = f'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="{RELATIONS}"'
    cells = '<row><c t="inlineStr"><is><t>part</t></is></c><c t="inlineStr"><is><t>count</t></is></c></row>'
    sheet = f"<worksheet {x}><sheetData>{cells}<row><c><v>7</v></c><c><v>12</v></c></row></sheetData></worksheet>"
    book = f'<workbook {x}><sheets><sheet name="Stock" sheetId="1" r:id="r1"/></sheets></workbook>'
    data = ooxml("spreadsheetml.sheet", "xl/workbook.xml", {"xl/workbook.xml": book, "xl/worksheets/s.xml": sheet},
                 {"r1": ("worksheet", "worksheets/s.xml")})  # fmt: skip
    assert "| part | count |\n| --- | --- |\n| 7 | 12 |" in parse(data, "stock.xlsx").text

    p = (
        'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
        f'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:r="{RELATIONS}"'
    )
    shape = (
        '<p:sp><p:nvSpPr><p:nvPr><p:ph type="{}"/></p:nvPr></p:nvSpPr>'
        "<p:txBody><a:p><a:r><a:t>{}</a:t></a:r></a:p></p:txBody></p:sp>"
    )
    tree = shape.format("title", "Pumps") + shape.format("body", "They pump.")
    slide = f"<p:sld {p}><p:cSld><p:spTree>{tree}</p:spTree></p:cSld></p:sld>"
    deck = f'<p:presentation {p}><p:sldIdLst><p:sldId id="256" r:id="r1"/></p:sldIdLst></p:presentation>'
    parts = {"ppt/presentation.xml": deck, "ppt/slides/slide1.xml": slide}
    data = ooxml("presentationml.presentation", "ppt/presentation.xml", parts, {"r1": ("slide", "slides/slide1.xml")})
    text = parse(data, "pumps.pptx").text
    assert re.search(r"^#+ Pumps\s+They pump\.", text)


def test_odt_epub_and_rtf() -> None:
    o = "urn:oasis:names:tc:opendocument:xmlns"
    content = (
        f'<o:document-content xmlns:o="{o}:office:1.0" xmlns:t="{o}:text:1.0"><o:body><o:text>'
        '<t:h t:outline-level="1">Pumps</t:h><t:p>They pump.</t:p></o:text></o:body></o:document-content>'
    )
    odt = zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": content}, stored="mimetype")
    assert parse(odt, "noname").text == "# Pumps\n\nThey pump.\n"
    assert parse(odt, "noname").media_type == "application/vnd.oasis.opendocument.text"

    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<dc:title>Pumps</dc:title></metadata><manifest>"
        '<item id="c" href="c.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="c"/></spine></package>'
    )
    page = '<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>Chapter one</h1><p>They pump.</p></body></html>'
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
        '<rootfile full-path="p.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    parts = {"mimetype": "application/epub+zip", "META-INF/container.xml": container, "p.opf": package, "c.xhtml": page}
    text = parse(zipped(parts, stored="mimetype"), "pumps.epub").text
    assert "# Chapter one\n\nThey pump." in text

    rtf = rb"{\rtf1\ansi\ansicpg1252 Caf\'e9 and \u26085?.\par Second.}"
    assert parse(rtf, "letter.doc").text.split() == ["Café", "and", "日.", "Second."]


def test_encrypted_office_opens_with_its_password() -> None:
    from msoffcrypto.format.ooxml import OOXMLFile

    filler = hashlib.shake_128(b"").hexdigest(10_000)  # the writer garbles files below 4 KB
    locked = io.BytesIO()
    OOXMLFile(io.BytesIO(docx(w_paragraph("The vault.") + w_paragraph(filler)))).encrypt("sesame", locked)
    data = locked.getvalue()
    assert failure(data, "vault.docx") == "encrypted"
    assert failure(data, "vault.docx", ("wrong",)) == "wrong_password"
    assert "The vault." in parse(data, "vault.docx", ("wrong", "sesame")).text


def test_pdf() -> None:
    parsed = parse(pdf("Bleed the valve twice."), "manual")
    assert parsed.text.strip() == "Bleed the valve twice."
    assert re.fullmatch(r"vecver-pdf 2 \+ liteparse 2\.\d+\.\d+", parsed.parser)
    assert failure(pdf(""), "scan.pdf") == "needs_ocr"
    assert failure(b"no pdf at all", "fake.pdf") == "malformed"
    assert failure(b"%PDF-1.4 truncated", "cut.pdf") == "malformed"


def test_pdf_passwords_are_tried_after_none() -> None:
    locked = pdf("The vault.", "sesame")
    assert failure(locked, "v.pdf") == "encrypted"
    assert failure(locked, "v.pdf", ("wrong",)) == "wrong_password"
    assert parse(locked, "v.pdf", ("wrong", "sesame")).text.strip() == "The vault."
    assert parse(pdf("Open to all.", ""), "v.pdf", ("needless",)).text.strip() == "Open to all."
