"""Cloning, fetching and pulling from a service by key: what comes, what does not, and what happens when it breaks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from helpers import ingest, overwrite, texts_of, vector_of
from inside import contents_of, versions_of

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
if TYPE_CHECKING:
    import httpx2 as httpx
else:
    httpx = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")

from serving import running
from vecver_service.app import create_app
from vecver_service.settings import ServiceSettings
from vecver_service.state.keys import Keys

import vecver
from vecver.cli import main
from vecver.errors import AccessError, BackendError, InvalidInputError, NotFoundError
from vecver.store import Store
from vecver.wire import Wire

BASE = {"a": "one", "b": "two", "c": "three"}


@dataclass(frozen=True)
class Served:
    """A service with two datasets, and its keys: of one dataset, of the other, of all."""

    url: str
    repository: vecver.Repository
    keys: dict[str, str]

    def clone(self, place: Path, key: str = "all", **how: Any) -> vecver.Repository:
        return vecver.clone(self.url, place, remote_key=self.keys[key], background=False, **how)


def fill(repository: vecver.Repository) -> None:
    docs, other = repository.dataset("d"), repository.dataset("secret")
    ingest(docs, BASE)
    docs.tag("v1")
    docs.promote("prod", "v1")
    ingest(docs, {**BASE, "b": "changed"})
    docs.promote("prod", "main")
    docs.recall("main", sample=2, k=[1])
    docs.add_questions("judged", [{"vector": vector_of("one").tolist(), "documents": ["a"]}])
    docs.set_policy("kept", ["ann_recall@10 >= 0"])
    docs.branch("side-way", "v1")
    ingest(other, {"x": "hidden"})
    other.tag("hidden-tag")
    other.promote("hidden-alias")
    other.add_questions("hidden-set", [{"vector": vector_of("x").tolist(), "documents": ["x"]}])


@contextmanager
def service(place: Path, **how: Any) -> Iterator[Served]:
    repository = vecver.open(place / "kb", create=True, author="tester", background=False)
    fill(repository)
    settings = ServiceSettings(state=str(place / "state"), **how)
    keys = Keys(settings.keys_file(""))
    scopes = {"d": ["d:read"], "secret": ["secret:read"], "all": ["*:read"]}
    tokens = {name: keys.add(name, held)[1] for name, held in scopes.items()}
    app = create_app(repository, settings)
    with running(app) as url:
        yield Served(url, repository, tokens)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service whose repository no test changes."""
    with service(tmp_path_factory.mktemp("served")) as made:
        yield made


@pytest.fixture
def changing(tmp_path: Path) -> Iterator[Served]:
    """A service whose repository a test changes."""
    with service(tmp_path) as made:
        yield made


def store(repository: vecver.Repository) -> Store:
    return versions_of(repository).store


def assert_same_answers(one: vecver.Repository, other: vecver.Repository, at: str = "main") -> None:
    ours, theirs = (each.dataset("d").search(vector_of("one"), at=at, k=5) for each in (one, other))
    assert [(hit.key, hit.score) for hit in ours] == [(hit.key, hit.score) for hit in theirs]
    assert other.replay(ours.receipt).identical


def test_a_clone_of_a_service_is_that_of_its_store(served: Served, tmp_path: Path) -> None:
    copy = served.clone(tmp_path / "copy")
    direct = vecver.clone(served.repository.url, tmp_path / "direct", background=False)
    mine, theirs = contents_of(store(copy)), contents_of(store(direct))
    assert mine.pop("remotes") != theirs.pop("remotes") and mine == theirs
    assert copy.id == served.repository.id and copy.datasets() == ["d", "secret"] and copy.check().clean
    docs = copy.dataset("d")
    assert docs.policies().keys() == {"kept"} and docs.question_sets().keys() == {"judged"}
    assert docs.moves("alias", "prod") == served.repository.dataset("d").moves("alias", "prod")
    assert_same_answers(served.repository, copy)
    assert_same_answers(served.repository, copy, "v1")
    assert [remote.url for remote in copy.remotes()] == [served.url]


