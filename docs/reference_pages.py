"""Writes the pages of the reference that are made from the code: commands, settings, errors, filters, routes.

    python docs/reference_pages.py        # writes docs/reference/; a test holds that the pages are those of the code

The Python reference is drawn by Sphinx itself, from docstrings (`reference/python.md`).
"""

from __future__ import annotations

import inspect
import io
import re
import sys
import tempfile
import tokenize
from collections.abc import Iterator
from pathlib import Path

import click

import vecver
from vecver import errors, settings
from vecver.cli import main as program
from vecver.index import filters

HERE = Path(__file__).parent / "reference"
WIDTH = 96


def pages() -> dict[str, str]:
    """File name -> text of each page that is made from the code."""
    made = {"cli.md": _cli(), "settings.md": _settings(), "errors.md": _errors(), "filters.md": _filters()}
    return {name: _NOTE + text.rstrip() + "\n" for name, text in {**made, "http.md": _http()}.items()}


def write_reference(folder: Path = HERE) -> None:
    """Write the pages that differ from what lies in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        file = folder / name
        if not file.exists() or file.read_text("utf-8") != text:
            file.write_text(text, "utf-8")


_NOTE = "<!-- Made from the code by docs/reference_pages.py: edit the code, not this page. -->\n\n"


def _cli() -> str:
    """Every command with its help, as the terminal shows it."""
    lines = ["# Command line", "", "`DATASET@REVISION` names a version; every command that prints takes `--json`.", ""]
    lines += ["```text", _help(program, "vecver"), "```"]
    for path, command in _commands(program, "vecver"):
        lines += ["", f"## {path}", "", "```text", _help(command, path), "```"]
    lines += [
        "",
        "## Exit codes",
        "",
        "0 is success; 2 is also what a wrong command line gives; 11 that `vecver drift` found that something moved.",
        "[Errors](errors.md) has the others.",
    ]
    return "\n".join(lines)


def _commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if command.hidden:
            continue
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")


def _help(command: click.Command, path: str) -> str:
    settings_of_all = {**program.context_settings, "max_content_width": WIDTH}
    context = click.Context(command, info_name=path, terminal_width=WIDTH, **settings_of_all)
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def _settings() -> str:
    from vecver_service.settings import ServiceSettings

    lines = ["# Settings", "", "```text", inspect.cleandoc(settings.__doc__ or ""), "```", "", "## The service", ""]
    lines += ["Read by `vecver serve`, in the same places. Bytes are bytes, times are seconds.", ""]
    lines += ["| variable | default | meaning |", "|---|---|---|"]
    comments = _comments(inspect.getsource(ServiceSettings))
    for name, field in ServiceSettings.model_fields.items():
        value = field.default
        shown = ", ".join(value) if isinstance(value, tuple) else str(value)
        lines.append(_row(f"`VECVER_{name.upper()}`", f"`{shown}`" if shown else "none", comments.get(name, "")))
    return "\n".join(lines)


def _comments(source: str) -> dict[str, str]:
    """Field -> the comment at the end of its line."""
    found: dict[str, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            name = re.match(r"\s*(\w+):", token.line)
            if name:
                found[name[1]] = token.string.removeprefix("#").strip()
    return found


def _errors() -> str:
    lines = [
        "# Errors and exit codes",
        "",
        "Every error says what happened and what to do next (`hint`), and has a `code` that never changes.",
    ]
    lines += ["Over HTTP it is an RFC 9457 problem with the same `code`, `hint` and `context`.", ""]
    lines += ["| error | exit code | HTTP | means |", "|---|---|---|---|"]
    for name, error in vars(errors).items():
        if isinstance(error, type) and issubclass(error, errors.VecverError) and error is not errors.VecverError:
            lines.append(_row(f"`{name}`", str(error.exit_code), str(error.http_status), inspect.getdoc(error) or ""))
    lines += ["", "Exit code 11 is no error: `vecver drift` answers with it that something moved. 130 is Ctrl-C."]
    return "\n".join(lines)


def _filters() -> str:
    return "\n".join(["# Filters", "", "```text", inspect.cleandoc(filters.__doc__ or ""), "```"])


def _http() -> str:
    schema = _schema()
    lines = [
        "# HTTP",
        "",
        "A running service shows every route with its fields at `/docs`, and the schema at `/openapi.json`.",
        "",
    ]
    lines += ["| route | does |", "|---|---|"]
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            first = str(route.get("description", "")).partition("\n\n")[0]
            lines.append(_row(f"`{method.upper()} {path}`", first))
    return "\n".join(lines)


def _schema() -> dict[str, dict[str, dict[str, dict[str, object]]]]:
    from vecver_service.app import create_app
    from vecver_service.settings import ServiceSettings

    with tempfile.TemporaryDirectory() as folder:
        app = create_app(
            vecver.open(Path(folder, "kb"), create=True), ServiceSettings(state=str(Path(folder, "state")))
        )
        return app.openapi()


def _row(*cells: str) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    write_reference(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
