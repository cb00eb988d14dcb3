"""Commands that answer from a version or export it: search, replay, snapshot."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import click

import vecver
from vecver.cli import common
from vecver.cli.screens.search import AnswerView, notes, show, why_nothing
from vecver.cli.screens.upkeep import show_export, show_replay
from vecver.cli.terminal import console
from vecver.cli.terminal.output import as_json, echo_json, progress
from vecver.errors import InvalidInputError
from vecver.settings import Settings

SNAPSHOT = click.option("--snapshot", "folder", metavar="DIR", help="Answer from this exported version.")


@click.command()
@click.argument("dataset", metavar="DATASET[@REV]", required=False)
@click.argument("query", required=False)
@click.option("-k", default=10, show_default=True, help="How many hits.")
@click.option("--exact", is_flag=True, help="The true best k, for certain.")
@click.option("-C", "--context", default=0, metavar="N", help="Add the text of N neighbouring chunks on either side.")
@click.option("--full", is_flag=True, help="Show whole chunks on a terminal, not the best passage of each.")
@click.option(
    "--filter",
    "filter_text",
    metavar="JSON",
    help='Conditions on metadata, page, headings, $path, $title and so on: \'{"page": {"$gte": 3}}\'.',
)
@click.option(
    "--engine",
    type=click.Choice(["faiss", "milvus"]),
    default="faiss",
    show_default=True,
    help="Who proposes hits.",
)
@common.MODE
@common.WEIGHT
@common.FUSION
@click.option("--like", metavar="DOC", help="What is like this document, or the chunk with this key? Instead of QUERY.")
@click.option("--offset", default=0, metavar="N", help="Leave out the first N hits: the next page.")
@click.option("--per-document", type=int, metavar="N", help="At most N hits of one document.")
@click.option("--min-score", type=float, metavar="S", help="Only hits that score at least S.")
@click.option("--diversity", type=float, metavar="D", help="From 0, only the score counts, to 1, no two hits alike.")
@click.option("--vectors", is_flag=True, help="Add each hit's stored vector to --json.")
@click.option(
    "--missing",
    type=click.Choice(["error", "empty"]),
    default="error",
    show_default=True,
    help="What to say where the dataset, revision or field is not there: an error, or no hits.",
)
@common.RERANK
@common.RERANK_TOP
@click.option("--space", metavar="NAME", help="The space that query vectors lie in; it is checked.")
@click.option(
    "--queries", metavar="FILE", help='Many queries: a line {"query": "…"} or {"vector": […]} each; - is stdin.'
)
@click.option("--receipt", metavar="FILE", help="Write the answer's receipt, for `vecver replay`.")
@SNAPSHOT
@as_json
@click.pass_obj
def search(
    settings: Settings,
    /,
    dataset: str | None,
    query: str | None,
    filter_text: str | None,
    queries: str | None,
    like: str | None,
    receipt: str | None,
    folder: str | None,
    full: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Find the chunks of a version that answer QUERY.

    With --snapshot DIR give the QUERY alone: the folder holds one version.
    """
    how["filter"] = common.filter_of("--filter", filter_text)
    how["reranker"] = settings.rerankers.get(how["reranker"], how["reranker"])
    if receipt:
        common.check_writable("--receipt", receipt)
    if how["vectors"] and not as_json:
        raise InvalidInputError("--vectors is for --json", code="conflicting_options", hint="add --json")
    began = time.perf_counter()
    if folder is not None:
        if how.pop("engine") != "faiss":
            raise InvalidInputError(
                "a snapshot is searched by its own index", code="conflicting_options", hint="leave out --engine"
            )
        questions = _asked(_alone(dataset, query), queries, like, receipt)
        opened, repository = vecver.open_snapshot(folder, api_key=settings.api_key), None
        answers = _answers(opened, questions, like, how)
        record: vecver.Commit | None = opened.commit
    else:
        name, revision = common.version_of(_named(dataset))
        questions = _asked(query, queries, like, receipt)
        repository = common.opened(settings)
        docs = repository.dataset(name)
        answers = _answers(docs, questions, like, {**how, "at": revision})
        record = docs.show(answers[0].commit) if answers[0].commit else None
    seconds = time.perf_counter() - began
    if as_json:
        for answer in answers:
            echo_json(answer.to_json(), indent=None if queries else 2)
            _hint(answer)
    elif record is None:
        console.out().say(f"No hits: {answers[0].missing}.")
    else:
        shown = [
            AnswerView(answer, text if isinstance(text, str) else None, None if queries else seconds, record, full=full)
            for answer, text in zip(answers, questions, strict=True)
        ]
        _show(shown, how)
    if receipt:
        common.write("--receipt", receipt, json.dumps(answers[0].receipt, ensure_ascii=False, indent=2) + "\n")
    if repository:
        repository.settle()  # so that large files are looked through once, and not begun by every search


