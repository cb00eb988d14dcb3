"""Converts LaTeX to Markdown with `#` headings, by the commands that carry text. It expands no macros.

Decisions
1. The arguments of `\\verb`, `\\url`, `\\href`, `\\path`, `\\nolinkurl` and `\\lstinline` are set aside before comments
   are removed, since a `%` in them begins no comment. A `%` after an even number of backslashes does.
2. A command's option has at most 500 characters and its argument 2,000. Without limits, each of many commands with an
   unclosed bracket would read to the end of the text.
3. A table row stands on one line, and accents (`caf\\'e`) become letters, so that both can be searched. Authors and
   dates are taken from the preamble. A footnote follows its word in brackets.
4. Sections, verbatim blocks, items and inline styles are converted; comments and layout commands are dropped. Formulas
   and unknown commands stay as written, since readers of LaTeX can read them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from vecver.pipeline.parsers.markup.markdown import fence, heading, table

WIDEST: Final = 50  # columns that a cell may span at most

_COMMENTED: Final = re.compile(r"\\begin\{comment\}.*?\\end\{comment\}", re.S)
_BODY: Final = re.compile(r"\\begin\{document\}(.*?)(?:\\end\{document\}|\Z)", re.S)
_CODE: Final = re.compile(
    r"\\begin\{(verbatim\*?|lstlisting|minted|Verbatim\*?|alltt)\}(\[[^\]\n]{0,500}+\])?(?:\{([\w+-]*+)\})?"
)
_LITERAL: Final = re.compile(
    r"\\(?:(?P<verb>verb\*?|lstinline(?:\[[^\]\n]{0,500}+\])?|mintinline\{\w{0,40}\})"
    r"(?:\{(?P<braced>[^{}\n]{0,500}+)\}|(?P<mark>[^\w\s{*])(?P<held>[^\n]{0,500}?)(?P=mark))"
    r"|(?:url|path|nolinkurl)\*?(?:\{(?P<url>[^{}\n]{0,1000}+)\}|(?P<bar>[|!])(?P<barred>[^\n]{0,500}?)(?P=bar))"
    r"|href\{(?P<href>[^{}\n]{0,1000}+)\}(?=\s*\{))"
)
_PASSED: Final = re.compile(r"\\\\|\\[%&#_$]|%[^\n]*|" + _LITERAL.pattern)
_LANGUAGE: Final = re.compile(r"language=(?:\[[^\]]*\])?\{?([\w+-]+)")
_GROUP: Final = r"\{((?:[^{}]|\{[^{}]{0,2000}+\}){0,2000}+)\}"
_TITLE: Final = re.compile(r"\\title\s*+(?:\[[^\]]{0,500}+\])?" + _GROUP)
_RANKS: Final = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph", "subparagraph")
_SECTION: Final = re.compile(r"\\(" + "|".join(_RANKS) + r")\*?\s*+(?:\[[^\]]{0,500}+\]\s*+)?" + _GROUP)
_INLINE: Final = (
    (re.compile(r"\\(?:textbf|bf)" + _GROUP), r"**\1**"),
    (re.compile(r"\\(?:emph|textit|textsl)" + _GROUP), r"*\1*"),
    (re.compile(r"\\(?:texttt|lstinline|mintinline\{\w*\})" + _GROUP), r"`\1`"),
    (re.compile(r"\\href\{([^{}]*)\}\s*+" + _GROUP), r"[\2](\1)"),
    (re.compile(r"\\url\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\(?:footnote|thanks)(?:\[[^\]]{0,500}+\])?" + _GROUP), r" (\1)"),
    (re.compile(r"\\caption\*?(?:\[[^\]]{0,500}+\])?" + _GROUP), r"\1"),
    (re.compile(r"\\(?:text|textsc|textrm|textsf|underline|mbox)" + _GROUP), r"\1"),
    (re.compile(r"\\(?:label|vspace|hspace|input|include|bibliography|bibliographystyle)\*?\{[^{}]*\}"), ""),
    (re.compile(r"\\(?:maketitle|tableofcontents|newpage|clearpage|centering|noindent|medskip|bigskip)\b"), ""),
    (re.compile(r"^[ \t]*\\begin\{abstract\}[ \t]*$", re.M), "**Abstract**\n"),
    (re.compile(r"^[ \t]*\\(?:begin|end)\{(?:itemize|enumerate|description|center|figure|table|quote|abstract)\*?\}"
                r"(?:\[[^\]]{0,500}+\])?[ \t]*+$", re.M), ""),
    (re.compile(r"^[ \t]*+\\item\s*+\[([^\]]{0,500}+)\][ \t]*+", re.M), r"- \1 "),
    (re.compile(r"^[ \t]*+\\item\b\s*+", re.M), "- "),
    (re.compile(r"``|''"), '"'),
    (re.compile(r"(?<!\\)~"), " "),
    (re.compile(r"\\([%&#_$])"), r"\1"),
)  # fmt: skip


_ABOUT: Final = re.compile(r"\\(?:subtitle|author|institute|affiliation|date)\s*+(?:\[[^\]]{0,500}+\])?" + _GROUP)
_TABLE: Final = re.compile(
    r"\\begin\{(tabular[*xy]?|longtable|tabulary|supertabular|tblr|longtblr)\}(?:\[[^\]\n]{0,200}+\])?"
    r"(?:\s*+\{(?:[^{}]|\{[^{}]{0,200}+\}){0,500}+\}){0,2}"
)
_CAPTION: Final = re.compile(r"\\caption\*?(?:\[[^\]]{0,500}+\])?" + _GROUP)
_RULES: Final = re.compile(
    r"\\(?:hline|toprule|midrule|bottomrule|endhead|endfirsthead|endfoot|endlastfoot|hhline\{[^{}]{0,200}+\}"
    r"|(?:cline|cmidrule(?:\[[^\]]{0,50}+\])?(?:\([^)]{0,50}+\))?|rowcolor|addlinespace)(?:\[[^\]]{0,50}+\])?(?:\{[^{}]{0,200}+\})?)"
    r"(?![A-Za-z])"
)
_ROW_END: Final = re.compile(r"(?:\\\\(?:\*|\[[^\]\n]{0,50}+\])?|\\tabularnewline\b)")
_SPAN: Final = re.compile(
    r"\\multi(?:column|row)(?:\[[^\]]{0,50}+\])?\{([^{}]{0,50}+)\}(?:\{(?:[^{}]|\{[^{}]{0,200}+\}){0,200}+\}|\*)"
    + _GROUP
)
_ACCENT: Final = re.compile(
    r"(?<!\\)\\(?:(['`^\"~])(?:\{(\\?[A-Za-z])\}|(\\[ij](?![A-Za-z])|[A-Za-z]))|([=.uvHcdbkr])\{(\\?[A-Za-z])\})"
)
_COMBINING: Final = dict(zip("'`^\"~=.uvHcdbkr", map(chr, (0x301, 0x300, 0x302, 0x308, 0x303, 0x304, 0x307, 0x306,
                         0x30C, 0x30B, 0x327, 0x323, 0x331, 0x328, 0x30A)), strict=True))  # fmt: skip
_LETTER: Final = re.compile(r"(?<!\\)\\(ss|ae|AE|oe|OE|aa|AA|o|O|l|L|i)(?:\{\}|[ ]|(?![A-Za-z]))")
_LETTERS: Final = {"ss": "ß", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "aa": "å", "AA": "Å", "o": "ø", "O": "Ø",
                   "l": "ł", "L": "Ł", "i": "ı"}  # fmt: skip


def latex(text: str) -> str:
    """The document's body as Markdown, its title in front."""
    text, codes = _code_aside(text.replace("\0", ""))
    text = _without_comments(text, codes)
    title = _TITLE.search(text)
    body = _BODY.search(text)
    about = [match[1] for match in _ABOUT.finditer(text[: body.start()] if body else "")]
    text = _TITLE.sub("", body[1] if body else text)
    text = _with_tables(_with_accents(text))
    first = 2 if title else 1
    ranks = sorted({_RANKS.index(match[1]) for match in _SECTION.finditer(text)})
    text = _SECTION.sub(lambda m: f"\n{heading(first + ranks.index(_RANKS.index(m[1])), m[2])}\n\n", text)
    for mark, plain in _INLINE:
        text = mark.sub(plain, text)
    lines = [re.sub(r"\s+", " ", _plain(re.sub(r"\s*+\\and\b", ",", line))) for line in about]
    text = "".join(f"{line.strip()}\n\n" for line in lines) + text
    text = (heading(1, _plain(title[1])) + "\n\n" if title else "") + text
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    text = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
    return re.sub(r"\0(\d+)\0", lambda m: codes[int(m[1])], text)


