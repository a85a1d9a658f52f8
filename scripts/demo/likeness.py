"""Likeness: the exported volume beside the source volume its acquisition was cut from.

The ceiling is what the true geometry gives: the same tiles, filters and mixing of layers, rendered
with the true affines at the true z. Both are compared with the source voxel by voxel (Pearson
correlation of each layer), and every layer with the next. The solution is taken to the source by
the gauge that images leave free (`lib.truth`): an affine of the stack, a shear along z, a scale
of z.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import pearson_corr_coeff

from scripts.lib import files, geometry, truth
from scripts.lib.arrays import Array, Bool
from scripts.lib.drawing import compose
from scripts.lib.geometry import Box
from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import Leaf, TileSet
from scripts.lib.transforms import AFFINE, affine_data
from scripts.lib.volumes import multiscale

Plane = tuple[Array, Bool]  # values, where there are any
Grid = Callable[[float], tuple[Array, Array]]

PLAN = "export/plan.json"
DATABASE = "render-ws.db"
LAYERS = "ingest/layers.tsv"
Z_COORDS = "zcorr/Zcoords.txt"
_LEAST_PIXELS = 1000


@dataclass(frozen=True)
class Run:
    """A finished run: its volume's plan, its truth, and how z of the stack becomes true z."""

    plan: Mapping[str, Any]
    truth: truth.Truth
    depth: Mapping[int, float]  # stack z -> true z
    slope: float  # true z = slope * corrected z + shift
    shift: float

    @staticmethod
    def read(work_dir: Path, truth_path: Path) -> Run:
        """Read the records of a working directory."""
        known = truth.read_truth(truth_path)
        layers = [(int(r["z"]), r["layer_id"]) for r in files.read_table(work_dir / LAYERS)]
        corrected = truth.read_z_coords(work_dir / Z_COORDS)
        by_stamp = {layer["stamp"]: layer["z_true"] for layer in known["layers"]}
        depth = {
            z: by_stamp[stamp]
            for z, layer_id in layers
            if (stamp := "_".join(layer_id.split("_")[-2:])) in by_stamp
        }
        both = [z for z in depth if z in corrected]
        slope, shift = np.polyfit([corrected[z] for z in both], [depth[z] for z in both], 1)
        plan = files.read_json(work_dir / PLAN)
        return Run(plan, known, depth, float(slope), float(shift))

    def true_z(self) -> Array:
        """Return the true z of every layer of the exported volume."""
        first, count = self.plan["spec"]["origin_px_zyx"][0], self.plan["spec"]["shape_zyx"][0]
        return np.asarray(self.slope * np.arange(first, first + count) + self.shift)


def compare(run: Run, tiles: TileSet, source: NDArray[Any], work_dir: Path) -> dict[str, float]:
    """Return the mean correlations with the source and with the next layer, and their ceilings.

    `tiles` are those of the exported stack; `source` is (z, y, x).
    """
    gauge = _gauge(run, tiles)
    exported = list(_exported(run, work_dir))
    best = list(_best(run, tiles))
    grids = _grid_of_export(run, gauge), _grid_of_best(run, tiles)
    out: dict[str, float] = {}
    for name, planes, grid in (("", exported, grids[0]), ("_ceiling", best, grids[1])):
        out[f"source{name}"] = float(
            np.nanmean(
                [
                    abs(_pearson(plane, _sample(source, z, *grid(z))))
                    for z, plane in zip(run.true_z(), planes, strict=True)
                ]
            )
        )
        pairs = zip(planes, planes[1:], strict=False)
        out[f"next{name}"] = float(np.nanmean([_pearson(a, b) for a, b in pairs]))
    return out | {f"{key}_share": out[key] / out[f"{key}_ceiling"] for key in ("source", "next")}


# ---------------------------------------------------------------------------------------------
# planes
# ---------------------------------------------------------------------------------------------


def _exported(run: Run, work_dir: Path) -> Iterator[Plane]:
    target = multiscale.Target.from_json(run.plan["targets"][0])
    here = dataclasses.replace(target, container=str(work_dir / target.container))
    store = multiscale.open_level(here, 0)
    for k in range(store.shape_zyx[0]):
        rows, columns = (slice(0, n) for n in store.shape_zyx[1:])
        plane = store.read((slice(k, k + 1), rows, columns))[0]
        yield plane.astype(float), plane > 0


