"""Places: where the report finds the truth, the exported volume and the names it prints."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.lib import truth, volumes
from scripts.lib.job import UserError
from scripts.lib.volumes import Level, Target
from scripts.report.album import Names
from scripts.report.gather import Evidence
from scripts.report.issue import Facts
from scripts.report.summary import find

LEVEL_PX = 1400  # the exported volume is shown at the first level no wider than this


def truth_file(configured: str | None, dat_root: str) -> Path | None:
    """Give the truth of a simulated acquisition: as configured, else found beside the files.

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
    """Give the names of stacks and collection from the job's parameters."""
    return Names(
        acquire=names["acquire"],
        final=names["final"],
        collection=names["collection"],
        z_per_px=names["z_nm"] / names["pixel_nm"],
    )


def targets(evidence: Evidence) -> list[Target]:
    """Give the exported containers that the export's document names."""
    document = evidence.documents["volume"] or {}
    listed = find(document, "targets") or []
    return [
        Target(t["format"], t["container"], t["dataset"], t["codec"], t["codec_level"])
        for t in (listed.values() if isinstance(listed, Mapping) else listed)
    ]


def level(evidence: Evidence) -> tuple[Level, float] | None:
    """Open the level of the exported volume that suits a page; gives it with its scale."""
    shape, found = find(evidence.documents["volume"], "shape_zyx"), targets(evidence)
    if not shape or not found:
        return None
    k = 0
    while max(shape) >> k > LEVEL_PX and k + 1 < (
        find(evidence.documents["volume"], "levels") or 1
    ):
        k += 1
    return volumes.open_level(found[0], k), 0.5**k


def facts(evidence: Evidence, render: Mapping[str, str], names: Mapping[str, Any]) -> Facts:
    """Give what the issue text prints; a service is named only when one is configured."""
    origin = find(evidence.documents["volume"], "origin_px_zyx") or (0, 0, 0)
    return Facts(
        work_dir=names["work_dir"],
        render={
            "owner": render["owner"],
            "project": render["project"],
            "acquireStack": names["acquire"],
            "stack": names["final"],
            "matchCollection": names["collection"],
        },
        volumes=[f"{one.container} -d /{one.dataset}" for one in targets(evidence)],
        origin_xyz=",".join(f"{v:g}" for v in reversed(origin)),
        url=os.environ.get("RENDER_WS_URL", ""),
        neuroglancer=find(evidence.documents["volume"], "neuroglancer") or "",
    )
