"""What a command imports: a program that answers within a second must not load what it does not use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vecver

HEAVY = {"torch", "sentence_transformers", "transformers", "sklearn", "scipy", "pandas", "pydantic", "pymilvus"}
UNUSED = {
    *HEAVY,
    "faiss",
    "tqdm",
    "lxml",
    "markdown_it",
    "pebble",
    "filelock",
    "httpx2",
    "huggingface_hub",
    "yaml",
    "pyarrow.compute",
}
ARRAYS = {"numpy", "pyarrow", "pyroaring"}
# What a search by a vector needs of neither the standard library nor vecver; pyarrow alone takes 30 ms of it.
UNSEARCHED = {
    *UNUSED,
    "pyarrow",
    "secrets",
    "shutil",
    "tempfile",
    "vecver.flows.publishing",
    "vecver.flows.searching.milvus",
    "vecver.flows.searching.likes",
    "vecver.flows.unseen",
    "vecver.index.faiss.calibration",
    "vecver.index.field_values",
    "vecver.index.filters",
    "vecver.model.documents",
    "vecver.model.publications",
    "vecver.model.reports",
    "vecver.repo.maintain.gc",
    "vecver.repo.maintain.trash",
    "vecver.repo.published",
    "vecver.repo.read.differences",
    "vecver.repo.rows.schema",
} - {"faiss"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one small dataset, beside the folder it came from."""
    place = tmp_path_factory.mktemp("start")
    (place / "docs").mkdir()
    for name in ("a.md", "b.html", "c.txt"):
        (place / "docs" / name).write_text(f"<p>Bleed the valve of {name} before the pump is opened.</p>\n")
    docs = vecver.create(place / ".vecver").dataset("docs")
    docs.ingest(place / "docs", embedder="hashing")
    vector = [1.0, *[0.0] * 255]
    (place / "vector.jsonl").write_text(json.dumps({"vector": vector}) + "\n")
    return place


def imported(place: Path, *arguments: str) -> set[str]:
    """The modules and packages that a command has imported when it ends, those of the standard library left out."""
    program = (
        "import sys, json, atexit\n"
        "atexit.register(lambda: open('modules.json', 'w').write(json.dumps(list(sys.modules))))\n"
        "from vecver.cli import program\n"
        "program()\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(Path(vecver.__file__).parents[1])},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    modules = json.loads((place / "modules.json").read_text())
    return {*modules, *(module.partition(".")[0] for module in modules)} - set(sys.stdlib_module_names)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose rows have an index, and metadata."""
    place = tmp_path_factory.mktemp("indexed")
    vectors = np.random.default_rng(1).standard_normal((9000, 64)).astype(np.float32)
    records = [
        {"id": f"{n}", "text": f"row {n}", "vector": vector.tolist(), "year": n, "tags": ["a", f"{n}"]}
        for n, vector in enumerate(vectors)
    ]
    repository = vecver.create(place / ".vecver")
    repository.dataset("docs").ingest(records, space="given")
    repository.settle()  # which builds the index
    return place


def test_a_search_by_a_vector_imports_neither_pyarrow_nor_what_other_calls_need(indexed: Path) -> None:
    program = (
        "import sys, json, vecver\n"
        "answer = vecver.open('.vecver').dataset('docs').search([1.0] * 64)\n"
        "hits = [[hit.text, hit.metadata, hit.span, hit.title] for hit in answer]\n"
        "print(json.dumps([hits, list(sys.modules)]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(vecver.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=indexed, env=environment, capture_output=True, text=True, check=True
    )
    hits, modules = json.loads(done.stdout)
    assert "faiss" in modules and len(hits) == 10
    for text, fields, *_ in hits:
        assert text == f"row {fields['year']}" and fields["tags"] == ["a", str(fields["year"])]
    assert {*modules} & UNSEARCHED == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["log", "docs"], ["tag", "docs"]])
def test_what_touches_no_rows_imports_no_arrays(place: Path, arguments: list[str]) -> None:
    assert imported(place, *arguments) & (UNUSED | ARRAYS) == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "docs", "docs"],
        ["search", "docs", "--queries", "vector.jsonl"],
        ["search", "docs", "how is a valve bled?"],
    ],
)
def test_what_reads_rows_imports_no_more_than_it_needs(place: Path, arguments: list[str]) -> None:
    assert imported(place, *arguments) & (UNUSED | {"pyarrow"}) == set()


def test_import_vecver_is_the_door_alone() -> None:
    program = "import sys, vecver; print(*(name for name in sys.modules if name.startswith('vecver')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"vecver", "vecver.doors"}


def test_what_sorts_and_filters_rows_imports_nothing_else(place: Path) -> None:
    assert imported(place, "show", "docs") & UNUSED <= {"pyarrow.compute"}
