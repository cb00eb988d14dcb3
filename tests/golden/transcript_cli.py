"""The commands of a transcript: every one that has `--json`, as it succeeds and as it fails."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transcript import Play

HERE = Path(__file__).parent
DIM = 8
PARTS: dict[str, dict[str, Any]] = {  # records that bring vectors
    "valve": {"text": "A valve of brass.", "year": 2024, "lang": "en", "price": 3.5},
    "pump": {"text": "A pump for the cellar.", "year": 2025, "lang": "en", "title": "Pump", "tags": ["a", "b"]},
    "ventil": {"text": "Ein Ventil für 1 €.", "year": 2024, "lang": "de"},
    "key": {"text": "A key of steel.", "year": 2026},
    "hose": {"text": "A hose, ten metres long.", "year": 2023, "lang": None},
}
HEATING = """---
title: Heating
year: 2026
---
# Heating

## Bleeding radiators

Turn the brass key a quarter turn to the left until air hisses out, and close it as soon as water comes.

## Pressure

It should stand between {pressure} bar.
"""


def vector_of(text: str) -> list[float]:
    """A vector for a text: small whole numbers, so that every dot product is exact in float32."""
    return [float(byte % 16) - 8 for byte in hashlib.shake_128(text.encode()).digest(DIM)]


def rows(records: Mapping[str, Mapping[str, Any]], *, vectors: bool = True) -> str:
    """Records as JSONL."""
    told = ({"id": id, **({"vector": vector_of(row["text"])} if vectors else {}), **row} for id, row in records.items())
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in told)


def play(play: Play) -> None:
    """Every command, in the order of a repository's life."""
    for part in (_begin, _parts, _guide, _read, _search, _take_along, _measure, _versions, _publish, _whole, _setup):
        part(play)
    for version, dataset in (("v1", "hand-book"), ("v2", "handbook"), ("v3", "handbook"), ("titles", "handbook")):
        _golden(play, version, dataset)


def play_later(play: Play) -> None:
    """What was added since; played last, so that the clock of all before, and their ids, stay as they were."""
    _relevance(play)


def play_drift(play: Play) -> None:
    """What moved between versions; played after all that was added before."""
    later = {f"part-{n}": {"text": f"Das Ventil {n} ist aus Messing und wird von Hand geöffnet."} for n in range(12)}
    play.write("german.jsonl", rows({**PARTS, **later}, vectors=False))
    _all(
        play,
        """
        --repo judged drift parts
        --repo judged drift parts v1 main
        --repo judged drift parts v1 nowhere
        --repo judged drift parts v1 main --webhook ftp://example.org
        --repo judged ingest parts german.jsonl --embedder hashing --source parts
        --repo judged drift parts v1 main
        """,
    )


def play_modes(play: Play) -> None:
    """Measures and gates by words, and by both; played after all that was added before."""
    play.write("asked.jsonl", '{"query": "What bleeds radiators?"}\n{"query": "brass"}\n')
    _all(
        play,
        """
        --repo judged questions parts add support support.jsonl
        --repo judged policy parts words --gate 'R@10 >= 0.1' --questions support --mode hybrid --weight 0.3
        --repo judged policy parts words --gate 'R@10 >= 0.2' --questions support
        --repo judged policy parts words --mode keyword
        --repo judged policy parts words --gate 'ann_recall@10 >= 0.9' --questions support --mode keyword
        --repo judged promote parts words v1 --gate 'P@1 >= 1' --questions support --mode keyword
        --repo judged promote parts words v1
        --repo judged bisect parts --good v1 --query brass --expect valve --mode keyword
        --repo judged eval parts@v1 --questions support --mode keyword
        --repo judged log parts@v1 --measures R@10 --questions support --mode keyword
        --repo judged log parts@v1 --mode keyword
        --repo judged recall parts@v1 -k 1 --mode keyword
        --repo judged eval parts --questions support --rerank tei:nowhere
        --repo judged compare parts v1 main --questions support --rerank-top 5
        """,
    )
    how = "--queries asked.jsonl --mode hybrid --weight 0.3"
    play.command(f"--repo judged recall parts@v1 -k 1 {how}", ticking=True)


def play_logs(play: Play) -> None:
    """The versions that changed a document; played after all that was added before."""
    _all(
        play,
        """
        --repo judged log parts part-3
        --repo judged log parts part-99
        --repo judged log parts --since main~1
        --repo judged log parts part-3 --graph
        """,
    )


