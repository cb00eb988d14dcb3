"""Commands that measure relevance: questions, eval, compare."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

import vecver
from vecver.cli import common
from vecver.cli.screens import comparisons, evaluations, wording
from vecver.cli.screens.changes import show_diff
from vecver.cli.screens.gates import show_policy
from vecver.cli.terminal import console
from vecver.cli.terminal.output import as_json, echo_json, progress
from vecver.errors import InvalidInputError
from vecver.settings import Settings

QUESTIONS = click.option(
    "--questions", metavar="NAME|FILE", required=True, help="A set that the dataset keeps, or a file or folder of one."
)
QRELS = click.option("--qrels", metavar="FILE", help="Judgments of these questions, in BEIR's or TREC's columns.")
ENGINE = click.option(
    "--engine", type=click.Choice(["faiss", "milvus"]), default="faiss", show_default=True, help="Who proposes hits."
)
REPORT = click.option("--report", "report_file", metavar="FILE.html", help="Write a page with plots, to show or send.")
_OPTIONS = {"reranker": "rerank", "rerank_top": "rerank-top"}  # parameters whose options have other names
EXACT = click.option("--exact", is_flag=True, help="Measure the true best, not what the index finds.")


@click.command()
@click.argument("dataset")
@click.argument("action", type=click.Choice(["add", "list", "show", "remove"]), default="list")
@click.argument("name", required=False)
@click.argument("source", metavar="[FILE|FOLDER]", required=False)
@QRELS
@as_json
@click.pass_obj
def questions(
    settings: Settings,
    /,
    dataset: str,
    action: str,
    name: str | None,
    source: str | None,
    qrels: str | None,
    as_json: bool,
) -> None:
    """Keep question sets beside DATASET: add NAME FILE, list, show NAME, remove NAME.

    A line of the FILE is {"query": "…"} with what must come back: "documents": ["id"] or {"id": 2} (graded), or
    "contains": "a sentence of the answer"; what must not: "not_documents", "not_contains"; and "filter", "tags", "id".
    A FOLDER holds queries.jsonl and qrels/test.tsv, as BEIR's.
    """
    docs = common.opened(settings).dataset(dataset)
    _check_arguments(action, dataset, name, source, qrels)
    if action == "add":
        _show_added(docs.add_questions(str(name), str(source), qrels=qrels), dataset, as_json)
    elif action == "remove":
        digest = docs.remove_questions(str(name))
        if as_json:
            echo_json({"name": name, "digest": digest, "removed": True})
        else:
            console.out().say(f"Removed the question set {name}. What was measured with it stays.")
    elif action == "show":
        shown = docs.questions(str(name))
        if as_json:
            echo_json(shown.to_json())
            return
        with console.pages() as screen:
            evaluations.show_questions(screen, shown)
    else:
        sets = [docs.questions(each).summary() for each in docs.question_sets()]
        if as_json:
            echo_json({"questions": sets})
        else:
            evaluations.show_sets(console.out(), dataset, sets)


def _check_arguments(action: str, dataset: str, name: str | None, source: str | None, qrels: str | None) -> None:
    """Raises InvalidInputError for arguments that the action needs or does not take."""
    example = f"vecver questions {dataset} {action} {name or 'NAME'}{' FILE' if action == 'add' else ''}"
    if (action != "list" and name is None) or (action == "add" and source is None):
        missing = "the NAME of a set" if name is None else "the FILE or FOLDER of its questions"
        raise InvalidInputError(f"{action} needs {missing}", code="missing_argument", hint=example)
    if (action == "list" and name is not None) or (action != "add" and (source or qrels)):
        extra = name if action == "list" else source or qrels
        raise InvalidInputError(f"{action} does not take {extra!r}", code="conflicting_options", hint=example)


def _show_added(added: vecver.QuestionSet, dataset: str, as_json: bool) -> None:
    if as_json:
        echo_json(added.summary())
    else:
        evaluations.show_added(console.out(), dataset, added)


@click.command("eval")
@click.argument("dataset", metavar="DATASET[@REV]")
@QUESTIONS
@QRELS
@click.option("--measures", metavar="M,M", help="Names of ir_measures. Default: nDCG@10,R@10,RR@10,Success@5.")
@EXACT
@ENGINE
@common.MODE
@common.WEIGHT
@common.FUSION
@common.RERANK
@common.RERANK_TOP
@click.option("--tune", type=click.Choice(["weight"]), help="Find the weight of hybrid search that answers best.")
@click.option("--apply", is_flag=True, help="Commit that weight on the branch, in its recipe.")
@click.option("--per-question", is_flag=True, help="Show every question, the worst first.")
@click.option("--run", "run_file", metavar="FILE", help="Write the rankings as a run of TREC, for other programs.")
@click.option("--run-qrels", metavar="FILE", help="Write the judgments in TREC's columns, for the same programs.")
@REPORT
@as_json
@click.pass_obj
def evaluate(
    settings: Settings,
    /,
    dataset: str,
    per_question: bool,
    run_file: str | None,
    run_qrels: str | None,
    report_file: str | None,
    tune: str | None,
    apply: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Measure how well a version answers questions: nDCG, recall and others, with 95% intervals.

    The rankings are kept beside the commit: the same call later reads them, and other measures cost no search.
    """
    name, revision = common.version_of(dataset)
    for option, file in (("--run", run_file), ("--run-qrels", run_qrels), ("--report", report_file)):
        if file:
            common.check_writable(option, file)
    how["reranker"] = settings.rerankers.get(how["reranker"], how["reranker"])
    docs = common.opened(settings).dataset(name)
    if tune:
        _tune(docs, revision, how, apply, as_json)
        return
    if apply:
        raise InvalidInputError("--apply is for --tune", code="conflicting_options", hint="add --tune weight")
    with progress(dataset) as advance:
        measured = docs.eval(revision, progress=advance, **how)
    if run_file:
        common.write("--run", run_file, measured.run_text())
    if run_qrels:
        common.write("--run-qrels", run_qrels, measured.qrels_text())
    if report_file:
        history = _history(docs, revision, measured.measures, how)
        common.write("--report", report_file, measured.to_html(history, name=revision))
        console.err().say(f"report: {report_file}")
    if as_json:
        echo_json(measured.to_json(per_question=per_question))
        return
    with console.pages() as screen:
        evaluations.show_evaluation(screen, f"{name}@{revision}", measured, per_question=per_question)
    if measured.not_kept:
        console.err().say(("not kept beside the commit: ", console.WARNING), measured.not_kept)


