"""What makes vectors comparable, and how a version was made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from vecver.digest import digest_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Json = dict[str, Any]
Vectors: TypeAlias = "npt.NDArray[np.float32]"  # in quotes, as all aliases of arrays: numpy takes 0.1 s to import
Metric = Literal["cosine", "ip", "l2"]
Verify = Literal["always", "once", "never"]  # when stored rows are hashed: see `repo.rows.verifier`


@dataclass(frozen=True)
class Space:
    """What makes vectors comparable. Two vectors may be compared only when their spaces' ids are equal."""

    embedder: str  # fingerprint of the embedder, or "given:NAME" for vectors that a caller brought
    dim: int
    metric: Metric

    @cached_property
    def id(self) -> str:
        """The space's id: 32 hexadecimal digits of the digest of `to_json`."""
        return digest_json(self.to_json())[:32]

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return {"embedder": self.embedder, "dim": self.dim, "metric": self.metric}

    @classmethod
    def from_json(cls, value: Json) -> Space:
        """The value whose `to_json` this is."""
        return cls(embedder=value["embedder"], dim=value["dim"], metric=value["metric"])


@dataclass(frozen=True)
class Recipe:
    """How documents become vectors: every name, version and parameter that a vector's bits depend on."""

    chunker: Json  # {"name": ..., parameters}
    embedder: Json  # {"name": ..., "version": ..., parameters}; what `pipeline.open_embedder` takes
    space: Space
    keywords: Json | None = None  # the tokenizer of keyword search; None: that of English words
    hybrid: Json | None = None  # {"weight": of the vectors in hybrid search}, where one was chosen by measuring

    @property
    def title_lifts_passage(self) -> bool:
        """Does a title chunk help its document's best passage, instead of being a hit of its own as it once was?"""
        return self.chunker.get("title") == "passage"

    @cached_property
    def fingerprint(self) -> str:
        """Of what rows depend on; where the embedder was found on this machine is not part of it, nor the tokenizer."""
        return digest_json({"chunker": self.chunker, "space": self.space.to_json()})[:32]

    def to_json(self) -> Json:
        """The fields as JSON values."""
        keywords = {} if self.keywords is None else {"keywords": self.keywords}
        hybrid = {} if self.hybrid is None else {"hybrid": self.hybrid}
        space = self.space.to_json()
        return {"chunker": self.chunker, "embedder": self.embedder, "space": space, **keywords, **hybrid}

    @classmethod
    def from_json(cls, value: Json) -> Recipe:
        """The value whose `to_json` this is."""
        space = Space.from_json(value["space"])
        return cls(value["chunker"], value["embedder"], space, value.get("keywords"), value.get("hybrid"))
