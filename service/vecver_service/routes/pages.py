"""`/docs`: the routes, to read and to try. All files come from this machine."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

from vecver.errors import NotFoundError

router = APIRouter(include_in_schema=False)
_SCRIPTS = {
    "swagger-ui.js": "swagger-ui-bundle.js",
    "swagger-ui.css": "swagger-ui.css",
    "icon.png": "favicon-32x32.png",
}


@router.get("/docs", response_class=HTMLResponse)
async def docs(request: Request) -> HTMLResponse:
    """The routes, to read and to try, drawn by Swagger UI from this machine's own files."""
    root = str(request.scope.get("root_path", "")).rstrip("/")
    return get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="vecver: routes",
        swagger_js_url=f"{root}/docs/swagger-ui.js",
        swagger_css_url=f"{root}/docs/swagger-ui.css",
        swagger_favicon_url=f"{root}/docs/icon.png",
        swagger_ui_parameters={"persistAuthorization": True, "tryItOutEnabled": True, "displayRequestDuration": True},
    )


@router.get("/docs/{name}", response_class=FileResponse)
async def script(name: str) -> FileResponse:
    """A file of Swagger UI, as the package `fastapi-swagger` ships it."""
    return FileResponse(_swagger_file(name), headers={"Cache-Control": "max-age=86400"})


def _swagger_file(name: str) -> Path:
    if name not in _SCRIPTS:
        raise NotFoundError("there is no such page", code="route_not_found", hint="see /docs for the routes there are")
    return Path(str(resources.files("fastapi_swagger") / "resources" / _SCRIPTS[name]))