def play_sharing(play: Play) -> None:
    """Remotes, and what is sent to one and brought from it."""
    _all(
        play,
        """
        --repo judged remote list
        --repo judged push
        --repo judged remote add origin team
        --repo judged remote add origin elsewhere
        --repo judged remote add cloud s3://key:secret@bucket/kb
        --repo judged remote list
        --repo judged push parts nothing
        --repo judged push
        --repo judged push
        --repo team datasets
        clone team copied
        clone team judged
        clone nowhere copied2
        --repo copied fetch
        --repo copied pull
        --repo copied tag parts from-the-clone main
        --repo copied push
        --repo judged pull
        --repo judged push parts@nothing
        --repo kb push --remote origin
        clone team records --metadata-only
        --repo records log parts --oneline
        --repo records search parts brass -k 1
        clone team one --at parts@nowhere
        clone team one --at parts@v1
        --repo judged lock parts@v1
        --repo judged lock parts@nowhere
        --repo judged lock
        --repo one sync
        --repo kb sync
        --repo one sync --file nothing.lock
        --repo copied remote remove origin
        --repo copied remote remove origin
        """,
    )


def play_merging(play: Play) -> None:
    """Branches that are merged; played after all that was added before."""
    play.write("draft.jsonl", rows({**PARTS, "valve": {"text": "A valve of steel."}, "new": {"text": "Of draft."}}))
    play.write("mine.jsonl", rows({**PARTS, "valve": {"text": "A valve of zinc."}, "own": {"text": "Of main."}}))
    _all(
        play,
        """
        --repo merged init
        --repo merged ingest parts rows.jsonl --space test --metric ip --source parts
        --repo merged branch parts draft
        --repo merged ingest parts draft.jsonl --source parts --branch draft
        --repo merged merge parts draft --dry-run
        --repo merged ingest parts mine.jsonl --source parts
        --repo merged merge parts draft
        --repo merged merge parts draft --theirs nope
        --repo merged merge parts draft --ours --theirs
        --repo merged merge parts draft --theirs valve --dry-run
        --repo merged merge parts draft --theirs valve -m 'Both'
        --repo merged merge parts draft --theirs valve --settings ours -m 'Both'
        --repo merged merge parts draft
        --repo merged merge parts main --branch draft
        --repo merged merge parts nowhere
        --repo merged log parts --graph
        --repo merged show parts@main^2
        --repo merged show parts@main^3
        --repo merged rollback parts@main
        --repo merged merge parts draft --no-ff
        --repo merged check
        """,
    )


def _all(play: Play, lines: str, **names: str) -> None:
    """Play a command a line. `NAME` in a line stands for its value among `names`."""
    for line in filter(None, map(str.strip, lines.splitlines())):
        for name, value in names.items():
            line = line.replace(name, value)
        play.command(line)


def _begin(play: Play) -> None:
    _all(
        play,
        """
        datasets
        --repo nowhere log parts
        --repo kb init
        --repo kb init
        init
        init
        datasets
        serach parts
        log
        log parts --onelin
        ingest parts
        log parts
        status parts rows.jsonl
        """,
    )


def _parts(play: Play) -> None:
    """Records with vectors."""
    play.write("rows.jsonl", rows(PARTS))
    changed = {**PARTS, "key": {"text": "A key of brass.", "year": 2026}, "tap": {"text": "A tap.", "year": 2020}}
    del changed["hose"]
    play.write("changed.jsonl", rows(changed))
    play.write("broken.jsonl", '{"id": "a"}\nno JSON\n')
    play.write("wrong.jsonl", '{"id": "valve", "text": "A valve.", "vector": [1, 2]}\n')
    _all(
        play,
        """
        ingest parts rows.jsonl --space test --metric ip --source all --dry-run
        ingest parts rows.jsonl --space test --metric ip --source all -m First
        ingest parts rows.jsonl --source all
        ingest part rows.jsonl --space test --dry-run
        ingest parts nowhere
        ingest parts broken.jsonl --source all
        ingest parts wrong.jsonl --source wrong
        ingest parts wrong.jsonl --source all
        ingest parts rows.jsonl --metric l1
        ingest parts changed.jsonl --source all --space other --dry-run
        status parts changed.jsonl --source all
        ingest parts changed.jsonl --source all -m 'A brass key'
        ingest parts rows.jsonl --source all --branch trial --keep-missing
        branch parts trial
        ingest parts rows.jsonl --source all --branch trial --keep-missing
        """,
    )
    play.command("ingest parts - --source stdin -m 'From a pipe'", rows({"cap": {"text": "A cap.", "year": 2026}}))
    play.command("add parts --records - -m Added", rows({"nut": {"text": "A nut."}, "cap": {"text": "A blue cap."}}))
    _all(
        play,
        """
        add parts nowhere
        add parts changed.jsonl --records --dry-run
        rm parts nut nope --dry-run
        rm parts nut -m 'No nut'
        rm parts --where '{"year": {"$lt": 2021}}'
        rm parts
        rm parts valve --where '{"year": 2024}'
        rm parts --where '{"year": {"$about": 2021}}'
        """,
    )


