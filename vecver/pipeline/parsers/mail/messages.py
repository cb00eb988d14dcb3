"""Converts mail (EML, mbox, Outlook MSG) to Markdown: the subject as a heading, who and when, then every text part.

Decisions
1. Every text part is read, in order. Of a `multipart/alternative` only the part with most words is read, and a calendar
   beside it. The plain part is preferred if it has at least `ENOUGH_WORDS` of the words of the HTML part: `get_body`
   took blank or stub plain parts, and only one part of a `multipart/mixed`.
2. A "From " line starts a new mail in a mailbox only if it is first or follows a blank line, names a time or an
   address, and is followed by a header. Other such lines are text.
3. A text attachment (plain, Markdown, CSV, HTML, a log) is read under its name; others are only named. Messages
   attached to a message follow it, one level deeper. Text after the last boundary of a multipart, or in one whose
   boundary never comes, is read too: mailing lists put their footers there.
4. Bodies are decoded here instead of by the standard library, which answers U+FFFD for a wrong charset and fails on an
   unknown one.
"""

from __future__ import annotations

import email
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from email.errors import InvalidBase64CharactersDefect, InvalidBase64LengthDefect, InvalidBase64PaddingDefect
from email.header import decode_header, make_header
from email.message import EmailMessage, MIMEPart
from typing import Any, Final

from vecver.digest import canonical_json
from vecver.model import Mark
from vecver.pipeline.parsers.coverage import Content, Part
from vecver.pipeline.parsers.detection.encodings import decode
from vecver.pipeline.parsers.detection.media_types import Unreadable
from vecver.pipeline.parsers.mail.fields import POLICY, Headers, forget_headers, headers_of, mail_fields, outlook_fields
from vecver.pipeline.parsers.markup.markdown import heading
from vecver.pipeline.parsers.properties import attempted, cleaned
from vecver.pipeline.parsers.structured import delimited
from vecver.pipeline.parsers.web.html import html_content

ENOUGH_WORDS: Final = 0.8  # share of the HTML part's words that the plain part needs to be the body
LONGEST_FROM: Final = 200  # bytes of a From line that are checked
LONG_PREAMBLE: Final = 30  # words before a multipart's first boundary that count as text instead of a stub
NAMED: Final = 5  # attachments named in notes

_DEEPEST: Final = 6
_FROM_LINE: Final = re.compile(rb"^From [^\n]*+\n(?=>?From |[!-9;-~]{1,80}+:|\n)", re.M)
_FROM_DATE: Final = re.compile(
    rb"From [^\n]*\d\d:\d\d[^\n]*\d{4}|From \S++@\S++\s*+$|From \S++[ \t]++(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b"
)
_CALENDAR_FIELDS: Final = ("SUMMARY", "DTSTART", "DTEND", "LOCATION", "ORGANIZER", "ATTENDEE", "DESCRIPTION")
_TEXT_NAME: Final = re.compile(r"\.(?:txt|text|log|md|markdown|csv|tsv|html?|ics|diff|patch|json|ya?ml)\Z", re.I)
_UNTYPED: Final = ("application/octet-stream", "application/json", "application/csv", "application/x-patch")
_DAMAGED: Final = (InvalidBase64CharactersDefect, InvalidBase64LengthDefect, InvalidBase64PaddingDefect)
_EMBEDDED: Final = 5  # the attach method of an embedded message in Outlook
_ATTACH_METHOD: Final = 0x3705  # the property with the attach method
_DISPLAY_NAME: Final = 0x3001
_SEALED: Final = ("application/pkcs7-mime", "application/x-pkcs7-mime")
_ARMOUR: Final = "-----BEGIN PGP MESSAGE-----"


@dataclass
class _Reading:
    """What reading a mail collects beside its text."""

    parts: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sealed: list[Unreadable] = field(default_factory=list)  # why parts cannot be read
    bodies: int = 0  # parts that gave text
    number: int = 0  # of the message in its mailbox
    plain: dict[int, Content] = field(default_factory=dict)  # by the identity of a part: alternatives are read twice

    def name(self, kind: str) -> str:
        return f"message {self.number}, the {kind} part" if self.number else f"the {kind} part"


def eml(data: bytes) -> Content:
    """One message. Raises Unreadable (its only body is encrypted or inside a signature)."""
    reading, message = _Reading(), _parsed(data)
    header = headers_of(message)
    content = _content(_message(message, 1, reading, header), reading)
    return replace(content, metadata=attempted(mail_fields, header))


