"""Head: opens the version that a write starts from, checks the caller's expectation of it, and repeats lost writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from vecver import repo
from vecver.errors import ConflictError, InvalidInputError, say
from vecver.flows.embedding import OpenEmbedder
from vecver.flows.ingesting.recipe import Options
from vecver.flows.ingesting.sources import Places, places_of
from vecver.model import Embedder, Failure, Json
from vecver.repo import Snapshot, Versions, check_name, missing, ref_moved

T = TypeVar("T")

_ATTEMPTS = 5


def head_of(versions: Versions, dataset: str, branch: str) -> Snapshot | None:
    """The version that a branch stands on; None for a new dataset. Raises InvalidInputError (a name), NotFoundError."""
    check_name("dataset", dataset)
    check_name("branch", branch)
    with versions.moment_at(dataset, branch):
        refs = versions.refs(dataset)
        commit = refs.get("branch", branch)
        if commit is None and (branches := refs.all("branch")):
            commit = branches.get(branch)  # another writer may have made it between the two looks
            if commit is None:
                raise missing("branch", branch, refs)
        if commit is None:
            return None
        versions.saw_head(dataset, branch, commit)
        return versions.newest_layout(commit)


def places_at(versions: Versions, parent: Snapshot | None) -> Places:
    """Where the sources of a version lie."""
    return places_of(parent.commit if parent else None, versions.commit)


def check_expected(expected: str | None, branch: str, commit: str | None) -> None:
    """Raises ConflictError if the branch stands on another commit than expected; `commit`: None for no branch."""
    if expected is not None and expected != (commit or repo.ref_moves.ABSENT):
        raise ref_moved("branch", branch, commit)


def once_writable(versions: Versions, open_embedder: OpenEmbedder) -> OpenEmbedder:
    """An `open_embedder` that first checks that the repository can be written: loading a model may take a minute."""

    def open_checked(spec: str | Json) -> Embedder:
        versions.check_writable()
        return open_embedder(spec)

    return open_checked


def retried(attempt: Callable[[int], T], expected: str | None) -> T:
    """The outcome of a write, which is repeated if another writer moved its branch meanwhile.

    `attempt` takes the number of attempts before it. With `expected` there is one attempt, since a moved branch is not
    where the caller saw it. Raises what the last attempt raises.
    """
    for before in range(_ATTEMPTS):
        try:
            return attempt(before)
        except ConflictError as error:
            if before == _ATTEMPTS - 1 or expected is not None or error.code != "ref_moved":
                raise
    raise AssertionError("the last attempt returns or raises")


def failed(failures: Sequence[Failure], options: Options) -> InvalidInputError:
    """The error for documents that cannot be read where none may fail."""
    advice = "mend or ignore them, or leave out " if options.strict else "mend them"
    python, cli, http = ("strict=True", "--strict", "?strict=true") if options.strict else ("", "", "")
    first = f"{failures[0].document!r}: {failures[0].reason}"
    several = f"{len(failures)} documents cannot be read; the first is {first}"
    return InvalidInputError(
        several if len(failures) > 1 else f"1 document cannot be read: {first}",
        code="documents_failed",
        hint=say(
            f"{advice}{python}; nothing was committed",
            cli=f"{advice}{cli}; nothing was committed",
            http=f"{advice}{http}; nothing was committed",
        ),
        failures=[failure.to_json() for failure in failures],
    )


def of_source(label: str, count: int, happens: str) -> str:
    """A report's note that documents belong to a source whose next ingest will change them."""
    these = "one of these documents belongs" if count == 1 else f"{count} of these documents belong"
    return f"{these} to the source {label!r}: its next ingest {happens}, unless it was changed there too"


def id_of(version: Snapshot | None) -> str | None:
    """The commit id of a version; None for none."""
    return version.commit.id if version else None
