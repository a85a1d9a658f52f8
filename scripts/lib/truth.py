"""Truth: how far a solution is from the known geometry of a simulated acquisition.

A ``truth.json`` (format ``misaligned-fibsem-truth/1``) lists the true affine of every tile after
the scan correction, in world px, and the true z of every layer. Images alone fix a solution only
up to a *gauge*: one affine of the whole stack, a constant shear along z, an offset and a scale of
z. The best-fitting gauge is taken away first, then

* ``absolute`` is the distance that remains between solved and true positions, px;
* ``relative`` is the change of that error from a tile to the same tile one layer later, px: what
  the eye sees as jitter. Slow drift is only weakly fixed by any image, so this one counts first;
* ``seams`` is how far apart neighbouring tiles of a layer put the same points of the specimen, px:
  an error that is the same in all layers, which ``relative`` cannot see;
* ``z`` is the remaining error of the layer positions, in layers.

Tiles that show only resin and corrupt tiles do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.lib import files, geometry
from scripts.lib.arrays import Array, Index

FORMAT = "misaligned-fibsem-truth/1"
CONTROL_POINTS = 4  # per side of a tile

Truth = Mapping[str, Any]
Wire = Sequence[float]


def find_truth(dat_root: str | Path) -> Path | None:
    """Find the truth of an acquisition.

    Parameters
    ----------
    dat_root
        Folder of the acquired files.

    Returns
    -------
    Path or None
        The ``truth.json`` in it or in its parent folder.
    """
    root = Path(dat_root)
    places = (root / "truth.json", root.absolute().parent / "truth.json")
    return next((path for path in places if path.is_file()), None)


def read_truth(path: str | Path) -> dict[str, Any]:
    """Read a truth file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        ``parameters``, ``tiles``, ``layers`` and more.

    Raises
    ------
    ValueError
        When the file is of another format.
    """
    value: dict[str, Any] = files.read_json(path)
    if value.get("format") != FORMAT:
        raise ValueError(f"{path}: expected format {FORMAT!r}, found {value.get('format')!r}")
    return value


# ---------------------------------------------------------------------------------------------
# from the pipeline's names to those of the truth
# ---------------------------------------------------------------------------------------------


def truth_tile_id(tile_id: str) -> str:
    """Return the truth's name of a tile.

    Parameters
    ----------
    tile_id
        ``stamp_s-r-c.z.0``.

    Returns
    -------
    str
        ``stamp_s-r-c``.
    """
    return tile_id.rsplit(".", 2)[0]


def solved_tiles(transforms: Mapping[str, Wire]) -> dict[str, Wire]:
    """Name solved affines as the truth does.

    Parameters
    ----------
    transforms
        Solved affines by tile ids of the stack.

    Returns
    -------
    dict
        The same by the truth's tile ids.
    """
    return {truth_tile_id(tile_id): affine for tile_id, affine in transforms.items()}


def solved_z(
    truth: Truth, layers: Iterable[tuple[int, str]], corrected: Mapping[int, float]
) -> dict[str, float]:
    """Return the corrected z of each layer of the truth.

    Parameters
    ----------
    truth
        The truth.
    layers
        z and layer id of the ingest table; the time stamp in the layer id, not the position in the
        table, tells which layer of the truth it is.
    corrected
        z to corrected z.

    Returns
    -------
    dict
        Text of the truth's layer number to corrected z, layers.
    """
    number = {layer["stamp"]: layer["layer"] for layer in truth["layers"]}
    named = ((z, "_".join(layer_id.split("_")[-2:])) for z, layer_id in layers)
    return {
        str(number[stamp]): float(corrected[z])
        for z, stamp in named
        if stamp in number and z in corrected
    }


def _nominal_tiles(truth: Truth, names: Iterable[str]) -> dict[str, Wire]:
    """Return the stage positions of some tiles as if they were a solution."""
    wanted = set(names)
    return {
        tile["tile_id"]: geometry.to_wire(geometry.translation(*tile["stage_xy"]))
        for tile in truth["tiles"]
        if tile["tile_id"] in wanted
    }


def read_z_coords(path: str | Path) -> dict[int, float]:
    """Read a ``Zcoords.txt``.

    Parameters
    ----------
    path
        True z and corrected z on each line.

    Returns
    -------
    dict
        z to corrected z, layers.

    Raises
    ------
    ValueError
        For a line that does not hold two numbers.
    """
    out = {}
    for number, line in enumerate(Path(path).read_text().splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2:
            raise ValueError(f"{path}:{number}: expected 'z corrected_z', found {line!r}")
        out[int(float(words[0]))] = float(words[1])
    return out


# ---------------------------------------------------------------------------------------------
# the score
# ---------------------------------------------------------------------------------------------


def score(truth: Truth, solved: Mapping[str, Any]) -> dict[str, Any]:
    """Compare a solution with the truth.

    Parameters
    ----------
    truth
        The truth.
    solved
        ``tiles`` {truth's tile id: [m00, m10, m01, m11, m02, m12]} (after the scan correction,
        world px) and/or ``z`` {layer number as text: z}.

    Returns
    -------
    dict
        ``relative``, ``absolute`` and ``seams`` (rms, p95, max in px), ``tiles_scored``,
        ``tiles_missing`` and
        ``z`` (rms, max in layers, thickness_correlation), as far as the input allows.

    Raises
    ------
    ValueError
        When tiles are given but none of them counts.
    """
    out: dict[str, Any] = {}
    if solved.get("tiles"):
        out |= _score_tiles(truth, solved["tiles"])
    if solved.get("z"):
        out["z"] = _score_z(truth, solved["z"])
    return out


def _counts(tile: Mapping[str, Any]) -> bool:
    return tile["kind"] == "tissue" and not tile["corrupt"]


def step_errors(truth: Truth, affines: Mapping[str, Wire]) -> dict[tuple[int, int, int], float]:
    """Return where a solution jumps from a layer to the next one: ``relative``, by place.

    Parameters
    ----------
    truth
        The truth.
    affines
        Solved affines by the truth's tile ids.

    Returns
    -------
    dict
        (layer, row, column) of a tile to the largest change of its error, px, to the same tile one
        layer later.

    Raises
    ------
    ValueError
        When no tile of the solution counts.
    """
    scored = _scored(truth, affines)
    error = _without_gauge(*_compared(truth, scored, affines))[1]
    pairs = _following(scored)
    sizes = np.linalg.norm(error[pairs[:, 1]] - error[pairs[:, 0]], axis=-1).max(axis=1)
    tiles = (scored[i] for i in pairs[:, 0])
    places = ((tile["layer"], tile["row"], tile["column"]) for tile in tiles)
    return dict(zip(places, sizes.tolist(), strict=True))


def _scored(truth: Truth, affines: Mapping[str, Wire]) -> list[Mapping[str, Any]]:
    """Return the tiles that count and are solved; ValueError when there is none."""
    scored = [t for t in truth["tiles"] if _counts(t) and t["tile_id"] in affines]
    if not scored:
        raise ValueError("no tile of the truth that counts is in the solution")
    return scored


def _compared(
    truth: Truth, scored: Sequence[Mapping[str, Any]], affines: Mapping[str, Wire]
) -> tuple[Array, Array, Array]:
    """Return solved and true (tiles, points, 2) positions, px, and the true z of the tiles."""
    depth = {layer["layer"]: layer["z_true"] for layer in truth["layers"]}
    points = _control_points(truth["parameters"])
    true_xy = _positions(points, [tile["true_affine"] for tile in scored])
    solved_xy = _positions(points, [affines[tile["tile_id"]] for tile in scored])
    return solved_xy, true_xy, np.array([depth[tile["layer"]] for tile in scored])


def _score_tiles(truth: Truth, affines: Mapping[str, Wire]) -> dict[str, Any]:
    scored = _scored(truth, affines)
    gauge, error = _without_gauge(*_compared(truth, scored, affines))
    out: dict[str, Any] = {
        "tiles_scored": len(scored),
        "tiles_missing": sum(map(_counts, truth["tiles"])) - len(scored),
        "absolute": _spread(np.linalg.norm(error, axis=-1)),
    }
    pairs = _following(scored)
    if len(pairs):
        steps = np.linalg.norm(error[pairs[:, 1]] - error[pairs[:, 0]], axis=-1)
        out["relative"] = _spread(steps.ravel())
    if "overlap" in truth["parameters"]:
        seams = _seams(truth["parameters"], scored, affines, gauge)
        out |= {"seams": _spread(seams)} if seams.size else {}
    return out


def _control_points(parameters: Mapping[str, Any]) -> Array:
    """Return (16, 2) points of a tile, scan-corrected."""
    n = CONTROL_POINTS
    u, v = np.meshgrid(
        np.linspace(0, parameters["tile_width"] - 1, n),
        np.linspace(0, parameters["tile_height"] - 1, n),
    )
    return _corrected(parameters, u.ravel(), v.ravel())


def _positions(points: Array, wires: Sequence[Wire]) -> Array:
    """Return (tiles, points, 2) world positions."""
    return np.stack([geometry.apply(geometry.from_wire(wire), points) for wire in wires])


def gauge_terms(xy: Array, z: Array) -> Array:
    """Return what a gauge is multiplied by.

    Parameters
    ----------
    xy
        (..., 2) solved x, y, px.
    z
        (...) true z, layers.

    Returns
    -------
    Array
        (..., 4) x, y, z, 1.
    """
    return np.concatenate([xy, z[..., None], np.ones_like(z)[..., None]], axis=-1)


def fit_gauge(xy: Array, z: Array, true_xy: Array) -> Array:
    """Fit the affine of the plane, with a shear along z, that takes a solution to the truth.

    Parameters
    ----------
    xy
        (n, 2) solved x, y, px.
    z
        (n,) true z, layers.
    true_xy
        (n, 2) true x, y, px.

    Returns
    -------
    Array
        (4, 2): ``gauge_terms(xy, z) @ gauge`` comes nearest to the truth.
    """
    return np.asarray(np.linalg.lstsq(gauge_terms(xy, z), true_xy, rcond=None)[0])


def _without_gauge(solved_xy: Array, true_xy: Array, z: Array) -> tuple[Array, Array]:
    """Return the best gauge (4, 2), and the (tiles, points, 2) errors left without it."""
    xy, target = solved_xy.reshape(-1, 2), true_xy.reshape(-1, 2)
    depth = np.repeat(z, solved_xy.shape[1])
    gauge = fit_gauge(xy, depth, target)
    return gauge, np.asarray(gauge_terms(xy, depth) @ gauge - target).reshape(true_xy.shape)


def _following(tiles: Sequence[Mapping[str, Any]]) -> Index:
    """Return (pairs, 2) positions in `tiles`: each tile, and the same tile of the next layer."""
    index = {(tile["layer"], tile["row"], tile["column"]): i for i, tile in enumerate(tiles)}
    pairs = [
        (i, index[layer + 1, row, column])
        for (layer, row, column), i in index.items()
        if (layer + 1, row, column) in index
    ]
    return np.array(pairs, np.intp).reshape(-1, 2)


def _seams(
    parameters: Mapping[str, Any],
    tiles: Sequence[Mapping[str, Any]],
    affines: Mapping[str, Wire],
    gauge: Array,
) -> Array:
    """Return how far apart neighbouring tiles put points along the middle of their overlaps, px."""
    at = {(tile["layer"], tile["row"], tile["column"]): tile for tile in tiles}
    found = []
    for (layer, row, column), one in at.items():
        for where, points in _middles(parameters).items():
            other = at.get((layer, row + where[0], column + where[1]))
            if other is None:
                continue
            true, true_other, placed, placed_other = (
                geometry.from_wire(wire)
                for wire in (
                    one["true_affine"],
                    other["true_affine"],
                    affines[one["tile_id"]],
                    affines[other["tile_id"]],
                )
            )
            same = geometry.apply(geometry.invert(true_other), geometry.apply(true, points))
            apart = geometry.apply(placed, points) - geometry.apply(placed_other, same)
            found.append(np.linalg.norm(apart @ gauge[:2], axis=-1))
    return np.concatenate(found) if found else np.empty(0)


def _middles(parameters: Mapping[str, Any]) -> dict[tuple[int, int], Array]:
    """Return, by step to the neighbour, (9, 2) points of the middle of the overlap with it."""
    width, height = parameters["tile_width"], parameters["tile_height"]
    share, along = parameters["overlap"], np.linspace(0.1, 0.9, 9)
    right = np.full(9, width - 1 - round(0.5 * share * width)), along * (height - 1)
    down = along * (width - 1), np.full(9, height - 1 - round(0.5 * share * height))
    return {(0, 1): _corrected(parameters, *right), (1, 0): _corrected(parameters, *down)}


def _corrected(parameters: Mapping[str, Any], u: Array, v: Array) -> Array:
    """Return (n, 2) points after the scan correction, of raw pixel coordinates."""
    a, b, c, d = parameters["scan"]
    return np.column_stack([u + a * np.exp(-u / b) + c * np.exp(-u / d), v])


def _score_z(truth: Truth, solved: Mapping[str, float]) -> dict[str, float]:
    known = [layer for layer in truth["layers"] if str(layer["layer"]) in solved]
    found = np.array([float(solved[str(layer["layer"])]) for layer in known])
    true = np.array([layer["z_true"] for layer in known])
    left = np.polyval(np.polyfit(found, true, 1), found) - true
    steps = np.diff(found)
    correlated = len(steps) > 1 and steps.std() > 1e-9
    return {
        "rms": float(np.sqrt(np.mean(left**2))),
        "max": float(np.abs(left).max()),
        "thickness_correlation": float(np.corrcoef(steps, np.diff(true))[0, 1])
        if correlated
        else 0.0,
    }


def _spread(size: Array) -> dict[str, float]:
    return {
        "rms": float(np.sqrt(np.mean(size**2))),
        "p95": float(np.percentile(size, 95)),
        "max": float(size.max()),
    }


# ---------------------------------------------------------------------------------------------
# the score of a working directory, as the report lists it
# ---------------------------------------------------------------------------------------------


def figures(
    truth: Truth,
    *,
    transforms: Mapping[str, Wire],
    layers: Iterable[tuple[int, str]] = (),
    corrected: Mapping[int, float] | None = None,
) -> dict[str, Any]:
    """Score a solution under the pipeline's own names.

    Parameters
    ----------
    truth
        The truth.
    transforms
        Tile id of the stack to its six numbers.
    layers
        z and layer id of the ingest table.
    corrected
        z to corrected z; None: not known.

    Returns
    -------
    dict
        ``relative``, ``absolute`` and ``seams`` have rms_px, p95_px, max_px, ``z`` has rms_layers,
        max_layers and thickness_correlation; ``nominal`` holds the same for the stage positions of
        the same tiles (and for layers of equal thickness), for comparison.
    """
    tiles = solved_tiles(transforms)
    known = list(layers)
    z = solved_z(truth, known, corrected or {})
    equal = {layer: float(layer) for layer in z}  # a layer that is not there keeps its slot
    found = score(truth, {"tiles": tiles, "z": z})
    nominal = score(truth, {"tiles": _nominal_tiles(truth, tiles), "z": equal})
    return {**_with_units(found), "nominal": _with_units(nominal)}


def _with_units(result: Mapping[str, Any]) -> dict[str, Any]:
    units = {"relative": "px", "absolute": "px", "seams": "px", "z": "layers"}
    out: dict[str, Any] = {}
    for key, value in result.items():
        out[key] = (
            {_unit(name, units[key]): v for name, v in value.items()} if key in units else value
        )
    return out


def _unit(name: str, unit: str) -> str:
    return name if name == "thickness_correlation" else f"{name}_{unit}"
