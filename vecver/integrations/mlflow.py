"""MLflow: records in a run which version of a dataset it retrieved from, as an input of the run.

    from vecver.integrations.mlflow import log_input

    with mlflow.start_run():
        log_input(docs, at="prod")          # docs: of vecver.open(folder) or vecver.connect(url, key)

`mlflow-skinny` suffices. The run's input names the commit (its digest is the beginning of the commit's id); its source
has the repository, the roots and the recipe's fingerprint, its profile the counts, the recipe and what was measured.

Decisions
1. The version is resolved once, and then only its commit is used: an alias that moves meanwhile changes nothing.
2. Measures are those of the commit when the run logs it. A service that does not tell them yet is older; they are left
   out then.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

import vecver
from vecver.integrations.frameworks import check_framework

check_framework("mlflow")

from mlflow.data.dataset import Dataset as RunInput  # noqa: E402
from mlflow.data.dataset_source import DatasetSource  # noqa: E402

Docs: TypeAlias = "vecver.Dataset | vecver.RemoteDataset"

__all__ = ["VecverInput", "VecverSource", "log_input"]

_DIGEST = 36  # characters that MLflow keeps of a digest
_PROFILE = 1_000_000  # characters of a profile; MLflow's bound is 16 MB


class VecverSource(DatasetSource):
    """One version in a repository, as a run names it."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    @staticmethod
    def _get_source_type() -> str:
        return "vecver"

    def load(self, api_key: str | None = None) -> Docs:
        """The dataset's handle, to be asked at `to_dict()["commit"]`. Raises NotFoundError, BackendError."""
        url, name = self._values["repository"], self._values["dataset"]
        repository = vecver.connect(url, api_key) if url.startswith("http") else vecver.open(url)
        return repository.dataset(name)

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        return False

    @classmethod
    def _resolve(cls, raw_source: Any) -> VecverSource:
        return cls(dict(raw_source))

    def to_dict(self) -> dict[str, Any]:
        """Repository, dataset, revision, commit, roots and fingerprint of the recipe."""
        return dict(self._values)

    @classmethod
    def from_dict(cls, source_dict: dict[str, Any]) -> VecverSource:
        """The source whose `to_dict` this is."""
        return cls(source_dict)


class VecverInput(RunInput):
    """A version as an input of a run. Made by `log_input`."""

    def __init__(self, source: VecverSource, profile: dict[str, Any]) -> None:
        self._profile = profile
        values = source.to_dict()
        super().__init__(source, name=f"{values['dataset']}@{values['at']}"[:500], digest=values["commit"][:_DIGEST])

    def _compute_digest(self) -> str:
        return str(self.source.to_dict()["commit"])[:_DIGEST]

    @property
    def profile(self) -> dict[str, Any]:
        """Counts, recipe, time, message and measures of the version."""
        return self._profile

    @property
    def schema(self) -> None:
        """None: documents have no columns."""
        return None

    def to_dict(self) -> dict[str, str]:
        """The input as MLflow stores it."""
        return {**super().to_dict(), "profile": json.dumps(self._profile, sort_keys=True, default=str)}


def log_input(docs: Docs, at: str = "main", *, context: str = "retrieval") -> VecverInput:
    """Record the version `at` as an input of the active run (or of a new one, as MLflow does); returns the input.

    The input carries the tags `vecver.commit` and `vecver.at`, by which runs are found. Raises NotFoundError (dataset
    or revision), AccessError, BackendError, and what MLflow raises.
    """
    import mlflow

    logged = _input_of(docs, at)
    mlflow.log_input(
        logged, context=context, tags={"vecver.commit": logged.source.to_dict()["commit"], "vecver.at": at}
    )
    return logged


def _input_of(docs: Docs, at: str) -> VecverInput:
    commit = docs.show(at)
    source = VecverSource(
        {
            "repository": str(docs.repository.url),
            "repository_id": str(docs.repository.id),
            "dataset": docs.name,
            "at": at,
            "commit": commit.id,
            "content_root": commit.content_root,
            "vector_root": commit.vector_root,
            "recipe_fingerprint": commit.recipe.fingerprint,
        }
    )
    profile = {
        "counts": commit.counts,
        "time": commit.time,
        "author": commit.author,
        "message": commit.message[:1000],
        "recipe": commit.recipe.to_json(),
    }
    measures = _measures(docs, commit.id)
    if measures and len(json.dumps(measures, default=str)) < _PROFILE:
        profile["measures"] = measures
    return VecverInput(source, profile)


def _measures(docs: Docs, commit: str) -> dict[str, Any]:
    try:
        return docs.measures(commit)
    except vecver.InvalidInputError as error:
        if error.code != "method_not_allowed":  # an older service's answer
            raise
        return {}
