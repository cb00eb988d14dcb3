"""Shows question sets, and how well a version answers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import vecver
from vecver.cli.screens import wording
from vecver.cli.terminal import console
from vecver.cli.terminal.console import COMMAND, FAINT, HEAD, ID, STRONG, WARNING, Part, Screen

if TYPE_CHECKING:
    from rich.table import Table

    from vecver.model import Json

_REASONS = {  # of what a measure leaves out
    "unknown_documents": ("document", "that this version does not have, counted as not found"),
    "unknown_not_documents": ("forbidden document", "that this version does not have"),
    "unjudged_questions": ("question", "without judgments, not measured"),
    "unknown_questions": ("judgment", "of questions that the set does not have, left out"),
}
_NUMBER = 5  # columns of a value
_QUESTION = 20  # columns that a question has at least, where more measures are asked for than fit


# -- question sets ----------------------------------------------------------------------------------------


def show_added(screen: Screen, dataset: str, added: vecver.QuestionSet) -> None:
    """A set that was stored, and what it is good for."""
    summary = added.summary()
    if not screen.terminal:
        screen.say(_set_line(summary))
    else:
        screen.say("Stored ", (added.name, STRONG), f": {_counts(summary)}.")
        if summary["judged"]:
            screen.say(("Next: ", FAINT), (f"vecver eval {dataset} --questions {added.name}", COMMAND))
        else:
            screen.say(
                ("note: ", WARNING),
                'no question says what must come back ("documents" or "contains"), so they can '
                "compare two versions, but measure none",
            )
    _skipped(screen, summary.get("skipped", {}))


def show_sets(screen: Screen, dataset: str, sets: Sequence[Json]) -> None:
    """Every set of a dataset."""
    if not sets and screen.terminal:
        command = f"vecver questions {dataset} add NAME FILE"
        screen.say("There are no question sets yet. ", ("Add one: ", FAINT), (command, COMMAND))
    width = max((len(each["name"]) for each in sets), default=0)
    for each in sets:
        if screen.terminal:
            screen.say((each["name"].ljust(width), STRONG), "  ", (each["digest"][:7], ID), f"  {_counts(each)}")
        else:
            screen.say(_set_line(each))


def show_questions(screen: Screen, questions: vecver.QuestionSet) -> None:
    """The questions of a set and their judgments."""
    for question in questions.questions:
        screen.say((f"{question.id}  ", FAINT), wording.folded(question.query or "(a vector)"))
        documents = ", ".join(name if grade == 1 else f"{name} ({grade})" for name, grade in question.documents.items())
        for label, text in (
            ("documents", documents),
            ("contains", " | ".join(question.contains)),
            ("not", ", ".join((*question.not_documents, *question.not_contains))),
            ("tags", ", ".join(question.tags)),
        ):
            if text:
                screen.say((f"    {label:<10}", FAINT), wording.folded(text))


def _set_line(summary: Json) -> str:
    return f"{summary['digest'][:12]}  {summary['name']}  {summary['count']} questions, {summary['judged']} judged"


def _counts(summary: Json) -> str:
    forbidding = summary["forbidding"]
    parts = [wording.count(summary["count"], "question"), f"{summary['judged']:,} judged"]
    return ", ".join(parts + ([f"{forbidding:,} that forbid something"] if forbidding else []))


def _skipped(screen: Screen, skipped: Mapping[str, int]) -> None:
    for reason, number in skipped.items():
        noun, rest = _REASONS.get(reason, (reason, ""))
        screen.say(("note: ", WARNING), f"{wording.count(number, noun)} {rest}".rstrip())


# -- evaluations ------------------------------------------------------------------------------------------


def show_evaluation(screen: Screen, title: str, measured: vecver.Evaluation, *, per_question: bool) -> None:
    """The measures of a version; with `per_question` every question, the worst first."""
    if not screen.terminal:
        _lines(screen, title, measured, per_question)
        return
    questions = measured.questions
    screen.say((title, HEAD), "  ", (wording.short_id(measured.commit), ID))
    name = questions["name"] or "questions"
    stored = " · measured before" if measured.reused else ""
    engine = "true best" if measured.engine["name"] == "exact" else f"through {measured.engine['name']}"
    by = f" · {ranked}" if (ranked := wording.ranked_by(measured.engine)) else ""
    screen.say((f"{name}: {_counts(questions)}{by} · {engine}{stored}", FAINT))
    screen.say()
    screen.draw(_table(measured))
    if measured.tags:
        screen.say()
        screen.draw(_tags(measured, screen.width))
    _skipped(screen, measured.skipped)
    if per_question:
        screen.say()
        screen.draw(_questions(measured, screen.width))


def _table(measured: vecver.Evaluation) -> Table:
    table = _empty_table("", "mean", "95%")
    for name, mean in measured.measures.items():
        table.add_row(name, console.text((f"{mean.mean:.3f}", STRONG)), f"{mean.low:.3f} … {mean.high:.3f}")
    return table


def _fitting(measured: vecver.Evaluation, room: int) -> list[str]:
    """As many measures as have room in a line, at least one."""
    names = list(measured.measures)
    while len(names) > 1 and _columns(names) > room:
        names.pop()
    return names


def _columns(names: Sequence[str]) -> int:
    return sum(max(len(name), _NUMBER) + 2 for name in names)


def _tags(measured: vecver.Evaluation, width: int) -> Table:
    longest = min(max(map(len, measured.tags)), width // 3)
    names = _fitting(measured, width - longest - len("questions") - 4)
    table = _empty_table("tag", "questions", *names)
    table.columns[0].max_width = longest
    for tag, each in measured.tags.items():
        values = [each["measures"].get(name) for name in names]
        table.add_row(tag, f"{each['count']:,}", *("" if value is None else f"{value:.3f}" for value in values))
    return table


def _questions(measured: vecver.Evaluation, width: int) -> Table:
    names = _fitting(measured, width - _QUESTION)
    table = _empty_table(*names, "question")
    table.columns[-1].max_width = max(width - _columns(names), 1)
    for each in _worst_first(measured):
        values = [each.measures.get(name) for name in names]
        cells: list[Part] = ["" if value is None else f"{value:.3f}" for value in values]
        table.add_row(*map(console.text, cells), console.text(wording.folded(each.query or each.id), wrap=False))
    return table


def _worst_first(measured: vecver.Evaluation) -> list[vecver.Evaluated]:
    """The measured questions, those with the lowest first measure first; in the set's order where they are equal."""
    first = next(iter(measured.measures), "")
    return sorted(
        (each for each in measured.per_question if each.measures), key=lambda each: each.measures.get(first, 2)
    )


