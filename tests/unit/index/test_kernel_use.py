"""Which kernels are in use: the instruction set of each, or the reason why it is not used."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import vecver
from vecver.index import kernel as scores
from vecver.index.keywords import kernel as keywords
from vecver.pipeline.tokenizers import kernel as words
from vecver.repo.rows.kernel import loading as roots

KNOWN = ("AVX-512", "AVX2", "SSE2", "the compiler's default instructions")


def compiled(folder: Path, source: Path, pattern: str = "", replacement: str = "") -> Path:
    """A library from a C file whose text was changed."""
    compiler = shutil.which("cc") or pytest.skip("there is no C compiler")
    text = re.sub(pattern, replacement, source.read_text()) if pattern else source.read_text()
    library, changed = folder / f"{source.stem}.so", folder / source.name
    changed.write_text(text)
    flags = ["-O1", "-std=c11", "-ffp-contract=off", "-fPIC", "-shared", "-I", str(source.parent)]
    subprocess.run([str(compiler), *flags, str(changed), "-o", str(library), "-lm"], check=True, capture_output=True)
    return library


def test_a_kernel_in_use_names_its_instruction_set(tmp_path: Path) -> None:
    use = scores.use(compiled(tmp_path, scores.FILE.with_name("kernel.c")))
    assert (use.name, use.problem) == ("scores", "") and use.instructions in KNOWN
    use = roots.use(compiled(tmp_path, roots.LIBRARY.with_name("lanes.c")))
    assert (use.name, use.problem) == ("roots", "") and use.instructions in KNOWN


def test_a_kernel_without_a_choice_of_instructions_says_so(tmp_path: Path) -> None:
    library = compiled(tmp_path, scores.FILE.with_name("kernel.c"), "#define CHOOSES_BY_CPU", "")
    assert scores.use(library).instructions == "the compiler's default instructions"


def test_a_missing_kernel_and_one_that_is_no_library(tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("no library")
    for room in (scores, roots, keywords, words):
        assert (room.use(tmp_path / "nothing.so").instructions, room.use(tmp_path / "nothing.so").problem) == (
            None,
            "it was not built",
        )
        assert room.use(tmp_path / "text.so").problem.startswith("it cannot be loaded: ")


def test_a_kernel_of_another_version(tmp_path: Path) -> None:
    library = compiled(tmp_path, scores.FILE.with_name("kernel.c"), r"(#define KERNEL_VERSION) \d+", r"\1 99")
    assert scores.use(library).problem == f"it is of version 99, this vecver needs {scores.VERSION}"
    library = compiled(tmp_path, roots.LIBRARY.with_name("lanes.c"), r"(#define LANES_VERSION) \d+", r"\1 99")
    assert roots.use(library).problem == f"it is of version 99, this vecver needs {roots.VERSION}"
    for room, source in ((keywords, "keywords.c"), (words, "words.c")):
        library = compiled(tmp_path, room.FILE.with_name(source), r"(#define KERNEL_VERSION) \d+", r"\1 99")
        assert room.use(library).problem == f"it is of version 99, this vecver needs {room.VERSION}"
        assert room.load(library) is None


def test_a_kernel_that_computes_other_bits(tmp_path: Path) -> None:
    library = compiled(
        tmp_path, scores.FILE.with_name("kernel.c"), r"llrint\(terms\[i\] \* scale\)", "(terms[i] * scale)"
    )
    assert scores.use(library).problem == "it computes other score bits than numpy"
    library = compiled(tmp_path, roots.LIBRARY.with_name("lanes.c"), "0x1f", "0x06")
    assert roots.use(library).problem == "it computes other sums than hashlib"


def test_all_kernels_are_listed() -> None:
    assert [use.name for use in vecver.kernels()] == ["scores", "roots", "keywords", "words"]
    assert all(bool(use.instructions) is not bool(use.problem) for use in vecver.kernels())
