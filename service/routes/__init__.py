"""The routes, a file for each thing that they are about. Three steps each: parse, call the face, render."""

from service.routes import datasets, ingest, jobs, operations, refs, search, vector_stores

ROUTERS = [one.router for one in (operations, datasets, search, ingest, jobs, refs, vector_stores)]