def mbox(data: bytes) -> Content:
    """Every message of a mailbox under its subject, with its metadata. Quoted ">From " lines become "From " again."""
    reading = _Reading()
    pieces: list[str] = []
    marks: list[Mark] = []
    start = 0
    for number, raw in enumerate(_messages(data.replace(b"\r\n", b"\n")), start=1):
        reading.number = number
        message = _parsed(re.sub(rb"^>(>*From )", rb"\1", raw, flags=re.M))
        header = headers_of(message)
        message_pieces = list(_message(message, 1, reading, header))
        marks.append(Mark(start, "part", _part(header, reading)))
        start += sum(len(piece) + 2 for piece in message_pieces)
        pieces += message_pieces
    return replace(_content(pieces, reading), marks=marks)


def _part(header: Headers, reading: _Reading) -> str:
    """The metadata of a mail in its mailbox, as JSON."""
    fields, notes = cleaned(attempted(mail_fields, header), "")
    fields.pop("references", None)  # in a long thread it is longer than the mails
    reading.notes += [f"Message {reading.number}: {note}" for note in notes]
    return canonical_json(fields).decode()


def msg(data: bytes) -> Content:
    """An Outlook message. Raises oxmsg's errors for a broken one."""
    import io

    from oxmsg import Message

    message = Message.load(io.BytesIO(data))
    sender = str(make_header(decode_header(message.sender or "")))
    reading = _Reading()
    names: list[str] = []
    attached = [text for attachment in message.attachments if (text := _of_outlook(attachment, reading, names))]
    page = html_content(message.html_body, furniture=False) if message.html_body else Content("")
    body = _richer(message.body or "", page.text)
    if body is page.text:
        reading.parts[:0] = [Part("the HTML part", part.text) for part in page.parts]
    date = str(message.sent_date or "")
    pieces = _sections(1, message.subject or "", {"From": sender, "Date": date}, [body, *attached], names)
    return replace(_content(pieces, reading), metadata=attempted(outlook_fields, message))


def _content(pieces: Iterable[str], reading: _Reading) -> Content:
    """The pieces as one text. Raises Unreadable (all bodies are in encrypted or signed parts)."""
    text = "\n\n".join(pieces) + "\n"
    if reading.sealed and not reading.bodies:
        raise reading.sealed[0]
    return Content(text, parts=reading.parts, notes=_shortened(reading))


def _of_outlook(attachment: Any, reading: _Reading, names: list[str]) -> str:
    """The text of an attachment of an Outlook message; "" for one that is not read, which is named."""
    properties = attachment.properties
    name = attachment.file_name or properties.str_prop_value(_DISPLAY_NAME) or "unnamed"
    kind = attachment.mime_type or "application/octet-stream"
    names.append(name)
    data = attachment.file_bytes or b""
    if properties.int_prop_value(_ATTACH_METHOD) == _EMBEDDED:
        kind = "an Outlook message"
    elif _readable(kind, name) and (text := decode(data)):
        content = _converted(_kind_by_name(kind, name), text)
        reading.parts += [Part(f"the attachment '{name}'", part.text) for part in content.parts]
        return _named(name, content.text)
    reading.notes.append(_unread(name, kind, len(data)))
    return ""


def _messages(data: bytes) -> Iterator[bytes]:
    """The messages of a mailbox, split at "From " lines that start a mail."""
    start = 0
    for line in _FROM_LINE.finditer(data):
        at = line.start()
        begins = at == 0 or not data[:at].strip() if at < 10 else data[at - 2 : at] == b"\n\n"
        if begins and _FROM_DATE.match(line[0][:LONGEST_FROM].rstrip(b"\n")):
            if data[start:at].strip():
                yield data[start:at]
            start = line.end()
    if data[start:].strip():
        yield data[start:]


def _parsed(data: bytes) -> EmailMessage:
    """The message; headers in raw 8-bit charsets are made UTF-8 first, which the standard library reads."""
    head, gap, body = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    head = head if head.isascii() else (decode(head) or "").encode("utf-8")
    forget_headers()
    return email.message_from_bytes(head + gap + body, policy=POLICY)


def _message(message: MIMEPart, level: int, reading: _Reading, header: Headers) -> Iterator[str]:
    fields = {name: header(name) for name in ("From", "To", "Cc", "Date")}
    names: list[str] = []
    attached: list[MIMEPart] = []
    bodies = list(_bodies(message, reading, names, attached))
    yield from _sections(level, header("Subject"), fields, bodies, names)
    for inner in attached:
        if level < _DEEPEST:
            yield from _message(inner, level + 1, reading, headers_of(inner))
        else:
            reading.notes.append(f"A message attached {level} levels deep was not read: save it as a file of its own.")


