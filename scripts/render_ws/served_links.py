"""Volumes that a service gives, and links that open them at the address where it listens.

The links in `export/volume.json`, which the report shows, are those of `export.data_url`; a service
may listen at another port, because another one has that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

RECORD = Path("export/volume.json")
REPORTS = ("report/index.html", "report/so_far.html")  # the first that is there
_MOST = 500  # folders that are looked into
# an address of this computer, as it stands in the state of a link
_LOCAL = re.compile(r"http%3A%2F%2F(?:127\.0\.0\.1|localhost)(?:%3A\d+)?%2Ffiles(?=%2F)")


@dataclass(frozen=True)
class Served:
    """A volume whose files are served.

    Attributes
    ----------
    name
        Of the volume; of its folder before the export.
    report
        Path of its report at this service; empty where there is none.
    links
        Form and link of each container that opens at this service.
    """

    name: str
    report: str = ""
    links: list[tuple[str, str]] = field(default_factory=list)

    @property
    def record(self) -> dict[str, Any]:
        """Return it as JSON.

        Returns
        -------
        dict
            By the names of the fields.
        """
        return asdict(self)


def volumes(folder: Path, address: str) -> list[Served]:
    """Return the volumes of a working directory, or of the working directories in a folder.

    Parameters
    ----------
    folder
        What is served at ``/files``.
    address
        Scheme, host and port of the service.

    Returns
    -------
    list of Served
        By name of the folder; those with neither an export nor a report are left out.
    """
    found = [_volume(folder, below, address) for below in ["", *_below(folder)]]
    return [one for one in found if one is not None]


def _below(folder: Path) -> Iterator[str]:
    try:
        inside = (path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
        yield from sorted(path.name for path in inside)[:_MOST]
    except OSError:
        return  # not to be read, or gone


def _volume(folder: Path, below: str, address: str) -> Served | None:
    work = folder / below
    report = next((path for path in REPORTS if (work / path).is_file()), "")
    at = f"{quote(below)}/" if below else ""
    page = f"/pages/{at}{report}" if report else ""
    try:
        document = json.loads((work / RECORD).read_text(encoding="utf-8"))
        name, targets = str(document["volume"]), document["targets"]
        local = [(str(one["format"]), str(one["neuroglancer"]["link"])) for one in targets]
    except (OSError, ValueError, KeyError, TypeError):
        return Served(work.resolve().name, page) if report else None
    found = [(form, redirected(link, address, below)) for form, link in local if is_local(link)]
    return Served(name, page, found)


def is_local(link: str) -> bool:
    """Tell whether a link asks this computer for the voxels.

    Parameters
    ----------
    link
        To a viewer.

    Returns
    -------
    bool
        False of links for everybody.
    """
    return bool(_LOCAL.search(link))


def redirected(text: str, address: str, below: str = "") -> str:
    """Return a text whose links to this computer lead to the address of a service.

    Parameters
    ----------
    text
        A link, or a page with links.
    address
        Scheme, host and port of the service.
    below
        Working directory of the volume in the folder that is served; empty: the folder itself.

    Returns
    -------
    str
        Links to other computers are as they were.
    """
    inside = quote(f"/{quote(below)}", safe="") if below else ""
    here = quote(f"{address}/files", safe="") + inside
    # `export.data_url` may name the working directory too
    known = re.compile(f"{_LOCAL.pattern}(?:{re.escape(inside)}(?=%2F))?")
    return known.sub(lambda _: here, text)
