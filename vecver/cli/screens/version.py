"""Shows one version: what it changed, its documents, what was not read, how it was made, and its digests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import vecver
from vecver.cli.screens import wording
from vecver.cli.screens.changes import SIGNS
from vecver.cli.screens.history import ref_parts
from vecver.cli.screens.measures import expected_parts
from vecver.cli.terminal import console
from vecver.cli.terminal.console import COMMAND, FAINT, HEAD, ID, STRONG, WARNING, Part, Screen

if TYPE_CHECKING:
    from vecver.model import Coverage

Json = dict[str, Any]

_FIELD = 14  # columns of a field's name, with the margin
MOST = 20  # names of documents that a terminal shows; `vecver diff` has all


def show_version(
    screen: Screen,
    commit: vecver.Commit,
    dataset: str,
    *,
    refs: Sequence[tuple[str, str]],
    changes: Mapping[str, str],
    partial: Mapping[str, Coverage],
    coverage: bool,
    expected: vecver.ExpectedRecall,
    sketch: vecver.SketchSummary | None,
) -> None:
    """All that is recorded of a version. `changes`: document -> "added", "changed", "removed"."""
    _title(screen, commit, dataset, refs)
    _changes(screen, commit)
    _field(screen, "recall", *expected_parts(expected, dataset))
    if sketch and sketch.chunks:
        _field(screen, "sketch", str(sketch))
    _names(screen, commit, dataset, changes)
    _failures(screen, commit.operation.get("failures", ()))
    _coverage(screen, partial, f"{dataset}@{wording.short_id(commit.id)}", coverage)
    _made(screen, commit)
    _digests(screen, commit)


def failure_lines(screen: Screen, failures: Sequence[Mapping[str, str]], most: int = MOST) -> Iterator[list[Part]]:
    """Documents that were not read, grouped by reason; a program gets them all, a line each."""
    if not screen.terminal:
        for failure in failures:
            yield [f"  {failure['code']}  {failure['document']}: {failure['reason']}"]
        return
    groups: dict[str, list[Mapping[str, str]]] = {}
    for failure in failures:
        groups.setdefault(failure["code"], []).append(failure)
    width = max((len(code) for code in groups), default=0)
    for code, reads in groups.items():
        names = [failure["document"] for failure in reads]
        listed = ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
        yield [(f"  {code.replace('_', ' '):<{width}}  ", WARNING), listed, (f"  {reads[0]['reason']}", FAINT)]


def _title(screen: Screen, commit: vecver.Commit, dataset: str, refs: Sequence[tuple[str, str]]) -> None:
    message = commit.message.strip()
    id = wording.short_id(commit.id, screen.terminal)
    screen.say((dataset, HEAD), "  ", (id, ID), *ref_parts(refs), *([f"  {message}"] if message else []))
    if screen.terminal:
        author = f" by {commit.author}" if commit.author else ""
        time = f"{wording.ago(commit.time, console.now())}{author}, {wording.day(commit.time)} UTC"
        screen.say((time, FAINT))
        screen.say()
    else:
        screen.say(f"author        {commit.author or '-'}")
        screen.say(f"time          {commit.time}")


def _changes(screen: Screen, commit: vecver.Commit) -> None:
    operation, total = commit.operation, commit.counts
    if operation.get("kind") == "rollback":
        screen.say("A rollback to ", (wording.short_id(operation["to"], screen.terminal), ID), ".")
    if operation.get("kind") == "merge":
        other = wording.short_id(commit.parents[1], screen.terminal)
        screen.say("A merge of ", wording.folded(operation["revision"]), " (", (other, ID), ").")
    documents = wording.counted(operation.get("documents", {}), "added", "changed", "removed", "unchanged")
    failed = operation.get("documents", {}).get("failed", 0)
    documents += f"{' · ' if documents and failed else ''}{failed:,} not read" if failed else ""
    chunks = wording.counted(operation.get("chunks", {}), "embedded", "reused", "removed")
    for name, counts in (("documents", documents), ("chunks", chunks)):
        _field(screen, name, (f"{total[name]:,}", STRONG), f"   {counts}" if counts else "")


def _names(screen: Screen, commit: vecver.Commit, dataset: str, changes: Mapping[str, str]) -> None:
    names = sorted(changes)
    if not names:
        return
    screen.say()
    shown = names[:MOST] if screen.terminal else names
    for name in shown:
        sign, style = SIGNS[changes[name]]
        screen.say((f"  {sign} ", style), name)
    if len(shown) < len(names):
        id = wording.short_id(commit.id)
        command = f"vecver diff {dataset} {id}~1 {id}" if commit.parents else f"vecver ls {dataset}@{id}"
        screen.say((f"  … and {len(names) - len(shown):,} more: ", FAINT), (command, COMMAND))


def _failures(screen: Screen, failures: Sequence[Mapping[str, str]]) -> None:
    if failures:
        screen.say()
        screen.say(("Not read", STRONG), " (what was known of them stays):")
        for line in failure_lines(screen, failures):
            screen.say(*line)


def _coverage(screen: Screen, partial: Mapping[str, Coverage], version: str, every: bool) -> None:
    if not partial:
        return
    screen.say()
    screen.say(("Read in part", STRONG), f" ({wording.count(len(partial), 'document')}):")
    shown = list(partial.items())[: None if every or not screen.terminal else MOST // 2]
    for document, coverage in shown:
        notes = " ".join(coverage.notes)
        share = "" if coverage.share == 1 else f" {coverage.share:.1%} of its words."
        screen.say(("  % " if screen.terminal else "  ", WARNING), f"{document}: ", (f"{notes}{share}", FAINT))
    if len(shown) < len(partial):
        command = f"vecver show {version} --coverage"
        screen.say((f"  … and {len(partial) - len(shown):,} more: ", FAINT), (command, COMMAND))


def _made(screen: Screen, commit: vecver.Commit) -> None:
    """How the version was made: in words for a person, with every parameter for a program."""
    screen.say()
    if not screen.terminal:
        operation = {name: value for name, value in commit.operation.items() if name not in ("partial", "failures")}
        for title, value in (("recipe", commit.recipe.to_json()), ("operation", operation)):
            screen.say(f"{title}:")
            for line in _nested(value, "  "):
                screen.say(line)
        return
    recipe, environment = commit.recipe, commit.environment
    embedder, chunker = recipe.embedder or {}, recipe.chunker or {}
    named = next((embedder[key] for key in ("location", "model", "name") if embedder.get(key)), recipe.space.embedder)
    _field(screen, "embedder", str(named), (f" · {recipe.space.dim} dimensions, {recipe.space.metric}", FAINT))
    if chunker:
        most = f" · at most {chunker['max_tokens']} tokens" if "max_tokens" in chunker else ""
        _field(screen, "chunker", str(chunker.get("name", "")), (most, FAINT))
    for source in commit.operation.get("sources", ()):
        _field(screen, "source", str(source["label"]), *_origin(source.get("origin")))
    seconds = commit.operation.get("seconds")
    if seconds:
        _field(screen, "took", wording.duration(sum(seconds.values())), (_slowest(seconds), FAINT))
    names = {"vecver": "vecver", "python": "Python"}
    made = ", ".join(f"{label} {environment[name]}" for name, label in names.items() if name in environment)
    _field(screen, "made with", made)


def _digests(screen: Screen, commit: vecver.Commit) -> None:
    screen.say()
    margin = "  " if screen.terminal else ""
    for name, values in (
        ("commit", [commit.id]),
        ("parent", list(commit.parents)),
        ("content root", [commit.content_root]),
        ("vector root", [commit.vector_root]),
    ):
        for value in values or ["none"]:
            screen.say(f"{margin}{name:<12}  ", (value, FAINT))


def _field(screen: Screen, name: str, *parts: Part) -> None:
    """A line with a name in front; what is wrapped stands behind the name."""
    if not screen.terminal:
        screen.say(f"  {name:<10}  ", *parts)
        return
    margin = min(_FIELD, screen.width // 3)
    value = screen.indented(console.text(*parts), margin)
    screen.draw(console.text(f"  {name}".ljust(margin)[:margin]) + value[margin:])


def _origin(origin: Json | None) -> list[Part]:
    if origin and "url" in origin:
        return [(f" · {origin['url']}", FAINT)]
    if not origin or "commit" not in origin:
        return []
    dirty = " with changes" if origin.get("dirty") else ""
    branch = f"{origin['branch']} " if origin.get("branch") else ""
    return [(f" · Git {branch}{str(origin['commit'])[:7]}{dirty}", FAINT)]


def _slowest(seconds: Mapping[str, float]) -> str:
    name = max(seconds, key=lambda phase: seconds[phase])
    return f" · most of it: {name}" if seconds[name] > 1 else ""


def _nested(value: Mapping[str, Any], margin: str) -> Iterator[str]:
    for name, item in value.items():
        if isinstance(item, dict) and item:
            yield f"{margin}{name}:"
            yield from _nested(item, margin + "  ")
        else:
            yield f"{margin}{name}: {item}"