def _guide(play: Play) -> None:
    """Documents of a folder."""
    play.write("docs/heating.md", HEATING.format(pressure="1.2 and 1.8"))
    play.write("docs/deep/keys.txt", "Keys\n\nThey hang by the door.\n")
    play.write("docs/broken.pdf", "no PDF")
    _all(play, "ingest guide docs --embedder hashing --chunk-tokens 32 -m June\ningest guide docs --strict")
    play.write("docs/heating.md", HEATING.format(pressure="1.5 and 2.0"))
    play.write("docs/new.md", "# New\n\nNobody read it yet.\n")
    play.write("docs/deep/keys.txt", "")
    play.write("other/page.md", "# Other\n")
    _all(
        play,
        """
        status guide docs
        status guide docs/new.md
        status guide@nope docs
        add guide docs/new.md -m 'A new page'
        ingest guide docs -m July
        ingest guide docs
        ingest guide other --source docs
        ingest guide other --chunker sliced
        ingest guide other --prefix o/
        rm guide o/page.md
        rm guide --where '{"$path": "deep/"}' --dry-run
        """,
    )


def _read(play: Play) -> None:
    """What a version holds."""
    _all(
        play,
        """
        ls parts
        ls parts --long
        ls guide --long
        ls guide --count
        ls parts --prefix v -n 1
        ls parts --after pump --where '{"year": {"$gte": 2024}}'
        ls parts --count --where '{"lang": "de"}'
        ls parts --count --prefix v
        ls nope
        cat guide heating.md
        cat parts pump cap
        cat guide nope.md
        chunks guide
        chunks parts -n 2 --vectors
        chunks parts --where '{"lang": "de"}'
        """,
    )
    listed = play.command("""chunks guide@main~1 --where '{"headings": "Pressure"}' -n 1""")
    _all(
        play,
        """
        chunks guide@main~1 KEY --context 1
        chunks guide --after KEY
        chunks guide nope
        chunks guide KEY -n 2
        fields parts
        fields guide
        fields guide@v9
        """,
        KEY=listed["key"],
    )


def _search(play: Play) -> None:
    play.write("queries.jsonl", "".join(json.dumps({"vector": vector_of(q)}) + "\n" for q in ("valve", "a pump")))
    play.write("texts.jsonl", '{"query": "bleed"}\n{"query": "door"}\n')
    play.write("no-query.jsonl", '{"question": "bleed"}\n')
    _all(
        play,
        """
        search parts --queries queries.jsonl -k 2
        search parts --queries queries.jsonl -k 3 --exact --space test
        search parts --queries queries.jsonl --filter '{"year": {"$in": [2024, 2026]}, "lang": {"$ne": "de"}}'
        search parts --queries queries.jsonl --min-score 0 --offset 1 -k 2 --vectors
        search parts --like valve -k 2 --receipt like.json
        search guide 'bleed a radiator' --receipt answer.json
        search guide 'bleed a radiator' -k 2 --context 1 --exact
        search guide@main~1 'bleed a radiator' --per-document 1 --diversity 0.5 --min-score 0.05
        search guide --queries texts.jsonl -k 1 --filter '{"$title": {"$contains": "eat"}}'
        search guide 'bleed a radiator' --filter '{"nope": 1}'
        search guide 'bleed a radiator' --filter '{"nope": 1}' --missing empty
        search nope 'bleed a radiator' --missing empty
        search nope 'bleed a radiator'
        search guid 'bleed a radiator'
        search guide@nope 'bleed a radiator'
        search guide@ 'bleed a radiator'
        search guide
        search guide ''
        search guide 'bleed a radiator' -k 0
        search guide 'bleed a radiator' --filter no-json
        search guide 'bleed a radiator' --diversity 2
        search guide 'bleed a radiator' --engine milvus
        search guide 'bleed a radiator' --receipt nowhere/answer.json
        search parts 'bleed a radiator'
        search parts --queries queries.jsonl --space other
        search parts --queries no-query.jsonl
        search guide --queries queries.jsonl
        search parts --like nope
        """,
    )


