"""All comparisons of the layers of a chunk, in one pass over them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array, Bytes, Float32
from scripts.zcorr import correlation, isotropy, regions
from scripts.zcorr.correlation import Field
from scripts.zcorr.isotropy import CELLS, LAGS_PX, BandTexture


@dataclass(frozen=True, eq=False)
class PreparedLayer:
    """A layer prepared for all comparisons."""

    pixels: Bytes  # (h, w), 0 = no data
    field: Field
    texture: BandTexture


@dataclass(frozen=True, eq=False)
class Compared:
    """What the comparisons of n layers with the R behind each gave; NaN = nothing to compare."""

    corr: Array  # (n, R) Pearson correlation
    share: Array  # (n, R) part of the picture that it rests on
    band: Array  # (n, R) correlation of the bands
    band_share: Array  # (n, R)
    shift: Array  # (n, R, 2) shift x, y at which the band correlates best, px of the band
    curvature: Array  # (n, R, 3) its second derivatives xx, yy, xy, made positive
    variance: Array  # (n,) of the band, grey levels²
    inplane: Array  # (n, m) covariance within the layer at isotropy.LAGS_PX, grey levels²
    regional: Array  # (n, rows, columns) correlation with the next layer
    cell_band: Float32  # (n, R, B) what each cell adds to `band`; see isotropy.CellParts
    cell_share: Float32  # (n, B) share of the layer's pixels that a cell has
    cell_inplane: Float32  # (n, B, m) what each cell adds to `inplane`
    cell_variance: Float32  # (n, B) what each cell adds to `variance`


def compare(
    layers: Iterable[PreparedLayer | None],
    count: int,
    reach: int,
    shape: tuple[int, int],
    region_px: float,
) -> Compared:
    """Compare each of the first layers with those that follow it.

    Parameters
    ----------
    layers
        One entry for each z, None where there is no layer: ``count + reach`` of them, or fewer at
        the end of the stack. At most ``reach + 1`` are held.
    count
        Number of layers n to compare.
    reach
        Number of layers R behind each that it is compared with.
    shape
        Rows and columns of the pictures.
    region_px
        Largest side of a region, px.

    Returns
    -------
    Compared
        Of n layers.
    """
    out = _nothing(count, reach, shape, region_px)
    held: list[PreparedLayer | None] = []
    for j, layer in enumerate(layers):
        if layer is not None:
            if j < count:
                out.variance[j] = round(layer.texture.variance, 4)
                out.inplane[j] = np.round(layer.texture.inplane, 4)
                cells = layer.texture.cells
                out.cell_share[j], out.cell_variance[j] = cells.share, cells.variance
                out.cell_inplane[j] = cells.inplane
            for k, other in enumerate(reversed(held)):
                if j - k - 1 < count and other is not None:
                    _pair(out, j - k - 1, k, other, layer)
                    if k == 0:
                        out.regional[j - 1] = regions.correlate(
                            other.pixels, layer.pixels, region_px
                        )
        held = [*held, layer][-reach:]
    return out


def _pair(out: Compared, i: int, k: int, a: PreparedLayer, b: PreparedLayer) -> None:
    out.corr[i, k], out.share[i, k] = correlation.pearson(a.field, b.field)
    found = isotropy.similarity(a.texture, b.texture)
    out.band[i, k], out.band_share[i, k] = found.value, found.share
    out.shift[i, k], out.curvature[i, k] = found.shift, found.curvature
    out.cell_band[i, k] = found.cells


def _nothing(count: int, reach: int, shape: tuple[int, int], region_px: float) -> Compared:
    return Compared(
        corr=np.full((count, reach), np.nan),
        share=np.zeros((count, reach)),
        band=np.full((count, reach), np.nan),
        band_share=np.zeros((count, reach)),
        shift=np.full((count, reach, 2), np.nan),
        curvature=np.zeros((count, reach, 3)),
        variance=np.full(count, np.nan),
        inplane=np.full((count, len(LAGS_PX)), np.nan),
        regional=np.full((count, *regions.cells(shape, region_px)), np.nan),
        cell_band=np.zeros((count, reach, CELLS), np.float32),
        cell_share=np.zeros((count, CELLS), np.float32),
        cell_inplane=np.zeros((count, CELLS, len(LAGS_PX)), np.float32),
        cell_variance=np.zeros((count, CELLS), np.float32),
    )