def _best(run: Run, tiles: TileSet) -> Iterator[Plane]:
    """Render the layers of the volume with the true affines, mixed at the true z."""
    true = _with_true_affines(run, tiles)
    layers = compose.place_layers(true)
    known = sorted(layers, key=lambda z: run.depth[z])
    at = np.array([run.depth[z] for z in known])
    box = _box(true)
    shown: dict[int, compose.Picture] = {}
    for z in run.true_z():
        j = int(np.clip(np.searchsorted(at, z), 1, len(at) - 1))
        share = float(np.clip((at[j] - z) / (at[j] - at[j - 1]), 0, 1))
        for k in (j - 1, j):
            if known[k] not in shown:
                shown[known[k]] = compose.render(layers[known[k]], box)
        a, b = shown[known[j - 1]], shown[known[j]]
        yield share * a.pixels + (1 - share) * b.pixels, np.asarray(a.mask & b.mask)


def _with_true_affines(run: Run, tiles: TileSet) -> TileSet:
    """Replace the last transform of each tile by the truth; tiles without one are left out."""
    wires = {tile["tile_id"]: tile["true_affine"] for tile in run.truth["tiles"]}
    kept = [
        tile.with_last(Leaf(AFFINE, affine_data(geometry.from_wire(wires[name]))))
        for tile in tiles.tiles
        if (name := truth.truth_tile_id(tile.tile_id)) in wires and round(tile.z) in run.depth
    ]
    return dataclasses.replace(tiles, tiles=tuple(kept)).with_bounds()


def _box(tiles: TileSet) -> Box:
    boxes = [tile.box for tile in tiles.tiles]
    low = [min(getattr(box, side) for box in boxes) for side in ("x0", "y0")]
    high = [max(getattr(box, side) for box in boxes) for side in ("x1", "y1")]
    return Box(*np.floor(low), *np.ceil(high))


# ---------------------------------------------------------------------------------------------
# places
# ---------------------------------------------------------------------------------------------


def _gauge(run: Run, tiles: TileSet) -> Array:
    """Fit ``true x, y = [solved x, y, true z, 1] @ gauge`` over the tiles' corners: (4, 2)."""
    wires = {tile["tile_id"]: tile["true_affine"] for tile in run.truth["tiles"]}
    solved, depth, true = [], [], []
    for tile in tiles.tiles:
        wire = wires.get(truth.truth_tile_id(tile.tile_id))
        if wire is None or round(tile.z) not in run.depth:
            continue
        corners = geometry.corners(tile.width, tile.height)
        solved.append(tiles.chain(tile).apply(corners))
        depth.append(np.full(4, run.depth[round(tile.z)]))
        scanned = tiles.scan_chain(tile).apply(corners)
        true.append(geometry.apply(geometry.from_wire(wire), scanned))
    return truth.fit_gauge(np.vstack(solved), np.concatenate(depth), np.vstack(true))


def _grid_of_export(run: Run, gauge: Array) -> Grid:
    """Return, for a true z, the true (x, y) of the voxels of a layer of the export."""
    _, rows, columns = run.plan["spec"]["shape_zyx"]
    _, y0, x0 = run.plan["spec"]["origin_px_zyx"]
    y, x = np.mgrid[y0 : y0 + rows, x0 : x0 + columns].astype(float)

    def at(z: float) -> tuple[Array, Array]:
        found = truth.gauge_terms(np.stack([x, y], axis=-1), np.full_like(x, z)) @ gauge
        return found[..., 0], found[..., 1]

    return at


def _grid_of_best(run: Run, tiles: TileSet) -> Grid:
    box = _box(_with_true_affines(run, tiles))
    y, x = np.mgrid[box.y0 : box.y1, box.x0 : box.x1].astype(float)
    return lambda z: (x, y)


def _sample(source: NDArray[Any], z: float, x: Array, y: Array) -> Plane:
    """Read the source, mirrored beyond its faces as the acquisition was, at a z and places."""
    places = np.stack([np.full_like(x, z), y, x])
    values = ndimage.map_coordinates(source, places, np.float32, order=1, mode="mirror")
    return values.astype(float), np.ones(x.shape, bool)


def _pearson(a: Plane, b: Plane) -> float:
    """Correlate two planes where both have data; NaN where that is next to nothing."""
    both = a[1] & b[1]
    if both.sum() < _LEAST_PIXELS:
        return float("nan")
    return float(pearson_corr_coeff(a[0], b[0], both)[0])


# ---------------------------------------------------------------------------------------------
# a working directory
# ---------------------------------------------------------------------------------------------


def of_run(work_dir: Path, truth_path: Path, source_path: Path) -> dict[str, float]:
    """Return `compare` of a working directory with its own embedded service."""
    run = Run.read(work_dir, truth_path)
    stack = files.read_json(work_dir / f"stacks/{run.plan['stack']}.json")
    service = f"sqlite:///{(work_dir / DATABASE).absolute()}"
    client = RenderClient(stack["owner"], stack["project"], base_url=service)
    tiles = client.tiles(run.plan["stack"])
    with h5py.File(source_path, "r") as file:
        source = file["volume"][...]
    return compare(run, tiles, source, work_dir)
