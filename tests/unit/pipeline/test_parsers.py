"""Every format, read through the door `parse`; the files are made here, the messy ones come from ../shared."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from email.message import EmailMessage

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paths import SHARED

from vecver.pipeline.parsers.encodings import decode
from vecver.pipeline.parsers.media_types import media_type_of
from vecver.pipeline.parsers.parse import Unreadable, is_plain, parse, parser_of

MESSY = SHARED / "data/messy/dev"


def failure(data: bytes, name: str, passwords: tuple[str, ...] = ()) -> str:
    """The code with which it cannot be read."""
    with pytest.raises(Unreadable) as caught:
        parse(data, name, passwords)
    assert caught.value.reason.endswith((".", ")")) or ":" in caught.value.reason
    return caught.value.code


def zipped(parts: dict[str, str], stored: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content, zipfile.ZIP_STORED if name == stored else None)
    return buffer.getvalue()


# -- Office files, written by hand -------------------------------------------------------------

_OOXML = "application/vnd.openxmlformats-officedocument"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def ooxml(kind: str, main: str, parts: dict[str, str], relations: dict[str, tuple[str, str]] | None = None) -> bytes:
    """A package whose main part is `main`; `relations` of the main part: id -> (type, target)."""

    def relationships(of: dict[str, tuple[str, str]]) -> str:
        rows = "".join(f'<Relationship Id="{i}" Type="{_RELATIONS}/{t}" Target="{to}"/>' for i, (t, to) in of.items())
        return f'<Relationships xmlns="{_PACKAGE}/relationships">{rows}</Relationships>'

    folder, _, leaf = main.rpartition("/")
    types = (
        f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/>'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/{main}" ContentType="{_OOXML}.{kind}.main+xml"/></Types>'
    )
    return zipped(
        {
            "[Content_Types].xml": types,
            "_rels/.rels": relationships({"r1": ("officeDocument", main)}),
            f"{folder}/_rels/{leaf}.rels": relationships(relations or {}),
            **parts,
        }
    )


def docx(body: str, title: str = "") -> bytes:
    w = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    core = f'<p:coreProperties xmlns:p="p" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></p:coreProperties>'
    styles = (
        f'<w:styles {w}><w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/></w:style>'
        '<w:style w:type="paragraph" w:styleId="Heading2"><w:name w:val="heading 2"/></w:style></w:styles>'
    )
    parts = {
        "word/document.xml": f"<w:document {w}><w:body>{body}</w:body></w:document>",
        "word/styles.xml": styles,
        "docProps/core.xml": core,
    }
    return ooxml("wordprocessingml.document", "word/document.xml", parts, {"r1": ("styles", "styles.xml")})


def w_paragraph(text: str, style: str = "") -> str:
    look = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{look}<w:r><w:t>{text}</w:t></w:r></w:p>"


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
    x = f'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="{_RELATIONS}"'
    cells = '<row><c t="inlineStr"><is><t>part</t></is></c><c t="inlineStr"><is><t>count</t></is></c></row>'
    sheet = f"<worksheet {x}><sheetData>{cells}<row><c><v>7</v></c><c><v>12</v></c></row></sheetData></worksheet>"
    book = f'<workbook {x}><sheets><sheet name="Stock" sheetId="1" r:id="r1"/></sheets></workbook>'
    data = ooxml("spreadsheetml.sheet", "xl/workbook.xml", {"xl/workbook.xml": book, "xl/worksheets/s.xml": sheet},
                 {"r1": ("worksheet", "worksheets/s.xml")})  # fmt: skip
    assert "| part | count |\n| --- | --- |\n| 7 | 12 |" in parse(data, "stock.xlsx").text

    p = (
        'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
        f'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:r="{_RELATIONS}"'
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


# -- PDF ---------------------------------------------------------------------------------------


def rc4(key: bytes, data: bytes) -> bytes:
    box = list(range(256))
    j = 0
    for i in range(256):
        j = (j + box[i] + key[i % len(key)]) % 256
        box[i], box[j] = box[j], box[i]
    out = bytearray()
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + box[i]) % 256
        box[i], box[j] = box[j], box[i]
        out.append(byte ^ box[(box[i] + box[j]) % 256])
    return bytes(out)


def pdf(text: str, password: str | None = None) -> bytes:
    """A one-page PDF; with a password, encrypted by the standard handler, revision 2 (PDF 32000-1, 7.6.3)."""
    content = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode() if text else b""
    encrypt = b""
    if password is not None:
        pad = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
        padded = (password.encode() + pad)[:32]
        owner = rc4(hashlib.md5(padded).digest()[:5], padded)
        permissions = (-4).to_bytes(4, "little", signed=True)
        key = hashlib.md5(padded + owner + permissions + b"0123456789abcdef").digest()[:5]
        content = rc4(hashlib.md5(key + b"\x04\0\0\0\0").digest()[:10], content)  # object 4, generation 0
        encrypt = b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>/ID[<%s><%s>]" % (
            owner.hex().encode(), rc4(key, pad).hex().encode(),
            b"0123456789abcdef".hex().encode(), b"0123456789abcdef".hex().encode(),
        )  # fmt: skip
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer<</Size 6/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF" % (encrypt, len(out))
    return out + b"xref\n0 6\n0000000000 65535 f \n" + table + trailer


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


# -- Markdown, text and source code ------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# Valves { #valves }\n\ntext", "Valves"),
        ("intro\n\n```sh\n# no title\n```\n\n# The *real* `one` ##\n", "The real one"),
        ('---\nlang: en\ntitle: "From the front"\n---\n\n# Not this\n', "From the front"),
        ("+++\ntitle = 'TOML too'\n+++\n", "TOML too"),
        ("Under\n=====\n\n# Later\n", "Under"),
        ("# A [link](http://x.y/z) and snake_case\n", "A link and snake_case"),
        ("## Only a section\n", "Only a section"),
        ("Lined\n-----\n\n## Later\n", "Lined"),
        ("intro\n\n## Second\n\n# First\n", "First"),
        ("<h1 align=center>Named <b>so</b></h1>\n\n## Section\n", "Named so"),
        ("text\n" * 50 + "## Deep in the text\n", ""),
        ("- item\n---\n", ""),
        ("#hashtag\n", ""),
    ],
)
def test_markdown_is_kept_as_it_is_and_titled(text: str, title: str) -> None:
    parsed = parse(text.encode(), "x/page.md")
    assert (parsed.text, parsed.title, parsed.media_type) == (text, title, "text/markdown")


def test_line_ends_marks_and_lone_surrogates() -> None:
    assert parse(b"\xef\xbb\xbf# A\r\nb\rc\n", "a.md").text == "# A\nb\nc\n"
    assert parse(b'"\\ud800 lone"', "a.json").text == '```json\n"\ufffd lone"\n```'


def test_source_code_is_kept_whole_and_its_comments_are_no_title() -> None:
    code = '# comment\n\n\ndef f() -> str:\n    return "``` # x"\n'
    parsed = parse(code.encode(), "src/a.py")
    assert (parsed.text, parsed.title, parsed.media_type) == (code, "", "text/x-python")


def test_a_large_text_file() -> None:
    line = "Бак 7 is bled twice, then closed.\n"
    data = (line * (50_000_000 // len(line.encode()))).encode()
    parsed = parse(data, "big.txt")
    assert len(parsed.text) == 50_000_000 // 37 * 34
    assert is_plain(data, "big.txt")
    old = ("ascii only\n" * 300_000 + "бак и клапан, насос и труба, вода и воздух\n" * 50).encode("koi8-r")
    assert parse(old, "old.txt").text.endswith("бак и клапан, насос и труба, вода и воздух\n")


# -- encodings ---------------------------------------------------------------------------------

RUSSIAN = "Откройте клапан и подождите, пока вода не потечёт ровно. Затем закройте его и проверьте давление."
JAPANESE = "弁を開けて、水が静かに流れるまで待ちます。それから弁を閉めて、圧力を確かめてください。"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [(RUSSIAN, e) for e in ("utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "koi8-r", "cp866", "cp1251")]
    + [(JAPANESE, e) for e in ("shift_jis", "euc-jp", "iso-2022-jp")],
)
def test_encodings_are_recognised(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_the_cascade() -> None:
    page = '<meta charset="{}"><p>{}</p>'
    assert "“naïve”" in (decode(page.format("latin-1", "“naïve”").encode("cp1252")) or "")  # latin-1 means cp1252
    assert "弁を" in (decode(page.format("gb2312", JAPANESE).encode()) or "")  # it lies: UTF-8 comes first
    assert decode("Grüße".encode("cp1252"), declared="cp1252") == "Grüße"
    assert decode("Grüße".encode("cp1252"), declared="rot13") != "Teüßr"  # no text encoding
    assert decode("é".encode() * 60 + b"\xff") == "é" * 60 + "\ufffd"  # 1 of 61 broken: still UTF-8
    assert decode(bytes(range(256)) * 4) is None
    assert failure(hashlib.shake_128(b"").digest(4000), "noise.bin") == "binary"
    assert decode(b"") == ""


# -- other markup ------------------------------------------------------------------------------


def test_rst() -> None:
    source = """\
