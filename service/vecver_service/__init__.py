"""The HTTP service: version-pinned retrieval for applications. It uses only vecver's public interface.

    request -> middleware (key, rate, deadline) -> route (parse, call vecver, render) -> answer, log line, metrics

A write with an Idempotency-Key happens once, and every write is in the audit log. Long writes become jobs in the state
folder; a worker of any process runs them.

    app        puts it together: `create_app(settings)`
    settings   what a file and the environment set
    deps       what routes ask FastAPI for: the repository, the caller, checked names
    worker     runs jobs
    warmup     opens versions before anybody waits for them
    logs, metrics   what operators and Prometheus read
    http/      connections, middleware, problems (RFC 9457), replies, uploads, forms
    state/     keys, jobs, first answers, audit log: files of the state folder
    schemas/   what travels; converted at the edge
    routes/    three steps each: parse, call vecver, render
    pages/     the page at /
"""
