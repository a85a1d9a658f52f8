"""Levels: gain and offset of whole layers, from the small pictures that zcorr drew.

The pictures of a chunk are compared where they lie (`compared`); what is solved for all layers at
once are a few numbers of each (`solved`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from scripts.correct import balance
from scripts.correct.balance import LayerLinks
from scripts.correct.chain import COMPARED_LAYERS
from scripts.correct.evidence import Arrays
from scripts.lib import array_files
from scripts.lib.arrays import Array, Bytes, Int64
from scripts.lib.numerics import robust, signal

_PICTURE_PX = 256  # pictures are thinned to about this side: their moments stay
_LEAST_COMMON = 200  # pixels of a pair
_OUTLIER = 3.0  # sd of the difference of two layers

Pictures = Iterable[tuple[int, Bytes]]  # z, and grey levels (h, w) with 0 = no data


def pictures(path: str | Path) -> Iterator[tuple[int, Bytes]]:
    """Read the pictures of the layers of a chunk.

    Parameters
    ----------
    path
        ``zcorr/layers/{chunk}.npz``.

    Yields
    ------
    tuple
        z, and the thinned picture; 0 also where nothing is shown, as by a detector that is off.
    """
    stored = array_files.read(path)
    step = max(1, max(stored["pixels"].shape[1:]) // _PICTURE_PX)
    for value, pixels in zip(stored["z"].tolist(), stored["pixels"], strict=True):
        picture = pixels[::step, ::step]
        yield int(value), np.where(signal.absent(picture), np.uint8(0), picture)


def compared(before: Pictures, own: Pictures) -> Arrays:
    """Compare each layer with those that follow, over the pixels that both have.

    Parameters
    ----------
    before
        Layers that lie before those of the chunk; the last `COMPARED_LAYERS` of them count.
    own
        Layers of the chunk.

    Returns
    -------
    Arrays
        ``z`` (n,) of the chunk; ``links`` (m, 6): z of two layers, of which the second is of the
        chunk, means of both, spreads of both.
    """
    held, z = list(before)[-COMPARED_LAYERS:], []
    rows: list[tuple[float, ...]] = []
    for value, picture in own:
        for other, one in held:
            found = _common_moments(one, picture)
            if found is not None:
                rows.append((other, value, *found))
        z.append(value)
        held = [*held, (value, picture)][-COMPARED_LAYERS:]
    return {"z": np.array(z, np.int64), "links": np.array(rows, float).reshape(len(rows), 6)}


def greys(own: Pictures, cutoff_share: float) -> Arrays:
    """Return mean and spread of each layer's own pixels.

    Parameters
    ----------
    own
        Layers of a chunk.
    cutoff_share
        Share of the lowest and of the highest non-zero pixels that are left out.

    Returns
    -------
    Arrays
        ``z`` (n,); ``grey`` (n, 2), zeros for a layer without content.
    """
    z, found = [], []
    for value, picture in own:
        z.append(value)
        grey = np.sort(picture[picture > 0].astype(float))
        cut = int(cutoff_share * len(grey))
        grey = grey[cut : len(grey) - cut]
        found.append((grey.mean(), grey.std()) if len(grey) >= _LEAST_COMMON else (0.0, 0.0))
    return {"z": np.array(z, np.int64), "grey": np.array(found, float).reshape(len(found), 2)}


def solved(parts: Sequence[Arrays], method: str, hold_layers: float) -> tuple[Int64, Array]:
    """Find gain and offset of all layers.

    Parameters
    ----------
    parts
        Of `compared` or `greys`, chunk by chunk; without any there are no layers.
    method
        ``neighbours`` or ``statistics``, as ``correct.intensity.layers`` says.
    hold_layers
        ``correct.intensity.hold_layers``.

    Returns
    -------
    z : Int64
        (n,).
    maps : Array
        (n, 2) gain, and offset in 8-bit grey values.
    """
    if not parts:
        return np.empty(0, np.int64), np.empty((0, 2))
    z = np.concatenate([part["z"] for part in parts])
    if method == "statistics":
        return z, _to_median(np.concatenate([part["grey"] for part in parts]))
    table = np.concatenate([part["links"] for part in parts])
    order = np.argsort(z, kind="stable")
    p, q = (order[np.searchsorted(z, table[:, k], sorter=order)] for k in (0, 1))
    links = LayerLinks(p.astype(np.int64), q.astype(np.int64), *table[:, 2:].T)
    return z, balance.layer_maps(len(z), links, hold_layers)


def _to_median(table: Array) -> Array:
    """Bring mean and spread (n, 2) of each layer to the median one's; without content it stays."""
    full = table[:, 1] > 0
    out = np.column_stack([np.ones(len(table)), np.zeros(len(table))])
    if full.any():
        mean, spread = np.median(table[full], axis=0)
        out[full, 0] = spread / table[full, 1]
        out[full, 1] = mean - out[full, 0] * table[full, 0]
    return out


def _common_moments(p: Bytes, q: Bytes) -> tuple[float, float, float, float] | None:
    """Means and spreads (p mean, q mean, p spread, q spread) over pixels where both have data.

    Pixels that changed between the layers (the difference stands out once means and spreads are
    matched) are left out of both. None when too little is left.
    """
    both = (p > 0) & (q > 0)
    a, b = p[both].astype(float), q[both].astype(float)
    for _ in range(2):
        if len(a) < _LEAST_COMMON or a.std() == 0 or b.std() == 0:
            return None
        left = (a - a.mean()) / a.std() - (b - b.mean()) / b.std()
        usual = robust.usual(left, _OUTLIER, 1e-6)
        a, b = a[usual], b[usual]
    if len(a) < _LEAST_COMMON or a.std() == 0 or b.std() == 0:
        return None
    return float(a.mean()), float(b.mean()), float(a.std()), float(b.std())
