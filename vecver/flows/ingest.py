"""Ingest: sources become the next version of a dataset. A story in four steps:

    recipe    how documents become vectors: what was asked, else what the parent version used
    fill      read, parse, chunk; keep the rows that are there, embed and write those that are not
    finish    one layout, two roots, one commit
    publish   the compare-and-swap of the branch: the only visible moment

Stopped anywhere, the branch stays where it was, and what was embedded is found by the next ingest.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from time import perf_counter
from typing import Any

import numpy as np

from vecver import index, pipeline
from vecver.digest import key
from vecver.errors import InvalidInputError, SpaceMismatchError, VecverError
from vecver.flows.arrivals import Arrivals, Source, arrivals, grouped, recipe_of
from vecver.flows.indexing import index_segments
from vecver.flows.preparation import OpenEmbedder, Options, Preparation, Stream, prepare
from vecver.model import Chunk, Commit, Failure, Json, Original, Parsed, Recipe, Report, Vectors
from vecver.repo import Draft, Layout, NewChunks, NewDocument, Snapshot, Versions, check_name, missing

EMBED_ROWS = 1024  # chunks looked up, embedded and written at once
_LIBRARIES = ("vecver", "numpy", "pyarrow", "faiss-cpu", "torch", "sentence-transformers", "tokenizers")
_FAILURES_KEPT = 1000  # in the commit; the report has all

Progress = Callable[[str, int], None]  # ("documents" | "chunks" | "index rows", how many more are done)


@dataclass
class _Work:
    """What is counted and measured while a draft is filled."""

    tally: Arrivals = field(default_factory=Arrivals)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("parse", "chunk", "embed", "write"), 0.0))
    embedded: int = 0
    reused: int = 0
    tokens: int = 0
    longer: int = 0
    planned: set[bytes] = field(default_factory=set)  # a dry run's: what would be embedded by now

    def timed(self, phase: str, since: float) -> float:
        now = perf_counter()
        self.seconds[phase] += now - since
        return now


def ingest(
    versions: Versions,
    dataset: str,
    sources: Sequence[Source],
    options: Options,
    open_embedder: OpenEmbedder,
    progress: Progress | None = None,
) -> Report:
    """Make `sources` the truth for the documents that came from them, as a new commit on a branch.

    A document that cannot be read is reported and keeps its previous version; `strict` turns it into
    an error. Raises InvalidInputError, NotFoundError, SpaceMismatchError, ConflictError (another
    writer moved the branch). After any failure the branch is where it was.
    """
    check_name("dataset", dataset)
    check_name("branch", options.branch)
    parent = _head(versions, dataset, options.branch)
    old = parent.commit.recipe if parent else None
    streams, means = prepare(old, [source.read() for source in sources], options, open_embedder)
    draft = versions.draft(parent, means.recipe.space)
    work = _Work()
    try:
        _fill(draft, means, list(zip(sources, streams, strict=True)), options, work, progress or _silent)
        removed = [] if options.keep_missing else draft.remove_missing([source.label for source in sources])
        _one_space(draft, parent, means.recipe)
        if options.strict and work.tally.failures:
            raise _strict(work.tally.failures)
        if options.dry_run:
            return _report(dataset, parent, work, removed, options, live=None)
        return _finish(versions, dataset, parent, draft, means, sources, options, work, removed, progress or _silent)
    except BaseException:
        if not options.dry_run:
            with suppress(VecverError, OSError):  # keep what was embedded, if the store still takes it
                draft.seal()
        raise
    finally:
        draft.discard()


# -- fill ---------------------------------------------------------------------------------------


def _fill(
    draft: Draft,
    means: Preparation,
    streams: Sequence[tuple[Source, Stream]],
    options: Options,
    work: _Work,
    progress: Progress,
) -> None:
    """Write what is new into the draft, group by group."""
    changed = arrivals(draft, means.recipe, streams, work.tally)
    parsed = pipeline.parse_all(changed, passwords=options.passwords, workers=options.workers)
    since = perf_counter()
    for group in grouped(parsed, _size):
        since = work.timed("parse", since)
        documents, texts, vectors = _chunked(group, means, work)
        since = work.timed("chunk", since)
        if options.dry_run:
            _plan(draft, means, documents, texts, work)
        else:
            _write(draft, means, documents, texts, vectors, work, progress)
        progress("documents", len(group))
        since = perf_counter()
    work.timed("parse", since)


def _chunked(
    group: Sequence[tuple[Original, Parsed | Failure]], means: Preparation, work: _Work
) -> tuple[list[NewDocument], list[str], list[Vectors | None]]:
    """The documents of a group with the texts to embed, and the vectors that they bring, chunk by chunk."""
    documents, texts, vectors = [], [], list[Vectors | None]()
    for original, parsed, chunks in _pieces(group, means, work):
        embedded = [_embedded(chunk.embedded, original.vector) for chunk in chunks]
        documents.append(
            NewDocument(
                document=original.document,
                source=original.source,
                digest=original.digest,
                recipe=recipe_of(original, means.recipe),
                media_type=parsed.media_type,
                title=parsed.title,
                metadata=dict(original.metadata),
                texts=[chunk.text for chunk in chunks],
                embedded=embedded,
                spans=[(chunk.start, chunk.end) for chunk in chunks],
            )
        )
        texts += [chunk.embedded for chunk in chunks]
        vectors += [original.vector] * len(chunks)
    return documents, texts, vectors


def _pieces(
    group: Sequence[tuple[Original, Parsed | Failure]], means: Preparation, work: _Work
) -> Iterator[tuple[Original, Parsed, list[Chunk]]]:
    """Each readable document with its chunks; a document without any is a failure."""
    readable: list[tuple[Original, Parsed]] = []
    for original, parsed in group:
        failure = parsed if isinstance(parsed, Failure) else _unfit(original, means.recipe)
        if failure:
            work.tally.fail(failure)
        else:
            assert isinstance(parsed, Parsed)
            readable.append((original, parsed))
    recipe = means.recipe
    if recipe.chunker["name"] == "given":
        lists = [[Chunk(0, len(p.text), p.text, p.text)] for _, p in readable]
    else:
        lists = pipeline.chunk([p for _, p in readable], recipe.chunker, means.embedder.count_tokens)
    for (original, parsed), chunks in zip(readable, lists, strict=True):
        if recipe.chunker["name"] == "whole" and chunks:
            work.longer += int(means.embedder.count_tokens([chunks[0].embedded])[0] > means.embedder.max_tokens)
        if chunks:
            yield original, parsed, chunks
        else:
            work.tally.fail(Failure(original.document, "no_text", "it holds no text to embed"))


def _unfit(original: Original, recipe: Recipe) -> Failure | None:
    """Why a record's vector, or its absence, does not suit the space."""
    given = recipe.chunker["name"] == "given"
    if original.vector is None:
        return (
            Failure(original.document, "no_vector", "the dataset's records bring vectors, this one has none")
            if given
            else None
        )
    if not given:
        return Failure(
            original.document, "unexpected_vector", "it brings a vector: name its space with --space, or leave it out"
        )
    if len(original.vector) != recipe.space.dim:
        reason = f"its vector has {len(original.vector)} dimensions, the space has {recipe.space.dim}"
        return Failure(original.document, "wrong_dimension", reason)
    return None