.. _top:

======
Manual
======

Bleeding
--------

See :ref:`tools <tools>` and `the site <http://x.y>`_ with ``code``::

    $ bleed --twice

.. code-block:: python
   :linenos:

   # not a heading
   bleed()

Deeper
^^^^^^

Closing
-------
End.
"""
    parsed = parse(source.encode(), "m.rst")
    assert re.findall(r"^#+ .*", parsed.text, re.M) == [
        "# Manual", "## Bleeding", "# not a heading", "### Deeper", "## Closing",
    ]  # fmt: skip
    assert "See `tools` and [the site](http://x.y) with ``code``:\n\n```\n$ bleed --twice\n```" in parsed.text
    assert "```python\n# not a heading\nbleed()\n```" in parsed.text
    assert parsed.title == "Manual"


def test_asciidoc() -> None:
    source = """\
= Manual
:toc: left

== Bleeding
// a comment
See link:tools.html[the tools] and <<close,closing>>.

[source,python]
----
# not a heading
----

|===
|part |count
|valve |7
|===

=== Deeper
====
Inside a block.
====
"""
    parsed = parse(source.encode(), "m.adoc")
    assert parsed.text == (
        "# Manual\n\n## Bleeding\n\nSee [the tools](tools.html) and closing.\n\n```python\n# not a heading\n```\n\n"
        "| part | count |\n| --- | --- |\n| valve | 7 |\n\n\n### Deeper\n\nInside a block.\n"
    )
    assert parsed.title == "Manual"


def test_org() -> None:
    source = """\
