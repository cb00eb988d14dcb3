"""Postings of large segments, for keyword search: builds and opens them. They are derived.

A segment below LARGE rows has none: its texts are tokenised when a keyword question first meets it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from vecver import index, pipeline
from vecver.errors import ConflictError, IntegrityError, say
from vecver.flows import opened_postings
from vecver.flows.opened_postings import spec_of, tokenizer_recipe_of
from vecver.repo import Segment

if TYPE_CHECKING:
    from vecver.model import Json
    from vecver.progress import Progress
    from vecver.repo import Layout, Snapshot, Versions

LARGE: Final = index.faiss.costs.INDEX_ROWS  # chunk rows


def wants_postings(segment: Segment) -> bool:
    """True for a large segment, where PyStemmer is installed."""
    return segment.chunk_count >= LARGE and pipeline.can_tokenise()


def without_postings(versions: Versions, commit: str, layout: Layout) -> list[Segment]:
    """The large segments of a version that have no postings; none where PyStemmer is not installed."""
    if not pipeline.can_tokenise() or not any(live.chunk_count >= LARGE for live in layout.segments):
        return []
    return versions.without_derived(layout, spec_of(tokenizer_recipe_of(versions.commit(commit).recipe)), LARGE)


def build_postings(
    versions: Versions, segment: Segment, tokenizer: Json, progress: Progress | None = None, *, replace: bool = False
) -> None:
    """Build a segment's postings; `replace` those that are there."""
    import shutil

    spec, folder = spec_of(tokenizer), versions.store.scratch()
    try:
        (folder / "postings").write_bytes(opened_postings.make(segment, tokenizer, progress).to_bytes())
        facts = {"tokenizer": tokenizer, "made_with": pipeline.made_with(), "rows": segment.chunk_count}
        versions.put_derived(segment, spec, folder / "postings", facts, replace=replace)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def mend_postings(versions: Versions, dataset: str, progress: Progress | None = None) -> int:
    """Build what postings of large segments are missing or cannot be used, for every version; gives their number."""
    built = 0
    tokenizers: dict[tuple[str, str], Json] = {}
    for commit, layout in versions.layouts(dataset):
        tokenizer = tokenizer_recipe_of(commit.recipe)
        large = [live.segment for live in layout.segments if live.chunk_count >= LARGE]
        tokenizers |= {(segment, spec_of(tokenizer)): tokenizer for segment in large}
    for (id, _), tokenizer in tokenizers.items() if pipeline.can_tokenise() else ():
        segment = Segment(versions.store, id)
        if not _usable(versions, segment, tokenizer):
            segment.verify()
            build_postings(versions, segment, tokenizer, progress, replace=True)
            built += 1
    return built


def open_postings(versions: Versions, snapshot: Snapshot, wait: Callable[[], None] = lambda: None) -> None:
    """Open what postings the snapshot's large segments have; each is verified once a process.

    `wait`: until this process's upkeep, which builds them after a commit, is done; called if some are missing.
    Raises ConflictError (code keywords_not_built: a large segment has none, or has them of another PyStemmer),
    IntegrityError (they cannot be trusted or read).
    """
    tokenizer = tokenizer_recipe_of(snapshot.commit.recipe)
    missing = _open(versions, snapshot, tokenizer)
    if missing:
        wait()
        missing = _open(versions, snapshot, tokenizer)
    if missing:
        raise _not_built(versions, snapshot, tokenizer, missing)


def _not_built(versions: Versions, snapshot: Snapshot, tokenizer: Json, missing: int) -> ConflictError:
    """The error for a version that lacks lists of words, or whose lists another PyStemmer made."""
    of = f"{missing} of its {len(snapshot.segments)} segments"
    name = f"{snapshot.dataset} {snapshot.commit.id[:12]}"
    if made := _made_elsewhere(versions, snapshot, tokenizer):
        here = pipeline.made_with()["stemmer"]
        install, then = f"install PyStemmer=={made}.*", f"makes them again for {here}, for all who use this repository"
        other = f"they were made with PyStemmer {made}, which may stem words otherwise"
        return ConflictError(
            f"{name} cannot be searched by keywords with PyStemmer {here}: the lists of words of {of}: {other}",
            code="keywords_not_built",
            hint=say(
                f"{install} here; or docs.optimize() {then}",
                cli=f"{install} here; or `vecver optimize {snapshot.dataset}` {then}",
                http=f"ask the operator of the service to {install}, or to run `vecver optimize {snapshot.dataset}`",
            ),
            commit=snapshot.commit.id,
            dataset=snapshot.dataset,
        )
    then = "builds them; every commit does so for the newest version of its branch"
    return ConflictError(
        f"{name} cannot be searched by keywords yet: {of} have no list of their words",
        code="keywords_not_built",
        hint=say(
            f"docs.optimize() {then}",
            cli=f"`vecver optimize {snapshot.dataset}` {then}",
            http="ask the operator of the service to run `vecver optimize`; every commit does so for the newest "
            "version of its branch",
        ),
        commit=snapshot.commit.id,
        dataset=snapshot.dataset,
    )


def _made_elsewhere(versions: Versions, snapshot: Snapshot, tokenizer: Json) -> str:
    """The PyStemmer of another version that made a segment's lists of words; "" if none did."""
    for segment, live in zip(snapshot.segments, snapshot.layout.segments, strict=True):
        if live.chunks and segment.chunk_count >= LARGE:
            facts = versions.derived_facts(segment.id, spec_of(tokenizer)) or {}
            made = facts.get("made_with", {}).get("stemmer")
            if made not in (None, pipeline.made_with()["stemmer"]):
                return str(made)
    return ""


def _open(versions: Versions, snapshot: Snapshot, tokenizer: Json) -> int:
    """Opens what is not open; how many large segments have no postings."""
    spec, missing = spec_of(tokenizer), 0
    for segment, live in zip(snapshot.segments, snapshot.layout.segments, strict=True):
        if live.chunks and segment.chunk_count >= LARGE and opened_postings.postings_of(segment, spec) is None:
            postings = _load(versions, segment, tokenizer)
            if postings is None:
                missing += 1
            else:
                opened_postings.keep(segment, spec, postings)
    return missing


def _load(versions: Versions, segment: Segment, tokenizer: Json) -> index.keywords.Postings | None:
    """A segment's postings; None if it has none of this tokenizer. Raises IntegrityError."""
    found = versions.derived(segment, spec_of(tokenizer))
    if found is None or found[1].get("made_with") != pipeline.made_with():
        return None
    postings = index.keywords.load(found[0])
    return postings if postings.row_count == segment.chunk_count else None


def _usable(versions: Versions, segment: Segment, tokenizer: Json) -> bool:
    try:
        return _load(versions, segment, tokenizer) is not None
    except IntegrityError:
        return False
