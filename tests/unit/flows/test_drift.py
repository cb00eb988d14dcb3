"""What `drift` flags and lets pass: planted causes, small datasets, bad input, versions without a sketch."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from click.testing import CliRunner

import vecver
from vecver.cli.app import main
from vecver.errors import NotFoundError
from vecver.sketching import Sketch, bins, sketch_of_chunks
from vecver.sketching.languages import NAMES, language_classes

pa = pytest.importorskip("pyarrow")
ENGLISH = (
    "Turn the brass key a quarter turn to the left until air hisses out, and close it as soon as water comes.",
    "The pressure should stand between 1.2 and 1.8 bar, and it is read on the dial of the boiler in the cellar.",
    "Before the heating season you let air out of every radiator, the highest one last, and then refill the water.",
    "If the pump is loud, there is air in it; open the screw at its front by half a turn and wait for a minute.",
    "Write the date of the last service on the label, so that the next person can see when the filter was changed.",
)
GERMAN = "Das Ventil {} ist aus Messing und wird mit der Hand geöffnet, bis das Wasser ohne Luft aus der Leitung kommt."
Rows = list[dict[str, Any]]


def documents(count: int) -> Rows:
    """English texts of 90 to 320 characters with vectors of length 1, all different."""
    rng = np.random.default_rng(5)
    rows = []
    for n in range(count):
        text = " ".join(ENGLISH[int(place)] for place in rng.integers(0, 5, rng.integers(1, 4))) + f" See page {n}."
        vector = rng.standard_normal(32).astype(np.float32)
        rows.append({"id": f"doc-{n}", "text": text, "vector": (vector / np.linalg.norm(vector)).tolist()})
    return rows


def changed(folder: Path, count: int, share: float, change: Callable[[dict[str, Any]], dict[str, Any]]) -> vecver.Drift:
    """The drift after this share of the documents was changed."""
    docs = vecver.open(folder / "kb", create=True).dataset("d")
    rows = documents(count)
    first = docs.ingest(rows, label="rows", space="test", metric="ip")
    docs.promote("prod", first)
    some = [change(row) for row in rows[: round(count * share)]]
    if some:
        report = docs.ingest(some, label="rows", keep_missing=True)
        drift = docs.drift()
        noted = [note for note in report.notes if note.startswith("drift from")]
        assert bool(noted) == drift.drifted
    return docs.drift("prod", "main")


def german(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "text": GERMAN.format(row["id"]) * 2}


def cut(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "text": row["text"][:150]}


@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
def test_a_language_shift_is_flagged_with_its_chunks(tmp_path: Path, share: float) -> None:
    drift = changed(tmp_path, 400, share, german)
    language = {each.name: each for each in drift.statistics}["language"]
    assert language.moved
    assert (language.shares[0].name, language.shares[0].before) == ("German", 0.0)
    assert language.shares[0].after == pytest.approx(share)
    assert language.distance == pytest.approx(share)
    assert len(language.examples) == 3
    assert all(each.text.startswith("Das Ventil doc-") for each in language.examples)
    assert all("the" in each.text for each in language.gone)


@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
def test_a_truncation_is_flagged_by_the_length_that_many_chunks_have(tmp_path: Path, share: float) -> None:
    drift = changed(tmp_path, 400, share, cut)
    same = {each.name: each for each in drift.statistics}["same_length"]
    assert same.moved
    assert "exactly 150 characters" in same.text
    assert {len(each.text) for each in same.examples} == {150}


def test_another_model_is_flagged_under_its_own_name_and_under_the_old_one(tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    rows = documents(300)
    docs.ingest(rows, label="rows", space="one", metric="ip")
    docs.ingest(rows, label="rows", space="two", metric="ip")
    assert [each.name for each in docs.drift("main~1", "main").moved] == ["space"]
    scaled = [{**row, "vector": [value * 4 for value in row["vector"]]} for row in rows]
    docs.ingest(scaled, label="rows")
    (norm,) = docs.drift("main~1", "main").moved
    assert norm.name == "norm"
    assert [share.name for share in norm.shares] == ["about 4", "about 1"]
    other = [{**row, "vector": [abs(value) for value in row["vector"]]} for row in scaled]
    docs.ingest(other, label="rows")
    assert [each.name for each in docs.drift("main~1", "main").moved] == ["vectors"]


def test_spaces_of_other_dimensions_are_compared_without_their_cells(tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    rows = documents(30)
    docs.ingest(rows, label="rows", space="one")
    docs.ingest([{**row, "vector": row["vector"][:8]} for row in rows], label="rows", space="two")
    drift = docs.drift("main~1", "main")
    assert [each.name for each in drift.moved] == ["space"]
    assert "vectors" not in [each.name for each in drift.statistics]
    assert "32 dimensions" in drift.moved[0].text


@pytest.mark.parametrize("change", [german, cut])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_documents_alarm_nobody(tmp_path: Path, count: int, change: Any) -> None:
    assert not changed(tmp_path, count, 1.0, change).drifted


def test_two_documents_of_twenty_alarm_nobody(tmp_path: Path) -> None:
    assert not changed(tmp_path, 20, 0.1, german).drifted


def test_documents_of_the_same_kind_alarm_nobody(tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    rows = documents(600)
    docs.ingest(rows[:300], label="rows", space="test")
    for start in range(0, 300, 50):
        report = docs.ingest(rows[start : start + 300], label="rows", allow_removals=True)
        assert not [note for note in report.notes if note.startswith("drift")]
    assert not docs.drift("main~5", "main").drifted


def test_lost_documents_are_flagged(tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    docs.ingest(documents(50), label="rows", space="test")
    docs.ingest(documents(30), label="rows", allow_removals=True)
    assert {each.name: each.text for each in docs.drift("main~1", "main").moved} == {
        "documents": "50 → 30",
        "chunks": "50 → 30",
    }


def test_repeated_texts_are_flagged(tmp_path: Path) -> None:
    drift = changed(tmp_path, 200, 0.4, lambda row: {**row, "text": ENGLISH[0] + " " + ENGLISH[1]})
    duplicates = {each.name: each for each in drift.statistics}["duplicates"]
    assert duplicates.moved
    assert duplicates.shares[0].after == pytest.approx(0.4, abs=0.03)
    assert duplicates.examples[0].text == ENGLISH[0] + " " + ENGLISH[1]


def test_an_empty_version_is_compared_by_its_counts(tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    docs.ingest(documents(5), label="rows", space="test")
    docs.delete(docs.documents())
    gone = docs.drift("main~1", "main")
    assert [each.name for each in gone.moved] == ["documents", "chunks"]
    assert not docs.drift("main", "main").drifted
    back = docs.drift("main", "main~1")
    assert {each.name for each in back.statistics} == {"space", "documents", "chunks"}
    summary = docs.sketch()
    assert summary is not None
    assert (summary.chunks, summary.characters, summary.languages) == (0, 0, {})


def test_a_version_without_a_sketch_is_counted_and_keeps_it(tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    docs.ingest(documents(20), label="rows", space="test")
    id = docs.resolve()
    with_sketch = (tmp_path / "kb/layouts" / id).read_bytes()
    forget_sketch(docs, id)
    assert docs.sketch() is None
    assert not docs.drift("main", "main").drifted
    assert (tmp_path / "kb/layouts" / id).read_bytes() == with_sketch
    assert docs.repository.check().clean


def test_the_next_ingest_counts_a_small_version_that_has_no_sketch(tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    docs.ingest(documents(20), label="rows", space="test")
    forget_sketch(docs, docs.resolve())
    docs.ingest(documents(21), label="rows")
    summary = docs.sketch()
    assert summary is not None
    assert (summary.chunks, docs.sketch("main~1")) == (21, None)


def forget_sketch(docs: vecver.Dataset, id: str) -> None:
    """Write a layout as an older vecver did."""
    from dataclasses import replace

    from vecver.repo.rows.layout import load_layout, save_layout

    versions: Any = docs._versions
    save_layout(versions.store, id, replace(load_layout(versions.store, id), sketch=None))
    versions.opened.close_all()


def test_a_version_whose_rows_gc_let_go_is_said_to_be_forgotten(tmp_path: Path) -> None:
    repository = vecver.open(tmp_path / "kb", create=True)
    docs = repository.dataset("d")
    for count in (3, 4):
        docs.ingest(documents(count), label="rows", space="test")
    first = docs.resolve("main~1")
    for _ in range(2):
        repository.gc(keep_last=1, grace=timedelta(0), apply=True)
    assert docs.sketch(first) is None
    with pytest.raises(NotFoundError) as caught:
        docs.drift(first, "main")
    assert caught.value.code == "version_forgotten"
    with pytest.raises(NotFoundError) as caught:
        docs.drift("nowhere", "main")
    assert caught.value.code == "revision_not_found"


# -- the command ------------------------------------------------------------------------------------


class Hook(BaseHTTPRequestHandler):
    taken: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.taken.append(json.loads(body))
        self.send_response(int(self.path[1:]))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def shifted(tmp_path: Path) -> Path:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    rows = documents(60)
    docs.ingest(rows, label="rows", space="test")
    docs.promote("prod")
    docs.ingest([german(row) for row in rows[:30]], label="rows", keep_missing=True)
    return tmp_path / "kb"


def run(folder: Path, *arguments: str) -> Any:
    return CliRunner().invoke(main, ["--repo", str(folder), "drift", "d", *arguments])


def test_the_command_exits_11_where_something_moved_and_0_where_not(shifted: Path) -> None:
    moved = run(shifted, "--json")
    assert moved.exit_code == 11
    assert json.loads(moved.stdout)["moved"][0] == "language"
    shown = run(shifted)
    assert shown.exit_code == 11
    assert "German 0.0% → 50.0%" in shown.stdout
    assert run(shifted, "main", "main").exit_code == 0


def test_a_webhook_gets_the_json_and_one_that_fails_is_an_error_after_the_result(shifted: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        posted = run(shifted, "--json", "--webhook", f"{url}/204")
        refused = run(shifted, "--json", "--webhook", f"{url}/302")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert posted.exit_code == 11
    assert json.loads(posted.stdout) == Hook.taken[0]
    assert (refused.exit_code, json.loads(refused.stdout)["drifted"]) == (7, True)
    closed = run(shifted, "--json", "--webhook", f"{url}/SECRET")
    assert (closed.exit_code, json.loads(closed.stdout)["drifted"]) == (7, True)
    assert json.loads(closed.stderr)["error"]["code"] == "webhook_failed"
    assert "SECRET" not in closed.stderr
    invalid = run(shifted, "--webhook", "no url")
    assert (invalid.exit_code, invalid.stdout) == (2, "")


# -- sketches by hand -------------------------------------------------------------------------------


def test_a_sketch_counts_what_one_can_count_by_hand() -> None:
    texts = pa.array(["The valve is of brass.", "The valve is of brass.", "", "Ein Ventil ist aus dem und für 1 €"])
    vectors = np.array([[3, 4], [0, 1], [0, 0], [-3, -4]], np.float32)
    sketch = sketch_of_chunks(texts, vectors)
    assert {place: int(count) for place, count in enumerate(sketch.parts["lengths"]) if count} == {0: 1, 22: 2, 34: 1}
    assert sketch.parts["endings"].tolist() == [1, 2, 0, 0, 0, 1]
    languages = {NAMES[place]: int(count) for place, count in enumerate(sketch.parts["languages"]) if count}
    assert languages == {"unclear": 1, "English": 2, "German": 1}
    norms = {bins.norm_name(place): int(count) for place, count in enumerate(sketch.parts["norms"]) if count}
    assert norms == {"0": 1, "about 1": 1, "about 5.19": 2}
    assert sketch.duplicates(0) == pytest.approx(0.25, abs=0.001)
    assert sketch - sketch == Sketch.empty()
    assert Sketch.from_json(json.loads(json.dumps(sketch.to_json()))) == sketch
    assert Sketch.from_json({"rules": 0}) is None


def test_vectors_are_counted_alike_alone_and_among_others() -> None:
    rng = np.random.default_rng(3)
    vectors = (rng.standard_normal((500, 384)) * 10 ** rng.uniform(-44, 37, (500, 1))).astype(np.float32)
    texts = pa.array(["x"] * 500)
    together = sketch_of_chunks(texts, vectors)
    alone = sum((sketch_of_chunks(texts[:1], vectors[n : n + 1]) for n in range(500)), Sketch.empty())
    assert together == alone


def test_a_sketch_of_very_many_rows_stays_small() -> None:
    parts = {name: np.full(len(counts), 10**9, np.int64) for name, counts in Sketch.empty().parts.items()}
    assert len(json.dumps(Sketch.of(parts).to_json())) < 250_000


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("You can open the valve with the key that is in the box.", "English"),
        ("Вентиль открывают рукой, и из него выходит вода, но не сразу.", "Russian"),
        ("バルブは手で開けます。水が出ます。", "Japanese"),
        ("阀门用手打开，水就会流出来。", "Chinese"),
        ("밸브는 손으로 열 수 있습니다.", "Korean"),
        ("def f(x): return x + 1", "unclear"),
        ("", "unclear"),
        ("🙂🙂🙂", "unclear"),
    ],
)
def test_languages_are_named_by_script_and_function_words(text: str, language: str) -> None:
    (place,) = language_classes(pa.array([text]))
    assert NAMES[place] == language
