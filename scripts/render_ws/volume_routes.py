"""Pages of the volumes whose files are served: ``GET /pages/<path below the folder>``.

Reports and the tables beside them are for whoever sits at this machine, not for pages of other
origins: no such header is sent with them, and their scripts may ask nothing of this service. Links
in them that open a volume lead to the address by which the service was called.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

from flask import Blueprint, Response, redirect, request, send_file
from werkzeug.wrappers import Response as Answer

from scripts.render_ws import access, served_links
from scripts.render_ws.errors import NotFound
from scripts.render_ws.file_routes import FOLDER
from scripts.render_ws.web import answer

volumes = Blueprint("volumes", __name__)

# folders of a volume that hold pages, and tables and pictures that they lead to
_PAGES = re.compile(
    r"(?:[^/]+/)?(?:report|transfer|ingest|match|review|solve|zcorr|correct|export|preview)"
    r"/(?:[\w.-]+/)*[\w.-]+\.(?:html|js|tsv|csv|json|yaml|md|png)"
)
_TEXT = (".tsv", ".csv", ".yaml", ".md")  # shown, not saved
# what is on a page, its own script too, may ask for nothing: the service may be one to be written
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline';"
    " font-src data:; img-src data: blob:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'self'"
)


@volumes.get("/files")
def listed() -> Answer:
    """Lead to the page that lists the volumes."""
    return redirect("/")


@volumes.get("/volumes.json")
def known() -> Response:
    """Return the volumes below the folder: name, report, and links that open them."""
    folder = cast("Path | None", request.environ.get(FOLDER))
    found = [] if folder is None else served_links.volumes(folder, _address())
    response = answer([one.record for one in found])
    allowed: access.Access = request.environ[access.IN_ENVIRONMENT]
    if value := allowed.cookie():  # links to pages carry no token
        response.set_cookie(
            allowed.cookie_name(), value, path=access.PAGES, httponly=True, samesite="Strict"
        )
    return response


@volumes.get("/pages/<path:path>")
def page(path: str) -> Response:
    """Return a page of a volume, or what it leads to."""
    folder = cast("Path | None", request.environ.get(FOLDER))
    found = None if folder is None else _found(folder, path)
    if found is None:
        raise NotFound(f"no page of a volume: {path}")
    if found.suffix == ".html":
        whole, below = found.read_text(encoding="utf-8"), _below(folder, path)
        text = served_links.redirected(whole, _address(), below)
        response = Response(text, content_type="text/html; charset=utf-8")
    else:
        kind = "text/plain; charset=utf-8" if found.suffix in _TEXT else None
        response = send_file(found, kind, conditional=True, max_age=0)
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


def _found(folder: Path, path: str) -> Path | None:
    """Return the file of a page; None when there is none, or it is not to be served."""
    if not _PAGES.fullmatch(path) or ".." in path.split("/"):
        return None
    try:
        found = (folder / path).resolve()
        return found if found.is_relative_to(folder) and found.is_file() else None
    except (OSError, ValueError):  # a name that is too long, or none at all
        return None


def _below(folder: Path | None, path: str) -> str:
    """Return the working directory of a page, below the folder; empty: the folder itself."""
    first, _, rest = path.partition("/")
    many = folder is not None and not (folder / served_links.RECORD).is_file()
    return first if many and _PAGES.fullmatch(rest) else ""


def _address() -> str:
    return request.host_url.rstrip("/")
