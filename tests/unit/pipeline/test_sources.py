"""Which documents a folder, a glob or a file holds, in which order, and from which Git commit."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from record_results import read

from vecver.errors import InvalidInputError, NotFoundError
from vecver.model import Failure, Original
from vecver.pipeline.sources.files import label_of
from vecver.pipeline.sources.origin import check_id, origin_of

Write = Callable[..., Path]

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files below `tmp_path`: paths, or path=content in a dict; returns the folder."""

    def write(*names: str, **contents: str) -> Path:
        for name, text in {**{name: name for name in names}, **contents}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        return tmp_path

    return write


def ids(results: Iterator[Original | Failure]) -> list[str]:
    items = list(results)
    assert not [item for item in items if isinstance(item, Failure)]
    return [item.document for item in items]


def failures(results: Iterator[Original | Failure]) -> list[tuple[str, str]]:
    return [(item.document, item.code) for item in results if isinstance(item, Failure)]


# -- folders ------------------------------------------------------------------------------------


def test_a_folder_gives_its_files_with_bytes_and_digest(write: Write) -> None:
    root = write("guide/valve.md", "readme.txt")
    first, second = read(root, label="handbook")
    assert first == Original(
        "guide/valve.md",
        "handbook",
        hashlib.sha256(b"guide/valve.md").hexdigest(),
        data=b"guide/valve.md",
        metadata={"path": "guide/valve.md", "folder": "guide"},
    )
    assert isinstance(second, Original) and second.document == "readme.txt"
    assert second.metadata == {"path": "readme.txt", "folder": ""}


def test_order_is_bytewise_over_whole_ids(write: Write) -> None:
    names = ["a-b.md", "a/b.md", "a.md", "a/é.md", "a/z.md", "B.md", "a0.md", "日本.md", "a/c/d.md", "a/c.md", "ａ.md"]
    assert ids(read(write(*names))) == sorted(names, key=str.encode)


def test_hidden_files_and_folders_are_no_documents(write: Write) -> None:
    assert ids(read(write("a.md", ".hidden.md", ".vecver/refs/x", ".git/HEAD", "b/.c/d.md"))) == ["a.md"]


def test_a_hidden_folder_that_is_named_is_read(write: Write) -> None:
    assert ids(read(write(".notes/a.md") / ".notes")) == ["a.md"]


def test_an_empty_folder_gives_nothing(tmp_path: Path) -> None:
    assert list(read(tmp_path)) == []


def test_names_are_kept_as_they_are_without_normalisation(write: Write) -> None:
    names = ["cafe\u0301.md", "caf\u00e9.md", "a b  c.md", "emoji 🙂.md", "علم.md"]
    assert sorted(ids(read(write(*names)))) == sorted(names)


def test_folders_deeper_than_python_recurses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(1100):
        os.mkdir("d")
        os.chdir("d")
    Path("x").write_text("deep")
    items = list(read(tmp_path))
    os.unlink("x")
    for _ in range(1100):  # pytest's own clean-up would recurse
        os.chdir("..")
        os.rmdir("d")
    assert [code for _, code in failures(iter(items))] == ["invalid_id"]  # for it is 2201 characters long


def test_ids_longer_than_1024_characters_fail_one_by_one(write: Write) -> None:
    folder = "/".join(["d" * 200] * 6)
    items = list(read(write(f"{folder}/x.md", f"{folder}/y.md", "a.md")))
    assert [item.document for item in items if isinstance(item, Original)] == ["a.md"]
    bad = [item for item in items if isinstance(item, Failure)]
    assert [(item.code, len(item.document)) for item in bad] == [("invalid_id", 200)] * 2
    assert "this one has 1210" in bad[0].reason and bad[0].document != bad[1].document


def test_prefix_is_put_in_front_and_digest_stays(write: Write) -> None:
    root = write("a/b.md")
    (plain,), (prefixed,) = read(root), read(root, prefix="handbook/")
    assert isinstance(plain, Original) and isinstance(prefixed, Original)
    assert (prefixed.document, prefixed.digest) == ("handbook/a/b.md", plain.digest)


