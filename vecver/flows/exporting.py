"""Exporting: writes one version to a folder that works without vecver, and opens such a folder.

hash the segments -> write the rows in order -> build an index on them -> checksums -> manifest -> rename into place
read the manifest -> verify every file -> open the rows and the index -> answer as the repository does

    snapshot.json   the manifest: what this is, and every other file's sha256 and length; under its own digest
    index.faiss     FAISS, over the rows in the order of the other files
    README.md       how to search it with faiss, numpy and pyarrow alone
    SHA256SUMS      for `sha256sum -c`
    and the files of `repo.read.export`

Decisions
1. Answers and receipts of an opened export name the version by its full commit id, because refs move and are not in
   the folder. So a receipt of `at=<commit id>` has the same bytes from the export and from the repository.
2. Opening hashes every file (2 s for 1,000,000 rows of 384 numbers): FAISS must not load a file that was changed, and
   a copied folder has no repository to be checked against. Changes made while it is open are not noticed.
3. An index of another kind than this vecver builds is ignored, and the rows are scanned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vecver import index, repo
from vecver.digest import canonical_json, digest_json
from vecver.errors import IntegrityError, InvalidInputError, NotFoundError, say
from vecver.flows import opened_indexes
from vecver.flows.searching.receipts import version
from vecver.model import Check, Commit, Export, Json, Problem
from vecver.progress import Progress
from vecver.repo import Snapshot, Versions
from vecver.store import LocalStore, measured, new_folder, verify_folder

FORMAT = 1
MANIFEST, SUMS, INDEX, README = "snapshot.json", "SHA256SUMS", "index.faiss", "README.md"
FILES = (*repo.ROW_FILES, INDEX, README, SUMS)
_FLAT = "flat"


@dataclass(frozen=True)
class OneVersion:
    """An opened export. Flows use it like `Versions`, for the one version that it holds."""

    folder: Path
    id: str  # of the repository that exported it
    files: Mapping[str, Json]
    opened: Snapshot

    def name_of(self, key: str) -> str | None:
        """The dataset's name, which is that in the receipt: an export knows of no renaming."""
        return key

    def resolve(self, dataset: str, revision: str) -> str:
        """The commit's id, if `dataset` and `revision` (the id, or its beginning) name it. Raises NotFoundError."""
        commit = self.opened.commit
        if dataset == commit.dataset and len(revision) >= 4 and commit.id.startswith(revision):
            return commit.id
        raise NotFoundError(
            f"{self.folder} holds {commit.dataset} at {commit.id[:12]}, not {dataset} at {revision!r}",
            code="revision_not_found",
            hint=say(
                "ask the repository, or export that version with docs.snapshot()",
                cli="ask the repository, or export that version with `vecver snapshot`",
            ),
            dataset=dataset,
            revision=revision,
        )

    def snapshot(self, id: str) -> Snapshot:
        """The version, opened. `id` is what `resolve` gave."""
        return self.opened

    def settle(self, snapshot: Snapshot) -> None:
        """Nothing to do: the files were verified when the folder was opened."""


# -- writing ------------------------------------------------------------------------------------


def export(versions: Versions, dataset: str, folder: Path, *, at: str, progress: Progress | None = None) -> Export:
    """Write a version to `folder`, which becomes visible when it is complete. See `Dataset.snapshot`."""
    snapshot = versions.snapshot(versions.resolve(dataset, at))
    commit = snapshot.commit
    _refuse_within(versions, folder)
    with new_folder(folder) as part:
        repo.write_rows(snapshot, part, progress)
        facts = _write_index(part, snapshot, progress)
        (part / README).write_text(_readme(commit, facts), "utf-8")
        files = _seal(part, versions.id, snapshot, facts)
    return Export(
        path=str(folder),
        dataset=commit.dataset,
        commit=commit.id,
        documents=commit.counts["documents"],
        chunks=commit.counts["chunks"],
        index=facts["kind"],
        files=files,
    )


def _refuse_within(versions: Versions, folder: Path) -> None:
    """Raises InvalidInputError for a folder inside the repository, whose gc would treat the files as its own."""
    root = versions.store.folder
    if root and root.resolve() in folder.resolve().parents:
        raise InvalidInputError(
            f"{folder} lies within the repository", code="within_repository", hint="name a folder outside of it"
        )


def _write_index(part: Path, snapshot: Snapshot, progress: Progress | None) -> Json:
    """Build the index that a segment of so many rows would have; returns its kind and facts for the manifest."""
    vectors, metric = np.asarray(np.load(part / "vectors.npy", mmap_mode="r")), snapshot.commit.recipe.space.metric
    if index.faiss.wanted(len(vectors), _max_norm(snapshot)):
        return {"kind": index.faiss.SPEC, **index.faiss.build(vectors, metric, part / INDEX, progress=progress)}
    return {"kind": _FLAT, **index.faiss.build_flat(vectors, metric, part / INDEX)}


def _max_norm(snapshot: Snapshot) -> float:
    return max((segment.max_norm for segment in snapshot.segments), default=0.0)


def _seal(part: Path, repository: str, snapshot: Snapshot, facts: Json) -> dict[str, Json]:
    """Write the checksums and then the manifest; returns the digest and length of every file."""
    files = {name: measured(part / name) for name in sorted({*FILES} - {SUMS})}
    (part / SUMS).write_text("".join(f"{file['sha256']}  {name}\n" for name, file in files.items()), "utf-8")
    files[SUMS] = measured(part / SUMS)
    manifest = {
        "format": FORMAT,
        "vecver": version(),
        "repository": repository,
        "commit": snapshot.commit.id,
        "max_norm": _max_norm(snapshot),
        "index": facts,
        "files": files,
    }
    (part / MANIFEST).write_bytes(canonical_json({**manifest, "digest": digest_json(manifest)}))
    return files


