"""The versions that changed a document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vecver.errors import InvalidInputError
from vecver.flows.unknown_documents import unknown_documents
from vecver.model import Commit
from vecver.repo import Versions


def document_history(
    versions: Versions, start: str, commits: Iterable[Commit], document: str, since: str | None
) -> Iterator[Commit]:
    """Those of the versions that led to `start`, newest first, that changed a document; none from `since` on.

    Raises NotFoundError (no version that was looked at has it), InvalidInputError (it is no id).
    """
    if not isinstance(document, str) or not document:
        raise InvalidInputError(
            f"document={document!r:.60} is no id", code="invalid_document", hint="docs.documents(at) lists the ids"
        )
    changes = versions.document_changes(document)
    yield from changes.among(commits, since)
    if not changes.seen:
        raise unknown_documents(versions.snapshot(start), [document])
