"""Search a pinned version with pymilvus alone: what `vecver publication` prints is all that it takes.

    vecver publication handbook@prod --json > publication.json
    python examples/milvus_client.py publication.json heating.md

Prints the chunks of that version that are most like the first chunk of the document that is named.
"""

import json
import sys
from pathlib import Path

from pymilvus import MilvusClient

pinned = json.loads(Path(sys.argv[1]).read_text("utf-8"))
document = json.dumps(sys.argv[2])

client = MilvusClient(pinned["uri"], db_name=pinned["database"])  # and token="..." where the server asks for it
pin = f"({pinned['filter']}) and " if pinned["filter"] else ""
chunk = client.query(pinned["collection"], filter=f"{pin}document == {document}", output_fields=["vector"], limit=1)[0]

(hits,) = client.search(
    pinned["collection"],
    [chunk["vector"]],
    filter=f"{pin}document != {document}",
    limit=3,
    output_fields=["document", "text"],
    search_params={"metric_type": pinned["metric"]},
)
print(f"{pinned['dataset']} at commit {pinned['commit'][:12]}, ordinal {pinned['ordinal']} of {pinned['collection']}")
for hit in hits:
    print(f"{hit['distance']:.4f}  {hit['entity']['document']}  {hit['entity']['text'][:60]!r}")
