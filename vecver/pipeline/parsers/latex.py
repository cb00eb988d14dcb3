"""LaTeX to Markdown with `#` headings, by the commands that carry text; it expands no macro.

Decisions
- 2026-11-26 `\\verb`, `\\url`, `\\href`, `\\path`, `\\nolinkurl` and `\\lstinline` are set aside before comments
  go, since a `%` in them is none; and a `%` before which an even number of backslashes stands begins one.
- 2026-11-26 A command's option has at most 500 characters, its argument 2,000: unlimited, each of many commands
  whose bracket nobody closes would read to the end of the text.
- 2026-11-21 Sections, verbatim blocks, items and inline styles are converted, comments and layout
  commands dropped, mathematics and unknown commands kept as written: a reader of LaTeX can read them.
"""

from __future__ import annotations

import re
from typing import Final

from vecver.pipeline.parsers.markdown import fence, heading

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
    (re.compile(r"\\(?:text|textsc|textrm|textsf|underline|mbox|caption|footnote)" + _GROUP), r"\1"),
    (re.compile(r"\\(?:label|vspace|hspace|input|include|bibliography|bibliographystyle)\*?\{[^{}]*\}"), ""),
    (re.compile(r"\\(?:maketitle|tableofcontents|newpage|clearpage|centering|noindent|medskip|bigskip)\b"), ""),
    (re.compile(r"^[ \t]*\\begin\{abstract\}[ \t]*$", re.M), "**Abstract**\n"),
    (re.compile(r"^[ \t]*\\(?:begin|end)\{(?:itemize|enumerate|description|center|figure|table|quote|abstract)\*?\}"
                r"(?:\[[^\]]{0,500}+\])?[ \t]*+$", re.M), ""),
    (re.compile(r"^[ \t]*+\\item\s*+(?:\[([^\]]{0,500}+)\])?[ \t]*+", re.M), r"- \1"),
    (re.compile(r"``|''"), '"'),
    (re.compile(r"(?<!\\)~"), " "),
    (re.compile(r"\\([%&#_$])"), r"\1"),
)  # fmt: skip


def latex(text: str) -> str:
    """The document's body as Markdown, its title in front."""
    text, codes = _code_aside(text.replace("\0", ""))
    text = _without_comments(text, codes)
    title = _TITLE.search(text)
    body = _BODY.search(text)
    text = _TITLE.sub("", body[1] if body else text)
    first = 2 if title else 1
    ranks = sorted({_RANKS.index(found[1]) for found in _SECTION.finditer(text)})
    text = _SECTION.sub(lambda m: f"\n{heading(first + ranks.index(_RANKS.index(m[1])), m[2])}\n\n", text)
    for mark, plain in _INLINE:
        text = mark.sub(plain, text)
    text = (heading(1, _plain(title[1])) + "\n\n" if title else "") + text
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    text = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
    return re.sub(r"\0(\d+)\0", lambda m: codes[int(m[1])], text)


def _without_comments(text: str, codes: list[str]) -> str:
    """The text without comments, with `\\0n\\0` in the place of each literal argument, which joins `codes`."""

    def kept(match: re.Match[str]) -> str:
        whole = match[0]
        if whole.startswith("%"):
            return ""
        if match["href"] is not None:
            codes.append(match["href"].replace("\\%", "%").replace("\\#", "#"))
            return f"\\href{{\0{len(codes) - 1}\0}}"
        literal = next((match[name] for name in ("braced", "held", "url", "barred") if match[name] is not None), None)
        if literal is None:
            return whole
        codes.append(f"`{literal}`" if match["verb"] else literal.replace("\\%", "%").replace("\\#", "#"))
        return f"\0{len(codes) - 1}\0"

    closed = text.rfind("\\end{comment}") + 1 and text.rfind("\\end{comment}") + len("\\end{comment}")
    return _PASSED.sub(kept, _COMMENTED.sub("", text[:closed]) + text[closed:])


def _code_aside(text: str) -> tuple[str, list[str]]:
    """The text with `\\0n\\0` in the place of its n-th code block, and the blocks, fenced."""
    rest: list[str] = []
    codes: list[str] = []
    at = 0
    while found := _CODE.search(text, at):
        end = text.find(f"\\end{{{found[1]}}}", found.end())
        if end < 0:
            break
        language = found[3] or next(iter(_LANGUAGE.findall(found[2] or "")), "")
        rest.append(f"{text[at : found.start()]}\n\0{len(codes)}\0\n")
        codes.append(fence(text[found.end() : end], language.lower()))
        at = end + len(f"\\end{{{found[1]}}}")
    return "".join([*rest, text[at:]]), codes


def _plain(title: str) -> str:
    for mark, plain in _INLINE:
        title = mark.sub(plain, title)
    return title.replace("\\\\", " ")
