"""A dataset behind a service, with the calls and values of `Dataset`."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any, Unpack, overload

from vecver import flows, pipeline, repo
from vecver.arguments import (
    Asking,
    Kind,
    OneQuery,
    Queries,
    Revision,
    check_kind,
    embedder_name,
    is_batch,
    like_question_of,
    question_of,
    sources_of,
    tagged_of,
    text_of,
)
from vecver.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from vecver.flows import Progress
from vecver.model import (
    Answer,
    Commit,
    Coverage,
    Diff,
    DocumentDiff,
    Hit,
    Json,
    Log,
    Metric,
    Move,
    Publication,
    Report,
)
from vecver.remote.editing import RemoteEditing
from vecver.remote.handle import revision_text
from vecver.remote.http import read
from vecver.remote.reading import RemoteReading
from vecver.remote.upload import git_told, nothing_to_send, origin_here, packed, place_header, told, with_failures

PAGE = 50  # commits asked for at once

_PLURAL = {"branch": "branches", "tag": "tags", "alias": "aliases"}


class RemoteDataset(RemoteEditing, RemoteReading):
    """A dataset behind a service, with the methods of `Dataset`; each raises what that raises.

    And AccessError (the key may not), BackendError (no answer). What needs the repository's own machine stays with
    its operator: `optimize`, `recall` and `measures`, `snapshot`, `status`, and of Milvus `republish` and `unpublish`.
    """

    # -- documents in ---------------------------------------------------------------------------

    def ingest(
        self,
        source: pipeline.SourceLike | Sequence[str | PathLike[str]],
        *,
        message: str = "",
        branch: str = "main",
        label: str | None = None,
        prefix: str = "",
        records: bool | None = None,
        embedder: str | Any | None = None,
        space: str | None = None,
        metric: Metric | None = None,
        chunker: str | None = None,
        chunk_tokens: int | None = None,
        passwords: Sequence[str] = (),
        keep_missing: bool = False,
        allow_removals: bool = False,
        strict: bool = False,
        dry_run: bool = False,
        workers: int = 2,
        origin: Json | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """As `Dataset.ingest`: the source is read here, uploaded, and parsed and embedded there, as a job.

        Returns when the job has ended; whoever interrupts it cancels it. One call takes one source. `passwords` and
        `workers` cannot be given. Of files that cannot be read here the service knows nothing: they are in
        `Report.failures`, and so that they keep their versions, nothing is removed as missing then (`notes` says so).
        """
        if passwords or workers != 2:
            raise InvalidInputError(
                "passwords and workers do not travel to a service",
                code="not_over_http",
                hint="leave them out; a locked document is ingested where the repository lies, or unlocked first",
            )
        how = {
            "message": message,
            "branch": branch,
            "embedder": embedder_name(embedder),
            "space": space,
            "metric": metric,
            "chunker": chunker,
            "chunk_tokens": chunk_tokens,
            "allow_removals": True if allow_removals else None,
            "keep_missing": keep_missing,
            "strict": strict,
            "dry_run": dry_run,
            **git_told(origin_here(source) if origin is None else origin),
        }
        named = sources_of(source, label, prefix, records)
        sources = flows.recognised(named, {})
        above = list(dict.fromkeys(place for one in named for place in flows.surroundings(one)))
        where = place_header(sources, above, default=label is None)
        try:
            return self._ingested(sources, where, how, progress)
        except ConflictError as error:
            if error.code != "source_elsewhere":
                raise
        commit = self.show(branch)
        sources = flows.recognised(named, flows.places_of(commit, self.show))
        return self._ingested(sources, place_header(sources, [], default=False), how, progress)

    def _ingested(
        self, sources: Sequence[flows.Source], where: dict[str, str], how: Json, progress: Progress | None
    ) -> Report:
        """Upload sources and wait for their job; `where` they lie."""
        with packed(sources) as upload:
            if not upload.media_type or (how["strict"] and upload.failures):
                raise nothing_to_send(sources[0].label, upload.failures)
            what = {**how, **told(sources)}
            what["keep_missing"] = how["keep_missing"] or what["keep_missing"] or bool(upload.failures)
            headers = {"content-type": upload.media_type, **where}
            job = self._wire.upload(self._path("ingest"), upload.file, headers, **what)
        report = read(self._wire.result_of(job, progress), Report.from_json)
        return with_failures(report, upload.failures) if upload.failures else report

    # -- answers out ----------------------------------------------------------------------------

    @overload
    def search(self, query: OneQuery, **how: Unpack[Asking]) -> Answer: ...
    @overload
    def search(self, query: Queries, **how: Unpack[Asking]) -> list[Answer]: ...
    def search(self, query: Any, **how: Unpack[Asking]) -> Answer | list[Answer]:
        """As `Dataset.search`: the same hits, score bits and receipt."""
        found = self._asked(question_of(query, **how), _query(query))
        if "answers" in found:
            return read(found, lambda it: [Answer.from_json(one) for one in it["answers"]])
        return read(found, Answer.from_json)

    def more_like(self, document: str | Hit, **how: Unpack[Asking]) -> Answer:
        """As `Dataset.more_like`."""
        question = like_question_of(document, **how)
        return read(self._asked(question, {"like": question.like}), Answer.from_json)

    def _asked(self, question: flows.Question, query: Json) -> Json:
        """What the service answers. Options that are not used are not sent, so that an older service answers too."""
        names = ("k", "exact", "filter", "context", "space", "engine")
        body = {**query, "ref": revision_text(question.at), **{name: getattr(question, name) for name in names}}
        body |= {name: value for name, value in question.options().items() if name != "vectors"}
        return self._wire.ask(self._path("search"), body | ({"hit_vectors": "base64"} if question.vectors else {}))

    # -- Milvus ---------------------------------------------------------------------------------

    def publish(
        self,
        at: Revision = "main",
        *,
        to: None = None,
        dedicated: bool = False,
        flat: bool = False,
        progress: Progress | None = None,
    ) -> Publication:
        """As `Dataset.publish`, in the service's own Milvus, as a job."""
        _own_milvus(to)
        body = {"ref": revision_text(at), "dedicated": dedicated, "flat": flat}
        job = self._wire.write("POST", self._path("publish"), body)
        return read(self._wire.result_of(job, progress), Publication.from_json)

    def publication(self, at: Revision = "main", *, to: None = None) -> Publication:
        """What any Milvus client needs to search a version, in the service's Milvus. Raises NotPublishedError."""
        _own_milvus(to)
        return read(self._wire.get(self._path("publication"), ref=revision_text(at)), Publication.from_json)

    # -- versions -------------------------------------------------------------------------------

    def resolve(self, at: Revision = "main") -> str:
        """The full commit id that a revision names."""
        return self.show(at).id

    def show(self, at: Revision = "main") -> Commit:
        """The commit that a revision names."""
        page = self._wire.get(
            self._path("commits"), ref=revision_text(at), limit=1
        )  # a revision may be no part of a path
        return read(page, lambda it: _commit(it["commits"][0]))

    def log(self, at: Revision = "main") -> Log:
        """The commits that led to a revision, newest first; as `Dataset.log`. They are asked for as they are wanted."""
        return Log(lambda: self._commits(at), f"{self.name}@{text_of(at)}")

    def _commits(self, at: Revision) -> Iterator[Commit]:
        cursor = None
        while True:
            page = self._wire.get(self._path("commits"), ref=revision_text(at), limit=PAGE, cursor=cursor)
            commits, cursor = read(page, lambda it: ([_commit(one) for one in it["commits"]], it["next"]))
            yield from commits
            if cursor is None:
                return

    def tagged(self) -> Iterator[tuple[Commit, list[str]]]:
        """Every version that has a tag, with its tags; a version comes after those that it was made from."""
        known: dict[str, Commit] = {}

        def commit(id: str) -> Commit:
            if id not in known:
                known.update((one.id, one) for one in self.log(id))
            return known[id]

        return tagged_of(self.tags(), commit)

    def partial_reads(self, at: Revision = "main") -> dict[str, Coverage]:
        """The documents of a version that were read in part, sorted by id: how much, and what is missing."""
        found = self._wire.get(self._path("commits", self.resolve(at)))
        return read(found, lambda it: {one["document"]: Coverage.from_json(one) for one in it["partial"]})

    @overload
    def diff(self, before: Revision, after: Revision) -> Diff: ...
    @overload
    def diff(self, before: Revision, after: Revision, *, document: str) -> DocumentDiff: ...
    def diff(self, before: Revision, after: Revision, *, document: str | None = None) -> Diff | DocumentDiff:
        """As `Dataset.diff`: what `after` adds, changes and removes against `before`."""
        what = {"from": revision_text(before), "to": revision_text(after), "document": document}
        found = self._wire.get(self._path("diff"), **what)
        return read(found, Diff.from_json) if document is None else read(found, DocumentDiff.from_json)

    # -- refs -----------------------------------------------------------------------------------

    def branches(self) -> dict[str, str]:
        """name -> commit id."""
        return self._refs("branches")

    def tags(self) -> dict[str, str]:
        """name -> commit id."""
        return self._refs("tags")

    def aliases(self) -> dict[str, str]:
        """name -> commit id."""
        return self._refs("aliases")

    def _refs(self, kinds: str) -> dict[str, str]:
        try:
            return read(self._wire.get(self._path(kinds)), lambda it: dict(it[kinds]))
        except NotFoundError as error:
            if error.code == "dataset_not_found":  # one without a version, which has no refs either
                return {}
            raise

    def branch(self, name: str, at: Revision = "main", *, expected: str | None = None) -> Move:
        """A new branch on a version, or with `expected` one that is moved from there: as `Dataset.branch`."""
        return self._moved("PUT", self._ref("branch", name), {"ref": revision_text(at)}, expected)

    def tag(self, name: str, at: Revision = "main") -> Move:
        """A name for a version, fixed for ever. Raises ConflictError if it is taken or was ever a tag."""
        return self._moved("PUT", self._ref("tag", name), {"ref": revision_text(at)})

    def delete_branch(self, name: str, *, expected: str | None = None) -> Move:
        """Remove a branch (only from `expected`, a commit id); no version is lost by it."""
        return self._moved("DELETE", self._ref("branch", name), None, expected)

    def delete_tag(self, name: str, *, expected: str | None = None) -> Move:
        """Remove a tag; its name is never used again, and no version is lost by it."""
        return self._moved("DELETE", self._ref("tag", name), None, expected)

    def delete_alias(self, name: str, *, expected: str | None = None) -> Move:
        """Remove an alias; no version is lost by it."""
        return self._moved("DELETE", self._ref("alias", name), None, expected)

    def promote(self, alias: str, at: Revision = "main", *, expected: str | None = None) -> Move:
        """Let an alias name a version; `expected` as in `Dataset.promote`."""
        return self._moved("PUT", self._ref("alias", alias), {"ref": revision_text(at)}, expected)

    def rollback(self, ref: str, to: Revision | None = None, *, expected: str | None = None) -> Move:
        """Take an alias back to where it was, or give a branch a commit with its old content. No vector moves."""
        body = {"ref": ref, "to": None if to is None else revision_text(to)}
        return self._moved("POST", self._path("rollback"), body, expected)

    def _moved(self, method: str, path: str, body: Json | None, expected: str | None = None) -> Move:
        headers = {}
        if expected is not None:
            headers = {"if-none-match": "*"} if expected == "absent" else {"if-match": f'"{expected}"'}
        return read(self._wire.write(method, path, body, headers), Move.from_json)

    def moves(self, kind: Kind, name: str) -> list[Move]:
        """Every move of a ref, newest first."""
        found = self._wire.get(f"{self._ref(kind, name)}/moves")
        return read(found, lambda it: [Move.from_json(one) for one in it["moves"]])

    def _ref(self, kind: str, name: str) -> str:
        check_kind(kind)
        repo.check_name(kind, name)
        return self._path(_PLURAL[kind], name)

    def __repr__(self) -> str:
        return f"<vecver dataset {self.name} in {self.repository.url}>"


