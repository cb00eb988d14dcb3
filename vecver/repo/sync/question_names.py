"""Brings the question sets of a dataset along, since measures and gates name them.

Decisions
1. The names of question sets keep what they meant before. Where one side's entries begin with the other's, they are
   taken over; where both have gone on, the receiver keeps its own, and a note says so.
2. The contents are looked for also where the names agree: an interrupted push may have named them at a place that had
   no refs yet, where gc deletes them since no dataset needs them.
"""

from __future__ import annotations

from collections.abc import Iterator

from vecver.errors import ConflictError
from vecver.repo import entries, question_sets
from vecver.repo.maintain import trash
from vecver.repo.sync.parallel import present
from vecver.repo.sync.transfer import Transfer

_WHAT = "question set"


def send_questions(transfer: Transfer, key: str) -> Iterator[str]:
    """Write the question sets of a dataset that the target lacks, contents first; yields notes on those left alone.

    To be called within `naming(target)`. Raises IntegrityError, ConflictError (one was changed at this moment).
    """
    source, target = transfer.source, transfer.target
    agreed, digests = list[tuple[entries.Entries, entries.Entries]](), list[str]()
    for name in entries.names(source, question_sets.FOLDER, key):
        ours = entries.read(source, _WHAT, question_sets.FOLDER, key, name)
        theirs = entries.read(target, _WHAT, question_sets.FOLDER, key, name)
        if theirs.values == ours.values[: len(theirs.values)]:
            agreed.append((theirs, ours))
            digests += question_sets.digests_of(source, key, name)
        elif ours.values != theirs.values[: len(ours.values)]:
            yield f"the question set {name!r} of {key} was changed on both sides: each keeps its own"
    if agreed:
        _send_contents(transfer, digests)
    for theirs, ours in agreed:
        if theirs.values != ours.values:
            _replace(theirs, ours)


def _send_contents(transfer: Transfer, digests: list[str]) -> None:
    units = list(dict.fromkeys(map(question_sets.content_path, digests)))
    absent = set(units) - present(transfer.target, units, question_sets.CONTENT)
    for unit in sorted(absent):
        transfer.send_object(unit, unit.partition("/")[2])
    trash.hold(transfer.target, units)


def _replace(theirs: entries.Entries, ours: entries.Entries) -> None:
    try:
        theirs.store.swap(theirs.path, theirs.body, ours.body or b"")
    except ConflictError as error:
        raise ConflictError(
            f"the question set {ours.name!r} was changed by somebody else at this moment",
            code="entries_moved",
            hint="try again; nothing was lost",
            name=ours.name,
        ) from error
