"""Ray: connecting to a cluster, and giving work to actors that may die. Nothing here knows what the work is."""

from typing import TYPE_CHECKING

from vecver.doors import lazily

if TYPE_CHECKING:
    from vecver.pipeline.ray.cluster import Cluster, check_place, connected, kill, translated
    from vecver.pipeline.ray.crew import WRITE, Crew, Done, Piece
else:
    __getattr__, __dir__ = lazily(__name__)

__all__ = ["WRITE", "Cluster", "Crew", "Done", "Piece", "check_place", "connected", "kill", "translated"]
