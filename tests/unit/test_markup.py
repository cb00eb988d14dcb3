"""Other markup is kept whole: tables of AsciiDoc, literal arguments of LaTeX, titles and roles of reStructuredText."""

from __future__ import annotations

import pytest

from vecver.pipeline.parsers.parse import parse


def rows(source: str) -> list[str]:
    return [line for line in parse(source.encode(), "m.adoc").text.split("\n") if line.startswith("|")]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("|===\n|Name |Meaning\n\n|-f\n|Deletes\nand restarts\n\n|-d\na|\n* shows\n* waits\n|===",
         ["| Name | Meaning |", "| -f | Deletes and restarts |", "| -d | * shows * waits |"]),
        ('[cols="1,2a"]\n|===\n|a\n|b\n|c\n\n|d\n|===', ["| a | b |", "| c | d |"]),
        ("[cols=3*]\n|===\n|a|b\n|c|d|e|f\n|===", ["| a | b | c |", "| d | e | f |"]),
        ("|===\n|a |b |c\n\n2+|wide |x\n.2+|tall |1 |2\n|3 |4\n|===",
         ["| a | b | c |", "| wide |  | x |", "| tall | 1 | 2 |", "|  | 3 | 4 |"]),
        ("|===\n|a |b\n|1 \\| 2 h|x\n|===", ["| a | b |", "| 1 \\| 2 | x |"]),
        ('[format=csv,options="header"]\n|===\na,b\n"x, y",KIWI\n|===', ["| a | b |", "| x, y | KIWI |"]),
        (",===\na,b\n1,2\n,===", ["| a | b |", "| 1 | 2 |"]),
        ("|===\nno cell mark PLUM\n|===", ["| no cell mark PLUM |"]),
        ("|===\nstray PLUM |a\n|===", ["| stray PLUM | a |"]),
        (":===\na:b\n1:2\n:===", ["| a | b |", "| 1 | 2 |"]),
    ],
)  # fmt: skip
def test_asciidoc_tables(source: str, expected: list[str]) -> None:
    assert [row for row in rows(source) if "---" not in row] == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (r"See \url{http://x.y/a%20b} for PLUM.", "See http://x.y/a%20b for PLUM."),
        (r"See \href{http://x.y/a%20b}{the manual} for PLUM.", "See [the manual](http://x.y/a%20b) for PLUM."),
        (r"Print \verb|%d| then PLUM.", "Print `%d` then PLUM."),
        (r"Print \verb+%d+ or \lstinline[language=C]{%s} then PLUM.", "Print `%d` or `%s` then PLUM."),
        (r"The \path|a%b| and \nolinkurl{c%d} PLUM.", "The a%b and c%d PLUM."),
        (r"A line\\% gone" + "\nand 5\\% PLUM.", "A line\\\\\nand 5% PLUM."),
        ("\\begin{alltt}\n5% here\n\\end{alltt}\nPLUM", "```\n5% here\n```\n\nPLUM"),
        ("a\n\\begin{comment}\ngone\n\\end{comment}\nPLUM", "a\n\nPLUM"),
    ],
)
def test_latex_percent_signs(source: str, expected: str) -> None:
    assert parse(source.encode(), "m.tex").text.strip() == expected


def test_rst_titles_in_fields_and_roles() -> None:
    pep = "PEP: 8\nTitle: Reserved\n  Widgets\nAuthor: Ann\n\n\nAbstract\n========\n\nSee :pep:`8` and :rfc:`2616`.\n"
    parsed = parse(pep.encode(), "pep.rst")
    assert parsed.title == "Reserved Widgets"
    assert "# Reserved Widgets" in parsed.text and "## Abstract" in parsed.text and "Author: Ann" in parsed.text
    assert "See PEP 8 and RFC 2616." in parsed.text
    assert parse(b":Title: The Valve\n:Author: Ann\n\nFirst\n-----\n\nx\n", "m.rst").title == "The Valve"
    assert parse(b"First\n=====\n\nTitle: no field\n", "m.rst").title == "First"
    assert "a `tool` and the style guide" in parse(b"a :ref:`tool <x>` and :pep:`the style guide <8>`", "m.rst").text
