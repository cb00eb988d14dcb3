"""Reading a text takes time linear in its length: no repetition of marks makes it quadratic."""

from __future__ import annotations

from contextlib import suppress
from time import process_time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vecver.pipeline import chunker_recipe
from vecver.pipeline.chunkers.pieces import with_pieces
from vecver.pipeline.parsers.parse import Unreadable, parse

RECIPE = chunker_recipe(max_tokens=100)
MANY = 8.0  # times the cost at 4 n of that at n: 4 where it is linear, 16 where it is quadratic
ENOUGH = 0.05  # seconds of CPU time from which two costs are compared
LONGEST = 1 << 15  # characters; a quarter of it is above the length from which a text is split uncounted

MARKS = {  # what each reader looks for
    "md": ["# ", "#", "---\n", "title: ", "+++\n", "<!--", "-->", "](", "[", "]:", "{#", "```\n", "- ", "> ", "a"],
    "rst": ["`", "`_", "<", ">", "a <", "::\n", ".. _", ".. code::", ":a:`", "===\n", "a\n===\n", "   x\n", "!", "a",
            "+--+--+\n", "| ", "== ==\n", "..\n", ".. note::\n", ".. |a| replace:: ", "|a|",
            ".. list-table::\n", "* - "],
    "adoc": ["= ", " =", "link:a[", "http://", "<<a,", ">>", "[source,", "----", "|===\n", "|", "////\n", "!", "a",
             ":a: b", "{a}", "[NOTE]", "[quote,"],
    "org": ["* ", "TODO ", "[#A]", " :a:", ":", "#+TITLE:", "#+BEGIN_SRC\n", "[[", "][", "]]", "\x0b", "a",
            "|", "|-", "#+CAPTION:"],
    "tex": ["\\section", "\\section[", "\\section{", "{", "}", "\\title[", "\\begin{verbatim}", "\\begin{verbatim}[",
            "\\end{verbatim}", "\\textbf{", "\n\\item[", "\n\\begin{figure}[", "%", "\\href{", "]", "a",
            "\\begin{tabular}", "\\end{tabular}", "&", "\\caption[", "\\multicolumn{", "\\'{", "\\author["],
    "vtt": ["<v", "<v ", "<v.a", "<", ">", "00:00.000 --> 00:01.000\n", "0", "a"],
    "csv": ['"', ",", ";", "\t", "a"],
    "jsonl": ["{", "[", '"', "\\u0041", "\n", ",", "a"],
    "xml": ["<a>", "</a>", "<", "&", "]]>", "a"],
    "html": ["<title>", "Untitled", "Microsoft a - ", ".pdf ", "<p>", "<", "&", "a"],
    "mbox": ["From ", ">", "\nFrom a\n", "Subject: ", "a"],
    "txt": [". ", "。", "!)", "\n\n", "=", "a", "a b"],
}  # fmt: skip
SPACES = [" ", "\t", "\n", " \n"]
HEADS = {"vtt": "WEBVTT\n\n00:00.000 --> 00:01.000\n", "html": "<title>"}
SUFFIXES = ["", "!", "x!", "]", "\n"]


def text_of(suffix: str, head: str, unit: str, end: str, length: int) -> str:
    return HEADS.get(suffix, "") + head + unit * (length // len(unit)) + end


def cost(name: str, text: str) -> float:
    """Seconds of CPU time of this process to read a text and cut it."""
    data, since = text.encode(), process_time()
    with suppress(Unreadable):
        with_pieces(parse(data, name), RECIPE)
    return process_time() - since


def grows_too_fast(suffix: str, head: str, unit: str, end: str) -> bool:
    """Whether four times the length costs far more than four times the time."""
    name, long, short = f"a.{suffix}", *(text_of(suffix, head, unit, end, n) for n in (LONGEST, LONGEST // 4))
    if cost(name, long) < ENOUGH:
        return False
    return all(_is_costly(name, long, short) for _ in range(5))  # a busy machine makes single measurements wrong


def _is_costly(name: str, long: str, short: str) -> bool:
    four_times, once = (min(cost(name, text) for _ in range(2)) for text in (long, short))
    return four_times > ENOUGH and four_times > MANY * once


KNOWN = [  # each was quadratic
    ("rst", "`", " ", "x"),
    ("rst", ".. code::", " ", "x!"),
    ("adoc", "= a", " ", "b"),
    ("adoc", "<<a,", " ", "b"),
    ("adoc", "[source,", "a", ""),
    ("adoc", "----", "-", "!"),
    ("adoc", "----", " ", "x!"),
    ("adoc", "", "link:a[", ""),
    ("org", "* a", " ", "b"),
    ("org", "#+TITLE:", " ", ""),
    ("tex", "\\section", " ", "x"),
    ("tex", "", "\\section[", ""),
    ("tex", "", "\\title[", ""),
    ("tex", "", "\\begin{verbatim}[\\end{verbatim}", ""),
    ("tex", "", "\n\\item[", ""),
    ("tex", "", "\n\\begin{figure}[", ""),
    ("vtt", "<v", " ", ""),
    ("html", "", "a", "</title><p>x"),
    ("md", "# a", " ", "b"),
    ("md", "---\ntitle: a", " ", "b\n---\n"),
]


@pytest.mark.parametrize(("suffix", "head", "unit", "end"), KNOWN)
def test_what_was_quadratic_is_linear(suffix: str, head: str, unit: str, end: str) -> None:
    assert not grows_too_fast(suffix, head, unit, end)


@pytest.mark.parametrize("suffix", MARKS)
@pytest.mark.parametrize("examples", [3, pytest.param(1000, marks=pytest.mark.deep)])
@pytest.mark.timeout(3600)
def test_no_repetition_of_marks_is_quadratic(suffix: str, examples: int) -> None:
    marks = st.lists(st.sampled_from(MARKS[suffix] + SPACES), min_size=1, max_size=3).map("".join)
    heads = st.lists(st.sampled_from(MARKS[suffix] + SPACES), max_size=2).map("".join)

    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(heads, marks, st.sampled_from(SUFFIXES))
    def check(head: str, unit: str, end: str) -> None:
        assert not grows_too_fast(suffix, head, unit, end)

    check()
