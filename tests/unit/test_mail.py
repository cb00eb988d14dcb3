"""Every part of a mail that carries text is read, what is not read is named, and what is sealed fails."""

from __future__ import annotations

from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecver.model import Parsed
from vecver.pipeline.parsers.parse import Unreadable, parse


def read(raw: str | bytes, name: str = "m.eml") -> Parsed:
    return parse(raw.encode() if isinstance(raw, str) else raw, name)


def parted(kind: str, *parts: tuple[str, str]) -> str:
    head = f"Subject: Notice\nMIME-Version: 1.0\nContent-Type: multipart/{kind}; boundary=BB\n\n"
    return head + "".join(f"--BB\nContent-Type: {mime}\n\n{text}\n" for mime, text in parts) + "--BB--\n"


HTML = ("text/html", "<p>Close the valve PLUM before noon, please, and wait.</p>")


@pytest.mark.parametrize("stub", ["", "  \n", "This is an HTML message", "Your client does not support HTML."])
def test_a_blank_or_stub_alternative_is_not_the_body(stub: str) -> None:
    text = read(parted("alternative", ("text/plain", stub), HTML)).text
    assert "Close the valve PLUM" in text
    assert not stub.strip() or stub not in text


def test_alternatives_are_read_once_and_the_plain_one_is_preferred() -> None:
    text = read(parted("alternative", ("text/plain", "Close the valve PLUM before noon, please, and wait."), HTML)).text
    assert text.count("PLUM") == 1
    invitation = "BEGIN:VEVENT\nSUMMARY:Drill\nLOCATION:Room\n  4\nATTENDEE;CN=Ann:mailto:a@x\nEND:VEVENT"
    text = read(parted("alternative", ("text/plain", "See you."), ("text/calendar", invitation))).text
    assert "See you." in text and "Summary: Drill\nLocation: Room 4\nAttendee: Ann, mailto:a@x" in text


def test_all_text_parts_of_a_mixed_mail_are_read_in_order() -> None:
    picture = ('image/png; name="x.png"', "x")
    parsed = read(parted("mixed", ("text/plain", "Intro."), picture, HTML, ("text/plain; name=n.txt", "After FIG.")))
    text = parsed.text
    assert text.index("Intro.") < text.index("PLUM") < text.index("FIG")
    assert "Attachments: x.png" in text
    assert parsed.coverage and any("'x.png' (image/png, 1 bytes)" in note for note in parsed.coverage.notes)


def test_a_calendar_alone() -> None:
    text = read("MIME-Version: 1.0\nContent-Type: text/calendar\n\nBEGIN:VEVENT\nSUMMARY:Drill PLUM\nEND:VEVENT\n").text
    assert "Summary: Drill PLUM" in text


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("Subject: s\nContent-Type: application/pkcs7-mime; smime-type=signed-data\n\nMIIB", "unsupported"),
        ("Subject: s\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\n\nMIIB", "encrypted"),
        (parted("encrypted", ("application/pgp-encrypted", "Version: 1")), "encrypted"),
        ("Subject: s\n\n-----BEGIN PGP MESSAGE-----\n\nhQEM\n-----END PGP MESSAGE-----\n", "encrypted"),
    ],
)
def test_sealed_mail_fails_and_says_what_to_do(raw: str, code: str) -> None:
    with pytest.raises(Unreadable, match="ingest that") as caught:
        read(raw)
    assert caught.value.code == code


def test_a_clear_signature_is_read() -> None:
    assert "PLUM" in read(parted("signed", HTML, ("application/pkcs7-signature; name=smime.p7s", "MIIB"))).text


def test_a_flowed_text_is_joined() -> None:
    raw = "Content-Type: text/plain; format=flowed\n\nClose the \nvalve.\n-- \nAnn"
    assert read(raw).text == "Close the valve.\n--\u0020\nAnn\n"


def test_a_mailbox_is_parted_at_its_from_lines_only() -> None:
    line = "From a@example.com Mon Jan  1 00:00:00 2024\n"
    body = "First.\nFrom Monday on PLUM.\n\nFrom here to there FIG.\n>From the start.\n\n"
    parsed = read(f"{line}Subject: One\n\n{body}{line}Subject: Two\n\nSecond.\n".replace("\n", "\r\n"), "m.mbox")
    assert [row for row in parsed.text.split("\n") if row.startswith("#")] == ["# One", "# Two"]
    assert all(
        words in parsed.text for words in ("From Monday on PLUM.", "From here to there FIG.", "\nFrom the start.")
    )


WORDS = st.lists(st.integers(0, 10**9).map(lambda n: f"w{n}x"), min_size=1, max_size=8).map(" ".join)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(WORDS, st.lists(st.tuples(st.sampled_from(["plain", "html", "file", "message"]), WORDS), max_size=5))
def test_every_word_of_a_random_mail_is_read_or_named(first: str, rest: list[tuple[str, str]]) -> None:
    message = EmailMessage()
    message["Subject"] = "s"
    message.set_content(first)
    for kind, text in rest:
        if kind == "message":
            inner = EmailMessage()
            inner.set_content(text)
            message.add_attachment(inner)
        elif kind == "file":
            message.add_attachment(text.encode(), maintype="application", subtype="zip", filename=f"{text[:5]}.zip")
        else:
            message.add_attachment(text, subtype=kind, disposition="inline")
    parsed = read(message.as_bytes())
    held = parsed.text + " ".join(parsed.coverage.notes if parsed.coverage else ())
    wanted = [first, *(text if kind != "file" else f"{text[:5]}.zip" for kind, text in rest)]
    assert [word for text in wanted for word in text.split() if word not in held] == []
