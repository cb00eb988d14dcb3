"""Made `tests/golden/state_v1/` with the code of commit 4031de3, the last that kept the service's state in files.

    git checkout 4031de3 && python tests/golden/make_state_v1.py FOLDER

`kb/` is a repository, `state/` the state folder of its service, as processes left it that were killed: a finished job,
a waiting one, one that was running, one that was cancelled, an answer under an Idempotency-Key, a request whose outcome
is unknown, and an audit log with a line that broke off. `expected.json` has the key's token and the ids. Left out
are the repository's lock files, and the `.git` file of each upload, which Git does not take.
"""

# mypy: ignore-errors
# (it runs with the code of that commit)

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from vecver_service import worker
from vecver_service.app import create_app
from vecver_service.settings import ServiceSettings
from vecver_service.state.audit import Audit
from vecver_service.state.idempotency import Once
from vecver_service.state.jobs import FINAL, Jobs
from vecver_service.state.keys import Keys

import vecver

LINES = b'{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n'


def main(place: Path) -> None:
    """Write `kb`, `state` and `expected.json` below a new folder."""
    place.mkdir(parents=True)
    repository = vecver.open(place / "kb", create=True, author="maker")
    settings = ServiceSettings(state=str(place / "state"))
    keys = Keys(settings.keys_file(""))
    key, token = keys.add("alice", ["*:admin"])
    keys.revoke(keys.add("gone", ["*:read"])[0].id)
    reader, reader_token = keys.add("reader", ["d:read"])
    expected: dict[str, Any] = {"key": key.id, "token": token, "reader": reader.id, "reader_token": reader_token}
    headers = {"authorization": f"Bearer {token}", "content-type": "application/x-ndjson"}

    def send(client: TestClient, dataset: str, name: str) -> dict[str, Any]:
        query, named = {"label": "texts", "embedder": "hashing"}, {**headers, "idempotency-key": name}
        answer = client.post(f"/v1/datasets/{dataset}/ingest", params=query, content=LINES, headers=named)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    with TestClient(create_app(repository, settings)) as client:
        first = send(client, "d", "first")
        while (job := client.get(f"/v1/jobs/{first['id']}", headers=headers).json())["state"] not in FINAL:
            time.sleep(0.05)
        named = {"authorization": headers["authorization"], "idempotency-key": "promote"}
        promoted = client.post("/v1/datasets/d/promote", json={"alias": "prod"}, headers=named)
        assert promoted.status_code == 201, promoted.text
        expected |= {"finished": job, "first": first, "promoted": promoted.json()}
    worker.Worker.start = lambda self: self._thread.join  # type: ignore[method-assign] # jobs stay as they are
    worker.Worker.stop = lambda self, seconds: None  # type: ignore[method-assign]
    with TestClient(create_app(repository, settings)) as client:
        running, waiting, cancelled = (send(client, *names) for names in (("r", "2"), ("e", "3"), ("f", "4")))
        client.post(f"/v1/jobs/{cancelled['id']}/cancel", headers=headers)
    expected |= {"running": running["id"], "waiting": waiting["id"], "cancelled": cancelled["id"]}
    jobs = Jobs(place / "state", kept=1000)
    with jobs.next() as job:
        assert job.id == running["id"]
        jobs.keep(worker.replace(job, state="running", attempts=1, started=job.created))
    audit = Audit(place / "state/audit.jsonl")
    with suppress(ZeroDivisionError):
        Once(place / "state/once").do(key.id, "unknown", '["POST"]', lambda: 1 // 0)
    expected["audit"] = [*audit.newest(100)]
    with (place / "state/audit.jsonl").open("ab") as log:
        log.write(b'{"time": "2026-11-26T')
    (place / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
