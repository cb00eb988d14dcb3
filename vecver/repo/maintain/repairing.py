"""Repair: rebuilds what follows from sound objects, and gives advice on the rest. It deletes nothing for good.

    refs            from their moves, which say whose they are and which came before
    layouts         from the layout of another version with the same roots
    segment.json    from the segment's files and layouts; lookup.npy from its documents and chunks
    retired         emptied: what waits to be deleted begins to wait again

What is replaced or removed is kept under `aside/`, and what is rebuilt must have the digest that its name or parent
gives. (`flows.maintaining.repairing` builds indexes.)

Decisions
1. If two moves may each have been a ref's last (one may have lost its race), the later is taken and the other is
   named. Leaving such a ref missing would stop gc for good.
2. A layout is not derived from its parent's, because nothing else records which documents a commit removed.
"""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from vecver.digest import canonical_json, digest, digest_json
from vecver.errors import VecverError
from vecver.model import Commit, Move, Problem
from vecver.repo import objects
from vecver.repo.maintain import trash
from vecver.repo.refs import names, refs, tracking
from vecver.repo.refs.refs import Refs
from vecver.repo.rows import index_files
from vecver.repo.rows.layout import Layout, layout_path, load_layout, save_layout
from vecver.repo.rows.npy_file import array_of
from vecver.repo.rows.schema import keys_array
from vecver.repo.rows.segment import table_of
from vecver.repo.rows.segment_files import FILES, path_of
from vecver.repo.rows.segment_writer import segment_manifest
from vecver.repo.rows.sorted_keys import order_of
from vecver.store import Store

ASIDE = "aside"


def repair(store: Store) -> Iterator[Problem]:
    """Rebuild what can be rebuilt; yields what was done, object by object. Raises BackendError."""
    yield from _names(store)
    yield from _refs(store)
    yield from _retired(store)
    versions = list(_versions(store))
    yield from _layouts(store, versions)
    for commit, layout in [(commit, _tried(load_layout, store, commit.id)) for commit in versions]:
        for live in layout.segments if layout else ():
            yield from _manifest(store, live.segment, commit, live.chunk_count, live.document_count)
            yield from _lookup(store, live.segment)


def drop_derived(store: Store, segment: str) -> Iterator[Problem]:
    """Set aside the unreadable files derived from a segment; they can be built again."""
    for spec in list(index_files.specs(store, segment)):
        file, measured = path_of(segment, spec), index_files.measured_path(segment, spec)
        if not _readable(index_files.derived, store, segment, spec):
            yield _dropped(store, file, [file + ".json", file], "it is derived, and of no use")
        elif not _readable(index_files.measured, store, segment, spec):
            yield _dropped(store, measured, [measured], "`vecver recall --queries` measures it again")


def _dropped(store: Store, name: str, files: list[str], reason: str) -> Problem:
    """Set files aside and delete them."""
    for file in files:
        _set_aside(store, file)
        store.delete(file)
    return Problem(name, f"set aside under {ASIDE}/: {reason}")


def advice(name: str) -> str:
    """What helps with an object that cannot be rebuilt."""
    folder, _, rest = name.partition("/")
    if folder == "measures":
        return f"measure version {rest[:12]} again"
    if folder == "publications":
        return "publish again, or forget what is published there"
    if folder == "segments" and rest.endswith(".measured"):
        return "`vecver recall --queries` measures it again"
    if folder == "segments" and rest.rsplit("/", 1)[-1] not in (*FILES, "segment.json"):
        return "`vecver optimize DATASET` builds it again"
    return "it cannot be made again here: restore this file from a copy of the repository"


# -- names and refs ---------------------------------------------------------------------------------------


def _names(store: Store) -> Iterator[Problem]:
    body = store.get(names.NAME) if store.size(names.NAME) is not None else None
    if body is None or _tried(names.read, store) is not None:
        return
    _set_aside(store, names.NAME)
    store.delete(names.NAME)
    yield Problem(names.NAME, "begun anew: datasets have the names that they were made with; deleted ones are back")


def _refs(store: Store) -> Iterator[Problem]:
    deleted = names.read(store).deleted
    moves: dict[tuple[str, Any, str], dict[str, Move]] = defaultdict(dict)
    for name in store.list("moves/"):
        id = name.partition("/")[2]
        if (move := _tried(refs.load_move, store, id)) and move.dataset not in deleted:
            moves[move.dataset, move.kind, move.name][id] = move
    for (dataset, kind, name), mine in sorted(moves.items()):
        yield from _ref(store, Refs(store, dataset).path(kind, name), mine)


def _ref(store: Store, path: str, moves: dict[str, Move]) -> Iterator[Problem]:
    """Point a ref at the newest of its moves if it is missing, belongs to another ref, or was set back."""
    body = store.get(path) if store.size(path) is not None else None
    if body == refs.RESERVED:  # it was being made, and no move of it took place
        return
    ref = _tried(refs.parse, path, body) if body is not None else None
    newest = moves.get(ref["move"]) if ref else None
    if ref and newest and newest.after == ref["commit"] and not _was_set_back(ref["move"], moves):
        return
    depths = _depths(moves)
    ends = [id for id in moves if id not in {move.previous for move in moves.values()}]
    if not ends:
        return
    deepest = max(depths[id] for id in ends)
    last, *others = sorted(
        (id for id in ends if depths[id] == deepest), key=lambda id: (moves[id].time, id), reverse=True
    )
    if newest and ref and ref["move"] not in _before(last, moves):
        return  # it was set back and moved on from there: both ends may be wanted
    _set_aside(store, path)
    after = moves[last].after
    store.swap(path, body, canonical_json({"format": objects.FORMAT, "commit": after, "move": last}))
    where = after[:12] if after else "nowhere: it was deleted"
    doubt = [f"; if that move never came to pass, it was at {str(moves[id].after)[:12]}" for id in others]
    yield Problem(path, f"put back where its moves say, at {where}{''.join(doubt)}")


