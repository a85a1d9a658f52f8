"""Background: subtract from every tile its own smoothed picture, less the mean (rarely needed).

It flattens whatever is larger than the radius, real structures too; so it comes last or not at all
(facts: spec solve-export 4.7). The mean of a tile stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scripts.correct.evidence import Evidence, Found
from scripts.lib.drawing import filters
from scripts.lib.service.records import TileSet


def estimate(tiles: TileSet, settings: Mapping[str, Any], evidence: Evidence) -> Found:
    """Turn the physical radius into full-scale pixels; nothing is measured."""
    return Found(
        {
            "radius_px": settings["radius_nm"] / evidence.pixel_nm,
            "shrink": settings["shrink"],
            "method": settings["method"],
        }
    )


def apply(tiles: TileSet, found: Found) -> TileSet:
    """Return the tiles with the filter appended."""
    values = found.parameters
    new = filters.background(values["radius_px"], values["shrink"], values["method"])
    return replace(tiles, tiles=tuple(filters.appended(tile, new) for tile in tiles.tiles))