#+TITLE: Manual
#+AUTHOR: nobody
# a comment
* TODO Bleeding :tools:
:PROPERTIES:
:END:
See [[http://x.y][the site]].
** Deeper
#+BEGIN_SRC python
# not a heading
#+END_SRC
"""
    assert parse(source.encode(), "m.org").text == (
        "# Manual\n\nAuthor: nobody\n\n## Bleeding\n\nSee [the site](http://x.y).\n"
        "### Deeper\n\n```python\n# not a heading\n```\n"
    )


def test_latex() -> None:
    source = r"""\documentclass{article}
\title{The \emph{Valve}}
\begin{document}
\maketitle
\section{Bleeding}\label{s}  % a comment
Open it to 50\% and \textbf{wait}.
\begin{lstlisting}[language=Python]
# 100% not a heading
\end{lstlisting}
\subsubsection*{Deeper}
\begin{itemize}
  \item one
\end{itemize}
\end{document}
"""
    text = parse(source.encode(), "m.tex").text
    assert text.startswith("# The *Valve*\n\n## Bleeding\n\nOpen it to 50% and **wait**.")
    assert "```python\n# 100% not a heading\n```" in text
    assert "### Deeper\n\n- one\n" in text


# -- tables, records, notebooks, captions ------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimited(delimiter: str) -> None:
    rows = [["part", "what it is"], ["valve", f'"a{delimiter} b\nc"'], ["pump", "x"], [], ["lid"]]
    data = "\n".join(delimiter.join(row) for row in rows).encode()
    cell = f"a{delimiter} b c".replace("|", "\\|").replace("\t", "").replace("  ", " ")
    assert parse(data, "parts.csv").text == (
        f"| part | what it is |\n| --- | --- |\n| valve | {cell} |\n| pump | x |\n| lid |\n"
    )


def test_wide_and_ragged_tables_do_not_explode() -> None:
    data = b",".join([b"x"] * 20_000) + b"\n" + b"a\n" * 20_000
    assert len(parse(data, "wide.csv").text) == (4 + 6 + 6) * 20_000 + 4  # a header, a rule, the short rows


def test_json_and_json_lines() -> None:
    assert parse(b'{"b":"caf\\u00e9","a":[1,{}]}', "x.json").text == (
        '```json\n{\n "b": "café",\n "a": [\n  1,\n  {}\n ]\n}\n```'
    )
    assert parse(b'{"broken": ', "x.json").text == '```json\n{"broken": \n```'
    assert parse(b"[" * 100_000, "deep.json").text.count("[") == 100_000
    assert parse(b'{"a":"\\u00e9"}\n\nnot json\n', "x.jsonl").text == '```json\n{"a": "é"}\nnot json\n```'


def test_notebook() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Flow\n", "text"]},
        {"cell_type": "code", "source": "x = 1", "outputs": [{"text": "HUGE"}]},
    ]
    book = {"cells": cells, "metadata": {"kernelspec": {"language": "python"}}}
    parsed = parse(json.dumps(book).encode(), "flow.ipynb")
    assert parsed.text == "# Flow\ntext\n\n```python\nx = 1\n```\n"
    assert parsed.title == "Flow"
    assert failure(b"[1]", "x.ipynb") == "malformed"


def test_captions() -> None:
    cues = b"1\n00:00.000 --> 00:02.000\n<v Ann>Open <b>it</b>\nnow.\n\n00:02.000 --> 00:03.000\nDone.\n"
    vtt = b"WEBVTT\n\nNOTE hidden\n\n" + cues
    assert parse(vtt, "talk").text == "Ann: Open it now.\nDone.\n"
    assert parse(b"1\n00:00:00,000 --> 00:00:02,000\nOpen it.\n", "talk.srt").text == "Open it.\n"


# -- HTML, XML, feeds --------------------------------------------------------------------------


def test_html() -> None:
    page = (
        "<html><head><title>Valves &amp; pumps</title></head><body><nav>menu</nav><h2>Bleeding</h2><p>Open it.</p>"
        '<pre><code class="language-sh"># not a heading\nbleed</code></pre>'
        "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>long cell</td></tr></table>"
        "<img src='x.png'></body></html>"
    )
    parsed = parse(page.encode(), "x.html")
    assert parsed.text == (
        "## Bleeding\n\nOpen it.\n\n```sh\n# not a heading\nbleed\n```\n\n| a | b |\n| --- | --- |\n| 1 | long cell |"
    )
    assert parsed.title == "Valves & pumps"
    assert parse(page.replace("h2>", "h1>").encode(), "x.html").title == "Bleeding"
    assert parse(b"<nav>Only a menu</nav>", "menu.html").text == "Only a menu"
    assert failure(b"<html><script>x()</script></html>", "x.html") == "no_text"


def test_html_that_is_nested_too_deeply_is_reported_and_not_cut() -> None:
    assert "deep" in parse(b"<div>" * 900 + b"deep", "ok.html").text
    assert failure(b"<p>kept</p>" + b"<div>" * 2000 + b"lost", "deep.html") == "malformed"


def test_xml() -> None:
    source = '<book><title>Valves</title><ch><title>Bleed</title><p>Open <b>it</b> now.</p><n a="1"/></ch></book>'
    parsed = parse(source.encode(), "x.xml")
    assert parsed.text == "# Valves\n\n## Bleed\n\nOpen it now.\n\nn (a: 1)"
    assert parsed.title == "Valves"
    old = '<?xml version="1.0" encoding="koi8-r"?><a>клапан</a>'
    assert parse(old.encode("koi8-r"), "x.xml").text == "клапан"
    assert parse(b"<a><b>kept</b><c>&oops;all</a>", "broken.xml").text == "kept\n\n&oops;all"
    assert parse(b'<a b="1"/>', "data.xml").text == "a (b: 1)"
    assert parse(b'<a id="1"/>', "data.xml").text == '```xml\n<a id="1"/>\n```'
    secret = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname"><!ENTITY y "yyyy">]><a>start &x;&y; end</a>'
    assert parse(secret, "x.xml").text == "start &x;yyyy end"


def test_feeds() -> None:
    rss = (
        "<rss><channel><title>News</title><description>Daily</description><item><title>One</title>"
        "<description>&lt;p&gt;Open &lt;b&gt;it&lt;/b&gt;.&lt;/p&gt;</description></item></channel></rss>"
    )
    assert parse(rss.encode(), "feed.xml").text == "# News\n\nDaily\n\n## One\n\nOpen **it**."
    atom = (
        '<feed xmlns="http://www.w3.org/2005/Atom"><title>News</title><entry><title>One</title>'
        '<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>Open it.</p></div></content></entry></feed>'
    )
    assert parse(atom.encode(), "feed.atom").text == "# News\n\n## One\n\nOpen it."


# -- mail --------------------------------------------------------------------------------------


def letter(subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Ann <a@x.y>", "b@x.y", subject
    message.set_content(text)
    return message


def test_mail() -> None:
    message = letter("Grüße", "Open it.\n")
    message.add_attachment(b"\0", maintype="application", subtype="octet-stream", filename="valve.bin")
    message.add_attachment(letter("Inner", "Deeper.\n"))
    parsed = parse(message.as_bytes(), "m.eml")
    assert parsed.text == (
        "# Grüße\n\nFrom: Ann <a@x.y>\nTo: b@x.y\nAttachments: valve.bin, unnamed\n\nOpen it.\n\n"
        "## Inner\n\nFrom: Ann <a@x.y>\nTo: b@x.y\n\nDeeper.\n"
    )
    assert parsed.title == "Grüße"


def test_mail_in_odd_charsets() -> None:
    raw = "Subject: Клапан\nContent-Type: text/plain; charset=nonsense\n\n" + RUSSIAN
    assert parse(raw.encode("koi8-r"), "m.eml").text == f"# Клапан\n\n{RUSSIAN}\n"
    html = b"Subject: x\nContent-Type: text/html; charset=cp1252\n\n<h2>caf\xe9</h2>"
    assert parse(html, "m.eml").text == "# x\n\n## café\n"
    assert parse(b"To: " + b"(" * 50_000 + b"\nSubject: x\n\nbody", "m.eml").text == "# x\n\nbody\n"


def test_mbox() -> None:
    two = (
        b"From a Mon\n"
        + letter("One", "first\n>From here\n").as_bytes()
        + b"\nFrom b Mon\n"
        + letter("Two", "second\n").as_bytes()
    )
    parsed = parse(two, "m.mbox")
    assert re.findall(r"^# .*", parsed.text, re.M) == ["# One", "# Two"]
    assert "first\nFrom here" in parsed.text
    assert parsed.title == ""


# -- what is it, and what cannot be read -------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "name", "code"),
    [
        (b"", "a.md", "empty"),
        (b" \n\t\n", "a.txt", "no_text"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 20, "a.txt", "unsupported"),
        (b"<svg/>", "a.svg", "unsupported"),
        (b"ID3\x04\0\0", "song", "unsupported"),
        (b"\0\0\0\x20ftypisom", "film.mp4", "unsupported"),
        (zipped({"a.txt": "text"}), "a.zip", "unsupported"),
        (b"PK\x03\x04truncated", "a.docx", "malformed"),
        (b"not a zip", "a.odt", "malformed"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "a.doc", "malformed"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "a.msg", "malformed"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, name: str, code: str) -> None:
    assert failure(data, name) == code


def test_content_tells_before_the_name() -> None:
    assert media_type_of(docx(""), "wrong.xlsx").endswith("wordprocessingml.document")
    assert media_type_of(b"<!DOCTYPE html><p>", "report.xls") == "text/html"
    assert media_type_of(b"<html>", "page.php") == "text/x-php"
    assert media_type_of(b"<html>", "README.md") == "text/markdown"
    assert media_type_of(b'<?xml version="1.0"?>\n<html xmlns="x">', "a") == "text/html"
    assert media_type_of(b"BZh is how bzip2 begins", "notes.txt") == "text/plain"
    assert media_type_of(b"%PDF-1.4", "notes.txt") == "application/pdf"
    assert is_plain(b"# A", "a.md") and not is_plain(b"<p>", "a.html") and not is_plain(b"%PDF-", "a.md")
    assert parser_of(b"# A", "a.md") == "vecver-text 1"
    assert parser_of(b"\x89PNG\r\n\x1a\n", "a.png") == "none"


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "liteparse", None)
    with pytest.raises(Unreadable, match=r"vecver\[documents\]") as caught:
        parse(pdf("x"), "x.pdf")
    assert caught.value.code == "missing_extra"


# -- bombs: they end, and say so ---------------------------------------------------------------


def test_bombs_of_the_compiled_parsers() -> None:
    assert failure(docx(w_paragraph("a" * 150_000_000)), "zipbomb.docx") == "too_large"
    nested = "<w:tbl><w:tr><w:tc>" * 2000 + w_paragraph("x") + "</w:tc></w:tr></w:tbl>" * 2000
    assert failure(docx(nested), "deep.docx") == "too_large"
    loop = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[2 0 R]/Count 9>>endobj\n"
    assert failure(loop + b"trailer<</Root 1 0 R>>", "loop.pdf") == "malformed"
    wide = b"<table>" + b"<tr><td>x<td>y" * 20_000 + b"</table>"
    assert parse(wide, "wide.html").text.count("| x | y |") == 20_000


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("brackets.md", b"# " + b"[" * 200_000),
        ("stars.md", b"# " + b"*_" * 100_000),
        ("braces.tex", b"\\section{" + b"{" * 200_000),
        ("begin.tex", b"\\begin{verbatim}" * 20_000),
        ("percent.tex", b"x %" * 200_000),
        ("roles.rst", b":r:`" * 100_000),
        ("blocks.rst", b"::\n\n  x\n" * 30_000),
        ("links.adoc", b"link:" * 50_000),
        ("drawers.org", b"* " + b" :" * 100_000),
        ("cues.vtt", b"WEBVTT\n\n00:00.000 --> 00:01.000\n" + b"<v " * 100_000),
        ("quote.csv", b'a,b\n"' + b"x" * 500_000),
        ("blank.xml", b"<a>" + b"\n" * 300_000 + b"&&"),
        ("angles.xml", b"<" * 300_000),
        ("parts.eml", b"Subject: x\n" + b"Content-Type: multipart/mixed; boundary=a\n\n--a\n" * 500),
    ],
)
@pytest.mark.timeout(20)
def test_hostile_text_takes_no_quadratic_time(name: str, data: bytes) -> None:
    assert parse(data, name).text


MARKS = [  # what the converters look for
    "= ", "== a", "---\n", "----\n", "::\n", "  x", ".. code::", "`", "```", "* ", "#+BEGIN_SRC", "[[", "]]", "|",
    "|===\n", "\\section{", "}", "{", "\\begin{verbatim}", "\\end{verbatim}", "%", ",", ";", '"', "\t", "[", "]", "\\u",
    "<a>", "</a>", "<", "&amp;", "00:00.000 -->", "<v x>", "Subject: ", "From ", "\ufeff", "\0", "\x1b$", "é", "\n",
    "\n\n", '{"cells": [{}]}',
]  # fmt: skip
PIECES = st.lists(st.sampled_from(MARKS) | st.text(max_size=3)).map("".join)
PIECES = st.lists(st.sampled_from([*MARKS, "|", "\n", "\n\n", '"', "\t"]) | st.text(max_size=3)).map("".join)
SUFFIXES = [
    "md",
    "txt",
    "rst",
    "adoc",
    "org",
    "tex",
    "csv",
    "json",
    "jsonl",
    "ipynb",
    "vtt",
    "html",
    "xml",
    "eml",
    "mbox",
]


@pytest.mark.parametrize("examples", [40, pytest.param(3000, marks=pytest.mark.deep)])
def test_any_bytes_are_read_or_refused(examples: int) -> None:
    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(PIECES.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=60))
    def check(data: bytes) -> None:
        for suffix in SUFFIXES:
            try:
                parsed = parse(data, f"a.{suffix}")
            except Unreadable as error:
                assert error.code in {"empty", "no_text", "malformed", "binary", "unsupported"}
            else:
                assert parsed.text.encode("utf-8").strip() and parsed.parser == parser_of(data, f"a.{suffix}")

    check()


# -- the messy files ---------------------------------------------------------------------------

messy = pytest.mark.skipif(not MESSY.is_dir(), reason=f"the messy documents are not at {MESSY}")
UNREADABLE = {
    "bad1.pdf": "malformed",
    "empty.pdf": "empty",
    "empty.txt": "empty",
    "empty_protected.pdf": "needs_ocr",
    "fake-text-all-whitespace.txt": "no_text",
    "imagemagick-images.pdf": "needs_ocr",
    "issue-263.pdf": "malformed",
    "password_protected.xlsx": "encrypted",
    "poppler-395-0-fuzzed.pdf": "malformed",
    "random.bin": "binary",
    "simple.zip": "unsupported",
    "testODTnotaZipFile.odt": "malformed",
    "testWORD_truncated.docx": "malformed",
    "testZIP_corrupted_oom.zip": "unsupported",
}
PASSWORDS = {
    "libreoffice-writer-password.pdf": "openpassword",
    "r6-user-password.pdf": "asdfzxcv",
    "testWORD_protected_passtika.docx": "tika",
}
WORDS = {  # a word or two of each old encoding, as its readers write it
    "russian.cp866.txt": "Однажды",
    "money.rin.ru.xml": "Экономика и финансы",
    "info.org.il.xml": "בעברית",
    "linyijen.blogspot.com.xml": "短髮俏麗",
    "overcube.com.xml": "はんなり",
    "poliplus.egloos.com.xml": "명계 백옥루",
    "test_mskanji.csv": "髙橋淳",
    "umlauts-non-utf8.md": "äöüß",
    "fake-text-utf-16-le.txt": "Doylestown",
    "fake-html-cp1252.html": "€",
    "example-steelJIS-datasheet-utf-16.html": "日本語",
    "stanley-cups-utf-16.csv": "Stanley Cups",
    "testArabicMisleadingCharset.html": "القرى",
    "japanese_iso_2022.eml": "まみむめも",
    "utf8_headers.eml": "Säying Hello",
    "testRTFJapanese.rtf": "尾崎",
    "hukumusume-source.html": "福娘",
    "qq-source.html": "腾讯",
    "multilang.pdf": "مرحبا",
    "korean-text-with-tables.pdf": "커피전문점",
    "test_outlook_msg.msg": "Kurtuluş",
}


def outcome(name: str, passwords: tuple[str, ...] = ()) -> str:
    """The code of the failure, or the text."""
    try:
        return parse((MESSY / name).read_bytes(), name, passwords).text
    except Unreadable as error:
        return error.code


@messy
def test_every_messy_file_is_read_or_reported() -> None:
    names = [json.loads(line)["file"] for line in (MESSY / "manifest.jsonl").read_text().splitlines()]
    assert len(names) == 108
    found = {name: outcome(name, (PASSWORDS[name],) if name in PASSWORDS else ()) for name in names}
    assert {name: code for name, code in found.items() if name in UNREADABLE} == UNREADABLE
    readable = {name: text for name, text in found.items() if name not in UNREADABLE}
    assert [name for name, text in readable.items() if len(text.split()) < 1 or text in UNREADABLE.values()] == []
    assert 700_000 < sum(map(len, readable.values())) < 1_000_000  # 846,122 with the versions of 2026-11


@messy
@pytest.mark.parametrize(("name", "word"), WORDS.items())
def test_messy_encodings(name: str, word: str) -> None:
    text = outcome(name)
    assert word in text
    assert "\ufffd" not in text


@messy
@pytest.mark.parametrize(("name", "password"), PASSWORDS.items())
def test_messy_passwords(name: str, password: str) -> None:
    assert outcome(name) == "encrypted"
    assert outcome(name, ("wrong",)) == "wrong_password"
    assert "encrypt" in outcome(name, ("wrong", password)) or "Lorem" in outcome(name, (password,))
    assert "encryption test" in outcome("r6-empty-password.pdf", ("needless",))
