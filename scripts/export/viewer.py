"""Neuroglancer: the state of a viewer that shows the exported volume, and the link to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np

from scripts.lib import files
from scripts.lib.volumes import multiscale
from scripts.lib.volumes.multiscale import Target, VolumeSpec

Json = dict[str, Any]
Range = tuple[int, int]

_ENOUGH_VOXELS = 1 << 20  # for percentiles; a lower level would average the contrast away
_DARK_BRIGHT_PCT = (0.5, 99.5)


@dataclass(frozen=True)
class Links:
    """What viewers call a volume, where its folder is served, and which viewer links open."""

    volume: str
    data_url: str
    neuroglancer_url: str


def contrast(target: Target, spec: VolumeSpec) -> Range:
    """Return the grey values to show as black and white: percentiles of voxels that hold anything.

    They are those of the lowest level that still has a million voxels, of its middle layers.

    Parameters
    ----------
    target
        The volume.
    spec
        Its geometry.

    Returns
    -------
    tuple of int
        Dark and bright.
    """
    sizes = [math.prod(spec.level_shape(level)) for level in range(spec.levels)]
    level = max([k for k, size in enumerate(sizes) if size >= _ENOUGH_VOXELS], default=0)
    z, y, x = spec.level_shape(level)
    layers = min(z, max(1, _ENOUGH_VOXELS // (y * x)))
    first = (z - layers) // 2
    part = (slice(first, first + layers), slice(0, y), slice(0, x))
    voxels = multiscale.open_level(target, level).read(part)
    low, high = np.percentile(voxels[voxels > 0], _DARK_BRIGHT_PCT) if voxels.any() else (0, 1)
    return math.floor(low), max(math.ceil(high), math.floor(low) + 1)


def state(
    target: Target, spec: VolumeSpec, *, data_url: str, name: str, shown: Range | None = None
) -> Json:
    """Return the viewer's state: one image layer, centred, in nm; x, y, z.

    OME-Zarr says itself where it lies; for N5 the origin is put into the source's transform. The
    viewer's N5 voxels begin at whole numbers, its OME-Zarr voxels are centred on them, as ours are:
    half a voxel less brings both to one place.

    Parameters
    ----------
    target
        The volume.
    spec
        Its geometry.
    data_url
        Where the volume's folder is served.
    name
        Of the layer.
    shown
        Range of grey values; None: the viewer's own.

    Returns
    -------
    dict
        Plain JSON values.
    """
    metres = {a: [nm * 1e-9, "m"] for a, nm in zip("xyz", spec.voxel_nm_zyx[::-1], strict=True)}
    origin, shape = spec.place_px_zyx[::-1], spec.shape_zyx[::-1]
    url = f"{target.layout.family}://{data_url.rstrip('/')}/{target.container}/{target.dataset}"
    source: Json = {"url": url}
    if target.layout.family == "n5":
        matrix = [[*([0] * i), 1, *([0] * (2 - i)), o - 0.5] for i, o in enumerate(origin)]
        source["transform"] = {"matrix": matrix, "outputDimensions": metres}
    layer: Json = {"type": "image", "name": name, "tab": "source", "source": source}
    if shown is not None:
        layer["shaderControls"] = {"normalized": {"range": list(shown)}}
    return {
        "dimensions": metres,
        "position": [o + (n - 1) / 2 for o, n in zip(origin, shape, strict=True)],
        "crossSectionScale": max(shape[:2]) / 400,
        "layers": [layer],
        "selectedLayer": {"visible": True, "layer": name},
        "layout": "4panel",
    }


def side_by_side(states: Mapping[str, Json]) -> Json:
    """Return one state of several: all layers, and a panel for each; they move together.

    Parameters
    ----------
    states
        By name, each of one layer, as `state` returns them.

    Returns
    -------
    dict
        Plain JSON values.
    """
    first = next(iter(states.values()))
    layers = [one["layers"][0] | {"name": name} for name, one in states.items()]
    panels = [{"type": "viewer", "layers": [name], "layout": "xy"} for name in states]
    return first | {
        "layers": layers,
        "selectedLayer": {"visible": True, "layer": next(iter(states))},
        "layout": {"type": "row", "children": panels},
    }


def link(value: Json, *, neuroglancer_url: str) -> str:
    """Return the address that opens a state.

    Parameters
    ----------
    value
        The state.
    neuroglancer_url
        Of the viewer.

    Returns
    -------
    str
        A URL with the state in it.
    """
    return f"{neuroglancer_url.rstrip('/')}/#!{quote(files.canonical_json(value), safe='')}"
