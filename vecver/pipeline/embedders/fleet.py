"""Shares texts among the endpoints of one model: how many at once, within which budget, and what becomes of failures.

Decisions
1. An endpoint that fails is left aside, for 0.5 s at first and twice as long after each further failure, or as long as
   Retry-After asks; the others take over what it was asked. Before it is asked again it embeds a probe.
2. Several endpoints are one model only if the vectors that they give the probe agree: cosine 0.999, which float16 and
   other libraries reach, and another model does not. An endpoint is asked for it before its first texts, so a fleet of
   which a part is down starts.
3. Texts that are refused together are asked in halves, down to each alone, so that one text costs itself. If the first
   HOPELESS that are left alone are all refused, no single text is wrong, and the error is raised.
4. A budget counts the requests and estimated tokens of the last 60 seconds in this process.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vecver.errors import BackendError, SpaceMismatchError, VecverError
from vecver.model import Endpoints
from vecver.pipeline.embedders.endpoint import Endpoint, Failed, Refused

ATTEMPTS = 5
BACK_OFF = 0.5  # seconds before the second attempt; doubles
LONGEST_WAIT = 120.0  # seconds before any attempt, whatever Retry-After asks
LONGEST_ASIDE = 30.0  # seconds that an endpoint is left aside, unless it asks for more
MOST_THREADS = 128
HOPELESS = 8
AGREE = 0.999
PROBE = "The quick brown fox jumps over the lazy dog."

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """What became of some texts: their vectors, `(n, dim)`, or why the one text was refused."""

    positions: Sequence[int]
    rows: Rows | None
    refusal: BackendError | None = None


@dataclass(eq=False)
class _Member:
    """An endpoint as the fleet knows it; guarded by the fleet's lock."""

    endpoint: Endpoint
    running: int = 0
    failures: int = 0  # one after the other
    aside_until: float = 0.0
    proved: bool = False


@dataclass
class _Budget:
    """At most `most` in 60 seconds; 0: no limit."""

    most: int
    used: deque[tuple[float, int]] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, amount: int) -> None:
        """Wait until so much is left, and use it. What is more than the whole budget waits until all is left."""
        while self.most:
            with self.lock:
                now = time.monotonic()
                while self.used and self.used[0][0] <= now - 60:
                    self.used.popleft()
                if not self.used or sum(count for _, count in self.used) + amount <= self.most:
                    self.used.append((now, amount))
                    return
                pause = self.used[0][0] + 60 - now
            time.sleep(max(pause, 0.01))


