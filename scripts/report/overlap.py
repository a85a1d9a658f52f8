"""Overlap: how wide tiles overlap as solved, against what stage positions or the config say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from scripts.lib.verdicts import GOOD, NOT_GOOD, Limit
from scripts.report.finding import Finding
from scripts.report.gather import Evidence, Table

NAME = "overlap_um"
_LEAST_LAYERS = 3  # with both tiles: fewer may be those whose stage slipped
_PLACE = "FirstX"  # of headers from version 9 on; older ones are placed by ingest.tile_overlap_um
_SIDES = (("columns", "dx_px", (0, 1)), ("rows", "dy_px", (1, 0)))


def wider_px(table: Table) -> dict[str, float]:
    """Measure by how much neighbours overlap more than their positions said.

    Parameters
    ----------
    table
        ``solve/tiles.tsv``: how far each tile was moved from its position.

    Returns
    -------
    dict
        ``columns`` and ``rows``, where the grid has several: median over all neighbours in that
        direction and all layers, px.
    """
    moved = {
        name: {
            (z, row, column): value
            for z, row, column, value in zip(
                *(table[key].tolist() for key in ("z", "row", "column", name)), strict=True
            )
        }
        for _, name, _ in _SIDES
    }
    out = {}
    for kind, name, (down, right) in _SIDES:
        steps = {
            (z, row, column): value - moved[name][z, row + down, column + right]
            for (z, row, column), value in moved[name].items()
            if (z, row + down, column + right) in moved[name]
        }
        if len({z for z, _, _ in steps}) >= _LEAST_LAYERS:
            out[kind] = float(np.median(list(steps.values())))
    return out


def judged(
    evidence: Evidence, limits: Mapping[str, Limit], pixel_nm: float, stated_um: float
) -> Iterator[Finding]:
    """Tell of an overlap that is not the one that was stated.

    Parameters
    ----------
    evidence
        What the run left.
    limits
        By name.
    pixel_nm
        Of the volume.
    stated_um
        ``ingest.tile_overlap_um``.

    Yields
    ------
    Finding
        For columns and rows, with the line where the config says the overlap.
    """
    limit, by_config = limits[NAME], _by_config(evidence)
    for kind, px in wider_px(evidence["solved"]).items():
        more_um = px * pixel_nm / 1000
        state = limit.state(abs(more_um))
        if state == GOOD:
            continue
        passed = limit.not_good if state == NOT_GOOD else limit.look
        says = f"ingest.tile_overlap_um ({stated_um:g})" if by_config else "stage positions say"
        yield Finding(
            "ingest",
            f"neighbouring {kind} overlap by {abs(more_um):.2f} um"
            f" {'more' if more_um > 0 else 'less'} than {says}; the limit is {passed:g} um"
            f" (report.limits.{NAME})",
            "all layers",
            "tiles are shown where their images fit; seams were looked for elsewhere, so look"
            " whether any is without matches",
            state,
            f"ingest:\n  tile_overlap_um: {stated_um + more_um:.2f}" if by_config else "",
        )


def _by_config(evidence: Evidence) -> bool:
    """Tell whether the config says where tiles lie, since the headers do not."""
    document = evidence.documents["metadata"]
    if not isinstance(document, Mapping):
        return False
    named = {one["field"] for part in ("varying", "constants") for one in document.get(part, ())}
    return bool(named) and _PLACE not in named
