"""Measures: keeps what was measured of a commit beside it. Knows neither what was measured nor how.

measures/<commit>/<kind>   the measure, sealed, with its commit and kind

Decisions
1. The newest measure of a kind replaces the one before. A measure describes an index and a machine, which both change;
   the history that vecver keeps is that of the knowledge. One `put` writes it, so a reader sees the old or the new one.
2. A damaged measure is reported in its place instead of raised: nothing else depends on it, and measuring again
   replaces it. `check` names it.
"""

from __future__ import annotations

from collections.abc import Iterator

from vecver.errors import IntegrityError, say
from vecver.model import Json
from vecver.repo import objects
from vecver.store import LocalStore, Store


def save(store: Store, commit: str, kind: str, value: Json) -> None:
    """Keep a measure beside a commit, in place of the last one of its kind."""
    store.put(path_of(commit, kind), objects.sealed({**value, "commit": commit, "kind": kind}))


def forget(store: Store, commit: str, kind: str) -> None:
    """Let a commit have no measure of this kind."""
    if store.size(path_of(commit, kind)) is not None:
        store.delete(path_of(commit, kind))


def load(store: Store, commit: str, kind: str) -> Json:
    """A measure. Raises NotFoundError, IntegrityError (damaged, or stored under the name of another)."""
    name = path_of(commit, kind)
    value = objects.load_sealed(store, name)
    if (value.get("commit"), value.get("kind")) != (commit, kind):
        raise IntegrityError(
            f"{name} is a measure of another commit or kind",
            code="wrong_measure",
            hint=say(f"measure again: docs.{kind}() replaces it", cli=f"measure again: `vecver {kind}` replaces it"),
            name=name,
        )
    return value


def load_all(store: Store, commit: str) -> dict[str, Json]:
    """Every measure of a commit, by kind; a damaged one is `{"damaged": reason}`."""
    return {kind: _measure_or_damage(store, commit, kind) for kind in kinds(store, commit)}


def kinds(store: Store, commit: str) -> Iterator[str]:
    """The kinds of measures that a commit has, sorted."""
    prefix = path_of(commit, "")
    return (name.removeprefix(prefix) for name in store.list(prefix))


def stamp(store: Store, commit: str) -> object | None:
    """What changes whenever a measure of the commit is saved or forgotten; None where the store cannot tell."""
    return store.folder_stamp(path_of(commit, "")) if isinstance(store, LocalStore) else None


def path_of(commit: str, kind: str) -> str:
    """The store's name of a measure."""
    return f"measures/{commit}/{kind}"


def unit_of(commit: str) -> str:
    """The unit of all measures of a commit, as `repo.maintain.trash` names it."""
    return f"measures/{commit}"


def _measure_or_damage(store: Store, commit: str, kind: str) -> Json:
    try:
        return load(store, commit, kind)
    except IntegrityError as error:
        return {"damaged": error.message}