def _tune(docs: vecver.Dataset, revision: str, how: dict[str, Any], apply: bool, as_json: bool) -> None:
    """`eval --tune weight`."""
    unused = {"mode": "dense", "weight": None, "fusion": None, "engine": "faiss", "reranker": None, "rerank_top": None}
    if given := [f"--{_OPTIONS.get(name, name)}" for name, default in unused.items() if how[name] != default]:
        raise InvalidInputError(
            f"--tune takes no {', '.join(given)}",
            code="conflicting_options",
            hint="leave them out: it tries all weights",
        )
    measures = (how["measures"] or "nDCG@10").split(",")
    if len(measures) > 1:
        raise InvalidInputError("a weight is chosen by one measure", code="conflicting_options", hint="name one")
    asked = {"questions": how["questions"], "qrels": how["qrels"], "exact": how["exact"]}
    with progress(docs.name) as advance:
        tuning = docs.tune_weight(revision, **asked, measure=measures[0], apply=apply, progress=advance)
    if as_json:
        echo_json(tuning.to_json())
        return
    with console.pages() as screen:
        evaluations.show_tuning(screen, f"{docs.name}@{revision}", tuning)


@click.command()
@click.argument("dataset")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B", default="main")
@QUESTIONS
@QRELS
@click.option(
    "--measures", metavar="M,M", help="Names of ir_measures. Default: the usual ones, if there are judgments."
)
@EXACT
@ENGINE
@common.MODE
@common.WEIGHT
@common.FUSION
@common.RERANK
@common.RERANK_TOP
@click.option("--per-question", is_flag=True, help="Show every question that changed, not only those most changed.")
@REPORT
@as_json
@click.pass_obj
def compare(
    settings: Settings,
    /,
    dataset: str,
    before: str,
    after: str,
    per_question: bool,
    report_file: str | None,
    as_json: bool,
    **how: Any,
) -> None:
    """Ask revisions A and B the same questions: what entered, left and moved for each, and why.

    Why: a document was edited, added or removed; its text was rechunked; the embedder is another; a rival took its
    place or left one; or only the approximation of an index differs.
    """
    if report_file:
        common.check_writable("--report", report_file)
    how["reranker"] = settings.rerankers.get(how["reranker"], how["reranker"])
    docs = common.opened(settings).dataset(dataset)
    with progress(dataset) as advance:
        compared = docs.compare(before, after, progress=advance, **how)
    if report_file:
        history = _history(docs, after, compared.measures, how)
        common.write("--report", report_file, compared.to_html(history, names=(before, after)))
        console.err().say(f"report: {report_file}")
    if as_json:
        echo_json(compared.to_json())
        return
    with console.pages() as screen:
        comparisons.show_comparison(screen, compared, (before, after), every=per_question)


