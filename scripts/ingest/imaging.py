"""How the imaging goes: what came, what is missing, what drifts, how long it will take.

For the person at the microscope: the last 24 hours of imaging beside the days before, by the names
of the layers, whatever the time is now.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np

from scripts.ingest.header_table import HeaderTable
from scripts.lib import names
from scripts.lib.arrays import Array, Bool

LAST = timedelta(hours=24)
STEPS = 8.0  # times the usual step from layer to layer, from which on a step is a jump
# what tells of drift: title of a plot -> field, unit
DRIFTS = {
    "Working distance": ("WD", "mm"),
    "Focus index": ("FocusIndex", ""),
    "Stage x": ("StageX", "mm"),
    "Stage y": ("StageY", "mm"),
    "Stage z": ("StageZ", "mm"),
    "SEM current": ("SEMCurr", "A"),
    "Milling voltage in y": ("MillingYVoltage", "V"),
    "Temperature": ("Temperature", "deg F"),
}

Json = dict[str, Any]
Row = Mapping[str, str]


@dataclass(frozen=True)
class Series:
    """A value over the layers: ``z`` (n,) and ``values`` (n,), one of each layer that has one."""

    z: Array
    values: Array
    unit: str = ""


@dataclass(frozen=True)
class Space:
    """What the HDF5 files of a layer take, and what is free, bytes."""

    of_layer: float
    free: float


@dataclass(frozen=True)
class Seen:
    """What there is of a volume."""

    layers: Sequence[Row]  # numbered, in order of z
    quarantine: Sequence[Row] = ()
    misfits: Sequence[Row] = ()
    restarts: Sequence[Row] = ()
    series: Mapping[str, Series] = field(default_factory=dict)
    misalignment: Mapping[str, Any] = field(default_factory=dict)
    thickness: Mapping[str, Any] = field(default_factory=dict)
    changed: Sequence[str] = ()  # settings of the microscope, in words


def summarise(seen: Seen, space: Space, *, planned: int | None, z_nm: float) -> Json:
    """Compute all figures of the page.

    Parameters
    ----------
    seen
        What there is.
    space
        Of the disk.
    planned
        Layers that the imaging is to have; None = not known.
    z_nm
        Nominal thickness of a layer, nm.

    Returns
    -------
    dict
        ``layers``; ``days``, ``last`` (of 24 hours), ``missing``, ``drift`` by name, ``jumps``,
        ``to_go``, ``thickness`` and ``misalignment`` as far as they are known. JSON values.
    """
    last = recent(seen.layers)
    drift = {name: drifted(one, last) for name, one in seen.series.items()}
    return {
        "layers": len(seen.layers),
        "days": days(seen.layers),
        "last": {"layers": len(last), "z_first": min(last, default=None)},
        "missing": missing(seen),
        "drift": drift,
        "jumps": [f"z {row['z']}: {row['reason'].replace('_', ' ')}" for row in seen.restarts],
        "changed": list(seen.changed),
        "to_go": to_go(seen.layers, space, planned=planned, z_nm=z_nm),
        "thickness": _thickness(seen.thickness, last),
        "misalignment": {k: seen.misalignment.get(k) for k in ("state", "steps", "seams")},
    }


def recent(layers: Sequence[Row]) -> set[int]:
    """Return z of the layers of the last 24 hours of imaging.

    Parameters
    ----------
    layers
        Rows of ``preview/layers.tsv``.

    Returns
    -------
    set of int
        Counted back from the newest layer.
    """
    times = _times(layers)
    newest = max(times.values(), default=None)
    return {z for z, time in times.items() if newest is not None and time > newest - LAST}


def days(layers: Sequence[Row]) -> list[Json]:
    """Count what came on each day.

    Parameters
    ----------
    layers
        Rows of ``preview/layers.tsv``.

    Returns
    -------
    list of dict
        ``day``, ``layers``, ``z_first``, ``z_last``, ``tiles_missing``, ``longest_stop_s``.
    """
    found: dict[str, list[Row]] = {}
    times = _times(layers)
    for row in layers:
        if (z := int(row["z"])) in times:
            found.setdefault(f"{times[z]:%Y-%m-%d}", []).append(row)
    return [
        {
            "day": day,
            "layers": len(rows),
            "z_first": int(rows[0]["z"]),
            "z_last": int(rows[-1]["z"]),
            "tiles_missing": sum(len(_keys(row)) for row in rows),
            "longest_stop_s": max(float(row["gap_before_s"] or 0) for row in rows),
        }
        for day, rows in found.items()
    ]


def missing(seen: Seen) -> list[str]:
    """Say what has not come, or cannot be read, newest first.

    Parameters
    ----------
    seen
        What there is.

    Returns
    -------
    list of str
        A line each.
    """
    lacking = [
        f"{row['layer_id']} (z {row['z']}): no tile {', '.join(_keys(row))}"
        for row in seen.layers
        if row["missing"]
    ]
    bad = [f"{row['dat']}: {row['reason']}" for row in (*seen.quarantine, *seen.misfits)]
    return [*reversed(bad), *reversed(lacking)]


def drifted(series: Series, last: set[int]) -> Json:
    """Compare the last 24 hours with all before, and find jumps in them.

    Parameters
    ----------
    series
        Values over the layers.
    last
        z of the layers of the last 24 hours.

    Returns
    -------
    dict
        ``before`` and ``last`` (medians), ``range`` (of the last), ``per_1000_layers`` (of the
        last, by the line through them), ``jumps`` (z), ``unit``; None where nothing is known.
    """
    known = np.isfinite(series.values)
    z, values = series.z[known], series.values[known]
    now = np.isin(z, list(last))
    step = np.abs(np.diff(values, prepend=values[:1]))
    usual = float(np.median(step[step > 0])) if (step > 0).any() else 0.0
    jumps = z[now & (step > STEPS * usual)] if usual > 0 else z[:0]
    return {
        "before": _median(values[~now]),
        "last": _median(values[now]),
        "range": float(np.ptp(values[now])) if now.any() else None,
        "per_1000_layers": _slope(z[now], values[now]),
        "jumps": [int(one) for one in jumps[:20]],
        "unit": series.unit,
    }


def of_headers(table: HeaderTable) -> dict[str, Series]:
    """Return the series of `DRIFTS` that a volume's headers have: the mean of a layer's tiles.

    Parameters
    ----------
    table
        Of all tiles.

    Returns
    -------
    dict of Series
        By title; those that never change are left out.
    """
    z, layer = np.unique(table.z, return_inverse=True)
    out = {}
    for title, (name, unit) in DRIFTS.items():
        values = table.number(name)
        known: Bool = np.asarray(np.isfinite(values), dtype=bool)
        if known.any() and np.ptp(values[known]) > 0:
            count = np.bincount(layer[known], minlength=len(z))
            total = np.bincount(layer[known], values[known], minlength=len(z))
            mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
            out[title] = Series(z.astype(float), mean, unit)
    return out


def to_go(layers: Sequence[Row], space: Space, *, planned: int | None, z_nm: float) -> Json:
    """Estimate how long imaging and disk will last at the pace of the last 24 hours.

    Parameters
    ----------
    layers
        Rows of ``preview/layers.tsv``.
    space
        Of the disk.
    planned
        Layers in the end; None = not known.
    z_nm
        Nominal thickness of a layer, nm.

    Returns
    -------
    dict
        ``layers_per_day``, ``um_per_day``, ``layers_left``, ``days_left``, ``disk_left_gb``,
        ``disk_needed_gb`` and ``disk_days_left``; None where it is not known.
    """
    times = _times(layers)
    whole = (max(times.values()) - min(times.values())) if len(times) > 1 else timedelta()
    window = min(whole, LAST)
    # of n layers in the window n - 1 distances, unless it is a part of the whole
    count = len(recent(layers)) - (whole <= LAST)
    pace = count / (window / timedelta(days=1)) if window else None
    left = None if planned is None else max(planned - len(layers), 0)
    per_day = pace * space.of_layer if pace else None
    return {
        "layers_per_day": pace,
        "um_per_day": pace * z_nm / 1000 if pace else None,
        "layers_left": left,
        "days_left": left / pace if pace and left is not None else None,
        "disk_left_gb": space.free / 1e9,
        "disk_needed_gb": None if left is None else left * space.of_layer / 1e9,
        "disk_days_left": space.free / per_day if per_day else None,
    }


def _thickness(qc: Mapping[str, Any], last: set[int]) -> Json:
    """Return the mean thickness of the layers measured so far, and of those of the last hours."""
    rows = [row for row in qc.get("layers", ()) if row.get("delta_z") is not None]
    if not rows:
        return {}
    newest = [row["delta_z"] for row in rows if row["z"] in last]
    return {
        "to_z": max(row["z"] for row in rows),
        "last": statistics.fmean(newest) if newest else None,
        "sd": qc.get("figures", {}).get("thickness_sd"),
        "problems": sum(row.get("problem") is not None for row in qc["layers"]),
    }


def _times(layers: Sequence[Row]) -> dict[int, Any]:
    """Time of each layer by its z; layers without a name (gaps of the numbering) have none."""
    return {
        int(row["z"]): names.parse_layer(row["layer_id"]).time for row in layers if row["layer_id"]
    }


def _keys(row: Row) -> list[str]:
    """Return the tiles that a layer lacks."""
    return [key for key in row["missing"].split(",") if key]


def _median(values: Array) -> float | None:
    return float(np.median(values)) if len(values) else None


def _slope(z: Array, values: Array) -> float | None:
    if len(z) < 3:
        return None
    at = z - z.mean()
    return float(1000 * (at @ values) / (at @ at))
