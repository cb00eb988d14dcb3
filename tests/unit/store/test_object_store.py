"""A store in a bucket: what it asks for, what it does when replies are lost, and what its errors say and do not say."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from buckets import Watched, bucket_in_memory

from vecver.errors import BackendError, ConflictError, InvalidInputError, NotFoundError
from vecver.store import open_store
from vecver.store.object_store import ObjectStore


@pytest.fixture
def bucket() -> Watched:
    """A bucket in memory of which requests are counted."""
    memory = pytest.importorskip("obstore.store", reason="obstore is not installed").MemoryStore
    return Watched(memory())


@pytest.fixture
def store(bucket: Watched, tmp_path: Path) -> ObjectStore:
    """A store on it, whose conditions were tried before."""
    store = bucket_in_memory(tmp_path / "cache", bucket)
    store.swap("first", None, b"")
    bucket.count.clear()
    bucket.asked.clear()
    return store


# -- replies that are lost ------------------------------------------------------------------------


@pytest.mark.parametrize("expected", [None, b"old"])
def test_a_swap_whose_reply_is_lost_was_won(store: ObjectStore, bucket: Watched, expected: bytes | None) -> None:
    if expected:
        store.put("r", expected)
    bucket.losing = 1
    store.swap("r", expected, b"mine")
    assert store.get("r") == b"mine"
    store.swap("r", b"mine", b"next")


def test_a_swap_that_writes_what_another_wrote_is_lost(store: ObjectStore, bucket: Watched) -> None:
    """The bytes are equal, the stamps are not: of two who write the same only one has won."""
    other = bucket_in_memory(None, bucket)
    other.swap("r", None, b"same")
    with pytest.raises(ConflictError):
        store.swap("r", None, b"same")


def test_of_threads_that_swap_alike_while_replies_are_lost_one_wins(store: ObjectStore, bucket: Watched) -> None:
    store.put("r", b"old")
    barrier = threading.Barrier(6)
    bucket.losing = 3

    def race(_: int) -> bool:
        barrier.wait()
        try:
            store.swap("r", b"old", b"new")
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(race, range(6))) == 1


def test_equal_bytes_that_another_wrote_meanwhile_are_as_expected(store: ObjectStore, bucket: Watched) -> None:
    store.swap("r", None, b"a")
    other = bucket_in_memory(None, bucket)
    other.swap("r", b"a", b"b")
    other.swap("r", b"b", b"a")
    store.swap("r", b"a", b"c")
    assert other.get("r") == b"c"


# -- requests ---------------------------------------------------------------------------------------


def test_what_was_seen_is_swapped_by_one_request(store: ObjectStore, bucket: Watched) -> None:
    store.swap("r", None, b"1")
    assert store.get("r") == b"1"
    bucket.count.clear()
    store.swap("r", b"1", b"2")
    store.swap("r", b"2", b"3")
    assert bucket.count == {"put": 2}


def test_what_was_written_is_not_read_back(store: ObjectStore, bucket: Watched) -> None:
    folder = store.scratch()
    (folder / "vectors").write_bytes(b"many")
    store.put_all({"s/vectors": folder / "vectors"})
    store.put("s/manifest", b"one")
    bucket.count.clear()
    assert bytes(store.map("s/vectors", fixed=True)) == b"many"
    assert store.get("s/manifest", fixed=True) == b"one"
    assert not bucket.count


def test_many_names_are_asked_for_at_once(store: ObjectStore, bucket: Watched) -> None:
    for name in "abc":
        store.put(name, name.encode())
    together, arrived = threading.Barrier(4, timeout=20), threading.Event()

    def meet(kind: str, name: str) -> None:
        if kind == "get":
            together.wait()
            arrived.set()

    bucket.before = meet
    assert list(store.get_all(["a", "b", "c", "none"])) == [b"a", b"b", b"c", None]
    assert arrived.is_set()
    bucket.before = lambda kind, name: None
    assert list(store.has_all(["a", "none"])) == [True, False]


def test_a_large_object_is_fetched_in_pieces(
    store: ObjectStore, bucket: Watched, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("vecver.store.requests.PIECE_BYTES", 1000)
    body = bytes(range(250)) * 10
    store.put("large", body)
    other = bucket_in_memory(tmp_path / "other", bucket)
    bucket.count.clear()
    assert bytes(other.map("large", fixed=True)) == body
    assert bucket.count == {"get": 4}  # the first says how large it is


# -- conditions -----------------------------------------------------------------------------------


class Careless(Watched):
    """A bucket that writes whatever the condition."""

    def put(self, name: str, data: Any, **how: Any) -> Any:
        how.pop("mode", None)
        return super().put(name, data, **how)


@pytest.mark.parametrize("write", [lambda s: s.swap("r", None, b"1"), lambda s: s.lock("a", 0).__enter__()])
def test_a_bucket_without_conditional_writes_is_refused_before_anything_is_written(bucket: Watched, write: Any) -> None:
    store = bucket_in_memory(None, Careless(bucket._objects))
    with pytest.raises(BackendError) as caught:
        write(store)
    assert caught.value.code == "store_unconditional" and not caught.value.retryable
    assert list(store.list("")) == [] and store.size("r") is None


# -- errors -----------------------------------------------------------------------------------------


def failing(bucket: Watched, error: Exception) -> None:
    def fail(kind: str, name: str) -> None:
        raise error

    bucket.before = fail


@pytest.mark.parametrize(
    ("theirs", "text", "code", "said", "hint"),
    [
        ("PermissionDeniedError", "<Code>AccessDenied</Code>", "store_refused", "AccessDenied", "AWS_PROFILE"),
        ("GenericError", "<Code>SignatureDoesNotMatch</Code>", "store_refused", "Signature", "AWS_PROFILE"),
        ("GenericError", "<Code>RequestTimeTooSkewed</Code>", "store_refused", "Skewed", "clock"),
        ("NotFoundError", "<Code>NoSuchBucket</Code>", "bucket_missing", "no bucket", "make the bucket"),
        ("GenericError", "status code: 503 Slow Down", "store_failed", "HTTP 503", "try again"),
        ("GenericError", "error sending request", "store_failed", "no connection", "network"),
        (
            "GenericError",
            "https://token.h/metadata/x: error sending request",
            "store_failed",
            "no connection",
            "network",
        ),
        ("GenericError", "GET http://169.254.169.254/latest: error", "store_refused", "no credentials", "AWS_PROFILE"),
        ("GenericError", "an incorrectly configured region", "store_refused", "another region", "AWS_REGION"),
        ("GenericError", "<Code>AuthorizationHeaderMalformed</Code>", "store_refused", "Malformed", "AWS_REGION"),
        ("GenericError", "<Code>ExpiredToken</Code>", "store_refused", "Expired", "AWS_PROFILE"),
    ],
)
def test_errors_say_what_to_do_and_hold_no_credential(
    store: ObjectStore, bucket: Watched, theirs: str, text: str, code: str, said: str, hint: str
) -> None:
    import obstore.exceptions

    failing(bucket, getattr(obstore.exceptions, theirs)(f"GET https://u/x?sig=hunter2&se=1 {text} key=hunter2"))
    for ask in (store.get, store.size, lambda name: store.put(name, b""), lambda name: list(store.list(""))):
        with pytest.raises(BackendError) as caught:
            ask("x")
        error = caught.value
        assert (error.code, said in str(error), hint in error.hint) == (code, True, True)
        assert "hunter2" not in str(error) + error.hint + repr(error.context)
        assert error.__cause__ is None and error.__suppress_context__


def test_an_object_that_is_lost_is_named(store: ObjectStore) -> None:
    with pytest.raises(NotFoundError) as caught:
        store.get("segments/x/vectors.npy")
    assert caught.value.context["name"] == "segments/x/vectors.npy"


@pytest.mark.parametrize("endpoint", ["minio:9000", "not a url", "http://", "ftp://h", "http://u:hunter2@h"])
def test_an_endpoint_that_is_no_address_is_refused(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """obstore panics at the first request."""
    azure = "AccountName=a;AccountKey=a2V5;BlobEndpoint=" + endpoint
    for name, value in (("AWS_ENDPOINT_URL", endpoint), ("AZURE_STORAGE_CONNECTION_STRING", azure)):
        monkeypatch.setenv(name, value)
    for url in ("s3://bucket/kb", "az://container/kb"):
        with pytest.raises(InvalidInputError) as caught:
            open_store(url)
        assert caught.value.code == "invalid_store_settings" and "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["s3://key:hunter2@bucket/kb", "az://c/kb?sig=hunter2", "gs://b/kb#hunter2"])
def test_an_address_with_credentials_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        open_store(url)
    assert caught.value.code == "credentials_in_url" and "hunter2" not in repr(caught.value) + str(caught.value.context)


@pytest.mark.parametrize("url", ["s3://", "s3:///kb", "gs://b/../x", "az://c/a//b"])
def test_an_address_without_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        open_store(url)
    assert caught.value.code == "invalid_url"
