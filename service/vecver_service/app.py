"""Builds the service: one repository, the middleware, the routes, and the threads that run jobs."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.types import Scope
from threadpoolctl import threadpool_limits

import vecver
from vecver import settings as library
from vecver_service import logs, ui
from vecver_service.deps import Dependencies
from vecver_service.draining import drain_at_sigterm
from vecver_service.http import problems
from vecver_service.http.callers import Callers
from vecver_service.http.middleware import RequestMiddleware
from vecver_service.http.replies import problem_responses
from vecver_service.metrics import Metrics
from vecver_service.opening import open_database, open_jobs, open_keys, reserve_state
from vecver_service.routes import ROUTERS
from vecver_service.routes.raw_search import RawSearch, SearchAtOnce
from vecver_service.schemas import answers
from vecver_service.settings import ServiceSettings, load_settings
from vecver_service.state.audit import Audit
from vecver_service.state.idempotency import Once
from vecver_service.state.session_secret import EndedSessions, session_secret
from vecver_service.warmup import freeze_modules, warm_all
from vecver_service.worker import KINDS, Worker, end, stop

_log = logging.getLogger("vecver.service")


class _App(FastAPI):
    """FastAPI with a schema that also has `Problem`, and no word of OpenAPI 3.2."""

    def openapi(self) -> dict[str, Any]:
        schema = super().openapi()
        schema["components"]["schemas"].setdefault("Problem", answers.Problem.model_json_schema())
        events = schema["paths"]["/v1/jobs/{id}/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]
        if "itemSchema" in events:  # a word of OpenAPI 3.2, in a schema of 3.1
            events["schema"] = events.pop("itemSchema")
        self.openapi_schema = _with_lasting_names(schema)
        return self.openapi_schema


def _with_lasting_names(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with the names that clients were generated from: FastAPI calls models of one name by their modules.

    Two are called Count, and this package was called `service` before.
    """
    return json.loads(json.dumps(schema).replace("vecver_service__schemas__", "service__schemas__"))


def create_app(repository: vecver.Repository, settings: ServiceSettings, *, token: str | None = None) -> FastAPI:
    """The service on a repository. Its state folder, or the tables in its shared database, are made if there are none.

    `token`: lets one visitor in to its pages, once, with all rights; nobody else may see them then (`vecver ui`).
    """
    database, metrics = open_database(settings, repository.url), Metrics()
    reserve_state(database, repository)
    state = database.folder
    mask = problems.PathMask([(repository.url, "(repository)"), (str(state), "(state)")])
    jobs, own = open_jobs(settings, repository, database), library.load_settings()
    keys = open_keys(settings, repository.url, database)
    deps = Dependencies(
        settings,
        repository,
        jobs,
        Audit(database),
        Once(database),
        metrics,
        mask,
        keys,
        database,
        rerankers=own.rerankers,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = settings.threads
        workers = [Worker(deps, kinds) for kinds in KINDS]
        threading.Thread(target=_ready, args=(app, deps), name="warm", daemon=True).start()
        for worker in workers:
            worker.start()
        drain_at_sigterm(app.state, settings.drain, partial(end, workers))
        yield
        await anyio.to_thread.run_sync(stop, workers, settings.shutdown_timeout)
        database.close()

    app = _App(
        title="vecver",
        version=version("vecver"),
        description="Version-pinned retrieval: every search is answered from exactly the version that was named.",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,  # `routes/pages.py` serves it from files of this machine
        redoc_url=None,
        responses=problem_responses(
            401, 408, 413, 422, 429, 500, 503
        ),  # any route: the middleware and unexpected errors
        telemetry={"auto_configure": True},
        separate_input_output_schemas=False,
    )
    app.state.deps, app.state.ready, app.state.draining = deps, False, False
    routes = [route for router in (*ROUTERS, *ui.ROUTERS) for route in router.routes]
    answer_to = partial(_answer_to_error, mask)
    problems.install(app, answer_to, routes)
    for router in (*ROUTERS, *ui.ROUTERS):
        app.include_router(router)
    callers = Callers(settings, keys, own.author, closed=token is not None)
    name = f"vecver-{repository.id[:8]}"
    ended = EndedSessions(database)
    visitors = ui.Visitors(callers, partial(session_secret, database), name, token, ended=ended)
    app.state.visitors = visitors
    app.add_middleware(RawSearch, deps=deps)
    app.add_middleware(
        RequestMiddleware,
        settings=settings,
        callers=callers,
        answer_to=answer_to,
        metrics=metrics,
        route_of=partial(_route_of, routes),
        at_once=SearchAtOnce(deps),
        pages=visitors,
    )
    return app


def _answer_to_error(mask: problems.PathMask, request: Request, error: Exception) -> Response:
    """A page for people, a problem for programs."""
    answer = ui.problem_page if ui.is_page(request.url.path) else problems.problem
    return answer(request, error, mask)


def _route_of(routes: Sequence[Any], scope: Scope) -> str | None:
    """The path of the route that a request is for."""
    matching = (route for route in routes if scope["method"] in route.methods)
    return next((route.path for route in matching if route.path_regex.match(scope["path"])), None)


def serve() -> FastAPI:
    """The service of this process, from its environment; what uvicorn calls in each worker."""
    settings, vecver_settings = load_settings(), library.load_settings()
    threadpool_limits(1, user_api="blas")  # requests run in parallel already; threads of BLAS would wait for each other
    logs.configure(settings.log_level)
    if settings.workers > 1 and not vecver_settings.milvus.uri:
        _log.warning("the embedded Milvus answers in one worker at a time: to publish, name a server (VECVER_MILVUS)")
    repository = vecver.open(
        vecver_settings.repo,
        author=vecver_settings.author,
        api_key=vecver_settings.api_key,
        open_bytes=settings.open_bytes,
        ref_age=settings.ref_age,
        milvus=vecver_settings.milvus,
        publish=vecver_settings.publish,
        verify=vecver_settings.verify,
        cache=vecver_settings.cache or None,
        cache_bytes=vecver_settings.cache_bytes,
        endpoints=vecver_settings.endpoints,
    )
    return create_app(repository, settings)


def _ready(app: FastAPI, deps: Dependencies) -> None:
    """Open the versions to serve, then report ready."""
    warm_all(deps.repository, deps.settings.warm)
    freeze_modules()
    app.state.ready = True
