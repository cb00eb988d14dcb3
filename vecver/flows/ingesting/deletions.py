"""Delete: documents are removed by their ids, or by a filter, whatever source they came from.

Decisions
1. A delete holds the branch's turn throughout, which takes milliseconds, so its filter is evaluated on the very version
   that the commit follows. If a writer without a turn moves the branch meanwhile, the delete is done again.
2. Unknown ids are reported and are no error: after the delete they are not there, as the caller wants.
3. A version may be empty. It keeps its recipe, so the next upsert embeds as before.
4. A filter on the places of chunks (page, line) is refused, because documents are deleted as wholes.
5. `where={}` matches every document and is usually a program's mistake, so it is an error. To empty a branch, name its
   documents; to remove a dataset, delete the dataset.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import Any

from vecver.errors import InvalidInputError, say
from vecver.flows.ingesting import shortfalls
from vecver.flows.ingesting.changes import Tally
from vecver.flows.ingesting.commits import commit_at, untouched
from vecver.flows.ingesting.environment import current_environment
from vecver.flows.ingesting.head import check_expected, head_of, id_of, of_source, places_at, retried
from vecver.flows.ingesting.sources import Places
from vecver.flows.searching.filtering import match
from vecver.model import Commit, Json, Report
from vecver.near import near
from vecver.repo import Draft, Landing, Place, Snapshot, Versions, find_known, land, ref_moved, turn_at

_NAMED = 10  # unknown ids in a note; the report's field has all
_GUESSED = 3  # unknown ids for which similar ones are looked for


@dataclass(frozen=True)
class Deletion:
    """Which documents go, and how. Exactly one of `documents` and `where` is set."""

    documents: tuple[str, ...] | None
    where: Json | None
    branch: str = "main"
    message: str = ""
    expected: str | None = None
    dry_run: bool = False


def deletion(dataset: str, ids: Any, where: Any, **how: Any) -> Deletion:
    """What the caller wants removed. Raises InvalidInputError unless it is either ids or a filter that is not empty."""
    if (ids is None) == (where is None):
        problem = "nothing says which documents" if ids is None else "ids and a filter were given"
        raise InvalidInputError(
            f"{problem}: nothing was deleted",
            code="no_documents_named" if ids is None else "conflicting_options",
            hint=say(
                'give either ids, docs.delete(["a.md"]), or a filter, docs.delete(where={"year": 2020})',
                cli=f"""name either documents, `vecver rm {dataset} a.md`, or a filter, --where '{{"year": 2020}}'""",
                http='send either {"ids": ["a.md"]} or {"where": {"year": 2020}}',
            ),
        )
    if where is None:
        return Deletion(_ids(ids), None, **how)
    if not isinstance(where, Mapping):
        raise InvalidInputError(
            f"a filter is a JSON object, not {type(where).__name__}",
            code="invalid_filter",
            hint='write {"year": {"$lt": 2020}}',
        )
    if not where:
        raise InvalidInputError(
            "the filter {} matches every document: nothing was deleted",
            code="empty_filter",
            hint=say(
                "if all documents are to go, name them; to be rid of the dataset, repo.delete_dataset(name)",
                cli=f"if all documents are to go, name them; to be rid of it, `vecver dataset delete {dataset}`",
                http=f"if all documents are to go, name them; to be rid of it, DELETE /v1/datasets/{dataset}",
            ),
        )
    return Deletion(None, dict(where), **how)


def delete(versions: Versions, dataset: str, what: Deletion) -> Report:
    """Remove documents, as a new commit on a branch; no commit where none of them is there.

    Raises InvalidInputError (the filter), NotFoundError (dataset, branch), ConflictError (the branch is not at
    `expected`). After any failure nothing was changed.
    """

    def attempt(before: int) -> Report:
        parent = head_of(versions, dataset, what.branch)
        if parent is None:
            versions.resolve(dataset, what.branch)  # says that there is no such dataset
        assert parent is not None
        check_expected(what.expected, what.branch, id_of(parent))
        return _Delete(versions, dataset, what, parent).run()

    with turn_at(versions, dataset, what.branch):
        return retried(attempt, what.expected)


class _Delete:
    """One running delete."""

    def __init__(self, versions: Versions, dataset: str, what: Deletion, parent: Snapshot) -> None:
        self.versions, self.dataset, self.what, self.parent = versions, dataset, what, parent
        self._since = perf_counter()

    @cached_property
    def places(self) -> Places:
        """Where the sources of the parent version lie."""
        return places_at(self.versions, self.parent)

    def run(self) -> Report:
        what, parent = self.what, self.parent
        names = list(what.documents) if what.documents is not None else _matching(parent, what.where or {})
        draft = self.versions.draft(parent, parent.commit.recipe.space, dry=what.dry_run)
        known = dict(zip(names, find_known(parent, names), strict=True))
        gone = [name for name in names if known[name]]
        draft.remove(gone, ())
        draft.close()
        place = Place(parent, *draft.layout())
        report = self._report(place, gone, [name for name in names if not known[name]])
        if gone:
            back = _of_sources([row.source for name in gone if (row := known[name])], self.places)
            report = replace(report, notes=(*report.notes, *back))
        return self._landed(draft, place, report) if gone and not what.dry_run else report

    def _landed(self, draft: Draft, place: Place, report: Report) -> Report:
        landing = Landing(self.versions, self.dataset, self.what.branch, draft, place)
        _, commit = land(landing, lambda where: self._commit(where, report), "delete")
        assert commit is not None
        tally = Tally(removed=list(report.names["removed"]))
        old = shortfalls.load(self.versions, self.parent.commit.id)
        shortfalls.save(self.versions, old, commit.id, [], tally, anew=True)
        return replace(report, commit=commit.id, changed=True)

    def _commit(self, place: Place, report: Report) -> Commit:
        if place.parent is None or place.parent.commit.id != self.parent.commit.id:
            raise ref_moved("branch", self.what.branch, place.parent.commit.id if place.parent else None)
        facts = report.to_json()
        where = {} if self.what.where is None else {"where": self.what.where}
        return commit_at(
            self.versions,
            self.dataset,
            place,
            message=self.what.message,
            recipe=self.parent.commit.recipe,
            environment=current_environment(),
            operation={
                "kind": "delete",
                "sources": [],
                "places": dict(self.places),
                **where,
                **{name: facts[name] for name in ("documents", "chunks", "tokens", "longer", "failures", "seconds")},
            },
        )

    def _report(self, place: Place, gone: Sequence[str], unknown: Sequence[str]) -> Report:
        blank = untouched(self.dataset, self.parent.commit, dry_run=self.what.dry_run)
        return replace(
            blank,
            documents={**blank.documents, "removed": len(gone)},
            chunks={**blank.chunks, "live": place.layout.chunk_count, "removed": place.removed},
            seconds={**blank.seconds, "write": perf_counter() - self._since},
            names={**blank.names, "removed": tuple(gone)},
            notes=tuple(self._notes(gone, unknown)),
            unknown=tuple(unknown),
        )

    def _notes(self, gone: Sequence[str], unknown: Sequence[str]) -> Iterable[str]:
        if unknown:
            named = ", ".join(map(repr, unknown[:_NAMED]))
            rest = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
            yield f"{self.dataset}@{self.what.branch} has no document {named}{rest}{self._suggestion(unknown)}"
        if not gone:
            why = "no document matches" if self.what.where is not None else "" if unknown else "no ids were given"
            yield f"{why}: nothing to do, no commit was made".removeprefix(": ")

    def _suggestion(self, unknown: Sequence[str]) -> str:
        """Ids like the unknown ones; only if few are unknown, because finding them reads all ids."""
        if len(unknown) > _GUESSED:
            return ""
        ids = self.parent.documents(["document"]).column(0).to_pylist()
        likely = dict.fromkeys(other for name in unknown for other in near(name, ids, 1))
        return f"; did you mean {', '.join(map(repr, likely))}?" if likely else ""


def _ids(ids: Any) -> tuple[str, ...]:
    """Document ids, each once. Raises InvalidInputError."""
    values = [ids] if isinstance(ids, str | int) else ids
    if isinstance(values, bytes | Mapping) or not isinstance(values, Iterable):
        raise _no_ids(values)
    names: list[Any] = [str(id) if isinstance(id, int) and not isinstance(id, bool) else id for id in values]
    if invalid := [id for id in names if not isinstance(id, str)]:
        raise _no_ids(invalid[0])
    return tuple(dict.fromkeys(names))


def _no_ids(value: Any) -> InvalidInputError:
    return InvalidInputError(
        f"documents are named by their ids, texts, and this is {value!r:.80}",
        code="invalid_ids",
        hint='write ["a.md", "b.md"]; the ids are those that search and the list of documents show',
    )


def _matching(snapshot: Snapshot, where: Json) -> list[str]:
    """The ids of the documents that match, sorted. Raises InvalidInputError."""
    matched = match(snapshot, where)
    assert matched is not None
    if matched.documents is None:
        raise InvalidInputError(
            "the filter asks where chunks stand, and documents are deleted whole",
            code="chunk_filter",
            hint="use fields of the documents' metadata; page, sheet, line and headings are for searching",
        )
    return sorted(matched.names(snapshot))


def _of_sources(labels: Sequence[str], places: Places) -> list[str]:
    """Notes on removed documents that the next ingest of their source brings back. `labels`: their sources."""
    counts = Counter(label for label in labels if places.get(label))
    back = {label: "brings it back" if count == 1 else "brings them back" for label, count in counts.items()}
    return [of_source(label, count, back[label]) for label, count in counts.items()]
