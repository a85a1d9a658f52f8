"""Files of exported volumes, for viewers on this machine: ``GET /files/<path below the folder>``.

Answers to GET and HEAD, whole files and ranges of bytes. Only what lies in a folder named ``*.n5``
or ``*.zarr`` is served: any page that a browser shows may read from here (viewers live at other
addresses), and a volume is all they need.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from flask import Blueprint, Response, request, send_file

from scripts.render_ws.errors import NotFound

files = Blueprint("files", __name__, url_prefix="/files")

FOLDER = "render_ws.files"  # key in the WSGI environment
_VOLUMES = (".n5", ".zarr")


@files.get("/<path:path>")
def file(path: str) -> Response:
    """Return a file, or the part of it that the header ``Range`` asks for (206)."""
    folder = cast("Path | None", request.environ.get(FOLDER))
    found = None if folder is None else _volume_file(folder, path)
    if found is None:
        raise NotFound(f"no file of a volume: {path}")
    response = send_file(found, "application/octet-stream", conditional=True, max_age=0)
    # else a browser's script sees the bytes, but not which they are
    exposed = "Accept-Ranges, Content-Length, Content-Range, ETag"
    response.headers["Access-Control-Expose-Headers"] = exposed
    return response


def _volume_file(folder: Path, path: str) -> Path | None:
    """Return the file below `folder`; None when there is none, or it is not to be served."""
    try:
        found = (folder / path).resolve()
        if not found.is_relative_to(folder) or not found.is_file():
            return None
    except (OSError, ValueError):  # a name that is too long, or none at all
        return None
    parents = found.relative_to(folder).parts[:-1]
    return found if any(part.endswith(_VOLUMES) for part in parents) else None
