"""Places: where the report finds the truth, the exported volume and the names it prints."""

from __future__ import annotations

import os
import re
import shlex
import sys
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.lib import truth
from scripts.lib.job import UserError
from scripts.lib.volumes import multiscale
from scripts.lib.volumes.multiscale import Level, Target
from scripts.report import origin
from scripts.report.album import Names
from scripts.report.first_screen import Volume, Where
from scripts.report.gather import Evidence
from scripts.report.issue import Facts

_ROOT = Path(__file__).resolve().parents[2]
DATABASE = "render-ws.db"  # of the embedded service, in the working directory
PORT = 8080  # at which the service listens unless it is told another
_LOCAL = re.compile(r"//(?:127\.0\.0\.1|localhost)(?::(\d+))?")
LEVEL_PX = 1400  # the exported volume is shown at the first level no larger than this


def truth_file(configured: str | None, dat_root: str) -> Path | None:
    """Return the truth of a simulated acquisition: as configured, else found beside the files.

    Parameters
    ----------
    configured
        ``report.truth`` of the config; None: look for one.
    dat_root
        Folder of the ``.dat`` files.

    Returns
    -------
    Path or None
        None where there is none.

    Raises
    ------
    UserError
        When a truth is configured and not there.
    """
    if not configured:
        return truth.find_truth(dat_root)
    if not Path(configured).is_file():
        raise UserError(
            f"report.truth: expected a truth.json at {configured}, found none; correct report.truth"
            " or set it to null"
        )
    return Path(configured)


def album_names(names: Mapping[str, Any]) -> Names:
    """Return the names of stacks and collection from the job's parameters.

    Parameters
    ----------
    names
        Those of stacks, collection and steps, and voxel size in nm.

    Returns
    -------
    Names
        With the thickness of a layer in pixels.
    """
    return Names(
        acquire=names["acquire"],
        align=names["align"],
        final=names["final"],
        collection=names["collection"],
        z_per_px=names["z_nm"] / names["pixel_nm"],
        corrections=tuple((step, before, after) for step, before, after in names["corrections"]),
    )


def level(evidence: Evidence) -> tuple[Level, float] | None:
    """Open the level of the exported volume that suits a page.

    Parameters
    ----------
    evidence
        What the run left.

    Returns
    -------
    tuple or None
        Level and its scale; None before the export.
    """
    document = evidence.documents["volume"]
    if document is None:
        return None
    sizes = [max(one["shape_zyx"]) for one in document["levels"]]
    k = next((k for k, size in enumerate(sizes) if size <= LEVEL_PX), len(sizes) - 1)
    first = document["targets"][0]
    target = Target(first["format"], first["path"], "", first["codec"], 1)
    return multiscale.open_level(target, k), 0.5**k


def facts(evidence: Evidence, render: Mapping[str, str], names: Mapping[str, Any]) -> Facts:
    """Return what the issue text prints; a service is named only when one is configured.

    Parameters
    ----------
    evidence
        What the run left.
    render
        Owner and project.
    names
        Those of stacks and collection.

    Returns
    -------
    Facts
        Absolute paths; links that only this computer can follow are left out.
    """
    document, listed = evidence.documents["volume"], evidence.exported
    origin_zyx = (0, 0, 0) if document is None else document.get("origin_px_zyx", (0, 0, 0))
    links = {one["format"]: one["neuroglancer"]["link"] for one in listed}
    shared = {form: link for form, link in links.items() if _local_port(link) is None}
    folder = str(Path.cwd())
    return Facts(
        work_dir=folder,
        raw=names.get("archive_root") or _made_in("h5/raw"),
        align=_made_in("h5/align"),
        imaging=names.get("imaging", False),
        hidden=bool(links) and not shared,
        render={
            "owner": render["owner"],
            "project": render["project"],
            "acquireStack": names["acquire"],
            "stack": names["final"],
            "matchCollection": names["collection"],
        },
        volumes=[f"{folder}/{_container(one['path'])}" for one in listed],
        origin_xyz=",".join(f"{v:g}" for v in reversed(origin_zyx)),
        url=os.environ.get("RENDER_WS_URL", ""),
        neuroglancer=shared,
    )


def full_level(evidence: Evidence) -> tuple[Level, tuple[float, ...]] | None:
    """Open full resolution of the exported volume.

    Parameters
    ----------
    evidence
        What the run left.

    Returns
    -------
    tuple or None
        Level, and its origin z, y, x in px; None before the export.
    """
    document = evidence.documents["volume"]
    if document is None:
        return None
    first = document["targets"][0]
    target = Target(first["format"], first["path"], "", first["codec"], 1)
    return multiscale.open_level(target, 0), tuple(document.get("origin_px_zyx", (0, 0, 0)))


def where(evidence: Evidence, folder: Path) -> Where:
    """Return the absolute places of the working directory and of the exported volume.

    Parameters
    ----------
    evidence
        What the run left.
    folder
        The working directory, absolute.

    Returns
    -------
    Where
        With the command that serves the volume, where its links lead to this computer.
    """
    volumes = [
        Volume(str(folder / one["path"]), one["format"], one["neuroglancer"]["link"])
        for one in evidence.exported
    ]
    ports = [port for one in volumes if (port := _local_port(one.link)) is not None]
    command = _serve(folder / DATABASE, ports[0]) if ports else ""
    return Where(str(folder), volumes, command, origin.origin(folder))


def _serve(database: Path, port: int = PORT) -> str:
    """Return the command that serves a volume, as any shell takes it, without the environment."""
    here, python, file = (shlex.quote(str(p)) for p in (_ROOT, sys.executable, database))
    at = "" if port == PORT else f" --port {port}"
    return f"cd {here} && {python} -m scripts.render_ws serve --db {file}{at}"


def _local_port(link: str) -> int | None:
    """Return the port at which a link asks this computer for voxels; None: it does not."""
    found = _LOCAL.search(urllib.parse.unquote(link).partition("://")[2])
    return found and int(found[1] or 80)


def _container(path: str) -> str:
    """Return container and dataset as viewers take them: ``x.n5 -d /em/fibsem-uint8``."""
    parts = Path(path).parts
    ends = (i for i, part in enumerate(parts) if part.endswith((".n5", ".zarr")))
    at = next(ends, len(parts) - 1)
    return f"{Path(*parts[: at + 1]).as_posix()} -d /{'/'.join(parts[at + 1 :])}"


def _made_in(folder: str) -> str:
    """Return the absolute path of a folder of the working directory; of a link where it leads."""
    path = Path.cwd() / folder
    return str(path.readlink() if path.is_symlink() else path)
