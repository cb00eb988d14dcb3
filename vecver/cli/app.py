"""The program: its global options, its commands, and how an error ends it."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from typing import Any

import click

from vecver.cli import documents, measuring, publishing, searching, serving, tidying, versions
from vecver.errors import BackendError, VecverError, hint_for
from vecver.settings import load_settings

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class Program(click.Group):
    """Shows house errors as two lines on stderr and exits by their category."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except VecverError as error:
            show_error(error, as_json="--json" in sys.argv)
            ctx.exit(error.exit_code)
        except BrokenPipeError:
            sys.stderr.close()
            ctx.exit(0)
        except OSError as error:  # of a place that no room below speaks of, such as a full disk under stdout
            unreached = _unreached(error)
            show_error(unreached, as_json="--json" in sys.argv)
            ctx.exit(unreached.exit_code)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of the work, not of the alphabet


@click.group(cls=Program, context_settings=CONTEXT)
@click.option(
    "--repo", metavar="URL", help="The repository. Default: VECVER_REPO, or .vecver here or in a parent folder."
)
@click.version_option(package_name="vecver", prog_name="vecver")
@click.pass_context
def main(context: click.Context, repo: str | None) -> None:
    """Version control for what a RAG application retrieves from.

    DATASET@REVISION names a version: handbook@prod, handbook@main~2, handbook@3f9a2c1,
    handbook@@{2026-11-01}. Without @REVISION it is the newest one on the branch main.
    """
    settings = load_settings()
    context.obj = replace(settings, repo=repo, named=True) if repo else settings


def program() -> None:
    """What `vecver` runs. A process of our own gives torch one thread an operation; batches run side by side instead.

    Beside other busy processes a query then takes 53 ms, not 420 (two shared cores at load 7), since no
    thread waits at a barrier for one that lost its core; and on CPUs without AVX-512 the thread count
    can no longer touch the last bits of a vector.
    """
    os.environ.setdefault("MKL_NUM_THREADS", "1")
    main()


def _unreached(error: OSError) -> BackendError:
    """What the operating system says, as an error of the house."""
    return BackendError(
        f"{error.filename or 'a file'} could not be reached: {error.strerror or error}",
        code="io_failed",
        hint="check the path, its rights and the space that is left there",
    )


def show_error(error: VecverError, *, as_json: bool) -> None:
    """One error, for a person or for a program, on stderr."""
    hint = hint_for("cli", error.hint)
    if as_json:
        told = {"code": error.code, "message": error.message, "hint": hint, "context": error.context}
        click.echo(json.dumps({"error": told}, ensure_ascii=False, default=str), err=True)
    else:
        click.echo(f"{click.style('error', fg='red')}: {error.message}\n  hint: {hint}", err=True)


for command in (
    *documents.COMMANDS,
    *searching.COMMANDS,
    *versions.COMMANDS,
    *publishing.COMMANDS,
    *measuring.COMMANDS,
    *tidying.COMMANDS,
    *serving.COMMANDS,
):
    main.add_command(command)
