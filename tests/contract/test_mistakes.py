"""The mistakes of a new user, at the terminal, in Python and over HTTP.

Each error says what happened, to which thing, and what to do next in the caller's words: commands in a terminal, calls
in Python, requests over HTTP. A command that is named exists and takes its words. No mistake changes the repository.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from commands import parse, quoted
from mistakes import state, without_settings

import vecver
from vecver.cli import main
from vecver.errors import VecverError

PROGRAM = [sys.executable, "-c", "from vecver.cli import program; program()"]


# -- at the terminal ----------------------------------------------------------------------------

# (what was written, exit code, what the message says, what the hint says); words are separated by "|"
WRITTEN: list[tuple[str, int, str, str]] = [
    # names that are nearly right
    ("serach handbook q", 2, "no command 'serach'", "did you mean 'search'|vecver --help"),
    ("list", 2, "no command 'list'", "did you mean 'ls'"),
    ("commit -m x", 2, "no command 'commit'", "did you mean 'ingest'"),
    ("delete handbook heating.md", 2, "no command 'delete'", "did you mean 'rm'"),
    ("key ad ci", 2, "no command 'ad'", "did you mean 'add'|vecver key --help"),
    ("search handbook q --exat", 2, "no option '--exat'", "did you mean '--exact'|vecver search --help"),
    ("search handbook q --engine fais", 2, "'fais' is not one of 'faiss', 'milvus'", "did you mean 'faiss'"),
    ("search handbok q", 3, "no dataset 'handbok'", "did you mean 'handbook'|vecver ingest handbok"),
    ("search Handbüch q", 3, "no dataset 'Handbüch'", "did you mean 'handbook'"),
    ("log handbok", 3, "no dataset 'handbok'", "did you mean 'handbook'"),
    ("optimize handbok", 3, "no dataset 'handbok'", "did you mean 'handbook'"),
    ("search handbook@mian q", 3, "handbook has no revision 'mian'", "did you mean 'main'|vecver log handbook"),
    ("search handbook@mian~1 q", 3, "no revision 'mian~1'", "did you mean 'main~1'"),
    ("show handbook@2026-10", 3, "no revision '2026-10'", "did you mean '2026-11'"),
    ("diff handbook prod mian", 3, "no revision 'mian'", "did you mean 'main'"),
    ("promote handbook prod 2026-12", 3, "no revision '2026-12'", "did you mean '2026-11'"),
    ("alias handbook prd", 3, "no alias 'prd'", "did you mean 'prod'|vecver alias handbook"),
    ("rollback handbook@prd", 3, "no alias 'prd'", "did you mean 'prod'"),
    ("cat handbook heatin.md", 3, "no document 'heatin.md'", "did you mean 'heating.md'|vecver ls handbook"),
    ("ingest handbook dosc", 3, "no file or folder 'dosc'", "did you mean 'docs'"),
    ("ingest handbook docs/heatng.md", 3, "no file or folder 'docs/heatng.md'", "did you mean 'docs/heating.md'"),
    ("add handbook docs/none.md", 3, "no file or folder 'docs/none.md'", "check the path"),
    ("ingest new docs --embedder minlm", 2, "no embedder is called 'minlm'", "did you mean 'minilm'|one of: minilm"),
    ("ingest new docs --embedder all-MiniLM-L6-v2", 2, "no embedder is called", "did you mean 'minilm'"),
    ("ingest new docs --embedder BAAI/bge-m3", 2, "no embedder", "did you mean 'sentence-transformers:BAAI/bge-m3'"),
    ("ingest new docs --embedder hashing --chunker structur", 2, "no chunker 'structur'", "did you mean 'structure'"),
    ("ingest new docs --space s --metric cosin", 2, "'cosin' is not one of", "did you mean 'cosine'"),
    ("--repo .vecvre log handbook", 3, ".vecvre is not a vecver repository", "did you mean '.vecver'"),
    # what was left out, or is too much
    ("ingest handbook", 2, "SOURCE is missing", "vecver ingest DATASET SOURCE"),
    ("promote handbook", 2, "ALIAS is missing", "vecver promote DATASET ALIAS"),
    ("search handbook", 2, "nothing was asked", "QUERY"),
    ("search handbook how do I", 2, "unexpected extra arguments (do I)", "needs quotes"),
    ("search handbook@ q", 2, "names no revision after the @", "handbook@main"),
    ("search handbook@prod@main q", 2, "names two revisions", "handbook@prod"),
    ("log handbook --repo .vecver", 2, "--repo stands before the command", "vecver --repo URL log"),
    ("rm handbook", 2, "nothing was deleted", "vecver rm handbook a.md|--where"),
    ("key add ci", 2, "missing option '--scope'", "--scope DATASET:SCOPE"),
    ("key add ci --scope handbook", 2, "'handbook' is no scope", "DATASET:read"),
    ("key revoke abc", 3, "no key 'abc'", "vecver key list"),
    # numbers, filters and queries
    ("search handbook q -k 0", 2, "k is the number of hits, 1 or more, not 0", "-k 10"),
    ("search handbook q -k -1", 2, "1 or more, not -1", "-k 10"),
    ("search handbook q -k abc", 2, "'abc' is not a valid integer", "vecver search --help"),
    ("search handbook ''", 2, "the query is empty", "ask something"),
    ("search handbook q --filter year>2020", 2, "--filter is not JSON", '--filter \'{"year": {"$gte": 2024}}\''),
    ("""search handbook q --filter "{'year': 2020}" """, 2, "double quotes", '"$gte"'),
    ("""search handbook q --filter '{"yaer": 2024}'""", 2, "'yaer'", "year"),
    (
        """search handbook q --filter '{"year": "2024"}'""",
        2,
        "'year' holds|'2024' is a string",
        "numbers without quotes",
    ),
    ("""search handbook q --filter '{"year": {"$eqq": 1}}'""", 2, "'$eqq'", "$eq"),
    ("""search handbook q --filter '["a"]'""", 2, "a filter is an object", '{"field": value}'),
    ("search handbook --queries none.jsonl", 2, "none.jsonl cannot be read: No such file", "check the path"),
    ("search handbook --queries bad.jsonl", 2, "line 1 is no query", '{"query": "…"}'),
    ("recall handbook -k 0", 2, "not [0]", "use 1"),
    ("gc --grace soon", 2, "'soon' is no age", "vecver gc --help"),
    ("gc --keep-last 0", 2, "0 is not in the range", "vecver gc --help"),
    ("ingest new docs --embedder hashing --chunk-tokens 0", 2, "Chunks of 0 tokens cannot be made", "choose from 8"),
    # names that cannot be
    ("ingest hand/book docs --embedder hashing", 2, "'hand/book' cannot name a dataset", "letters"),
    ("ingest 'hand book' docs --embedder hashing", 2, "'hand book' cannot name a dataset", "letters"),
    ("tag handbook v/2", 2, "'v/2' cannot name a tag", "letters"),
    # what is there already, or may not be
    ("init", 4, "is a repository already", "vecver ingest DATASET FOLDER"),
    ("init full", 2, "is not empty: it holds x", "choose an empty or new folder"),
    ("tag handbook 2026-11", 4, "'2026-11' is already a tag", "choose another name|a tag stays for ever"),
    ("branch handbook main", 4, "'main' is already a branch", "choose another name"),
    ("branch handbook main --delete", 4, "'main' is the only branch", "vecver branch handbook NAME"),
    ("rollback handbook@prod", 3, "'prod' of handbook was nowhere before", "--to|vecver log handbook"),
    ("rollback handbook@2026-11", 4, "'2026-11' is a tag, and tags are fixed", "roll back a branch or an alias"),
    ("snapshot handbook full", 2, "full is not empty", "name a new folder"),
    ("ingest handbook docs --branch develop", 3, "handbook has no branch 'develop'", "vecver branch handbook"),
    # sources
    ("ingest new empty --embedder hashing", 2, "the source 'empty' holds no documents", "check the path"),
    ("ingest handbook 'docs/*.pdf' --source docs", 2, "holds no documents", "no document was removed"),
    ("ingest new bad.jsonl --embedder hashing", 2, "line 1 is no JSON", "--no-records"),
    ("ingest new noid.jsonl --embedder hashing", 2, "no field 'id'", "--no-records"),
    ("ingest new twice.jsonl --embedder hashing", 2, "'a' twice: line 1 and line 2", "an id of its own"),
    ("ingest handbook elsewhere docs --source x", 2, "one label cannot name several sources", "one by one"),
    (
        "ingest new binary --embedder hashing --strict",
        2,
        "7 documents cannot be read",
        "leave out --strict|nothing was",
    ),
    # receipts and snapshots
    ("replay nowhere.json", 2, "no file nowhere.json", "vecver search --receipt FILE"),
    ("replay broken.json", 2, "not a receipt of vecver", "vecver search --receipt FILE"),
    ("search --snapshot nowhere q", 3, "nowhere is not a snapshot", "vecver snapshot DATASET@REVISION FOLDER"),
    ("search handbook q --receipt no/where.json", 2, "no/where.json cannot be written", "--receipt FILE"),
    # Milvus and the service
    ("search handbook q --engine milvus", 6, "is not published in the embedded Milvus", "vecver publish handbook@"),
    ("publish handbook --to http://127.0.0.1:1", 7, "http://127.0.0.1:1 does not answer", "check the address"),
    ("publish handbook@prod --rebuild", 2, "restores everything", "vecver publish handbook --rebuild"),
    ("serve --port 99999", 2, "VECVER_PORT cannot be used", "vecver config --all"),
    ("serve --host 0.0.0.0", 2, "no API key", "vecver key add NAME --scope"),
    # the wrong place
    ("--repo nowhere log handbook", 3, "nowhere is not a vecver repository", "vecver init nowhere"),
    ("--repo broken.json log handbook", 3, "broken.json is not a vecver repository", "it is a file"),
    ("--repo . log handbook", 3, ". is not a vecver repository", "did you mean '.vecver'"),
    ("--repo http://localhost:8000 log handbook", 2, "'http'", "vecver.connect(URL)"),
    ("--repo ftp://bucket/kb log handbook", 2, "'ftp'", "a repository is a directory"),
    ("--repo s3://key:secret@bucket/kb log handbook", 2, "no credentials", "AWS_PROFILE"),
    ("--repo s3:// log handbook", 2, "names no bucket", "s3://BUCKET/PREFIX"),
]


@pytest.mark.parametrize(("written", "code", "message", "hint"), WRITTEN, ids=[one[0] for one in WRITTEN])
def test_at_the_terminal(
    place: Path, monkeypatch: pytest.MonkeyPatch, written: str, code: int, message: str, hint: str
) -> None:
    import shlex

    without_settings(monkeypatch, place)
    before = state(place)
    result = CliRunner().invoke(main, shlex.split(written))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    check_told(result.stderr, message, hint)
    assert result.exit_code == code and state(place) == before


def check_told(stderr: str, message: str, hint: str) -> None:
    """One error, with these words, a hint on lines of its own, and commands in it that exist."""
    lines = stderr.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("error: "))
    assert all(word in lines[first] for word in message.split("|")), stderr
    advice = lines[first + 1 :]
    assert advice and all(line.startswith("  ") for line in advice), stderr
    assert all(word in "\n".join(advice) for word in hint.split("|")), stderr
    assert "Traceback" not in stderr and "docs." not in "\n".join(advice).replace("docs.rs", "")
    for command in quoted("\n".join(advice)):
        parse(command)
    assert not re.search(r"rm -r|--allow-removals(?! )|gc --apply", stderr), "it advises what loses data"


def test_there_are_enough_of_them() -> None:
    assert len({one[0] for one in WRITTEN}) >= 60


@pytest.mark.parametrize("command", ["search handbook q", "ingest handbook docs", "log handbook", "gc", "check"])
def test_before_there_is_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    without_settings(monkeypatch, tmp_path)
    result = CliRunner().invoke(main, command.split())
    check_told(result.stderr, "there is no repository in|or a folder above it", "vecver init|VECVER_REPO")
    assert result.exit_code == 3


@pytest.mark.parametrize("command", ["search handbook q", "log handbook", "status handbook docs"])
def test_before_the_first_ingest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    without_settings(monkeypatch, tmp_path)
    vecver.create(tmp_path / ".vecver")
    (tmp_path / "docs").mkdir()
    result = CliRunner().invoke(main, command.split())
    check_told(result.stderr, "there is no dataset 'handbook'", "vecver ingest handbook SOURCE|empty so far")


def test_the_wrong_environment(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_settings(monkeypatch, place)
    for name, value, message, hint in (
        ("VECVER_REPO", "/nope/kb", "/nope/kb is not a vecver repository", "VECVER_REPO"),
        ("VECVER_SETTINGS", "none.toml", "none.toml cannot be read: No such file", "unset VECVER_SETTINGS"),
        ("VECVER_VERIFY", "allways", "VECVER_VERIFY is 'allways'", "did you mean 'always'"),
        ("VECVER_MILVUS_TIMEOUT", "soon", "no number of seconds: 'soon'", "write 60"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            check_told(CliRunner().invoke(main, ["log", "handbook"]).stderr, message, hint)


def test_a_file_in_place_of_the_folder_does_not_empty_the_dataset(tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    (tmp_path / "docs").mkdir()
    for n in range(20):
        (tmp_path / "docs" / f"{n}.md").write_text(f"text {n}")
    docs.ingest(str(tmp_path / "docs"), embedder="hashing")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "0.md").write_text("text 0")
    command = ["--repo", str(tmp_path / "kb"), "ingest", "d", str(tmp_path / "other"), "--source", "docs"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 4 and "this would remove" in result.stderr
    assert "nothing was changed; --dry-run lists them" in result.stderr and docs.count().documents == 20


def test_a_new_dataset_with_nearly_the_name_of_another_is_noted_and_can_be_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_settings(monkeypatch, place)
    result = CliRunner().invoke(main, ["ingest", "handbok", "docs", "--embedder", "hashing", "--dry-run"])
    assert result.exit_code == 0 and "but 'handbook'; 'handbok' is a new one" in result.stderr
    monkeypatch.setattr("vecver.cli.commands.documents.asks", lambda: True)
    refused = CliRunner().invoke(main, ["ingest", "handbok", "docs", "--embedder", "hashing"], input="n\n")
    assert refused.exit_code == 3 and "Make 'handbok'? [y/N]" in refused.stderr
    check_told(refused.stderr, "nothing was made", "did you mean 'handbook'")
    assert state(place)["datasets"] == ["handbook"]


def test_a_repository_inside_another_is_noted(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_settings(monkeypatch, place)
    made = CliRunner().invoke(main, ["init", "elsewhere/kb"])
    assert made.exit_code == 0 and f"{place}/.vecver is a repository too" in made.stderr


# -- the machine --------------------------------------------------------------------------------


def process(place: Path, *arguments: str, **how: Any) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VECVER_")}
    environment |= how.pop("environment", {})
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.run([*PROGRAM, *arguments], cwd=place, env=environment, **pipes | how)


def test_a_pipe_that_closes_early_ends_the_command_quietly(place: Path) -> None:
    for command in (["log", "handbook"], ["show", "handbook", "--json"], ["--help"], ["chunks", "handbook"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = process(place, *command, stdout=writer)
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, ""), command


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_output_is_reported(place: Path) -> None:
    with open("/dev/full", "w") as full:
        done = process(place, "show", "handbook", stdout=full)
    assert done.returncode == 7
    check_told(done.stderr, "the output could not be written: No space left on device", "space that is left")


def test_a_locale_without_utf_8_still_finds_and_shows_names(tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / ".vecver", create=True).dataset("d")
    docs.ingest([{"id": "größe.md", "text": "Größe → klein"}], embedder="hashing")
    ascii = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    done = process(tmp_path, "cat", "d", "größe.md", environment=ascii)
    assert done.returncode == 0 and done.stderr == "" and "klein" in done.stdout
    near = process(tmp_path, "cat", "d", "grösse.md", environment=ascii)
    assert near.returncode == 3 and "Traceback" not in near.stderr and "did you mean" in near.stderr


def test_a_port_in_use_is_reported_before_anything_starts(place: Path) -> None:
    pytest.importorskip("uvicorn", reason="no uvicorn: install vecver[service]")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = process(place, "serve", "--port", str(port))
    assert done.returncode == 4
    check_told(done.stderr, f"something listens on 127.0.0.1:{port} already", "--port ")


def test_two_ingests_at_once_both_end_well(tmp_path: Path) -> None:
    vecver.create(tmp_path / ".vecver")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"id": str(n), "text": f"t{n}"}) + "\n" for n in range(50)))
    command = [*PROGRAM, "ingest", "d", "rows.jsonl", "--embedder", "hashing"]
    both = [subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [one.communicate()[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    assert vecver.open(tmp_path / ".vecver").dataset("d").count().documents == 50


def test_documents_that_cannot_be_read_are_grouped_by_reason(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_settings(monkeypatch, place)
    result = CliRunner().invoke(main, ["ingest", "new", "binary", "--embedder", "hashing", "--dry-run"])
    assert result.exit_code == 0
    assert "no known format  0.bin, 1.bin, 2.bin, 3.bin, 4.bin and 2 more" in result.stderr
    assert "Convert it to text" in result.stderr and result.stderr.count("binary") <= 2


def test_a_terminal_of_20_columns_wraps_errors(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_settings(monkeypatch, place)
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    result = CliRunner().invoke(main, ["search", "handbok", "q"])
    assert result.exit_code == 3 and "  did you mean" in result.stderr


# -- in Python ----------------------------------------------------------------------------------

Docs = vecver.Dataset
CALLED: list[tuple[Callable[[Docs], Any], str, str]] = [
    (lambda docs: docs.repository.dataset("handbok").search("q"), "no dataset 'handbok'", "did you mean 'handbook'"),
    (lambda docs: docs.search("q", at="mian"), "no revision 'mian'", "did you mean 'main'|docs.log()"),
    (lambda docs: docs.search("q", at="prod@main"), "no revision 'prod@main'", "docs.branches()"),
    (lambda docs: docs.search("q", k=0), "1 or more, not 0", "k=10"),
    (lambda docs: docs.search("q", k="3"), "1 or more, not '3'", "k=10"),  # type: ignore[call-overload]
    (lambda docs: docs.search("q", filter={"yaer": 1}), "'yaer'", "year"),
    (lambda docs: docs.search("q", filter="year"), "a filter is", "{"),  # type: ignore[call-overload]
    (lambda docs: docs.search("q", engine="fais"), "no search engine is called 'fais'", "did you mean 'faiss'"),  # type: ignore[call-overload]
    (lambda docs: docs.search("q", engine="milvus"), "is not published", "docs.publish("),
    (lambda docs: docs.search(""), "the query is empty", "ask something"),
    (lambda docs: docs.search([1.0, 2.0]), "dimensions", "embed"),
    (lambda docs: docs.tag("2026-11"), "is already a tag", "choose another name"),
    (lambda docs: docs.promote("prod", "2026-12"), "no revision '2026-12'", "did you mean '2026-11'"),
    (lambda docs: docs.rollback("prod"), "was nowhere before", "to=REVISION"),
    (lambda docs: docs.rollback("prd"), "no alias 'prd'", "did you mean 'prod'|docs.aliases()"),
    (lambda docs: docs.moves("tag", "v1"), "no tag 'v1'", "docs.tags()"),
    (lambda docs: docs.moves("tags", "v1"), "no kind of ref is called 'tags'", "did you mean 'tag'"),  # type: ignore[arg-type]
    (lambda docs: docs.ingest("dosc"), "no file or folder 'dosc'", "check the path"),
    (lambda docs: docs.ingest([]), "holds no documents", "nothing was changed"),
    (lambda docs: docs.ingest([{"text": "x"}]), "id", "A record has the fields"),
    (lambda docs: docs.ingest([{"id": "a", "text": "x"}] * 2), "'a'", "id of its own"),
    (lambda docs: docs.ingest([{"id": "a", "text": "x"}], embedder="minlm"), "no embedder", "did you mean 'minilm'"),
    (lambda docs: docs.ingest([{"id": "a", "text": "x"}], chunker="structur"), "no chunker", "mean 'structure'"),
    (lambda docs: docs.ingest([{"id": "a", "text": "x"}], metric="l2"), "the metric 'l2' cannot be chosen", "metric="),
    (lambda docs: docs.ingest([{"id": "a", "text": "x"}], branch="develop"), "no branch 'develop'", "docs.branches()"),
    (lambda docs: docs.delete(), "nothing was deleted", "docs.delete("),
    (lambda docs: docs.get(["heatin.md"]), "no document 'heatin.md'", "did you mean 'heating.md'"),
    (lambda docs: docs.repository.dataset("a/b"), "'a/b' cannot name a dataset", "letters"),
    (lambda docs: docs.repository.replay({}), "not a receipt", "answer.receipt"),
    (lambda docs: docs.repository.gc(keep_last=0), "a retention keeps at least", "keep_last=1"),
    (lambda docs: docs.snapshot("main", "/nowhere/at/all/x"), "no folder /nowhere/at/all", "make it first"),
    (lambda docs: docs.publish(to="http://127.0.0.1:1"), "does not answer", "check the address"),
    (lambda docs: vecver.open("/nowhere/kb"), "/nowhere/kb is not a vecver repository", "create=True"),
    (lambda docs: vecver.open("http://localhost:8000"), "'http'", "vecver.connect(URL)"),
    (lambda docs: vecver.open_snapshot("/nowhere"), "is not a snapshot", "docs.snapshot("),
    (lambda docs: vecver.connect("localhost:8000"), "http or https", "write https://host"),
    (lambda docs: vecver.connect("http://127.0.0.1:1", timeout=1), "did not answer", "check that the service is up"),
    (lambda docs: vecver.replay(docs.repository, "nowhere.json"), "no file nowhere.json", "answer.receipt"),
]


@pytest.mark.parametrize(
    ("call", "message", "hint"), CALLED, ids=[f"{n}-{one[1][:40]}" for n, one in enumerate(CALLED)]
)
def test_in_python(
    place: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[Docs], Any], message: str, hint: str
) -> None:
    without_settings(monkeypatch, place)
    before = state(place)
    with pytest.raises(VecverError) as caught:
        call(vecver.open(place / ".vecver").dataset("handbook"))
    error = caught.value
    assert all(word in error.message for word in message.split("|")), error.message
    assert all(word in error.hint for word in hint.split("|")), error.hint
    assert not re.search(r"`vecver |(?<![\w-])--[a-z]", error.hint), f"it speaks of commands: {error.hint}"
    assert error.__notes__[0] == f"hint: {error.hint}" and state(place) == before