@click.command()
@click.argument("receipt", type=click.Path(exists=False))
@SNAPSHOT
@as_json
@click.pass_obj
@click.pass_context
def replay(context: click.Context, settings: Settings, /, receipt: str, folder: str | None, as_json: bool) -> None:
    """Recompute an answer from its RECEIPT and the repository. Exits 5 if it is not identical."""
    where = vecver.open_snapshot(folder, api_key=settings.api_key) if folder is not None else common.opened(settings)
    outcome = vecver.replay(where, receipt)
    if as_json:
        echo_json(outcome.to_json())
    else:
        show_replay(console.out(), outcome)
    context.exit(0 if outcome.identical else 5)


@click.command()
@click.argument("dataset", metavar="DATASET[@REV]")
@click.argument("folder", metavar="OUT")
@as_json
@click.pass_obj
def snapshot(settings: Settings, /, dataset: str, folder: str, as_json: bool) -> None:
    """Export a version to the new folder OUT: for `vecver search --snapshot OUT`, or faiss and pyarrow alone."""
    name, revision = common.version_of(dataset)
    docs = common.opened(settings).dataset(name)
    with progress(name) as advance:
        made = docs.snapshot(revision, folder, progress=advance)
    if as_json:
        echo_json(made.to_json())
    else:
        show_export(console.out(), made)


def _named(dataset: str | None) -> str:
    if dataset is None:
        raise InvalidInputError("no dataset was named", code="no_dataset", hint="vecver search DATASET QUERY")
    return dataset


def _alone(first: str | None, second: str | None) -> str | None:
    """The QUERY of a search in a snapshot, whose first argument is not a dataset."""
    if first is not None and second is not None:
        raise InvalidInputError(
            f"a snapshot is one version: it does not take {first!r}",
            code="conflicting_options",
            hint="vecver search --snapshot DIR QUERY",
        )
    return first


def _asked(query: str | None, queries: str | None, like: str | None, receipt: str | None) -> list[Any]:
    """The queries of the command; [None] for --like."""
    if sum(way is not None for way in (query, queries, like)) != 1:
        problem = "nothing was asked" if query is queries is like else "one thing is asked at a time"
        raise InvalidInputError(problem, code="no_query", hint="give a QUERY, or --queries FILE, or --like DOC")
    if queries is None:
        return [query]
    if receipt:
        raise InvalidInputError(
            "--receipt writes one receipt",
            code="conflicting_options",
            hint="with --queries use --json: it has them all",
        )
    return common.queries_of(queries)


def _answers(docs: Any, questions: list[Any], like: str | None, how: dict[str, Any]) -> list[vecver.Answer]:
    return docs.search(questions, **how) if like is None else [docs.more_like(like, **how)]


def _show(shown: list[AnswerView], how: dict[str, Any]) -> None:
    with console.pages() as screen:
        for answer in shown:
            nothing = "" if len(answer.answer) else _nothing(answer, how)
            show(screen, replace(answer, nothing=nothing, several=len(shown) > 1))
    for answer in shown:
        _hint(answer.answer)


def _nothing(shown: AnswerView, how: dict[str, Any]) -> str:
    """Why an answer has no hits."""
    if shown.answer.missing:
        return f"No hits: {shown.answer.missing}."
    narrowing = {"min_score": "--min-score", "offset": "--offset"}
    narrowed = [option for name, option in narrowing.items() if how[name]]
    return why_nothing(
        shown.commit,
        f"{shown.answer.dataset}@{shown.answer.revision}",
        filtered=how["filter"] is not None,
        narrowed=narrowed,
    )


def _hint(answer: vecver.Answer) -> None:
    """Name on stderr the parts of the query that the model cannot read, and what was not done."""
    for note in notes(answer):
        console.err().say(("note: ", console.WARNING), note)


COMMANDS = (search, replay, snapshot)
