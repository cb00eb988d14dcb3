"""PDF: every word of a page is in the text, counted as a running line, or named by a note."""

from __future__ import annotations

import io
import random
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vecver.model import Parsed
from vecver.pipeline.parsers.parse import Unreadable, parse
from vecver.pipeline.parsers.pdf.layout import Break, whole
from vecver.pipeline.parsers.pdf.pages import damaged

pytest.importorskip("liteparse", reason="vecver[documents] is not installed")
if TYPE_CHECKING:
    from reportlab.pdfgen import canvas
else:
    canvas = pytest.importorskip("reportlab.pdfgen.canvas", reason="vecver[test] is not installed")

WIDTH, HEIGHT = 595.0, 842.0
WORDS = [
    "pump",
    "valve",
    "water",
    "pressure",
    "engine",
    "seal",
    "iron",
    "winter",
    "before",
    "because",
    "holds",
    "rises",
    "runs",
    "hot",
    "cold",
    "flow",
    "must",
    "when",
]
Draw = Callable[["canvas.Canvas"], object]


def pdf(*pages: Draw, **options: object) -> bytes:
    out = io.BytesIO()
    page = canvas.Canvas(out, pagesize=(WIDTH, HEIGHT), **options)
    for draw in pages:
        draw(page)
        page.showPage()
    page.save()
    return out.getvalue()


def lines(texts: Sequence[str], x: float = 72, y: float = 740, size: float = 10, lead: float = 14) -> Draw:
    def draw(page: canvas.Canvas) -> None:
        page.setFont("Helvetica", size)
        for n, text in enumerate(texts):
            page.drawString(x, y - n * lead, text)

    return draw


def rows(table: Sequence[Sequence[str]], y: float = 600, columns: Sequence[float] = (72, 200, 300, 420)) -> Draw:
    def draw(page: canvas.Canvas) -> None:
        page.setFont("Helvetica", 10)
        for n, row in enumerate(table):
            for x, cell in zip(columns, row, strict=False):
                page.drawString(x, y - 16 * n, cell)

    return draw


def turned(degrees: float, draw: Draw, x: float = 300, y: float = 400) -> Draw:
    def draw_turned(page: canvas.Canvas) -> None:
        page.saveState()
        page.translate(x, y)
        page.rotate(degrees)
        draw(page)
        page.restoreState()

    return draw_turned


def together(*draws: Draw) -> Draw:
    def draw_all(page: canvas.Canvas) -> None:
        for draw in draws:
            draw(page)

    return draw_all


def image(page: canvas.Canvas) -> None:
    from PIL import Image
    from reportlab.lib.utils import ImageReader

    page.drawImage(ImageReader(Image.new("L", (40, 60), 128)), 0, 0, WIDTH, HEIGHT)


def prose(seed: int, sentences: int = 12) -> list[str]:
    """Lines of 70 characters."""
    pick = random.Random(seed)
    made = (" ".join(pick.choice(WORDS) for _ in range(10)).capitalize() + "." for _ in range(sentences))
    return textwrap.wrap(" ".join(made), 70)


def read(data: bytes) -> Parsed:
    return parse(data, "a.pdf")


def flat(text: str) -> str:
    return " ".join(text.split())