def _was_set_back(id: str, moves: dict[str, Move]) -> bool:
    """Did a move that follows this one take place? A further move upon that shows it did."""
    followers = {follower for follower, move in moves.items() if move.previous == id}
    return any(move.previous in followers for move in moves.values())


def _depths(moves: dict[str, Move]) -> dict[str, int]:
    """How many moves come before each one."""
    depths: dict[str, int] = {}
    for start in moves:
        chain = [start]
        while chain[-1] not in depths and (previous := moves[chain[-1]].previous) in moves:
            chain.append(str(previous))
        for id in reversed(chain):
            depths.setdefault(id, depths.get(str(moves[id].previous), -1) + 1)
    return depths


def _before(id: str, moves: dict[str, Move]) -> set[str]:
    """A move and all moves before it."""
    chain: set[str] = set()
    next_id: str | None = id
    while next_id in moves and next_id not in chain:
        chain.add(next_id)
        next_id = moves[next_id].previous
    return chain


def _retired(store: Store) -> Iterator[Problem]:
    body = store.get(trash.NAME) if store.size(trash.NAME) is not None else None
    if body is None or _tried(trash.read, store) is not None:
        return
    _set_aside(store, trash.NAME)
    store.swap(trash.NAME, body, objects.sealed({"waiting": {}, "condemned": []}))
    yield Problem(trash.NAME, "begun anew: what waits to be deleted waits from now on")


# -- versions -----------------------------------------------------------------------------------


def _versions(store: Store) -> Iterator[Commit]:
    """Every sound commit that a ref leads to."""
    heads = set[str]()
    for key in _tried(tracking.keys, store) or ():
        heads.update(_tried(lambda key=key: list(tracking.commits_of(store, key))) or ())
    for dataset in refs.dataset_names(store):
        logs = Refs(store, dataset)
        for kind in refs.KINDS:
            for name in logs.names(kind):
                for move in _tried(lambda logs=logs, kind=kind, name=name: list(logs.log(kind, name))) or ():
                    heads |= {id for id in (move.after, move.before) if id}
    yield from objects.parents_first(sorted(heads), lambda id: _tried(objects.load_commit, store, id))


def _layouts(store: Store, versions: list[Commit]) -> Iterator[Problem]:
    """Restore a lost layout from a version with the same roots."""
    sound: dict[tuple[str, str, str], Layout] = {}
    lost = []
    for commit in versions:
        same = (commit.content_root, commit.vector_root, commit.recipe.space.id)
        if layout := _tried(load_layout, store, commit.id):
            sound.setdefault(same, layout)
        elif store.size(f"forgotten/{commit.id}") is None:
            lost.append((commit, same))
    for commit, same in lost:
        if layout := sound.get(same):
            _set_aside(store, layout_path(commit.id))
            save_layout(store, commit.id, layout)
            yield Problem(layout_path(commit.id), "made again from a version with the same rows")


def _manifest(store: Store, segment: str, commit: Commit, chunks: int, documents: int) -> Iterator[Problem]:
    name = path_of(segment, "segment.json")
    if _tried(objects.load, store, name, segment):
        return
    content = {file: _tried(store.map, path_of(segment, file)) for file in FILES}
    if not all(content.values()):
        return
    files = {f: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)} for f, c in content.items()}
    vectors = _tried(array_of, content["vectors.npy"])
    if vectors is None:
        return
    manifest = segment_manifest(commit.recipe.space, chunks, documents, vectors, files)
    if digest_json(manifest) == segment:
        _set_aside(store, name)
        store.put(name, canonical_json(manifest))
        yield Problem(name, "made again from the segment's files")


def _lookup(store: Store, segment: str) -> Iterator[Problem]:
    """Rebuild the look-up orders, if the tables that they follow from are sound."""
    manifest, name = _tried(objects.load, store, path_of(segment, "segment.json"), segment), path_of(segment, FILES[3])
    content = {file: _tried(store.map, path_of(segment, file)) for file in FILES}
    if not manifest:
        return
    sound = {f for f, c in content.items() if c and digest(c) == manifest["files"][f]["sha256"]}
    if FILES[3] in sound or not {FILES[0], FILES[1]} <= sound:
        return
    documents, chunks = table_of(content[FILES[0]]), table_of(content[FILES[1]])
    columns = [keys_array(chunks.column("key")), keys_array(chunks.column("embedded")), keys_array(documents["id"])]
    made = io.BytesIO()
    np.save(made, np.concatenate([order_of(keys) for keys in columns]))
    if digest(made.getvalue()) == manifest["files"][FILES[3]]["sha256"]:
        _set_aside(store, name)
        store.put(name, made.getvalue())
        yield Problem(name, "made again from the segment's rows")


# -- helpers ------------------------------------------------------------------------------------


def _set_aside(store: Store, name: str) -> None:
    """Copy an object to where nothing else looks for it."""
    if store.size(name) is not None:
        store.put(f"{ASIDE}/{name}", store.get(name))


def _readable(read: Callable[..., Any], *arguments: Any) -> bool:
    """False if a read fails with an error of vecver."""
    try:
        read(*arguments)
    except VecverError:
        return False
    return True


def _tried(read: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a read, or None: damaged bytes fail in as many ways as there are decoders."""
    try:
        return read(*arguments)
    except Exception:
        return None
