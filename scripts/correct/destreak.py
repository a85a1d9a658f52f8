"""Destreak: a spectral filter on every tile that takes out the streaks of the ion beam.

Streaks (curtains) are straight: in the spectrum they lie in a narrow band through the middle, at
right angles to them. The band's width and the lowest frequency that goes are set in physical units,
so the same numbers serve every tile size and every pixel size. The mean of a tile stays.
target ``destreak_proposal`` finds good numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scripts.correct.evidence import Evidence, Found
from scripts.lib.drawing import filters
from scripts.lib.service.records import TileSet, TileSpec

LEVELS_16 = 257  # 65535 / 255: grey values of 16 bit for one of 8 bit


def estimate(tiles: TileSet, settings: Mapping[str, Any], evidence: Evidence) -> Found:
    """Convert the physical parameters to those of full-scale pixels; nothing is measured.

    Parameters
    ----------
    tiles
        Of the stack before the step.
    settings
        Section ``correct.destreak``.
    evidence
        Pixel size.

    Returns
    -------
    Found
        Angle, cutoff and width of the band, cycles per px; thresholds in grey values.
    """
    px_per_um = 1000 / evidence.pixel_nm
    parameters = {
        "variant": settings["variant"],
        "angle_deg": settings["angle_deg"],
        "cutoff_cycles_per_px": settings["cutoff_cycles_per_um"] / px_per_um,
        "band_cycles_per_px": settings["band_cycles_per_um"] / px_per_um,
    }
    if settings["variant"] == "local":
        deep = any(is_sixteen_bit(tile) for tile in tiles.tiles)
        parameters |= {
            "blur_px": settings["blur_nm"] / evidence.pixel_nm,
            "initial_threshold_grey": settings["initial_threshold_grey"]
            * (LEVELS_16 if deep else 1),
            "final_threshold_share": settings["final_threshold_share"],
        }
    return Found(parameters)


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
    new = _spectral_filter(found.parameters)
    return replace(tiles, tiles=tuple(filters.appended(tile, new) for tile in tiles.tiles))


def _spectral_filter(found: Mapping[str, Any]) -> filters.Filter:
    """Make the filter of parameters in pixels."""
    names = ("blur_px", "initial_threshold_grey", "final_threshold_share")
    local = (found[names[0]], found[names[1]], found[names[2]]) if names[0] in found else None
    return filters.streaks(
        found["cutoff_cycles_per_px"], found["band_cycles_per_px"], found["angle_deg"], local
    )


def is_sixteen_bit(tile: TileSpec) -> bool:
    """Tell whether a tile shows 16-bit values.

    Parameters
    ----------
    tile
        Of any stack.

    Returns
    -------
    bool
        From its intensity range.
    """
    return tile.max_intensity > 255
