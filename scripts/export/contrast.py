"""Contrast: which grey values of 16 bit become black and white in 8.

Some layers are measured, cell by cell of a grid: the histogram, and mean and spread of the voxels
that hold anything. Of these follow low and high values on the grid of one of three rules:

volume
    Percentiles of all grey values, the same everywhere.
layers
    Percentiles of each layer, smoothed along z: what drifts over hundreds of layers is levelled,
    what differs from layer to layer is not (that is the business of the step `intensity`).
local
    Mean and spread of each cell, smoothed along z, linear between the centres of cells: low is the
    mean less `spread_sd` times the spread, high the mean more as much. So does ``CLLCN`` of
    saalfeldlab/hot-knife (`runCenterStretch`, with a window of 2047 px about every pixel); the grid
    and what lies between its cells are those of contrast-limited adaptive histogram equalization
    (Zuiderveld 1994, Graphics Gems IV), and so is the limit: nowhere is contrast raised by more
    than `most_gain`, or resin would show its noise.

How they are applied is the business of `shown`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from scripts.export.shown import Limits
from scripts.lib import array_files, files
from scripts.lib.arrays import Array, Int64, Voxels
from scripts.lib.geometry import Box
from scripts.lib.job import UserError

RULES = ("volume", "layers", "local")
BINS = 4096
_PER_BIN = 65536 // BINS
_SD_OF_A_FLAT_CELL = 1.0  # grey values; what all pixels share has no spread


@dataclass(frozen=True, eq=False)
class Measured:
    """Grey values of some layers: (n,) z; histograms; sums over cells of a grid, (n, gy, gx)."""

    z: Int64
    histogram: Int64  # (n, BINS)
    count: Array  # pixels that hold anything
    total: Array
    squares: Array
    y: Array  # centres of the cells, world px
    x: Array

    def save(self, path: str | Path) -> None:
        """Write to an ``.npz`` file.

        Parameters
        ----------
        path
            Of the file.
        """
        # packed: histograms are mostly zeros
        array_files.write(path, {each.name: getattr(self, each.name) for each in fields(self)})

    @staticmethod
    def load(path: str | Path) -> Measured:
        """Read what `save` wrote.

        Parameters
        ----------
        path
            Of the file.

        Returns
        -------
        Measured
            As it was.
        """
        return array_files.read_columns(path, Measured)


def grid(bounds: Sequence[float], cell_px: int, *, whole: bool = False) -> list[list[Box]]:
    """Cut the bounds of a stack into cells.

    Parameters
    ----------
    bounds
        x0, y0, x1, y1, world px.
    cell_px
        Side of a cell; those at the end reach beyond the bounds.
    whole
        Begin at a whole number of cells: bounds that hardly change give the same grid.

    Returns
    -------
    list of list of Box
        Rows of cells.
    """
    if whole:
        first = [int(np.floor(value / cell_px)) * cell_px for value in bounds[:2]]
        bounds = [*first, *bounds[2:]]
    x0, y0 = (int(np.floor(value)) for value in bounds[:2])
    wide, high = (max(1, int(np.ceil((b - a) / cell_px))) for a, b in _spans(bounds))
    return [
        [Box(x, y, x + cell_px, y + cell_px) for x in range(x0, x0 + wide * cell_px, cell_px)]
        for y in range(y0, y0 + high * cell_px, cell_px)
    ]


def place_of_grid(receipt: str | Path, cell_px: int, *, whole: bool = False) -> list[int]:
    """Return where the cells of a stack lie.

    Parameters
    ----------
    receipt
        Of the stack.
    cell_px, whole
        As `grid` takes them.

    Returns
    -------
    list of int
        x0, y0 of the first cell, world px, rows, columns; empty while there is no stack.
    """
    if not Path(receipt).is_file():
        return []
    cells = grid(files.read_json(receipt)["bounds"], cell_px, whole=whole)
    first = cells[0][0]
    return [int(first.x0), int(first.y0), len(cells), len(cells[0])]


def _spans(bounds: Sequence[float]) -> Iterator[tuple[float, float]]:
    x0, y0, x1, y1 = bounds
    yield from ((np.floor(x0), x1), (np.floor(y0), y1))


def sampled(layers: Sequence[int], every: int) -> list[int]:
    """Return the layers to measure.

    Parameters
    ----------
    layers
        All layers of a chunk, in order.
    every
        One of so many, the first among them.

    Returns
    -------
    list of int
        At least one where there is any.
    """
    return list(layers)[::every]


def of_cell(pixels: Voxels) -> tuple[Int64, tuple[float, float, float]]:
    """Measure the pixels of a cell that hold anything.

    Parameters
    ----------
    pixels
        (h, w) uint16; 0 is no data.

    Returns
    -------
    tuple
        Histogram of `BINS`; count, sum and sum of squares.
    """
    found = pixels[pixels > 0]
    histogram = np.bincount(found // _PER_BIN, minlength=BINS)
    values = found.astype(np.float64)
    return histogram, (float(found.size), float(values.sum()), float((values**2).sum()))


def picture(found: Limits, histogram: Int64) -> dict[str, Any]:
    """Return what the report draws: histogram, and low and high against z.

    Parameters
    ----------
    found
        The limits.
    histogram
        Of all that was measured.

    Returns
    -------
    dict
        ``counts`` of bins of ``per_bin`` grey values from ``first`` on; ``z``, ``low``, ``high``:
        medians of the cells.
    """
    seen = np.flatnonzero(histogram)
    low, high = (np.median(each, axis=(1, 2)).tolist() for each in (found.low, found.high))
    return {
        "per_bin": _PER_BIN,
        "first": int(seen[0]) * _PER_BIN,
        "counts": histogram[seen[0] : seen[-1] + 1].tolist(),
        "z": found.z.tolist(),
        "low": low,
        "high": high,
    }


def limits(parts: Sequence[Measured], settings: Mapping[str, Any]) -> tuple[Limits, Int64]:
    """Return what becomes black and white, by the rule of the config.

    Parameters
    ----------
    parts
        Of all chunks, in order.
    settings
        Section ``export.contrast``.

    Returns
    -------
    tuple
        The limits, and the histogram of all that was measured.

    Raises
    ------
    UserError
        When no pixel holds anything.
    """
    z = np.concatenate([part.z for part in parts])
    histograms = np.concatenate([part.histogram for part in parts])
    whole = histograms.sum(axis=0)
    if not whole.any():
        raise UserError("export.dtype: no pixel of the layers looked at holds anything")
    rule = {"volume": _of_volume, "layers": _of_layers, "local": _of_cells}[settings["rule"]]
    found = rule(parts, z, histograms, settings)
    return (_turned(found) if settings["invert"] else found), whole


def held(found: Limits, published: Limits, tolerance_grey: float) -> Limits:
    """Let layers be shown as before, while a volume grows, where nobody sees the difference.

    Percentiles of all change with every wave. The comparison is with what was found now each time:
    nothing adds up.

    Parameters
    ----------
    found
        Of `limits`.
    published
        Those of the time before; may lack layers, and have others.
    tolerance_grey
        Most that black and white may be off, of the 255 grey values between them. 0 keeps nothing.

    Returns
    -------
    Limits
        For each layer of `found`; of other cells than before all are those found.
    """
    if tolerance_grey <= 0 or any(
        not np.array_equal(getattr(found, axis), getattr(published, axis)) for axis in "yx"
    ):
        return found
    at = {z: k for k, z in enumerate(published.z.tolist())}
    low, high = found.low.copy(), found.high.copy()
    for k, z in enumerate(found.z.tolist()):
        if z not in at:
            continue
        before = published.low[at[z]], published.high[at[z]]
        most = tolerance_grey / 255 * np.abs(high[k] - low[k])
        if all(
            (np.abs(now[k] - old) < most).all()
            for now, old in zip((low, high), before, strict=True)
        ):
            low[k], high[k] = before
    return Limits(found.z, found.y, found.x, low, high)


def percentile(histogram: Int64, share_pct: float) -> float:
    """Return a percentile of a histogram, linear within its bins.

    Parameters
    ----------
    histogram
        (BINS,) of 16-bit grey values.
    share_pct
        0 to 100.

    Returns
    -------
    float
        A grey value; NaN of nothing.
    """
    below = np.concatenate([[0], np.cumsum(histogram)])
    if not below[-1]:
        return float("nan")
    wanted = below[-1] * share_pct / 100
    k = int(np.clip(np.searchsorted(below, wanted, side="right") - 1, 0, BINS - 1))
    inside = (wanted - below[k]) / histogram[k] if histogram[k] else 0.0
    return float((k + min(inside, 1.0)) * _PER_BIN)


def _of_volume(
    parts: Sequence[Measured], z: Int64, histograms: Int64, settings: Mapping[str, Any]
) -> Limits:
    whole = histograms.sum(axis=0)
    low, high = _ends(whole, settings)
    return _one_cell(z[:1], [low], [max(high, low + 1)])


def _ends(histogram: Int64, settings: Mapping[str, Any]) -> tuple[float, float]:
    dark, bright = settings["dark_pct"], 100 - settings["bright_pct"]
    return percentile(histogram, dark), percentile(histogram, bright)


def _of_layers(
    parts: Sequence[Measured], z: Int64, histograms: Int64, settings: Mapping[str, Any]
) -> Limits:
    ends = np.array([_ends(one, settings) for one in histograms])
    weight = histograms.sum(axis=1).astype(float)
    low, high = _smoothed(z, np.nan_to_num(ends), weight, settings["smooth_layers"]).T
    return _one_cell(z, low, np.maximum(high, low + 1))


def _one_cell(z: Int64, low: Any, high: Any) -> Limits:  # noqa: ANN401 - what numpy takes
    centre = np.zeros(1)
    low, high = (np.asarray(each, float)[:, None, None] for each in (low, high))
    return Limits(z.astype(float), centre, centre, low, high)


def _of_cells(
    parts: Sequence[Measured], z: Int64, histograms: Int64, settings: Mapping[str, Any]
) -> Limits:
    count, total, squares = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("count", "total", "squares")
    )
    sums = np.stack([count, total, squares], axis=-1)
    near = _smoothed_sums(z, sums, settings["smooth_layers"])
    mean, sd = _moments(_filled(near))
    _, usual = _moments(sums.sum(axis=(0, 1, 2)))
    spread = settings["spread_sd"] * np.maximum(sd, usual / settings["most_gain"])
    return Limits(z.astype(float), parts[0].y, parts[0].x, mean - spread, mean + spread)


def _moments(sums: Array) -> tuple[Array, Array]:
    """Return mean and spread of count, sum and sum of squares (in the last axis)."""
    count, total, squares = np.moveaxis(sums, -1, 0)
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - mean**2, _SD_OF_A_FLAT_CELL))


def _filled(sums: Array) -> Array:
    """Give cells that hold nothing what all cells of their layer hold (of no layer: of all)."""
    layer = sums.sum(axis=(1, 2), keepdims=True)
    layer = np.where(layer[..., :1] > 0, layer, sums.sum(axis=(0, 1, 2)))
    return np.where(sums[..., :1] > 0, sums, layer)


def _weights(z: Int64, sd: float) -> Array:
    """Return Gaussian weights of all layers about each, (n, n)."""
    if sd <= 0:
        return np.eye(len(z))
    weight: Array = np.exp(-0.5 * ((z[:, None] - z[None, :]) / sd) ** 2)
    return weight


def _smoothed(z: Int64, values: Array, weight: Array, sd: float) -> Array:
    """Average (n, k) values along z, by a Gaussian and the number of pixels behind each."""
    near = _weights(z, sd) * weight
    return np.asarray(near @ values / near.sum(axis=1, keepdims=True))


def _smoothed_sums(z: Int64, sums: Array, sd: float) -> Array:
    """Add up (n, gy, gx, 3) sums along z, weighted by a Gaussian."""
    flat = sums.reshape(len(z), -1)
    return np.asarray(_weights(z, sd) @ flat).reshape(sums.shape)


def _turned(found: Limits) -> Limits:
    """Make dark bright."""
    return Limits(found.z, found.y, found.x, found.high, found.low)
