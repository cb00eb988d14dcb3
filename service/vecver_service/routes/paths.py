"""Path parameters that match only certain words, where any word would also match the path of another route.

A path with another word there is matched against the later routes, and ends in 404.
"""

from __future__ import annotations

from starlette.convertors import StringConvertor, register_url_convertor

REF_KINDS = "{kinds:kinds}"  # `branches`, `tags` or `aliases`: the routes of refs are written once for all three
CHUNK_KEY = "{key:key}"  # the key of a chunk; not `list`, which is a route


class _RefKinds(StringConvertor):
    regex = "branches|tags|aliases"


class _ChunkKey(StringConvertor):
    regex = r"(?!list$)[^/]+"


register_url_convertor("kinds", _RefKinds())
register_url_convertor("key", _ChunkKey())