@pytest.mark.parametrize("prefix", ["/x", "../", "a/./", "a\n", "x" * 1024])
def test_a_prefix_that_no_id_may_have_is_refused_at_once(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read(tmp_path, prefix=prefix)
    assert caught.value.code == "invalid_prefix"


def test_files_are_read_one_at_a_time(write: Write) -> None:
    root = write("a.md", "b.md", "c.md")
    results = read(root)
    next(results)
    (root / "b.md").unlink()
    (root / "c.md").write_bytes(b"changed")
    gone, changed = results
    assert isinstance(gone, Failure) and (gone.document, gone.code) == ("b.md", "unreadable")
    assert isinstance(changed, Original) and changed.data == b"changed"


# -- what cannot be read ------------------------------------------------------------------------


def test_pipes_and_sockets_fail_and_are_never_opened(write: Write) -> None:
    root = write("a.md")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as door:
        here = os.getcwd()
        os.chdir(root)  # a socket's path has at most 107 characters
        door.bind("socket")
        os.chdir(here)
        assert failures(read(root)) == [("pipe", "unsupported"), ("socket", "unsupported")]
    assert failures(read(root / "pipe")) == [("pipe", "unsupported")]
    assert failures(read(root / "pipe", records=True)) == [("pipe", "unsupported")]


def test_links_to_files_are_read_and_broken_links_fail(write: Write) -> None:
    root = write("a.md")
    (root / "link.md").symlink_to("a.md")
    (root / "nowhere.md").symlink_to("gone.md")
    (root / "self.md").symlink_to("self.md")
    items = list(read(root))
    assert [item.data for item in items if isinstance(item, Original)] == [b"a.md", b"a.md"]
    assert failures(iter(items)) == [("nowhere.md", "unreadable"), ("self.md", "unreadable")]
    assert failures(read(root / "self.md")) == [("self.md", "unreadable")]


def test_linked_folders_are_followed_and_a_loop_fails_once(write: Write) -> None:
    root = write("real/a.md", "real/deep/b.md")
    (root / "alias").symlink_to("real")
    (root / "real/deep/up").symlink_to("../..")
    items = list(read(root))
    assert [item.document for item in items if isinstance(item, Original)] == [
        "alias/a.md", "alias/deep/b.md", "real/a.md", "real/deep/b.md"
    ]  # fmt: skip
    assert failures(iter(items)) == [("alias/deep/up", "symlink_loop"), ("real/deep/up", "symlink_loop")]
    (root / "alias").unlink()
    assert failures(read(root)) == [("real/deep/up", "symlink_loop")]


def test_folders_that_link_to_each_other_are_walked_in_bounded_time(write: Write) -> None:
    names = "abcdef"
    root = write(*(f"{name}/{name}.md" for name in names))
    for name in names:
        for other in names.replace(name, ""):
            (root / name / f"to-{other}").symlink_to(f"../{other}")
    items = [item.document for item in read(root) if isinstance(item, Original)]
    # paths of 1 to 5 folders, each of them once: 6 + 6*5 + 6*5*4 + 6*5*4*3 + 6*5*4*3*2
    assert len(items) == 1236 and max(id.count("/") for id in items) == 5


def test_a_folder_that_cannot_be_listed_fails_with_a_slash(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    root, real = write("a.md", "shut/b.md", "z.md"), os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    items = list(read(root, prefix="p/"))
    assert [item.document for item in items] == ["p/a.md", "p/shut/", "p/z.md"]
    assert isinstance(items[1], Failure) and items[1].code == "unreadable" and "Permission denied" in items[1].reason
    with pytest.raises(InvalidInputError) as caught:  # a failure here would say that all its documents are gone
        list(read(root / "shut"))
    assert caught.value.code == "unreadable"


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_fails(write: Write) -> None:
    root = write("a.md")
    (root / "a.md").chmod(0)
    assert failures(read(root)) == [("a.md", "unreadable")]


def test_names_that_cannot_be_ids_fail_printably(write: Write) -> None:
    root = write("a.md", "two\nlines.md")
    try:
        Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.md")).write_bytes(b"latin")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    items = list(read(root))
    assert failures(iter(items)) == [("caf\\udce9.md", "invalid_id"), ("two\\nlines.md", "invalid_id")]
    assert all(item.document.encode().isascii() for item in items)


@pytest.mark.parametrize("id", ["a", "a/b", "https://a.org/b//c/", " a ", "...", "a..b/.c", "é\u200c🙂", "x" * 1024])
def test_ids_that_may_be(id: str) -> None:
    assert check_id(id) is None


@pytest.mark.parametrize(
    "id",
    ["", "/a", ".", "..", "a/..", "a/./b", "../a", "a\0", "a\nb", "a\x85", "a\u2028", "\ud800", "x" * 1025, "x" * 4000],
)
def test_ids_that_may_not_be(id: str) -> None:
    assert check_id(id)


# -- one file, globs, labels --------------------------------------------------------------------


def test_a_file_has_its_name_for_an_id(write: Write) -> None:
    path = write("deep/.hidden.md") / "deep/.hidden.md"
    (item,) = read(path)
    assert isinstance(item, Original)
    assert (item.document, item.source, item.data) == (".hidden.md", ".hidden.md", b"deep/.hidden.md")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("docs/*.md", ["a.md"]),
        ("docs/**/*.md", ["a.md", "x/b.md", "x/y/c.md"]),
        ("docs/**", ["a.md", "n.txt", "x/b.md", "x/y/c.md"]),
        ("docs/*/b.md", ["x/b.md"]),
        ("docs/**/y/**/c.*", ["x/y/c.md"]),
        ("docs/[an].*", ["a.md", "n.txt"]),
        ("docs/x/?.md", ["b.md"]),
        ("*/x/*", ["docs/x/b.md"]),
        ("docs/*.rst", []),
        ("docs/*", ["a.md", "n.txt"]),
    ],
)
def test_globs(write: Write, monkeypatch: pytest.MonkeyPatch, pattern: str, expected: list[str]) -> None:
    root = write("docs/a.md", "docs/n.txt", "docs/x/b.md", "docs/x/y/c.md", "docs/.h/d.md", "other/e.md")
    assert ids(read(str(root / pattern))) == expected
    monkeypatch.chdir(root)
    assert ids(read(pattern)) == expected


