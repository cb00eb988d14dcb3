"""Measures the CPU time and memory of reading a document, format by format, here and in older states of the project.

    git worktree add --detach /tmp/base 8b1707f    # before documents were read whole (issue 13)
    python benchmarks/parsing.py --tree /tmp/base [--tree ...] [--only docx]

The documents are made here, with the libraries that the tests write with. Each is read in a separate process for each
state. Milliseconds are CPU time, the best of `--rounds`; memory is the growth of the process's peak while it was read.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tables import head, row

HERE = Path(__file__).parents[1]
READ = """
import resource, sys, time
from importlib import import_module
try:
    parse = import_module("vecver.pipeline.parsers.parse").parse
except ImportError:
    parse = import_module("vecver.pipeline.parsers").parse
small, name, rounds = open(sys.argv[1], "rb").read(), sys.argv[2], int(sys.argv[4])
data = open(sys.argv[3], "rb").read()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
parse(small, name)
before, spent, since = peak(), [], time.process_time()
while len(spent) < rounds or time.process_time() - since < 0.3:
    start = time.process_time()
    parse(data, name)
    spent.append(time.process_time() - start)
print(min(spent) * 1000, (peak() - before) / 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--tree", action="append", default=[], help="another state of the project; ratios are to the first"
    )
    parser.add_argument("--only", default="", help="formats whose name holds this")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    trees = [*map(Path, options.tree), HERE]
    names = [tree.name for tree in trees]
    columns = ["document", "kB", *(f"{n} ms" for n in names), "ratio", *(f"{n} MB" for n in names)]
    print(head(columns), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for title, make in DOCUMENTS.items():
            if options.only in title:
                print(_row(title, make, trees, Path(folder), options.rounds), flush=True)


def _row(title: str, make: Callable[[int], bytes], trees: list[Path], folder: Path, rounds: int) -> str:
    name = f"document.{title.split()[0]}"
    count = 3 if "small" in title else 400
    data = make(count)
    for path, content in (("small", make(2)), ("large", data)):
        (folder / path).write_bytes(content)
    figures = [_measured(tree, folder, name, rounds) for tree in trees]
    first, last = figures[0][0], figures[-1][0]
    cells = [title, f"{len(data) / 1000:,.0f}", *(f"{ms:,.2f}" for ms, _ in figures), f"{last / first:.2f}"]
    return row([*cells, *(f"{mb:,.1f}" for _, mb in figures)])


def _measured(tree: Path, folder: Path, name: str, rounds: int) -> tuple[float, float]:
    """Milliseconds of CPU time and megabytes; not a number where this state cannot read the document."""
    command = [sys.executable, "-c", READ, str(folder / "small"), name, str(folder / "large"), str(rounds)]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    if done.returncode:
        return float("nan"), float("nan")
    ms, mb = map(float, done.stdout.split())
    return ms, mb


# -- the documents --------------------------------------------------------------------------------


def words(number: int, count: int = 40) -> str:
    """A paragraph of its own, the same on every machine."""
    return " ".join(f"w{(number * 7919 + n * 104729) % 5000}" for n in range(count)) + "."


def sections(count: int) -> Iterator[tuple[str, str]]:
    for number in range(count):
        yield f"Section {number}", words(number)


def lines(template: str) -> Callable[[int], bytes]:
    return lambda count: "".join(template.format(title, text) for title, text in sections(count)).encode()


def cyrillic(count: int) -> bytes:
    letters = str.maketrans("w0123456789.", "\u043f\u0430\u0431\u0432\u0433\u0434\u0435\u0436\u0437\u0438\u043a.")
    return "\n\n".join(words(n).translate(letters) for n in range(count)).encode("cp1251")


def page(count: int) -> bytes:
    menu = "".join(f"<li><a href='/p{n}'>Page {n}</a></li>" for n in range(30))
    body = "".join(
        f"<h2 id='s{n}'>{title}</h2><p>{text} <b>bold</b> and <a href='#s{n}'>a link</a> <code>x = {n}</code>.</p>"
        for n, (title, text) in enumerate(sections(count))
    )
    return (
        f"<!DOCTYPE html><html lang=en><head><title>T</title></head><body><nav><ul>{menu}</ul></nav>"
        f"<main>{body}</main><footer>Imprint</footer></body></html>"
    ).encode()


def saved(document: Any) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def word(count: int) -> bytes:
    import docx

    document = docx.Document()
    for number, (title, text) in enumerate(sections(count)):
        document.add_heading(title, 2)
        document.add_paragraph(text)
        if number % 20 == 0:
            table = document.add_table(rows=4, cols=3)
            for cell_number, cell in enumerate(cell for row in table.rows for cell in row.cells):
                cell.text = f"cell {number} {cell_number}"
    return saved(document)


def workbook(count: int) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    sheet: Any = book.active
    for number, (title, text) in enumerate(sections(count)):
        sheet.append([title, number, number / 7, *text.split()[:8]])
    return saved(book)


def slides(count: int) -> bytes:
    import pptx

    deck = pptx.Presentation()
    for title, text in sections(count // 4 or 1):
        slide: Any = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text_frame.text = title, text
    return saved(deck)


def open_document(count: int) -> bytes:
    from odf.opendocument import OpenDocumentText
    from odf.text import H, P

    document = OpenDocumentText()
    for title, text in sections(count):
        document.text.addElement(H(outlinelevel=2, text=title))
        document.text.addElement(P(text=text))
    return saved(document)


def book(count: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        container = '<container><rootfiles><rootfile full-path="c.opf"/></rootfiles></container>'
        archive.writestr("META-INF/container.xml", container)
        items = "".join(f'<item id="i{n}" href="{n}.xhtml" media-type="application/xhtml+xml"/>' for n in range(4))
        spine = "".join(f'<itemref idref="i{n}"/>' for n in range(4))
        archive.writestr("c.opf", f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>")
        parts = list(sections(count))
        for n in range(4):
            body = "".join(f"<h2>{title}</h2><p>{text}</p>" for title, text in parts[n::4])
            archive.writestr(f"{n}.xhtml", f"<html><head><title>{n}</title></head><body>{body}</body></html>")
    return buffer.getvalue()


def pdf(count: int) -> bytes:
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import Paragraph, SimpleDocTemplate

    buffer, styles = io.BytesIO(), getSampleStyleSheet()
    paragraphs = [
        Paragraph(text, styles[style])
        for section in sections(count // 4 or 1)
        for text, style in zip(section, ("Heading2", "BodyText"), strict=True)
    ]
    SimpleDocTemplate(buffer, invariant=True).build(paragraphs)
    return buffer.getvalue()


def mail(body: bytes, kind: str) -> bytes:
    from email.message import EmailMessage

    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Eva <eva@x.org>", "bob@x.org", "Report"
    message["Date"] = "Sun, 1 Mar 2026 10:00:00 +0000"
    message.set_content(body.decode(), subtype=kind)
    return message.as_bytes()


def mailbox(count: int) -> bytes:
    separator = b"From x@x.org Sun Mar  1 10:00:00 2026\n"
    mails = (mail(words(n).encode(), "plain").replace(b"Report", b"Report %d" % n) for n in range(count))
    return b"".join(separator + message + b"\n" for message in mails)


def notebook(count: int) -> bytes:
    cells = [
        {"cell_type": kind, "source": [text]}
        for section in sections(count)
        for kind, text in zip(("markdown", "code"), section, strict=True)
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}).encode()


def values(count: int) -> list[dict[str, Any]]:
    return [{"id": n, "title": title, "text": text, "price": n / 7} for n, (title, text) in enumerate(sections(count))]


DOCUMENTS: dict[str, Callable[[int], bytes]] = {
    "md": lines("## {}\n\n{}\n\n"),
    "md small": lines("## {}\n\n{}\n\n"),
    "md small, front matter": lambda n: (
        b"---\ntitle: T\nauthor: Eva\ntags: [a, b]\ndate: 2026-03-01\n---\n" + lines("## {}\n\n{}\n\n")(n)
    ),
    "txt": lines("{}\n\n{}\n\n"),
    "txt cp1251": cyrillic,
    "py": lines("def f():  # {}\n    return '{}'\n\n"),
    "html": page,
    "html small": page,
    "xml": lambda n: b"<doc>" + lines("<section><title>{}</title><p>{}</p></section>")(n) + b"</doc>",
    "rst": lines("{}\n-----------\n\n{}\n\n"),
    "adoc": lines("== {}\n\n{}\n\n"),
    "org": lines("* {}\n\n{}\n\n"),
    "tex": lines("\\section{{{}}}\n\n{}\n\n"),
    "csv": lambda n: b"title,text\n" + lines("{},{}\n")(n),
    "json": lambda n: json.dumps(values(n)).encode(),
    "jsonl": lambda n: "".join(json.dumps(value) + "\n" for value in values(n)).encode(),
    "ipynb": notebook,
    "eml": lambda n: mail(lines("{}\n\n{}\n\n")(n), "plain"),
    "eml small": lambda n: mail(lines("{}\n\n{}\n\n")(n), "plain"),
    "eml html": lambda n: mail(page(n), "html"),
    "mbox": mailbox,
    "docx": word,
    "docx small": word,
    "xlsx": workbook,
    "pptx": slides,
    "odt": open_document,
    "odt small": open_document,
    "epub": book,
    "rtf": lambda n: b"{\\rtf1\\ansi " + lines("{{\\b {}\\par}}\n{}\\par\n")(n) + b"}",
    "pdf": pdf,
    "pdf small": pdf,
}


if __name__ == "__main__":
    main()
