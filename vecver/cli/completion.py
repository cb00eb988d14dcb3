"""Completion in bash, zsh and fish: click completes commands and options, this module datasets, revisions, documents.

It must be fast, so it imports only what lists names. After any error it offers nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

import vecver
from vecver.settings import load_settings

VARIABLE = "_VECVER_COMPLETE"
MOST = 200  # names that are offered
KINDS = ("branch", "tag", "alias")

# bash breaks words at "@", so what it replaces is only what follows the last one.
_BASH = r"""
_vecver_completion() {
    local IFS=$'\n' line="${COMP_LINE:0:$COMP_POINT}" word prefix="" completion type value
    word="${line##* }"
    if [[ $COMP_WORDBREAKS == *@* && $word == *@* ]]; then prefix="${word%"${word##*@}"}"; fi
    COMPREPLY=()
    for completion in $(env COMP_WORDS="$line" _VECVER_COMPLETE=bash_complete "$1" 2>/dev/null); do
        IFS=',' read -r type value <<< "$completion"
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            *) COMPREPLY+=("${value#"$prefix"}") ;;
        esac
    done
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *@ ]]; then compopt -o nospace; fi
}
complete -o nosort -F _vecver_completion vecver
"""


class Bash(BashComplete):
    """As click's, for words with "@" in them."""

    source_template = _BASH

    def source(self) -> str:
        return _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ.get("COMP_WORDS", "")
        words = split_arg_string(line)[1:]
        incomplete = words.pop() if words and not line[-1:].isspace() else ""
        return words, incomplete


add_completion_class(Bash)


class Names(click.types.StringParamType):
    """A text that completes to names which a function lists."""

    def __init__(self, names: Callable[[click.Context, str], Iterable[str]]) -> None:
        self._names = names

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        try:
            names = [name for name in self._names(ctx, incomplete) if name.startswith(incomplete)]
        except Exception:  # no repository, a damaged one, a service that is down: then there is nothing to offer
            return []
        return [CompletionItem(name) for name in names[:MOST]]


def answer(program: click.Command) -> None:
    """Print what may follow, as the shell that asks takes it."""
    shell = os.environ[VARIABLE].partition("_")[0]
    shell_class = get_completion_class(shell)
    if shell_class and (lines := shell_class(program, {}, "vecver", VARIABLE).complete()):
        click.echo(lines)


def attach(command: click.Command) -> None:
    """Let the arguments of a command complete to what they name."""
    for param in command.params:
        if isinstance(param.type, click.types.StringParamType) and (names := _names_of(param, command)):
            param.type = names


def _names_of(param: click.Parameter, command: click.Command) -> click.types.StringParamType | click.Path | None:
    metavar = param.metavar or ""
    if "@RE" in metavar:
        return Names(versions)
    if param.name == "dataset":
        return Names(lambda ctx, _: _repository(ctx).datasets())
    if param.name in ("before", "after", "revision", "to") and command.name != "publish":
        return Names(lambda ctx, _: _refs(ctx, KINDS))
    if param.name == "name" and command.name in KINDS:
        return Names(lambda ctx, _: _refs(ctx, (str(command.name),)))
    if param.name == "alias":
        return Names(lambda ctx, _: _refs(ctx, ("alias",)))
    if param.name in ("sources", "files", "folder", "receipt", "queries", "out"):
        return click.Path()
    if param.name in ("documents", "document"):
        return Names(_documents)
    return None


def versions(ctx: click.Context, incomplete: str) -> list[str]:
    """`handbook`, and once that is written `handbook@main`, `handbook@prod`."""
    repository = _repository(ctx)
    dataset, at, _ = incomplete.partition("@")
    if at:
        return [f"{dataset}@{name}" for name in _names(repository.dataset(dataset), KINDS)]
    return repository.datasets()


def _refs(ctx: click.Context, kinds: Iterable[str]) -> list[str]:
    return _names(_dataset(ctx), kinds)


def _documents(ctx: click.Context, incomplete: str) -> list[str]:
    version = str(ctx.params.get("dataset") or "").partition("@")[2]
    return list(_dataset(ctx).documents(version or "main", prefix=incomplete, limit=MOST))


def _dataset(ctx: click.Context) -> vecver.Dataset:
    return _repository(ctx).dataset(str(ctx.params.get("dataset") or "").partition("@")[0])


def _names(docs: vecver.Dataset, kinds: Iterable[str]) -> list[str]:
    listed = {"branch": docs.branches, "tag": docs.tags, "alias": docs.aliases}
    return [name for kind in kinds for name in listed[kind]()]


def _repository(ctx: click.Context) -> vecver.Repository:
    """While a line is completed no command runs, so the settings are read here."""
    settings = load_settings()
    repo = ctx.find_root().params.get("repo") or settings.repo
    return vecver.open(repo, cache=settings.cache or None, cache_bytes=settings.cache_bytes)
