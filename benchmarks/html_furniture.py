"""What is read of web pages and what is left out as furniture: vecver, the reader before it, trafilatura, readability.

Twelve pages are made here, so that the words of the content and those of the furniture are known; `--pages` adds
real files, of which only the time and the number of words are known. trafilatura and readability are asked where
they are installed, by hand and best in an environment of their own:

    pip install trafilatura readability-lxml "lxml[html_clean]"

Milliseconds are CPU time, the best of `--rounds`. readability's HTML is converted as the reader before converted.
"""

from __future__ import annotations

import argparse
import re
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time

Reader = Callable[[str], str]
_WORD = re.compile(r"\w+")
_MADE = re.compile(r"\b(?:main|furn)\d+\b")


class Words:
    """Sentences and labels of words that tell what they are part of: `main12`, `furn7`."""

    def __init__(self) -> None:
        self._count = 0

    def main(self, words: int) -> str:
        return self._some("main", words)

    def furniture(self, words: int) -> str:
        return self._some("furn", words)

    def text(self, paragraphs: int = 3) -> str:
        return "".join(f"<p>{self.main(30)}. {self.main(12)}.</p>" for _ in range(paragraphs))

    def links(self, count: int, main: bool = False) -> str:
        label = self.main if main else self.furniture
        return "<ul>" + "".join(f"<li><a href=/p/{i}>{label(2)}</a></li>" for i in range(count)) + "</ul>"

    def _some(self, kind: str, words: int) -> str:
        self._count += words
        return " ".join(f"{kind}{i}" for i in range(self._count - words, self._count))


def made_pages() -> dict[str, str]:
    """The pages by name, each a whole HTML document."""
    makers = (documentation, blog, shop, news, forum, faq, sphinx, form, link_list, landing, wiki, recipe)
    return {
        maker.__name__: f"<!doctype html><html><head><title>Site</title></head><body>{maker(Words())}</body></html>"
        for maker in makers
    }


def _footer(w: Words) -> str:
    return f"<footer>{w.links(5)}<p>© 2024 {w.furniture(3)}. All rights reserved.</p></footer>"


def _header(w: Words) -> str:
    return f"<header><a href=/>{w.furniture(1)}</a><nav>{w.links(6)}</nav></header>"


def documentation(w: Words) -> str:
    note = f"<aside class=warning><p>{w.main(15)}.</p></aside>"
    code = f"<pre><code class=language-sh>{w.main(6)}</code></pre>"
    main = f"<main><h1>{w.main(3)}</h1>{w.text()}{note}<h2>{w.main(2)}</h2>{code}<ul><li>{w.main(8)}</li></ul></main>"
    return f"{_header(w)}<div><div>{w.links(20)}</div>{main}</div>{_footer(w)}"


def blog(w: Words) -> str:
    post = f"<article><h1>{w.main(5)}</h1><p>{w.main(4)}</p>{w.text(6)}<blockquote>{w.main(12)}.</blockquote></article>"
    side = f"<div><h3>{w.furniture(1)}</h3>{w.links(8)}<h3>{w.furniture(1)}</h3>{w.links(8)}</div>"
    return f"{_header(w)}<div>{post}</div>{side}{_footer(w)}"


def shop(w: Words) -> str:
    rows = "".join(f"<tr><th>{w.main(1)}</th><td>{w.main(2)}</td></tr>" for _ in range(6))
    crumbs = f"<div><a href=/>{w.furniture(1)}</a> &gt; <a href=/b>{w.furniture(1)}</a></div>"
    main = f"<div><h1>{w.main(4)}</h1><p>{w.main(2)}</p>{w.text(1)}<table>{rows}</table></div>"
    return f"{_header(w)}{crumbs}{main}{_footer(w)}"


def news(w: Words) -> str:
    banner = f"<div><p>Cookie {w.furniture(20)}.</p><button>Accept</button></div>"
    figure = f"<figure><img src=x><figcaption>{w.main(8)}</figcaption></figure>"
    return f"{banner}{_header(w)}<article><h1>{w.main(7)}</h1>{figure}{w.text(5)}</article>{_footer(w)}"


def forum(w: Words) -> str:
    posts = "".join(f"<div class=post><div>{w.main(2)}</div><div>{w.main(20)}.</div></div>" for _ in range(6))
    pager = f"<div><a href=?p=1>1</a> <a href=?p=2>2</a> <a rel=next href=?p=2>Next {w.furniture(1)}</a></div>"
    return f"{_header(w)}<div><h1>{w.main(5)}</h1>{posts}{pager}</div>{_footer(w)}"


def faq(w: Words) -> str:
    tabs = "".join(f"<div hidden><h2>{w.main(5)}</h2><p>{w.main(20)}.</p></div>" for _ in range(4))
    more = "".join(f"<details><summary>{w.main(5)}</summary><p>{w.main(20)}.</p></details>" for _ in range(4))
    return f"{_header(w)}<main><h1>{w.main(2)}</h1>{tabs}{more}</main>{_footer(w)}"


def sphinx(w: Words) -> str:
    sections = "".join(
        f"<section id={name}><h2>{w.main(1)}<a class=headerlink href='#{name}'>¶</a></h2><p>{w.main(18)}.</p></section>"
        for name in ("navigation", "menu", "footer", "sidebar", "cookie-banner")
    )
    side = f"<div class=sphinxsidebar><h3><a href=/>{w.furniture(2)}</a></h3>{w.links(12)}</div>"
    top = f"<div role=navigation><h3>{w.furniture(1)}</h3>{w.links(3)}</div>"
    return f"{top}<div class=body role=main><h1>{w.main(2)}</h1>{sections}</div>{side}{_footer(w)}"


