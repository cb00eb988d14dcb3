"""Sources: what each is called, where its documents' ids begin, and for which documents it speaks.

Each commit's operation has `places`: label -> where that source lies, as digests (`pipeline.place_of`). From them an
ingest recognises

    a known source              the same folder or file again, also as another checkout of the same Git repository
    a part of one               a folder or file inside it: it gets the same ids, and nothing outside is removed
    another one of its name     `docs` is taken, so it is called `team-b/docs`

Decisions
1. A second source of the same name gets a longer label instead of an error: both stay, and a script need not decide.
   If it is the old source at a new place, its ids are taken already, and that error says what to do.
2. A label that the caller names is used as it is. A label without a place (from older commits, or because the place
   was dropped) is recognised by its name.
3. A file speaks for itself alone, a glob for what it matches; the records in a file speak for all of its label.
4. An upload of one file that its label has already updates that document only, unless removals are allowed. It looks
   the same as a folder in which one file is left, and is far more frequent.
5. Places are stored in each commit: one read finds them, they belong to the branch, and a rollback restores them. The
   newest 200 are kept, so that a commit's size is bounded.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import PurePath
from posixpath import dirname

from vecver import pipeline
from vecver.errors import ConflictError, VecverError
from vecver.model import Commit, Failure, Json, Original, Records, Unread
from vecver.repo import Snapshot

ALL = "**"  # the scope of a source that speaks for every document of its label
_PLACES_KEPT = 200

Places = Mapping[str, Json]  # label -> {"path", "git", "prefix", "scope"}; {} for what lies nowhere: records, an upload


@dataclass(frozen=True)
class Source:
    """Where documents come from, under the label that owns them."""

    value: pipeline.SourceLike
    label: str
    prefix: str = ""
    records: bool | None = None
    named: bool = True  # False: `label` is the default, not the caller's
    under: str = ""  # between the prefix and the ids of a part of a known source: "deep/"
    within: str = ""  # a glob below the folder `value`: nothing else of it is read
    scope: str = ALL  # documents that are removed if it lacks them: globs below the prefix, one a line; "": none
    place: Json | None = None  # stored for its label; None: what is stored stays

    @property
    def bucket(self) -> pipeline.BucketSource | None:
        """The bucket that its documents are fetched from, each for itself; None for all other sources."""
        value = self.value
        if not isinstance(value, pipeline.BucketSource) or value.holds_records(self.records):
            return None
        return None if self.records else value

    def stream(self) -> Iterator[Original | Failure | Records | Unread]:
        """Its documents as `read` gives them, but those of a bucket unread."""
        if bucket := self.bucket:
            return bucket.unread(self.label, self.prefix, self.within, self.under)
        return self.read()

    def read(self) -> Iterator[Original | Failure | Records]:
        """Its documents, in a stream; one that cannot be fetched is a Failure."""
        part = {"under": self.under, "within": self.within}
        return pipeline.read(self.value, label=self.label, prefix=self.prefix, records=self.records, **part)

    @property
    def is_parsed(self) -> bool:
        """True if its documents are files, False if they are records."""
        return pipeline.is_parsed(self.value, records=self.records)

    def how_many(self) -> int | None:
        """The number of its documents; None if they cannot be counted without reading them."""
        return pipeline.how_many(self.value, records=self.records, within=self.within)

    def speaks_for(self, document: str) -> bool:
        """True if this document is removed when the source no longer has it."""
        if self.scope == ALL:
            return True
        below = document.removeprefix(self.prefix)
        here = len(below) == len(document) - len(self.prefix)
        return here and any(pipeline.matches(pattern, below) for pattern in self.scope.split("\n"))


def places_of(commit: Commit | None, load: Callable[[str], Commit]) -> Places:
    """Where the sources of a version lie, by label; after a rollback, those of the version that it went back to."""
    with suppress(VecverError):
        while commit and commit.operation.get("kind") == "rollback":
            commit = load(commit.operation["to"])
    return commit.operation.get("places", {}) if commit else {}


def places_after(before: Places, sources: Iterable[Source]) -> dict[str, Json]:
    """The places that the next commit stores: those before, and those of its sources, newest last."""
    places = dict(before)
    for source in sources:
        if source.place is not None:
            places.pop(source.label, None)
            places[source.label] = source.place
    return dict(list(places.items())[-_PLACES_KEPT:])


def recognised(sources: Sequence[Source], places: Places, parent: Snapshot | None = None) -> list[Source]:
    """The sources under the labels by which they are known, each with its scope and its place.

    `parent`: its documents identify a source whose label has no place. May run `git`.
    """
    known, result = dict(places), list[Source]()
    for source in sources:
        path = pipeline.path_of(source.value)
        if source.place is None and path is not None and pipeline.exists(source.value):
            source = _recognised(source, path, known, parent)
        elif source.place:
            source = _read_elsewhere(source, source.place, known)
        elif source.label in known:
            source = replace(source, place=None)  # records or an upload under a known label: it stays where it lies
        elif path is None and source.place is None:
            source = replace(source, place={})
        if source.place is not None:
            known[source.label] = source.place
        result.append(source)
    return result


def source_record(source: Source, origin: Json | None) -> Json:
    """A source as the commit records it. `origin`: where it comes from; None: look that up; {}: from nowhere."""
    found = pipeline.origin_of(source.value) if origin is None else origin or None
    scope = {} if source.scope == ALL else {"scope": source.scope}
    return {"label": source.label, "origin": found, **scope}


def lone_file(source: Source, parent: Snapshot | None) -> Source:
    """Narrow an upload of one file that its label has already to that document."""
    if source.place or source.scope != ALL or not parent or not source.is_parsed or source.how_many() != 1:
        return source
    item = next(source.read())
    assert not isinstance(item, Records), "only records come in columns"
    return replace(source, scope="") if _owns(parent, source.label, item.document, True) else source


def surroundings(source: Source) -> list[str]:
    """The places of the folders above a source; if one of them is a known source, this one is a part of it."""
    if (path := pipeline.path_of(source.value)) is None or not pipeline.exists(source.value):
        return []
    folders = chain(pipeline.places_above(path), list(pipeline.checkouts_above(path))[1:])
    return list(dict.fromkeys(place for place, _, _ in folders))


def _read_elsewhere(source: Source, place: Json, known: Places) -> Source:
    """A source that a remote client read, under the label by which it is known here.

    `place` also has the places `above` it, and whether the label is a `default`. Raises ConflictError if the label
    is another source's, or the source may be a part of one: the client then looks up the places and sends it again.
    """
    default = place.get("default", False)
    place = {name: value for name, value in place.items() if name not in ("above", "default")}
    source = replace(source, named=not default)
    for kind in ("path", "git"):
        if kind in place and (label := _same(source, kind, place[kind], known)):
            return _whole(source, label, {**known[label], **place}, known)
    holders = known.values() if default else [known.get(source.label, {})]
    above = set((source.place or {}).get("above", ()))
    if (default and source.label in known) or any(
        above & {holder.get("path"), holder.get("git")} for holder in holders
    ):
        raise ConflictError(
            f"the source {source.label!r} is known here under another name, or lies elsewhere",
            code="source_elsewhere",
            hint="look at the `places` of the branch's newest commit, and name the source",
        )
    return _whole(source, source.label, place, known) if place else replace(source, place=None)


# -- one source that has a path -----------------------------------------------------------------


def _recognised(source: Source, path: str, known: Places, parent: Snapshot | None) -> Source:
    if pipeline.is_document(source.value, source.records):
        source = replace(source, scope="")
    else:
        source = replace(source, scope=pipeline.pattern_of(source.value) or ALL)
    place = pipeline.place_of(path)
    if label := _same(source, "path", place, known):
        return _whole(source, label, known[label], known)
    if part := _part(source, "path", pipeline.places_above(path), known):
        return part
    if part := _part_by_name(source, path, known, parent):
        return part
    checkouts = list(pipeline.checkouts_above(path))
    git = {"git": checkouts[0][0]} if checkouts else {}
    prefix = {"prefix": source.prefix} if source.prefix else {}
    if git and (label := _same(source, "git", git["git"], known)):
        return _whole(source, label, {**known[label], "path": place}, known)
    if part := _part(source, "git", checkouts[1:], known):
        return part
    if source.named and not source.scope:
        return source  # a file from elsewhere for a named source, whose place stays
    label = source.label if source.named else _free(source.label, path, known)
    return _whole(source, label, {"path": place, **git, **prefix}, known)


def _same(source: Source, kind: str, place: str, known: Places) -> str | None:
    """The label under which this very place is known with this prefix; of several the newest."""
    for label in [source.label] if source.named else [source.label, *list(known)[::-1]]:
        stored = known.get(label, {})
        if stored.get(kind) == place and stored.get("prefix", "") == source.prefix:
            return label
    return None


def _whole(source: Source, label: str, place: Json, known: Places) -> Source:
    """A source that is not a part of another one. If only globs of it are known, its place lists them."""
    before = known.get(label, {})
    scope = source.scope or ALL
    if before.get("path") == place["path"] or before.get("git", "") == place.get("git"):
        scope = "\n".join(dict.fromkeys([*before.get("scope", ALL).split("\n"), *scope.split("\n")]))
    place = {name: value for name, value in place.items() if name != "scope"}
    return replace(source, label=label, place=place if ALL in scope.split("\n") else {**place, "scope": scope})


def _part(source: Source, kind: str, above: Iterable[tuple[str, str, str]], known: Places) -> Source | None:
    """The source as a part of the nearest known one that it lies in."""
    wanted = [source.label] if source.named else list(known)[::-1]
    holders = [(label, known[label]) for label in wanted if kind in known.get(label, {})]
    if not holders or (not source.named and _holds_records(source)):
        return None  # a file of records is a source by itself, unless the caller names the label
    for place, folder, below in above:
        for label, holder in holders:
            prefix = holder.get("prefix", "")
            if holder[kind] == place and source.prefix in ("", prefix) and _holds(holder, source, below):
                return _below(source, label, prefix, folder, below)
    return None


def _part_by_name(source: Source, path: str, known: Places, parent: Snapshot | None) -> Source | None:
    """As `_part`, for a label without a place: the folder of its name, if the parent has such documents."""
    if not parent or not source.named or source.label in known or pipeline.is_bucket(path):
        return None
    for folder in PurePath(path).parents:
        below = PurePath(path).relative_to(folder).as_posix()
        if folder.name == source.label and _owns(parent, source.label, source.prefix + below, _is_file(source)):
            return _below(source, source.label, source.prefix, str(folder), below)
    return None


def _below(source: Source, label: str, prefix: str, folder: str, below: str) -> Source:
    """The part `below` of the source that lies in `folder`."""
    if _is_file(source):
        under = f"{dirname(below)}/" if "/" in below else ""
        return replace(source, label=label, prefix=prefix, records=False, under=under, scope="")
    within = f"{glob.escape(below)}/{pipeline.pattern_of(source.value) or ALL}"
    return replace(source, value=pipeline.as_source(folder), label=label, prefix=prefix, within=within, scope=within)


def _holds(holder: Json, source: Source, below: str) -> bool:
    """True if a source that is known by globs has this part; of a folder that is unknown, so False."""
    patterns = holder.get("scope", ALL).split("\n")
    return ALL in patterns or (_is_file(source) and any(pipeline.matches(pattern, below) for pattern in patterns))


def _is_file(source: Source) -> bool:
    return pipeline.is_document(source.value, False)


def _holds_records(source: Source) -> bool:
    return _is_file(source) and not pipeline.is_document(source.value, source.records)


def _owns(parent: Snapshot, label: str, document: str, is_file: bool) -> bool:
    """True if the parent has this document, or one in this folder, under the label."""
    import pyarrow.compute as pc

    table = parent.documents(["document", "source"])
    names = table.filter(pc.equal(table.column("source"), label)).column("document")
    matches = pc.equal(names, document) if is_file else pc.starts_with(names, document + "/")
    return bool(pc.any(matches).as_py())


def _free(label: str, path: str, known: Places) -> str:
    """The label, with as many of the folders above it as are needed to make it unique."""
    parts = [pipeline.shown(part) for part in PurePath(path).parts[1:]]
    longer = ["/".join(parts[-n:]) for n in range(2, len(parts) + 1)]
    numbered = (f"{label}-{number}" for number in count(2))
    return next(name for name in chain([label], longer, numbered) if name not in known)
