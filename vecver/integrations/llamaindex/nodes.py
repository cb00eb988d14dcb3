"""Nodes of LlamaIndex as documents of a dataset, and back: class, relationships, templates and metadata survive.

Decisions
1. Metadata are fields, so filters can name them. What else a node says is one field, `_node`, without what has its
   default value; the id of the node's source document is `_ref_doc_id`, so that its nodes can be found.
2. A chunk of a document that did not come from here (a file that was ingested) is a TextNode whose id is the chunk's
   key and whose source is the document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from llama_index.core.schema import BaseNode, MetadataMode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.utils import metadata_dict_to_node

import vecver
from vecver.integrations.metadata import packed, unpacked

NODE: Final = "_node"
SOURCE: Final = "_ref_doc_id"
_ELSEWHERE: Final = ("id_", "embedding", "metadata", "text", "class_name")  # stored as other parts of the row


def row_of(node: BaseNode) -> dict[str, Any]:
    """The row that is added for a node, without its vector."""
    source = node.ref_doc_id
    fields = {**packed(node.metadata), NODE: _body(node), **({} if source is None else {SOURCE: source})}
    text = node.get_content(metadata_mode=MetadataMode.NONE)
    return {"id": node.node_id, "text": text, "title": "", "metadata": fields}


def _body(node: BaseNode) -> dict[str, Any]:
    """What a node says beside id, text and metadata: its class, and its fields that have not their default."""
    body = node.model_dump(mode="json")
    if isinstance(resource := body.get("text_resource"), dict):
        body["text_resource"] = {name: value for name, value in resource.items() if name != "text"}
    defaults = {name: field.get_default(call_default_factory=True) for name, field in type(node).model_fields.items()}
    kept = {
        name: value
        for name, value in body.items()
        if name not in _ELSEWHERE and (name not in defaults or value != defaults[name])
    }
    return {"class": node.class_name(), **kept}


def node_of(id: str, text: str, fields: Mapping[str, Any]) -> BaseNode | None:
    """The node that `row_of` made these fields of, with this text; None if they did not come from there."""
    body = fields.get(NODE)
    if not isinstance(body, Mapping):
        return None
    metadata = unpacked({name: value for name, value in fields.items() if name not in (NODE, SOURCE)})
    content = {**{name: value for name, value in body.items() if name != "class"}, "id_": id, "metadata": metadata}
    if isinstance(resource := content.get("text_resource"), Mapping):
        content["text_resource"] = {**resource, "text": text}
    else:
        content["text"] = text
    node: BaseNode = metadata_dict_to_node({"_node_content": json.dumps(content), "_node_type": body.get("class")})
    return node


def node_of_chunk(chunk: vecver.Hit | vecver.StoredChunk) -> BaseNode:
    """The node of a hit or a chunk: its text, and the neighbours' if these were asked for."""
    text = chunk.text if chunk.context is None else chunk.context
    if (node := node_of(chunk.document, text, chunk.metadata)) is not None:
        return node
    source = RelatedNodeInfo(node_id=chunk.document)
    return TextNode(
        id_=chunk.key,
        text=text,
        metadata=unpacked(chunk.metadata),
        start_char_idx=chunk.span[0],
        end_char_idx=chunk.span[1],
        relationships={NodeRelationship.SOURCE: source},
    )


def nodes_of(document: vecver.Document) -> list[BaseNode]:
    """The node that a document was made of; of another document, a node for each chunk."""
    node = node_of(document.id, document.text, document.metadata)
    return [node_of_chunk(chunk) for chunk in document.chunks] if node is None else [node]