def test_a_key_gets_only_what_its_dataset_names(served: Served, tmp_path: Path) -> None:
    """Every object of the store, asked for in every way: what comes is what a clone by that key holds."""
    contents = contents_of(store(served.repository))
    copy = contents_of(store(served.clone(tmp_path / "copy", "d")))
    ids = {dataset: [commit.id for commit in served.repository.dataset(dataset).log()] for dataset in ("d", "secret")}
    came, unknown = set(), set()
    with httpx.Client(base_url=served.url, headers={"authorization": f"Bearer {served.keys['d']}"}) as client:
        for name in contents:
            for commit in [None, *ids["d"], *ids["secret"]]:
                params = {"name": name, **({"commit": commit} if commit else {})}
                answer = client.get("/v1/datasets/d/object", params=params)
                if answer.status_code == 200:
                    came.add(name)
                    assert answer.content == contents[name]
                else:
                    problem = answer.json()
                    assert (answer.status_code, problem["code"]) == (404, "object_missing")
                    unknown.add(json.dumps({**problem, "instance": "", "context": {}}).replace(name, "NAME"))
                assert client.get("/v1/datasets/secret/object", params=params).status_code == 403
        for prefix in ("", "refs/", "refs/secret/", "commits/", *(f"commits/{id[:2]}/" for id in ids["secret"])):
            answer = client.get("/v1/datasets/d/objects", params={"prefix": prefix})
            assert answer.status_code == 200 and set(answer.json()["objects"]) <= came
        for folder in ("moves/", "measures/", "gatings/", "questions/d/", "policies/d/", "refs/d/"):
            listed = client.get("/v1/datasets/d/objects", params={"prefix": folder}).json()["objects"]
            assert listed == sorted(name for name in copy if name.startswith(folder))
    assert len(unknown) == 1  # an object of another dataset is like one that is not there
    local = {"vecver.json", "remotes", "tracking/d/origin"}
    assert came == {name for name in copy if name not in local}
    assert not any("secret" in name or b"secret" in body or b"hidden" in body for name, body in copy.items())


def test_a_segment_is_handed_out_only_with_a_commit_that_names_it(served: Served) -> None:
    docs = served.repository.dataset("d")
    first, second = docs.resolve("v1"), docs.resolve("main")
    segments = {commit: _segments(served.repository, commit) for commit in (first, second)}
    new = next(iter(segments[second] - segments[first]))
    with httpx.Client(base_url=served.url, headers={"authorization": f"Bearer {served.keys['d']}"}) as client:
        for commit, status in ((second, 200), (first, 404), (None, 404), ("f" * 64, 404), ("main", 404)):
            params = {"name": f"segments/{new}/vectors.npy", **({"commit": commit} if commit else {})}
            assert client.get("/v1/datasets/d/object", params=params).status_code == status


def _segments(repository: vecver.Repository, commit: str) -> set[str]:
    body = store(repository).get(f"layouts/{commit}").partition(b"\n")[2]
    return {part["segment"] for part in json.loads(body)["segments"]}


STRANGE = [
    *("", "/", "..", "refs/d/../secret/branches/main", "refs/d/branches/../../secret/branches/main", "vecver.json"),
    *("/etc/passwd", "refs//branches/main", "commits/", "remotes", "segments/x/../y", "names/", "NAMES", "tmp/x"),
    *("refs/d/branches/main\0", "refs/d/branches/main/", "moves/" + "F" * 64, "lock", "trash", "questions/d/.."),
    *("refs/d/../secret/", "questions/d/../secret/", "measures/../", "commits/../", "commits/.~/", "segments/../"),
]


def test_a_name_that_no_vecver_writes_is_not_there(served: Served) -> None:
    with httpx.Client(base_url=served.url, headers={"authorization": f"Bearer {served.keys['all']}"}) as client:
        for name in STRANGE:
            answer = client.get("/v1/datasets/d/object", params={"name": name})
            assert (answer.status_code, answer.json()["code"]) == (404, "object_missing"), name
            assert client.get("/v1/datasets/d/objects", params={"prefix": name}).json().get("objects") == [], name


