"""Leases: one holder at a time, by the store's clock; and a holder that was stopped learns of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from buckets import Watched, bucket_in_memory

from vecver.errors import ConflictError
from vecver.store import leases
from vecver.store.object_store import ObjectStore


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Seconds that the process believes to have passed beyond the real ones; a test adds to them."""
    ahead, real = [0.0], leases._now
    monkeypatch.setattr(leases, "_now", lambda: real() + ahead[0])
    yield ahead


@pytest.fixture
def bucket() -> Watched:
    """A bucket in memory of which requests are counted."""
    memory = pytest.importorskip("obstore.store", reason="obstore is not installed").MemoryStore
    return Watched(memory())


@pytest.fixture
def store(bucket: Watched) -> ObjectStore:
    store = bucket_in_memory(None, bucket)
    with store.lock("first", 0):  # what is done once: the conditions are tried
        pass
    released(bucket, "first")
    bucket.count.clear()
    return store


def released(bucket: Watched, name: str) -> None:
    """Wait until a lease was deleted, which its release does not wait for."""
    end = time.monotonic() + 10
    while ("delete", f"locks/{name}") not in bucket.asked:
        assert time.monotonic() < end, "the lease was not released"
        time.sleep(0.001)


def test_a_lock_costs_two_requests_of_which_one_is_waited_for(store: ObjectStore, bucket: Watched) -> None:
    with store.lock("a", 1) as still:
        still()
        assert bucket.count == {"put": 1}
    released(bucket, "a")
    assert bucket.count == {"put": 1, "delete": 1}


def test_another_waits_and_is_refused(store: ObjectStore, bucket: Watched) -> None:
    other = bucket_in_memory(None, bucket)
    with store.lock("a", 1), pytest.raises(ConflictError) as caught, other.lock("a", 0):
        pass
    assert caught.value.code == "locked"
    with other.lock("a", 10):
        pass


