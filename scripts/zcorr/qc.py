"""Quality of the layers: which correlate badly with the next, by an absolute and a local rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.ndimage import median_filter

from scripts.lib.arrays import Array, Bool, Int64
from scripts.lib.numerics import robust

Rows = list[dict[str, Any]]

_SURROUNDINGS = 31  # layers; long enough for a robust spread, short against changes of tissue
_LEAST_SPREAD = 0.005  # correlation; noise-free stacks would else call everything an outlier
NO_IMAGE = "no image"
TWICE = "the same image as the next layer"
_TISSUE = 0.5  # of a fall of the whole: fine structure falls by so much where tissue differs
HALF = 0.5  # of the layers: even a few are not few then
_CLOSER = 0.5  # share of what other layers differ by, that one image twice may have


def problems(
    cc_next: Array,
    *,
    problem_correlation: float,
    problem_deviations: float,
    band: Array | None = None,
) -> list[str | None]:
    """Say for each layer what is wrong with its correlation with the next.

    The local rule compares with the running median of 31 layers, in robust standard deviations of
    the whole stack's differences from it.

    Parameters
    ----------
    cc_next
        (n,) correlation with the next layer; NaN where either is missing.
    problem_correlation
        What is below is a problem.
    problem_deviations
        What lies so many robust standard deviations below its surroundings is a problem.
    band
        (n,) the same of fine structure at equal level and contrast; where it falls by less than
        half as much, shading or level differ and not the tissue. None: it is not known.

    Returns
    -------
    list
        n texts; None = nothing is wrong.
    """
    out: list[str | None] = [None] * len(cc_next)
    known, usual, fall = _falls(cc_next)
    tissue = np.ones(len(cc_next), bool)
    if band is not None:
        tissue = ~np.isfinite(band) | (_falls(band)[2] > _TISSUE * problem_deviations)
    for i in np.flatnonzero(known).tolist():
        if cc_next[i] < problem_correlation:
            out[i] = f"correlation with next {cc_next[i]:.3f} is below {problem_correlation:g}"
        elif fall[i] > problem_deviations and tissue[i]:
            out[i] = (
                f"correlation with next {cc_next[i]:.3f}, {fall[i]:.1f} standard deviations below"
                f" the {usual[i]:.3f} of its surroundings"
            )
    return out


def _falls(values: Array) -> tuple[Bool, Array, Array]:
    """Return what is known, the running median, and the fall below it in robust deviations."""
    known = np.isfinite(values)
    usual, fall = np.full(len(values), np.nan), np.zeros(len(values))
    if known.any():
        usual[known] = median_filter(values[known], size=_SURROUNDINGS, mode="nearest")
        below = (usual - values)[known]
        spread = max(_LEAST_SPREAD, robust.deviation(below, 0.0))
        fall[known] = below / spread
    return known, usual, fall


def repeats(cc_next: Array, *, repeated_correlation: float) -> list[str | None]:
    """Name layers that show the image of the next one once more.

    Two exposures of one face differ by the noise of each, and a specimen that hardly changes from
    layer to layer is no repetition of one: a copy is far more alike than layers are elsewhere.

    Parameters
    ----------
    cc_next
        (n,) correlation with the next layer; NaN where either is missing.
    repeated_correlation
        Least correlation of one image with itself.

    Returns
    -------
    list
        n texts; None = it is another image.
    """
    known = cc_next[np.isfinite(cc_next)]
    usual = float(np.median(known)) if len(known) > 2 else 0.0
    least = max(repeated_correlation, 1 - _CLOSER * (1 - usual))
    return [f"{TWICE}, correlation {one:.3f}" if one >= least else None for one in cc_next.tolist()]


def uncompared(present: Bool, corr: Array) -> list[str | None]:
    """Name layers that have an image but nothing in common with any other.

    Parameters
    ----------
    present
        (n,) whether the layer has an image.
    corr
        (n, R) correlations; NaN = none.

    Returns
    -------
    list
        n texts; None = it was compared. A stack of one layer has nothing to compare it with.
    """
    n, reach = corr.shape
    known = np.isfinite(corr)
    some: Bool = np.asarray(known.any(axis=1))
    for k in range(min(reach, n - 1)):
        some[k + 1 :] |= known[: n - k - 1, k]
    lonely = present & ~some & (present.sum() > 1)
    return ["nothing in it correlates with any other layer" if one else None for one in lonely]


def summary(z: Int64, present: Bool, cc_next: Array, corrected: Array) -> dict[str, Any]:
    """Sum the whole stack up.

    Parameters
    ----------
    z
        (n,) true z of the grid.
    present
        (n,) whether the layer has an image.
    cc_next
        (n,) correlation with the next layer; NaN = none.
    corrected
        (n,) corrected z, layers.

    Returns
    -------
    dict
        Figures; ``z_correction_layers`` is how far layers moved from nominal z.
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
    z: Int64,
    present: Bool,
    cc_next: Array,
    corrected: Array,
    found: Sequence[str | None],
    lost: Bool,
    missing: Mapping[int, int] | None = None,
) -> Rows:
    """Lay out one row for each layer of the grid.

    Parameters
    ----------
    z
        (n,) true z.
    present
        (n,) whether the layer has an image.
    cc_next
        (n,) correlation with the next layer; NaN = none.
    corrected
        (n,) corrected z, layers.
    found
        n texts of what is wrong, or None.
    lost
        (n,) whether a slice was lost before the layer.
    missing
        Layers of which no file is there, by the z behind them (``ingest/missing_layers.tsv``).

    Returns
    -------
    list
        Rows of z, cc_next, delta_z (from the layer before), lost_before, missing_before, problem.
    """
    out = []
    before: float | None = None
    for i, layer in enumerate(z.tolist()):
        row: dict[str, Any] = {"z": layer, "cc_next": None, "delta_z": None}
        if present[i]:
            row["cc_next"] = float(cc_next[i]) if np.isfinite(cc_next[i]) else None
            row["delta_z"] = None if before is None else round(float(corrected[i] - before), 6)
            before = float(corrected[i])
        row["lost_before"] = bool(lost[i])
        row["missing_before"] = (missing or {}).get(layer, 0)
        row["problem"] = found[i] if present[i] else NO_IMAGE
        out.append(row)
    return out


