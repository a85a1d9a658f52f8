"""Suspects: resin, tissue or damaged, by what the survey measured.

A figure of a tile is compared with that of the same cell in the layers around it wherever the
specimen or the settings of the microscope may change it slowly; a damaged tile differs from those
before it *and* from those after it.

How much neighbors differ without any damage depends on the volume: sections of 40 nm share less
than those of 8 nm. So a limit is never below what is usual in the volume: the median over its
tiles, and `Limits.usual_sd` robust standard deviations more. In the first and last layers a tile
has neighbors on one side alone. It is judged by these: what is usual is taken from all tiles as
that side alone would judge them, and a ratio must exceed its limit squared, which is what two sides
that exceed it say together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array, Bool, Int64

Row = Mapping[str, str]
TISSUE, RESIN, DAMAGED = "tissue", "resin", "damaged"
BESIDE = 3  # layers before and after that a figure is compared with
LEAST_OPPOSITE = 0.2  # correlation with the negative of the layer before; by chance below 0.1
LEAST_TILES = 12  # with fewer a volume does not say what is usual in it
WITHOUT_SIGNAL = 0.99  # of the area black or white, and no noise: resin has the detector's noise
NO_STRUCTURE = "no structure"
_NOT_RESIN = "that of tissue, where resin has the same: detector off?"
NO_SIGNAL = "no signal (all pixels have one value: detector off?)"
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
    usual_sd: float = 5.0  # robust sd above the volume's median, below which nothing is damage


@dataclass(frozen=True)
class Verdict:
    """What a tile is; ``score`` of a damaged one: the measure over its limit, of resin: 0..1."""

    kind: str
    score: float
    words: str
    like: float  # correlation with the likest neighbor
    texture: float

    @property
    def is_dead(self) -> bool:
        """Tell whether the tile has no signal at all.

        Returns
        -------
        bool
            True of a detector that was off, in one layer or in all of them.
        """
        return self.words == NO_SIGNAL


def _tissue_texture(rows: Sequence[Row], limits: Limits) -> float:
    """Return the texture of tissue: the median of the tiles whose structure goes on in z."""
    value = np.array([float(row["texture"]) for row in rows], float)
    like = np.array([float(row["like"]) for row in rows], float)
    goes_on = like >= limits.resin_likeness
    return float(np.median(value[goes_on] if goes_on.any() else value)) if len(value) else 0.0


def _tissue_noise(rows: Sequence[Row], limits: Limits) -> dict[float, float]:
    """Return the noise of tissue by z, raw levels; layers without any have that of the volume."""
    noise = _steps(rows) * np.array([float(row["noise"]) for row in rows])
    goes_on = np.array([float(row["like"]) >= limits.resin_likeness for row in rows], bool)
    by_z: dict[float, list[float]] = defaultdict(list)
    for row, value, counts in zip(rows, noise.tolist(), goes_on.tolist(), strict=True):
        by_z[float(row["z"])] += [value] if counts else []
    usual = float(np.median(noise[goes_on])) if goes_on.any() else 0.0
    return {z: float(np.median(values)) if values else usual for z, values in by_z.items()}


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
    tissue, noise = _tissue_texture(rows, limits), _tissue_noise(rows, limits)
    cells: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        cells[row["row"], row["column"]].append(row)
    columns = [
        _Column.of(sorted(column, key=lambda row: float(row["z"])), tissue, noise, limits)
        for column in cells.values()
    ]
    allowed = _allowed(columns, limits)
    out: dict[str, Verdict] = {}
    for column in columns:
        out |= column.verdicts(tissue, limits, allowed)
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


# ---------------------------------------------------------------------------------------------
# what is measured of a tile against the layers before it, after it, and both
# ---------------------------------------------------------------------------------------------

BEFORE, AFTER, BOTH = "before", "after", "both"
SATURATED, DEAD = "saturated_share", "dead_share"
Sided = Mapping[str, Array]  # side -> value of each tile as that side sees it, NaN where it cannot


@dataclass(frozen=True, eq=False)
class _Column:
    """The n tiles of one cell by z: what was measured, and from which side each is judged.

    ``sided``: measures of damage, of which more is worse, by name and side.
    """

    rows: Sequence[Row]
    figure: Mapping[str, Array]
    usual: Mapping[str, Array]  # of a share: the less of its medians before and after; 0 alone
    has: Mapping[str, Bool]  # side -> is there a layer near on that side
    bare: Bool
    blank: Bool
    dead: Bool  # no signal at all; such a tile is neither bare nor blank
    ratio: Array  # of the noise of bare tiles to that of tissue; 1 elsewhere
    sided: Mapping[str, Sided]

    @staticmethod
    def of(
        rows: Sequence[Row], tissue: float, noise: Mapping[float, float], limits: Limits
    ) -> _Column:
        z = np.array([float(row["z"]) for row in rows])
        names = ("texture", "noise", "like", SATURATED, DEAD, "displaced_share")
        figure = {name: np.array([float(row[name] or 0) for row in rows]) for name in names}
        bare = figure["texture"] < limits.resin_texture * tissue
        bare &= figure["like"] < limits.resin_likeness
        dead = (figure[SATURATED] >= WITHOUT_SIGNAL) & (figure["noise"] == 0)
        bare &= ~dead
        beside = _beside(z)
        step = _steps(rows)
        has = {side: np.asarray((at >= 0).any(axis=1)) for side, at in beside.items()}
        sided = {
            "unlike": _unlike(rows, has),
            "displaced": _one_sided(rows, "displaced", figure["displaced_share"], has),
            "noise": _ratios(step * figure["noise"], beside),
            "texture": _ratios(1 / (step * np.maximum(figure["texture"], 1e-3)), beside),
        }
        usual = {name: _usual_share(figure[name], beside) for name in (SATURATED, DEAD)}
        blank = _short_runs(bare, limits.min_resin_layers)
        usual_noise = np.array([noise[value] for value in z.tolist()])
        known = bare & (usual_noise > 0)
        ratio = np.ones(len(z))
        ratio[known] = (step * figure["noise"])[known] / usual_noise[known]
        return _Column(rows, figure, usual, has, bare, blank, dead, ratio, sided)

    def side(self, i: int) -> str:
        """Return the side from which a tile is judged."""
        before, after = bool(self.has[BEFORE][i]), bool(self.has[AFTER][i])
        return BOTH if before == after else BEFORE if before else AFTER

    def verdicts(self, tissue: float, limits: Limits, allowed: Allowed) -> dict[str, Verdict]:
        """Return the verdicts by tile id."""
        out = {}
        for i, row in enumerate(self.rows):
            structure, like = float(self.figure["texture"][i]), float(self.figure["like"][i])
            share = structure / max(tissue, 1e-9)
            faults = [] if self.bare[i] else list(_faults(self, i, limits, allowed))
            if self.dead[i]:
                faults = [(1 / max(share, 1e-3), NO_SIGNAL)]
            elif odd := self._noise(i, share, limits):
                faults = [odd]
            elif self.blank[i]:
                faults = [
                    (1 / max(share, 1e-3), f"{NO_STRUCTURE} ({share:.0%} of tissue's texture)")
                ]
            if faults:
                kind, score = DAMAGED, max(score for score, _ in faults)
                words = ", ".join(text for _, text in faults)
            elif self.bare[i]:
                kind, score, words = RESIN, 1 - share, f"texture {share:.0%} of tissue's"
            else:
                kind, score, words = TISSUE, 0.0, ""
            out[row["tile_id"]] = Verdict(kind, round(score, 2), words, like, structure)
        return out

    def _noise(self, i: int, share: float, limits: Limits) -> tuple[float, str] | None:
        """Say of a bare tile that its noise is none of this detector's, if so.

        Resin is imaged as tissue is: the noise of its images is the same, of four volumes 0.82 to
        1 times as large. A detector that is off, or amplifies nothing, has a noise of its own.
        """
        ratio = float(self.ratio[i])
        off = max(ratio, 1 / max(ratio, 1e-3)) / limits.max_noise_ratio
        if off <= 1:
            return None
        return (
            off,
            f"{NO_STRUCTURE} ({share:.0%} of tissue's), noise {ratio:.2g} times {_NOT_RESIN}",
        )


def _steps(rows: Sequence[Row]) -> Array:
    """Return raw levels per grey value, (n,); 1 where a row does not say.

    What one tile does to the contrast of its layer (a bright particle, a detector that was set
    anew) is no damage of the others: between layers raw levels are compared.
    """
    # surveys of volumes begun earlier lack the column
    step = np.array([float(row.get("grey_step") or np.nan) for row in rows])
    return step if np.isfinite(step).all() else np.ones(len(rows))


def _short_runs(bare: Bool, least: int) -> Bool:
    """Mark runs of bare tiles that are shorter than `least` and have others on both sides."""
    out = np.zeros_like(bare)
    edges = np.flatnonzero(np.diff(bare.astype(int)))
    for first, last in zip(edges[:-1] + 1, edges[1:] + 1, strict=True):
        if bare[first] and last - first < least:
            out[first:last] = True
    return out


def _beside(z: Array) -> dict[str, Int64]:
    """Return the tiles of the layers near before, and near after, of each: (n, k), -1 is none."""
    ends = {
        BEFORE: (np.searchsorted(z, z - BESIDE), np.searchsorted(z, z)),
        AFTER: (np.searchsorted(z, z, "right"), np.searchsorted(z, z + BESIDE, "right")),
    }
    out = {}
    for side, (first, end) in ends.items():
        at = first[:, None] + np.arange(max(1, (end - first).max(initial=0)))
        out[side] = np.where(at < end[:, None], at, -1)
    return out


def _unlike(rows: Sequence[Row], has: Mapping[str, Bool]) -> Sided:
    """Return the share of the area unlike the neighbors; where few blocks tell, NaN."""
    enough = np.array([int(row["judged_blocks"]) >= LEAST_BLOCKS for row in rows])
    whole = np.array([float(row["unlike_share"]) for row in rows])
    return _one_sided(rows, "unlike", np.where(enough, whole, np.nan), has)


def _one_sided(rows: Sequence[Row], name: str, whole: Array, has: Mapping[str, Bool]) -> Sided:
    """Return what both sides say of tiles between others, and what either side says alone."""
    ends = ~(has[BEFORE] & has[AFTER])
    out = {BOTH: np.where(~ends, whole, np.nan)}
    for side in (BEFORE, AFTER):
        # surveys of volumes begun earlier lack the columns
        text = np.array([row.get(f"{name}_{side}") or "nan" for row in rows], float)
        out[side] = np.where(ends & np.isfinite(whole), whole, text)
    return out


def _ratios(values: Array, beside: Mapping[str, Int64]) -> Sided:
    """Return each value over the median of those before, of those after, and the less of both."""
    out = {side: values / np.maximum(_medians(values, at), 1e-9) for side, at in beside.items()}
    return out | {BOTH: np.minimum(out[BEFORE], out[AFTER])}


def _usual_share(values: Array, beside: Mapping[str, Int64]) -> Array:
    """Return the less of the medians of the tiles before and after, of one side alone, or 0."""
    both = np.fmin(*(_medians(values, at) for at in beside.values()))
    return np.nan_to_num(both, nan=0.0)


def _medians(values: Array, at: Int64) -> Array:
    """Return the median of the values at the places (n, k) of each row; NaN where there is none."""
    found = np.sort(np.where(at >= 0, values[at], np.nan), axis=1)  # NaN last
    count = (at >= 0).sum(axis=1)
    row = np.arange(len(at))
    low, high = (found[row, np.maximum(k, 0)] for k in ((count - 1) // 2, count // 2 * (count > 0)))
    return np.where(count > 0, (low + high) / 2, np.nan)


Allowed = Mapping[tuple[str, str], float]  # measure, side -> what is not exceeded without damage


def _allowed(columns: Sequence[_Column], limits: Limits) -> Allowed:
    """Return the limit of each measure and side: the configured one, or what is usual if more."""
    configured = {
        "unlike": limits.max_unlike_share,
        "displaced": limits.max_displaced_share,
        "noise": limits.max_noise_ratio,
        "texture": 1 / max(limits.min_texture_ratio, 1e-3),
    }
    out = {}
    for name, limit in configured.items():
        usual = {
            side: _usual(
                np.concatenate(
                    [[], *(each.sided[name][side][~(each.bare | each.dead)] for each in columns)]
                ),
                limits.usual_sd,
            )
            for side in (BEFORE, AFTER, BOTH)
        }
        for side, value in usual.items():
            least = limit**2 if name in ("noise", "texture") and side != BOTH else limit
            out[name, side] = float(np.fmax(least, usual[BOTH] if np.isnan(value) else value))
    return out


def _usual(values: Array, sd: float) -> float:
    """Return the median and `sd` robust standard deviations more; NaN where there are few values.

    From the upper quartile: most tiles of thin sections have 0, and what lies above has a tail. A
    quarter of the tiles may be damaged.
    """
    values = values[np.isfinite(values)]
    if len(values) < LEAST_TILES:
        return np.nan
    middle, upper = np.quantile(values, [0.5, 0.75])
    return float(middle + sd * (upper - middle) / 0.6745)


def _faults(
    column: _Column, i: int, limits: Limits, allowed: Allowed
) -> Iterator[tuple[float, str]]:
    """Yield (measure over its limit, words) of everything that is wrong with a tile."""
    row, side = column.rows[i], column.side(i)
    for name, words in _WORDS.items():
        value, limit = float(column.sided[name][side][i]), allowed[name, side]
        if value > limit:
            yield value / limit, words(row, value)
    for name, most, text in (
        (SATURATED, limits.max_saturated_share, "of the area saturated or empty"),
        (DEAD, limits.max_dead_share, "of the rows or columns without signal"),
    ):
        # where the layers around it are so as well it is the specimen or the setting
        share, usual = float(column.figure[name][i]), column.usual[name][i]
        if share > max(most, 2 * usual):
            yield share / most, f"{share:.0%} {text}"


def _unlike_words(row: Row, share: float) -> str:
    where = f"rows {float(row['unlike_from']):.0%} to {float(row['unlike_to']):.0%}"
    return f"{share:.0%} of the area unlike the layers around it ({where})"


def _displaced_words(row: Row, share: float) -> str:
    where = f"around {float(row['displaced_from']):.0%} of the height"
    return f"rows displaced among themselves by {share:.1%} of the side ({where})"


_WORDS: Mapping[str, Callable[[Row, float], str]] = {
    "unlike": _unlike_words,
    "displaced": _displaced_words,
    "noise": lambda _, ratio: f"{ratio:.1f} times the usual noise",
    "texture": lambda _, ratio: f"texture {1 / ratio:.0%} of that of the layers around it",
}