def test_a_glob_does_not_list_what_it_cannot_match(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    root, real = write("docs/a.md", "docs/x/b.md"), os.scandir
    listed: list[str] = []

    def scandir(path: str) -> Any:
        listed.append(path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert ids(read(f"{root}/docs/*.md")) == ["a.md"]
    assert listed == [f"{root}/docs"]


def test_a_path_that_exists_is_no_glob(write: Write) -> None:
    assert ids(read(write("[draft]/a.md", "d/b.md") / "[draft]")) == ["a.md"]


@pytest.mark.parametrize("path", ["gone", "gone/*.md", "gone.jsonl", "nul\0"])
def test_a_missing_path_is_an_error_at_once(tmp_path: Path, path: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        read(f"{tmp_path}/{path}")
    assert caught.value.code == "source_not_found"


def test_options_that_cannot_be_honoured_are_refused(tmp_path: Path) -> None:
    for source, records in [(tmp_path, True), ("-", False), ([], False)]:
        with pytest.raises(InvalidInputError) as caught:
            read(source, records=records)
        assert caught.value.code == "invalid_source"


def test_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "handbook").mkdir()
    monkeypatch.chdir(tmp_path / "handbook")
    assert label_of("../handbook/") == label_of(".") == label_of(Path("../handbook")) == "handbook"
    assert label_of("../handbook/**/*.md") == "handbook"
    assert label_of("a/b.jsonl") == "b.jsonl"
    assert label_of("-") == "stdin"
    assert label_of([]) == label_of(pa.table({})) == "records"
    assert label_of("docs", "wiki") == "wiki"
    with pytest.raises(InvalidInputError):
        label_of("docs", "")


# -- ignore files -------------------------------------------------------------------------------


def test_ignore_files_at_any_level_with_negation(write: Write) -> None:
    root = write(
        "a.md", "a.tmp", "build/x.md", "sub/a.tmp", "sub/keep.tmp", "sub/secret.md", "sub/deep/secret.md", "sub/top.md",
        **{".gitignore": "*.tmp\nbuild/\n/top.md\n# no comment\n\n!\n", ".vecverignore": "secret.md\n"},
        **{"sub/.gitignore": "!keep.tmp\r\n", "sub/deep/.vecverignore": "\ufeff!/secret.md  \n"},
    )  # fmt: skip
    assert ids(read(root)) == ["a.md", "sub/deep/secret.md", "sub/keep.tmp", "sub/top.md"]


def test_vecverignore_has_the_last_word(write: Write) -> None:
    root = write("a.log", "b.log", **{".gitignore": "*.log", ".vecverignore": "!a.log"})
    assert ids(read(root)) == ["a.log"]


def test_only_markdown_can_be_selected_as_in_git(write: Write) -> None:
    root = write("a.md", "a.txt", "x/b.md", "x/b.txt", "x/y/c.md", **{".gitignore": "*\n!*/\n!*.md\n"})
    assert ids(read(root)) == ["a.md", "x/b.md", "x/y/c.md"]


def test_files_in_an_excluded_folder_cannot_be_included_again(write: Write) -> None:
    root = write("x/a.md", "y/a.md", **{".gitignore": "x/\n!x/a.md\ny/*\n!y/a.md\n"})
    assert ids(read(root)) == ["y/a.md"]


def test_rules_above_count_up_to_the_top_of_the_work_tree(write: Write) -> None:
    root = write(
        "repo/.git/HEAD", "repo/docs/a.md", "repo/docs/_build/b.md", "repo/docs/c.tmp", "repo/docs/out/d.md",
        **{"repo/.gitignore": "_build/\n/docs/out\n", ".gitignore": "*.tmp"},
    )  # fmt: skip
    assert ids(read(root / "repo/docs", prefix="p/")) == ["p/a.md", "p/c.tmp"]
    assert ids(read(f"{root}/repo/docs/**/*.md")) == ["a.md"]


def _random_rules(dice: random.Random) -> str:
    def rule() -> str:
        words = ["a", "b", "*", "**", "*.md", "c.md", "d*", "[ab]", "?", "d.txt"]
        path = "/".join(dice.choice(words) for _ in range(dice.choice([1, 1, 2, 2, 3])))
        return dice.choice(["", "!"]) + dice.choice(["", "", "/"]) + path + dice.choice(["", "", "/"])

    return "".join(f"{rule()}\n" for _ in range(dice.randint(1, 5)))


@needs_git
@pytest.mark.parametrize("rounds", [40, pytest.param(600, marks=pytest.mark.deep)])
def test_git_agrees_on_random_rules(write: Write, rounds: int) -> None:
    names = ["c.md", "d.txt", "a/c.md", "a/b/c.md", "a/b/d.txt", "a/a/a/c.md", "a/d", "b/a/b", "b/b/a/d.txt", "b/c.md"]
    root = write(*names)
    _git(root, "init", "-q")
    dice = random.Random(7)
    for _ in range(rounds):
        rules = {place: _random_rules(dice) for place in (".gitignore", "a/.gitignore", "b/b/.gitignore")}
        write(**rules)
        paths = _git(root, "ls-files", "--others", "--exclude-standard").split()
        expected = sorted(name for name in paths if not name.endswith(".gitignore"))
        assert ids(read(root)) == expected, rules


# -- the commit that a source belongs to --------------------------------------------------------


def _git(folder: Path, *command: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *who, *command], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def work_tree(write: Write) -> Path:
    root = write("docs/a.md", "docs/[x].md", "code/b.py", "data/c.md", **{".gitignore": "data/\n*.tmp\n"})
    _git(root, "init", "-q")
    _git(root, "add", ".")
    _git(root, "commit", "-q", "-m", "first")
    return root


@needs_git
def test_origin_names_commit_and_branch(work_tree: Path) -> None:
    commit = _git(work_tree, "rev-parse", "HEAD")
    expected = {"kind": "git", "commit": commit, "branch": "main", "dirty": False}
    for path in ("docs", "docs/a.md", "docs/**/*.md", "docs/[x].md", ""):
        assert origin_of(work_tree / path) == expected
    _git(work_tree, "checkout", "-q", "--detach")
    assert origin_of(work_tree / "docs") == expected | {"branch": None}


@needs_git
def test_dirty_is_what_differs_under_the_path(work_tree: Path) -> None:
    def dirty(path: str) -> bool:
        origin = origin_of(work_tree / path)
        assert origin is not None
        return bool(origin["dirty"])

    (work_tree / "docs/note.tmp").write_text("ignored")
    assert not dirty("docs")
    (work_tree / "code/new.py").write_text("new")
    assert dirty("code") and dirty("") and not dirty("docs")
    (work_tree / "docs/a.md").write_text("edited")
    assert dirty("docs") and dirty("docs/a.md") and not dirty("docs/[x].md")
    _git(work_tree, "commit", "-q", "-a", "-m", "second")
    assert not dirty("docs")
    (work_tree / "docs/a.md").unlink()
    assert dirty("docs")


@needs_git
def test_origin_holds_inside_a_hook_of_another_repository(work_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere/.git")
    assert origin_of(work_tree / "docs") is not None


@needs_git
def test_sources_without_an_origin(work_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    assert origin_of(outside) is None
    _git(outside, "init", "-q")
    assert origin_of(outside) is None  # no commit yet
    assert origin_of(work_tree / "data") is None  # ignored: no commit has it
    assert origin_of(work_tree / ".git") is None
    assert origin_of("-") is None and origin_of([]) is None and origin_of(pa.table({})) is None
    assert origin_of(work_tree / "gone/deep") is None


@needs_git
def test_a_folder_that_looks_like_a_bare_repository_is_not_queried(work_tree: Path, tmp_path: Path) -> None:
    """Their config names programs that `git status` would run: a filter, of a file that is other than in the index."""
    bare, ran = tmp_path / "bare", tmp_path / "ran"
    shutil.copytree(work_tree / ".git", bare)
    core = "[core]\nrepositoryformatversion = 0\nbare = false\nworktree = .\n"
    (bare / "config").write_text(f'{core}[filter "x"]\nclean = "touch {ran}; cat"\n')
    (bare / "info/attributes").write_text("* filter=x\n")
    (bare / "docs").mkdir()
    (bare / "docs/a.md").write_bytes((work_tree / "docs/a.md").read_bytes()[::-1])
    assert origin_of(bare) is None and not ran.exists()


def test_origin_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert origin_of(tmp_path) is None