# ---------------------------------------------------------------------------------------------
# what to do about them
# ---------------------------------------------------------------------------------------------


def gaps(layers: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Find the steps between layers over which something is known to be missing.

    Whatever correlates badly there is good on both sides: a slice was lost, or has no file.

    Parameters
    ----------
    layers
        Rows of `rows`.

    Returns
    -------
    list of tuple
        Positions of the layer before each gap and of that behind it.
    """
    there = [i for i, row in enumerate(layers) if row["problem"] != NO_IMAGE]
    return [
        (i, k)
        for i, k in zip(there, there[1:], strict=False)
        if layers[k].get("lost_before") or layers[k].get("missing_before")
    ]


def culprits(layers: Sequence[Mapping[str, Any]], corr: Array | None = None) -> list[int]:
    """Find the layers that fit neither neighbour; at an end of the stack, its only one.

    One low correlation alone is a gap between two layers, each of which may be good; a known gap is
    no low correlation at all. Nor is a layer at fault whose neighbours are still less alike to each
    other than to it: gaps lie on both sides, and without it there would be a longer one.

    Parameters
    ----------
    layers
        Rows of `rows`.
    corr
        (n, R) correlations of layers i and i + k + 1; None or NaN: not known.

    Returns
    -------
    list
        Their positions.
    """
    there = [i for i, row in enumerate(layers) if row["problem"] != NO_IMAGE]
    known = {i for i, _ in gaps(layers)}
    bad = {i for i in there if layers[i]["problem"] and i not in known}
    out = []
    for at, i in enumerate(there):
        before = at == 0 or there[at - 1] in bad
        after = at == len(there) - 1 or i in bad
        if before and after and (i in bad or (at > 0 and there[at - 1] in bad)):
            out.append(i)
    return [i for i in out if not _between_gaps(layers, i, corr)]


def _between_gaps(layers: Sequence[Mapping[str, Any]], i: int, corr: Array | None) -> bool:
    """Whether the layers around are less alike to each other than to the one between them."""
    if corr is None or corr.shape[1] < 2 or not 0 < i < len(layers) - 1:
        return False
    steps = [layers[k]["cc_next"] for k in (i - 1, i)]
    return None not in steps and bool(corr[i - 1, 1] < min(steps))


def proposals(
    layers: Sequence[Mapping[str, Any]], regional: Array, grid: tuple[int, int], limit: float,
    corr: Array | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Propose entries for ``review.exclude``: the cells of layers that fit neither neighbour.

    Cells are those whose correlation with the next layer lies `limit` robust standard deviations
    below their own surroundings in z. Where none stands out the whole layer is proposed. Nothing is
    where most layers would leave: then not the layers are at fault.

    Parameters
    ----------
    layers
        Rows of `rows`.
    regional
        (n, rows, columns) correlation of regions with the next layer; NaN = none.
    grid
        Rows and columns of the tiles.
    limit
        Robust standard deviations.
    corr
        As of `culprits`.

    Returns
    -------
    list
        Entries, one per cell and layer.
    """
    cells = {
        (r, c): _falls(_cell(regional, r, c, grid))[2] > limit
        for r in range(grid[0])
        for c in range(grid[1])
    }
    if corr is not None:  # a spot that is damaged says nothing of the layer: gaps are everywhere
        corr = np.where(_fell_everywhere(regional, limit)[:, None], corr, np.nan)
    odd, out = culprits(layers, corr), []
    if len(odd) > HALF * len(layers):
        return []
    for i in odd:
        bad = [cell for cell, low in cells.items() if low[i] or (i > 0 and low[i - 1])]
        reason = layers[i]["problem"] or "correlates badly with the layer before"
        out += [
            {
                "cells": [f"{r},{c}"],
                "z_first": layers[i]["z"],
                "z_last": layers[i]["z"],
                "reason": f"zcorr: {reason}",
            }
            for r, c in bad or cells
        ]
    return out


def _fell_everywhere(regional: Array, limit: float) -> Bool:
    """(n,) whether most regions correlate badly with the next layer, and those with the next."""
    known = np.isfinite(regional).any(axis=(1, 2))
    middle = np.full(len(regional), np.nan)
    middle[known] = np.nanmedian(regional[known], axis=(1, 2))
    fell = _falls(middle)[2] > _TISSUE * limit
    return np.asarray(fell & np.append(fell[1:], False))


def _cell(regional: Array, row: int, column: int, grid: tuple[int, int]) -> Array:
    """(n,) mean regional correlation in one cell of the grid; NaN = none."""
    rows, columns = (_parts(regional.shape[a + 1], grid[a]) for a in (0, 1))
    part = regional[:, rows[row], columns[column]].reshape(len(regional), -1)
    known = np.isfinite(part)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, part, 0).sum(axis=1) / known.sum(axis=1))


