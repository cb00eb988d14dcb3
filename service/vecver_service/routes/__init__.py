"""The routes, one file per subject. Each route has three steps: parse, call vecver, render."""

from vecver_service.routes import (
    datasets,
    documents,
    editing,
    evaluating,
    ingest,
    jobs,
    objects,
    operations,
    pages,
    promoting,
    refs,
    search,
    vector_stores,
    whole_datasets,
)

ROUTERS = [
    module.router
    for module in (
        *(pages, operations, datasets, documents, search, ingest),
        *(editing, evaluating, jobs, objects, promoting, refs, whole_datasets, vector_stores),
    )
]
