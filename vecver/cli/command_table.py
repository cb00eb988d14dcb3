"""The table of commands: their groups, one line of help each, and the module of each.

`vecver --help` and the completion of command names read this table alone; a command's module is imported when the
command runs. A new command is a line here and one of its module's `COMMANDS`; tests hold the two together.
"""

from __future__ import annotations

GROUPS: dict[str, dict[str, tuple[str, str]]] = {  # title -> command -> (module in vecver.cli.commands, what it does)
    "Documents": {
        "ingest": ("documents", "Make a folder, files or records the truth for a dataset."),
        "status": ("documents", "Show which documents differ from a version."),
        "add": ("editing", "Add or replace single files, folders or records."),
        "rm": ("editing", "Remove documents by their ids, or by a filter."),
        "ls": ("reading", "List the documents of a version."),
        "cat": ("reading", "Print the text of documents of a version."),
        "chunks": ("reading", "List the chunks of a version, or show one."),
        "fields": ("reading", "Show what filters may name in a version."),
    },
    "Search": {
        "search": ("searching", "Find the passages of a version that answer a query."),
        "questions": ("evaluating", "Keep question sets, by which versions are measured."),
        "eval": ("evaluating", "Measure how well a version answers questions."),
        "compare": ("evaluating", "Compare what two versions answer, and say why."),
        "bisect": ("evaluating", "Find the version that broke an answer."),
        "drift": ("drifting", "Say what moved between two versions beyond chance."),
        "recall": ("measuring", "Measure how much of the true answer the index finds."),
        "replay": ("searching", "Recompute an answer from its receipt."),
    },
    "Versions": {
        "log": ("histories", "List the versions that led to a revision."),
        "show": ("versions", "Show all that is recorded of a version."),
        "diff": ("versions", "Show what one version changes against another."),
        "tag": ("versions", "List tags, or name a version for ever."),
        "branch": ("versions", "List branches, or begin one."),
        "alias": ("versions", "List aliases, or every move of one."),
        "promote": ("versions", "Let an alias such as prod name a version."),
        "approve": ("versions", "Approve or reject a promotion that waits."),
        "policy": ("evaluating", "Fasten gates to an alias."),
        "rollback": ("versions", "Take an alias or a branch back to where it was."),
    },
    "Publish": {
        "publish": ("publishing", "Make a version searchable in Milvus."),
        "unpublish": ("publishing", "Take a version out of Milvus."),
        "publication": ("publishing", "Show how a version is searched in Milvus."),
        "snapshot": ("searching", "Export a version to a folder that needs no repository."),
    },
    "Repository": {
        "init": ("documents", "Make an empty repository."),
        "datasets": ("datasets", "List the datasets, with counts and age."),
        "dataset": ("datasets", "Rename or delete a whole dataset."),
        "check": ("versions", "Re-read everything and prove that it is intact."),
        "optimize": ("tidying", "Lay the versions on few segments and index them."),
        "gc": ("tidying", "Show, or delete, what no version needs."),
    },
    "Setup": {
        "config": ("setup", "Show the settings and where each comes from."),
        "doctor": ("setup", "Check the installation, and say what to do."),
        "completion": ("setup", "Print the completion script of a shell."),
    },
    "Service": {
        "ui": ("pages", "Open the repository's web page in the browser."),
        "serve": ("serving", "Serve the repository over HTTP."),
        "mcp": ("mcp", "Serve the repository to assistants (MCP)."),
        "key": ("serving", "Make, list and revoke the service's API keys."),
    },
}

MODULES = {name: module for group in GROUPS.values() for name, (module, _) in group.items()}

