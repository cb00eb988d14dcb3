"""Merging behind a service: the call of `Dataset` that brings the changes of one version into a branch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from vecver import flows
from vecver.arguments import Revision
from vecver.model import Json, Merge
from vecver.remote.handle import RemoteHandle, condition, revision_text
from vecver.wire import read

if TYPE_CHECKING:
    from vecver.flows import Progress


class RemoteMerging(RemoteHandle):
    """Merging versions, as `Dataset` does."""

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
        """As `Dataset.merge`; done by the service while this call waits. Progress is not sent."""
        what = flows.merging_of(revision_text(revision), ours, theirs, settings)
        body: Json = {
            "ref": what.revision,
            "branch": branch,
            "message": message,
            "ours": what.ours if what.ours is True else list(what.ours or ()),
            "theirs": what.theirs if what.theirs is True else list(what.theirs or ()),
            "settings": settings,
            "fast_forward": fast_forward,
            "dry_run": dry_run,
        }
        return read(self._wire.write("POST", self._path("merge"), body, condition(expected)), Merge.from_json)
