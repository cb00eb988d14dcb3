"""Text formats, markup, tables, HTML, XML and mail, read through the door `parse`."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
from handmade import JAPANESE, RUSSIAN, docx, failure, letter, pdf, zipped

from vecver.pipeline.parsers.detection.encodings import decode
from vecver.pipeline.parsers.detection.media_types import media_type_of
from vecver.pipeline.parsers.parse import Unreadable, is_plain, parse, parser_of

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
def test_unreadable_documents_have_a_reason(data: bytes, name: str, code: str) -> None:
    assert failure(data, name) == code


def test_content_decides_the_media_type_before_the_name() -> None:
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
