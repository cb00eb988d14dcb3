"""Shows what an ingest did: the version, its counts, what could not be read and why, and what to do next.

The version and the counts go to standard output; failures, grouped by reason, and notes go to standard error. A
terminal also gets the next command.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import vecver
from vecver.cli.screens.wording import count, counted, short_id
from vecver.cli.terminal.console import COMMAND, FAINT, HEAD, ID, STRONG, WARNING, Part, Screen

FILES_SHOWN = 5  # of one reason
NOTES_SHOWN = 10
REASONS: dict[str, tuple[str, str]] = {  # code of a failure -> (what it is called, what to do)
    "encrypted": ("encrypted", "give --password, or save it without one"),
    "wrong_password": ("wrong password", "give the right --password; it may be repeated"),
    "needs_ocr": ("scanned pages", "run OCR on it first, for example with ocrmypdf"),
    "no_text": ("no text", "leave it out with an ignore file (.vecverignore), or add text"),
    "empty": ("empty", "fill it, or leave it out with an ignore file"),
    "binary": ("no known format", "convert it to text, PDF or an office format"),
    "unsupported": ("format not read", "save it in another format"),
    "malformed": ("broken", "open it in its own program and save it again"),
    "missing_extra": ("reader missing", "pip install 'vecver[documents]'"),
    "unreadable": ("no access", "check the permissions of the file and its folders"),
    "symlink_loop": ("link in a circle", "remove the link"),
    "too_large": ("too large", "split it"),
    "timeout": ("took too long", "split it, or convert it to a simpler format"),
    "out_of_memory": ("took too much memory", "split it"),
    "crashed": ("crashed its reader", "convert it to another format; nothing else was harmed"),
    "no_vector": ("no vector", "bring a vector with each record"),
    "unexpected_vector": ("unexpected vector", "name the space of the vectors with --space, or leave them out"),
    "wrong_dimension": ("wrong dimension", "bring vectors of the space's dimension"),
    "invalid_id": ("invalid id", "give it another id"),
}
_SAYS_WHAT_TO_DO = ("missing_extra", "unreadable")  # failures whose own words end with the advice


@dataclass(frozen=True)
class Ingested:
    """A report, with the branch and message of the command."""

    report: vecver.Report
    branch: str
    message: str
    cost: float | None = None  # of embedding what a dry run found


def show(out: Screen, err: Screen, done: Ingested) -> None:
    """The summary of an ingest."""
    report = done.report
    if report.dry_run:
        for sign, kind in (("+", "added"), ("~", "changed"), ("-", "removed")):
            for document in report.names.get(kind, ()):
                out.say(f"{sign} {document}")
    for line in _summary(done, out.terminal):
        out.say(*line)
    for line in _attention(report, err.terminal):
        err.say(*line)
    if out.terminal and not report.dry_run:
        for line in _next(done):
            out.say(*line)


def _summary(done: Ingested, terminal: bool) -> Iterator[Sequence[Part]]:
    report = done.report
    name = (f"{report.dataset}@{done.branch}", HEAD)
    if report.dry_run:
        yield name, "  dry run: nothing was written"
    elif report.changed and report.commit:
        yield name, "  ", (short_id(report.commit, terminal), ID), *(("  ", done.message) if done.message else ())
    else:
        yield name, "  nothing changed, no commit made"
    shown = {**report.documents, "not read": report.documents["failed"]}
    yield "  documents  ", counted(shown, "added", "changed", "removed", "unchanged", "not read") or "none"
    if report.changed or report.dry_run:
        yield "  chunks     ", _chunks(report), *_tokens(report, done.cost)
    yield from _text(report)
    if report.changed and report.documents["removed"] and report.commit:
        id = short_id(report.commit, terminal)
        yield (f"  no longer in the source: vecver diff {report.dataset} {id}~1 {id}",)


def _chunks(report: vecver.Report) -> str:
    """What happened to chunks. Where records brought their vectors, none was embedded: how many the version has."""
    chunks, documents = report.chunks, report.documents
    brought = (documents["added"] or documents["changed"]) and not (chunks["embedded"] or chunks["reused"])
    live = f"{chunks['live']:,} in the version, with the vectors that were given" if brought and chunks["live"] else ""
    return " · ".join(filter(None, [live, counted(chunks, "embedded", "reused", "removed")])) or "none"


def _tokens(report: vecver.Report, cost: float | None) -> Sequence[Part]:
    price = "" if cost is None else f", which cost {cost:,.2f}" if cost >= 0.01 else f", which cost {cost:.6f}"
    return (f" ({report.tokens:,} tokens to embed{price})",) if report.dry_run else ()


def _text(report: vecver.Report) -> Iterator[Sequence[Part]]:
    """The share of words that was kept, where some are missing."""
    if report.partial:
        share = report.total_coverage.to_json()["share"]
        whose = count(len(report.partial), "document")
        yield "  text       ", f"{int(share * 1000) / 10}% of the words were kept; {whose} read in part"


def _attention(report: vecver.Report, terminal: bool) -> Iterator[Sequence[Part]]:
    """What needs attention: failures by reason, documents that the model does not read whole, notes."""
    if report.failures:
        yield ("",)
        before = report.documents["unchanged"] + report.documents["changed"]
        kept = " (of what was read before, that version is still served)" if before and not report.dry_run else ""
        yield ((f"Not read{kept}:", STRONG),)
        yield from _failures(report)
    if report.longer:
        yield (f"{count(report.longer, 'document')} longer than the model reads: the ends were not embedded",)
    general_notes = [note for note in report.notes if note not in set(report.document_notes)]
    for note in general_notes:
        yield ("note: ", WARNING), note
    for note in report.document_notes[:NOTES_SHOWN]:
        yield ("note: ", WARNING), note
    if len(report.document_notes) > NOTES_SHOWN:
        where = "--json" if report.dry_run else f"vecver show {report.dataset}"
        yield (f"... and {len(report.document_notes) - NOTES_SHOWN} more: `{where}` lists them",)


def _failures(report: vecver.Report) -> Iterator[Sequence[Part]]:
    """Each reason with its documents and what to do; a reason of one document has its message."""
    by_code: dict[str, list[vecver.Failure]] = {}
    for failure in report.failures:
        by_code.setdefault(failure.code, []).append(failure)
    for code, failures in sorted(by_code.items(), key=lambda item: -len(item[1])):
        title, advice = REASONS.get(code, (code.replace("_", " "), ""))
        shown = ", ".join(failure.document for failure in failures[:FILES_SHOWN])
        rest = f" and {len(failures) - FILES_SHOWN} more (--json lists them)" if len(failures) > FILES_SHOWN else ""
        yield "  ", (title, WARNING), f"  {shown}{rest}"
        reason = f"{failures[0].reason} " if len({failure.reason for failure in failures}) == 1 else ""
        if reason and code in _SAYS_WHAT_TO_DO:
            advice = ""
        if reason or advice:
            yield "    ", (reason + _sentence(advice), FAINT)


def _next(done: Ingested) -> Iterator[Sequence[Part]]:
    """The next command, as a suggestion."""
    dataset = shlex.quote(done.report.dataset)
    at = dataset if done.branch == "main" else f"{dataset}@{shlex.quote(done.branch)}"
    yield ("",)
    if done.report.changed and done.report.documents["changed"] + done.report.documents["removed"]:
        yield "Next: ", (f"vecver diff {dataset} {done.branch}~1 {done.branch}", COMMAND)
    else:
        yield "Next: ", (f'vecver search {at} "…"', COMMAND)


def _sentence(advice: str) -> str:
    return f"{advice[:1].upper()}{advice[1:]}." if advice and not advice.startswith("pip ") else advice
