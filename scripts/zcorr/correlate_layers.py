"""Correlate each layer of a chunk with the layers that follow it.

Inputs
    ``stacks/<align>.json`` (receipt of the aligned stack), ``ingest/chunks.tsv``
Outputs
    ``zcorr/correlations/{chunk}.npz``: ``z`` (n,) every z of the chunk, ``present`` (n,) whether it
    has tiles, ``own`` (n,) whether any of them shows its own layer (a patch shows another's),
    ``offsets`` (R,) = 1..R, ``scale``, ``pixel_layers`` (x, y) size of a pixel of the bands in
    nominal layers, ``region_...`` the `region_volume.Place`, and the arrays of
    `comparison.Compared`: correlations with z + offset (NaN = none), the share of the picture they
    rest on, the band-passed texture, and the regions
    ``zcorr/layers/{chunk}.npz``: ``z`` (n,), ``pixels`` (n, h, w) uint8 low-resolution layers
    (0 = no data), ``scale``, ``x0``, ``y0`` world px of pixel (0, 0)
Method
    All layers are rendered over the stack's bounds (while it grows a box that hardly changes,
    `growing.box_of_pictures`) at one scale, pixels without texture are left
    out (as in render's LayerDistancePlanner). So are patches: a copy of a neighbor says nothing
    about distance. Band-passed texture is measured where a pixel is about a layer, in the whole
    layer or in windows spread over it. A chunk also renders the R layers behind it, so that all
    pairs whose lower layer is its own exist.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from scripts.lib import files, growing, made_by
from scripts.lib.arrays import Bytes
from scripts.lib.chunks import chunk_range
from scripts.lib.drawing import boxes, compose
from scripts.lib.drawing.pixels import held_open
from scripts.lib.geometry import Box
from scripts.lib.job import job
from scripts.lib.kept import Kept
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt, digest_seen
from scripts.zcorr import comparison, correlation, isotropy, region_volume, windows
from scripts.zcorr.comparison import Compared, PreparedLayer


@dataclass(frozen=True)
class View:
    """How every layer is looked at."""

    box: Box
    scale: float
    texture_boxes: tuple[Box, ...]
    texture_scale: float
    resin: correlation.ResinMask
    region_px: float  # picture pixels

    @staticmethod
    def of(box: Box, zcorr: Mapping[str, Any], pixel_layers: float) -> "View":
        """Choose how the layers of a stack are looked at.

        Parameters
        ----------
        box
            Bounds of the stack, world px.
        zcorr
            Section ``zcorr`` of the config.
        pixel_layers
            Size of a pixel in nominal layers.

        Returns
        -------
        View
            Its region in px of the picture.
        """
        scale = correlation.picture_scale(box, zcorr["scale"], zcorr["min_picture_px"])
        texture_scale = windows.texture_scale(pixel_layers)
        resin = correlation.ResinMask(
            zcorr["resin_masking"], zcorr["resin_sigma_px"], zcorr["resin_content_threshold"]
        )
        boxes = windows.spread(box, zcorr["window_px"] / texture_scale, zcorr["windows"])
        return View(box, scale, boxes, texture_scale, resin, zcorr["region_px"] * scale)


def main(
    *,
    receipt: str,
    chunks: str,
    correlations: str,
    layers: str,
    chunk: str,
    render: Mapping[str, Any],
    zcorr: Mapping[str, Any],
) -> None:
    """Render, compare, write."""
    stack, client = StackReceipt.read(receipt), RenderClient(**render)
    client.require(stack)
    first, last = chunk_range(chunks, chunk)
    bounds = growing.published_box() or stack.bounds
    reach, box = zcorr["comparison_range"], Box(*bounds)
    version = client.stack_metadata(stack.stack)["currentVersion"]
    pixel = windows.pixel_layers(version)
    view = View.of(box, zcorr, float(np.sqrt(pixel[0] * pixel[1])))
    tiles = client.tiles(stack.stack, first, last + reach)
    settings = [first, last, bounds, pixel, dict(zcorr)]
    outputs = [correlations, layers]
    reuse = Kept.of_tiles(outputs, digest_seen(tiles), settings, code=made_by.CORRELATIONS)
    if reuse.restore():
        return
    placed = compose.place_layers(tiles)
    wanted = range(first, max([last, *placed]) + 1)
    kept: dict[int, Bytes] = {}
    shape = boxes.shape(box, view.scale)
    seen = _seen(wanted, placed, view, zcorr["picture_px"], kept)
    found = _compared(seen, last - first + 1, reach, shape, view.region_px)
    place = region_volume.Place.of(box, view.scale, shape, found.regional.shape[1:], version)
    facts = {"pixel_layers": np.array(pixel) / view.texture_scale, "scale": np.array(view.scale)}
    _save(correlations, first, last, placed, found, facts | place.arrays())
    _keep(layers, first, last, box, view.scale, zcorr["picture_px"], kept)
    reuse.keep()


def _compared(
    seen: Iterator[PreparedLayer | None],
    count: int,
    reach: int,
    shape: tuple[int, int],
    region_px: float,
) -> Compared:
    """Compare on one core, with files held open: a layer and its windows are in one."""
    cv2.setNumThreads(1)
    with held_open():
        return comparison.compare(seen, count, reach, shape, region_px)


def _seen(
    wanted: range,
    placed: Mapping[int, list[compose.Placed]],
    view: View,
    picture_px: int,
    kept: dict[int, Bytes],
) -> Iterator[PreparedLayer | None]:
    """Each wanted layer, ready to compare; its small picture goes to `kept` on the way."""
    for z in wanted:
        if z not in placed:
            yield None
            continue
        own = [one for one in placed[z] if not one.tile.is_copy]
        box = boxes.whole(view.box, view.scale)
        picture = compose.render_whole(own, box, scale=view.scale, dtype="uint8")
        shown = picture
        if len(own) < len(placed[z]):
            shown = compose.render_whole(placed[z], box, scale=view.scale, dtype="uint8")
        kept[z] = correlation.thumbnail(shown, picture_px)
        if not own:
            yield None
            continue
        mask = correlation.textured(picture, view.scale, view.resin)
        whole = compose.Picture(picture.pixels, mask)
        yield PreparedLayer(
            picture.pixels,
            correlation.prepare(picture, mask),
            isotropy.band_texture(_windows(own, view, whole)),
        )


def _windows(
    placed: list[compose.Placed], view: View, whole: compose.Picture
) -> list[compose.Picture]:
    """Return the pictures whose texture is measured, without resin; `whole` when it will do."""
    if view.texture_boxes == (view.box,) and view.texture_scale == view.scale:
        return [whole]
    seen = []
    for box in view.texture_boxes:
        box = boxes.whole(box, view.texture_scale)
        picture = compose.render_whole(placed, box, scale=view.texture_scale, dtype="uint8")
        mask = correlation.textured(picture, view.texture_scale, view.resin)
        seen.append(compose.Picture(picture.pixels, mask))
    return seen


def _save(
    path: str,
    first: int,
    last: int,
    placed: Mapping[int, Any],
    found: Compared,
    facts: Mapping[str, Any],
) -> None:
    z = np.arange(first, last + 1)
    present = np.isin(z, list(placed))
    own = [k for k, tiles in placed.items() if not all(one.tile.is_copy for one in tiles)]
    offsets = np.arange(1, found.corr.shape[1] + 1)
    with files.atomic_path(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(
            stream,
            z=z,
            present=present,
            own=np.isin(z, own),
            offsets=offsets,
            **vars(found),
            **facts,
        )


def _keep(
    path: str,
    first: int,
    last: int,
    box: Box,
    scale: float,
    picture_px: int,
    kept: Mapping[int, Bytes],
) -> None:
    shape = correlation.thumbnail_shape(box, scale, picture_px)
    z = np.arange(first, last + 1)
    pixels = np.stack([kept.get(int(k), np.zeros(shape, np.uint8)) for k in z])
    small = scale * max(shape) / max(int(scale * box.height), int(scale * box.width))
    with files.atomic_path(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, z=z, pixels=pixels, scale=small, x0=box.x0, y0=box.y0)


if __name__ == "__main__":
    with job(snakemake):
        main(
            receipt=snakemake.input.receipt,
            chunks=snakemake.input.chunks,
            correlations=snakemake.output.correlations,
            layers=snakemake.output.layers,
            chunk=snakemake.wildcards.chunk,
            render=snakemake.params.render,
            zcorr=snakemake.params.zcorr,
        )
