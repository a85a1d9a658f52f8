"""Extent: how large a volume is, from its layer table or, before it, the files found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median
from typing import Any

from scripts.lib import flow
from scripts.lib.files import read_json, read_table
from scripts.lib.job import UserError
from scripts.transfer import doctor_files, origin, taken
from scripts.transfer.dat import HEADER_BYTES, DatError
from scripts.transfer.finding import Case, Layers
from scripts.transfer.layers import Limits, group

LAYERS, PLAN = Path("ingest/layers.tsv"), Path("transfer/plan.tsv")
RECEIPT, EXPORT_PLAN = Path("stacks/v1_acquire.json"), Path("export/plan.json")
MOST_HEADERS = 20  # read for the size of tiles
BYTES_16_BIT = 2
MPX = 1e6


@dataclass(frozen=True)
class Extent:
    """Size of a volume: `tile_mpx` of one tile, `layer_mpx` of the box around those of a layer."""

    layers: int
    tiles: int
    tile_mpx: float
    layer_mpx: float
    dat_mb: float
    source: str

    @property
    def gvoxels(self) -> float:
        """Return the voxels of level 0.

        Returns
        -------
        float
            10^9 voxels.
        """
        return self.layers * self.layer_mpx / 1000


def measure(config: Mapping[str, Any], dat_root: Path, work_dir: Path) -> Extent:
    """Return how large a volume is, as far as it is known.

    Parameters
    ----------
    config
        Config of the volume, with defaults: ``acquisition`` and ``ingest`` are read.
    dat_root
        Folder of the ``.dat`` files; of a few of them the headers are read.
    work_dir
        The working directory, which may be empty.

    Returns
    -------
    Extent
        Of the frozen layer table where there is one, else of the names of the files.

    Raises
    ------
    UserError
        When nothing is found to count.
    """
    case = Case(config, dat_root, work_dir, (work_dir / PLAN).exists(), _found(config, dat_root))
    counted = _table(work_dir / LAYERS) or _files(case) or _plan(work_dir / PLAN) or _taken(case)
    if not counted:
        raise UserError(
            f"transfer.dat_root: found no .dat file of a layer below {dat_root} and no {PLAN},"
            " expected one of them. Bring the files, or mend transfer.dat_root"
        )
    layers, tiles, source = counted
    tile_mpx = _tile_mpx(case)
    extent = Extent(
        layers, tiles, tile_mpx, tile_mpx * tiles / layers, case.dat_bytes / 1e6, source
    )
    extent = replace(extent, layer_mpx=_layer_mpx(case, extent))
    case.close()
    return extent


def _found(config: Mapping[str, Any], dat_root: Path) -> Layers:
    named, _ = origin.of(config, dat_root).files() if dat_root.is_dir() else ([], [])
    limits = Limits.of(config["acquisition"])
    return {name: files for name, files in group(named).items() if limits.hold(name)}


def _table(path: Path) -> tuple[int, int, str] | None:
    rows = read_table(path) if path.exists() else []
    tiles = [int(row["tiles"]) for row in rows]
    return (len(rows), sum(tiles), "ingest/layers.tsv") if sum(tiles) else None


def _files(case: Case) -> tuple[int, int, str] | None:
    tiles = sum(map(len, case.layers.values()))
    return (len(case.layers), tiles, "the files found") if tiles else None


def _plan(path: Path) -> tuple[int, int, str] | None:
    rows = read_table(path) if path.exists() else []
    return (len({row["layer_id"] for row in rows}), len(rows), str(PLAN)) if rows else None


def _taken(case: Case) -> tuple[int, int, str] | None:
    """Count the align HDF5 that are taken over; of tiles those of a whole grid."""
    root = (case.config.get("takeover") or {}).get("align_h5")
    layers = len(taken.names(Path(root) if root else None))
    cells = case.config["acquisition"]["rows"] * case.config["acquisition"]["columns"]
    return (layers, layers * cells, taken.KEY) if layers else None


def _tile_mpx(case: Case) -> float:
    """Return the median of a few headers; without files, of the bytes that the plan knows."""
    files = doctor_files.sample(case.layers)
    sizes = []
    for file in files[:: max(1, len(files) // MOST_HEADERS)]:
        try:
            header = case.inspect(file)[0]
        except (DatError, OSError):
            continue  # the doctor tells
        sizes.append(header["XResolution"] * header["YResolution"] / MPX)
    if sizes:
        return float(median(sizes))
    plan = case.work_dir / PLAN
    known = [int(row["bytes"] or 0) for row in read_table(plan)] if plan.exists() else []
    known = known or [each.found.size for each in files]
    if not known:  # taken over: the first file says
        return taken.tile_px(case.config["takeover"]["align_h5"]) / MPX
    return max(0.0, median(known) - HEADER_BYTES) / BYTES_16_BIT / MPX


def _layer_mpx(case: Case, extent: Extent) -> float:
    """Return the area of a layer: of the export's plan, the stack's bounds, or the stage."""
    if (plan := case.work_dir / EXPORT_PLAN).exists():
        z, y, x = read_json(plan)["spec"]["shape_zyx"]
        return float(x * y * z) / extent.layers / MPX
    if (receipt := case.work_dir / RECEIPT).exists():
        left, top, right, bottom = read_json(receipt)["bounds"]
        return float((right - left) * (bottom - top)) / MPX
    first = list(case.layers.values())[: doctor_files.LAYERS_PLACED]
    areas = [_area(list(doctor_files.placed(case, files).values())) for files in first]
    known = [area / MPX for area in areas if area]
    return mean(known) if known else extent.layer_mpx


def _area(tiles: Sequence[doctor_files.Placed]) -> float:
    """Area of the box around the tiles of a layer, px^2."""
    if not tiles:
        return 0.0
    sides = (
        max(t.at[axis] + t.size[axis] for t in tiles) - min(t.at[axis] for t in tiles)
        for axis in (0, 1)
    )
    wide, high = sides
    return wide * high


def pairs(extent: Extent, config: Mapping[str, Any]) -> dict[str, float]:
    """Return how many pairs of tiles each run of the matching compares.

    Parameters
    ----------
    extent
        Size of the volume.
    config
        Config of the volume: the grid, and ``match.z_distance``.

    Returns
    -------
    dict
        Run -> pairs: of a cell with itself in the next layers, of neighbours in a row or column.
    """
    rows, columns = (config["acquisition"][key] for key in ("rows", "columns"))
    reach = min(config["match"]["z_distance"], extent.layers - 1)
    cells, filled = rows * columns, extent.tiles / (extent.layers * rows * columns)
    beside, below = rows * (columns - 1), (rows - 1) * columns
    of_layer = {
        "montage": beside + below,
        "montage_left_right": beside,
        "montage_top_bottom": below,
    }
    across = cells * (extent.layers * reach - reach * (reach + 1) / 2)
    return {
        run: filled * (across if run == "cross" else extent.layers * of_layer[run])
        for run in flow.RUNS[flow.layout(rows, columns)]
    }
