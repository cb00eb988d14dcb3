"""The call of `Dataset` that brings the changes of one version into a branch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from vecver import flows
from vecver.arguments import Revision, text_of
from vecver.local.writing import Writing

if TYPE_CHECKING:
    from vecver.flows import Progress
    from vecver.model import Merge


class Merging(Writing):
    """Merging versions."""

    def merge(
        self,
        revision: Revision,
        *,
        branch: str = "main",
        message: str = "",
        ours: bool | str | Sequence[str] = (),
        theirs: bool | str | Sequence[str] = (),
        settings: Literal["ours", "theirs"] | None = None,
        fast_forward: bool = True,
        dry_run: bool = False,
        expected: str | None = None,
        progress: Progress | None = None,
    ) -> Merge:
        """Bring what `revision` changed since it parted from `branch` into that branch, document by document.

        The result is a commit with two parents; its documents keep their vectors, sources and metadata. Nothing is
        embedded and no row is copied. Where only `revision` went on, the branch moves to it and no commit is made
        (`fast_forward=False` makes one); where the branch holds all of it, nothing happens, and `Merge.kind` says so.

        A document that both changed, or that one changed and the other removed, is a conflict, unless both made it
        alike. `ours` and `theirs` settle conflicts: `theirs=["a.md"]` takes that document as `revision` has it,
        `ours=["b.md"]` keeps that of the branch, and True stands for all that is not named. How keywords are
        searched, the weight of hybrid search, and the place of a source are merged likewise; `settings` settles them,
        and so does True. `dry_run`: what would come of it, with all conflicts, and nothing is written.

        `expected`, a commit id: only if the branch stands there. Without it the branch may move meanwhile: then the
        merge is made with what it holds then.

        Raises NotFoundError (revision, branch), ConflictError (`merge_conflicts`: `context["conflicts"]` has those
        that are not settled; `merge_other_chunker`; the branch is not at `expected`), SpaceMismatchError (the two
        were embedded differently), InvalidInputError (a document that is not in conflict was settled),
        IntegrityError. After any failure nothing was changed.
        """
        how = {"branch": branch, "message": message, "fast_forward": fast_forward, "dry_run": dry_run}
        what = flows.merging_of(text_of(revision), ours, theirs, settings, expected=expected, **how)
        outcome = flows.merge(self._versions, self.name, what)
        notes = self._followed(outcome.commit, branch, progress) if outcome.changed else ()
        return replace(outcome, notes=(*outcome.notes, *notes))