def _without_comments(text: str, codes: list[str]) -> str:
    """The text without comments, with `\\0n\\0` in place of each literal argument, which is added to `codes`."""

    def kept(match: re.Match[str]) -> str:
        source = match[0]
        if source.startswith("%"):
            return ""
        if match["href"] is not None:
            codes.append(match["href"].replace("\\%", "%").replace("\\#", "#"))
            return f"\\href{{\0{len(codes) - 1}\0}}"
        literal = next((match[name] for name in ("braced", "held", "url", "barred") if match[name] is not None), None)
        if literal is None:
            return source
        codes.append(f"`{literal}`" if match["verb"] else literal.replace("\\%", "%").replace("\\#", "#"))
        return f"\0{len(codes) - 1}\0"

    closed = text.rfind("\\end{comment}") + 1 and text.rfind("\\end{comment}") + len("\\end{comment}")
    return _PASSED.sub(kept, _COMMENTED.sub("", text[:closed]) + text[closed:])


def _code_aside(text: str) -> tuple[str, list[str]]:
    """The text with `\\0n\\0` in the place of its n-th code block, and the blocks, fenced."""
    pieces: list[str] = []
    codes: list[str] = []
    at = 0
    while opening := _CODE.search(text, at):
        end = text.find(f"\\end{{{opening[1]}}}", opening.end())
        if end < 0:
            break
        language = opening[3] or next(iter(_LANGUAGE.findall(opening[2] or "")), "")
        pieces.append(f"{text[at : opening.start()]}\n\0{len(codes)}\0\n")
        codes.append(fence(text[opening.end() : end], language.lower()))
        at = end + len(f"\\end{{{opening[1]}}}")
    return "".join([*pieces, text[at:]]), codes


