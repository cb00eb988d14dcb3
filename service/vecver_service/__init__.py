"""The HTTP service: version-pinned retrieval for applications. It uses only vecver's public interface.

    request -> middleware (key, rate, deadline) -> route (parse, call vecver, render) -> answer, log line, metrics

A write with an Idempotency-Key happens once, and every write is in the audit log. Long writes become jobs in the state
folder; a worker of any process runs them.

    app        builds it: `create_app(repository, settings)`
    settings   from a file and the environment
    deps       what routes get through `Depends`: the service's parts, the caller, a dataset
    searching  runs the searches of all routes
    worker     runs jobs
    warmup     opens versions before requests wait for them
    logs, metrics   for operators and Prometheus
    http/      connections, middleware, problems (RFC 9457), replies, uploads, forms
    state/     keys, jobs, first answers, audit log: files of the state folder
    schemas/   the published schema
    routes/    three steps each: parse, call vecver, render
    pages/     the page at /
"""