def _bodies(part: MIMEPart, reading: _Reading, names: list[str], attached: list[MIMEPart]) -> Iterator[str]:
    """The texts of `part`, in order; fills in the names of what is attached, and the attached messages."""
    waiting = [part]
    after: list[str] = []
    while waiting:
        part = waiting.pop()
        kind = part.get_content_type()
        children = list(part.iter_parts()) if part.is_multipart() else []
        if kind == "message/rfc822" or kind == "message/global":
            names += [_file_name(part) or "unnamed"]
            attached += children
        elif kind == "multipart/encrypted":
            reading.sealed.append(_encrypted())
        elif kind == "multipart/alternative":
            waiting += _alternatives(children, reading)[::-1]
        elif kind == "message/delivery-status":
            yield "\n".join(str(child).strip() for child in children)
        elif children:
            yield from _around(part.preamble, LONG_PREAMBLE)
            waiting += children[::-1]
        elif text := _text_of(part, reading, names):
            reading.bodies += 1
            yield text
        if part.get_content_maintype() == "multipart":
            after += _around(part.epilogue)
    yield from after


def _around(text: str | None, least: int = 1) -> list[str]:
    """The text before or after the parts of a multipart, if it has at least `least` words."""
    raw = (text or "").encode("utf-8", "surrogateescape")
    return [decode(raw) or ""] if len(raw.split()) >= least else []


def _alternatives(parts: list[MIMEPart], reading: _Reading) -> list[MIMEPart]:
    """The alternative to read, with calendars and attachments beside it."""

    def is_body(part: MIMEPart) -> bool:
        return part.get_content_type() != "text/calendar" and (part.is_multipart() or _is_text(part))

    bodies = [part for part in parts if is_body(part)]
    if len(bodies) < 2:
        return parts
    sizes = [len(_words_of(part, reading)) for part in bodies]
    best = max(range(len(bodies)), key=lambda n: sizes[n])
    plain = next((n for n, part in enumerate(bodies) if part.get_content_type() == "text/plain"), best)
    chosen = bodies[plain if sizes[plain] and sizes[plain] >= ENOUGH_WORDS * sizes[best] else best]
    return [part for part in parts if part is chosen or not any(part is body for body in bodies)]


def _words_of(part: MIMEPart, reading: _Reading) -> list[str]:
    """The words of the text parts in a part."""
    leaves = [leaf for leaf in part.walk() if not leaf.is_multipart() and _is_text(leaf)]
    return [word for leaf in leaves for word in _plain(leaf, reading).text.split()]


def _is_text(part: MIMEPart) -> bool:
    return part.get_content_maintype() == "text" and not part.is_attachment()


def _plain(part: MIMEPart, reading: _Reading) -> Content:
    """The text of a part without its format, and its plain text to compare with."""
    if id(part) not in reading.plain:
        text = _decoded(part)
        if part.get_content_type() == "text/plain" and part.get_param("format") == "flowed":
            text = _flowed(text, str(part.get_param("delsp", "")).lower() == "yes")
        reading.plain[id(part)] = _converted(_kind_by_name(part.get_content_type(), _file_name(part)), text)
    return reading.plain[id(part)]


def _converted(kind: str, text: str) -> Content:
    """Text of a media type as Markdown, with plain text to compare with if the conversion may lose words."""
    if kind == "text/html":
        return html_content(text, furniture=False)
    if kind == "text/calendar":
        return Content(_calendar(text))
    if kind in ("text/enriched", "text/richtext"):
        return Content(re.sub(r"</?[A-Za-z][\w-]{0,40}>", "", text.replace("<<", "<")))
    return Content(delimited(text) if kind in ("text/csv", "text/tab-separated-values") else text)


def _kind_by_name(kind: str, name: str) -> str:
    """The media type; if a program wrote text/plain or nothing, the type of the file's suffix."""
    ending = name.rpartition(".")[2].lower()
    if kind not in ("text/plain", *_UNTYPED):
        return kind
    return {"csv": "text/csv", "tsv": "text/csv", "html": "text/html", "htm": "text/html"}.get(ending, "text/plain")


def _readable(kind: str, name: str) -> bool:
    """Whether a part or an attached file is text that can be read."""
    return (kind.startswith("text/") and kind != "text/rtf") or (kind in _UNTYPED and bool(_TEXT_NAME.search(name)))


