"""What the handles of one opened repository share. Knows none of the handles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vecver.flows import Upkeep
    from vecver.local.embedders import Embedders
    from vecver.local.milvus import MilvusConnections
    from vecver.repo import Versions


@dataclass(frozen=True)
class Session:
    """An opened repository: its versions, their upkeep, its embedders, the Milvus that it publishes to."""

    versions: Versions
    upkeep: Upkeep
    embedders: Embedders
    milvus: MilvusConnections
    remote_key: str  # for remotes that are services
    publish: frozenset[str]  # branches whose new versions, and aliases whose promotions, are published at once

    def signed(self, author: str, key: str = "") -> Session:
        """This session for another author of commits and ref moves; everything open is shared."""
        return replace(self, versions=self.versions.signed(author, key))