def _take_along(play: Play) -> None:
    """Receipts, and a version without its repository."""
    receipt = json.loads((play.folder / "answer.json").read_text("utf-8"))
    play.write("gone.json", json.dumps({**receipt, "commit": "0" * 64}))
    receipt["hits"][0][2] = "3ff0000000000000"  # the score 1.0
    play.write("altered.json", json.dumps(receipt))
    _all(
        play,
        """
        replay answer.json
        replay like.json
        replay nope.json
        replay rows.jsonl
        replay altered.json
        replay gone.json
        snapshot guide exported
        snapshot guide exported
        snapshot guide@nope elsewhere
        search --snapshot exported 'bleed a radiator' -k 2
        search --snapshot docs what
        replay --snapshot exported answer.json
        search --snapshot exported --engine milvus what
        search --snapshot exported guide what
        """,
    )


def _measure(play: Play) -> None:
    play.command("recall parts --sample 4 -k 1,3", ticking=True)
    play.command("recall guide --queries texts.jsonl", ticking=True)
    _all(
        play,
        """
        recall parts --sample 0
        recall nope
        recall parts -k x
        recall parts --out x.svg
        recall parts --all
        tag guide 2026-07
        """,
    )
    play.command("recall guide --all --sample 2 --out drawn.svg", ticking=True)


def _versions(play: Play) -> None:
    _all(
        play,
        """
        log parts
        log parts@main~1 -n 1
        log parts --graph
        log parts --measures -n 1
        log parts@@{2026-11-26T12:20}
        log parts@@{2020-01-01}
        log parts@0000000
        log parts@a@b
        show parts
        show guide@main~1
        show parts --documents
        show guide --coverage
        show parts@main~99
        diff parts main~1 main
        diff guide main~3 main
        diff guide main~3 main heating.md
        diff parts main main
        diff parts main nope
        diff guide main~1 main nope.md
        diff parts main
        """,
    )
    _refs(play)


def _refs(play: Play) -> None:
    _all(
        play,
        """
        tag parts
        tag parts v1
        tag parts v1 main~1
        tag parts v2 main~1
        tag parts
        tag parts --delete
        tag parts v2 --delete
        tag parts v2
        tag parts 'a b'
        tag parts v3 --delete
        tag nope
        branch parts
        branch parts next v1
        branch parts next main
        branch parts next --delete
        branch parts trial --delete
        branch parts main --delete
        branch parts v1
        promote parts prod v1
        promote parts prod main~1
        promote parts prod main~1
        promote parts prod nope
        promote parts main
        alias parts
        alias parts prod
        alias parts nope
        rollback parts@prod
        rollback parts@prod --to main
        rollback parts@main
        rollback parts@main --to v1
        rollback parts@v1
        rollback parts@nope
        alias parts prod --delete
        alias parts prod
        promote parts prod
        promote guide prod
        """,
    )


def _publish(play: Play) -> None:
    _all(
        play,
        """
        publication parts
        publish parts@v1
        publish parts
        publish parts@main~1 --dedicated
        publish nope
        publish parts@v1 --rebuild
        publication parts
        publication parts@main~1
        publish parts --rebuild
        check --milvus embedded
        search parts --queries queries.jsonl -k 2 --engine milvus
        unpublish parts
        unpublish parts@v1
        unpublish parts@v1
        unpublish parts --unnamed
        publish guide --to http://127.0.0.1:1
        publish guide --to nowhere
        """,
    )


def _whole(play: Play) -> None:
    """The repository and whole datasets; at last a damaged one."""
    _all(
        play,
        """
        datasets
        check
        optimize parts
        optimize parts
        optimize nope
        gc
        gc --apply
        gc --grace 0 --apply
        gc --keep-last 1
        gc --keep-within 0x
        gc --keep-last 0
        check
        check --repair
        dataset rename guide manual
        dataset rename guide manual
        dataset rename manual parts
        dataset delete manual
        dataset delete manual --yes
        dataset delete manual --yes
        dataset remove manual
        datasets
        """,
    )
    commit = play.command("tag parts")["v1"]
    (play.folder / ".vecver" / "commits" / commit[:2] / commit).write_bytes(b"damaged")
    _all(play, "check\nshow parts@v1\ndatasets")


def _setup(play: Play) -> None:
    made = play.command("key add ci --scope parts:read --scope '*:write'")
    _all(
        play,
        """
        key add ci --scope parts:own
        key add ci
        key list
        key revoke ID
        key list
        key revoke ID
        config
        config --all
        --color never --repo kb config
        doctor --quick
        doctor --slow
        """,
        ID=made["id"],
    )


