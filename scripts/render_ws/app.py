"""The embedded render-ws as a WSGI application (docs/design.md).

``create_app("render-ws.db")`` returns what any WSGI server, or the in-process adapter of the
client, can call. It opens no file before the first request; the database is made when it is not
there.
Safe for threads and after a fork: each thread of each process has its own connection.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, Response, request

from scripts.render_ws import (
    coordinate_routes,
    file_routes,
    image_routes,
    match_routes,
    parameter_routes,
    stack_routes,
    tile_routes,
    web,
)
from scripts.render_ws.store import Store

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_BLUEPRINTS = (
    stack_routes.service,
    stack_routes.stack,
    tile_routes.tile,
    parameter_routes.parameter,
    coordinate_routes.coordinate,
    match_routes.match,
    image_routes.image,
    image_routes.owner_image,
    file_routes.files,
)


@dataclass(frozen=True)
class Service:
    """A WSGI application over one database; the routes are shared by all of a process."""

    store: Store
    files: Path | None = None  # folder whose volumes are served; None: none

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        environ[web.STORE] = self.store
        environ[file_routes.FOLDER] = self.files
        return _routes()(environ, start_response)


def create_app(
    db_path: str | os.PathLike[str], *, files: str | os.PathLike[str] | None = None
) -> Service:
    """Return the WSGI application over the SQLite file `db_path`, and the volumes below `files`."""
    # absolute, so that a later change of the working directory does not change the database
    folder = None if files is None else Path(files).resolve()
    return Service(Store(Path(db_path).absolute()), folder)


@functools.cache
def _routes() -> Flask:
    # made once a process: the table of some hundred routes costs 60 ms
    app = Flask("render_ws", static_folder=None)
    app.url_map.converters.update(web.CONVERTERS)
    # clients call owners/, stacks/, zValues/ with a trailing slash and without
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.register_error_handler(Exception, web.on_error)
    app.after_request(_allow_any_origin)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    return app


def _allow_any_origin(response: Response) -> Response:
    # browser viewers read from other origins
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, OPTIONS, HEAD"
    response.headers["Access-Control-Allow-Headers"] = "Content-Type, Range"
    if "Access-Control-Request-Private-Network" in request.headers:
        # a viewer on a public address asks the browser for this machine
        response.headers["Access-Control-Allow-Private-Network"] = "true"
    return response
