"""The report of deleting a dataset."""

from __future__ import annotations

from dataclasses import dataclass

from vecver.model.spaces import Json


@dataclass(frozen=True)
class DatasetRemoval:
    """What deleting a dataset removes, or would remove."""

    dataset: str
    versions: int  # that have rows
    branches: tuple[str, ...]
    tags: tuple[str, ...]
    aliases: tuple[str, ...]
    documents: int  # of the newest version on main
    chunks: int
    bytes: int  # that gc frees once its grace age has passed; what other datasets use too stays
    published: tuple[str, ...] = ()  # each Milvus where it is published, "" for the embedded one
    applied: bool = False  # whether it was deleted

    def to_json(self) -> Json:
        """The fields as JSON values."""
        lists = {name: list(getattr(self, name)) for name in ("branches", "tags", "aliases", "published")}
        return {**self.__dict__, **lists}

    @classmethod
    def from_json(cls, value: Json) -> DatasetRemoval:
        """The value whose `to_json` this is."""
        fields = {name: value[name] for name in cls.__dataclass_fields__}
        lists = {name: tuple(fields[name]) for name in ("branches", "tags", "aliases", "published")}
        return cls(**{**fields, **lists})