def _readme(commit: Commit, facts: Json) -> str:
    space, counts = commit.recipe.space, commit.counts
    return _README.format(
        dataset=commit.dataset,
        commit=commit.id,
        short=commit.id[:12],
        documents=counts["documents"],
        chunks=counts["chunks"],
        dim=space.dim,
        metric=space.metric,
        model=json.dumps(commit.recipe.embedder["name"]),
        candidates=facts.get("widths", [10])[0],
        score="-((vectors[rows] - query) ** 2).sum(axis=1)" if space.metric == "l2" else "vectors[rows] @ query[0]",
        normalise="faiss.normalize_L2(query)\n" if space.metric == "cosine" else "",
    )


_README = """# {dataset} at {short}

{documents} documents in {chunks} chunks, {dim} dimensions, metric {metric}, vectors of {model}. Row i of index.faiss,
chunks.parquet and vectors.npy is the same chunk. `sha256sum -c SHA256SUMS` checks the files; the sha256 of
commit.json is the commit: {commit}.

```python
import faiss, numpy as np, pyarrow.parquet as pq

index = faiss.read_index("index.faiss")
chunks = pq.read_table("chunks.parquet")
vectors = np.load("vectors.npy", mmap_mode="r")
query = np.ones((1, {dim}), np.float32)  # yours comes from the model above
{normalise}rows = index.search(query, {candidates})[1][0]  # the index proposes; where it is large it is approximate
rows = rows[rows >= 0]
scores = {score}  # higher is better
for i in np.argsort(-scores)[:5]:
    print(rows[i], f"{{scores[i]:.4f}}", chunks["document"][rows[i]], repr(chunks["text"][rows[i]].as_py()[:60]))
```

With vecver: `vecver search --snapshot . "your question"`, with the ids and score bits of the repository.
"""


# -- reading ------------------------------------------------------------------------------------


def open_export(folder: Path) -> OneVersion:
    """The version in a folder that `export` wrote, every file verified before it is used.

    Raises NotFoundError (no export there), IntegrityError (a file was changed, is missing or too many; the
    format is unknown).
    """
    manifest = _manifest(folder)
    files = manifest["files"]
    if set(files) != set(FILES):
        raise _damaged(folder, MANIFEST, "lists other files than an export has")
    verify_folder(folder, files, beside=MANIFEST)
    if files["commit.json"]["sha256"] != manifest["commit"]:
        raise _damaged(folder, "commit.json", "is another commit than the manifest says")
    opened = repo.open_rows(folder, manifest["max_norm"])
    _open_index(folder, opened, manifest["index"])
    return OneVersion(folder, manifest["repository"], files, opened)


def check_export(export: OneVersion, progress: Progress | None = None) -> Check:
    """Hash every file again, and prove the commit's roots from the rows: some 10 us a row."""
    problems = [Problem(*problem.split(": ", 1)) for problem in repo.prove_rows(export.opened, export.folder, progress)]
    try:
        verify_folder(export.folder, export.files, beside=MANIFEST)
    except IntegrityError as error:
        problems.append(Problem(error.context["name"], error.message))
    return Check(len(export.files) + 1, sum(file["bytes"] for file in export.files.values()), tuple(problems))


def _manifest(folder: Path) -> Json:
    """The manifest, after its own digest was verified; it vouches for all other files."""
    try:
        body = LocalStore(folder).get(MANIFEST)
    except NotFoundError as error:
        raise NotFoundError(
            f"{folder} is not a snapshot",
            code="snapshot_not_found",
            hint=say(
                "docs.snapshot(REVISION, FOLDER) makes one; a repository is opened by vecver.open",
                cli="`vecver snapshot DATASET@REVISION FOLDER` makes one; a repository is named by --repo",
            ),
            path=str(folder),
        ) from error
    try:
        value = json.loads(body)
    except ValueError as error:
        raise _damaged(folder, MANIFEST, "is no JSON") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise IntegrityError(
            f"{folder}: {MANIFEST} has another format than {FORMAT}, which this vecver reads",
            code="unknown_format",
            hint="upgrade vecver",
            name=MANIFEST,
        )
    digest = digest_json({name: item for name, item in value.items() if name != "digest"})
    if value.get("digest") != digest or canonical_json(value) != body:
        raise _damaged(folder, MANIFEST, "does not match its digest")
    return value


def _open_index(folder: Path, opened: Snapshot, facts: Json) -> None:
    """Open the index of the rows, if it is of the kind that this vecver searches."""
    if facts["kind"] != index.faiss.SPEC:
        return
    for segment in opened.segments:
        try:
            content, metric = memoryview((folder / INDEX).read_bytes()), segment.space.metric
            opened_indexes.keep(segment, index.faiss.load(content, facts, segment.vectors, metric))
        except IntegrityError as error:
            raise IntegrityError(
                f"{folder}: FAISS {index.faiss.version()} cannot read {INDEX}, which FAISS {facts['faiss']} wrote",
                code=error.code,
                hint=f"install faiss-cpu {facts['faiss']}, or export the version again",
                name=INDEX,
            ) from error


def _damaged(folder: Path, name: str, problem: str) -> IntegrityError:
    return IntegrityError(
        f"{folder}: {name} {problem}",
        code="folder_damaged",
        hint="take another copy of the folder, or export the version again",
        name=name,
    )
