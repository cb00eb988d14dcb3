"""Callers for `service.py`: they ask a service over HTTP, or `Dataset.search` here, for so many seconds.

Both run in a process of their own, and do as little as possible beside asking: a request is ready before the clock
starts, its answer is looked at after it has stopped. Over HTTP that is a socket a caller, kept alive, all of them in
one thread: it sends prepared bytes, and reads of an answer where it ends. That takes 0.04 to 0.05 ms of CPU a request
on a quiet core, a tenth of the service's, so that the callers are not what is measured; it stands in the table (`cpu`).
In process it is a thread a caller.
"""

from __future__ import annotations

import base64
import json
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle
from typing import Any, NoReturn

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
    requests = [_request(address, key, question) for question in questions]
    outcome = Asked([], 0.0, {})
    answers: dict[int, bytes] = {}
    until = time.monotonic() + seconds
    with selectors.DefaultSelector() as ready:
        for number in range(callers):
            order = cycle(random.Random(number).sample(range(len(requests)), len(requests)))
            caller = _Caller(socket.create_connection(address, timeout=60), order)
            ready.register(caller.connection, selectors.EVENT_READ, caller)
            caller.ask(requests)
        cpu = time.process_time()
        while ready.get_map():
            for event, _ in ready.select(60) or _silent():
                caller = event.data
                answer = caller.hear()
                if answer is None:
                    continue
                outcome.took.append((caller.number, caller.began, time.monotonic()))
                answers[caller.number] = answer
                if answer[:12] == b"HTTP/1.1 200":
                    outcome.commits.append((*outcome.took[-1], _header(answer, b"vecver-commit").decode()))
                else:
                    outcome.errors.append(f"{answer[:300]!r}")
                if outcome.took[-1][2] < until:
                    caller.ask(requests)
                else:
                    ready.unregister(caller.connection)
                    caller.connection.close()
        outcome.cpu = time.process_time() - cpu
    outcome.answers = {number: json.loads(answer.partition(_END)[2]) for number, answer in answers.items()}
    return outcome


def _silent() -> NoReturn:
    raise TimeoutError("the service did not answer for a minute")


_END = b"\r\n\r\n"


@dataclass
class _Caller:
    """A connection, and the request on it."""

    connection: socket.socket
    order: Iterator[int]
    number: int = -1
    began: float = 0.0
    heard: bytes = b""
    length: int = -1  # of the answer, with its headers; -1: they are not there yet

    def __post_init__(self) -> None:
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, requests: Sequence[bytes]) -> None:
        """Send the next request."""
        self.number, self.heard, self.length = next(self.order), b"", -1
        self.began = time.monotonic()
        self.connection.sendall(requests[self.number])

    def hear(self) -> bytes | None:
        """Read what has come: the answer, once all of it is there."""
        data = self.connection.recv(1 << 20)
        if not data:
            raise ConnectionError("the service closed the connection")
        self.heard = self.heard + data if self.heard else data
        if self.length < 0 and (end := self.heard.find(_END)) > 0:
            self.length = end + 4 + int(_header(self.heard, b"content-length"))
        return self.heard if 0 <= self.length <= len(self.heard) else None


def in_process(url: str, questions: Sequence[Question], callers: int, seconds: float) -> Asked:
    """Ask a repository that this process opened; each caller is one thread to BLAS too, as in the service."""
    threadpool_limits(1, user_api="blas")
    repository = _repository(url)
    return _asked(lambda number: _read(_search(repository, questions[number])), len(questions), callers, seconds)


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
            ask(number)
            took.append((number, began, time.monotonic()))
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
    """The answer with all that the service sends of it read from the version, which a search puts off until then."""
    for one in answer if isinstance(answer, list) else [answer]:
        one.receipt, [hit.read() for hit in one.hits]
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


def _header(answer: bytes, name: bytes) -> bytes:
    """A header of an answer; vecver writes their names in lower case."""
    start = answer.index(b"\r\n" + name + b": ") + len(name) + 4
    return answer[start : answer.index(b"\r", start)]