def test_threads_hold_it_one_after_the_other(store: ObjectStore) -> None:
    inside, most = list[int](), list[int]()

    def hold() -> None:
        with store.lock("a", 60):
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    threads = [threading.Thread(target=hold) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6


def test_a_lease_whose_holder_is_gone_passes_on_by_the_clock_of_the_store(
    bucket: Watched, store: ObjectStore, clock: list[float]
) -> None:
    held = store._leases._take("a", 0, 20.0)  # as a process that was killed: neither renewed nor released
    waiting = bucket_in_memory(None, bucket)
    for seconds in (0, 20):
        clock[0] = seconds
        with pytest.raises(ConflictError), waiting.lock("a", 0):
            pass
    clock[0] = 25
    with waiting.lock("a", 0):
        assert not held.is_sure


def test_a_machine_whose_clock_is_a_day_ahead_takes_no_lease_early(
    bucket: Watched, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = leases._now
    monkeypatch.setattr(leases, "_now", lambda: real() + 86400)
    ahead = bucket_in_memory(None, bucket)
    monkeypatch.setattr(leases, "_now", real)
    with store.lock("a", 0):
        monkeypatch.setattr(leases, "_now", lambda: real() + 86400)
        with pytest.raises(ConflictError), ahead.lock("a", 0):
            pass
        monkeypatch.setattr(leases, "_now", real)


def test_a_holder_that_was_stopped_is_told_and_does_not_release_what_is_no_longer_its_own(
    bucket: Watched, store: ObjectStore, clock: list[float]
) -> None:
    waiting = bucket_in_memory(None, bucket)
    with store.lock("b", 0), pytest.raises(ConflictError), waiting.lock("b", 0):  # learns what time it is there
        pass
    with store.lock("a", 0) as still:
        clock[0] = 25
        with pytest.raises(ConflictError) as caught:
            still()
        assert (caught.value.code, caught.value.context["name"]) == ("lock_lost", "a")
        with waiting.lock("a", 0) as theirs:
            clock[0] = 30
            theirs()
    assert ("delete", "locks/a") in bucket.asked  # by `waiting`, whose lease was its own


def test_a_lease_is_renewed_while_its_holder_lives(store: ObjectStore, bucket: Watched) -> None:
    with store.lock("a", 0, lapse=0.2) as still:
        end = time.monotonic() + 10
        while bucket.asked.count(("put", "locks/a")) < 4:
            assert time.monotonic() < end
            time.sleep(0.01)
        still()


def test_a_lease_whose_first_reply_is_lost_is_held(store: ObjectStore, bucket: Watched) -> None:
    bucket.losing = 1
    with store.lock("a", 0) as still:
        still()


# -- taken ahead ------------------------------------------------------------------------------------


def test_a_lock_that_was_taken_ahead_costs_no_further_request(store: ObjectStore, bucket: Watched) -> None:
    with store.moment(locks=["a", "b"]), store.lock("a", 0) as a, store.lock("b", 0) as b:
        a()
        b()
        assert bucket.count == {"put": 2}
    released(bucket, "a")
    released(bucket, "b")


def test_a_lock_that_is_not_asked_for_is_given_back(store: ObjectStore, bucket: Watched) -> None:
    with store.moment(locks=["a"]):
        pass
    released(bucket, "a")
    with bucket_in_memory(None, bucket).lock("a", 0):
        pass


def test_who_waits_for_a_lock_has_given_back_those_taken_ahead(store: ObjectStore, bucket: Watched) -> None:
    """Two writers that each hold what the other waits for would both fail, and gc would wait for both."""
    other, held, let_go = bucket_in_memory(None, bucket), threading.Event(), threading.Event()

    def hold() -> None:
        with other.lock("turn", 0):
            held.set()
            let_go.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    third = bucket_in_memory(None, bucket)
    with store.moment(locks=["turn", "naming"]):
        with pytest.raises(ConflictError), store.lock("turn", 0):
            pass
        with third.lock("naming", 10):
            let_go.set()
            with store.lock("turn", 10) as still:
                still()
        with store.lock("naming", 10) as still:
            still()
    thread.join()


def test_a_lock_that_another_holds_is_waited_for_when_it_is_asked_for(store: ObjectStore, bucket: Watched) -> None:
    other = bucket_in_memory(None, bucket)
    with other.lock("a", 0), store.moment(locks=["a"]), pytest.raises(ConflictError) as caught, store.lock("a", 0):
        pass
    assert caught.value.code == "locked"


def test_a_lock_taken_ahead_by_a_process_that_was_stopped_then_is_renewed_or_lost(
    store: ObjectStore, bucket: Watched, clock: list[float]
) -> None:
    other = bucket_in_memory(None, bucket)
    with store.lock("b", 0), pytest.raises(ConflictError), other.lock("b", 0):  # learns what time it is there
        pass
    with store.moment(locks=["a"]):
        other_sees(bucket, "a")
        clock[0] = 15
        with store.lock("a", 0) as still:
            still()
    released(bucket, "a")
    with store.moment(locks=["c"]):
        other_sees(bucket, "c")
        clock[0] = 40
        with other.lock("c", 0) as theirs:
            with pytest.raises(ConflictError) as caught, store.lock("c", 0):
                pass
            assert caught.value.code == "locked"
            theirs()


def other_sees(bucket: Watched, name: str) -> None:
    """Wait until a lease is there."""
    end = time.monotonic() + 10
    while ("put", f"locks/{name}") not in bucket.asked:
        assert time.monotonic() < end, "the lease was not taken"
        time.sleep(0.001)


def test_a_lock_that_this_process_lets_go_is_taken_again_without_a_pause(store: ObjectStore, bucket: Watched) -> None:
    """Its own lease, whose release is on the way, would look like another's: it would wait up to half a second."""
    bucket.delay_s = 0.02
    for _ in range(5):
        with store.lock("a", 5):
            pass
    assert bucket.count["put"] == 5 and bucket.count["get"] == 0
