"""Shares texts among the endpoints of one model: how many at once, within which budget, and what becomes of failures.

Decisions
1. An endpoint that fails is left aside, for 0.5 s at first and twice as long after each further failure, or as long as
   Retry-After asks; the others take over what it was asked. Before it is asked again it embeds a probe.
2. Several endpoints are one model only if the vectors that they give the probe agree: cosine 0.999, which float16 and
   other libraries reach, and another model does not. An endpoint is asked for it before its first texts, so a fleet of
   which a part is down starts.
3. Texts that are refused together are asked in halves, down to each alone, so that one text costs itself. If HOPELESS
   in a row that are left alone are refused, and the probe is too, no single text is wrong, and the error is raised.
4. A budget counts the requests and estimated tokens of the last 60 seconds in this process.
5. 429 is no failure: it is the pace that an endpoint sets, often a minute's. It costs texts of an ingest none of their
   ATTEMPTS, but PATIENCE in all. A question does not wait so long.
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
PATIENCE = 600.0  # seconds from the first 429 that a request got, without an answer from any endpoint
LONGEST_ASIDE = 30.0  # seconds that an endpoint is left aside, unless it asks for more
MOST_THREADS = 128
HOPELESS = 8
_LOOK_SECONDS = 1.0  # between two looks whether to stop, of what waits for an endpoint
AGREE = 0.999
PROBE = "The quick brown fox jumps over the lazy dog."

Rows = npt.NDArray[np.float64]


class Stopped(Exception):
    """Nobody waits for this request any more."""


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

    def take(self, amount: int, stop: threading.Event | None = None) -> None:
        """Wait until so much is left, and use it. What is more than the whole budget waits until all is left.

        Raises Stopped.
        """
        while self.most:
            with self.lock:
                now = time.monotonic()
                while self.used and self.used[0][0] <= now - 60:
                    self.used.popleft()
                if not self.used or sum(count for _, count in self.used) + amount <= self.most:
                    self.used.append((now, amount))
                    return
                pause = self.used[0][0] + 60 - now
            _sleep(max(pause, 0.01), stop)


class Fleet:
    """The endpoints of one model. `proves`: whether each must agree with the others before it embeds a text."""

    def __init__(self, endpoints: Sequence[Endpoint], rules: Endpoints, *, proves: bool) -> None:
        self._members = [_Member(endpoint, proved=not proves) for endpoint in endpoints]
        self._proves = proves
        self._rules = rules
        self._requests, self._tokens = _Budget(rules.requests_per_minute), _Budget(rules.tokens_per_minute)
        self._changed = threading.Condition()
        self._reference: tuple[str, Rows] | None = None  # the first endpoint that was proved, its vector of the probe
        self._alone_refused = 0  # texts, one after the other

    @property
    def width(self) -> int:
        """Requests that run at once."""
        return len(self._members) * self._rules.at_once

    def probe(self) -> Rows:
        """The vector of the probe, `(dim,)`, from the first endpoint that answers."""
        return self.ask([PROBE], 12)[0]

    def ask(
        self,
        texts: Sequence[str],
        tokens: int,
        *,
        query: bool = False,
        patient: bool = False,
        stop: threading.Event | None = None,
    ) -> Rows:
        """`(n, dim)` in the order of `texts`, from one endpoint; once `stop` is set, nothing is tried again.

        `patient`: 429 uses up no attempt. Raises Refused, SpaceMismatchError, BackendError, Stopped.
        """
        tried: set[int] = set()
        waited, failures, paces, paced_since = False, 0, 0, time.monotonic()
        most = ATTEMPTS + len(self._members) - 1
        while True:
            member = self._take(tried, waited, stop)
            try:
                rows = self._asked(member, texts, tokens, query, stop)
            except Failed as error:
                failure = error
            else:
                with self._changed:
                    member.failures, member.aside_until, self._alone_refused = 0, 0.0, 0
                return rows
            finally:
                with self._changed:
                    member.running -= 1
                    self._changed.notify_all()
            own_pause = self._leave_aside(member, failure, failures + paces)
            tried.add(id(member))
            if patient and failure.is_pace:
                paced_since = paced_since if paces else time.monotonic()
                paces += 1
            else:
                failures += 1
            if failures == most or (stop and stop.is_set()) or (paces and time.monotonic() > paced_since + PATIENCE):
                raise failure.error from None
            if (pause := self._until_ready(member, own_pause, tried)) > 0:
                _sleep(pause, stop)
                tried.clear()
                waited = True

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
                    except Stopped:
                        pass
                    except VecverError as error:
                        stopping = stopping or error
                        stop.set()  # what waits for its turn would wait for minutes, and then be sent in vain
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
            rows = self.ask([texts[i] for i in positions], tokens, patient=True, stop=stop)
        except Refused as refused:
            if len(positions) == 1:
                if self._is_hopeless(stop):
                    raise refused.error from None
                return [Part(positions, None, refused.error)]
        else:
            return [Part(positions, rows)]
        half = len(positions) // 2
        return [
            part
            for some in (positions[:half], positions[half:])
            for part in self._parts(texts, some, tokens * len(some) // len(positions) + 1, stop)
        ]

    def _is_hopeless(self, stop: threading.Event | None) -> bool:
        """A text that was left alone was refused: would any be? Asked after each HOPELESS in a row."""
        with self._changed:
            self._alone_refused += 1
            if self._alone_refused % HOPELESS:
                return False
        try:
            self.ask([PROBE], 12, patient=True, stop=stop)
        except Refused:
            return True
        return False

    # -- endpoints ------------------------------------------------------------------------------

    def _take(self, tried: set[int], waited: bool, stop: threading.Event | None) -> _Member:
        """An endpoint with room that is not aside, if possible none of `tried`; waits for it.

        `waited`: the caller has waited already for the one that comes back first. Raises Stopped.
        """
        with self._changed:
            while True:
                if stop and stop.is_set():
                    raise Stopped
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
                self._changed.wait(min([pause for pause in pauses if pause > 0] + [_LOOK_SECONDS]))
            chosen.running += 1
            return chosen

    def _until_ready(self, member: _Member, own_pause: float, tried: set[int]) -> float:
        """Seconds to wait for the endpoint that may be asked first, `own_pause` for this one; 0: another may be now."""
        with self._changed:
            now = time.monotonic()
            others = [other for other in self._members if other is not member]
            if any(other.aside_until <= now and id(other) not in tried for other in others):
                return 0.0
            return min([own_pause, *(max(0.0, other.aside_until - now) for other in others)])

    def _leave_aside(self, member: _Member, failure: Failed, failures: int) -> float:
        """Ask this endpoint later. Gives the seconds to wait if there is no other. `failures`: of this request."""
        with self._changed:
            backing_off = BACK_OFF * 2.0 ** min(failures if len(self._members) == 1 else member.failures, 10)
            pause = min(backing_off, LONGEST_ASIDE) if failure.wait is None else min(failure.wait, LONGEST_WAIT)
            member.failures += 1
            member.aside_until = max(member.aside_until, time.monotonic() + pause)
            if self._proves and not failure.is_pace:
                member.proved = False  # another model may come up
            return pause

    def _asked(
        self, member: _Member, texts: Sequence[str], tokens: int, query: bool, stop: threading.Event | None
    ) -> Rows:
        if not member.proved:
            self._prove(member, stop)
            if texts == [PROBE] and self._reference and self._reference[0] == member.endpoint.url:
                return self._reference[1][None]
        self._requests.take(1, stop)
        self._tokens.take(tokens, stop)
        return member.endpoint.ask(texts, query=query)

    def _prove(self, member: _Member, stop: threading.Event | None) -> None:
        """Raises SpaceMismatchError unless the endpoint agrees with the first one that was proved."""
        self._requests.take(1, stop)
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


def _sleep(seconds: float, stop: threading.Event | None) -> None:
    """Raises Stopped as soon as `stop` is set."""
    if stop is None:
        time.sleep(seconds)
    elif stop.wait(seconds):
        raise Stopped
