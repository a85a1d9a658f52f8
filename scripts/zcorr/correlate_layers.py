# mypy: disable-error-code="name-defined"
"""Correlate each layer of a chunk with the layers that follow it.

Inputs
    ``stacks/<align>.json`` (receipt of the aligned stack), ``ingest/chunks.tsv``
Outputs
    ``zcorr/correlations/{chunk}.npz``: ``z`` (n,) every z of the chunk, ``present`` (n,) whether it
    has tiles, ``offsets`` (R,) = 1..R, ``corr`` (n, R) Pearson correlation with z + offset (NaN =
    none), ``share`` (n, R) of the picture that the value rests on, ``scale``
    ``zcorr/layers/{chunk}.npz``: ``z`` (n,), ``pixels`` (n, h, w) uint8 low-resolution layers
    (0 = no data), ``scale``, ``x0``, ``y0`` world px of pixel (0, 0)
Method
    All layers are rendered over the stack's bounds at one scale, pixels without texture are left
    out (spec solve-export 3.2). A chunk also renders the R layers behind it, so that all pairs
    whose lower layer is its own exist.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lib import compose, files
from scripts.lib.geometry import Box
from scripts.lib.job import job
from scripts.lib.receipts import StackReceipt
from scripts.lib.render import RenderClient
from scripts.zcorr import correlation
from scripts.zcorr.correlation import Layer


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
    """Render, correlate, write."""
    stack, client = StackReceipt.read(receipt), RenderClient(**render)
    client.require(stack)
    (row,) = [row for row in files.read_table(chunks) if row["chunk"] == chunk]
    first, last = int(row["z_first"]), int(row["z_last"])
    reach, box = zcorr["comparison_range"], Box(*stack.bounds)
    scale = correlation.picture_scale(box, zcorr["scale"], zcorr["min_picture_px"])
    placed = compose.place_layers(client.tiles(stack.stack, first, last + reach))
    wanted = range(first, max([last, *placed]) + 1)
    kept: dict[int, NDArray[np.uint8]] = {}
    prepared = _prepared(wanted, placed, box, scale, zcorr, kept)
    corr, share = correlation.correlate(prepared, last - first + 1, reach)
    _save(correlations, first, last, placed, corr, share, scale)
    _keep(layers, first, last, box, scale, zcorr["picture_px"], kept)


def _prepared(
    wanted: range,
    placed: Mapping[int, list[compose.Placed]],
    box: Box,
    scale: float,
    zcorr: Mapping[str, Any],
    kept: dict[int, NDArray[np.uint8]],
) -> Iterator[Layer | None]:
    """Each wanted layer, ready to compare; its small picture goes to `kept` on the way."""
    texture = correlation.Texture(
        zcorr["resin_masking"], zcorr["resin_sigma_px"], zcorr["resin_content_threshold"]
    )
    for z in wanted:
        if z not in placed:
            yield None
            continue
        picture = compose.render(placed[z], box, scale=scale)
        kept[z] = correlation.keepsake(picture, zcorr["picture_px"])
        yield correlation.prepare(picture, correlation.textured(picture, scale, texture))


def _save(
    path: str,
    first: int,
    last: int,
    placed: Mapping[int, Any],
    corr: correlation.Array,
    share: correlation.Array,
    scale: float,
) -> None:
    z = np.arange(first, last + 1)
    present = np.isin(z, list(placed))
    offsets = np.arange(1, corr.shape[1] + 1)
    with files.atomic_path(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(
            stream, z=z, present=present, offsets=offsets, corr=corr, share=share, scale=scale
        )


def _keep(
    path: str,
    first: int,
    last: int,
    box: Box,
    scale: float,
    picture_px: int,
    kept: Mapping[int, NDArray[np.uint8]],
) -> None:
    shape = correlation.keepsake_shape(box, scale, picture_px)
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
