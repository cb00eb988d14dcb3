"""The processes that a process started, and those that these started, found in /proc by how their titles begin."""

from __future__ import annotations

from pathlib import Path


def descendants(ancestor: int, title: bytes) -> list[int]:
    """The processes below one whose title begins so."""
    parents, titles = {}, {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                titles[int(place.name)] = (place / "cmdline").read_bytes()
            except OSError:
                continue

    def below(process: int) -> bool:
        while process in parents and process != ancestor:
            process = parents[process]
        return process == ancestor

    return [process for process, words in titles.items() if words.startswith(title) and below(process)]
