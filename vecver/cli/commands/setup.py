"""Commands for the installation: config, doctor, completion."""

from __future__ import annotations

import os
from typing import Any

import click

from vecver.cli.terminal import console
from vecver.cli.terminal.console import BAD, FAINT, GOOD, STRONG, WARNING
from vecver.cli.terminal.output import as_json, echo_json
from vecver.near import near
from vecver.settings import NAMES, Setting, Settings, explain, settings_file, settings_in_file

OTHERS = ("settings", "pager")  # names that the program itself reads
SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.option("--all", "every", is_flag=True, help="Also those of the service that were not set.")
@as_json
@click.pass_obj
@click.pass_context
def config(context: click.Context, settings: Settings, /, every: bool, as_json: bool) -> None:
    """Show every setting and where its value comes from; secrets are masked.

    A setting is read from an option, else from VECVER_NAME in the environment, else from NAME in the settings file.
    """
    option = context.find_root().params.get("repo")
    entries = [*explain(), *_of_service(every)]
    if option:
        entries = [Setting("repo", option, "option") if entry.name == "repo" else entry for entry in entries]
    file, unknown = settings_file(os.environ), _unknown()
    if as_json:
        values = [
            {"name": entry.name, "value": entry.value, "from": entry.origin, "secret": entry.secret}
            for entry in entries
        ]
        echo_json({"file": {"path": str(file), "exists": file.is_file()}, "settings": values, "unknown": unknown})
        return
    screen = console.out()
    screen.say("settings file  ", str(file), "" if file.is_file() else "  (there is none)")
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        value = entry.value or "(not set)"
        origin = "" if entry.origin == "default" else f"  [{_origin(entry)}]"
        screen.say((entry.name.ljust(width), STRONG), "  ", value, (origin, FAINT))
    for name, meant in unknown.items():
        mean = f"; did you mean {meant}?" if meant else ""
        console.err().say(("note: ", WARNING), f"{name} is no setting{mean}")


def _origin(setting: Setting) -> str:
    known = {"environment": f"VECVER_{setting.name.upper()}", "option": "--repo", "file": "settings file"}
    return known.get(setting.origin, setting.origin)


def _of_service(every: bool) -> list[Setting]:
    """The settings of the service: those that were set, or `every`; none if the service is not installed."""
    try:
        from vecver_service.settings import load_settings
    except ImportError:
        return []
    values = load_settings().model_dump()
    in_file = settings_in_file(os.environ)
    settings = []
    for name, value in values.items():
        origin = "environment" if os.environ.get(f"VECVER_{name.upper()}") else "file" if name in in_file else "default"
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        secret = name == "database"
        settings.append(Setting(name, "****" if secret and text else text, origin, secret))
    return [setting for setting in settings if every or setting.origin != "default"]


def _unknown() -> dict[str, str]:
    """Unknown names in the environment and the file -> the setting that was probably meant."""
    known = {*NAMES, *OTHERS, *(setting.name for setting in _of_service(True))}
    written = {name: name.removeprefix("VECVER_").lower() for name in os.environ if name.startswith("VECVER_")}
    written |= {name: name for name in settings_in_file(os.environ)}
    unknown = {}
    for shown, name in written.items():
        if name not in known:
            meant = next(iter(near(name, known, 1)), "")
            unknown[shown] = f"VECVER_{meant.upper()}" if meant and shown.startswith("VECVER_") else meant
    return unknown


@click.command()
@click.option("--quick", is_flag=True, help="Do not load the model, which takes seconds.")
@as_json
@click.pass_obj
@click.pass_context
def doctor(context: click.Context, settings: Settings, /, quick: bool, as_json: bool) -> None:
    """Check the installation: versions, model, search, Milvus, disk, permissions. Exits 1 on a problem."""
    from vecver.cli.checks import Finding, examine

    screen, findings = console.out(), []
    marks: dict[str, Any] = {"ok": ("ok      ", GOOD), "warning": ("warning ", WARNING), "problem": ("problem ", BAD)}

    def tell(finding: Finding) -> None:
        findings.append(finding)
        if not as_json:
            screen.say(marks[finding.status], " ", (finding.name, STRONG), f"  {finding.message}")
            if finding.advice:
                screen.say("          ", finding.advice)

    for finding in examine(settings, quick=quick):
        tell(finding)
    problems = sum(finding.status == "problem" for finding in findings)
    if as_json:
        echo_json({"ok": not problems, "checks": [finding.__dict__ for finding in findings]})
    context.exit(1 if problems else 0)


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def completion(shell: str | None) -> None:
    """Print the completion script of a shell: of commands, options, datasets and revisions.

    \b
    bash  add to ~/.bashrc:   eval "$(vecver completion bash)"
    zsh   add to ~/.zshrc:    eval "$(vecver completion zsh)"
    fish  once:  vecver completion fish > ~/.config/fish/completions/vecver.fish
    """
    from click.shell_completion import get_completion_class

    from vecver.cli.app import main
    from vecver.cli.completion import VARIABLE

    name = shell or os.path.basename(os.environ.get("SHELL", ""))
    if name not in SHELLS:
        raise click.UsageError(f"name a shell: {', '.join(SHELLS)}")
    shell_class = get_completion_class(name)
    assert shell_class
    click.echo(shell_class(main, {}, "vecver", VARIABLE).source())


COMMANDS = (config, doctor, completion)