def test_ranges(served: Served) -> None:
    docs = served.repository.dataset("d")
    commit = docs.resolve("main")
    name = f"segments/{next(iter(_segments(served.repository, commit)))}/vectors.npy"
    whole = store(served.repository).get(name)
    size = len(whole)
    cases = {
        "bytes=0-": whole,
        "bytes=5-": whole[5:],
        "bytes=5-9": whole[5:10],
        f"bytes={size - 1}-{size * 2}": whole[-1:],
        f"bytes={size}-": None,
        "bytes=9-5": None,
        "bytes=-5": whole,  # forms that the service does not know are answered with all
        "lines=1-2": whole,
    }
    with httpx.Client(base_url=served.url, headers={"authorization": f"Bearer {served.keys['d']}"}) as client:
        for asked, expected in cases.items():
            params = {"name": name, "commit": commit}
            answer = client.get("/v1/datasets/d/object", params=params, headers={"range": asked})
            if expected is None:
                assert answer.status_code == 416 and f"{size} bytes" in answer.json()["detail"]
            else:
                assert answer.content == expected and int(answer.headers["content-length"]) == len(expected)
                assert answer.status_code == (200 if expected == whole and asked != "bytes=0-" else 206)


def test_a_clone_by_a_key_of_one_dataset_follows_it(changing: Served, tmp_path: Path) -> None:
    copy = changing.clone(tmp_path / "copy", "d")
    docs, there = copy.dataset("d"), changing.repository.dataset("d")
    assert copy.datasets() == ["d"] and copy.check().clean
    ingest(there, {**BASE, "b": "changed again", "e": "new"})
    there.promote("prod", "main")
    fetched = copy.fetch()
    assert fetched.objects and docs.resolve("origin/main") == there.resolve("main") != docs.resolve("main")
    pulled = copy.pull()
    assert (pulled.objects, texts_of(docs)) == (0, {**BASE, "b": "changed again", "e": "new"})
    assert docs.aliases() == there.aliases() and copy.fetch().objects == 0
    assert_same_answers(changing.repository, copy)
    again = vecver.open(tmp_path / "copy", remote_key=changing.keys["secret"], background=False)
    assert again.fetch().objects and again.dataset("secret").resolve("origin/main")
    with pytest.raises(NotFoundError) as caught:
        again.pull("d")
    assert caught.value.code == "dataset_not_found" and "secret" in caught.value.hint


def test_nothing_is_pushed_to_a_service(changing: Served, tmp_path: Path) -> None:
    copy = changing.clone(tmp_path / "copy", "d")
    ingest(copy.dataset("d"), {**BASE, "f": "mine"})
    before = contents_of(store(changing.repository))
    with pytest.raises(InvalidInputError) as caught:
        copy.push()
    assert caught.value.code == "service_takes_no_push" and "add_remote" in caught.value.hint
    assert contents_of(store(changing.repository)) == before
    copy.add_remote("team", tmp_path / "kb")  # what the hint says
    assert copy.push("d", remote="team").changed[0].state == "moved"


def test_keys_are_checked_and_never_kept(served: Served, tmp_path: Path) -> None:
    for key in ("", "vv_00000000_" + "A" * 43):
        with pytest.raises(AccessError) as caught:
            vecver.clone(served.url, tmp_path / "refused", remote_key=key)
        assert caught.value.code == "unauthenticated"
    assert not (tmp_path / "refused" / "vecver.json").exists()
    served.clone(tmp_path / "copy", "d")
    for file in (tmp_path / "copy").rglob("*"):
        assert file.is_dir() or served.keys["d"].encode() not in file.read_bytes()
    with pytest.raises(InvalidInputError) as invalid:
        vecver.open(tmp_path / "copy").add_remote("x", f"http://user:{served.keys['d']}@localhost")
    assert served.keys["d"] not in str(invalid.value) and "remote_key" in invalid.value.hint
    for url in ("http://", "https:///x"):
        with pytest.raises(InvalidInputError, match="address of a service"):
            vecver.open(tmp_path / "copy").add_remote("x", url)


