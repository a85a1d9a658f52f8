"""The page for people at the root, and the service's description for programs."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response

from scripts.render_ws.web import answer

page = Blueprint("page", __name__)
_PAGE = Path(__file__).with_name("page.html")
# the page loads nothing from elsewhere, and runs no script but its own
_POLICY = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline';"
_POLICY += " img-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'"


@page.get("/")
@page.get("/render-ws/")
def show() -> Response:
    """Return the page that shows stacks, layers and matches."""
    response = Response(_PAGE.read_bytes(), content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _POLICY
    return response


@page.get("/openapi.json")
@page.get("/render-ws/openapi.json")
def description() -> Response:
    """Return the description of the service in OpenAPI."""
    from scripts.render_ws import openapi  # needed by nobody else

    return answer(openapi.document())


@page.get("/swagger.json")
@page.get("/render-ws/swagger.json")
def description_for_viewers() -> Response:
    """Return the description where neuroglancer looks for it."""
    from scripts.render_ws import openapi

    return answer(openapi.for_viewers())
