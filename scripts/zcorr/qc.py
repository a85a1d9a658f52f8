"""Quality of the layers: which correlate badly with the next, by an absolute and a local rule."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

Array = NDArray[np.float64]

_SURROUNDINGS = 31  # layers; long enough for a robust spread, short against changes of tissue
_LEAST_SPREAD = 0.005  # correlation; noise-free stacks would else call everything an outlier
_MAD_TO_SD = 1.4826


def problems(
    cc_next: Array, *, problem_correlation: float, problem_deviations: float
) -> list[str | None]:
    """Say for each layer what is wrong with its correlation with the next, or None.

    `cc_next` is (n,); NaN where either layer is missing. The local rule compares with the running
    median of 31 layers, in robust standard deviations of the whole stack's differences from it.
    """
    known = np.isfinite(cc_next)
    out: list[str | None] = [None] * len(cc_next)
    if not known.any():
        return out
    values = cc_next[known]
    middle = median_filter(values, size=_SURROUNDINGS, mode="nearest")
    spread = max(_LEAST_SPREAD, _MAD_TO_SD * float(np.median(np.abs(values - middle))))
    for i, value, usual in zip(np.flatnonzero(known), values, middle, strict=True):
        fall = (usual - value) / spread
        if value < problem_correlation:
            out[i] = f"correlation with next {value:.3f} is below {problem_correlation:g}"
        elif fall > problem_deviations:
            out[i] = (
                f"correlation with next {value:.3f}, {fall:.1f} standard deviations below the"
                f" {usual:.3f} of its surroundings"
            )
    return out


def summary(
    z: NDArray[np.int64], present: NDArray[np.bool_], cc_next: Array, corrected: Array
) -> dict[str, Any]:
    """Figures of the whole stack and the row of each layer; z and corrected z of the grid, (n,).

    ``z_correction_layers`` is how far layers moved from nominal z.
    """
    known = cc_next[np.isfinite(cc_next)]
    moved = (corrected - z)[present]
    thickness = np.diff(corrected[present])
    return {
        "layers": int(present.sum()),
        "missing": int((~present).sum()),
        "cc_next": _quantiles(known),
        "z_correction_layers": {
            "rms": round(float(np.sqrt(np.mean(moved**2))), 6),
            "max": round(float(np.abs(moved).max()), 6),
        },
        "delta_z": _quantiles(thickness),
    }


def _quantiles(values: Array) -> dict[str, float | None]:
    names = {"min": 0, "q05": 5, "median": 50, "q95": 95, "max": 100}
    if len(values) == 0:
        return dict.fromkeys([*names, "mean"])
    at = {name: float(np.percentile(values, q)) for name, q in names.items()}
    return {k: round(v, 6) for k, v in (at | {"mean": float(values.mean())}).items()}


def rows(
    z: NDArray[np.int64],
    present: NDArray[np.bool_],
    cc_next: Array,
    corrected: Array,
    found: list[str | None],
) -> list[dict[str, Any]]:
    """One row for each layer of the grid: z, cc_next, delta_z (from the one before), problem."""
    out = []
    before: float | None = None
    for i, layer in enumerate(z.tolist()):
        if not present[i]:
            out.append({"z": layer, "cc_next": None, "delta_z": None, "problem": "no image"})
            continue
        delta = None if before is None else round(float(corrected[i] - before), 6)
        value = float(cc_next[i]) if np.isfinite(cc_next[i]) else None
        out.append({"z": layer, "cc_next": value, "delta_z": delta, "problem": found[i]})
        before = float(corrected[i])
    return out
