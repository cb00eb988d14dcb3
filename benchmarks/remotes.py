"""What sharing costs: bytes and requests of a push, and a clone beside `git clone` and `dvc pull` of the same files.

    python benchmarks/remotes.py push [--rows 100000] [--dim 384]      a push after a commit that changes 1%
    python benchmarks/remotes.py partial [--rows 1000000]              a clone without rows, and its share of the bytes
    python benchmarks/remotes.py history [--bundle FILE] [--dvc DVC]   a clone of a history, beside git and dvc
    python benchmarks/remotes.py compression [--rows 20000]            what zstd would save, and what it takes

Requests are the calls of a store, each one request of an object store (a listing is one for each thousand names).
`history` embeds with "hashing", 256 numbers a chunk: what is measured is moving bytes, not embedding. The remote is a
folder on the same disk, as it is for git and for dvc; dvc keeps each version's files, and pulls all of them.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial as partial_of
from pathlib import Path
from typing import Any

import numpy as np

import vecver
from vecver import repo
from vecver.store import LocalStore, Store

BUNDLE = Path("/work/shared/data/history/fastapi-docs/fastapi-docs.bundle")
LISTED = 1000  # names that one request of an object store lists
WORDS = [f"word{number:04}" for number in range(3000)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run, rows in (
        ("push", push, 100_000),
        ("partial", partial, 1_000_000),
        ("compression", compression, 20_000),
    ):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--rows", type=int, default=rows)
        command.add_argument("--dim", type=int, default=384)
        command.add_argument("--folder", type=Path)
    command = commands.add_parser("history")
    command.set_defaults(run=history)
    command.add_argument("--bundle", type=Path, default=BUNDLE)
    command.add_argument("--versions", type=int, default=140)
    command.add_argument("--dvc", default="dvc", help="the program; the peer is left out where there is none")
    command.add_argument("--folder", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        args.run(args, Path(folder))


class Counting:
    """A store that counts its calls and the bytes that are written to it."""

    def __init__(self, inner: Store) -> None:
        self.inner, self.url = inner, inner.url
        self.calls: Counter[str] = Counter()
        self.written = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if name not in ("get", "get_all", "put", "put_all", "map", "size", "has_all", "list", "delete", "swap", "lock"):
            return method
        return lambda *arguments, **how: self._counted(name, partial_of(method, **how), *arguments)

    def _counted(self, name: str, method: Callable[..., Any], *arguments: Any) -> Any:
        if name in ("get_all", "has_all"):  # a request for each name
            arguments = (list(arguments[0]),)
            self.calls[name] += len(arguments[0])
            return method(*arguments)
        if name in ("put", "swap"):
            data = arguments[-1]
            self.written += data.stat().st_size if isinstance(data, Path) else len(data)
        if name == "list":
            names = list(method(*arguments))
            self.calls[name] += 1 + len(names) // LISTED
            return iter(names)
        self.calls[name] += 1
        return method(*arguments)

    def taken(self) -> str:
        kinds = ", ".join(f"{name} {count}" for name, count in self.calls.most_common())
        return f"{sum(self.calls.values())} requests ({kinds})"


def records(rows: int, dim: int, changed: set[int] = frozenset(), seed: int = 1) -> Iterator[dict[str, Any]]:  # type: ignore[assignment]
    """Documents of one chunk, some 500 characters each, with their vectors; those `changed` have another text."""
    for number in range(rows):
        chance = np.random.default_rng((seed if number in changed else 0, number))
        text = " ".join(WORDS[word] for word in chance.integers(0, len(WORDS), 62))
        yield {"id": f"doc-{number:07}", "text": text, "vector": chance.standard_normal(dim, np.float32)}


def made(place: Path, rows: int, dim: int) -> vecver.Repository:
    repository = vecver.open(place, create=True, background=False)
    repository.dataset("d").ingest(records(rows, dim), space=f"random {dim}", metric="ip")
    return repository


def sent(repository: vecver.Repository, there: Counting) -> vecver.Transferred:
    """A push through a counting store."""
    return repo.push(repository._versions, "origin", there, repo.SyncOptions())


def timed(call: Callable[[], Any]) -> tuple[Any, str]:
    wall, cpu = time.perf_counter(), time.process_time()
    outcome = call()
    return outcome, f"{time.perf_counter() - wall:.2f} s wall, {time.process_time() - cpu:.2f} s CPU"


def ran(*commands: list[Any], cwd: Path) -> str:
    """Run programs one after the other; what they took."""
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    for command in commands:
        subprocess.run(command, cwd=cwd, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{time.perf_counter() - wall:.2f} s wall, {cpu:.2f} s CPU"


def push(args: argparse.Namespace, folder: Path) -> None:
    repository = made(folder / "kb", args.rows, args.dim)
    first = Counting(LocalStore(folder / "there"))
    done, seconds = timed(lambda: sent(repository, first))
    print(f"first push: {done.objects} objects, {megabytes(done.bytes)}, {first.taken()}, {seconds}")
    changed = set(np.random.default_rng(2).choice(args.rows, args.rows // 100, replace=False).tolist())
    before = set(repository._versions.store.list("segments/"))
    repository.dataset("d").ingest(records(args.rows, args.dim, changed), space=f"random {args.dim}", metric="ip")
    store = repository._versions.store
    rows = sum(store.size(name) or 0 for name in set(store.list("segments/")) - before)
    there = Counting(LocalStore(folder / "there"))
    done, seconds = timed(lambda: sent(repository, there))
    segments = len(repository._versions.layout(repository.dataset("d").resolve()).segments)
    share = f"{there.written / rows:.2f} x the {megabytes(rows)} of new rows"
    print(f"push after a 1% commit: {done.objects} objects, {megabytes(there.written)} written, {share}")
    print(f"    {segments} segments, {there.taken()}, {seconds}")
    again = Counting(LocalStore(folder / "there"))
    done, seconds = timed(lambda: sent(repository, again))
    print(f"second push: {done.objects} objects, {again.written} bytes written, {again.taken()}, {seconds}")


def partial(args: argparse.Namespace, folder: Path) -> None:
    made(folder / "kb", args.rows, args.dim).close()
    whole = size_of(folder / "kb")
    _, seconds = timed(lambda: vecver.clone(folder / "kb", folder / "records", metadata_only=True))
    records_only = size_of(folder / "records") - (64 << 10)  # the reserve of a repository in a folder
    print(f"{args.rows:,} rows, {megabytes(whole)}; without rows {megabytes(records_only)}, {seconds}")
    print(f"    {records_only / whole:.4%} of the bytes")
    here = vecver.open(folder / "records").dataset("d")
    _, seconds = timed(lambda: (list(here.log()), here.show(), here.measures(), here.branches()))
    print(f"log, show, measures, branches: {seconds}; then {(size_of(folder / 'records') - (64 << 10)) / 1e3:.1f} kB")


def history(args: argparse.Namespace, folder: Path) -> None:
    tags = _tags(args.bundle, folder / "source")[: args.versions]
    docs = vecver.open(folder / "kb", create=True, background=False).dataset("docs")
    for tag in tags:
        _git(folder / "source", "checkout", "-q", tag)
        docs.ingest(folder / "source", label="docs", embedder="hashing", message=tag, allow_removals=True)
        docs.tag(tag)
    there = Counting(LocalStore(folder / "kb"))
    copy, seconds = timed(lambda: vecver.clone(there, folder / "copy"))
    rows = copy.dataset("docs").show().counts["chunks"]
    print(f"vecver clone of {len(tags)} versions, {rows:,} chunks at the newest: {megabytes(size_of(folder / 'copy'))}")
    print(f"    {there.taken()}, {seconds}")
    _, seconds = timed(lambda: vecver.clone(folder / "kb", folder / "one", at=f"docs@{tags[-1]}"))
    print(f"vecver clone --at {tags[-1]}: {size_of(folder / 'one') / 1e6:.1f} MB, {seconds}")
    _, seconds = timed(lambda: vecver.clone(folder / "kb", folder / "records", metadata_only=True))
    print(f"vecver clone --metadata-only: {size_of(folder / 'records') / 1e6:.1f} MB, {seconds}")
    seconds = ran(["git", "clone", "-q", "--no-local", folder / "source", folder / "git copy"], cwd=folder)
    print(f"git clone of its source, texts alone: {megabytes(size_of(folder / 'git copy'))}, {seconds}")
    if shutil.which(args.dvc):
        _dvc(args.dvc, folder, tags)


def _dvc(program: str, folder: Path, tags: list[str]) -> None:
    """The rows of every version as files (texts and vectors, as a pipeline without vecver keeps them), in dvc."""
    work, docs = folder / "dvc", vecver.open(folder / "kb").dataset("docs")
    work.mkdir()
    remote = [program, "remote", "add", "-d", "origin", str(folder / "dvc remote")]
    for command in (["git", "init", "-q"], [program, "init", "-q"], remote):
        subprocess.run(command, cwd=work, check=True, capture_output=True)
    for tag in tags:
        snapshot = docs._versions.snapshot(docs.resolve(tag))
        pairs = zip(snapshot.segments, snapshot.layout.segments, strict=True)
        vectors = [rows_of(segment, live) for segment, live in pairs]
        (work / "rows").mkdir(exist_ok=True)
        np.save(work / "rows" / "vectors.npy", np.concatenate(vectors))
        _git(folder / "source", "checkout", "-q", tag)
        shutil.rmtree(work / "rows" / "docs", ignore_errors=True)
        shutil.copytree(folder / "source", work / "rows" / "docs", ignore=shutil.ignore_patterns(".git"))
        subprocess.run([program, "add", "-q", "rows"], cwd=work, check=True, capture_output=True)
        _git(work, "add", "-A")
        _git(work, "-c", "user.name=b", "-c", "user.email=b@b", "commit", "-qm", tag)
        _git(work, "tag", tag)
    subprocess.run([program, "push", "-q", "--all-commits"], cwd=work, check=True, capture_output=True)
    subprocess.run(["git", "clone", "-q", "--no-local", work, folder / "dvc copy"], check=True)
    seconds = ran([program, "fetch", "-q", "--all-commits"], [program, "checkout", "-q"], cwd=folder / "dvc copy")
    print(f"dvc pull of {len(tags)} versions: {megabytes(size_of(folder / 'dvc copy' / '.dvc'))}, {seconds}")


def rows_of(segment: Any, live: Any) -> Any:
    return segment.vectors[np.asarray(live.chunks.to_array(), np.int64)]


def compression(args: argparse.Namespace, folder: Path) -> None:
    """What the files of a segment would shrink to, and how long that takes, beside copying them."""
    import pyarrow as pa

    codec = pa.Codec("zstd", compression_level=3)
    store = made(folder / "kb", args.rows, args.dim)._versions.store
    for name in [name for name in store.list("segments/") if not name.endswith(".json")]:
        content = store.get(name)
        small, packed = timed(partial_of(codec.compress, content, asbytes=True))
        _, copied = timed(partial_of((folder / "copy").write_bytes, content))
        share = len(small) / len(content)
        print(
            f"{name.split('/')[-1]}: {megabytes(len(content))}, zstd {share:.2f} of it in {packed}; copied in {copied}"
        )


def _tags(bundle: Path, target: Path) -> list[str]:
    subprocess.run(["git", "clone", "-q", bundle, target], check=True)
    manifest = [json.loads(line) for line in (bundle.parent / "manifest.jsonl").read_text().splitlines()]
    return [entry["version"] for entry in manifest]


def _git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def megabytes(number: int) -> str:
    return f"{number / 1e6:.2f} MB"


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