def _with_accents(text: str) -> str:
    """The text with the letters that accents and names such as `\\ss` stand for."""

    def accented(match: re.Match[str]) -> str:
        letter = (match[2] or match[3] or match[5]).removeprefix("\\")
        return unicodedata.normalize("NFC", letter + _COMBINING[match[1] or match[4]])

    return _LETTER.sub(lambda match: _LETTERS[match[1]], _ACCENT.sub(accented, text)) if "\\" in text else text


def _with_tables(text: str) -> str:
    """The text with its tables in Markdown, each after its caption."""
    pieces: list[str] = []
    at = 0
    unclosed: set[str] = set()
    for opening in _TABLE.finditer(text):
        name = opening[1]
        if opening.start() < at or name in unclosed:
            continue
        end = text.find(f"\\end{{{name}}}", opening.end())
        if end < 0:
            unclosed.add(name)
            continue
        body = text[opening.end() : end]
        captions = "\n\n".join(caption[0] for caption in _CAPTION.finditer(body))
        pieces.append(f"{text[at : opening.start()]}\n{captions}\n\n{table(_rows(_CAPTION.sub('', body)))}\n")
        at = end + len(f"\\end{{{name}}}")
    return "".join([*pieces, text[at:]])


def _rows(body: str) -> list[list[str]]:
    body = _SPAN.sub(lambda span: span[2] + (" & " * _columns(span)), _RULES.sub("", body))
    return [re.split(r"(?<!\\)&", row) for row in _ROW_END.split(body) if row.strip()]


def _columns(span: re.Match[str]) -> int:
    """How many empty columns follow a cell that spans several."""
    wide = "column" in span[0][:14] and span[1].isdecimal()
    return min(int(span[1]), WIDEST) - 1 if wide and int(span[1]) else 0


def _plain(title: str) -> str:
    title = _with_accents(title)
    for mark, plain in _INLINE:
        title = mark.sub(plain, title)
    return title.replace("\\\\", " ")