def _history(
    docs: vecver.Dataset, revision: str, measures: Iterable[str], how: dict[str, Any]
) -> vecver.MeasureHistory:
    """What is stored of a version and those before it, by the questions and through the engine of a measurement."""
    names = ("questions", "qrels", "exact", "engine", "mode", "weight", "fusion", "reranker", "rerank_top")
    same = {name: how[name] for name in names}
    return docs.measure_history(revision, measures=[*measures, "ann_recall"], **same)


def show_bisection(screen: console.Screen, broken: vecver.Bisection, commit: vecver.Commit) -> None:
    """The version that broke it, how that was found, and its difference."""
    for each in broken.tested:
        state = ("passes", console.GOOD) if each.passed else ("fails ", console.BAD)
        value = "" if each.value is None else f"  {each.value:g}"
        screen.say((wording.short_id(each.commit, screen.terminal), console.ID), "  ", state, value)
    broke = wording.short_id(commit.id, screen.terminal)
    screen.say((broke, console.ID), " broke it: ", (commit.message or "(no message)", console.STRONG))
    screen.say((f"{commit.time[:16].replace('T', ' ')} by {commit.author or 'nobody'}", console.FAINT))
    if broken.between:
        screen.say(
            (f"{broken.between:,} versions before it have no rows any more; it may be one of those", console.WARNING)
        )
    good, bad = (wording.short_id(id, screen.terminal) for id in (broken.good, broken.commit))
    command = f"vecver diff {broken.dataset} {good} {bad}"
    show_diff(screen, broken.diff, command, stat=False)


@click.command()
@click.argument("dataset")
@click.option("--good", metavar="REV", required=True, help="A version that passes.")
@click.option("--bad", metavar="REV", default="main", show_default=True, help="A later version that fails.")
@click.option("--query", metavar="TEXT", help="A question whose answer went wrong,")
@click.option("--expect", metavar="DOC", help="with the document that it must find,")
@click.option("--contains", metavar="TEXT", help="or the text that a hit must hold,")
@click.option("-k", default=10, show_default=True, help="among the first K hits.")
@click.option("--gate", metavar="EXPR", help="Or a measure: 'R@10 >= 0.9'.")
@click.option("--questions", metavar="NAME|FILE", help="The set by which --gate measures.")
@EXACT
@common.MODE
@common.WEIGHT
@common.FUSION
@as_json
@click.pass_obj
def bisect(settings: Settings, /, dataset: str, good: str, bad: str, as_json: bool, **how: Any) -> None:
    """Find the version that broke an answer or a measure, and show what it changed.

    Halves the history between --good and --bad: 140 versions take up to 8 evaluations.
    """
    docs = common.opened(settings).dataset(dataset)
    with progress(dataset) as advance:
        broken = docs.bisect(good, bad, progress=advance, **how)
    if as_json:
        echo_json(broken.to_json())
        return
    with console.pages() as screen:
        show_bisection(screen, broken, docs.show(broken.commit))


@click.command()
@click.argument("dataset")
@click.argument("alias")
@click.option("--gate", "gates", metavar="EXPR", multiple=True, help="What a version must be worth: 'R@10 >= prod'.")
@click.option("--questions", metavar="NAME", help="The stored set by which gates measure.")
@EXACT
@ENGINE
@click.option(
    "--mode",
    type=click.Choice(["dense", "keyword", "hybrid"]),
    help="Rank by vectors, by words (BM25), or by both.  [default: as it was; dense in a new policy]",
)
@common.WEIGHT
@common.FUSION
@click.option(
    "--approval/--no-approval",
    default=None,
    help="Must somebody else approve each promotion (`vecver approve`)? Without it, as before.",
)
@click.option("--remove", is_flag=True, help="Promote ALIAS without gates and approvals from now on.")
@as_json
@click.pass_obj
def policy(
    settings: Settings,
    /,
    dataset: str,
    alias: str,
    gates: tuple[str, ...],
    approval: bool | None,
    remove: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Fasten gates to ALIAS, so that every `promote` runs them; without --gate and --approval show those it has.

    --gate leaves the approval as it is, and --approval the gates.
    """
    docs = common.opened(settings).dataset(dataset)
    if remove and (gates or approval is not None):
        raise InvalidInputError(
            "--remove takes no --gate and no --approval",
            code="conflicting_options",
            hint="leave one of them out",
        )
    if not gates and (given := [name for name in ("questions", "mode", "weight", "fusion") if how[name] is not None]):
        raise InvalidInputError(f"--{given[0]} needs --gate", code="conflicting_options", hint="add --gate EXPR")
    if remove:
        docs.remove_policy(alias)
    kept = docs.policy(alias)
    if gates or approval is not None:
        kept = docs.set_policy(alias, gates or None, approval=approval, **how)
    if as_json:
        echo_json({"alias": alias, "policy": kept.to_json() if kept else None})
    else:
        show_policy(console.out(), dataset, alias, kept)


COMMANDS = (questions, evaluate, compare, bisect, policy)
