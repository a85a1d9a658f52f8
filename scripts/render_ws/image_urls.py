"""URLs of the images and masks of tiles: which file they name."""

from __future__ import annotations

import os
from pathlib import Path

from scripts.lib.files import path_of_url
from scripts.render_ws.errors import BadRequest

DYNAMIC_MASK = "mask:"  # begins the URL of a mask that is no file


def check(url: str) -> None:
    """Refuse the URL of a file that is absent, empty or unreadable."""
    if url.startswith(DYNAMIC_MASK):
        return
    path = Path(path_of(url.partition("?")[0] if "dataSet=" in url else url))
    try:
        there = os.access(path, os.R_OK) and (path.is_dir() or path.stat().st_size > 0)
    except (OSError, ValueError):
        there = False
    if not there:
        raise BadRequest(f"file {str(path)!r:.300} is absent, empty or must not be read")


def path_of(url: str) -> str:
    """Return the path of a file's URL, relative or not; text without a colon is a path itself.

    Raises
    ------
    BadRequest
        When it is the URL of something else.
    """
    if ":" not in url.partition("?")[0]:
        return url
    if not url.startswith("file:"):
        raise BadRequest(f"image URL {url!r:.300}: only files can be read")
    return path_of_url(url.removeprefix("file://").removeprefix("file:"))
