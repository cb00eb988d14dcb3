"""Documents' bytes to Markdown with `#` headings, in worker processes.

`parse` chooses a reader by media type, `coverage` counts what a reader left out, `pool` and `reading`
run the readers where they can do no harm.
"""