class Fleet:
    """The endpoints of one model. `proves`: whether each must agree with the others before it embeds a text."""

    def __init__(self, endpoints: Sequence[Endpoint], rules: Endpoints, *, proves: bool) -> None:
        self._members = [_Member(endpoint, proved=not proves) for endpoint in endpoints]
        self._proves = proves
        self._rules = rules
        self._requests, self._tokens = _Budget(rules.requests_per_minute), _Budget(rules.tokens_per_minute)
        self._changed = threading.Condition()
        self._reference: tuple[str, Rows] | None = None  # the first endpoint that was proved, its vector of the probe
        self._alone_refused = 0  # texts
        self._has_succeeded = False

    @property
    def width(self) -> int:
        """Requests that run at once."""
        return len(self._members) * self._rules.at_once

    def probe(self) -> Rows:
        """The vector of the probe, `(dim,)`, from the first endpoint that answers."""
        return self.ask([PROBE], 12)[0]

    def ask(
        self, texts: Sequence[str], tokens: int, *, query: bool = False, stop: threading.Event | None = None
    ) -> Rows:
        """`(n, dim)` in the order of `texts`, from one endpoint; once `stop` is set, nothing is tried again.

        Raises Refused, SpaceMismatchError, BackendError.
        """
        tried: set[int] = set()
        waited = False
        most = ATTEMPTS + len(self._members) - 1
        for attempt in range(most):
            member = self._take(tried, waited)
            try:
                rows = self._asked(member, texts, tokens, query)
            except Failed as failure:
                pause = self._leave_aside(member, failure, attempt)
                tried.add(id(member))
                if attempt + 1 == most or (stop and stop.is_set()):
                    raise failure.error from None
                if not self._any_ready(tried):
                    if stop:
                        stop.wait(pause)
                    else:
                        time.sleep(pause)
                    tried.clear()
                    waited = True
            else:
                with self._changed:
                    member.failures, member.aside_until, self._has_succeeded = 0, 0.0, True
                return rows
            finally:
                with self._changed:
                    member.running -= 1
                    self._changed.notify_all()
        raise AssertionError("the last attempt returns or raises")

    def each(self, texts: Sequence[str], batches: Sequence[tuple[Sequence[int], int]]) -> Iterator[Part]:
        """What becomes of each batch (positions, estimated tokens), in the order in which they are done.

        Whatever stops it is raised after everything that was embedded by then was given.
        """
        if len(batches) == 1:
            yield from self._parts(texts, *batches[0], None)
            return
        stop = threading.Event()
        pool = ThreadPoolExecutor(
            max(1, min(self.width, len(batches), MOST_THREADS)), thread_name_prefix="vecver-embed"
        )
        stopping: VecverError | None = None
        running: set[Future[list[Part]]] = set()
        try:
            running = {pool.submit(self._parts, texts, *batch, stop) for batch in batches}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    try:
                        yield from future.result()
                    except VecverError as error:
                        stopping = stopping or error
                        running = {other for other in running if not other.cancel()}
        finally:
            stop.set()  # an interrupt waits for no more than the requests that are under way
            pool.shutdown(wait=True, cancel_futures=True)
        if stopping:
            raise stopping

    def _parts(
        self, texts: Sequence[str], positions: Sequence[int], tokens: int, stop: threading.Event | None
    ) -> list[Part]:
        """The parts of one batch; more than one if it was refused as a whole."""
        try:
            return [Part(positions, self.ask([texts[i] for i in positions], tokens, stop=stop))]
        except Refused as refused:
            if len(positions) == 1:
                with self._changed:
                    self._alone_refused += 1
                    hopeless = self._alone_refused >= HOPELESS and not self._has_succeeded
                if hopeless:
                    raise refused.error from None
                return [Part(positions, None, refused.error)]
        half = len(positions) // 2
        return [
            part
            for some in (positions[:half], positions[half:])
            for part in self._parts(texts, some, tokens * len(some) // len(positions) + 1, stop)
        ]

    # -- endpoints ------------------------------------------------------------------------------

    def _take(self, tried: set[int], waited: bool) -> _Member:
        """An endpoint with room that is not aside, if possible none of `tried`; waits for it.

        `waited`: the caller has waited already for the one that comes back first.
        """
        with self._changed:
            while True:
                now = time.monotonic()
                free = [member for member in self._members if member.running < self._rules.at_once]
                ready = [member for member in free if member.aside_until <= now]
                if fresh := [member for member in ready if id(member) not in tried] or ready:
                    chosen = min(fresh, key=lambda member: member.running)
                    break
                if waited and free:
                    chosen = min(free, key=lambda member: member.aside_until)
                    break
                pauses = [member.aside_until - now for member in free]
                self._changed.wait(min([pause for pause in pauses if pause > 0], default=None))
            chosen.running += 1
            return chosen

    def _any_ready(self, tried: set[int]) -> bool:
        with self._changed:
            now = time.monotonic()
            return any(member.aside_until <= now and id(member) not in tried for member in self._members)

    def _leave_aside(self, member: _Member, failure: Failed, attempt: int) -> float:
        """Ask this endpoint later. Gives the seconds to wait if there is no other."""
        with self._changed:
            backing_off = BACK_OFF * 2.0 ** (attempt if len(self._members) == 1 else member.failures)
            pause = min(backing_off, LONGEST_ASIDE) if failure.wait is None else min(failure.wait, LONGEST_WAIT)
            member.failures += 1
            member.aside_until = max(member.aside_until, time.monotonic() + pause)
            if self._proves and failure.error.context.get("status") != 429:
                member.proved = False  # another model may come up
            return pause

    def _asked(self, member: _Member, texts: Sequence[str], tokens: int, query: bool) -> Rows:
        if not member.proved:
            self._prove(member)
            if texts == [PROBE] and self._reference and self._reference[0] == member.endpoint.url:
                return self._reference[1][None]
        self._requests.take(1)
        self._tokens.take(tokens)
        return member.endpoint.ask(texts, query=query)

    def _prove(self, member: _Member) -> None:
        """Raises SpaceMismatchError unless the endpoint agrees with the first one that was proved."""
        self._requests.take(1)
        try:
            row = member.endpoint.ask([PROBE])[0]
        except Refused as refused:
            raise refused.error from None
        row = row / np.linalg.norm(row)
        with self._changed:
            url, reference = self._reference = self._reference or (member.endpoint.url, row)
            if len(reference) != len(row) or float(reference @ row) < AGREE:
                likeness = f"cosine {float(reference @ row):.3f}" if len(reference) == len(row) else "dimensions differ"
                raise SpaceMismatchError(
                    f"{url} and {member.endpoint.url} do not serve the same model: {likeness} for one text",
                    code="endpoints_differ",
                    hint="serve one model at both, or name the endpoints of one; what was embedded is kept",
                    endpoints=[url, member.endpoint.url],
                )
            member.proved = True
