"""Turn the bytes of documents into Markdown with `#` headings, in worker processes.

`parse` picks a reader by media type, `coverage` counts the words a reader left out, and `pool` and `reading` run the
readers in processes that may crash.
"""