def test_one_version_or_none(served: Served, tmp_path: Path) -> None:
    there = served.repository.dataset("d")
    one = served.clone(tmp_path / "one", "d", at="v1")
    assert one.has_rows(there.resolve("v1")) and not one.has_rows(there.resolve("main"))
    by_id = served.clone(tmp_path / "id", at=f"d@{there.resolve('main')[:12]}")
    assert by_id.has_rows(there.resolve("main")) and not by_id.has_rows(there.resolve("v1"))
    none = served.clone(tmp_path / "none", "d", metadata_only=True)
    assert list(store(none).list("segments/")) == [] and len(list(none.dataset("d").log())) == 2
    reopened = vecver.open(tmp_path / "none", remote_key=served.keys["d"], background=False)  # knows nothing yet
    assert_same_answers(served.repository, reopened, "v1")
    unsaid = vecver.open(tmp_path / "none", background=False)
    with pytest.raises(AccessError):
        unsaid.dataset("d").search(vector_of("one"), at="main")


def test_a_lock_file_names_a_service(served: Served, tmp_path: Path) -> None:
    copy, file = served.clone(tmp_path / "copy", "d"), tmp_path / "app" / "vecver.lock"
    file.parent.mkdir()
    lock = copy.lock("d@v1", file=file)
    assert lock.remote == served.url and served.keys["d"] not in file.read_text()
    done = vecver.sync(file, remote_key=served.keys["d"])
    assert done.objects and vecver.sync(file).objects == 0  # what is here is not asked for
    locked = vecver.open_locked(file=file)
    assert {id: locked.get(id).text for id in locked.documents()} == BASE


def test_renamed_datasets_keep_their_names(changing: Served, tmp_path: Path) -> None:
    """One that is now called as another one was is found by a key that knows nothing of that other one."""
    repository = changing.repository
    repository.rename_dataset("secret", "hidden")
    ingest(repository.dataset("secret"), {"y": "the second of its name"})
    copy = changing.clone(tmp_path / "second", "secret")
    assert copy.datasets() == ["secret"] and texts_of(copy.dataset("secret")) == {"y": "the second of its name"}
    assert not any(b"hidden" in body for body in contents_of(store(copy)).values())
    ingest(repository.dataset("secret"), {"y": "again"})
    assert copy.pull().changed[0].state == "moved" and texts_of(copy.dataset("secret")) == {"y": "again"}
    whole = changing.clone(tmp_path / "whole")
    assert whole.datasets() == ["d", "hidden", "secret"] and whole.check().clean
    ingest(copy.dataset("secret"), {"y": "of the clone"})
    assert copy.dataset("secret").get("y").text == "of the clone"


class _Cutting(httpx.BaseTransport):
    """Passes requests on, and cuts the first answers with vectors after so many bytes."""

    def __init__(self, times: int, after: int) -> None:
        self.inner, self.times, self.after, self.ranges = httpx.HTTPTransport(), times, after, list[str]()

    def handle_request(self, request: Any) -> Any:
        answer = self.inner.handle_request(request)
        self.ranges.append(request.headers.get("range", ""))
        if len(self.ranges) > self.times:
            return answer
        return httpx.Response(answer.status_code, headers=answer.headers, stream=_Cut(answer.stream, self.after))


class _Cut(httpx.SyncByteStream):
    def __init__(self, inner: Any, left: int) -> None:
        self.inner, self.left = inner, left

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.inner:
            if self.left:
                yield piece[: self.left]
            raise httpx.ReadError("the connection broke")

    def close(self) -> None:
        self.inner.close()


@pytest.mark.parametrize(("times", "after"), [(0, 0), (3, 50), (3, 0)])
def test_a_broken_connection_goes_on_where_it_stopped(served: Served, times: int, after: int) -> None:
    commit = served.repository.dataset("d").resolve("v1")
    name = f"segments/{next(iter(_segments(served.repository, commit)))}/vectors.npy"
    cutting = _Cutting(times, after)
    wire = Wire(served.url, served.keys["d"], transport=cutting, retries=2)
    pieces = wire.pieces("/v1/datasets/d/object", name=name, commit=commit)
    if times and not after:  # nothing came in three attempts
        with pytest.raises(BackendError) as caught:
            list(pieces)
        assert caught.value.retryable and caught.value.code == "service_unreachable"
    else:
        assert b"".join(pieces) == store(served.repository).get(name)
        assert cutting.ranges == ["", *(f"bytes={after * n}-" for n in range(1, times + 1))]


