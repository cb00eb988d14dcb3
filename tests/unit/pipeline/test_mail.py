"""Every text part of a mail is read, unread parts are named, and encrypted mail fails."""

from __future__ import annotations

from email.message import EmailMessage
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecver.model import Parsed
from vecver.pipeline.parsers.mail import messages
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
def test_encrypted_mail_fails_with_advice(raw: str, code: str) -> None:
    with pytest.raises(Unreadable, match="ingest that") as caught:
        read(raw)
    assert caught.value.code == code


def test_a_clear_signature_is_read() -> None:
    assert "PLUM" in read(parted("signed", HTML, ("application/pkcs7-signature; name=smime.p7s", "MIIB"))).text


def test_a_flowed_text_is_joined() -> None:
    raw = "Content-Type: text/plain; format=flowed\n\nClose the \nvalve.\n-- \nAnn"
    assert read(raw).text == "Close the valve.\n--\u0020\nAnn\n"


def test_a_mailbox_is_split_only_at_real_from_lines() -> None:
    line = "From a@example.com Mon Jan  1 00:00:00 2024\n"
    body = "First.\nFrom Monday on PLUM.\n\nFrom here to there FIG.\n>From the start.\n\n"
    parsed = read(f"{line}Subject: One\n\n{body}{line}Subject: Two\n\nSecond.\n".replace("\n", "\r\n"), "m.mbox")
    assert [row for row in parsed.text.split("\n") if row.startswith("#")] == ["# One", "# Two"]
    assert all(
        words in parsed.text for words in ("From Monday on PLUM.", "From here to there FIG.", "\nFrom the start.")
    )


def attachment(kind: str, name: str, text: str) -> str:
    return f'--BB\nContent-Type: {kind}\nContent-Disposition: attachment; filename="{name}"\n\n{text}\n'


@pytest.mark.parametrize(
    ("kind", "name", "text", "expected"),
    [
        ("text/plain", "n.txt", "Close PLUM.", "**n.txt**\n\nClose PLUM."),
        ("text/csv", "n.csv", "a,b\n1,PLUM", "**n.csv**\n\n| a | b |\n| --- | --- |\n| 1 | PLUM |"),
        ("text/markdown", "n.md", "# One\n\nPLUM", "**n.md**\n\n# One\n\nPLUM"),
        ("text/html", "n.html", "<p>Close <b>PLUM</b></p>", "**n.html**\n\nClose **PLUM**"),
        ("application/octet-stream", "n.log", "a PLUM", "**n.log**\n\na PLUM"),
        ("application/octet-stream", "n.csv", "a;b\n1;PLUM", "| 1 | PLUM |"),
    ],
)
def test_an_attachment_that_is_text_is_read_under_its_name(kind: str, name: str, text: str, expected: str) -> None:
    raw = parted("mixed", ("text/plain", "Intro.")).replace("--BB--", attachment(kind, name, text) + "--BB--")
    parsed = read(raw)
    assert expected in parsed.text and f"Attachments: {name}" in parsed.text
    assert not parsed.coverage or not parsed.coverage.notes


def test_other_attachments_are_named_in_a_note() -> None:
    raw = parted("mixed", ("text/plain", "Intro.")).replace(
        "--BB--", attachment("application/vnd.ms-outlook", "old.msg", "x") + attachment("text/rtf", "a.rtf", "{x}")
    )
    coverage = read(raw + "--BB--\n").coverage
    assert coverage and ["'old.msg'" in coverage.notes[0], "'a.rtf'" in coverage.notes[1]] == [True, True]


@pytest.mark.parametrize(
    "raw",
    [
        "Content-Type: multipart/mixed; boundary=BB\n\n--CC\nContent-Type: text/plain\n\nClose PLUM.\n--CC--\n",
        "Content-Type: multipart/mixed; boundary=BB\n\nClose PLUM.\n",
        "Content-Type: multipart/mixed\n\nClose PLUM.\n",
        "Content-Type: multipart/mixed; boundary=BB\n\n--BB\nContent-Type: text/plain\n\nClose PLUM.\n",
        parted("mixed", ("text/plain", "Intro.")) + "A list's footer: PLUM.\n",
        parted("mixed", ("text/plain", "Intro.")).replace("\n\n--BB", "\n\n" + "Close it. " * 20 + "PLUM\n--BB", 1),
        "Content-Type: text/plain; charset=nonesuch\nContent-Transfer-Encoding: 8bit\n\nCafé PLUM\n",
        "Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n=ZZ caf=C3=A9 = PLUM=\n",
        "Content-Type: text/plain\nContent-Transfer-Encoding: nonesuch\n\nPLUM\n",
        "Content-Type: nonsense\n\nPLUM\n",
    ],
)
def test_a_broken_mail_is_read(raw: str) -> None:
    assert "PLUM" in read("Subject: s\nMIME-Version: 1.0\n" + raw).text


def test_text_lost_in_a_broken_mail_is_noted() -> None:
    damaged = "Content-Transfer-Encoding: base64\nContent-Type: text/plain\n\nQ2xvc2Ug!!UExVTS4gQ\n"
    coverage = read("Subject: s\nMIME-Version: 1.0\n" + damaged).coverage
    assert coverage and "base64 code is damaged" in coverage.notes[0]
    coverage = read(parted("mixed", ("text/plain", "Intro."), ("text/plain", "\0\1\2\3\4\5" * 9))).coverage
    assert coverage and "'unnamed' (text/plain, " in coverage.notes[0]


def test_html_is_compared_with_what_its_parser_sees() -> None:
    coverage = read(parted("mixed", HTML)).coverage
    assert coverage and (coverage.seen, coverage.kept) == (9, 9)


def test_attachments_of_outlook_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    def attached(name: str | None, kind: str, data: bytes | None, how: int = 1) -> SimpleNamespace:
        known = SimpleNamespace(int_prop_value=lambda tag: how, str_prop_value=lambda tag: "Old mail")
        return SimpleNamespace(file_name=name, mime_type=kind, file_bytes=data, properties=known)

    files = [attached(None, "", None, 5), attached("a.csv", "text/csv", b"a,b\n1,PLUM"), attached("a.zip", "", b"PK")]
    message = SimpleNamespace(
        sender="a@example.com", attachments=files, body="", subject="s", sent_date="", html_body="<p>Close FIG.</p>"
    )
    monkeypatch.setattr("oxmsg.Message.load", lambda file: message)
    content = messages.msg(b"")
    assert "| 1 | PLUM |" in content.text and "Close FIG." in content.text
    assert "Attachments: Old mail, a.csv, a.zip" in content.text
    assert [part.name for part in content.parts] == ["the HTML part"]
    assert ["'Old mail' (an Outlook message" in content.notes[0], "'a.zip'" in content.notes[1]] == [True, True]


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
