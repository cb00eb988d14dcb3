"""The HTTP service: version-pinned retrieval for applications. It enters vecver by its front door only.

request -> gate (who, how often, how long) -> route (parse, call the face, render) -> answer, log, metrics
                                                 |
                                      writes: once (Idempotency-Key) + audit
                                      long writes: a job in the state folder, run by a worker of any process

app        puts it together; `create_app(settings)`
settings   file + environment
gate       the door: request id, key, rate, deadline, one log line and one measurement a request
keys       API keys, of which only digests are stored, and their scopes
audit      the record of every write
once       a write with an Idempotency-Key happens once
jobs       what is to be done, and what became of it; survives the process
work       doing it
uploads    bodies that become a source: names, records, folders; multipart: files of a form
protocol   uvicorn's HTTP, with an end to its patience
warm       versions are opened before anybody waits for them
metrics, logs   what Prometheus and operators read
errors     house errors as RFC 9457 problems
files      files of the state folder, whole and durable
replies    values of JSON as responses
schemas/   what travels; converted at the edge
routes/    three steps each: parse, call the face, render
"""
