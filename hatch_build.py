"""Compiles the search kernel (vecver/index/kernel/kernel.c) while a wheel or an editable install is made.

    python hatch_build.py        compiles it into a source tree that is used in place (PYTHONPATH)

Without a C compiler, or where it fails, the wheel has no kernel: vecver then computes the same bits with numpy.
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

FOLDER = Path(__file__).resolve().parent / "vecver/index/kernel"
# Not -ffast-math, and no fused multiply-add: both change bits.
FLAGS = ("-O3", "-std=c11", "-fPIC", "-shared", "-ffp-contract=off", "-fno-fast-math", "-fvisibility=default")


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg, misc, unused-ignore]
    """Puts the kernel beside its source, where the wheel or the editable install finds it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile for a wheel; a wheel with a kernel is of this platform, for every Python 3."""
        if self.target_name != "wheel":
            return
        library, reason = build()
        if library is None:
            self.app.display_warning(f"vecver's search kernel was not built, numpy takes its place: {reason}")
            return
        build_data["artifacts"].append(str(library.relative_to(FOLDER.parents[2])))
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
        build_data["pure_python"] = False


def build(folder: Path = FOLDER) -> tuple[Path | None, str]:
    """Compile the kernel into `folder`; the library, or None and the reason. Nothing is left of a failed build."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if shutil.which(compiler[0]) is None:
        compiler = ["cc"]
    if shutil.which(compiler[0]) is None:
        return None, "there is no C compiler"
    library = folder / "_kernel.so"
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch, library.name)
        command = [*compiler, *FLAGS, str(FOLDER / "kernel.c"), "-o", str(built), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return None, f"{shlex.join(command)}: {done.stderr.strip()[-500:]}"
        part = library.with_suffix(".part")  # in one step: a process that has the old one mapped keeps it
        shutil.copyfile(built, part)
        os.replace(part, library)
    return library, ""


if __name__ == "__main__":
    library, reason = build()
    print(library or f"not built: {reason}")
    sys.exit(library is None)