def _query(query: Any) -> Json:
    """What is asked, as the service takes it. Vectors go as their float32 bytes, so that no bit is lost."""
    if isinstance(query, str):
        return {"query": query}
    if not is_batch(query):
        return {"vector": _bytes(query)}
    texts = sum(isinstance(one, str) for one in query)
    if texts == len(query) and texts:
        return {"queries": list(query)}
    if texts:
        raise InvalidInputError(
            "texts and vectors cannot be asked in one call", code="invalid_query", hint="ask them one after the other"
        )
    return {"vectors": [_bytes(one) for one in query]}


def _bytes(query: Any) -> str:
    return base64.b64encode(flows.query_vector(query).astype("<f4").tobytes()).decode()


def _commit(value: Json) -> Commit:
    """A commit that travelled: its id is the digest of what arrived."""
    commit = Commit.from_json(value)
    if commit.id != value["commit"]:
        raise IntegrityError(
            f"the service sent another commit than {value['commit']}, or one of a format that is not known here",
            code="digest_mismatch",
            hint="upgrade this vecver to the service's version; ask its operator to run `vecver check`",
        )
    return commit


def _own_milvus(to: Any) -> None:
    if to is not None:
        raise InvalidInputError(
            "a service publishes to its own Milvus", code="not_over_http", hint="leave out `to`; its operator names it"
        )