def _parts(size: int, count: int) -> list[slice]:
    """Cut `size` regions into `count` parts, each of at least one; they may overlap."""
    edge = np.arange(count + 1) * size / count
    return [slice(int(a), max(int(a) + 1, int(b))) for a, b in zip(edge, edge[1:], strict=False)]


def as_yaml(entries: Sequence[Mapping[str, Any]]) -> str:
    """Lay entries out as lines to paste under ``review:``, in the form of review/proposals.yaml.

    Parameters
    ----------
    entries
        Of `proposals`.

    Returns
    -------
    str
        YAML.
    """
    if not entries:
        return "exclude: []\n"
    lines = ["exclude:"]
    for entry in entries:
        lines.append(f'  - cells: ["{entry["cells"][0]}"]')
        lines += [f"    {key}: {entry[key]:g}" for key in ("z_first", "z_last")]
        lines.append(f'    reason: "{entry["reason"]}"')
    return "\n".join(lines) + "\n"


def gate(
    report: Mapping[str, Any], *, accepted: Sequence[int], limit_pct: float, few: int = 0
) -> dict[str, Any]:
    """Judge the layers of ``zcorr/qc.json``.

    Missing layers are known from the acquisition and no fault of the alignment, and neither is what
    correlates badly across a gap that is known (`gaps`).

    Parameters
    ----------
    report
        Content of ``zcorr/qc.json``.
    accepted
        Layers (z) that a person looked at.
    limit_pct
        Most problem layers, %.
    few
        So many problem layers are no share, unless they are more than half of all.

    Returns
    -------
    dict
        status, found_pct, expected_pct, the z that failed, and what is out of order.
    """
    layers = report["layers"]
    there = [row for row in layers if row["problem"] != NO_IMAGE]
    known = {layers[i]["z"] for i, _ in gaps(layers)} | set(accepted)
    bad = [row["z"] for row in there if row["problem"] and row["z"] not in known]
    share = 100 * len(bad) / max(1, len(there))
    moved = [row for row in report.get("order", []) if row["z"] not in set(accepted)]
    good = share <= limit_pct or (len(bad) <= few and share <= 100 * HALF)
    return {
        "status": "passed" if good and not moved else "failed",
        "found_pct": round(share, 4),
        "expected_pct": limit_pct,
        "layers": bad,
        "order": moved,
    }
