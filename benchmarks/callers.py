"""Callers for `service.py`: threads that ask a service over HTTP, or `Dataset.search` here, for so many seconds.

Both run in a process of their own, and do as little as possible beside asking: a request is ready before the clock
starts, its answer is looked at after it has stopped. Over HTTP that is a socket a caller, kept alive; what remains
is told as `cpu` (this process's seconds while it asked).
"""

from __future__ import annotations

import base64
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import vecver

K = 10
Ask = Callable[[int], Any]  # the number of a request -> its answer


@dataclass(frozen=True)
class Question:
    """One request: a text, a vector `(dim,)`, or a list of these, to one version."""

    dataset: str
    at: str
    query: Any

    @property
    def many(self) -> bool:
        return isinstance(self.query, list)

    @property
    def count(self) -> int:
        return len(self.query) if self.many else 1


@dataclass
class Asked:
    """What callers saw. Times are of `time.monotonic`, one clock for all processes."""

    took: list[tuple[int, float, float]]  # number of the request, began, ended
    cpu: float  # seconds of this process
    answers: dict[int, Any]  # number of the request -> its last answer, as JSON
    errors: list[str] = field(default_factory=list)
    commits: list[tuple[int, float, float, str]] = field(default_factory=list)  # as `took`, and who answered

    @property
    def seconds(self) -> float:
        return max(ended for _, _, ended in self.took) - min(began for _, began, _ in self.took)

    def ms(self, percent: float) -> float:
        return float(np.percentile([ended - began for _, began, ended in self.took], percent)) * 1e3


def over_http(address: tuple[str, int], key: str, questions: Sequence[Question], callers: int, seconds: float) -> Asked:
    """Ask a service, each caller over a connection of its own."""
    sent = [_request(address, key, question) for question in questions]
    own = threading.local()

    def ask(number: int) -> tuple[int, bytes, bytes]:
        if not hasattr(own, "socket"):
            own.socket = socket.create_connection(address, timeout=60)
            own.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        own.socket.sendall(sent[number])
        return _answer(own.socket)

    outcome = _asked(ask, len(questions), callers, seconds)
    outcome.answers = {number: json.loads(body) for number, (_, _, body) in outcome.answers.items()}
    return outcome


def in_process(url: str, questions: Sequence[Question], callers: int, seconds: float) -> Asked:
    """Ask a repository that this process opened; each caller is one thread to BLAS too, as in the service."""
    threadpool_limits(1, user_api="blas")
    repository = _repository(url)
    outcome = _asked(lambda number: _read(_search(repository, questions[number])), len(questions), callers, seconds)
    outcome.answers = {}
    return outcome


def every_answer(url: str, questions: Sequence[Question]) -> dict[int, Any]:
    """The answer to each question in the form that the service sends, computed in this process."""
    return {number: _told(_search(_repository(url), question)) for number, question in enumerate(questions)}


def _asked(ask: Ask, count: int, callers: int, seconds: float) -> Asked:
    """Every caller asks all requests again and again, in an order of its own, until the time is over."""
    outcome, start = Asked([], 0.0, {}), threading.Barrier(callers + 1)

    def call(caller: int) -> None:
        took, order = [], random.Random(caller).sample(range(count), count)
        start.wait()
        until = time.monotonic() + seconds
        for number in cycle(order):
            began = time.monotonic()
            if began > until:
                break
            answer = ask(number)
            took.append((number, began, time.monotonic()))
            if isinstance(answer, tuple):
                status, commit, body = answer
                outcome.commits.append((*took[-1], commit.decode()))
                if status != 200:
                    outcome.errors.append(f"{status} {body[:300]!r}")
                    continue
            outcome.answers[number] = answer
        outcome.took += took

    threads = [threading.Thread(target=_caught, args=(call, caller, outcome)) for caller in range(callers)]
    for thread in threads:
        thread.start()
    start.wait()
    cpu = time.process_time()
    for thread in threads:
        thread.join()
    outcome.cpu = time.process_time() - cpu
    return outcome


def _caught(call: Callable[[int], None], caller: int, outcome: Asked) -> None:
    try:
        call(caller)
    except Exception as error:  # a caller that gives up must be counted, not lost
        outcome.errors.append(repr(error))


def _search(repository: vecver.Repository, question: Question) -> Any:
    return repository.dataset(question.dataset).search(question.query, k=K, at=question.at)


def _read(answer: Any) -> Any:
    """The answer with its hits and receipt read from the version, which a search puts off until they are used."""
    for one in answer if isinstance(answer, list) else [answer]:
        len(one.hits), one.receipt
    return answer


@cache
def _repository(url: str) -> vecver.Repository:
    return vecver.open(url)


def _told(answer: Any) -> Any:
    """As the service tells it."""
    if not isinstance(answer, list):
        return json.loads(json.dumps(answer.to_json()))
    first = answer[0]
    head = {"dataset": first.dataset, "revision": first.revision, "commit": first.commit}
    return json.loads(json.dumps({**head, "answers": [one.to_json() for one in answer]}))


def _request(address: tuple[str, int], key: str, question: Question) -> bytes:
    name = {(False, True): "query", (False, False): "vector", (True, True): "queries", (True, False): "vectors"}
    text = isinstance(question.query[0] if question.many else question.query, str)
    asked = question.query if text else _base64(question)
    body = json.dumps({name[question.many, text]: asked, "ref": question.at, "k": K}).encode()
    head = (
        f"POST /v1/datasets/{question.dataset}/search HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _base64(question: Question) -> Any:
    vectors = question.query if question.many else [question.query]
    told = [base64.b64encode(vector.astype("<f4").tobytes()).decode() for vector in vectors]
    return told if question.many else told[0]


def _answer(connection: socket.socket) -> tuple[int, bytes, bytes]:
    """(status, the commit that answered, body) of the next answer; the service always says how long it is."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _received(connection, 1 << 16)
    head, pieces, there = data[:end].lower(), [data[end + 4 :]], len(data) - end - 4
    length = int(_header(head, b"content-length") or 0)
    while there < length:
        pieces.append(_received(connection, 1 << 20))
        there += len(pieces[-1])
    return int(head[9:12]), _header(head, b"vecver-commit"), b"".join(pieces)


def _received(connection: socket.socket, most: int) -> bytes:
    data = connection.recv(most)
    if not data:
        raise ConnectionError("the service closed the connection")
    return data


def _header(head: bytes, name: bytes) -> bytes:
    _, _, rest = head.partition(b"\r\n" + name + b": ")
    return rest.partition(b"\r\n")[0]
