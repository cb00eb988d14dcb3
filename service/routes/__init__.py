"""The routes, a file for each thing that they are about. Three steps each: parse, call the face, render."""

from fastapi import APIRouter

from service.routes import datasets, ingest, jobs, operations, refs, search, vector_stores
from service.settings import ServiceSettings


def routers(settings: ServiceSettings) -> list[APIRouter]:
    """All routes."""
    plain = [one.router for one in (operations, datasets, search, jobs, vector_stores)]
    return [*plain, ingest.router_for(settings), refs.router]  # the last: its paths take any name of a kind
