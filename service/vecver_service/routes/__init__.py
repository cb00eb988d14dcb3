"""The routes, a file for each thing that they are about. Three steps each: parse, call the face, render."""

from vecver_service.routes import (
    datasets,
    documents,
    editing,
    ingest,
    jobs,
    operations,
    pages,
    refs,
    search,
    vector_stores,
    whole_datasets,
)

ROUTERS = [
    one.router
    for one in (
        *(pages, operations, datasets, documents, search, ingest),
        *(editing, jobs, refs, whole_datasets, vector_stores),
    )
]
