"""Recipes that change without their rows: a commit with the same content and another weight of hybrid search."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vecver.errors import ConflictError, InvalidInputError, say
from vecver.repo.landing import turn_at
from vecver.repo.maintain.naming import naming

if TYPE_CHECKING:
    from vecver.model import Json
    from vecver.repo.read.snapshot import Snapshot
    from vecver.repo.versions import Versions

TUNE = "tune"


def set_weight(versions: Versions, dataset: str, branch: str, measured: Snapshot, weight: float, facts: Json) -> str:
    """Commit the weight of hybrid search on a branch whose head is the version that was measured; returns the commit.

    The commit has the same rows and names the same places of its sources. If the recipe says this weight already, no
    commit is made. Raises InvalidInputError (no branch), ConflictError (it stands elsewhere).
    """
    ref = versions.refs(dataset).find(branch)
    if not ref or ref[0] != "branch":
        raise InvalidInputError(
            f"{branch!r} is no branch, and a weight is written by a commit on one",
            code="not_a_branch",
            hint=say("measure a branch: at='main'", cli=f"measure a branch: {dataset}@main"),
        )
    with turn_at(versions, dataset, branch), naming(versions.store):
        found = versions.refs(dataset).find(branch)
        current = found[1] if found else ""
        if current != measured.commit.id:
            raise ConflictError(
                f"{branch!r} does not stand at the version that was measured any more",
                code="ref_moved",
                hint="measure it again",
                now=current,
            )
        old = measured.commit
        if old.recipe.hybrid == {"weight": weight}:
            return current
        places = {"places": old.operation["places"]} if "places" in old.operation else {}
        commit = replace(
            old,
            parents=(current,),
            author=versions.author,
            message=f"Weigh vectors {weight:g} in hybrid search",
            time=versions.time()[:19] + "+00:00",
            recipe=replace(old.recipe, hybrid={"weight": weight}),
            operation={"kind": TUNE, "branch": branch, "weight": weight, **facts, **places},
        )
        after = versions.save(commit, versions.layout(current))
        versions.move(dataset, "branch", branch, before=current, after=after, reason=TUNE)
        return after