def _write(
    draft: Draft,
    means: Preparation,
    documents: Sequence[NewDocument],
    texts: Sequence[str],
    vectors: Sequence[Vectors | None],
    work: _Work,
    progress: Progress,
) -> None:
    """Stage documents, then give each new row its vector: brought, known, or embedded now."""
    since = perf_counter()
    new = draft.stage(documents)
    work.reused += len(texts) - len(new)
    since = work.timed("write", since)
    for start in range(0, len(new), EMBED_ROWS):
        rows = new.slice(start, EMBED_ROWS)
        brought = vectors[rows.origin[0]] is not None
        made = _brought(vectors, rows, means.recipe) if brought else _embed(draft, means, texts, rows, work)
        since = work.timed("embed", since)
        draft.add(rows, made)
        since = work.timed("write", since)
        progress("chunks", len(rows))


def _brought(vectors: Sequence[Vectors | None], rows: NewChunks, recipe: Recipe) -> Vectors:
    return index.normalised(np.stack([vectors[i] for i in rows.origin]), recipe.space.metric)  # type: ignore[misc]


def _embed(draft: Draft, means: Preparation, texts: Sequence[str], rows: NewChunks, work: _Work) -> Vectors:
    """`(len(rows), dim)` float32: each distinct text is embedded once, and only if nobody did before."""
    names = rows.table.column("embedded").to_pylist()
    known = draft.vectors_of(names)
    missing = {name: texts[i] for name, i in zip(names, rows.origin, strict=True) if name not in known}
    if missing:
        wanted = list(missing.values())
        made = index.normalised(means.embedder.embed(wanted), means.recipe.space.metric)
        known.update(zip(missing, made, strict=True))
        work.tokens += int(means.embedder.count_tokens(wanted).sum())
    work.embedded += len(missing)
    work.reused += len(rows) - len(missing)
    return np.stack([known[name] for name in names])


def _plan(
    draft: Draft, means: Preparation, documents: Sequence[NewDocument], texts: Sequence[str], work: _Work
) -> None:
    """Count what `_write` would embed; writes nothing."""
    names = [name for document in documents for name in document.embedded]
    if means.recipe.chunker["name"] == "given":
        return
    known = draft.vectors_of(names)
    missing = {n: t for n, t in zip(names, texts, strict=True) if n not in known and n not in work.planned}
    work.planned.update(missing)
    work.tokens += int(means.embedder.count_tokens(list(missing.values())).sum()) if missing else 0
    work.embedded += len(missing)
    work.reused += len(names) - len(missing)


