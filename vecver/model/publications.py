"""Versions in a Milvus: its address, the rows that it gets, and how to search one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vecver.model.spaces import Json, Vectors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class Milvus:
    """The address of a Milvus and its credentials, which are never printed or stored."""

    uri: str = ""  # "http://host:19530", a path that ends in ".db" (milvus-lite), or "": one in the repository's folder
    database: str = ""  # "": the server's default
    token: str = field(default="", repr=False)  # "user:password" or an API key
    user: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""  # PEM files for TLS: who signs the server; and, where the server asks for it, who we are
    certificate: str = ""
    key: str = field(default="", repr=False)
    server_name: str = ""  # that the server's certificate must have
    timeout: float = 60.0  # seconds, for one call


@dataclass(frozen=True)
class PublishedRows:
    """Chunks as they are written to Milvus."""

    keys: npt.NDArray[np.uint8]  # (n, 16)
    vectors: Vectors  # (n, dim) float32
    documents: Sequence[str]  # n each
    titles: Sequence[str]
    texts: Sequence[str]
    metadata: Sequence[Json]

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class Publication:
    """A version in a Milvus: what any client needs to search it. Search `collection` with `filter`."""

    uri: str  # without secrets; a path for milvus-lite
    database: str
    collection: str
    alias: str  # for a collection that holds one version alone: where clients find the newest such; else ""
    ordinal: int
    filter: str  # a Milvus expression; "" where the collection holds nothing else
    metric: str  # Milvus' name: "IP" (of vectors of unit length where the space is cosine) or "L2"
    index: str  # Milvus' name: "HNSW", "FLAT"
    dim: int
    fields: tuple[str, ...]
    dataset: str
    commit: str  # full id
    chunks: int
    written: int = 0  # rows that this publish wrote; 0: the version was there already

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return {**self.__dict__, "fields": list(self.fields)}

    @classmethod
    def from_json(cls, value: Json) -> Publication:
        """The value whose `to_json` this is."""
        fields = {name: value[name] for name in cls.__dataclass_fields__}
        return cls(**{**fields, "fields": tuple(value["fields"])})
