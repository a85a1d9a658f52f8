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
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, Response, request

from scripts.render_ws import (
    access,
    check_routes,
    coordinate_routes,
    file_routes,
    image_routes,
    match_routes,
    page_routes,
    parameter_routes,
    stack_routes,
    tile_routes,
    trial_routes,
    volume_routes,
    web,
)
from scripts.render_ws.access import Access
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
    check_routes.check,
    check_routes.owner_check,
    trial_routes.trial,
    image_routes.image,
    image_routes.owner_image,
    file_routes.files,
    page_routes.page,
    volume_routes.volumes,
)


@dataclass(frozen=True)
class Service:
    """A WSGI application over one database; the routes are shared by all of a process."""

    store: Store
    files: Path | None = None  # folder whose volumes are served; None: none
    access: Access = field(default_factory=Access)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        environ[web.STORE] = self.store
        environ[file_routes.FOLDER] = self.files
        environ[access.IN_ENVIRONMENT] = self.access
        return routes()(environ, start_response)


def create_app(
    db_path: str | os.PathLike[str],
    *,
    files: str | os.PathLike[str] | None = None,
    writable: bool = True,
    hosts: frozenset[str] | None = None,
    token: str | None = None,
) -> Service:
    """Return the WSGI application over the SQLite file `db_path`, and the volumes below `files`.

    `hosts` are the names by which it may be written to, `token` is what every request must have
    (`access`); when it is not `writable` nobody may write.
    """
    # absolute, so that a later change of the working directory does not change the database
    folder = None if files is None else Path(files).resolve()
    store = Store(Path(db_path).absolute(), writable=writable)
    return Service(store, folder, Access(hosts, token))


@functools.cache
def routes() -> Flask:
    """Return the table of all routes."""
    # made once a process: the table of some hundred routes costs 60 ms
    app = Flask("render_ws", static_folder=None)
    app.url_map.converters.update(web.CONVERTERS)
    # clients call owners/, stacks/, zValues/ with a trailing slash and without
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.register_error_handler(Exception, web.on_error)
    app.before_request(_check_access)
    app.after_request(_let_pages_read)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    return app


def _check_access() -> None:
    request.environ[access.IN_ENVIRONMENT].check(request.method, request.path, request.headers)


def _let_pages_read(response: Response) -> Response:
    if request.blueprint == volume_routes.volumes.name:
        return response  # for pages of this service alone
    # browser viewers read from other origins
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Allow-Methods"] = ", ".join(access.READING)
    response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, Range"
    wanted = request.headers.get("Access-Control-Request-Method", "")
    if "Access-Control-Request-Private-Network" in request.headers and wanted in access.READING:
        # a viewer on a public address asks the browser for this machine
        response.headers["Access-Control-Allow-Private-Network"] = "true"
    return response
