"""Lock files: which versions an application was built with, kept in its own Git repository.

    {"format": 1, "repository": ID, "remote": URL,
     "datasets": {NAME: {"revision": …, "commit": …, "content_root": …, "vector_root": …}}}

Decisions
1. JSON with sorted keys and one value a line: the same versions give the same bytes, a change of version is a change of
   three lines, and no program needs a parser that it lacks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from vecver.errors import IntegrityError
from vecver.model.spaces import Json

FORMAT = 1
_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class LockedVersion:
    """One version as a lock file names it."""

    revision: str  # that was asked for when it was locked
    commit: str
    content_root: str
    vector_root: str

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, value: Json) -> LockedVersion:
        """The value whose `to_json` this is; fields of later versions are left out. Raises ValueError, KeyError."""
        fields = {name: value[name] for name in cls.__dataclass_fields__}
        if not all(isinstance(field, str) for field in fields.values()):
            raise ValueError("a field of a version is no text")
        if not _ID.fullmatch(fields["commit"]):
            raise ValueError(f"{fields['commit'][:80]!r} is no commit id")
        return cls(**fields)


@dataclass(frozen=True)
class Lock:
    """The versions that an application needs, by dataset, and where they are."""

    repository: str  # id
    remote: str  # URL
    datasets: Mapping[str, LockedVersion]

    def with_version(self, dataset: str, version: LockedVersion) -> Lock:
        """The same with this version of a dataset."""
        return replace(self, datasets={**self.datasets, dataset: version})

    def to_json(self) -> Json:
        """The content of the file as JSON values."""
        datasets = {name: self.datasets[name].to_json() for name in sorted(self.datasets)}
        return {"format": FORMAT, "repository": self.repository, "remote": self.remote, "datasets": datasets}

    def to_text(self) -> str:
        """The content of the file."""
        return json.dumps(self.to_json(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_text(cls, text: str, file: str) -> Lock:
        """The lock whose file has this content; `file` is for errors. Raises IntegrityError."""
        try:
            value = json.loads(text)
            if value["format"] != FORMAT:
                raise ValueError(f"format {value['format']}")
            datasets = {str(name): LockedVersion.from_json(fields) for name, fields in value["datasets"].items()}
            return cls(str(value["repository"]), str(value["remote"]), datasets)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(
                f"{file} is no lock file of this vecver: {type(error).__name__}: {error}",
                code="invalid_lock",
                hint="take it from your Git history again, or make it anew with `vecver lock DATASET@REVISION`; "
                "a later format needs a later vecver",
                file=file,
            ) from error
