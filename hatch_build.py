"""Compiles the kernels while a wheel or an editable install is made.

    vecver/index/kernel/kernel.c        the rule of scores, the window before it and the order after it; masks
    vecver/index/kernel/row_codes.c     a part of it: 8-bit codes of rows, and the scan of them
    vecver/index/keywords/kernel/keywords.c   keyword scores
    vecver/pipeline/tokenizers/kernel/words.c   the words of texts
    vecver/repo/rows/kernel/lanes.c     the sums of roots

    python hatch_build.py        compiles them into a source tree that is used in place (PYTHONPATH)

Without a C compiler, or where it fails, the wheel lacks a kernel: vecver then computes the same bits without it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script, without hatchling
    BuildHookInterface = object  # type: ignore[assignment, misc]

ROOT = Path(__file__).resolve().parent
FOLDER = ROOT / "vecver/index/kernel"
SOURCES = (
    FOLDER / "kernel.c",
    ROOT / "vecver/index/keywords/kernel/keywords.c",
    ROOT / "vecver/pipeline/tokenizers/kernel/words.c",
    ROOT / "vecver/repo/rows/kernel/lanes.c",
)
# Not -ffast-math, and no fused multiply-add: both change bits. Without errno, roundings are an instruction, not a call.
FLAGS = (
    "-O3",
    "-std=c11",
    "-fPIC",
    "-shared",
    "-ffp-contract=off",
    "-fno-fast-math",
    "-fno-math-errno",
    "-fvisibility=default",
)


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg, misc, unused-ignore]
    """Puts each kernel beside its source, where the wheel or the editable install finds it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile for a wheel; a wheel with a kernel is of this platform, for every Python 3."""
        if self.target_name != "wheel":
            return
        libraries = []
        for source in SOURCES:
            library, reason = build(source.parent, source)
            if library is None:
                self.app.display_warning(f"vecver goes without the kernel {source.name}, which was not built: {reason}")
            else:
                libraries.append(str(library.relative_to(ROOT)))
        if not libraries:
            return
        build_data["artifacts"] += libraries
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
        build_data["pure_python"] = False


def build(folder: Path = FOLDER, source: Path = SOURCES[0]) -> tuple[Path | None, str]:
    """Compile a kernel into `folder`; the library, or None and the reason. Nothing is left of a failed build."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if shutil.which(compiler[0]) is None:
        compiler = ["cc"]
    if shutil.which(compiler[0]) is None:
        return None, "there is no C compiler"
    library = folder / f"_{source.stem}.so"
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch, library.name)
        command = [*compiler, *FLAGS, str(source), "-o", str(built), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return None, f"{shlex.join(command)}: {done.stderr.strip()[-500:]}"
        part = library.with_suffix(".part")  # in one step: a process that has the old one mapped keeps it
        shutil.copyfile(built, part)
        os.replace(part, library)
    return library, ""


if __name__ == "__main__":
    built = [build(source.parent, source) for source in SOURCES]
    for library, reason in built:
        print(library or f"not built: {reason}")
    sys.exit(any(library is None for library, _ in built))
