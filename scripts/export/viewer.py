"""Neuroglancer: the state of a viewer that shows the exported volume, and the link to it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from scripts.lib import files
from scripts.lib.volumes import Target, VolumeSpec

Json = dict[str, Any]


def state(target: Target, spec: VolumeSpec, *, data_url: str, name: str) -> Json:
    """Give the viewer's state: one image layer, centred, in nm; x, y, z.

    OME-Zarr says itself where it lies; for N5 the origin is put into the source's transform.
    """
    metres = {a: [nm * 1e-9, "m"] for a, nm in zip("xyz", spec.voxel_nm_zyx[::-1], strict=True)}
    origin, shape = spec.origin_px_zyx[::-1], spec.shape_zyx[::-1]
    url = f"{target.format}://{data_url.rstrip('/')}/{target.container}/{target.dataset}"
    source: Json = {"url": url}
    if target.format == "n5":
        matrix = [[*([0] * i), 1, *([0] * (2 - i)), shift] for i, shift in enumerate(origin)]
        source["transform"] = {"matrix": matrix, "outputDimensions": metres}
    return {
        "dimensions": metres,
        "position": [o + n / 2 for o, n in zip(origin, shape, strict=True)],
        "crossSectionScale": max(shape[:2]) / 800,
        "layers": [{"type": "image", "name": name, "tab": "source", "source": source}],
        "selectedLayer": {"visible": True, "layer": name},
        "layout": "4panel",
    }


def link(value: Json, *, neuroglancer_url: str) -> str:
    """Give the address that opens `value`."""
    return f"{neuroglancer_url.rstrip('/')}/#!{quote(files.canonical_json(value), safe='')}"
