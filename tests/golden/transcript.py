"""Plays every command's `--json` and every HTTP route in a temporary folder, and gives their answers, block by block.

    python tests/golden/transcript.py FOLDER        # plays in FOLDER, and writes what it heard into FOLDER/transcript

What is played stands in `transcript_cli.py` and `transcript_http.py`; `fixed_world.py` holds time, secrets and the
machine's facts still; `VARYING` names the rest. `test_transcript.py` compares the result with what is kept beside it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from fixed_world import PLACE, World, fix

OTHERS = ("VECVER_", "OPENAI_", "OTEL_", "GIT_", "PROMETHEUS_")  # what whoever plays may have set
FILES = ("cli.txt", "http.txt", "openapi.json")
REQUEST = "transcript"  # the id of every request
FRAMING = ("content-length",)  # headers that are no promises
VARYING = (  # what even a fixed world does not hold: (pattern, what stands for it)
    (r'\b[\d.]+ [kMGT]?B free at [^"]+', "9 GB free at …"),  # doctor: disks
    (r'("name": "kernels",\n *"status": )"\w+"(,\n *"message": )"[^"]*"(,\n *"advice": )"[^"]*"', r"\1…\2…\3…"),
    (r'("cpus": |"faiss": )[^,\n]+', r"\1…"),  # recall: the machine and the library that it measured
    (r'("finished": ")[^"]+(",\n *"attempts": 0)', r"\1(of the file)\2"),  # a job that was cancelled while it waited
    (r"^(vecver_job_seconds_(?:bucket|sum)\{.*\}|\w+_created\{.*\}) .*$", r"\1 …"),  # metrics: how long, since when
)


class Play:
    """A play in a folder: calls commands and routes, and keeps a block of text of each."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder, self._world = folder, world
        self.blocks: list[str] = []
        self.keys: dict[str, str] = {}  # of the service, by the name of who holds it

    def write(self, name: str, text: str) -> None:
        """A file of the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def command(self, line: str, stdin: str = "", *, ticking: bool = False) -> Any:
        """The JSON that `vecver LINE --json` prints, if it does."""
        from click.testing import CliRunner

        from vecver.cli import main

        self._world.step(ticking=ticking)
        words = [*shlex.split(line), "--json"]
        done = CliRunner().invoke(main, words, input=stdin)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        said = f"-- stderr\n{done.stderr}" if done.stderr else ""
        self._add(f"$ vecver {line} --json\n-- exit {done.exit_code}\n{done.stdout}{said}")
        try:
            return json.loads(done.stdout)
        except ValueError:
            return None

    def request(self, client: Any, method: str, path: str, by: str = "", **how: Any) -> Any:
        """The answer of a route. `by`: whose key is sent, a name of `keys`; `json`, `content` or `files`: the body."""
        self._world.step()
        headers = dict(how.pop("headers", {}))
        told = [f"key: {by}"] * bool(by) + [f"{name}: {value}" for name, value in headers.items()]
        sent = {"x-request-id": REQUEST, **headers, **({"authorization": f"Bearer {self.keys[by]}"} if by else {})}
        answer = client.request(method, path, headers=sent, **how)
        kept = [f"{name}: {value}" for name, value in sorted(answer.headers.items()) if name not in FRAMING]
        body = ["", shown(answer)] if answer.content else []
        self._add("\n".join([f"> {method} {path}", *told, *_sent(how), f"< {answer.status_code}", *kept, *body]))
        return answer

    def _add(self, block: str) -> None:
        self.blocks.append(steady(block.rstrip("\n"), self.folder) + "\n\n")


def _sent(how: Mapping[str, Any]) -> list[str]:
    """The body of a request as lines."""
    if "files" in how:  # a form, whose border is drawn anew for every request
        return [f"{name}: {text!r}" for _, (name, text) in how["files"]]
    if "json" in how:
        return [json.dumps(how["json"], ensure_ascii=False)]
    return str(how.get("content", "")).splitlines()


def shown(answer: Any) -> str:
    """The body of an answer. Compact JSON is indented, which loses nothing; all else stays as it is, JSON too."""
    text: str = answer.content.decode()
    if not answer.headers.get("content-type", "").partition(";")[0].endswith(("/json", "+json")):
        return text
    value = json.loads(text)
    compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(value, ensure_ascii=False, indent=1) if compact == text else text


def steady(text: str, folder: Path) -> str:
    """A text without what differs from play to play."""
    text = text.replace(str(folder), PLACE)
    for pattern, instead in VARYING:
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    return text


def played(folder: Path) -> Iterator[tuple[str, str]]:
    """(transcript, its next block), in order. Changes this process: its folder, environment, and standard library."""
    folder = folder.resolve() / "play"  # one name everywhere: a source is called by its folder's
    _settle(folder)
    world = fix(folder)
    import transcript_cli
    import transcript_http

    scripts = (
        ("cli.txt", transcript_cli.play),
        ("http.txt", transcript_http.play),
        ("cli.txt", transcript_cli.play_later),
        ("http.txt", transcript_http.play_later),
        ("cli.txt", transcript_cli.play_drift),
        ("http.txt", transcript_http.play_drift),
        ("cli.txt", transcript_cli.play_modes),
        ("http.txt", transcript_http.play_modes),
        ("cli.txt", transcript_cli.play_logs),
        ("http.txt", transcript_http.play_logs),
        ("cli.txt", transcript_cli.play_sharing),
        ("cli.txt", transcript_cli.play_merging),
        ("http.txt", transcript_http.play_merging),
        ("http.txt", transcript_http.play_objects),
    )
    for name, script in scripts:
        play = Play(folder, world)
        script(play)
        yield from ((name, block) for block in play.blocks)
    yield "openapi.json", json.dumps(transcript_http.schema, ensure_ascii=False, indent=1) + "\n"


def _settle(folder: Path) -> None:
    """Let this process see the folder, and nothing of whose machine it is."""
    for name in [name for name in os.environ if name.startswith(OTHERS)]:
        del os.environ[name]
    folder.mkdir()
    os.environ |= {"HOME": str(folder), "VECVER_AUTHOR": "Ada", "HF_HUB_OFFLINE": "1"}
    os.environ |= {"GIT_CEILING_DIRECTORIES": str(folder.parent), "VECVER_LOG_LEVEL": "error", "COLUMNS": "100"}
    os.chdir(folder)


def main(folder: Path) -> None:
    out = folder / "transcript"
    out.mkdir()
    blocks = list(played(folder))
    for name in FILES:
        (out / name).write_text("".join(block for file, block in blocks if file == name), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