def _text_of(part: MIMEPart, reading: _Reading, names: list[str]) -> str:
    """The text of a leaf part; "" if it is not read, in which case a note names it."""
    kind = part.get_content_type()
    name = _file_name(part)
    if kind in _SEALED or name.lower().endswith(".p7m"):
        reading.sealed.append(_sealed(part))
        return ""
    if kind in ("application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature"):
        return ""
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    alone = part.get("MIME-Version") is not None  # it is the message itself, not an attachment
    attached = part.get_content_maintype() not in ("text", "multipart") or (part.is_attachment() and not alone)
    names += [name or "unnamed"] if attached or (name and not alone) else []
    # a multipart without parts is one whose boundary never comes: all of it is text
    content = _plain(part, reading) if _readable(kind, name) or kind.startswith("multipart/") else Content("")
    text = content.text.strip()
    if not text and (attached or (kind != "text/html" and data.strip())):
        reading.notes.append(_unread(name or "unnamed", kind, len(data)))
    if any(isinstance(defect, _DAMAGED) for defect in part.defects):
        reading.notes.append(_damaged(reading.name(kind)))
    if text.startswith(_ARMOUR):
        reading.sealed.append(_encrypted())
        return ""
    reading.parts += [Part(reading.name("HTML"), seen.text) for seen in content.parts]
    return _named(name, text) if attached and text else text


def _named(name: str, text: str) -> str:
    """The text of an attachment under its name."""
    return f"**{name or 'unnamed'}**\n\n{text.strip()}"


def _damaged(name: str) -> str:
    return f"In {name} the base64 code is damaged, so text may be missing or wrong: ask for the mail again."


def _file_name(part: MIMEPart) -> str:
    try:
        return part.get_filename() or ""
    except (ValueError, LookupError, AttributeError, TypeError):  # malformed parameters
        return "unnamed"


def _unread(name: str, kind: str, size: int) -> str:
    return f"The attachment '{name}' ({kind}, {size:,} bytes) was not read: save it and ingest it as a file."


def _shortened(reading: _Reading) -> list[str]:
    notes = reading.notes + [f"{why.reason}" for why in reading.sealed if reading.bodies]
    unnamed = len(notes) - NAMED
    return notes if unnamed <= 0 else [*notes[:NAMED], f"{unnamed} more attachments or parts were not read."]


def _encrypted() -> Unreadable:
    return Unreadable("encrypted", "The mail is encrypted: decrypt it in a mail program, save it and ingest that.")


def _sealed(part: MIMEPart) -> Unreadable:
    """The reason why an S/MIME part is not read: it is encrypted, or its text is inside a signature."""
    if str(part.get_param("smime-type", "")).lower() in ("signed-data", "certs-only", "compressed-data"):
        return Unreadable(
            "unsupported",
            "The mail's text lies inside an S/MIME signature, which is not read: "
            "save it unsigned from a mail program and ingest that.",
        )
    return _encrypted()


def _calendar(text: str) -> str:
    """A calendar entry, one field a line."""
    lines = []
    for line in re.sub(r"\n[ \t]", "", text).split("\n"):
        name, _, value = line.partition(":")
        key, _, options = name.partition(";")
        if key.upper() in _CALENDAR_FIELDS and value.strip():
            person = re.search(r'CN="?([^";:]++)', options)
            value = re.sub(r"\\([nN,;\\])", lambda m: "\n" if m[1] in "nN" else m[1], value)
            lines.append(f"{key.capitalize()}: {person[1] + ', ' if person else ''}{value.strip()}")
    return "\n".join(lines)


def _flowed(text: str, joined: bool) -> str:
    """Join lines that end in a space with the next one (RFC 3676), except the signature's "-- "."""
    out = []
    for line in text.split("\n"):
        line = line.removeprefix(" ")
        soft = line.endswith(" ") and line != "-- "
        out.append((line[:-1] if joined else line) if soft else line + "\n")
    return "".join(out)


def _richer(plain: str, other: str) -> str:
    return plain if len(plain.split()) >= ENOUGH_WORDS * len(other.split()) and plain.strip() else other


def _sections(
    level: int, subject: str, fields: dict[str, str], bodies: list[str], attachments: list[str]
) -> Iterator[str]:
    if subject.strip():
        yield heading(level, subject)
    about = [f"{name}: {value}" for name, value in fields.items() if value]
    about += [f"Attachments: {', '.join(attachments)}"] if attachments else []
    if about:
        yield "\n".join(about)
    yield from (body.strip() for body in bodies if body.strip())


def _decoded(part: MIMEPart) -> str:
    payload = part.get_payload(decode=True)
    return (decode(payload, part.get_content_charset()) or "") if isinstance(payload, bytes) else ""
