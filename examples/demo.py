"""The main job in one minute: ingest, edit, ingest again, compare, search both versions, roll back, replay.

    python examples/demo.py [--embedder hashing]

Works in a temporary folder, on this machine alone: no server, no model hub.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import vecver

HANDBOOK = Path(__file__).parent / "handbook"
QUESTION = "What pressure should the heating have?"


def main(embedder: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        handbook = Path(folder, "handbook")
        shutil.copytree(HANDBOOK, handbook)
        docs = vecver.open(Path(folder, "kb"), create=True).dataset("handbook")

        june = docs.ingest(handbook, message="June handbook", embedder=embedder)
        docs.tag("2026-06", june)
        docs.promote("prod", "2026-06")
        say("June", f"{june.documents['added']} documents, {june.chunks['embedded']} chunks embedded")

        answer = docs.search(QUESTION, at="prod", k=3)
        show(answer)

        edit(handbook)
        july = docs.ingest(handbook, message="July handbook")
        say("July", f"{july.chunks['embedded']} chunks embedded, {july.chunks['live']} live: only the change was new")
        print(docs.diff("2026-06", "main"))

        docs.promote("prod", "main")
        say("prod is July", f"the best hit says: {pressure(docs.search(QUESTION, at='prod', k=3))}")
        say("pinned to June", f"the best hit says: {pressure(docs.search(QUESTION, at='2026-06', k=3))}")

        docs.rollback("prod")
        again = docs.search(QUESTION, at="prod", k=3)
        say("rolled back", f"the best hit says: {pressure(again)}; same bits: {again.hits == answer.hits}")

        proof = docs.repository.replay(answer.receipt)
        say("replay", "identical" if proof.identical else "; ".join(proof.differences))
        checked = docs.repository.check()
        say("check", f"{'clean' if checked.clean else checked.problems}: {checked.objects} objects")
        assert again.hits == answer.hits and proof.identical and checked.clean


def edit(handbook: Path) -> None:
    """July: the pressure changed, the keys' page went, a page on bicycles came."""
    heating = handbook / "heating.md"
    heating.write_text(heating.read_text("utf-8").replace("1.2 and 1.8 bar", "1.5 and 2.0 bar"), "utf-8")
    (handbook / "keys.md").unlink()
    (handbook / "bicycles.md").write_text("# Bicycles\n\nThe pump and the patches hang beside the gate.\n", "utf-8")


def pressure(answer: vecver.Answer) -> str:
    """The first sentence with a pressure among the hits."""
    sentences = [s for hit in answer for s in hit.text.replace("\n", " ").split(". ") if " bar" in s]
    return sentences[0] if sentences else "nothing on that"


def show(answer: vecver.Answer) -> None:
    print(f"\n{QUESTION}   [{answer.revision} = {answer.commit[:12]}]")
    for hit in answer:
        print(f"  {hit.score:.3f}  {hit.document}  {' '.join(hit.text.split())[:70]}")


def say(what: str, words: str) -> None:
    print(f"\n{what:14s} {words}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--embedder", default="minilm")
    main(parser.parse_args().embedder)