# -- finish and publish -------------------------------------------------------------------------


def _finish(
    versions: Versions,
    dataset: str,
    parent: Snapshot | None,
    draft: Draft,
    means: Preparation,
    sources: Sequence[Source],
    options: Options,
    work: _Work,
    removed: Sequence[str],
    progress: Progress,
) -> Report:
    since = perf_counter()
    layout, gone = draft.finish()
    work.timed("write", since)
    if not (work.tally.added or work.tally.changed or removed):
        return _report(dataset, parent, work, removed, options, live=layout, gone=gone)
    report = _report(dataset, parent, work, removed, options, live=layout, gone=gone)
    commit = _commit(versions, dataset, parent, layout, means, sources, options, report)
    id = versions.save(commit, layout)
    before = parent.commit.id if parent else None
    versions.move(dataset, "branch", options.branch, before=before, after=id, reason=f"ingest: {options.message}")
    index_segments(versions, id, progress)
    return Report(**{**report.__dict__, "commit": id, "changed": True})


def _commit(
    versions: Versions,
    dataset: str,
    parent: Snapshot | None,
    layout: Layout,
    means: Preparation,
    sources: Sequence[Source],
    options: Options,
    report: Report,
) -> Commit:
    told = report.to_json()
    operation = {
        "kind": "ingest",
        "sources": [{"label": s.label, "origin": pipeline.origin_of(s.value)} for s in sources],
        "failures": told["failures"][:_FAILURES_KEPT],
        **{name: told[name] for name in ("documents", "chunks", "tokens", "longer", "seconds")},
    }
    return Commit(
        dataset=dataset,
        parents=(parent.commit.id,) if parent else (),
        author=versions.author,
        message=options.message,
        time=versions.time()[:19] + "+00:00",
        content_root=layout.roots.content_root,
        vector_root=layout.roots.vector_root,
        counts={"documents": layout.document_count, "chunks": layout.chunk_count},
        recipe=means.recipe,
        environment={**_environment(), **means.environment},
        operation=operation,
    )


def _report(
    dataset: str,
    parent: Snapshot | None,
    work: _Work,
    removed: Sequence[str],
    options: Options,
    *,
    live: Layout | None,
    gone: int = 0,
) -> Report:
    tally = work.tally
    counts = {
        "added": len(tally.added),
        "changed": len(tally.changed),
        "removed": len(removed),
        "unchanged": tally.unchanged,
        "failed": len(tally.failures),
    }
    before = parent.layout.chunk_count if parent else 0
    chunks = {
        "live": live.chunk_count if live else before,
        "embedded": work.embedded,
        "reused": work.reused,
        "removed": gone,
    }
    return Report(
        dataset=dataset,
        commit=parent.commit.id if parent else None,
        changed=False,
        documents=counts,
        chunks=chunks,
        failures=tuple(tally.failures),
        seconds=work.seconds,
        tokens=work.tokens,
        longer=work.longer,
        dry_run=options.dry_run,
        names={"added": tuple(tally.added), "changed": tuple(tally.changed), "removed": tuple(removed)},
    )


def _head(versions: Versions, dataset: str, branch: str) -> Snapshot | None:
    """The version that a branch stands on; None begins a dataset."""
    commit = versions.refs(dataset).get("branch", branch)
    if commit is None and dataset in versions.datasets() and versions.refs(dataset).all("branch"):
        raise missing("branch", branch, dataset)
    return versions.snapshot(commit) if commit else None


def _one_space(draft: Draft, parent: Snapshot | None, recipe: Recipe) -> None:
    """A version has one space: documents that stay may not lie in another."""
    if parent and parent.commit.recipe.space.id != recipe.space.id and draft.untouched:
        raise SpaceMismatchError(
            f"{draft.untouched} documents of other sources would stay in another space",
            code="mixed_spaces",
            hint="ingest all sources of the dataset in one command, or use a new dataset",
        )


def _strict(failures: Sequence[Failure]) -> InvalidInputError:
    first = failures[0]
    return InvalidInputError(
        f"{len(failures)} documents cannot be read; the first is {first.document!r}: {first.reason}",
        code="documents_failed",
        hint="mend or ignore them, or leave out --strict; nothing was committed",
        failures=[failure.to_json() for failure in failures],
    )


def _environment() -> Json:
    found: dict[str, Any] = {"python": platform.python_version(), "machine": platform.machine()}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def _embedded(text: str, vector: Vectors | None) -> bytes:
    """The name under which a vector is known again: of the text it was made from, or of its own bits."""
    return key(b"text", text.encode("utf-8", "surrogatepass")) if vector is None else key(b"vector", vector.tobytes())


def _size(item: tuple[Original, Parsed | Failure]) -> int:
    original, parsed = item
    vector = 0 if original.vector is None else original.vector.nbytes
    return vector + (len(parsed.text) if isinstance(parsed, Parsed) else 0)


def _silent(unit: str, count: int) -> None:
    return None
