"""Background: subtract from every tile its own smoothed picture, less the mean (rarely needed).

It flattens whatever is larger than the radius, real structures too; so it comes last or not at all.
The mean of a tile stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scripts.correct.evidence import Evidence, Found
from scripts.lib.drawing import filters
from scripts.lib.service.records import TileSet


def estimate(tiles: TileSet, settings: Mapping[str, Any], evidence: Evidence) -> Found:
    """Convert the physical radius to full-scale pixels; nothing is measured.

    Parameters
    ----------
    tiles
        Of the stack before the step.
    settings
        Section ``correct.background``.
    evidence
        Pixel size.

    Returns
    -------
    Found
        ``radius_px``, ``shrink``, ``method``.
    """
    return Found(
        {
            "radius_px": settings["radius_nm"] / evidence.pixel_nm,
            "shrink": settings["shrink"],
            "method": settings["method"],
        }
    )


def apply(tiles: TileSet, found: Found) -> TileSet:
    """Append the filter to the tiles.

    Parameters
    ----------
    tiles
        Of the stack before the step.
    found
        Of `estimate`.

    Returns
    -------
    TileSet
        Of the next stack.
    """
    values = found.parameters
    new = filters.background(values["radius_px"], values["shrink"], values["method"])
    return replace(tiles, tiles=tuple(filters.appended(tile, new) for tile in tiles.tiles))
