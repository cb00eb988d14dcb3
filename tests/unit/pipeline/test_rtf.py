"""RTF: what anydoc leaves out is restored, deleted text is removed, and every word is compared with our own view."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecver.model import Parsed
from vecver.pipeline.parsers.office.rtf import prepared
from vecver.pipeline.parsers.parse import parse

HEAD = (
    b"{\\rtf1\\ansi\\ansicpg1252\\deff0{\\fonttbl{\\f0\\fswiss Arial;}{\\f1\\fcharset204 Times;}{\\f2\\fcharset128 M;}}"
    b"{\\colortbl;\\red0\\green0\\blue0;}{\\stylesheet{\\s1 heading 1;}}{\\*\\generator Maker;}{\\info{\\title T}}"
)


def read(body: bytes) -> Parsed:
    return parse(HEAD + body + b"}", "a.rtf")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            b"Main.\\par{\\header Head\\par}{\\footer Foot}{\\headerf Head\\par}",
            "Main.\n\n## Page headers and footers\n\nHead\n\nFoot",
        ),
        (b"Body{\\footnote A note.} on.\\par", "Body[^1] on.\n\n[^1]: A note."),
        (
            b"Body{\\*\\atnid AB}{\\*\\atnauthor Bob}\\chatn{\\*\\annotation{\\*\\atndate 1}Mind this.} on.\\par",
            "Body on.\n\n## Comments\n\nMind this.",
        ),
        (b"Keep {\\deleted\\revauth1 gone \\'80 \\u8364? now}{\\revised new} end.\\par", "Keep new end."),
        (b"Keep \\deleted gone\\deleted0  end.\\par", "Keep  end."),
        (b"Seen {\\v hidden} end.\\par", "Seen hidden end."),
        (b'{\\field{\\*\\fldinst HYPERLINK "http://a.b"}{\\fldrslt label}} end.\\par', "[label](http://a.b) end."),
        (b"\\u8364? \\'80 a\\~b c\\_d \\emdash e\\par", "\u20ac \u20ac a b c-d \u2014e"),
        (
            b"{\\f1 \\'cf\\'f0\\'e8\\'e2\\'e5\\'f2} {\\f2 \\'93\\'fa\\'96\\'7b}\\par",
            "\u041f\u0440\u0438\u0432\u0435\u0442 \u65e5\u672c",
        ),
        (b"{\\pict\\pngblip 89504e47}Text {\\object{\\*\\objdata 0105}{\\result shown}}\\par", "Text shown"),
    ],
)
def test_every_part_of_the_text_is_read(body: bytes, text: str) -> None:
    parsed = read(body)
    assert " ".join(parsed.text.replace("\xa0", " ").split(" ")).strip() == text
    assert parsed.coverage and parsed.coverage.share == 1 and not parsed.coverage.notes and parsed.coverage.seen > 0


def test_missing_words_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from vecver.pipeline.parsers.office import reader

    monkeypatch.setattr(reader, "_markdown", lambda data, media_type: "One two.")
    monkeypatch.setattr(reader, "restored", lambda text, views: text)
    parsed = read(b"One two three four.\\par")
    assert parsed.coverage and (parsed.coverage.seen, parsed.coverage.kept) == (4, 2)
    assert "'three', 'four'" in parsed.coverage.notes[0]


@pytest.mark.parametrize(
    "data",
    [
        b"{" * 5000 + b"text" + b"}" * 9000,
        b"\\bin999999999 text",
        b"\\u99999? \\'zz \\ \\'",
        b"\\ansicpg99999 \\'80",
        b"\\uc99 \\u1x",
    ],
)
def test_broken_files_have_a_view_too(data: bytes) -> None:
    prepared(HEAD + data)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["{", "}", "\\par", "\\*\\x ", "\\u8364?", "\\'80", "a", " ", "\\deleted", "\\bin3 ", "\\header "]
        )
    )
)
def test_any_tokens_can_be_scanned(tokens: list[str]) -> None:
    data, views = prepared(HEAD + "".join(tokens).encode())
    assert len(data) <= len(HEAD) + sum(map(len, tokens)) and len(views) == 4
