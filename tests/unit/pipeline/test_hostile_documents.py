"""Hostile documents: they end in bounded time, and any bytes are read or refused."""

from __future__ import annotations

import pytest
from handmade import docx, failure, w_paragraph
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vecver.pipeline.parsers.parse import Unreadable, parse, parser_of

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