EXAMPLES: dict[str, tuple[str, ...]] = {  # shown at the end of a command's --help
    "ingest": (
        'vecver ingest handbook docs/ -m "July handbook"',
        "vecver ingest handbook docs/ --dry-run",
        "vecver ingest prices prices.csv --source prices",
    ),
    "status": ("vecver status handbook docs/", "vecver status handbook@prod docs/ --json"),
    "add": ("vecver add handbook docs/heating.md", "vecver add handbook --records rows.jsonl"),
    "rm": ("vecver rm handbook docs/old.md", """vecver rm handbook --where '{"year": {"$lt": 2020}}'"""),
    "ls": ("vecver ls handbook", "vecver ls handbook@prod --prefix guide/ --long", "vecver ls handbook --count"),
    "cat": ("vecver cat handbook guide/pump.md", "vecver cat handbook@prod guide/pump.md --json"),
    "chunks": (
        "vecver chunks handbook",
        """vecver chunks handbook@prod --where '{"page": 3}' --json""",
        "vecver chunks handbook 9e6d5873bd604c8984c1cf88474186fa --context 1",
    ),
    "fields": ("vecver fields handbook", "vecver fields handbook@prod --json"),
    "search": (
        'vecver search handbook "How do I bleed a radiator?"',
        'vecver search handbook@prod "boiler pressure" -k 3 --context 1',
        """vecver search handbook "boiler" --filter '{"page": {"$gte": 3}}'""",
        "vecver search handbook --like guide/pump.md",
    ),
    "questions": (
        "vecver questions handbook add support support.jsonl",
        "vecver questions handbook list",
        "vecver questions handbook show support",
    ),
    "eval": (
        "vecver eval handbook --questions support",
        "vecver eval handbook@prod --questions support --measures nDCG@10,R@20 --json",
        "vecver eval handbook --questions support --report handbook.html",
        "vecver eval handbook --questions queries.jsonl --qrels qrels.tsv --run handbook.run",
    ),
    "compare": (
        "vecver compare handbook prod main --questions support",
        "vecver compare handbook v1 v2 --questions queries.txt --json",
        "vecver compare handbook prod main --questions support --report report.html",
    ),
    "bisect": (
        'vecver bisect handbook --good v1 --query "boiler pressure" --expect heating.md',
        "vecver bisect handbook --good v1 --gate 'R@10 >= 0.9' --questions support",
    ),
    "drift": (
        "vecver drift handbook",
        "vecver drift handbook 2026-10 2026-11 --json",
        "vecver drift handbook prod main --webhook https://hooks.example.org/drift",
    ),
    "recall": ("vecver recall handbook", "vecver recall handbook@prod --json"),
    "replay": ('vecver search handbook "boiler" --receipt answer.json', "vecver replay answer.json"),
    "log": (
        "vecver log handbook",
        "vecver log handbook --oneline --graph",
        "vecver log handbook@prod -n 5",
        "vecver log handbook guide/pump.md",
        "vecver log handbook@main --since prod",
        "vecver log handbook --measures nDCG@10,ann_recall@10 --questions support --plot measures.svg",
    ),
    "show": ("vecver show handbook", "vecver show handbook@prod --documents"),
    "diff": (
        "vecver diff handbook main~1 main",
        "vecver diff handbook prod main --stat",
        "vecver diff handbook prod main guide/pump.md",
    ),
    "tag": ("vecver tag handbook", "vecver tag handbook 2026-11", "vecver tag handbook 2026-10 main~3"),
    "branch": ("vecver branch handbook", "vecver branch handbook wide-chunks main"),
    "alias": ("vecver alias handbook", "vecver alias handbook prod"),
    "promote": (
        "vecver promote handbook prod",
        "vecver promote handbook prod 2026-11",
        "vecver promote handbook prod main --gate 'R@10 >= prod - 0.01' --questions support",
    ),
    "approve": (
        "vecver approve handbook",
        "vecver approve handbook prod",
        "vecver approve handbook prod --reject 'the prices are old'",
    ),
    "policy": (
        "vecver policy handbook prod --gate 'R@10 >= prod - 0.01' --questions support",
        "vecver policy handbook prod --gate 'R@10 >= prod - 0.01' --questions support --approval",
        "vecver policy handbook prod",
        "vecver policy handbook prod --remove",
    ),
    "rollback": ("vecver rollback handbook@prod", "vecver rollback handbook@main --to 2026-10"),
    "publish": ("vecver publish handbook@prod --to http://localhost:19530",),
    "unpublish": ("vecver unpublish handbook@2026-10",),
    "publication": ("vecver publication handbook@prod",),
    "snapshot": ("vecver snapshot handbook@prod handbook-prod",),
    "datasets": ("vecver datasets", "vecver datasets --json"),
    "dataset": ("vecver dataset rename handbook manual", "vecver dataset delete old-handbook --yes"),
    "init": ("vecver init", "vecver init /data/kb"),
    "check": ("vecver check", "vecver check --repair"),
    "optimize": ("vecver optimize handbook",),
    "gc": ("vecver gc", "vecver gc --apply", "vecver gc --keep-last 30 --apply"),
    "config": ("vecver config", "vecver config --all --json"),
    "doctor": ("vecver doctor", "vecver doctor --quick --json"),
    "completion": ("vecver completion bash", "vecver completion fish"),
    "ui": ("vecver ui", "vecver ui --port 8123 --no-browser"),
    "serve": ("vecver serve", "vecver serve --host 0.0.0.0 --port 8080"),
    "mcp": ("vecver mcp --dataset handbook --at prod", "vecver mcp --http 8765"),
    "key": ("vecver key add ci --scope handbook:read", "vecver key list"),
}

SYNONYMS = {  # what other programs call it -> the command
    **{"commit": "ingest", "import": "ingest", "load": "ingest", "index": "ingest", "update": "ingest"},
    **{"upsert": "add", "put": "add", "insert": "add", "delete": "rm", "remove": "rm", "list": "ls", "get": "cat"},
    **{"query": "search", "find": "search", "ask": "search", "checkout": "search", "history": "log", "info": "show"},
    **{"reset": "rollback", "revert": "rollback", "undo": "rollback", "deploy": "promote", "release": "promote"},
    **{
        "push": "publish",
        "sync": "publish",
        "export": "snapshot",
        "backup": "snapshot",
        "create": "init",
        "new": "init",
    },
    **{"accept": "approve", "review": "approve", "reject": "approve"},
    **{"verify": "check", "fsck": "check", "clean": "gc", "prune": "gc", "compact": "optimize", "vacuum": "optimize"},
    **{"evaluate": "eval", "judge": "eval", "measure": "eval", "qrels": "questions"},
    **{
        "web": "ui",
        "browse": "ui",
        "server": "serve",
        "run": "serve",
        "settings": "config",
        "completions": "completion",
    },
}