def failure(data: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        read(data)
    return caught.value.code


# -- running lines -----------------------------------------------------------------------------


def test_lines_repeated_on_most_pages_are_kept_once_and_counted_as_furniture() -> None:
    pages = [
        together(lines(["The manual of pumps"], y=810), lines(prose(n)), lines([f"Page {n + 1} of 6"], x=280, y=30))
        for n in range(6)
    ]
    parsed = read(pdf(*pages))
    assert parsed.text.count("The manual of pumps") == 1
    assert "Page 3 of 6" not in parsed.text
    assert parsed.coverage is not None and parsed.coverage.furniture == 5 * 4 + 6 * 4
    assert parsed.coverage.share == 1.0 and not parsed.coverage.notes


@pytest.mark.parametrize(
    "edge",
    ["Invoice {0}", "Step {0}", "Total due {0}.50 EUR", "12 March 2024", "Balance 512.00", "Chapter {0}",
     "ISO 9001", "Table {0}: valves", "{0} March 2024"],
)  # fmt: skip
@pytest.mark.parametrize("y", [800, 40])
def test_a_line_with_a_changing_number_stays_on_every_page(edge: str, y: float) -> None:
    pages = [together(lines([edge.format(n + 1)], y=y), lines(prose(n))) for n in range(7)]
    text = flat(read(pdf(*pages)).text)
    for n in range(7):
        assert text.count(edge.format(n + 1)) >= (7 if "{0}" not in edge else 1)


def test_rows_at_the_ends_of_pages_stay() -> None:
    pages = [rows([[f"part {n}-{m}", "in stock", f"{m}.50"] for m in range(46)], y=800) for n in range(6)]
    text = read(pdf(*pages)).text
    for n in range(6):
        for m in (0, 1, 44, 45):
            assert any(
                all(cell in line for cell in (f"part {n}-{m} ", "in stock", f" {m}.50")) for line in text.splitlines()
            )


def test_bare_numbers_are_removed_only_if_they_are_page_numbers() -> None:
    counted = [together(lines(prose(n)), lines([str(n + 5)], x=290, y=30)) for n in range(6)]
    amounts = [together(lines(prose(n)), lines([str(7 * n + 100)], x=290, y=30)) for n in range(6)]
    assert not re.search(r"\d", read(pdf(*counted)).text)
    assert all(str(7 * n + 100) in read(pdf(*amounts)).text for n in range(6))


def test_a_running_header_is_no_title() -> None:
    def header(page: canvas.Canvas) -> None:
        page.setFont("Helvetica-Bold", 20)
        page.drawString(72, 800, "ACME")

    pages = [
        together(header, lines([f"On the seals, part {n}"], y=740, size=16), lines(prose(n), y=700)) for n in range(6)
    ]
    assert read(pdf(*pages)).title != "ACME"


# -- turned text -------------------------------------------------------------------------------

TURNED = ["First line of the other page MANGO", "Second line gamma omega", "Third line ends the flow"]


@pytest.mark.parametrize("degrees", [90, 180, 270, 45, 30, 300])
@pytest.mark.parametrize("upright", [True, False], ids=["beside", "alone"])
def test_turned_lines_are_read_in_their_order(degrees: float, upright: bool) -> None:
    draw = turned(degrees, lines(TURNED, x=-150, y=20))
    text = flat(read(pdf(together(draw, lines(prose(1)[:4])) if upright else draw)).text)
    assert " ".join(TURNED) in text
    assert not upright or flat(" ".join(prose(1)[:4])) in text


@pytest.mark.parametrize("rotate", [90, 180, 270])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_pages_that_are_turned_are_read_in_their_order(rotate: int, degrees: float) -> None:
    def draw(page: canvas.Canvas) -> None:
        page.setPageRotation(rotate)
        table = rows([["Item", "Price"], ["valve", "17.50"], ["seal", "4.20"]], 10, (-150, 20))
        turned(degrees, together(lines(TURNED, x=-150, y=60), table))(page)

    text = read(pdf(lines(prose(1)), draw, lines(prose(2)))).text
    assert " ".join(TURNED) in flat(text)
    assert any("valve" in line and "17.50" in line for line in text.splitlines())


def test_a_stamp_and_a_margin_line_are_kept() -> None:
    page = together(
        lines(prose(3)),
        turned(90, lines(["arXiv:2401.00234v1 [cs.LG] 12 Jan 2024"], x=0, y=0), 30, 300),
        turned(20, lines(["RECEIVED 14 MAR 2024"], x=0, y=0, size=14), 350, 100),
    )
    parsed = read(pdf(page))
    assert "arXiv:2401.00234v1 [cs.LG] 12 Jan 2024" in parsed.text and "RECEIVED 14 MAR 2024" in parsed.text
    assert parsed.coverage is not None and parsed.coverage.share == 1.0


# -- tables and columns ------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("width", [2, 3, 4])
@pytest.mark.parametrize("beside", [(), ("above",), ("below",), ("above", "below")])
def test_a_short_table_keeps_its_rows(count: int, width: int, beside: tuple[str, ...]) -> None:
    table = [
        ["Item", "Qty", "Price", "State"][:width],
        *([f"part {n}", f"{n}", f"{n}.50", "in stock"][:width] for n in range(1, count)),
    ]
    draws = [rows(table)]
    draws += [lines(prose(4), y=780)] if "above" in beside else []
    draws += [lines(prose(5), y=500)] if "below" in beside else []
    parsed = read(pdf(together(*draws)))
    for row in table:
        assert any(re.search(r"\W+".join(map(re.escape, row)), line) for line in parsed.text.splitlines()), parsed.text


@pytest.mark.parametrize(
    "table",
    [
        [("Item", "Qty", "Price"), ("bolt", "3", "1.50"), ("nut", "12", "2.50"), ("washer", "144", "13.75")],
        [("2024-01-03", "Opening", "1,200.00"), ("2024-01-05", "Shop", "1,180.00"), ("2024-01-09", "Pay", "4,180.00")],
    ],
)
def test_prose_close_to_a_table_becomes_no_cell(table: list[tuple[str, ...]]) -> None:
    def cells(page: canvas.Canvas) -> None:
        for n, (name, *numbers) in enumerate(table):
            page.drawString(72, 600 - 14 * n, name)
            for x, number in zip((232, 332), numbers, strict=True):
                page.drawRightString(x, 600 - 14 * n, number)

    above, below = prose(4)[:4], prose(5)[:4]
    draws = lines(above, y=600 + 14 * 4), cells, lines(below, y=600 - 14 * len(table))
    text = read(pdf(together(*draws))).text
    assert all(f"| {' | '.join(row)} |" in text for row in table), text
    assert " ".join(below) in flat(text)


@pytest.mark.parametrize("x", [270, 40])
def test_a_table_beside_a_paragraph_keeps_its_rows(x: int) -> None:
    table = [("Item", "Qty", "Price"), ("bolt", "3", "1.50"), ("nut", "12", "2.50"), ("washer", "144", "13.75")]
    text = textwrap.wrap(" ".join(prose(8)), 34)[:12]
    draws = rows(table, y=580, columns=(x, x + 84, x + 154)), lines(text, x=310 - x, y=620, lead=12.5)
    parsed = read(pdf(together(*draws)))
    assert all(f"| {' | '.join(row)} |" in parsed.text for row in table), parsed.text
    assert is_all_of(text, parsed.text)


def is_all_of(texts: Sequence[str], text: str) -> bool:
    return not set(" ".join(texts).split()) - set(text.split())


def test_a_long_comment_stays_beside_its_name() -> None:
    table = [["Name", "Comment"], ["valve", "This has to be replaced before the winter begins"],
             ["seal", "It is worn out and leaks a lot of water"]]  # fmt: skip
    text = read(pdf(together(lines(prose(1)[:3], y=780), rows(table), lines(prose(2)[:3], y=520)))).text
    assert all(f"| {name} | {comment} |" in text for name, comment in table)


def test_columns_are_read_in_order_and_sentences_continue_across_them() -> None:
    left = ["The model uses high-", "dimensional vectors and the informa-", "tion of winter rises when the pumps are",
            "running hot and all of the water flows"]  # fmt: skip
    right = ["through the pipes that lead to the upper", "floors. The seals must hold because iron",
             "rusts and the transfor-", "mation of cold water into heat is slow."]  # fmt: skip
    text = flat(read(pdf(together(lines(left), lines(right, x=320)))).text)
    assert "uses high-dimensional vectors and the information of winter" in text
    assert "all of the water flows through the pipes that lead" in text
    assert "the transformation of cold water" in text


def test_a_broken_word_loses_its_hyphen_only_on_evidence() -> None:
    from collections import Counter

    def joined(first: str, second: str, *seen: str) -> str:
        return whole(Break(0, 1, first, second), Counter(seen))

    assert joined("high", "dimensional") == "high-dimensional"
    assert joined("high", "dimensional", "highdimensional") == "highdimensional"
    assert joined("wind", "mill", "windmill") == "windmill"
    assert joined("informa", "tion") == "information"
    assert joined("co", "operation", "co-operation", "cooperation") == "co-operation"
    assert joined("state-of", "the-art") == "state-of-the-art"


# -- pages without text, and broken files ------------------------------------------------------


def test_pages_without_text_are_named_and_blank_ones_are_not() -> None:
    text = lines(prose(6))
    parsed = read(pdf(text, image, lambda page: None, text, image, image, image, text))
    assert parsed.coverage is not None
    assert parsed.coverage.notes == (
        "Pages 2 and 5-7 hold no text, perhaps only images: run OCR on the file to have them (ocrmypdf does).",
    )
    assert [mark.value for mark in parsed.marks] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert read(pdf(text, lambda page: None, text)).coverage.notes == ()  # type: ignore[union-attr]


def test_a_stamped_scan_is_still_reported_as_a_scan() -> None:
    stamp = lines(["Received 3 May 2024, page 17"], x=400, y=30, size=6)
    parsed = read(pdf(lines(prose(6)), together(image, stamp), lines(["Chapter 2"])))
    assert parsed.coverage is not None
    assert parsed.coverage.notes == (
        "Page 2 holds few words over an image of the whole page: "
        "if it is a scan, run OCR on the file to have its text (ocrmypdf --force-ocr does).",
    )
    assert "Received 3 May 2024, page 17" in parsed.text


def test_a_scanned_document_needs_ocr() -> None:
    assert failure(pdf(image, image)) == "needs_ocr"


def test_a_broken_file_is_malformed_whatever_is_broken() -> None:
    whole_file = pdf(lines(prose(7)), lines(prose(8)))
    assert failure(b"%PDF-1.4\n" + random.Random(1).randbytes(3000)) == "malformed"
    assert failure(whole_file[: len(whole_file) // 8]) == "malformed"
    for cut in range(200, len(whole_file), 97):
        data = whole_file[:cut]
        try:
            assert read(data).coverage.notes, cut  # type: ignore[union-attr]
        except Unreadable as error:
            assert error.code == "malformed", (cut, error.reason)


def test_damaged_and_blank_pages_are_distinguished() -> None:
    data = bytearray(pdf(lines(prose(7)), pageCompression=1))
    start = data.index(b"stream") + 8
    data[start : start + 40] = b"\0" * 40
    assert damaged(bytes(data)) and failure(bytes(data)) == "malformed"
    assert not damaged(pdf(lines(prose(7)), lambda page: None, pageCompression=1))
    assert not damaged(pdf(lines(prose(7)), lambda page: None, pageCompression=0))


def test_marks_say_where_each_page_begins() -> None:
    parsed = read(pdf(lines(["Alpha page"]), lines(["Beta page"]), lines(["Gamma page"])))
    assert [parsed.text[mark.start :].split()[0] for mark in parsed.marks] == ["Alpha", "Beta", "Gamma"]


# -- random documents --------------------------------------------------------------------------

PARTS = ["prose", "table", "heading", "turned", "columns", "stamp"]
PLANS = st.lists(st.lists(st.sampled_from(PARTS), min_size=1, max_size=3, unique=True), min_size=1, max_size=12)


def drawn(plan: Sequence[str], seed: int, *, header: str, rotate: int, written: list[str]) -> Draw:
    pick = random.Random(seed)

    def some(count: int) -> list[str]:
        words = [
            "".join(pick.choice("abcdefghijklmnoprstuvw") for _ in range(pick.randint(3, 9))) for _ in range(count)
        ]
        written.extend(words)
        return words

    def draw(page: canvas.Canvas) -> None:
        page.setPageRotation(rotate)
        if header:
            lines([header], y=815, size=9)(page)
            written.extend(header.split())
        y = 780
        for part in plan:
            if part == "heading":
                lines([" ".join(some(3))], y=y, size=18)(page)
            elif part == "table":
                rows([[some(1)[0] for _ in range(3)] for _ in range(pick.randint(2, 5))], y)(page)
            elif part == "columns":
                for x in (72, 320):
                    lines([" ".join(some(4)) for _ in range(8)], x=x, y=y, size=9)(page)
            elif part == "prose":
                lines([" ".join(some(9)) for _ in range(6)], y=y)(page)
            else:
                degrees = pick.choice([90, 180, 270] if part == "turned" else [30, 45])
                turned(degrees, lines([" ".join(some(4)) for _ in range(3)], x=0, y=0), 300, y - 100)(page)
            y -= 240

    return draw


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(PLANS, st.integers(0, 1000), st.sampled_from(["", "Manual of pumps"]))
def test_every_word_that_was_written_is_read_or_reported(plans: list[list[str]], seed: int, header: str) -> None:
    pages: list[list[str]] = [[] for _ in plans]
    draws = [
        drawn(plan, seed + n, header=header, rotate=0, written=written)
        for n, (plan, written) in enumerate(zip(plans, pages, strict=True))
    ]
    parsed = read(pdf(*draws))
    coverage = parsed.coverage
    assert coverage is not None
    held = set(re.findall(r"\w+", parsed.text))
    lost = [word for written in pages for word in written if word not in held]
    assert not lost or coverage.notes, lost
    assert coverage.seen >= sum(map(len, pages)) * 0.98
