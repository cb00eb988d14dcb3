"""A small RAG application: a question, the passages that answer it, an answer that cites them, and its receipt.

    export VECVER_URL=http://127.0.0.1:8000 VECVER_KEY=vv_...      # of `vecver serve`; see `vecver key add`
    python examples/rag_app.py "How do I let air out of a radiator?" --at handbook@prod
    python examples/rag_app.py --verify receipt.json

Where OPENAI_API_KEY or OPENAI_BASE_URL is set, a language model writes the answer (any server with OpenAI's API;
OPENAI_MODEL names the model). Else the sentences of the passages that say most about the question are the answer.

Whoever follows an alias (`handbook@prod`) gets what was promoted last; what an answer rests on stays fixed all the
same: each citation is a document and a span of characters in it, at the commit that is printed, and `--verify` asks
the service to compute the answer again from the receipt, after any number of promotions, down to the score bits.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path

import httpx2

import vecver

PROMPT = """Answer the question from the numbered passages alone. After each claim, cite the passage that makes it, as
in [1]. If the passages do not answer the question, say so.

{passages}

Question: {question}"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("question", nargs="?")
    parser.add_argument("--at", default="handbook@prod", help="DATASET@REVISION (default: %(default)s)")
    parser.add_argument("--k", type=int, default=4, help="passages to answer from (default: %(default)s)")
    parser.add_argument("--receipt", type=Path, default=Path("receipt.json"), help="where the proof is kept")
    parser.add_argument("--verify", type=Path, metavar="RECEIPT", help="compute an earlier answer again")
    given = parser.parse_args()
    if not (given.question or given.verify):
        parser.error("ask a question, or --verify a receipt")
    url = os.environ.get("VECVER_URL", "http://127.0.0.1:8000")
    try:
        with vecver.connect(url, os.environ.get("VECVER_KEY")) as repo:
            if given.verify:
                return verify(repo, given.verify)
            ask(repo, given.question, given.at, given.k, given.receipt)
            return 0
    except vecver.VecverError as error:
        print(f"{error}: {error.hint}", file=sys.stderr)
        return error.exit_code


def ask(repo: vecver.RemoteRepository, question: str, at: str, k: int, receipt: Path) -> None:
    dataset, _, revision = at.partition("@")
    found = repo.dataset(dataset).search(question, at=revision or "main", k=k)
    by_model = bool(os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"))
    text = written(question, found) if by_model else extracted(question, found)
    receipt.write_text(json.dumps(found.receipt), "utf-8")

    print(text, end="\n\n")
    for n in sorted({int(n) for n in re.findall(r"\[(\d+)\]", text)}):
        known = 1 <= n <= len(found)
        print(
            f"[{n}] {cited(found[n - 1])}" if known else f"[{n}] is no passage that was given: do not trust that claim"
        )
    print(f"\n{dataset}@{found.revision} is commit {found.commit}; receipt in {receipt}")


def verify(repo: vecver.RemoteRepository, receipt: Path) -> int:
    proof = repo.replay(json.loads(receipt.read_text("utf-8")))
    print(
        "identical: same passages, same score bits" if proof.identical else "\n".join(("differs:", *proof.differences))
    )
    for note in proof.notes:
        print(note)
    return 0 if proof.identical else 1


def written(question: str, found: vecver.Answer) -> str:
    """The answer of a language model that was shown the passages."""
    passages = "\n\n".join(f"[{hit.rank}] {hit.document}\n{hit.text}" for hit in found)
    reply = httpx2.post(
        os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1").rstrip("/") + "/chat/completions",
        headers={"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'none')}"},
        json={
            "model": os.environ.get("OPENAI_MODEL", "gpt-4o-mini"),
            "messages": [{"role": "user", "content": PROMPT.format(passages=passages, question=question)}],
            "temperature": 0,
        },
        timeout=120,
    )
    return reply.raise_for_status().json()["choices"][0]["message"]["content"].strip()


def extracted(question: str, found: vecver.Answer, sentences: int = 2) -> str:
    """The sentences of the passages that share most words with the question, each with its citation."""
    asked = words(question)
    passages = [hit for hit in found if hit.span != (0, 0)]  # a hit on nothing but a document's title says nothing
    said = [(hit.rank, " ".join(s.split())) for hit in passages for s in re.split(r"(?<=[.!?])\s+|\n\s*\n", hit.text)]
    said = [(rank, sentence) for rank, sentence in said if sentence and not sentence.startswith("#")]
    best = sorted(said, key=lambda one: (-len(asked & words(one[1])), one[0]))[:sentences]
    return "\n".join(f"{sentence} [{rank}]" for rank, sentence in best) or "Nothing was found."


def words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if len(word) > 2}


def cited(hit: vecver.Hit) -> str:
    return f"{hit.document}, characters {hit.span[0]}-{hit.span[1]}  (score {hit.score:.3f})"


if __name__ == "__main__":
    sys.exit(main())
