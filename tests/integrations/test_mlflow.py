"""A run of MLflow names the version that it retrieved from; in a real tracking store in an SQLite file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from handles import Docs, served

import vecver

pytest.importorskip("mlflow", reason="no mlflow: install vecver[mlflow]")
pytest.importorskip("sqlalchemy", reason="no sqlalchemy: install vecver[test-integrations]")
pytest.importorskip("alembic", reason="no alembic: install vecver[test-integrations]")

import mlflow

from vecver.integrations.mlflow import VecverSource, log_input


@pytest.fixture
def tracked(tmp_path: Path) -> Iterator[None]:
    """MLflow writes into a file of this test."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'runs.db'}")
    mlflow.create_experiment("test", artifact_location=str(tmp_path / "artifacts"))
    mlflow.set_experiment("test")
    yield
    mlflow.end_run()  # `log_input` without a run starts one
    mlflow.set_tracking_uri(before)


def fill(docs: Docs) -> None:
    docs.ingest([{"id": "a", "text": "Bleed the valve."}, {"id": "b", "text": "Keys."}], embedder="hashing")
    docs.promote("prod")
    docs.upsert([{"id": "c", "text": "A pump."}])


def test_a_run_names_the_version(docs: Docs, tracked: None) -> None:
    fill(docs)
    commit = docs.show("prod")
    with mlflow.start_run() as run:
        log_input(docs, at="prod")
    docs.promote("prod", "main")  # the run stays with what it saw
    (logged,) = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
    dataset, tags = logged.dataset, {tag.key: tag.value for tag in logged.tags}
    assert (dataset.name, dataset.digest) == (f"{docs.name}@prod", commit.id[:36])
    assert (dataset.source_type, tags["mlflow.data.context"]) == ("vecver", "retrieval")
    assert (tags["vecver.commit"], tags["vecver.at"]) == (commit.id, "prod")
    source = json.loads(dataset.source)
    assert source == {
        **{"repository": docs.repository.url, "repository_id": docs.repository.id, "dataset": docs.name},
        **{"at": "prod", "commit": commit.id, "recipe_fingerprint": commit.recipe.fingerprint},
        **{"content_root": commit.content_root, "vector_root": commit.vector_root},
    }
    profile = json.loads(dataset.profile)
    assert profile["counts"] == {"documents": 2, "chunks": 2} and profile["recipe"] == commit.recipe.to_json()
    assert "measures" not in profile


def test_measures_of_the_version_are_recorded(tmp_path: Path, tracked: None) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    fill(docs)
    docs.recall("prod", k=[1], sample=2)
    with mlflow.start_run() as run:
        returned = log_input(docs, at="prod", context="evaluation")
    (logged,) = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
    measured = docs.measures("prod")
    assert set(measured) == {"recall"}
    assert json.loads(logged.dataset.profile)["measures"] == json.loads(json.dumps(measured))
    assert returned.profile["measures"] == measured
    source = VecverSource.from_dict(json.loads(logged.dataset.source))
    assert source.load().search("valve", at=source.to_dict()["commit"], k=1)[0].document == "a"


def test_measures_are_read_from_a_service(tmp_path: Path, tracked: None) -> None:
    pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
    local = vecver.open(tmp_path / "kb", create=True).dataset("d")
    fill(local)
    local.recall("prod", k=[1], sample=2)
    with served(tmp_path) as (url, key), vecver.connect(url, key) as remote, mlflow.start_run():
        logged = log_input(remote.dataset("d"), at="prod")
        assert logged.profile["measures"] == remote.dataset("d").measures("prod") == local.measures("prod") != {}


def test_a_service_that_tells_no_measures_is_an_older_one(
    docs: Docs, tracked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(docs)

    def refuse(code: str) -> None:
        def measures(*_: object) -> None:
            raise vecver.InvalidInputError("no", code=code, hint="")

        monkeypatch.setattr(type(docs), "measures", measures)

    refuse("method_not_allowed")
    assert "measures" not in log_input(docs, at="prod").profile
    refuse("another")
    with pytest.raises(vecver.InvalidInputError):
        log_input(docs, at="prod")


def test_an_unknown_version_logs_nothing(docs: Docs, tracked: None) -> None:
    fill(docs)
    with mlflow.start_run() as run, pytest.raises(vecver.NotFoundError, match="no revision 'v9'"):
        log_input(docs, at="v9")
    assert mlflow.get_run(run.info.run_id).inputs.dataset_inputs == []
