"""Zcoords.txt: one line ``z corrected`` for each layer that has an image; z is the true one."""

from __future__ import annotations

import numpy as np

from scripts.lib.arrays import Array, Int64


def to_text(z: Int64, corrected: Array) -> str:
    """Lay coordinates out as the text of ``Zcoords.txt``.

    Parameters
    ----------
    z
        (n,) true z of the layers.
    corrected
        (n,) corrected z, layers; 6 decimals are kept, far below any claim.

    Returns
    -------
    str
        One line ``z corrected`` per layer.

    Raises
    ------
    ValueError
        When a corrected z is no number or does not rise; names the layer.
    """
    bad = ~np.isfinite(corrected)
    bad[1:] |= ~(np.diff(corrected) > 0)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"layer z {z[i]} has corrected z {corrected[i]}, expected a number above that of the"
            f" layer before ({corrected[i - 1] if i else 'none'})"
        )
    pairs = zip(z.tolist(), corrected.tolist(), strict=True)
    return "".join(f"{layer} {value:.6f}\n" for layer, value in pairs)
