"""Opens the embedders that versions name, each once, and keeps them for all handles of a repository or an export."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from vecver import pipeline
from vecver.progress import step

if TYPE_CHECKING:
    from vecver.model import Embedder, Endpoints, Json


class Embedders:
    """Embedders by name or recipe. An object that a caller passed is preferred to what its recipe would open."""

    def __init__(
        self, api_key: str | None = None, objects: Sequence[Any] = (), endpoints: Endpoints | None = None
    ) -> None:
        self._api_key = api_key
        self._endpoints = endpoints
        self._objects = [pipeline.adapted(embedder) for embedder in objects]
        self._opened: dict[str, Embedder] = {}
        self._opening = Lock()

    def __reduce__(self) -> tuple[type[Embedders], tuple[str | None, Sequence[Any], Endpoints | None]]:
        """Another process opens its own; it gets the objects that callers passed, the key and the limits."""
        return Embedders, (self._api_key, self._objects, self._endpoints)

    def open(self, spec: str | Json) -> Embedder:
        """The embedder of a name or recipe, loaded once; the queries of many threads share its batches.

        Raises InvalidInputError (no such embedder), BackendError (it cannot be loaded).
        """
        name = _name_of(spec)
        if name not in self._opened:  # a call for an open embedder does not wait while another one loads
            with self._opening:
                if name not in self._opened:
                    self._opened[name] = self._load(spec)
        return self._opened[name]

    def recipe_of(self, embedder: Any) -> str | Json | None:
        """What a flow takes for the `embedder` that a caller passed; an object is kept. Raises InvalidInputError."""
        if embedder is None or isinstance(embedder, str):
            return embedder
        adapted = pipeline.adapted(embedder)
        others = [other for other in self._objects if other.fingerprint != adapted.fingerprint]
        self._objects[:] = [adapted, *others]
        self._opened.pop(_name_of(adapted.recipe), None)
        return adapted.recipe

    def _load(self, spec: str | Json) -> Embedder:
        model = spec if isinstance(spec, str) else spec.get("location") or spec.get("name")
        with step(f"loading the model {model}"):
            matching = pipeline.found_among(self._objects, spec)
            return pipeline.Together(
                matching or pipeline.open_embedder(spec, api_key=self._api_key, endpoints=self._endpoints)
            )


def _name_of(spec: str | Json) -> str:
    return spec if isinstance(spec, str) else repr(sorted(spec.items()))
