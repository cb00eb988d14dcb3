"""Readers, writers, promotions, rollbacks, optimize and gc at once against a service, whose process is watched.

Every answer is compared with brute force over what its commit holds. Memory, file descriptors, threads and mapped
files of the service are looked at all the time: what grows for ever is found by comparing the last quarter with the
second one.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from helpers import best, records, vector_of
from serving import ended

import vecver

DOCUMENTS, KEPT = 400, 12  # documents of a version; versions whose rows gc keeps
SPARE = {"handles": 16, "threads": 4, "maps": 60, "megabytes": 40}  # may come and go with work, on top of a tenth


def contents_of(turn: int) -> dict[str, str]:
    """What the version of a turn holds: every twentieth document changes each time."""
    return {f"d{i}": f"text {i} of {turn if i % 20 == turn % 20 else turn // 20}" for i in range(DOCUMENTS)}


@dataclass
class Soak:
    """What runs beside each other, what was done how often, and what went wrong."""

    url: str
    pid: int
    place: Path
    known: dict[str, Mapping[str, str]] = field(default_factory=dict)  # commit -> what it holds
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    looks: list[dict[str, float]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turn: int = 0

    def run(self, minutes: float) -> None:
        until = time.monotonic() + 60 * minutes
        self.write(self.client(), random.Random(0))
        self.promote(self.client(), random.Random(0))
        acts = [self.search] * 4 + [self.write, self.edit, self.promote, self.roll_back, self.tidy, self.look]
        threads = [
            threading.Thread(target=self._again, args=(act, until, number), daemon=True)
            for number, act in enumerate(acts)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _again(self, act: Callable[[Any, random.Random], Any], until: float, seed: int) -> None:
        chance, client = random.Random(seed), self.client()
        with client:
            while True:
                try:
                    act(client, chance)
                    self.done[act.__name__] += 1
                except Exception as error:
                    self.wrong.append(f"{act.__name__}: {type(error).__name__}: {error}"[:300])
                if time.monotonic() > until:
                    return
                time.sleep(0.02 if act == self.search else 0.5)

    def client(self) -> Any:
        import httpx2

        return httpx2.Client(base_url=self.url, timeout=120)

    # -- what is done ---------------------------------------------------------------------------

    def search(self, client: Any, chance: random.Random) -> None:
        """At the alias, at the branch, or pinned; the answer names its commit, and that holds what was committed."""
        at = chance.choice(["prod", "main", *list(self.known)[-KEPT // 2 :]])
        query = vector_of(f"question {chance.randrange(50)}")
        answer = client.post("/v1/datasets/d/search", json={"vector": query.tolist(), "k": 5, "ref": at})
        if answer.status_code != 200:
            raise AssertionError(answer.text)
        body = answer.json()
        content = self._content(body["commit"])
        found = [(hit["document"], hit["score"]) for hit in body["hits"]]
        assert found == best(content, query, 5), f"{at} is answered wrongly"
        assert all(hit["text"] == content[hit["document"]] for hit in body["hits"]), f"{at} has another text"

    def _content(self, commit: str) -> Mapping[str, str]:
        """What a commit holds; its writer may not have recorded it yet."""
        until = time.monotonic() + 60
        while commit not in self.known and time.monotonic() < until:
            time.sleep(0.01)
        return self.known[commit]

    def write(self, client: Any, chance: random.Random) -> None:
        """A version of all documents, by a job."""
        with self._lock:
            self._turn += 1
            self._ingest(client, contents_of(self._turn))

    def edit(self, client: Any, chance: random.Random) -> None:
        """One document, the others stay."""
        with self._lock:
            id = f"d{chance.randrange(DOCUMENTS)}"
            self._ingest(client, {id: f"edit {chance.randrange(10**9)}"}, keep=True)

    def _ingest(self, client: Any, texts: Mapping[str, str], *, keep: bool = False) -> None:
        import json

        before = self._head()
        lines = [json.dumps({**one, "vector": one["vector"].tolist()}) for one in records(texts)]
        query = {"label": "all", "space": "test", "metric": "ip", "keep_missing": str(keep).lower()}
        sent = client.post(
            "/v1/datasets/d/ingest",
            params=query,
            content="\n".join(lines),
            headers={"content-type": "application/x-ndjson"},
        )
        assert sent.is_success, sent.text
        job = ended(client, sent.json()["id"])
        assert job["state"] == "succeeded", job["error"]
        self.known[job["result"]["commit"]] = {**before, **texts} if keep else texts

    def _head(self) -> Mapping[str, str]:
        """What the branch holds; only we move it."""
        return self.known[vecver.open(self.place / "kb").dataset("d").resolve()] if self.known else {}

    def promote(self, client: Any, chance: random.Random) -> None:
        sent = client.post("/v1/datasets/d/promote", json={"alias": "prod", "ref": "main"})
        assert sent.is_success, sent.text

    def roll_back(self, client: Any, chance: random.Random) -> None:
        """The branch: a commit with the content of an older one."""
        with self._lock:
            to = list(self.known)[-3:][0]  # one of the newest
            sent = client.post("/v1/datasets/d/rollback", json={"ref": "main", "to": to})
            assert sent.is_success, sent.text
            self.known[sent.json()["after"]] = self.known[to]

    def tidy(self, client: Any, chance: random.Random) -> None:
        """Optimize and gc, by another process than the service's: this one. Old versions are forgotten."""
        repository = vecver.open(self.place / "kb")
        repository.dataset("d").optimize()
        repository.gc(keep_last=KEPT, grace=timedelta(seconds=30), apply=True)

    # -- what is looked at ----------------------------------------------------------------------

    def look(self, client: Any, chance: random.Random) -> None:
        """The memory, files and threads of the service's process, and the time that `/healthz` takes."""
        place = Path(f"/proc/{self.pid}")
        status = (place / "status").read_text()
        since = time.monotonic()
        assert client.get("/healthz").status_code == 200
        self.looks.append(
            {
                "megabytes": int(re.findall(r"RssAnon:\s+(\d+)", status)[0]) / 1e3,
                "threads": int(re.findall(r"Threads:\s+(\d+)", status)[0]),
                "handles": len(list((place / "fd").iterdir())),
                "maps": (place / "maps").read_text().count("\n"),
                "health": time.monotonic() - since,
            }
        )

    def growth(self) -> dict[str, tuple[float, float]]:
        """The median of the second quarter and of the last, of all that was looked at."""
        quarter = max(1, len(self.looks) // 4)
        return {
            name: (
                median(look[name] for look in self.looks[quarter : 2 * quarter]),
                median(look[name] for look in self.looks[-quarter:]),
            )
            for name in SPARE
        }

    def grown(self) -> list[str]:
        """What did not stay as it was."""
        return [
            f"{name}: {second:.0f}, later {last:.0f}"
            for name, (second, last) in self.growth().items()
            if last > 1.1 * second + SPARE[name]
        ]

    def summary(self) -> str:
        done = ", ".join(f"{name} {count:,}" for name, count in self.done.most_common())
        flat = ", ".join(f"{name} {second:.0f} then {last:.0f}" for name, (second, last) in self.growth().items())
        health = np.percentile([look["health"] for look in self.looks], 99) * 1e3
        return f"{done}; {flat}; /healthz p99 {health:.0f} ms"
