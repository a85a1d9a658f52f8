"""Render parameters: the geometry of a picture as JSON (RenderParameters)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.render_ws import model, resolve
from scripts.render_ws.model import Json

# what `filter=true` does, as the reference names it
FILTER_LISTS = {
    "default": [
        {"className": f"org.janelia.alignment.filter.{name}", "parameters": given}
        for name, given in (
            ("ValueToNoise", {"value": "0", "min": "64", "max": "191"}),
            ("ValueToNoise", {"value": "255", "min": "64", "max": "191"}),
            (
                "NormalizeLocalContrast",
                {
                    "fullScaleBlockRadiusX": "500",
                    "fullScaleBlockRadiusY": "500",
                    "stdDevs": "3",
                    "center": "true",
                    "stretch": "true",
                },
            ),
        )
    ]
}


@dataclass(frozen=True)
class Options:
    """Query parameters common to render parameters and images; None is not given."""

    scale: float | None = None
    min_intensity: float | None = None
    max_intensity: float | None = None
    channels: str | None = None
    convert_to_gray: bool = False
    binary_mask: bool = False
    exclude_mask: bool = False
    do_filter: bool = False
    fill_with_noise: bool = False


@dataclass(frozen=True)
class TileOptions:
    """Query parameters of the picture of one tile: offsets and size in px at full scale."""

    x: int = 0
    y: int = 0
    width: int | None = None
    height: int | None = None
    for_matching: bool = False
    exclude: Mapping[str, Any] | None = None  # arguments of resolve.excluded_leaves, None: none
    common: Options = field(default_factory=Options)


def of_box(
    x: float,
    y: float,
    width: int,
    height: int,
    *,
    scale: float,
    tiles: Sequence[Json],
    version: Json,
    options: Options,
) -> Json:
    """Return the RenderParameters of a box of the world; `tiles` are flattened."""
    out: dict[str, Any] = {
        "meshCellSize": 64.0,
        "minMeshCellSize": 0.0,
        "x": float(x),
        "y": float(y),
        "width": width,
        "height": height,
        "scale": scale if options.scale is None else options.scale,
        "areaOffset": False,
        "minIntensity": options.min_intensity,
        "maxIntensity": options.max_intensity,
        "convertToGray": options.convert_to_gray,
        "quality": 0.85,
        "numberOfThreads": 1,
        "skipInterpolation": False,
        "binaryMask": options.binary_mask,
        "excludeMask": options.exclude_mask,
        "doFilter": options.do_filter,
        "addWarpFieldDebugOverlay": False,
        "fillWithNoise": options.fill_with_noise,
        "channels": options.channels,
        "mipmapPathBuilder": version.get("mipmapPathBuilder"),
        "tileSpecs": list(tiles),
        "minBoundsMeshCellSize": 64.0,
    }
    return {name: value for name, value in out.items() if value is not None}


def of_tile(tile: Json, version: Json, options: TileOptions) -> Json:
    """Return the RenderParameters of one flattened tile, normalised when it is for matching."""
    leaves = tile["transforms"]["specList"]
    if options.exclude is not None:
        tile = _with_leaves(tile, resolve.excluded_leaves(leaves, **options.exclude))
    elif options.for_matching:
        tile = _with_leaves(tile, resolve.matching_leaves(leaves))
    x, y = (0.0, 0.0) if options.for_matching else (tile["minX"], tile["minY"])
    width, height = options.width, options.height
    return of_box(
        x + options.x,
        y + options.y,
        model.integer(tile["maxX"] - tile["minX"]) if width is None else width,
        model.integer(tile["maxY"] - tile["minY"]) if height is None else height,
        scale=1.0,
        tiles=[tile],
        version=version,
        options=options.common,
    )


def _with_leaves(tile: Json, leaves: Sequence[Json]) -> Json:
    return resolve.with_derived_box(resolve.with_transforms(tile, leaves), leaves)