def form(w: Words) -> str:
    fields = f"<select><option>{w.main(1)}<option>{w.main(1)}</select><input value='{w.main(2)}'>"
    return f"<form>{_header(w)}<div><h1>{w.main(3)}</h1>{w.text(3)}{fields}</div>{_footer(w)}</form>"


def link_list(w: Words) -> str:
    lists = "".join(f"<h2>{w.main(2)}</h2>{w.links(8, main=True)}" for _ in range(4))
    return f"{_header(w)}<main><h1>{w.main(2)}</h1>{lists}</main>{_footer(w)}"


def landing(w: Words) -> str:
    cards = "".join(f"<div><a href=/c><h3>{w.main(3)}</h3><p>{w.main(9)}</p></a></div>" for _ in range(6))
    hero = f"<header><h1>{w.main(5)}</h1><p>{w.main(14)}.</p><a href=/start>{w.main(2)}</a></header>"
    return f"<nav>{w.links(6)}</nav>{hero}<section>{cards}</section>{_footer(w)}"


def wiki(w: Words) -> str:
    text = "".join(f"<p>{w.main(10)} <a href=/w>{w.main(2)}</a> {w.main(10)}.</p>" for _ in range(6))
    see = f"<h2>{w.main(2)}</h2>{w.links(5, main=True)}"
    return f"<div>{w.links(12)}</div><div><h1>{w.main(2)}</h1>{text}{see}</div>{_footer(w)}"


def recipe(w: Words) -> str:
    parts = "".join(f"<li>{w.main(3)}</li>" for _ in range(8))
    steps = "".join(f"<li>{w.main(14)}.</li>" for _ in range(5))
    title = f"<h1>{w.main(3)}</h1><p>{w.main(9)}.</p>"
    return f"{_header(w)}<main>{title}<ul>{parts}</ul><ol>{steps}</ol></main>{_footer(w)}"


# -- the readers -------------------------------------------------------------------------------


def readers() -> dict[str, Reader]:
    from vecver.pipeline.parsers.web.html import html_content

    found: dict[str, Reader] = {"vecver": lambda page: html_content(page).text, "before": _before}
    try:
        import trafilatura

        found["trafilatura"] = lambda page: trafilatura.extract(page, output_format="markdown") or ""
    except ImportError:
        print("trafilatura is not installed", file=sys.stderr)
    try:
        import readability

        found["readability"] = lambda page: _before(readability.Document(page).summary())
    except ImportError:
        print("readability-lxml is not installed", file=sys.stderr)
    return found


def _before(page: str) -> str:
    from html_to_markdown import ConversionOptions, PreprocessingOptions, convert

    cleaning = PreprocessingOptions(preset="aggressive")
    options = ConversionOptions(extract_metadata=False, skip_images=True, compact_tables=True, preprocessing=cleaning)
    return convert(page, options).content or ""


# -- the table ---------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=Path, nargs="*", default=[], help="HTML files to read as well")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="one reader, to see its peak memory")
    options = parser.parse_args(arguments)
    asked = {name: reader for name, reader in readers().items() if options.only in (None, name)}
    print(f"{'page':32}" + "".join(f"{name + ': main furn ms':>28}" for name in asked))
    made = made_pages()
    sums = {name: [_row(reader, page, options.rounds) for page in made.values()] for name, reader in asked.items()}
    for i, page in enumerate(made):
        print(f"{page:32}" + "".join(_cell(rows[i]) for rows in sums.values()))
    means = {name: [sum(column) / len(rows) for column in zip(*rows, strict=True)] for name, rows in sums.items()}
    print(f"{'mean of the made pages':32}" + "".join(_cell(row) for row in means.values()))
    _print_real(asked, options.pages, options.rounds)
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def _row(reader: Reader, page: str, rounds: int) -> list[float]:
    """Share of main words kept, share of furniture kept, milliseconds."""
    text, ms = _timed(reader, page, rounds)
    kept, held = set(_MADE.findall(text)), set(_MADE.findall(page))
    shares = []
    for kind in ("main", "furn"):
        words = {word for word in held if word.startswith(kind)}
        shares.append(len(words & kept) / len(words))
    return [*shares, ms]


def _cell(row: Sequence[float]) -> str:
    return f"{row[0]:>16.0%}{row[1]:>6.0%}{row[2]:>6.2f}"


def _timed(reader: Reader, page: str, rounds: int) -> tuple[str, float]:
    best, text = float("inf"), ""
    for _ in range(rounds):
        since = process_time()
        text = reader(page)
        best = min(best, process_time() - since)
    return text, best * 1e3


def _print_real(asked: dict[str, Reader], paths: Sequence[Path], rounds: int) -> None:
    from vecver.pipeline.parsers.detection.encodings import decode

    totals = dict.fromkeys(asked, 0.0)
    for path in paths:
        page, cells = decode(path.read_bytes()) or "", ""
        for name, reader in asked.items():
            text, ms = _timed(reader, page, rounds)
            totals[name] += ms
            cells += f"{len(_WORD.findall(text)):>14,} words{ms:>8.2f}"
        print(f"{path.name[:31]:32}{cells}")
    if paths:
        print(f"{'all real pages, ms':32}" + "".join(f"{ms:>28.1f}" for ms in totals.values()))


if __name__ == "__main__":
    main()