def _empty_table(*names: str) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style=FAINT, pad_edge=False)
    for name in names:
        is_text = name in ("", "tag", "question")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=True, overflow="ellipsis")
    return table


def _lines(screen: Screen, title: str, measured: vecver.Evaluation, per_question: bool) -> None:
    questions = measured.questions
    name = questions["name"] or "questions"
    by = f"  {ranked}" if (ranked := wording.ranked_by(measured.engine)) else ""
    of_set = f"{name} {questions['digest'][:12]}"
    screen.say(f"{title}  commit {measured.commit[:12]}  {of_set}  {measured.engine['name']}{by}")
    for measure, mean in measured.measures.items():
        screen.say(f"  {measure:<12}  {mean.mean:.4f}  {mean.low:.4f}  {mean.high:.4f}")
    for tag, each in measured.tags.items():
        values = "".join(f"  {measure} {value:.4f}" for measure, value in each["measures"].items())
        screen.say(f"  tag {tag}  {each['count']} questions{values}")
    _skipped(screen, measured.skipped)
    for one in _worst_first(measured) if per_question else ():
        values = "  ".join(f"{value:.4f}" for value in one.measures.values())
        screen.say(f"  {values}  {one.id}  {wording.folded(one.query or '')}")


def show_tuning(screen: Screen, version: str, tuning: vecver.Tuning) -> None:
    """The curve of a measure over the weights of hybrid search, and what the choice is worth."""
    screen.say(
        f"{version}  {tuning.measure} by the weight of the vectors, {tuning.questions['judged']:,} judged questions"
    )
    for weight, mean in tuning.curve:
        screen.say(f"  {weight:.2f}  {mean:.4f}{'  chosen' if weight == tuning.weight else ''}")
    screen.say(f"vectors alone    {tuning.dense:.4f}")
    screen.say(f"words alone      {tuning.keyword:.4f}")
    screen.say(f"hybrid           {tuning.cross_validated:.4f}  cross-validated in {tuning.folds} folds")
    if tuning.gain is not None:
        screen.say(f"best mixture    {tuning.gain:+.4f}  on the better side, standard error {tuning.gain_error:.4f}")
    if tuning.applied:
        screen.say(f"The recipe of {wording.short_id(tuning.applied, screen.terminal)} says weight {tuning.weight:g}.")
    else:
        screen.say(f"Nothing was changed; --apply commits weight {tuning.weight:g} on the branch.")
