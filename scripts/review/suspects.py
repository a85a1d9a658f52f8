"""Suspects: resin, tissue or damaged, by what the survey measured.

A figure of a tile is compared with that of the same cell in the layers around it wherever the
specimen or the settings of the microscope may change it slowly; a damaged tile differs from those
before it *and* from those after it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array, Bool

Row = Mapping[str, str]
TISSUE, RESIN, DAMAGED = "tissue", "resin", "damaged"
BESIDE = 3  # layers before and after that a figure is compared with
LEAST_OPPOSITE = 0.2  # correlation with the negative of the layer before; by chance below 0.1
LEAST_BLOCKS = 8  # of 64: with fewer the neighbors say nothing of the tile as a whole


@dataclass(frozen=True)
class Limits:
    """Thresholds (config section ``review``)."""

    resin_texture: float = 0.35  # share of the median texture of tissue
    resin_likeness: float = 0.45  # correlation with the likest neighbor, below it nothing goes on
    min_resin_layers: int = 3  # fewer between tissue are no resin: a tile without signal
    max_unlike_share: float = 0.1  # share of the judged area
    max_displaced_share: float = 0.03  # share of the shorter side
    max_saturated_share: float = 0.05  # share of the area
    max_dead_share: float = 0.02  # share of rows or columns
    max_noise_ratio: float = 2.0  # to the cell's layers before, and to those after
    min_texture_ratio: float = 0.5  # to the cell's layers before, and to those after


@dataclass(frozen=True)
class Verdict:
    """What a tile is; ``score`` of a damaged one: the measure over its limit, of resin: 0..1."""

    kind: str
    score: float
    words: str
    like: float  # correlation with the likest neighbor
    texture: float


def _tissue_texture(rows: Sequence[Row], limits: Limits) -> float:
    """Return the texture of tissue: the median of the tiles whose structure goes on in z."""
    value = np.array([float(row["texture"]) for row in rows], float)
    like = np.array([float(row["like"]) for row in rows], float)
    goes_on = like >= limits.resin_likeness
    return float(np.median(value[goes_on] if goes_on.any() else value)) if len(value) else 0.0


def verdicts(rows: Sequence[Row], limits: Limits) -> dict[str, Verdict]:
    """Return the verdict of each surveyed tile.

    Parameters
    ----------
    rows
        Rows of the survey (`survey.COLUMNS`) of all chunks.
    limits
        Thresholds.

    Returns
    -------
    dict
        Tile id -> verdict.
    """
    tissue = _tissue_texture(rows, limits)
    cells: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        cells[row["row"], row["column"]].append(row)
    out: dict[str, Verdict] = {}
    for column in cells.values():
        out |= _of_cell(sorted(column, key=lambda row: float(row["z"])), tissue, limits)
    return out


def contrast_flips(rows: Sequence[Row]) -> list[float]:
    """Return the layers of which most tiles look like the negative of the layer before.

    Parameters
    ----------
    rows
        Rows of the survey (`survey.COLUMNS`) of all chunks.

    Returns
    -------
    list of float
        z, sorted.
    """
    layers: dict[float, list[bool]] = defaultdict(list)
    for row in rows:
        # surveys of volumes begun earlier lack the column
        layers[float(row["z"])].append(float(row.get("opposite") or 0) >= LEAST_OPPOSITE)
    return [z for z, tiles in sorted(layers.items()) if sum(tiles) > len(tiles) / 2]


def _of_cell(rows: Sequence[Row], tissue: float, limits: Limits) -> dict[str, Verdict]:
    z = np.array([float(row["z"]) for row in rows])
    figure = {
        name: np.array([float(row[name] or 0) for row in rows])
        for name in ("texture", "noise", "like", "saturated_share", "dead_share")
    }
    bare = figure["texture"] < limits.resin_texture * tissue
    bare &= figure["like"] < limits.resin_likeness
    blank = _short_runs(bare, limits.min_resin_layers)
    out = {}
    for i, row in enumerate(rows):
        beside = _beside(z, i)
        faults = list(_faults(row, figure, i, beside, limits)) if not bare[i] else []
        if blank[i]:
            share = figure["texture"][i] / max(tissue, 1e-9)
            faults = [(1 / max(share, 1e-3), f"no structure ({share:.0%} of tissue's texture)")]
        if faults:
            kind, score = DAMAGED, max(score for score, _ in faults)
            words = ", ".join(text for _, text in faults)
        elif bare[i]:
            kind, score = RESIN, 1 - figure["texture"][i] / max(tissue, 1e-9)
            words = f"texture {figure['texture'][i] / max(tissue, 1e-9):.0%} of tissue's"
        else:
            kind, score, words = TISSUE, 0.0, ""
        like, structure = float(figure["like"][i]), float(figure["texture"][i])
        out[row["tile_id"]] = Verdict(kind, round(score, 2), words, like, structure)
    return out


def _short_runs(bare: Bool, least: int) -> Bool:
    """Mark runs of bare tiles that are shorter than `least` and have others on both sides."""
    out = np.zeros_like(bare)
    edges = np.flatnonzero(np.diff(bare.astype(int)))
    for first, last in zip(edges[:-1] + 1, edges[1:] + 1, strict=True):
        if bare[first] and last - first < least:
            out[first:last] = True
    return out


Beside = tuple[Bool, Bool]


def _beside(z: Array, i: int) -> Beside:
    before = (z < z[i]) & (z >= z[i] - BESIDE)
    return before, (z > z[i]) & (z <= z[i] + BESIDE)


def _faults(
    row: Row, figure: Mapping[str, Array], i: int, beside: Beside, limits: Limits
) -> list[tuple[float, str]]:
    """Return (measure over its limit, words) of everything that is wrong with a tile."""
    found = []
    unlike = float(row["unlike_share"])
    if int(row["judged_blocks"]) >= LEAST_BLOCKS and unlike > limits.max_unlike_share:
        where = f"rows {float(row['unlike_from']):.0%} to {float(row['unlike_to']):.0%}"
        text = f"{unlike:.0%} of the area unlike the layers around it ({where})"
        found.append((unlike / limits.max_unlike_share, text))
    displaced = float(row["displaced_share"])
    if displaced > limits.max_displaced_share:
        where = f"around {float(row['displaced_from']):.0%} of the height"
        text = f"rows displaced among themselves by {displaced:.1%} of the side ({where})"
        found.append((displaced / limits.max_displaced_share, text))
    for name, limit, text in (
        ("saturated_share", limits.max_saturated_share, "of the area saturated or empty"),
        ("dead_share", limits.max_dead_share, "of the rows or columns without signal"),
    ):
        # where the layers around it are so as well it is the specimen or the setting
        usual = min((_median(figure[name], part, 0.0) for part in beside if part.any()), default=0)
        if figure[name][i] > max(limit, 2 * usual):
            found.append((figure[name][i] / limit, f"{figure[name][i]:.0%} {text}"))
    noise = [_median(figure["noise"], part, np.inf) for part in beside]
    ratio = figure["noise"][i] / max(*noise, 1e-9)
    if ratio > limits.max_noise_ratio:
        found.append((ratio / limits.max_noise_ratio, f"{ratio:.1f} times the usual noise"))
    structure = [_median(figure["texture"], part, 0.0) for part in beside]
    ratio = figure["texture"][i] / max(min(structure), 1e-9)
    if min(structure) > 0 and ratio < limits.min_texture_ratio:
        text = f"texture {ratio:.0%} of that of the layers around it"
        found.append((limits.min_texture_ratio / max(ratio, 1e-3), text))
    return [(float(score), text) for score, text in found]


def _median(values: Array, part: Bool, absent: float) -> float:
    return float(np.median(values[part])) if part.any() else absent