def _golden(play: Play, version: str, dataset: str) -> None:
    """A repository that an earlier vecver wrote."""
    shutil.copytree(HERE / version, play.folder / version)
    _all(
        play,
        """
        --repo VERSION datasets
        --repo VERSION log DATASET
        --repo VERSION show DATASET@v1
        --repo VERSION ls DATASET --long
        --repo VERSION diff DATASET v1 main
        --repo VERSION check
        """,
        VERSION=version,
        DATASET=dataset,
    )
    if version != "v1":  # its vectors were given
        play.command(f"--repo {version} search {dataset}@v1 'How do I bleed a radiator?' -k 3 --exact")
    if version in ("v2", "v3"):
        shutil.copy(HERE / f"{version}_receipt.json", play.folder)
        play.command(f"--repo {version} replay {version}_receipt.json")


def _relevance(play: Play) -> None:
    """Question sets, and what versions answer to them."""
    play.write("pages.jsonl", rows(PARTS, vectors=False))
    changed = {**PARTS, "key": {"text": "A key to bleed radiators."}, "tap": {"text": "A tap for the cellar."}}
    play.write("later.jsonl", rows(changed, vectors=False))
    questions = [
        {"query": "What bleeds radiators?", "documents": ["key"], "tags": ["heating"]},
        {"id": "cellar", "query": "for the cellar", "documents": {"pump": 2, "tap": 1}, "not_documents": "hose"},
        {"query": "brass", "contains": "valve of  BRASS"},
        {"query": "nothing is said of this"},
    ]
    play.write("support.jsonl", "".join(json.dumps(question) + "\n" for question in questions))
    play.write("bad.jsonl", '{"query": "x", "documents": {"key": -1}}\n')
    _all(
        play,
        """
        --repo judged init
        --repo judged ingest parts pages.jsonl --embedder hashing --source parts
        --repo judged tag parts v1
        --repo judged ingest parts later.jsonl --embedder hashing --source parts
        --repo judged questions parts
        --repo judged questions parts add support support.jsonl
        --repo judged questions parts add bad bad.jsonl
        --repo judged questions parts add support
        --repo judged questions parts show support
        --repo judged questions parts list
        --repo judged eval parts@v1 --questions support
        --repo judged eval parts --questions support --measures nDCG@5,RR@10 --per-question
        --repo judged eval parts --questions support --measures RR@10 --exact
        --repo judged eval parts --questions nothing
        --repo judged eval parts --questions support --measures nDGC@5
        --repo judged compare parts v1 main --questions support
        --repo judged compare parts v1 nowhere --questions support
        --repo judged promote parts prod v1 --gate 'nDCG@10 >= prod' --questions support
        --repo judged promote parts prod v1 --gate 'nDCG@10 >= 0.5' --questions support
        --repo judged promote parts prod --gate 'nDCG@10 >= prod - 0.01' --gate 'Forbidden@10 <= 0' --questions support
        --repo judged promote parts prod --gate 'nDCG@10 >= prod - 0.01' --questions support
        --repo judged promote parts prod --gate 'nDCG@10 >= 0.5'
        --repo judged alias parts prod
        --repo judged bisect parts --good v1 --query 'What bleeds radiators?' --expect hose -k 3
        --repo judged bisect parts --good main --bad v1 --query brass --expect key
        --repo judged bisect parts --good v1 --gate 'Forbidden@10 <= 0' --questions support
        --repo judged policy parts prod
        --repo judged policy parts prod --gate 'nDCG@10 >= 0.99' --questions support
        --repo judged promote parts prod v1
        --repo judged promote parts prod v1 --override 'the questions are wrong'
        --repo judged policy parts prod --remove
        --repo judged policy parts prod --remove
        --repo judged questions parts remove support
        --repo judged questions parts remove support
        --repo judged check
        --repo judged log parts --measures nDCG@10,ann_recall@10 --questions support.jsonl
        --repo judged log --measures parts -n 1
        --repo judged log parts --measures nDCG@10 --plot x.png
        --repo judged policy parts prod --approval
        --repo judged promote parts prod v1
        --repo judged approve parts
        --repo judged approve parts prod
        --repo judged approve parts prod --reject 'not yet'
        --repo judged approve parts prod
        --repo judged approve parts --reject 'not yet'
        --repo judged policy parts prod --remove
        """,
    )