def test_a_clone_that_was_cut_off_goes_on(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stops, what is there is a repository or nothing, and the same call brings the rest."""
    streamed, left = Wire.pieces, [0]

    def pieces(self: Wire, *arguments: Any, **how: Any) -> Iterator[bytes]:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return streamed(self, *arguments, **how)

    monkeypatch.setattr(Wire, "pieces", pieces)
    place, stopped = tmp_path / "copy", 0
    for left[0] in (3, 9, 20, 30, 45, 1_000):  # requests
        try:
            copy = served.clone(place)
        except KeyboardInterrupt:
            stopped += 1
            assert not (place / "vecver.json").exists() or vecver.open(place).check().clean
    assert stopped >= 3 and copy.check().clean and copy.datasets() == ["d", "secret"]
    assert_same_answers(served.repository, copy)


def test_versions_that_are_laid_anew_meanwhile_come_in_their_new_place(
    changing: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service no longer hands out the segments that the layouts named when they were read."""
    streamed, optimized = Wire.pieces, list[str]()
    docs = changing.repository.dataset("d")

    def pieces(self: Wire, *arguments: Any, **how: Any) -> Iterator[bytes]:
        if how["name"].endswith("segment.json") and not optimized:
            optimized.append(how["name"])
            assert docs.optimize().segments == (2, 1)
        return streamed(self, *arguments, **how)

    monkeypatch.setattr(Wire, "pieces", pieces)
    copy = changing.clone(tmp_path / "copy", "d")
    assert optimized and copy.check().clean
    assert_same_answers(changing.repository, copy, "v1")


def test_slow_readers_of_large_objects_hold_up_nobody(tmp_path: Path) -> None:
    """A clone over a slow line asks for many files at once: each takes as long as the line needs."""
    with service(tmp_path, threads=1, timeout=5) as served:
        commit, size = served.repository.dataset("d").resolve("main"), 40 << 20
        name = f"measures/{commit}/large"
        store(served.repository).put(name, bytes(size))
        headers = {"authorization": f"Bearer {served.keys['d']}"}
        with httpx.Client(base_url=served.url, headers=headers, timeout=10) as client, ExitStack() as stack:
            asked: Any = {"params": {"name": name}}
            slow = [stack.enter_context(client.stream("GET", "/v1/datasets/d/object", **asked)) for _ in range(4)]
            assert [answer.status_code for answer in slow] == [200] * 4  # and nothing is read of them yet
            assert client.get("/v1/datasets/d/commits").status_code == 200
            assert sum(map(len, slow[0].iter_bytes())) == size


def test_the_command_line(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VECVER_SETTINGS", "/dev/null")
    monkeypatch.setenv("VECVER_KEY", served.keys["d"])
    monkeypatch.setenv("VECVER_API_KEY", "of-an-embedder")  # is not sent to a service

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
        assert result.exit_code == code and served.keys["d"] not in result.output, result.output
        return result.output

    said = run("clone", served.url, "copy")
    assert "cloned d to" in said
    assert "up to date with origin: everything there is here" in run("--repo", "copy", "pull")
    assert run("--repo", "copy", "remote", "list").split() == ["origin", served.url]
    said = run("--repo", "copy", "push", code=2)
    assert "takes no push" in said and "vecver remote add" in said
    shown = run("--repo", "copy", "config")
    assert "key" in shown
    monkeypatch.delenv("VECVER_KEY")
    assert "VECVER_KEY" in run("--repo", "copy", "fetch", code=8)


def test_a_damaged_object_is_not_taken(changing: Served, tmp_path: Path) -> None:
    segment = next(iter(_segments(changing.repository, changing.repository.dataset("d").resolve("main"))))
    file = tmp_path / "kb" / "segments" / segment / "vectors.npy"
    body = file.read_bytes()
    overwrite(file, body[:-1] + bytes([body[-1] ^ 1]))
    with pytest.raises(vecver.IntegrityError, match="does not match its digest"):
        changing.clone(tmp_path / "copy", "d")
    overwrite(file, body)
    assert changing.clone(tmp_path / "copy", "d").check().clean  # goes on where it stopped
