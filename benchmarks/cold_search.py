"""Cold searches of a large repository: commands for `start.py` that search N rows in a process of their own.

The rows (`--rows`, 64 dimensions, 1,000 clusters) are ingested once into `--folder`, with their index, and kept. Beside
vecver stand the imports that it cannot do without, FAISS with the same index read from its file, and LanceDB with an
index of its own, where it is installed. Every command asks for the ten nearest rows of one vector and prints them:
vecver and LanceDB with ids and texts, FAISS with row numbers.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

DIM = 64
_BLOCK = 50_000
_START = """
import json, os
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as vecver's command line sets it
query = json.load(open("query.json"))["vector"]
"""
_SCRIPTS = {
    "imports alone": "import numpy, faiss\nprint(1)",
    "faiss, cold": """
import faiss, numpy
print(faiss.read_index("index").search(numpy.array([query], "f4"), 10)[1])
""",
    "vecver, cold": """
import vecver
print([(hit.document, hit.text) for hit in vecver.open("repo").dataset("docs").search(query)])
""",
    "lancedb, cold": """
import lancedb
search = lancedb.connect("lance").open_table("docs").search(query).distance_type("cosine").nprobes(16)
print(search.refine_factor(10).select(["id", "text"]).limit(10).to_arrow().to_pylist())
""",
}


def cold_searches(folder: Path, rows: int) -> dict[str, list[str]]:
    """The commands by name, to be run in `folder`; makes what they search if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "query.json").exists():
        _make(folder, rows)
    scripts = dict(_SCRIPTS)
    if find_spec("lancedb"):
        _make_lance(folder, rows)
    else:
        del scripts["lancedb, cold"]
    commands = {name: [sys.executable, "-c", _START + script] for name, script in scripts.items()}
    program = "from vecver.cli import program; program()"
    search = ["--repo", "repo", "search", "docs", "--queries", "query.json"]
    return {**commands, "vecver search, cold": [sys.executable, "-c", program, *search]}


def _vectors(rows: int, start: int) -> npt.NDArray[np.float32]:
    """One block of the rows' vectors, `(n, DIM)`."""
    centres = np.random.default_rng(7).standard_normal((1000, DIM), dtype=np.float32)
    chance = np.random.default_rng([7, start])
    count = min(_BLOCK, rows - start)
    noise = chance.standard_normal((count, DIM), dtype=np.float32)
    return np.asarray(centres[chance.integers(0, 1000, count)] + 0.7 * noise, np.float32)


def _blocks(rows: int) -> list[pa.RecordBatch]:
    batches = []
    for start in range(0, rows, _BLOCK):
        vectors = _vectors(rows, start)
        numbers = range(start, start + len(vectors))
        columns = {
            "id": [f"d{n}" for n in numbers],
            "text": [f"the text of record {n} about valve {n % 97} and pump {n % 89}" for n in numbers],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), DIM),
        }
        batches.append(pa.RecordBatch.from_pydict(columns))
    return batches


def _make(folder: Path, rows: int) -> None:
    import vecver

    repo = vecver.open(folder / "repo", create=True)
    docs = repo.dataset("docs")
    docs.ingest(pa.Table.from_batches(_blocks(rows)), label="rows", space="given")
    query = _vectors(rows, 0)[77] + np.random.default_rng(3).standard_normal(DIM) * 0.4
    vector = [float(value) for value in query.astype(np.float32)]
    docs.search(vector)
    vecver.open(folder / "repo").settle()  # so that its files count as verified on this machine
    (index,) = (folder / "repo" / "segments").glob("*/ivf-pq4")
    (folder / "index").symlink_to(index.resolve())
    (folder / "query.json").write_text(json.dumps({"vector": vector}) + "\n")


def _make_lance(folder: Path, rows: int) -> None:
    import lancedb

    database = lancedb.connect(str(folder / "lance"))
    if (folder / "lance" / "made").exists():
        return
    table = database.create_table("docs", pa.Table.from_batches(_blocks(rows)), mode="overwrite")
    table.create_index(metric="cosine", index_type="IVF_PQ", num_partitions=1024, num_sub_vectors=DIM // 4)
    (folder / "lance" / "made").touch()
