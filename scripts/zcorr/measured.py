"""What all chunks measured, on one grid of true z."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from scripts.lib import commands
from scripts.lib.arrays import Array, Bool, Float32, Int64
from scripts.lib.job import UserError


@dataclass(frozen=True, eq=False)
class Measured:
    """The comparisons of all layers, over a contiguous grid of n; see `comparison.Compared`."""

    z: Int64  # (n,) true z, ascending by 1
    present: Bool  # (n,) whether the layer has an image
    own: Bool  # (n,) whether any of it is the layer's own, no copy of another's
    corr: Array  # (n, R) correlation with the layers behind, NaN = none
    share: Array  # (n, R) part of the picture that it rests on
    band: Array  # (n, R) correlation of the bands
    band_share: Array  # (n, R)
    shift: Array  # (n, R, 2) shift at which the bands correlate best, px of the band
    curvature: Array  # (n, R, 3) second derivatives of that correlation
    variance: Array  # (n,) of the band
    inplane: Array  # (n, m) covariance within the layer
    regional: Array  # (n, rows, columns) correlation with the next layer
    cell_band: Float32  # (n, R, B) what each cell adds to `band`
    cell_share: Float32  # (n, B) share of the layer's pixels
    cell_inplane: Float32  # (n, B, m) what each cell adds to `inplane`
    cell_variance: Float32  # (n, B) what each cell adds to `variance`
    pixel_layers: tuple[float, float]  # size of a pixel of the bands, nominal layers

    @staticmethod
    def joined(parts: Iterable[Mapping[str, NDArray[np.generic]]]) -> Measured:
        """Join chunks.

        Parameters
        ----------
        parts
            Arrays of each chunk, in any order.

        Returns
        -------
        Measured
            All layers, in order of z.

        Raises
        ------
        ValueError
            When a z is missing between them or there twice, or a share is no number.
        UserError
            When an older version made them.
        """
        ordered = sorted(parts, key=lambda part: int(part["z"].min()))
        names = [each.name for each in fields(Measured) if each.name != "pixel_layers"]
        if absent := sorted({name for name in names for part in ordered if name not in part}):
            raise UserError(
                f"zcorr/correlations lacks {', '.join(absent)}, for an older version made it: make"
                f" it again with {commands.again('correlate_layers', 'zcorr')}"
            )
        arrays = {name: np.concatenate([part[name] for part in ordered]) for name in names}
        x, y = (float(v) for v in ordered[0]["pixel_layers"])
        whole = Measured(**arrays, pixel_layers=(x, y))
        jumps = np.flatnonzero(np.diff(whole.z) != 1)
        if len(jumps):
            i = jumps[0]
            raise ValueError(f"correlations go from z {whole.z[i]} to z {whole.z[i + 1]}")
        for name in ("corr", "band"):
            values, shares = getattr(whole, name), getattr(whole, _SHARE[name])
            bad = np.isinf(values) | (np.abs(values) > 1 + 1e-6) | ~np.isfinite(shares)
            if bad.any():
                i, k = np.argwhere(bad)[0]
                raise ValueError(
                    f"{name} of z {whole.z[i]} with z {whole.z[i] + k + 1} is {values[i, k]} over a"
                    f" share of {shares[i, k]}: expected a correlation or NaN, and a number"
                )
        return whole

    def trimmed(self) -> Measured:
        """Cut off what lies before the first and behind the last layer that has an image.

        Returns
        -------
        Measured
            The part between.
        """
        there = np.flatnonzero(self.present)
        part = slice(there[0], there[-1] + 1) if len(there) else slice(0, 0)
        arrays = (each.name for each in fields(Measured) if each.name != "pixel_layers")
        return replace(self, **{name: getattr(self, name)[part] for name in arrays})


_SHARE = {"corr": "share", "band": "band_share"}
