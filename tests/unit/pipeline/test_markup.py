"""Markup is kept completely: tables of AsciiDoc, literal arguments of LaTeX, titles and roles of reStructuredText."""

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


def rst_rows(source: str) -> list[str]:
    lines = parse(source.encode(), "m.rst").text.split("\n")
    return [line for line in lines if line.startswith("|") and "---" not in line]


GRID = """
+------+-----------+
| Name | Meaning   |
+======+===========+
| -f   | Deletes   |
|      | and waits |
+------+-----------+
| wide over both   |
+------+-----------+
| tall | one       |
|      +-----------+
|      | two       |
+------+-----------+
"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (GRID, ["| Name | Meaning |", "| -f | Deletes and waits |", "| wide over both |",
                "| tall | one |", "|  | two |"]),
        (GRID.replace("\n", "\n   "), ["| Name | Meaning |", "| -f | Deletes and waits |", "| wide over both |",
                                       "| tall | one |", "|  | two |"]),
        ("+----+---+\n| 弁 | a |\n+----+---+\n| 水 | b |\n+----+---+\n", ["| 弁 | a |", "| 水 | b |"]),
        ("+--+---+\n| 弁 | a |\n+--+---+\n", ["| 弁 | a |"]),  # not drawn to the width of its characters
        ("====  =====\nName  What\n====  =====\na     first\n      more\nb     last and longer\n====  =====\n",
         ["| Name | What |", "| a | first more |", "| b | last and longer |"]),
        ("==  ==  ==\nwide    c\n------  --\na   b   c\n==  ==  ==\n1   2   3\n\n\\   5   6\n==  ==  ==\n\nx",
         ["| wide |  | c |", "| a | b | c |", "| 1 | 2 | 3 |", "|  | 5 | 6 |"]),
        (".. list-table:: Flags\n   :header-rows: 1\n\n   * - Name\n     - Meaning\n"
         "   * - -f\n     - Deletes\n\n       and waits\n",
         ["| Name | Meaning |", "| -f | Deletes and waits |"]),
        ('.. csv-table:: Flags\n   :header: "Name", "Meaning"\n\n   "-f", "Deletes, and waits"\n   -d, Shows\n',
         ["| Name | Meaning |", "| -f | Deletes, and waits |", "| -d | Shows |"]),
        (".. csv-table::\n   :delim: ;\n\n   a;b\n   1;2\n", ["| a | b |", "| 1 | 2 |"]),
        (".. table:: Flags\n\n   +---+---+\n   | a | b |\n   +---+---+\n", ["| a | b |"]),
    ],
)  # fmt: skip
def test_rst_tables(source: str, expected: list[str]) -> None:
    assert rst_rows(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a\n\n.. note:: Close PLUM.\n   Then wait.\n\nb", "a\n\n**Note:** Close PLUM.\nThen wait.\n\nb"),
        (".. warning::\n   :class: x\n\n   Close PLUM.\n", "**Warning:**\n\nClose PLUM."),
        (".. versionadded:: 3.2\n   The PLUM.", "**Added in version:** 3.2\nThe PLUM."),
        (".. admonition:: Mind this\n\n   Close PLUM.\n\n   - one\n     two\n",
         "**Mind this**\n\nClose PLUM.\n\n- one\n  two"),
        ("a\n\n.. a comment\n   that goes on\n\n   and on\n\nPLUM", "a\n\nPLUM"),
        ("..\n   a comment\n\nPLUM", "PLUM"),
        ("..\n\n   a quote PLUM", "   a quote PLUM"),
        ("See |x| or |y|.\n\n.. |x| replace:: the *PLUM*\n   valve\n", "See the *PLUM* valve or |y|."),
        ("|c| 2024\n\n.. |c| unicode:: U+00A9 .. a sign\n", "© 2024"),
        ("Press |b|.\n\n.. |b| image:: i/b.png\n   :alt: PLUM\n", "Press PLUM."),
        (".. figure:: i/b.png\n   :alt: A valve\n\n   Its caption PLUM.\n", "![A valve](i/b.png)\n\nIts caption PLUM."),
        ("As in [1]_.\n\n.. [1] The PLUM.\n", "As in [1]_.\n\n[1] The PLUM."),
        (".. _home: https://x.y/\n", ".. _home: https://x.y/"),
        (".. unknown:: PLUM\n   :a: b\n\n   text\n", ".. unknown:: PLUM\n   :a: b\n\n   text"),
    ],
)  # fmt: skip
def test_rst_directives_keep_their_text(source: str, expected: str) -> None:
    assert parse(source.encode(), "m.rst").text.strip("\n") == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "\\begin{tabular}{l|r}\n\\hline\nName & Meaning \\\\ \\hline\n-f & "
         "Deletes\n  and \\& waits \\\\[2pt]\n\\end{tabular}",
            "| Name | Meaning |\n| --- | --- |\n| -f | Deletes and & waits |",
        ),
        (
            "\\begin{tabularx}{\\textwidth}{lX}"
         "\n\\toprule a & b \\\\\n\\midrule c & \\textbf{d} \\\\ \\bottomrule\\end{tabularx}",
            "| a | b |\n| --- | --- |\n| c | **d** |",
        ),
        (
            "\\begin{longtable}{@{}p{2cm}l@{}}\n\\caption{The PLUM}"
         "\\\\ \na & b\\\\\\endhead\nc & d\\tabularnewline\n\\end{longtable}",
            "The PLUM\n\n| a | b |\n| --- | --- |\n| c | d |",
        ),
        (
            "\\begin{tabular}{lll}\\multicolumn{2}{c}{wide} & x \\\\ \\multirow{2}{*}{tall} "
         "& 1 & 2 \\\\ \\cline{2-3} & 3 & 4\\end{tabular}",
            "| wide |  | x |\n| --- | --- | --- |\n| tall | 1 | 2 |\n|  | 3 | 4 |",
        ),
        ("\\begin{tabular}{l} a & b PLUM", "\\begin{tabular}{l} a & b PLUM"),
        ("the valve\\footnote{See PLUM.} and", "the valve (See PLUM.) and"),
        ("\\caption[short]{A long PLUM}", "A long PLUM"),
        (
            "caf\\'e, na\\\"{\\i}ve, Stra\\ss e, \\v{S}koda, \\o re, fa\\c{c}ade",

         "café, naïve, Straße, Škoda, øre, façade",
        ),
        (
            "\\title{T}\\author{Ann\\thanks{at home} \\and Bob}"
         "\\date{May 2024}\\begin{document}\\maketitle\nx\\end{document}",
            "# T\n\nAnn (at home), Bob\n\nMay 2024\n\nx",
        ),
        ("\\mymacro{PLUM}{FIG}", "\\mymacro{PLUM}{FIG}"),
        ("\\begin{itemize}\n\\item one\n\\item[b] two\n\\end{itemize}", "- one\n- b two"),
    ],
)  # fmt: skip
def test_latex_keeps_all_text(source: str, expected: str) -> None:
    assert parse(source.encode(), "m.tex").text.strip() == expected


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("m.org", "| Name | Meaning |\n|------+---------|\n| -f | Deletes |\n| [[x][d]] | |\nPLUM",
         "| Name | Meaning |\n| --- | --- |\n| -f | Deletes |\n| [d](x) |  |\n\nPLUM"),
        ("m.org", "#+BEGIN_QUOTE\nClose PLUM.\n#+END_QUOTE\n#+begin_verse\n a FIG\n#+end_verse", "Close PLUM.\n a FIG"),
        ("m.org", "#+TITLE: T\n#+AUTHOR: Ann\n#+CAPTION: The PLUM\n#+INCLUDE: \"x.org\"\n# gone\n",
         '# T\n\nAuthor: Ann\n\n**The PLUM**\n\nInclude: "x.org"'),
        ("m.adoc", ":valve: PLUM valve\n\nClose the {valve} or {other}.\n\n|===\n|{valve} |b\n|===\n",
         "Close the PLUM valve or {other}.\n\n| PLUM valve | b |\n| --- | --- |"),
        ("m.adoc", ":v: 2\n:w: {v}.1\n\n== At {w}\n\n----\n{v}\n----\n", "## At 2.1\n\n```\n{v}\n```"),
        ("m.adoc", "[WARNING]\n====\nClose PLUM.\n====\n\nNOTE: Wait.", "**Warning:**\n\nClose PLUM.\n\nNOTE: Wait."),
        ("m.adoc", "[quote, Ann, The Manual]\n____\nClose PLUM.\n____", "Quoted from Ann, The Manual:\n\nClose PLUM."),
        ("m.adoc", "----\nopen() <1>\n----\n<1> Opens PLUM.", "```\nopen() <1>\n```\n<1> Opens PLUM."),
        ("m.adoc", "include::x.adoc[]\n", "include::x.adoc[]"),
    ],
)  # fmt: skip
def test_org_and_asciidoc_keep_all_text(name: str, source: str, expected: str) -> None:
    assert parse(source.encode(), name).text.strip() == expected


@pytest.mark.parametrize("head", ["sep=;\n", '"sep=;"\r\n', "SEP=;\n"])
def test_a_csv_file_may_name_its_delimiter(head: str) -> None:
    table = parse(f"{head}Name;Size, in cm\nPLUM;1,5\n".encode(), "m.csv").text
    assert table == "| Name | Size, in cm |\n| --- | --- |\n| PLUM | 1,5 |\n"
    assert "sep=x" in parse(b"sep=x\n1\n", "m.csv").text
